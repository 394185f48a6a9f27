// What there is to hear of each node in one round: which clip, where it starts against the predicted arrival, which picks.

import { secondsAfter, signed, timesAreCut } from "./moments.js";
import { refusalSays } from "./refusals.js";
import { nearestFirst } from "./timeline.js";

const CLIP_S = 2;

// Returns one row for each node that was heard or asked, nearest first. `list` is the answer of the server, or null.
export function rowsOf(incident, list, round) {
  const clips = group(list?.clips ?? []);
  const refused = group(list?.refused ?? []);
  const picks = group(list?.picks ?? []);
  const cut = list?.times_cut ?? timesAreCut(incident);
  return nodesOf(incident, list, cut).map((node) => {
    const mine = (picks.get(node) ?? []).filter((pick) => pick.round === round + 1);
    const main = mine.find((pick) => pick.used) ?? mine.find((pick) => !pick.detection) ?? nearest(mine);
    const zero = main?.predicted_utc ?? main?.time_utc ?? null;
    const clip = chooseClip(clips.get(node) ?? [], zero, cut);
    const aligned = !cut && Boolean(main?.predicted_utc);
    const row = { node, main, clip, aligned, cut, failed: "", isUsed: cut ? true : Boolean(main?.used) };
    row.start_s = clip && !cut ? secondsAfter(clip.start_utc, zero) : 0;
    row.marks = zero && !cut ? marksOf(picks.get(node), zero, round, main) : [];
    row.missing = clip ? "" : whyNone({ node, incident, round, list, clips: clips.get(node), refused: refused.get(node), main });
    row.says = says(row);
    return row;
  });
}

function group(records) {
  const groups = new Map();
  for (const record of records) groups.set(record.node, [...(groups.get(record.node) ?? []), record]);
  return groups;
}

function nodesOf(incident, list, cut) {
  const arrivals = incident.shots.flatMap((shot) => shot.arrivals.map(({ node, time_utc }) => ({ node, after_s: cut ? 0 : secondsAfter(time_utc, shot.time_utc) })));
  const others = [...(list?.clips ?? []), ...(list?.refused ?? [])].map(({ node }) => ({ node, after_s: null }));
  return nearestFirst([...arrivals, ...others]);
}

const nearest = (picks) => [...picks].sort((a, b) => Math.abs(a.residual_s ?? 9) - Math.abs(b.residual_s ?? 9))[0];

function chooseClip(clips, zero, cut) {
  if (cut) return clips[0] ?? null;
  if (zero === null) return null;
  return clips.find(({ start_utc }) => { const at_s = secondsAfter(zero, start_utc); return at_s >= 0 && at_s < CLIP_S; }) ?? null;
}

function marksOf(picks, zero, round, main) {
  return picks.filter(({ time_utc }) => time_utc).map((pick) => ({
    at_s: secondsAfter(pick.time_utc, zero), sigma_s: pick.sigma_s, used: pick.used, main: pick === main, round: pick.round,
  })).filter(({ main: isMain }, index, all) => isMain || all.findIndex((other) => other.at_s === all[index].at_s) === index)
    .filter((mark) => mark.main || mark.round !== round + 1 || mark.at_s !== 0);
}

function whyNone({ node, incident, list, clips, refused, main }) {
  if (!list) return "";
  if (clips) return main?.predicted_utc || main?.time_utc ? "its clips end before this round, or begin after it" : "nothing of this round is known of it";
  if (refused) return `no clip: ${refusalSays(refused.at(-1))}`;
  const used = incident.shots.some((shot) => shot.arrivals.some((arrival) => arrival.node === node && arrival.used));
  return used ? "no clip has come" : "no clip: only nodes that a fix used are asked";
}

function says({ main, aligned, cut }) {
  if (cut) return "";
  if (!main) return "no arrival in this round";
  if (!main.detection) return aligned ? "reported nothing when it was due" : "reported nothing";
  const residual = main.residual_s === null ? "no residual" : `${signed(1000 * main.residual_s)} ms`;
  const sigma = main.sigma_s === null ? "" : ` ± ${(1000 * main.sigma_s).toFixed(1)}`;
  return `${residual.replace(" ms", `${sigma} ms`)}, ${main.used ? "used" : "left out"}`;
}
