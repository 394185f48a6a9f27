// The sound of one incident: which clips there are, fetched and decoded when somebody sees them, given up when nobody does.

const AT_ONCE = 4;
const MOST_KEPT_SAMPLES = 16e6;
const decoded = new Map();

// Thrown when the server answers, and says no.
export class ClipsRefused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class ClipLoader {
  constructor() {
    this.waiting = [];
    this.running = 0;
    this.stop();
  }

  // Gives up everything asked for so far.
  stop() {
    this.aborting?.abort();
    this.aborting = new AbortController();
    this.waiting.length = 0;
  }

  async list(incidentId) {
    const { signal } = this.aborting;
    const answer = await fetch(`/incidents/${encodeURIComponent(incidentId)}/clips`, { cache: "no-store", signal });
    const document = await answer.json();
    if (!answer.ok) throw new ClipsRefused(answer.status, document.detail ?? `the server answered ${answer.status}`);
    return document;
  }

  // The sound of a clip as an AudioBuffer at the clip's own rate.
  sound(clip) {
    const known = decoded.get(clip.sha256);
    if (known) {
      decoded.delete(clip.sha256);
      decoded.set(clip.sha256, known);
      return Promise.resolve(known);
    }
    return new Promise((resolve, reject) => {
      const { signal } = this.aborting;
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.waiting.push({ clip, signal, resolve, reject });
      this.next();
    });
  }

  next() {
    while (this.running < AT_ONCE && this.waiting.length) {
      const { clip, signal, resolve, reject } = this.waiting.shift();
      if (signal.aborted) continue;
      this.running += 1;
      fetchSound(clip, signal).then(resolve, reject).finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }
}

async function fetchSound(clip, signal) {
  const answer = await fetch(clip.href, { signal });
  if (!answer.ok) throw new ClipsRefused(answer.status, (await answer.json()).detail);
  const file = await answer.arrayBuffer();
  const { sample_rate_hz: rate } = clip;
  // An offline context at the clip's rate: nothing is resampled on the way to the picture.
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(file);
  signal.throwIfAborted();
  const sound = { buffer, peak: peakOf(buffer.getChannelData(0)) };
  keep(clip.sha256, sound);
  return sound;
}

function keep(key, sound) {
  decoded.set(key, sound);
  let samples = 0;
  for (const { buffer } of decoded.values()) samples += buffer.length;
  for (const [oldest, { buffer }] of decoded) {
    if (samples <= MOST_KEPT_SAMPLES || oldest === key) return;
    decoded.delete(oldest);
    samples -= buffer.length;
  }
}

function peakOf(samples) {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, sample < 0 ? -sample : sample);
  return peak;
}

// The lists of clips last read, for whoever shows them beside something else.
class ClipLists extends EventTarget {
  #lists = new Map();

  of(incidentId) {
    return this.#lists.get(incidentId) ?? null;
  }

  set(incidentId, list) {
    this.#lists = new Map([[incidentId, list]]);
    this.dispatchEvent(new Event("change"));
  }
}

export const clipLists = new ClipLists();
