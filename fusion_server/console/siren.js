// The alert sound, made here. First a short tone for a new incident; then, as long as nobody takes it on, an urgent one
// again and again. A browser plays nothing before somebody has pressed something on the page.

import { recall, remember } from "./memory.js";

const REPEAT_MS = 3000;
const FIRST_GAP_MS = 1000;
const ATTACK_S = 0.008;

// Frequency, start and length of each tone of a stage.
export const STAGES = {
  first: [{ hertz: 880, at_s: 0, long_s: 0.22 }],
  urgent: [0, 0.24, 0.48, 0.72].map((at_s, index) => ({ hertz: index % 2 ? 1320 : 988, at_s, long_s: 0.18 })),
};
const LOUD = { first: 0.25, urgent: 0.5 };

export function sound(context, stage, start_s) {
  for (const { hertz, at_s, long_s } of STAGES[stage]) {
    const tone = new OscillatorNode(context, { type: stage === "urgent" ? "triangle" : "sine", frequency: hertz });
    const gain = new GainNode(context, { gain: 0 });
    const [from_s, to_s] = [start_s + at_s, start_s + at_s + long_s];
    gain.gain.setValueAtTime(0, from_s);
    gain.gain.linearRampToValueAtTime(LOUD[stage], from_s + ATTACK_S);
    gain.gain.setValueAtTime(LOUD[stage], to_s - 4 * ATTACK_S);
    gain.gain.linearRampToValueAtTime(0, to_s);
    tone.connect(gain).connect(context.destination);
    tone.start(from_s);
    tone.stop(to_s);
  }
}

export class Siren {
  constructor(button) {
    this.button = button;
    this.muted = recall("sound") === "off";
    this.played = { first: 0, urgent: 0 };
    this.waiting = 0;
    this.last_ms = -Infinity;
    button.addEventListener("click", () => this.press());
    for (const gesture of ["pointerdown", "keydown"]) document.addEventListener(gesture, (event) => { if (event.target !== button) this.unlock(); }, { capture: true });
    setInterval(() => this.repeat(), REPEAT_MS);
    this.show();
  }

  get state() {
    if (this.muted) return "muted";
    return this.context?.state === "running" ? "on" : "blocked";
  }

  // Allowed only in answer to a key or a click of a person.
  async unlock() {
    if (this.state !== "blocked") return;
    this.context ??= new AudioContext();
    this.context.onstatechange = () => this.show();
    await this.context.resume();
    this.show();
  }

  press() {
    if (this.state === "blocked") this.unlock();
    else this.toggle();
  }

  toggle() {
    this.muted = !this.muted;
    remember("sound", this.muted ? "off" : "on");
    if (this.muted) this.context?.suspend();
    else this.unlock();
    this.show();
  }

  first() {
    const now_ms = performance.now();
    if (now_ms - this.last_ms < FIRST_GAP_MS) return;
    this.last_ms = now_ms;
    this.play("first");
  }

  // How many alerts nobody took on in time.
  setUrgent(count) {
    if (count === this.waiting) return;
    const begins = this.waiting === 0;
    this.waiting = count;
    this.show();
    if (begins) this.repeat();
  }

  repeat() {
    if (this.waiting) this.play("urgent");
  }

  play(stage) {
    if (this.state !== "on") return;
    sound(this.context, stage, this.context.currentTime + 0.02);
    this.played[stage] += 1;
    this.show();
  }

  show() {
    const { button, state } = this;
    const words = { on: "sound on", muted: "SOUND OFF", blocked: "Turn sound on" };
    const says = {
      on: "Alert sound is on. Press to turn it off (m).",
      muted: "Alert sound is off. Press to turn it on (m).",
      blocked: "This browser plays no sound before somebody presses a key or a button on the page. Press to turn alert sound on.",
    };
    Object.assign(button.dataset, { state, first: this.played.first, urgent: this.played.urgent, waiting: this.waiting });
    button.textContent = this.waiting ? `${words[state]} · ${this.waiting} to take on` : words[state];
    button.title = says[state];
    button.setAttribute("aria-label", `${button.textContent}. ${says[state]}`);
  }
}
