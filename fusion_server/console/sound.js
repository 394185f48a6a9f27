// What an incident rests on, to see and to hear: rounds in their time, the sound of all nodes aligned, one spectrogram.

import { chosenRound } from "./chosen.js";
import { ClipLoader, clipLists } from "./clips.js";
import { element, rounds } from "./format.js";
import { secondsAfter } from "./moments.js";
import { onPalette } from "./palette.js";
import { Player } from "./player.js";
import { rowsOf } from "./soundrows.js";
import { spectrogram } from "./spectrum.js";
import { Timeline, shorten } from "./timeline.js";
import { drawAxis, drawSpectrum, drawWave } from "./waves.js";

const SETTLE_MS = 200;
const POLL_MS = 4000;
const MOST_POLLS = 15;
const WINDOWS_S = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
const BEFORE = 0.2;
const CLIP_S = 2;
const ROW_PX = 34;
const AXIS_PX = 20;
const SPECTRUM_PX = 150;
const COLUMNS = 600;

export class Sound {
  constructor(root) {
    this.root = root;
    this.loader = new ClipLoader();
    this.player = new Player({ onFrame: (at_s) => this.moveHeads(at_s), onEnd: () => this.ended() });
    this.rows = [];
    this.isByHand = false;
    this.sounds = new Map();
    this.dirty = new Set();
    this.zoom = 4;
    this.common = false;
    this.node = "";
    this.width = 0;
    this.build();
    this.seen = new IntersectionObserver((entries) => this.see(entries), { root: null, rootMargin: "120px" });
    new ResizeObserver(() => requestAnimationFrame(() => this.resize())).observe(this.list);
    this.seen.observe(this.spectrum);
    chosenRound.addEventListener("change", () => this.turn());
    onPalette(() => this.redraw());
    root.addEventListener("keydown", (event) => this.press(event));
  }

  // --- the page ---------------------------------------------------------------------------------------------------

  build() {
    this.title = element("h2", { id: "sound-title", text: "Rounds and sound" });
    this.facts = element("p", { class: "quiet" });
    this.body = element("div", { class: "sound-body", hidden: true });
    this.root.setAttribute("aria-labelledby", "sound-title");
    this.tools = this.buildTools();
    this.root.replaceChildren(element("div", { class: "sound-head" }, this.title, this.facts, this.tools), this.body);
    this.timeline = new Timeline(this.body);
    this.note = element("p", { class: "note", role: "status" });
    this.list = element("div", { class: "waves", role: "listbox", tabindex: "0", "aria-label": "Sound by node. Up and down or digits choose a node, left and right a round, space plays it, shift and space plays all aligned, plus and minus zoom." });
    this.axis = element("canvas", { class: "axis", "aria-hidden": "true" });
    this.axisRow = element("div", { class: "axis-row" }, element("span", { class: "quiet", text: "" }), this.axis, element("span"));
    this.head = element("div", { class: "playhead", hidden: true });
    this.spectrum = element("canvas", { class: "spectrum", role: "img", "aria-label": "Spectrogram" });
    this.spectrumHead = element("div", { class: "playhead", hidden: true });
    this.spectrumTitle = element("h3", {});
    this.picture = element("figure", { class: "spectrogram", hidden: true }, element("figcaption", {}, this.spectrumTitle), element("div", { class: "sheet-of-sound" }, this.spectrum, this.spectrumHead));
    this.key = element("p", { class: "quiet key" }, ...KEY.map(([mark, text]) => element("span", { "data-mark": mark, text })));
    this.hearing = element("div", { class: "hearing" }, this.note, element("div", { class: "wave-frame" }, this.list, this.head, this.axisRow), this.key, this.picture);
    this.body.append(this.hearing);
  }

