// The map: nodes where they were surveyed, incidents where they were heard. Metres, north up.

import { clock, metres, roles, rounds, svg } from "./format.js";

const STEPS_PER_DECADE = [1, 2, 5];
const BAR_PX = 120;
const GRID_PX = 90;
const MARGIN_PX = 60;
const NEAREST_M = 40;

export const WORDS = {
  used: "heard, used in the fix",
  rejected: "heard, left out",
  unheard: "did not hear it",
  silent: "silent: no word from the node",
};

export class ShotMap {
  constructor(root, { onSelect }) {
    this.root = root;
    this.onSelect = onSelect;
    this.nodes = [];
    this.incidents = [];
    this.selected = null;
    this.view = null;
    this.size = { width: 600, height: 400 };
    new ResizeObserver(() => this.resize()).observe(root);
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.grab(event));
    root.addEventListener("keydown", (event) => this.key(event));
    this.resize();
  }

  show({ nodes = this.nodes, incidents = this.incidents, selected = this.selected }) {
    const first = this.nodes.length === 0 && nodes.length > 0;
    Object.assign(this, { nodes, incidents, selected });
    if (first || this.view === null) this.zoomAll();
    else this.draw();
  }

  resize() {
    const box = this.root.getBoundingClientRect();
    if (!box.width || !box.height) return;
    this.size = { width: box.width, height: box.height };
    this.root.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    if (this.moved || this.view === null) this.draw();
    else this.zoomAll();
  }

  zoomAll() {
    const points = this.nodes.filter((node) => node.x_m !== undefined && node.x_m !== null);
    this.moved = false;
    this.frame([...points, ...(this.selected ? [this.selected] : [])]);
  }

  zoomIncident() {
    if (!this.selected) return;
    this.moved = true;
    const reach_m = Math.max(NEAREST_M, 3 * this.selected.ellipse95.semi_major_m);
    const { x_m, y_m } = this.selected;
    this.frame([
      { x_m: x_m - reach_m, y_m: y_m - reach_m },
      { x_m: x_m + reach_m, y_m: y_m + reach_m },
    ]);
  }

  frame(points) {
    const xs = points.length ? points.map((point) => point.x_m) : [-100, 100];
    const ys = points.length ? points.map((point) => point.y_m) : [-100, 100];
    const [west, east, south, north] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const { width, height } = this.size;
    const scale = Math.min(
      Math.max(50, width - 2 * MARGIN_PX) / Math.max(east - west, 1),
      Math.max(50, height - 2 * MARGIN_PX) / Math.max(north - south, 1),
    );
    this.view = { x_m: (west + east) / 2, y_m: (south + north) / 2, px_per_m: scale };
    this.draw();
  }

  x(x_m) { return this.size.width / 2 + (x_m - this.view.x_m) * this.view.px_per_m; }

  y(y_m) { return this.size.height / 2 - (y_m - this.view.y_m) * this.view.px_per_m; }

  zoom(factor, at = { x: this.size.width / 2, y: this.size.height / 2 }) {
    if (!this.view) return;
    this.moved = true;
    const px_per_m = Math.min(200, Math.max(0.002, this.view.px_per_m * factor));
    const [dx, dy] = [at.x - this.size.width / 2, at.y - this.size.height / 2];
    const change = 1 / this.view.px_per_m - 1 / px_per_m;
    this.view = { x_m: this.view.x_m + dx * change, y_m: this.view.y_m - dy * change, px_per_m };
    this.draw();
  }

  pan(dx, dy) {
    if (!this.view) return;
    this.moved = true;
    this.view.x_m -= dx / this.view.px_per_m;
    this.view.y_m += dy / this.view.px_per_m;
    this.draw();
  }

  // What is seen, in metres; null before anything is.
  bounds() {
    if (!this.view) return null;
    const { x_m, y_m, px_per_m } = this.view;
    const [half_x_m, half_y_m] = [this.size.width / 2 / px_per_m, this.size.height / 2 / px_per_m];
    return { west_m: x_m - half_x_m, east_m: x_m + half_x_m, south_m: y_m - half_y_m, north_m: y_m + half_y_m };
  }

  wheel(event) {
    event.preventDefault();
    const box = this.root.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * 0.0015), { x: event.clientX - box.left, y: event.clientY - box.top });
  }

  grab(event) {
    if (event.button !== 0 || event.target.closest("[data-incident]")) return;
    let [x, y] = [event.clientX, event.clientY];
    const move = (next) => {
      this.pan(next.clientX - x, next.clientY - y);
      [x, y] = [next.clientX, next.clientY];
    };
    const end = () => {
      this.root.removeEventListener("pointermove", move);
      this.root.classList.remove("grabbed");
    };
    this.root.setPointerCapture(event.pointerId);
    this.root.classList.add("grabbed");
    this.root.addEventListener("pointermove", move);
    this.root.addEventListener("pointerup", end, { once: true });
    this.root.addEventListener("pointercancel", end, { once: true });
  }

  key(event) {
    const acts = {
      ArrowLeft: () => this.pan(60, 0),
      ArrowRight: () => this.pan(-60, 0),
      ArrowUp: () => this.pan(0, 60),
      ArrowDown: () => this.pan(0, -60),
      "+": () => this.zoom(1.5),
      "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5),
      0: () => this.zoomAll(),
      Enter: () => this.zoomIncident(),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target !== this.root) return;
    event.preventDefault();
    acts[event.key]();
  }

  draw() {
    if (!this.view) return;
    this.root.replaceChildren(
      this.grid(),
      this.others(),
      this.spokes(),
      this.ellipse(),
      this.nodeMarks(),
      this.roundMarks(),
      this.target(),
      this.scaleBar(),
      this.north(),
    );
  }

  grid() {
    const step_m = roundLength(GRID_PX / this.view.px_per_m);
    const { width, height } = this.size;
    const group = svg("g", { class: "grid", "aria-hidden": "true" });
    const west_m = this.view.x_m - width / 2 / this.view.px_per_m;
    const south_m = this.view.y_m - height / 2 / this.view.px_per_m;
    for (let x_m = Math.ceil(west_m / step_m) * step_m; this.x(x_m) <= width; x_m += step_m) {
      group.append(svg("line", { x1: this.x(x_m), x2: this.x(x_m), y1: 0, y2: height }));
    }
    for (let y_m = Math.ceil(south_m / step_m) * step_m; this.y(y_m) >= 0; y_m += step_m) {
      group.append(svg("line", { x1: 0, x2: width, y1: this.y(y_m), y2: this.y(y_m) }));
    }
    return group;
  }

  others() {
    const group = svg("g", { class: "others" });
    for (const incident of this.incidents) {
      if (incident.id === this.selected?.id) continue;
      const mark = svg(
        "g",
        { "data-incident": incident.id, transform: `translate(${this.x(incident.x_m)} ${this.y(incident.y_m)})` },
        svg("circle", { r: 6 }),
        svg("title", { text: `${rounds(incident.rounds)}, ${clock(incident.time_utc)} UTC` }),
      );
      mark.addEventListener("click", () => this.onSelect(incident.id));
      group.append(mark);
    }
    return group;
  }

  spokes() {
    const group = svg("g", { class: "spokes", "aria-hidden": "true" });
    if (!this.selected) return group;
    const role = roles(this.selected);
    for (const node of this.placed()) {
      if (!role.has(node.node)) continue;
      group.append(
        svg("line", {
          class: role.get(node.node),
          x1: this.x(this.selected.x_m), y1: this.y(this.selected.y_m), x2: this.x(node.x_m), y2: this.y(node.y_m),
        }),
      );
    }
    return group;
  }

  ellipse() {
    if (!this.selected) return svg("g");
    const { semi_major_m, semi_minor_m, orientation_deg } = this.selected.ellipse95;
    const [x, y] = [this.x(this.selected.x_m), this.y(this.selected.y_m)];
    return svg(
      "ellipse",
      {
        class: "ellipse", id: "ellipse95", cx: x, cy: y,
        rx: Math.max(semi_minor_m * this.view.px_per_m, 0.5), ry: Math.max(semi_major_m * this.view.px_per_m, 0.5),
        transform: `rotate(${orientation_deg} ${x} ${y})`,
      },
      svg("title", { text: `95 % ellipse, ${metres(2 * semi_major_m)} by ${metres(2 * semi_minor_m)}` }),
    );
  }

  nodeMarks() {
    const group = svg("g", { class: "nodes" });
    const role = roles(this.selected);
    const taken = [];
    for (const node of this.placed()) {
      const kind = role.get(node.node) ?? (node.silent ? "silent" : "unheard");
      const [x, y] = [this.x(node.x_m), this.y(node.y_m)];
      const mark = svg("g", {
        class: `node ${kind}`, "data-node": node.node, "data-role": kind, transform: `translate(${x} ${y})`, role: "img",
        "aria-label": `node ${node.node}: ${WORDS[kind]}`,
      });
      mark.append(...nodeShape(kind), svg("title", { text: `${node.node}: ${WORDS[kind]}` }));
      const width = 6.6 * node.node.length;
      const box = { left: x + 11, right: x + 11 + width, top: y - 8, bottom: y + 8 };
      if (!taken.some((other) => overlaps(box, other))) {
        taken.push(box);
        mark.append(svg("text", { x: 11, y: 4, text: node.node }));
      }
      group.append(mark);
    }
    return group;
  }

  roundMarks() {
    const group = svg("g", { class: "rounds" });
    for (const [index, shot] of (this.selected?.shots ?? []).entries()) {
      group.append(
        svg(
          "g",
          { "data-round": index + 1, transform: `translate(${this.x(shot.x_m)} ${this.y(shot.y_m)})` },
          svg("circle", { r: 3 }),
          svg("title", { text: `round ${index + 1} at ${clock(shot.time_utc, 3)} UTC` }),
        ),
      );
    }
    return group;
  }

  target() {
    if (!this.selected) return svg("g");
    const at = `translate(${this.x(this.selected.x_m)} ${this.y(this.selected.y_m)})`;
    return svg(
      "g",
      { class: "target", transform: at, "aria-hidden": "true" },
      this.selected.ellipse95.semi_major_m * this.view.px_per_m < 14 ? svg("circle", { r: 14 }) : null,
      svg("path", { d: "M0 -20V-9M0 20V9M-20 0H-9M20 0H9" }),
    );
  }

  scaleBar() {
    const length_m = roundLength(BAR_PX / this.view.px_per_m);
    const width = length_m * this.view.px_per_m;
    return svg(
      "g",
      { class: "scale", transform: `translate(16 ${this.size.height - 18})`, role: "img", "aria-label": `Scale bar: ${metres(length_m)}` },
      svg("path", { d: `M0 -6V0H${width}V-6` }),
      svg("text", { x: width / 2, y: -6, "text-anchor": "middle", text: length_m < 1000 ? `${length_m} m` : `${length_m / 1000} km` }),
    );
  }

  north() {
    return svg(
      "g",
      { class: "north", transform: `translate(${this.size.width - 26} 34)`, role: "img", "aria-label": "North is up" },
      svg("path", { d: "M0 -18L7 8L0 3L-7 8Z" }),
      svg("text", { y: 22, "text-anchor": "middle", text: "N" }),
    );
  }

  placed() {
    return this.nodes.filter((node) => node.x_m !== null && node.x_m !== undefined);
  }
}

// Shapes differ as well as colours, for eyes that do not tell the colours apart.
export function nodeShape(kind) {
  if (kind === "used") return [svg("circle", { r: 6.5 })];
  if (kind === "rejected") return [svg("rect", { x: -5.5, y: -5.5, width: 11, height: 11, transform: "rotate(45)" })];
  if (kind === "silent") return [svg("circle", { r: 6 }), svg("path", { d: "M-3 -3L3 3M-3 3L3 -3" })];
  return [svg("circle", { r: 6 })];
}

function roundLength(about_m) {
  const decade = 10 ** Math.floor(Math.log10(about_m));
  const step = STEPS_PER_DECADE.filter((candidate) => candidate * decade <= about_m).pop() ?? 1;
  return step * decade;
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
