// Where an incident is in its review, in words: what the queue, the desk and the alert sound go by.

import { metres, percent, rounds, span } from "./format.js";

export const OUTCOMES = {
  confirmed: { verb: "Confirm", says: "confirmed", mark: "✔" },
  dismissed: { verb: "Dismiss", says: "dismissed", mark: "✖" },
  undetermined: { verb: "Undetermined", says: "undetermined", mark: "?" },
};

export const NO_REVIEW = Object.freeze({
  outcome: null, open: true, overdue: false, disputed: false, age_s: 0, reminders_due: 0,
  waits_for_second: null, changed_since_decision_m: null, decisions: [], acknowledgements: [],
});

export const isRetracted = (entry) => entry.incident.state === "retracted";

// Nobody took it on, nobody decided: what the alert sound is repeated for.
export function isWaiting(entry) {
  const { acknowledgements, decisions } = entry.review;
  return !acknowledgements.length && !decisions.length && !isRetracted(entry);
}

// In a replay or a test the time of events is the server's alone, so it says what is overdue; else the page's clock does.
export function isOverdue(entry, time) {
  if (entry.review.outcome !== null) return false;
  return time.ticks ? time.now_ms - entry.told_ms > 1000 * time.rules.decide_within_s : entry.review.overdue;
}

export function standing(entry, time) {
  const { review } = entry;
  const waits = review.waits_for_second;
  const taken = review.acknowledgements.length ? `taken on by ${review.acknowledgements[0].person}` : "";
  if (isRetracted(entry) && review.outcome === null) return { kind: "retracted", mark: "–", says: "retracted by the system" };
  if (waits) return { kind: "waits", mark: "½", says: `${waits.person} says ${waits.outcome}: waits for a second person` };
  if (review.disputed) return { kind: "disputed", mark: "≠", says: `${review.outcome ?? "open"}, disputed` };
  if (review.outcome !== null) {
    const last = review.decisions.at(-1);
    return { kind: review.outcome, mark: OUTCOMES[review.outcome].mark, says: `${review.outcome} by ${last.person}: ${last.reason_says}` };
  }
  if (isOverdue(entry, time)) return { kind: "overdue", mark: "!", says: `overdue, ${taken || "nobody took it on"}` };
  return taken ? { kind: "taken", mark: "◐", says: taken } : { kind: "new", mark: "●", says: "nobody took it on" };
}

// What is left to decide, or by how much it is late; "" when nothing is to be decided or no clock runs.
export function timer(entry, time) {
  if (entry.review.outcome !== null || !time.ticks || isRetracted(entry)) return "";
  const left_s = time.rules.decide_within_s - (time.now_ms - entry.told_ms) / 1000;
  return left_s >= 0 ? `${span(left_s)} to decide` : `late by ${span(-left_s)}`;
}

// What a newer revision changed, in words with numbers.
export function difference(before, after) {
  const changes = [`moved ${metres(Math.hypot(after.x_m - before.x_m, after.y_m - before.y_m))}`];
  const add = (name, was, is) => was !== is && changes.push(`${name} ${was} → ${is}`);
  add("", rounds(before.rounds), rounds(after.rounds));
  add("95 % within", metres(before.cep95_m), metres(after.cep95_m));
  add("gunfire", percent(before.probability), percent(after.probability));
  add("state", before.state, after.state);
  return changes.map((change) => change.trim()).join(", ");
}