  buildTools() {
    const button = (name, label, click, title = "") => element("button", { type: "button", "data-do": name, title, text: label, on: { click } });
    this.zoomSays = element("span", { class: "quiet zoom" });
    this.file = element("a", { class: "file", download: true, text: "FLAC" });
    return element(
      "div",
      { class: "sound-tools", role: "toolbar", "aria-label": "Sound", hidden: true },
      button("one", "▶ Node", () => this.play(false), "Play the chosen node (space)"),
      button("all", "▶ All", () => this.play(true), "Play all nodes, aligned (shift and space)"),
      button("scale", "Common scale", () => this.setCommon(!this.common), "One scale for all nodes, or each to its own peak"),
      button("out", "−", () => this.setZoom(this.zoom + 1), "Show more time (−)"),
      this.zoomSays,
      button("in", "+", () => this.setZoom(this.zoom - 1), "Show less time (+)"),
      this.file,
    );
  }

  focus() {
    this.list.focus();
  }

  // --- what is shown ----------------------------------------------------------------------------------------------

  // Without an incident, or before its rounds are known, what is there is dimmed: a jump of the page would help nobody.
  show(incident) {
    this.root.classList.toggle("waits", !incident?.shots?.length);
    if (!incident?.shots?.length) {
      this.player.stop();
      return;
    }
    const isSame = incident.id === this.incident?.id;
    if (isSame && incident === this.incident) return;
    const isNewer = isSame && incident.revision !== this.incident.revision;
    this.incident = incident;
    this.round = chosenRound.of(incident);
    this.body.hidden = this.tools.hidden = false;
    this.facts.textContent = factsOf(incident);
    if (!isSame) this.forget();
    this.timeline.show(incident);
    this.redo();
    if (!isSame || isNewer) this.listSoon();
  }

  forget() {
    this.player.stop();
    this.loader.stop();
    this.answer = null;
    this.refusal = "";
    this.sounds.clear();
    this.isByHand = false;
  }

  listSoon() {
    clearTimeout(this.timer);
    this.polls = 0;
    this.timer = setTimeout(() => this.relist(), SETTLE_MS);
  }

  async relist() {
    const { id } = this.incident;
    try {
      const answer = await this.loader.list(id);
      if (id !== this.incident.id) return;
      this.refusal = "";
      const isNews = JSON.stringify(answer) !== JSON.stringify(this.answer);
      this.answer = answer;
      if (isNews) {
        clipLists.set(id, answer);
        this.redo();
      }
    } catch (error) {
      if (error.name === "AbortError" || id !== this.incident.id) return;
      this.refusal = error.status === 403 ? "This role may not listen to sound." : `The sound cannot be listed: ${error.message}`;
      this.redo();
      return;
    }
    this.polls += 1;
    if (this.isWaiting() && this.polls < MOST_POLLS) this.timer = setTimeout(() => this.relist(), POLL_MS);
  }

  isWaiting() {
    const known = new Set([...this.answer.clips, ...this.answer.refused].map(({ node }) => node));
    return this.incident.shots.some((shot) => shot.arrivals.some(({ node, used }) => used && !known.has(node)));
  }

  turn() {
    if (!this.incident) return;
    this.round = chosenRound.of(this.incident);
    this.timeline.show(this.incident);
    this.player.stop();
    this.redo();
  }

  // Rows are made again only when their nodes are others; a new round changes what is in them.
  redo() {
    const wanted = this.refusal ? [] : rowsOf(this.incident, this.answer, this.round);
    const isSame = wanted.length === this.rows.length && wanted.every(({ node }, index) => node === this.rows[index].node);
    if (!isSame) this.makeRows(wanted);
    wanted.forEach((row, index) => Object.assign(this.rows[index], row));
    const byHand = this.isByHand && this.rows.some(({ node }) => node === this.node);
    if (!byHand) this.node = (this.rows.find(({ clip }) => clip) ?? this.rows[0])?.node ?? "";
    this.note.textContent = this.says();
    this.hearing.classList.toggle("unaligned", this.cut);
    this.rows.forEach((row) => this.fill(row));
    this.list.hidden = this.axisRow.hidden = this.rows.length === 0;
    this.enable();
    this.redraw();
  }

  get cut() {
    return this.answer?.times_cut ?? false;
  }

  says() {
    if (this.refusal) return this.refusal;
    if (!this.answer) return "";
    if (!this.answer.clips.length && !this.answer.refused.length && !this.isWaiting()) return "No sound is kept of this incident.";
    if (this.cut) return "This role may not know where sensors are, so times are cut: the sound is not aligned and picks are not shown. Each clip can be played.";
    return "";
  }

