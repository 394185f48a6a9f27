// The queue: every incident that is known here, worst first. Nothing is evicted; what is heavy is kept of a few only.

import { NO_REVIEW, isOverdue, isRetracted, isWaiting } from "./standing.js";

const FULL_RECORDS = 200;
const SINGLY = 64;

export const SHOWS = {
  open: "to decide",
  unacknowledged: "nobody took on",
  overdue: "overdue",
  waits_for_second: "wait for a second",
  disputed: "disputed",
  confirmed: "confirmed",
  dismissed: "dismissed",
  undetermined: "undetermined",
  all: "all",
};

const WANTED = {
  open: ({ review }) => review.outcome === null,
  unacknowledged: (entry) => isWaiting(entry),
  overdue: (entry, time) => isOverdue(entry, time),
  waits_for_second: ({ review }) => review.waits_for_second !== null,
  disputed: ({ review }) => review.disputed,
  confirmed: ({ review }) => review.outcome === "confirmed",
  dismissed: ({ review }) => review.outcome === "dismissed",
  undetermined: ({ review }) => review.outcome === "undetermined",
  all: () => true,
};

export class Queue {
  constructor(time) {
    this.time = time;
    this.entries = new Map();
    this.order = [];
    this.show = "open";
    this.held = "";
    this.open = new Set();
    this.waiting = new Set();
    this.changed = new Set();
    this.full = new Map();
  }

  get(id) { return this.entries.get(id); }

  // The whole record if it is still here, else without its shots.
  record(id) {
    const entry = this.entries.get(id);
    return entry && (this.full.get(id) ?? { ...entry.incident, shots: [] });
  }

  hasShots(id) { return this.full.has(id); }

  // Returns the entry, whether it is new here, and whether this revision is.
  take(incident, review = null, told_ms = Date.parse(incident.as_of_utc)) {
    const known = this.entries.get(incident.id);
    const newer = !known || incident.revision > known.incident.revision;
    const { shots, ...light } = incident;
    const entry = known ?? { id: incident.id, told_ms, review: NO_REVIEW, key: null, fresh: false };
    if (newer) entry.incident = light;
    if (review) entry.told_ms = Math.min(told_ms, entry.told_ms);
    if (review && isLater(review, entry.review)) entry.review = review;
    this.entries.set(incident.id, entry);
    if (incident.revision >= entry.incident.revision) this.keep(incident);
    if (newer || review) this.touch(entry);
    return { entry, isNew: !known, newer };
  }

  keep(incident) {
    this.full.delete(incident.id);
    this.full.set(incident.id, incident);
    if (this.full.size <= FULL_RECORDS) return;
    const oldest = this.full.keys().next().value;
    this.full.delete(oldest === this.held ? [...this.full.keys()][1] : oldest);
  }

  setReview(id, review) {
    const entry = this.entries.get(id);
    if (!entry || !isLater(review, entry.review)) return false;
    entry.review = review;
    this.touch(entry);
    return true;
  }

  touch(entry) {
    put(this.open, entry.id, entry.review.outcome === null && !isRetracted(entry));
    put(this.waiting, entry.id, isWaiting(entry));
    this.changed.add(entry);
  }

  // The one that somebody works on keeps its place in the list, whatever becomes of it.
  hold(id) {
    const before = this.entries.get(this.held);
    this.held = id;
    if (before) this.changed.add(before);
    const entry = this.entries.get(id);
    if (entry) this.changed.add(entry);
  }

  setShow(show) {
    this.show = show;
    this.sortAll();
  }

  // Brings `order` up to date. Few changes cost a search each, many one sort.
  settle() {
    if (this.changed.size > SINGLY) this.sortAll();
    else this.changed.forEach((entry) => this.place(entry));
    this.changed.clear();
  }

  sortAll() {
    for (const entry of this.entries.values()) {
      if (!this.stays(entry)) entry.key = this.isWanted(entry) ? keyOf(entry) : null;
    }
    this.order = [...this.entries.values()].filter((entry) => entry.key).sort((a, b) => compare(a.key, b.key));
    this.changed.clear();
  }

  place(entry) {
    if (this.stays(entry)) return;
    const key = this.isWanted(entry) ? keyOf(entry) : null;
    if (entry.key && key && compare(entry.key, key) === 0) return;
    if (entry.key) this.order.splice(this.indexOf(entry), 1);
    entry.key = key;
    if (key) this.order.splice(this.search(key), 0, entry);
  }

  stays(entry) { return entry.id === this.held && entry.key !== null; }

  isWanted(entry) { return entry.id === this.held || WANTED[this.show](entry, this.time); }

  indexOf(entry) { return entry?.key ? this.search(entry.key) : -1; }

  search(key) {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.order[middle].key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // How many the list is about; one that is only held is not counted.
  get count() {
    const held = this.entries.get(this.held);
    return this.order.length - (held?.key && !WANTED[this.show](held, this.time) ? 1 : 0);
  }

  // The worst that is open, but not this one.
  worstBut(id) {
    let worst = null;
    for (const other of this.open) {
      const entry = this.entries.get(other);
      if (other !== id && (worst === null || compare(keyOf(entry), keyOf(worst)) < 0)) worst = entry;
    }
    return worst;
  }
}

// As the server's `worst_first`: open first, then what was not retracted, the most rounds to be expected, the oldest.
function keyOf({ id, incident, review }) {
  const expected = incident.probability * Math.max(1, incident.rounds);
  return [review.outcome !== null ? 1 : 0, incident.state === "retracted" ? 1 : 0, -expected, incident.time_utc, id];
}

function compare(a, b) {
  for (let index = 0; index < a.length; index += 1) {
    if (a[index] !== b[index]) return a[index] < b[index] ? -1 : 1;
  }
  return 0;
}

// Answers and events may cross on the way: what was appended only grows.
function isLater(review, before) {
  return review.decisions.length >= before.decisions.length && review.acknowledgements.length >= before.acknowledgements.length;
}

function put(set, id, inside) {
  if (inside) set.add(id);
  else set.delete(id);
}
