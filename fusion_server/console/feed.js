// The event stream: reconnects by itself, and says loudly when it is cut off.

export { read } from "./server.js";

const SILENCE_MS = 15000;
const RETRY_MS = 3000;
const REVIEWS = ["decision", "acknowledgement", "reminder"];

export class Feed {
  constructor({ onIncident, onReview, onReload, onTime, onLost, onAlive }) {
    this.handlers = { onIncident, onReview, onReload, onTime, onLost, onAlive };
    this.last = "";
    this.alive = false;
    this.ended = false;
    this.open();
  }

  open() {
    this.source?.close();
    if (this.ended) return;
    const source = new EventSource(this.last ? `/events?after=${encodeURIComponent(this.last)}` : "/events");
    this.source = source;
    source.addEventListener("open", () => {
      this.heard();
      this.handlers.onReload();
    });
    source.addEventListener("heartbeat", (event) => {
      this.heard();
      this.handlers.onTime(JSON.parse(event.data).time_utc);
    });
    source.addEventListener("incident", (event) => this.handlers.onIncident(this.taken(event)));
    for (const kind of REVIEWS) source.addEventListener(kind, (event) => this.handlers.onReview(kind, this.taken(event)));
    source.addEventListener("reload", () => {
      this.heard();
      this.handlers.onReload();
    });
    source.addEventListener("error", () => this.lose("the server does not answer"));
    this.watch();
  }

  taken(event) {
    this.heard();
    this.last = event.lastEventId;
    return JSON.parse(event.data);
  }

  heard() {
    this.watch();
    if (this.alive) return;
    this.alive = true;
    this.handlers.onAlive();
  }

  watch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.lose(`nothing heard from the server for ${SILENCE_MS / 1000} s`);
      this.open();
    }, SILENCE_MS);
  }

  lose(reason) {
    if (this.ended) return;
    this.alive = false;
    this.handlers.onLost(reason);
    if (this.source.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), RETRY_MS);
  }

  end() {
    this.ended = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
