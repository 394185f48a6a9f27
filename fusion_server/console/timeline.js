// The rounds in their time: how well each is placed, and every arrival of every node.

import { chosenRound } from "./chosen.js";
import { clock, element, metres } from "./format.js";
import { secondsAfter, signed, timesAreCut } from "./moments.js";
import { onPalette, palette } from "./palette.js";

const AXIS_PX = 84;
const ERRORS_PX = 52;
const SCALE_PX = 18;
const MOST_LANES_PX = 200;
const CLICK_PX = 4;
const NEAR_PX = 14;
const PAD = 0.04;

let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = element("script", { src: "/console/vendor/uplot/uPlot.iife.min.js", on: { load: () => resolve(globalThis.uPlot), error: () => reject(new Error("uPlot could not be loaded")) } });
    document.head.append(script);
  });
  return loading;
}

export class Timeline {
  constructor(root) {
    this.plots = [];
    this.errors = element("div", { class: "errors" });
    this.lanes = element("div", { class: "lanes" });
    this.readout = element("p", { class: "readout quiet", "aria-hidden": "true" });
    this.slider = element("div", { class: "timeline", role: "slider", tabindex: "0", "aria-label": "Round", "aria-orientation": "horizontal", on: { keydown: (event) => this.press(event) } }, this.errors, this.lanes);
    this.table = element("tbody");
    this.asTable = element("details", { class: "as-table" }, element("summary", { text: "Rounds as a table" }), tableOf(this.table));
    root.append(this.slider, element("div", { class: "under" }, this.readout, this.asTable));
    new ResizeObserver(() => requestAnimationFrame(() => this.resize())).observe(this.slider);
    onPalette(() => this.plots.forEach((plot) => plot.redraw()));
  }

  show(incident) {
    const isNew = incident !== this.incident;
    this.incident = incident;
    this.chosen = chosenRound.of(incident);
    this.say();
    if (!isNew) return this.plots.forEach((plot) => plot.redraw(false));
    this.cut = timesAreCut(incident);
    this.marks = marksOf(incident, this.cut);
    this.nodes = lanesOf(this.marks);
    this.fillTable();
    load().then(() => this.incident === incident && this.draw(), (error) => { this.readout.textContent = error.message; });
    return undefined;
  }

  say() {
    const { incident, chosen } = this;
    const shot = incident.shots[chosen];
    const used = shot.arrivals.filter((arrival) => arrival.used).length;
    const words = `round ${chosen + 1} of ${incident.shots.length}, ${clock(shot.time_utc, 3)} UTC, 95 % within ${metres(shot.cep95_m)}, ${used} arrivals used, ${shot.arrivals.length - used} left out`;
    const facts = { "aria-valuemin": 1, "aria-valuemax": incident.shots.length, "aria-valuenow": chosen + 1, "aria-valuetext": words };
    Object.entries(facts).forEach(([name, value]) => this.slider.setAttribute(name, value));
    this.readout.textContent = `${words}. ${this.gap(chosen)}`;
  }

  gap(index) {
    if (index === 0) return "";
    const { shots } = this.incident;
    return `${secondsAfter(shots[index].time_utc, shots[index - 1].time_utc).toFixed(3)} s after the one before.`;
  }

