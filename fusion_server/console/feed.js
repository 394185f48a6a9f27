// The event stream: reconnects by itself, and says loudly when it is cut off.

const SILENCE_MS = 15000;
const RETRY_MS = 3000;

export class Feed {
  constructor({ onIncident, onReload, onTime, onLost, onAlive }) {
    this.handlers = { onIncident, onReload, onTime, onLost, onAlive };
    this.last = "";
    this.alive = false;
    this.open();
  }

  open() {
    this.source?.close();
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
    source.addEventListener("incident", (event) => {
      this.heard();
      this.last = event.lastEventId;
      this.handlers.onIncident(JSON.parse(event.data));
    });
    source.addEventListener("reload", () => {
      this.heard();
      this.handlers.onReload();
    });
    source.addEventListener("error", () => this.lose("the server does not answer"));
    this.watch();
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
    this.alive = false;
    this.handlers.onLost(reason);
    if (this.source.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), RETRY_MS);
  }
}

export async function read(path) {
  const answer = await fetch(path, { cache: "no-store" });
  const document = await answer.json();
  if (!answer.ok && document.checks === undefined) throw new Error(document.detail ?? `${path} answered ${answer.status}`);
  return document;
}
