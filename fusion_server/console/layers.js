// What else the map can show, and the control that chooses it: node health, coverage, a basemap.

import { Basemap } from "./basemap.js";
import { Coverage } from "./coverage.js";
import { element, svg } from "./format.js";
import { healthShape } from "./marks.js";
import { PlanLayer } from "./plan.js";

const KEPT = "shotline.layers";
const HEALTH_WORDS = { ok: "well", warn: "a check warns", fail: "a check fails, or silent", unknown: "said nothing yet" };

export class Layers {
  constructor(map) {
    this.map = map;
    this.on = { health: false, coverage: false, plan: false, basemap: true, ...kept() };
    this.coverage = new Coverage(map);
    this.plan = new PlanLayer(map);
    this.basemap = new Basemap(map);
    this.boxes = {
      health: this.box("health", "Node health", this.healthKey()),
      coverage: this.box("coverage", "Coverage", this.coverage.key),
      plan: this.box("plan", "Plan", this.plan.key),
      basemap: this.box("basemap", "Basemap", this.basemap.note),
    };
    this.boxes.basemap.hidden = true;
    const icon = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: "M10 2L18 6.5L10 11L2 6.5ZM2 10.2L10 14.7L18 10.2M2 13.9L10 18.4L18 13.9" }));
    const control = element(
      "details",
      { class: "layers" },
      element("summary", { "aria-label": "Layers of the map", title: "Layers" }, icon),
      element("div", { class: "choices" }, ...Object.values(this.boxes)),
    );
    window.L.DomEvent.disableClickPropagation(control);
    window.L.DomEvent.disableScrollPropagation(control);
    control.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !control.open) return;
      event.stopPropagation();
      control.open = false;
      control.querySelector("summary").focus();
    });
    map.root.append(control);
  }

  get hasBasemap() { return this.on.basemap && this.basemap.isShown; }

  shows(name) { return this.on[name]; }

  setMeta(meta) {
    this.boxes.basemap.hidden = !meta.basemap;
    this.basemap.set(meta.basemap ?? null, this.on.basemap);
  }

  // Who is heard may have changed: the coverage is that of the nodes that are heard now.
  follow() {
    if (this.on.coverage) this.coverage.follow();
  }

  repaint() {
    this.basemap.repaint();
    if (this.on.coverage) this.coverage.draw();
    if (this.on.plan) this.plan.draw();
  }

  turn(name, on) {
    this.on[name] = on;
    keep(this.on);
    if (name === "coverage") this.coverage.turn(on);
    if (name === "plan") this.plan.turn(on);
    if (name === "basemap") this.basemap.turn(on);
    this.boxes[name].querySelector(".key").hidden = !on;
    this.map.draw();
  }

  box(name, words, key) {
    const input = element("input", { type: "checkbox", id: `layer-${name}`, checked: this.on[name], on: { change: () => this.turn(name, input.checked) } });
    key.classList.add("key");
    key.hidden = !this.on[name];
    return element("div", { "data-layer": name }, element("label", {}, input, element("span", { text: words })), key);
  }

  healthKey() {
    const entry = (health) => {
      const shape = healthShape(health);
      shape.removeAttribute("transform");
      return element("li", {}, svg("svg", { viewBox: "-8 -8 16 16", width: 16, height: 16, "aria-hidden": "true" }, shape), element("span", { text: HEALTH_WORDS[health] }));
    };
    return element("ul", {}, ...Object.keys(HEALTH_WORDS).map(entry));
  }
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function keep(on) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(on));
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}
