// Reads the queue from the server, page by page, behind what the event stream tells.

import { read } from "./server.js";

const FIRST = 100;
const FURTHER = 500;
const AGAIN_AFTER_MS = 1000;
const TRIES = 3;
const MARGIN_MS = 60000;
// What is still to be done is read to the end; what was decided, as far as somebody scrolls.
const TO_THE_END = ["open", "unacknowledged", "overdue", "waits_for_second", "disputed"];

export class Loader {
  constructor(queue, { take, onLoaded }) {
    Object.assign(this, { queue, take, onLoaded });
    this.turn = 0;
    this.total = 0;
    this.following = null;
    this.reading = false;
    this.loading = "";
    this.again = false;
    this.timer = 0;
  }

  // How many there are, also where not all of them were read.
  known(count) { return TO_THE_END.includes(this.queue.show) ? count : Math.max(count, this.total); }

  soon() {
    if (!this.timer) this.timer = setTimeout(() => this.load(), AGAIN_AFTER_MS);
  }

  // One reading at a time: what comes meanwhile asks for one more. Another list ends the reading of the one before.
  async load() {
    const { show } = this.queue;
    if (this.loading === show) {
      this.again = true;
      return;
    }
    this.loading = show;
    do {
      this.again = false;
      await this.readAll(show);
    } while (this.again && this.loading === show);
    if (this.loading === show) this.loading = "";
  }

  async readAll(show) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.turn += 1;
    const { turn } = this;
    const openBefore = [...this.queue.open];
    try {
      for (let go = 0; go < TRIES; go += 1) {
        const found = new Set();
        this.following = `/review/queue?show=${show}&limit=${FIRST}`;
        do {
          if (!(await this.page(turn, found))) return;
        } while (this.following && TO_THE_END.includes(show));
        // Pages are counted from the front: what left meanwhile has hidden as many. Then read once more.
        if (!TO_THE_END.includes(show) || found.size >= this.total) {
          if (show === "open") await this.decidedElsewhere(turn, openBefore.filter((id) => !found.has(id)));
          return;
        }
      }
    } catch (error) {
      console.warn(error.message);
    }
  }

  // The next page of a list that is not read to its end.
  async further() {
    if (!this.following || this.reading) return;
    try {
      await this.page(this.turn, new Set());
    } catch (error) {
      console.warn(error.message);
    }
  }

  async page(turn, found) {
    this.reading = true;
    try {
      const page = await read(this.following);
      if (turn !== this.turn) return false;
      for (const { incident, review } of page.items) {
        found.add(incident.id);
        this.take(incident, review);
      }
      this.total = page.total;
      this.following = page.next && page.next.replace(/limit=\d+/, `limit=${FURTHER}`);
      this.onLoaded();
      return true;
    } finally {
      this.reading = false;
    }
  }

  // What was open here and is no longer: somebody decided while nobody told this page.
  async decidedElsewhere(turn, ids) {
    const times_ms = ids.map((id) => this.queue.get(id)).filter((entry) => this.queue.open.has(entry.id)).map((entry) => Date.parse(entry.incident.time_utc));
    if (!times_ms.length) return;
    const since = new Date(Math.min(...times_ms) - MARGIN_MS).toISOString();
    const until = new Date(Math.max(...times_ms) + MARGIN_MS).toISOString();
    for (let next = `/review/queue?show=all&limit=${FURTHER}&since=${since}&until=${until}`; next && turn === this.turn; ) {
      const page = await read(next);
      page.items.forEach(({ incident, review }) => this.take(incident, review));
      next = page.next;
    }
    this.onLoaded();
  }
}
