// Replay of an incident as it became known: its rounds, its revisions and what people said, in their own time.

import { clock, element, metres, rounds, span } from "./format.js";

const LONGEST_GAP_MS = 3000;

export class Playback {
  constructor(root, { onShow, onEnd }) {
    Object.assign(this, { root, onShow, onEnd });
    this.moments = [];
    this.index = 0;
    this.running = 0;
    this.build();
  }

  get on() { return this.moments.length > 0; }

  build() {
    this.strip = element("p", { class: "strip past", role: "status" });
    this.play = element("button", { type: "button", class: "main", on: { click: () => this.toggle() } });
    this.scrub = element("input", { type: "range", min: 0, step: 1, "aria-label": "Moment", on: { input: () => { this.pause(); this.go(Number(this.scrub.value)); } } });
    const step = (text, label, by) => element("button", { type: "button", text, "aria-label": label, title: label, on: { click: () => { this.pause(); this.go(this.index + by); } } });
    this.says = element("p", { class: "moment", "aria-live": "polite" });
    this.root.replaceChildren(
      this.strip,
      element("div", { class: "controls" }, this.play, step("‹", "One moment back", -1), this.scrub, step("›", "One moment on", 1),
        element("button", { type: "button", text: "Back to now", on: { click: () => this.end() } }, " ", element("kbd", { text: "Esc" }))),
      this.says,
    );
    this.label();
  }

  begin(story) {
    this.story = story;
    this.moments = momentsOf(story);
    this.scrub.max = this.moments.length - 1;
    this.root.hidden = false;
    document.body.classList.add("past");
    this.go(0);
    this.toggle();
  }

  toggle() {
    if (this.running) return this.pause();
    if (this.index === this.moments.length - 1) this.go(0);
    this.wait();
    return this.label();
  }

  pause() {
    clearTimeout(this.running);
    this.running = 0;
    this.label();
  }

  label() { this.play.textContent = this.running ? "Pause" : "Play"; }

  wait() {
    const [now, next] = [this.moments[this.index], this.moments[this.index + 1]];
    if (!next) return this.pause();
    this.running = setTimeout(() => { this.go(this.index + 1); this.wait(); }, Math.min(next.time_ms - now.time_ms, LONGEST_GAP_MS));
    return undefined;
  }

  go(index) {
    this.index = Math.min(Math.max(index, 0), this.moments.length - 1);
    const moment = this.moments[this.index];
    const since_s = (moment.time_ms - this.moments[0].time_ms) / 1000;
    this.scrub.value = this.index;
    this.scrub.setAttribute("aria-valuetext", moment.says);
    const later = since_s < 60 ? `${since_s.toFixed(2)} s` : span(since_s);
    this.strip.textContent = `THE PAST: ${clock(moment.time_utc, 2)} UTC, ${later} after the first shot. ${moment.record ? `Revision ${moment.record.revision}.` : "No result yet; the place is what revision 1 found later."}`;
    this.says.textContent = `${this.index + 1} of ${this.moments.length}: ${moment.says}`;
    this.onShow(moment.shown);
  }

  end() {
    if (!this.on) return;
    this.pause();
    this.moments = [];
    this.root.hidden = true;
    document.body.classList.remove("past");
    this.onEnd();
  }
}

// Everything that happened to an incident, oldest first; each with the record as it was known then.
export function momentsOf({ revisions, review }) {
  const last = revisions.at(-1);
  const moments = [
    ...last.shots.map((shot, index) => ({ time_utc: shot.time_utc, order: 0, says: `round ${index + 1} of ${last.rounds} was fired` })),
    ...revisions.map((record, index) => ({ time_utc: record.as_of_utc, order: 1, record, says: saysOf(record, revisions[index - 1]) })),
    ...review.acknowledgements.map(({ person, time_utc }) => ({ time_utc, order: 2, says: `${person} took it on` })),
    ...review.decisions.map(({ person, outcome, reason_says, time_utc }) => ({ time_utc, order: 2, says: `${person}: ${outcome}, ${reason_says}` })),
  ].map((moment) => ({ ...moment, time_ms: Date.parse(moment.time_utc) }));
  moments.sort((a, b) => a.time_ms - b.time_ms || a.order - b.order);
  let known = null;
  for (const moment of moments) {
    known = moment.record ?? known;
    moment.record = known;
    moment.shown = known ?? firedUntil(revisions[0], moment.time_ms);
  }
  return moments;
}

// Before the first result nobody knew of any place; what is drawn then is what the first result said of the rounds so far.
function firedUntil(record, time_ms) {
  const shots = record.shots.filter((shot) => Date.parse(shot.time_utc) <= time_ms);
  return { ...record, shots: shots.length ? shots : record.shots.slice(0, 1) };
}

function saysOf(record, before) {
  const moved = before ? `, moved ${metres(Math.hypot(record.x_m - before.x_m, record.y_m - before.y_m))}` : "";
  return `revision ${record.revision}, ${record.state}: ${rounds(record.rounds)}, 95 % within ${metres(record.cep95_m)}${moved}`;
}
