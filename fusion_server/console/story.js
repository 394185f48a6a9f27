// Parts of the why panel about the incident as a whole: how it changed, who decided, who was told, what is kept.

import { clock, element, metres, rounds, stamp } from "./format.js";

export function revisions({ revisions: records, moves }) {
  const moved = new Map((moves ?? []).map((move) => [move.to_revision, move.moved_m]));
  return element("ol", { class: "log" }, ...records.map((record) => {
    const by_m = moved.get(record.revision);
    const text = `${record.revision} ${record.state}: ${rounds(record.rounds)}, 95 % within ${metres(record.cep95_m)}${by_m === undefined ? "" : `, moved ${metres(by_m)}`}`;
    return entry(record.as_of_utc, text);
  }));
}

export function decisions({ review }) {
  if (!review) return null;
  const taken = review.acknowledgements.map(({ person, time_utc }) => ({ time_utc, text: `${person} took it on` }));
  const decided = review.decisions.map((one) => ({
    time_utc: one.time_utc,
    text: `${one.person}: ${one.outcome}, ${one.reason_says}${one.note ? ` (“${one.note}”)` : ""}, on revision ${one.revision}`,
  }));
  const lines = [...taken, ...decided].sort((a, b) => (a.time_utc < b.time_utc ? -1 : 1)).map(({ time_utc, text }) => {
    const line = element("li", { "data-mark": "›" });
    line.append(element("time", { class: "quiet", datetime: time_utc, title: stamp(time_utc), text: `${clock(time_utc, 0)} UTC ` }), element("span", { text }));
    return line;
  });
  const parts = [lines.length ? element("ul", { class: "plain" }, ...lines) : element("p", { class: "quiet", text: "Nobody has decided yet." })];
  if (review.disputed) parts.push(element("p", { class: "plain fail", text: "Two people decided differently." }));
  if (review.waits_for_second) parts.push(element("p", { class: "quiet", text: "It waits for a second person." }));
  const moved_m = review.changed_since_decision_m;
  if (moved_m !== null && moved_m > 0) parts.push(element("p", { class: "quiet", text: `The place moved ${metres(moved_m)} since that decision.` }));
  return parts;
}

export function alerts({ receipts }) {
  const list = element("ul", { class: "log" });
  for (const receipt of receipts) {
    const attempt = receipt.attempt > 1 ? `, attempt ${receipt.attempt}` : "";
    const line = entry(receipt.time_utc, `${receipt.ok ? "✓" : "✗"} ${receipt.sink}, revision ${receipt.revision}${attempt}: ${receipt.detail}`);
    if (!receipt.ok) line.classList.add("fail");
    list.append(line);
  }
  if (!receipts.length) list.append(element("li", {}, element("time", { text: "–" }), element("span", { text: "no alert was sent" })));
  return list;
}

// Whether the clips are what their nodes announced before anybody asked for them.
export function soundKept({ clips, refused }) {
  const count = (ok) => clips.filter(({ digest_ok }) => digest_ok === ok).length;
  const line = (mark, number, text, failed = false) =>
    number ? element("li", { class: failed ? "fail" : "", "data-mark": mark, text: `${number} ${number === 1 ? "clip" : "clips"} ${text}` }) : null;
  const lines = [
    line("✓", count(true), "as announced with the detection"),
    line("✗", count(false), `not as announced: ${clips.filter(({ digest_ok }) => digest_ok === false).map(({ node }) => node).join(", ")}`, true),
    line("·", count(null), "with nothing announced to compare with"),
    line("○", refused.length, "refused or lost"),
  ].filter(Boolean);
  return lines.length ? element("ul", { class: "plain" }, ...lines) : element("p", { class: "quiet", text: "None." });
}

export function evidence(incident) {
  const command = element("code", { text: `shotline evidence export ${incident.id}` });
  return element("p", { class: "hint quiet" }, "On the server, ", command, " writes all of this, signed, with what is needed to locate it again.");
}

function entry(utc, text) {
  const when = element("time", { datetime: utc, title: stamp(utc), text: `${clock(utc)} UTC` });
  return element("li", {}, when, element("span", { text }));
}