  makeRows(wanted) {
    this.rows.forEach((row) => this.seen.unobserve(row.canvas));
    this.rows = wanted.map(({ node }, index) => {
      const canvas = element("canvas", { "aria-hidden": "true" });
      const digit = index < 9 ? element("kbd", { "aria-hidden": "true", text: index + 1 }) : null;
      const name = element("span", { class: "name" }, digit, element("strong", { text: shorten(node), title: node }));
      const says = element("span", { class: "row-says" });
      const option = element("div", { role: "option", id: `wave-${index}`, "data-node": node, on: { click: () => this.choose(node), dblclick: () => this.play(false) } }, name, element("div", { class: "wave" }, canvas), says);
      const row = { node, canvas, option, saysAt: says, visible: false };
      canvas.row = row;
      return row;
    });
    this.list.replaceChildren(...this.rows.map(({ option }) => option));
    this.rows.forEach(({ canvas }) => this.seen.observe(canvas));
    this.width = 0;
  }

  fill(row) {
    const isChosen = row.node === this.node;
    row.option.setAttribute("aria-selected", isChosen ? "true" : "false");
    if (isChosen) this.list.setAttribute("aria-activedescendant", row.option.id);
    const sound = this.soundOf(row);
    row.option.dataset.state = row.clip ? (row.failed ? "failed" : sound ? "drawn" : "loading") : "missing";
    const peak = sound ? `peak ${peak_db(sound.peak)}` : "";
    const trouble = row.missing || row.failed || (row.clip?.digest_ok === false ? "not the sound announced" : "");
    const lines = [row.says, trouble || peak].filter(Boolean);
    row.saysAt.title = lines.join("; ");
    row.saysAt.replaceChildren(...lines.map((text, index) => element("span", { class: index ? "quiet" : "", text })));
    row.option.setAttribute("aria-label", [row.node, row.says, trouble, peak].filter(Boolean).join(", "));
    row.option.classList.toggle("left-out", Boolean(row.main?.detection && !row.main.used));
  }

  enable() {
    const row = this.chosen;
    const find = (name) => this.tools.querySelector(`[data-do="${name}"]`);
    find("one").disabled = !row?.clip;
    find("all").disabled = this.cut || !this.rows.some(({ clip, aligned }) => clip && aligned);
    find("scale").setAttribute("aria-pressed", this.common ? "true" : "false");
    find("in").disabled = this.cut || this.zoom === 0;
    find("out").disabled = this.cut || this.zoom === WINDOWS_S.length - 1;
    this.zoomSays.textContent = this.cut ? `${CLIP_S} s` : `${1000 * WINDOWS_S[this.zoom]} ms`;
    this.file.hidden = !row?.clip;
    if (row?.clip) {
      this.file.href = row.clip.href;
      this.file.download = `${row.clip.detection.replaceAll("/", "-")}.flac`;
      this.file.setAttribute("aria-label", `Save the clip of ${row.node} as FLAC`);
    }
    find("one").textContent = this.player.playing && !this.playsAll ? "■ Stop" : `▶ ${row?.clip ? row.node : "Node"}`;
    find("all").textContent = this.player.playing && this.playsAll ? "■ Stop" : "▶ All";
  }

  get chosen() {
    return this.rows.find(({ node }) => node === this.node);
  }

  soundOf(row) {
    return row.clip ? this.sounds.get(row.clip.sha256) : undefined;
  }

  // --- drawing: what is seen, once a frame -------------------------------------------------------------------------

  see(entries) {
    for (const { target, isIntersecting } of entries) {
      if (target === this.spectrum) this.spectrumSeen = isIntersecting;
      else target.row.visible = isIntersecting;
      if (isIntersecting) this.soon(target.row ?? "spectrum");
    }
  }

  resize() {
    const width = this.rows[0]?.canvas.clientWidth ?? 0;
    if (!width || width === this.width) return;
    this.width = width;
    this.redraw();
  }