  fillTable() {
    const first = this.incident.shots[0].time_utc;
    this.table.replaceChildren(
      ...this.incident.shots.map((shot, index) => {
        const used = shot.arrivals.filter((arrival) => arrival.used).length;
        const after_s = secondsAfter(shot.time_utc, index ? this.incident.shots[index - 1].time_utc : first);
        const cells = [clock(shot.time_utc, 3), index ? after_s.toFixed(3) : "–", metres(shot.cep95_m), used, shot.arrivals.length - used];
        return element("tr", {}, element("th", { scope: "row", text: index + 1 }), ...cells.map((text) => element("td", { text })));
      }),
    );
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  draw() {
    this.plots.forEach((plot) => plot.destroy());
    this.plots = [];
    const { shots } = this.incident;
    const rounds_s = shots.map((shot) => secondsAfter(shot.time_utc, shots[0].time_utc));
    const times_s = [...rounds_s, ...this.marks.flatMap(({ at_s }) => (at_s === null ? [] : [at_s]))];
    const [low_s, high_s] = [Math.min(...times_s), Math.max(...times_s)];
    const pad_s = Math.max(0.02, PAD * (high_s - low_s));
    const x = [low_s - pad_s, ...rounds_s, high_s + pad_s].sort((a, b) => a - b);
    const most_m = Math.max(...shots.map((shot) => shot.cep95_m));
    this.rounds_s = rounds_s;
    this.lanes.hidden = this.cut;
    this.plots.push(this.plot(this.errors, {
      height: ERRORS_PX + (this.cut ? SCALE_PX : 0),
      x,
      y: { range: [0, 1.5 * most_m] },
      axis: { splits: () => [0, most_m], values: (_, values) => values.map((value) => (value ? metres(value) : "0")) },
      bottom: this.cut,
      draw: (plot) => this.drawErrors(plot),
    }));
    if (this.cut) return;
    const lane_px = Math.max(3, Math.min(12, MOST_LANES_PX / this.nodes.length));
    const every = Math.ceil(10 / lane_px);
    this.plots.push(this.plot(this.lanes, {
      height: Math.round(lane_px * this.nodes.length) + SCALE_PX + 4,
      x,
      y: { range: [-0.6, this.nodes.length - 0.4], dir: -1 },
      axis: { splits: () => this.nodes.map((_, index) => index).filter((index) => index % every === 0), values: (_, values) => values.map((index) => shorten(this.nodes[index])) },
      bottom: true,
      draw: (plot) => this.drawLanes(plot),
    }));
  }

  plot(root, { height, x, y, axis, bottom, draw }) {
    const line = { stroke: () => palette().quiet, grid: { stroke: () => palette().line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const options = {
      width: Math.max(200, root.clientWidth),
      height,
      padding: [4, 8, bottom ? 0 : 7, 0],
      legend: { show: false },
      scales: { x: { time: false }, y },
      cursor: { sync: { key: "rounds", scales: ["x", null] }, points: { show: false }, drag: { x: true, y: false }, y: false },
      axes: [
        { ...line, show: bottom, size: SCALE_PX, gap: 2, values: (_, values) => values.map((value) => `${+value.toFixed(4)} s`) },
        { ...line, ...axis, size: AXIS_PX, gap: 4 },
      ],
      series: [{}, { points: { show: false }, paths: () => null }],
      hooks: { draw: [draw], setCursor: [(plot) => this.hover(plot)] },
    };
    const plot = new globalThis.uPlot(options, [x, x.map(() => null)], root);
    this.listen(plot);
    return plot;
  }

  listen(plot) {
    let from = 0;
    plot.over.addEventListener("pointerdown", (event) => { from = event.clientX; });
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - from) <= CLICK_PX) chosenRound.choose(this.incident, this.nearest(plot, event.offsetX, event.offsetY).round);
    });
  }

  drawErrors(plot) {
    const { ctx } = plot;
    const ratio = devicePixelRatio || 1;
    const colours = palette();
    ctx.save();
    this.incident.shots.forEach((shot, index) => {
      const isChosen = index === this.chosen;
      const at = plot.valToPos(this.rounds_s[index], "x", true);
      const y = (value_m) => plot.valToPos(value_m, "y", true);
      ctx.strokeStyle = ctx.fillStyle = isChosen ? colours.accent : colours.quiet;
      const bar = (width, low_m, high_m) => ctx.fillRect(at - (width * ratio) / 2, y(high_m), width * ratio, y(low_m) - y(high_m));
      bar(isChosen ? 3 : 1.5, 0, shot.cep95_m);
      bar(isChosen ? 8 : 5, 0, shot.cep50_m);
      ctx.fillRect(at - 4 * ratio, y(shot.cep95_m) - ratio, 8 * ratio, 2 * ratio);
      ctx.font = `${isChosen ? 700 : 500} ${11 * ratio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      if (isChosen || this.hasRoom(plot, index)) ctx.fillText(String(index + 1), at, y(shot.cep95_m) - 4 * ratio);
    });
    ctx.restore();
  }

  hasRoom(plot, index) {
    const at = (which) => plot.valToPos(this.rounds_s[which] ?? Infinity, "x");
    return Math.abs(at(index) - at(this.chosen)) > 12 && (index === 0 || at(index) - at(index - 1) > 9);
  }

  drawLanes(plot) {
    const { ctx } = plot;
    const ratio = devicePixelRatio || 1;
    const colours = palette();
    const place = (x, lane) => [plot.valToPos(x, "x", true), plot.valToPos(lane, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    const [at] = place(this.rounds_s[this.chosen], 0);
    ctx.strokeStyle = colours.accent;
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    line(ctx, [[at, plot.bbox.top], [at, plot.bbox.top + plot.bbox.height]]);
    ctx.setLineDash([]);
    const due = this.marks.filter((mark) => mark.round === this.chosen && mark.due_s !== null).sort((a, b) => a.lane - b.lane);
    ctx.globalAlpha = 0.6;
    line(ctx, due.map((mark) => place(mark.due_s, mark.lane)));
    for (const isChosen of [false, true]) {
      ctx.globalAlpha = isChosen ? 1 : 0.55;
      for (const mark of this.marks) if ((mark.round === this.chosen) === isChosen) drawMark(ctx, place(mark.at_s, mark.lane), mark, (isChosen ? 3.4 : 2.4) * ratio, colours);
    }
    ctx.restore();
  }

  resize() {
    const width = this.slider.clientWidth;
    for (const plot of this.plots) if (width && plot.width !== width) plot.setSize({ width, height: plot.height });
  }

  // --- pointing ---------------------------------------------------------------------------------------------------

  nearest(plot, x, y) {
    let found = { round: 0, distance: Infinity };
    this.rounds_s.forEach((time_s, round) => {
      const distance = Math.abs(plot.valToPos(time_s, "x") - x);
      if (distance < found.distance) found = { round, distance };
    });
    if (plot !== this.plots[1]) return found;
    let best = NEAR_PX;
    for (const mark of this.marks) {
      const distance = Math.hypot(plot.valToPos(mark.at_s, "x") - x, plot.valToPos(mark.lane, "y") - y);
      if (distance < best) [best, found] = [distance, { round: mark.round, mark }];
    }
    return found;
  }

  hover(plot) {
    const { left, top } = plot.cursor;
    if (left < 0 || top < 0 || plot !== this.plots[1]) return;
    const { mark } = this.nearest(plot, left, top);
    if (!mark) return this.say();
    const residual = mark.residual_s === null ? "" : `, residual ${signed(1000 * mark.residual_s)} ms`;
    this.readout.textContent = `${mark.node}, round ${mark.round + 1}: ${clock(mark.time_utc, 4)} UTC${residual}, ${mark.used ? "used" : `left out: ${mark.reason || "no reason kept"}`}`;
    return undefined;
  }

  press(event) {
    const { shots } = this.incident ?? { shots: [] };
    const wanted = { ArrowRight: this.chosen + 1, ArrowUp: this.chosen + 1, ArrowLeft: this.chosen - 1, ArrowDown: this.chosen - 1, Home: 0, End: shots.length - 1 }[event.key];
    if (wanted === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    chosenRound.choose(this.incident, wanted);
  }
}

function tableOf(body) {
  const head = ["round", "time UTC", "s after the one before", "95 % within", "used", "left out"];
  return element("table", {}, element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col", text })))), body);
}

function marksOf(incident, cut) {
  if (cut) return [];
  const first = incident.shots[0].time_utc;
  return incident.shots.flatMap((shot, round) =>
    shot.arrivals.map(({ node, time_utc, residual_s, used, reason }) => {
      const at_s = secondsAfter(time_utc, first);
      const residual = residual_s ?? null;
      return { round, node, time_utc, at_s, due_s: residual === null ? null : at_s - residual, after_s: secondsAfter(time_utc, shot.time_utc), residual_s: residual, used, reason };
    }),
  );
}

// The nodes, nearest to the shots first; gives each mark its lane.
function lanesOf(marks) {
  const nodes = nearestFirst(marks);
  const lane = new Map(nodes.map((node, index) => [node, index]));
  marks.forEach((mark) => { mark.lane = lane.get(mark.node); });
  return nodes;
}

export function nearestFirst(marks) {
  const soonest = new Map();
  for (const { node, after_s } of marks) soonest.set(node, Math.min(after_s ?? Infinity, soonest.get(node) ?? Infinity));
  return [...soonest].sort(([a, x], [b, y]) => (x === y ? (a < b ? -1 : 1) : x - y)).map(([node]) => node);
}

// The end of a long name: there the names of one network differ.
export const shorten = (name) => (name.length > 11 ? `…${name.slice(-9)}` : name);

function line(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

// Used: a filled circle. Left out: a cross. Told apart without colour.
function drawMark(ctx, [x, y], { used }, size, colours) {
  ctx.fillStyle = ctx.strokeStyle = used ? colours.used : colours.rejected;
  ctx.lineWidth = size / 1.7;
  ctx.beginPath();
  if (used) {
    ctx.arc(x, y, size, 0, 2 * Math.PI);
    ctx.fill();
    return;
  }
  ctx.moveTo(x - size, y - size);
  ctx.lineTo(x + size, y + size);
  ctx.moveTo(x + size, y - size);
  ctx.lineTo(x - size, y + size);
  ctx.stroke();
}
