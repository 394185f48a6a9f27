// Why there is no sound of a node, in words for people; the reasons are those of the wire and of the server.

const WHY = {
  clips_off: "its owner lets no sound leave the node",
  clip_unknown: "the node does not know that detection any more",
  clip_too_old: "asked too late: a node gives nothing older than a minute",
  clip_gone: "its memory had been written over",
  clip_interrupted: "sound was lost around the shot",
  clip_quota: "the node has given as many clips as it may in an hour",
  clip_too_long: "more was asked for than a node gives",
  clip_given: "given to another incident before; a clip is given once",
  clip_damaged: "what came was damaged",
  wrong_node: "another node answered",
  no_answer: "the node did not answer in time",
};

export const refusalSays = ({ reason, detail }) => WHY[reason] ?? `${reason}: ${detail}`;