  redraw() {
    this.rows.forEach((row) => this.soon(row));
    this.soon("axis");
    this.soon("spectrum");
  }

  soon(part) {
    if (this.dirty.size === 0) requestAnimationFrame(() => this.paint());
    this.dirty.add(part);
  }

  paint() {
    if (!this.width) this.width = this.rows[0]?.canvas.clientWidth ?? 0;
    const parts = [...this.dirty];
    this.dirty.clear();
    if (!this.width) return;
    const full = this.full();
    for (const part of parts) {
      if (part === "axis") drawAxis(this.axis, { width: this.width, height: AXIS_PX }, this.view);
      else if (part === "spectrum") this.paintSpectrum();
      else if (part.visible) this.paintRow(part, full);
    }
  }

  full() {
    return this.common ? Math.max(1e-9, ...this.rows.map((row) => this.soundOf(row)?.peak ?? 0)) : 0;
  }

  get view() {
    const window_s = WINDOWS_S[this.zoom];
    return this.cut ? { from_s: 0, to_s: CLIP_S } : { from_s: -BEFORE * window_s, to_s: (1 - BEFORE) * window_s };
  }

  paintRow(row, full) {
    const sound = this.soundOf(row);
    if (row.clip && !sound && !row.failed) this.want(row);
    drawWave(row.canvas, { width: this.width, height: ROW_PX }, {
      sound, start_s: row.start_s, view: this.view, full: full || (sound?.peak ?? 0), marks: row.marks, aligned: row.aligned, isUsed: row.isUsed,
    });
  }

  async want(row) {
    const { clip } = row;
    const asked = (this.asked ??= new Set());
    if (asked.has(clip.sha256)) return undefined;
    asked.add(clip.sha256);
    try {
      const sound = await this.loader.sound(clip);
      const before = this.full();
      this.sounds.set(clip.sha256, sound);
      if (this.common && this.full() !== before) this.rows.forEach((other) => this.soon(other));
    } catch (error) {
      if (error.name !== "AbortError") row.failed = `cannot be heard: ${error.message}`;
    }
    asked.delete(clip.sha256);
    if (row.clip?.sha256 !== clip.sha256) return undefined;
    this.fill(row);
    this.soon(row);
    if (row.node === this.node) this.soon("spectrum");
    return this.sounds.get(clip.sha256);
  }

  paintSpectrum() {
    const row = this.chosen;
    const sound = row && this.soundOf(row);
    this.picture.hidden = !sound;
    if (!sound) return row?.clip && !row.failed && this.want(row);
    sound.spectrogram ??= spectrogram(sound.buffer, COLUMNS);
    const made = sound.spectrogram;
    const main = row.marks.find((mark) => mark.main);
    const size = { width: this.spectrum.clientWidth, height: SPECTRUM_PX };
    this.spectrumBox = drawSpectrum(this.spectrum, size, { made, start_s: row.start_s, view: this.view, at_s: main?.at_s ?? null });
    const { time_s, frequency_hz } = made.strongest;
    this.spectrumTitle.textContent = `Spectrogram of ${row.node}`;
    this.spectrum.setAttribute(
      "aria-label",
      `Spectrogram of ${row.node}, ${made.duration_s.toFixed(1)} s up to ${(made.rate_hz / 2000).toFixed(0)} kHz: strongest at ${(frequency_hz / 1000).toFixed(1)} kHz, ${(1000 * (row.start_s + time_s)).toFixed(0)} ms ${this.cut ? "after the clip's start" : "after the predicted arrival"}.`,
    );
    return undefined;
  }

  // --- playing ----------------------------------------------------------------------------------------------------

  async play(all) {
    const isStop = this.player.playing && this.playsAll === all;
    this.player.stop();
    if (isStop) return;
    const wanted = (all ? this.rows.filter(({ clip, aligned }) => clip && aligned) : [this.chosen]).filter((row) => row?.clip);
    const sounds = await Promise.all(wanted.map((row) => this.soundOf(row) ?? this.loader.sound(row.clip).catch(() => null)));
    const tracks = wanted.map((row, index) => ({ sound: sounds[index], start_s: row.start_s })).filter(({ sound }) => sound);
    if (!tracks.length) return;
    this.playsAll = all;
    this.player.play(tracks, { common: this.common });
    this.root.dataset.playing = all ? "all" : this.node;
    this.enable();
  }

