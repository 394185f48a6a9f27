// Plays clips, one or many at once, each shifted so that what is aligned on the screen is aligned in the ear.

const AHEAD_S = 0.06;
const LEVEL = 0.9;

export class Player {
  constructor({ onFrame, onEnd }) {
    Object.assign(this, { onFrame, onEnd, sources: [], until_s: 0 });
  }

  get playing() {
    return this.sources.length > 0;
  }

  // tracks: [{sound, start_s}], start_s being where the clip begins on the common axis; common: one gain for all.
  play(tracks, { common }) {
    this.stop();
    this.context ??= new AudioContext();
    this.limiter ??= limiterOf(this.context);
    this.context.resume();
    const begin_s = Math.max(...tracks.map(({ start_s }) => start_s));
    const end_s = Math.min(...tracks.map(({ start_s, sound }) => start_s + sound.buffer.duration));
    const loudest = Math.max(...tracks.map(({ sound }) => sound.peak), 1e-9);
    const when_s = this.context.currentTime + AHEAD_S;
    for (const { sound, start_s } of tracks) {
      const source = this.context.createBufferSource();
      const gain = this.context.createGain();
      source.buffer = sound.buffer;
      gain.gain.value = LEVEL / Math.sqrt(tracks.length) / Math.max(common ? loudest : sound.peak, 1e-9);
      source.connect(gain).connect(this.limiter);
      source.start(when_s, begin_s - start_s, end_s - begin_s);
      this.sources.push(source);
    }
    const run = this.sources;
    this.sources[0].onended = () => run === this.sources && this.stop();
    const tick = () => {
      if (run !== this.sources || !this.playing) return;
      this.onFrame(Math.min(end_s, begin_s + Math.max(0, this.context.currentTime - when_s)));
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  stop() {
    if (!this.playing) return;
    const sources = this.sources;
    this.sources = [];
    sources.forEach((source) => source.stop());
    this.onEnd();
  }
}

// Many clips at once may add up to more than full scale.
function limiterOf(context) {
  const limiter = new DynamicsCompressorNode(context, { threshold: -3, knee: 0, ratio: 20, attack: 0.001, release: 0.05 });
  limiter.connect(context.destination);
  return limiter;
}
