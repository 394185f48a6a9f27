// What is said to screen readers, and the line that says what came of a key.

import { clock, metres, rounds } from "./format.js";

const EVERY_MS = 2000;
const SAID_FOR_MS = 8000;

export class Announcer {
  constructor(loud, quiet) {
    Object.assign(this, { loud, quiet });
    this.waiting = [];
    this.timer = 0;
  }

  // The first at once; in a flood, one sentence for all that came since the last.
  add(incident) {
    this.waiting.push(incident);
    if (!this.timer) this.speak();
  }

  speak() {
    const incidents = this.waiting.splice(0);
    this.timer = incidents.length ? setTimeout(() => this.speak(), EVERY_MS) : 0;
    if (!incidents.length) return;
    const worst = incidents.reduce((a, b) => (b.probability * b.rounds > a.probability * a.rounds ? b : a));
    const what = incidents.length === 1 ? "New incident" : `${incidents.length} new incidents, the worst`;
    this.loud.textContent = `${what}: ${rounds(worst.rounds)} at ${clock(worst.time_utc, 0)} UTC, 95 percent within ${metres(worst.cep95_m)}.`;
  }

  say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => { this.quiet.textContent = ""; }, SAID_FOR_MS);
    this.quiet.textContent = text;
  }
}