  ended() {
    delete this.root.dataset.playing;
    this.head.hidden = this.spectrumHead.hidden = true;
    this.enable();
  }

  moveHeads(at_s) {
    const { from_s, to_s } = this.view;
    const share = (at_s - from_s) / (to_s - from_s);
    const isIn = share >= 0 && share <= 1;
    const { canvas, option } = this.chosen;
    this.head.hidden = !isIn;
    if (isIn) {
      const top_px = this.playsAll ? 0 : option.offsetTop;
      const left_px = canvas.parentElement.offsetLeft + share * this.width;
      this.head.style.transform = `translate(${left_px}px, ${top_px}px)`;
      this.head.style.height = `${this.playsAll ? this.list.offsetHeight : ROW_PX}px`;
    }
    const box = this.spectrumBox;
    this.spectrumHead.hidden = !box || this.picture.hidden;
    if (!box) return;
    const x = box.left + ((at_s - box.from_s) / (box.to_s - box.from_s)) * box.width;
    this.spectrumHead.style.transform = `translate(${Math.max(box.left, Math.min(x, box.left + box.width))}px, 4px)`;
  }

  // --- by hand ----------------------------------------------------------------------------------------------------

  choose(node) {
    this.isByHand = true;
    if (node === this.node) return;
    const before = this.chosen;
    this.node = node;
    if (this.player.playing && !this.playsAll) this.player.stop();
    [before, this.chosen].forEach((row) => row && this.fill(row));
    this.enable();
    this.soon("spectrum");
  }

  step(by) {
    const at = this.rows.findIndex(({ node }) => node === this.node);
    const row = this.rows[Math.max(0, Math.min(this.rows.length - 1, at + by))];
    if (!row) return;
    this.choose(row.node);
    row.option.scrollIntoView({ block: "nearest" });
  }

  setCommon(common) {
    this.common = common;
    this.enable();
    this.redraw();
  }

  setZoom(zoom) {
    if (this.cut) return;
    this.zoom = Math.max(0, Math.min(WINDOWS_S.length - 1, zoom));
    this.enable();
    this.redraw();
  }

  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const isOwn = event.target.closest("button, a, summary");
    const act = this.actOf(event);
    if (!act || (isOwn && [" ", "Enter"].includes(event.key))) return;
    event.preventDefault();
    act();
  }

  actOf({ key, shiftKey }) {
    if (/^[1-9]$/.test(key)) return () => this.rows[key - 1] && this.choose(this.rows[key - 1].node);
    return {
      " ": () => this.play(shiftKey),
      ArrowDown: () => this.step(1),
      ArrowUp: () => this.step(-1),
      ArrowRight: () => chosenRound.choose(this.incident, this.round + 1),
      ArrowLeft: () => chosenRound.choose(this.incident, this.round - 1),
      Home: () => this.step(-this.rows.length),
      End: () => this.step(this.rows.length),
      "+": () => this.setZoom(this.zoom - 1),
      "-": () => this.setZoom(this.zoom + 1),
    }[key];
  }
}

const KEY = [
  ["zero", "predicted arrival"],
  ["pick", "pick, used"],
  ["left-out", "pick, left out"],
  ["other", "pick of another round"],
];

const peak_db = (peak) => `${Math.round(20 * Math.log10(Math.max(peak, 1e-6))).toFixed(0).replace("-", "−")} dBFS`;

function factsOf(incident) {
  const { shots } = incident;
  const span_s = secondsAfter(shots.at(-1).time_utc, shots[0].time_utc);
  const parts = [rounds(shots.length)];
  if (shots.length > 1) parts.push(`in ${span_s.toFixed(2)} s`);
  if (incident.cadence_rounds_per_min !== undefined) parts.push(`${incident.cadence_rounds_per_min.toFixed(0)} rounds/min`);
  return parts.join(", ");
}
