// The map: nodes where they were surveyed, incidents where they were heard, north up. In degrees where the network has
// an origin, else in plain metres. Everything is placed by metres in the local frame, as the server tells them.

import "./vendor/leaflet/leaflet.js";

import { clock, metres, percent, rounds, svg } from "./format.js";
import { LocalFrame } from "./frame.js";
import { Layers } from "./layers.js";
import {
  RANK, WORDS, ellipseTitle, healthShape, healthWords, lengthWords, nodeHealth, nodeRoles, nodeShape, placeNames, roleWords, roundLength, roundTitle,
} from "./marks.js";

export { WORDS, nodeShape };

const { L } = window;
const BAR_PX = 120;
const GRID_PX = 90;
const MARGIN_PX = 60;
const PAN_PX = 60;
const NEAREST_M = 40;
const CLOSEST_PX_PER_M = 60;
const FARTHEST_PX_PER_M = 0.002;
const MOST_MARKS = 120;
const NEAR_PX = 12;
const SPOT_PX = 5;
const PAD = 0.25;

const PLAIN = L.extend({}, L.CRS.Simple, { infinite: true });

export class ShotMap {
  constructor(root, { onSelect }) {
    Object.assign(this, { root, onSelect, nodes: [], incidents: [], selected: null, hearing: null, frame: null, moved: false, framed: false, spots: [], degrees: new WeakMap() });
    this.map = L.map(root, {
      crs: PLAIN, center: [0, 0], zoom: 0, zoomSnap: 0, wheelPxPerZoomLevel: 90, keyboard: false, boxZoom: false, trackResize: false,
      zoomControl: false, attributionControl: false, zoomAnimation: false, fadeAnimation: false, markerZoomAnimation: false, inertia: false,
    });
    this.limitZoom();
    this.map.createPane("coverage").style.zIndex = 350;
    this.canvas = this.map.createPane("many").appendChild(document.createElement("canvas"));
    this.marks = this.map.getPane("overlayPane").appendChild(svg("svg", { class: "marks", width: 1, height: 1 }));
    this.furniture = root.appendChild(svg("svg", { class: "furniture" }));
    this.layers = new Layers(this);
    this.map.on("dragstart zoomstart", () => { this.moved ||= !this.framing; });
    this.map.on("moveend viewreset", () => this.draw());
    this.map.on("click", ({ layerPoint }) => this.pick(layerPoint));
    this.map.on("mousemove", ({ layerPoint }) => root.classList.toggle("near", this.spots.length > 0 && this.nearest(layerPoint) !== null));
    root.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("themechange", () => this.repaint());
    new ResizeObserver(() => this.resize()).observe(root);
  }

  show({ nodes = this.nodes, incidents = this.incidents, selected = this.selected, hearing = this.hearing }) {
    const another = selected !== null && selected.id !== this.selected?.id;
    Object.assign(this, { nodes, incidents, selected, hearing });
    const first = !this.framed && this.placed().length > 0;
    if (first) this.zoomAll();
    else if (another && !this.isSeen(selected)) this.moveTo(selected);
    else this.draw();
    this.layers.follow();
  }

  // What the server is: its origin gives degrees, its basemap streets.
  setMeta(meta) {
    const wanted = meta.origin_lat_deg == null ? null : new LocalFrame(meta.origin_lat_deg, meta.origin_lon_deg, meta.origin_height_m ?? 0);
    if (wanted !== null || this.frame !== null) {
      Object.assign(this, { frame: wanted, degrees: new WeakMap() });
      this.map.options.crs = wanted ? L.CRS.EPSG3857 : PLAIN;
      this.limitZoom();
      this.zoomAll();
    }
    this.layers.setMeta(meta);
  }

  // --- the view ---------------------------------------------------------------------------------------------------

  zoomAll() {
    this.moved = false;
    this.framed = this.placed().length > 0;
    this.fit([...this.placed(), ...(this.selected ? [this.selected] : [])], { closest_px_per_m: 4 });
  }

  zoomIncident() {
    if (!this.selected) return;
    const reach_m = Math.max(NEAREST_M, 3 * this.selected.ellipse95.semi_major_m);
    const { x_m, y_m } = this.selected;
    this.fit([{ x_m: x_m - reach_m, y_m: y_m - reach_m }, { x_m: x_m + reach_m, y_m: y_m + reach_m }]);
    this.moved = true;
  }

  zoom(factor) {
    this.moved = true;
    this.map.setZoom(this.map.getZoom() + Math.log2(factor), { animate: false });
  }

  // What is seen, in metres; null before anything is.
  bounds() {
    if (!this.framed) return null;
    const view = this.map.getBounds();
    const corners = [view.getSouthWest(), view.getNorthEast()].map((corner) => this.metresAt(corner));
    return { west_m: corners[0].x_m, south_m: corners[0].y_m, east_m: corners[1].x_m, north_m: corners[1].y_m };
  }

  // Shows all points, if need be beside or above the legend and not under it.
  fit(points, { closest_px_per_m = CLOSEST_PX_PER_M } = {}) {
    const ends = points.length ? points : [{ x_m: -100, y_m: -100 }, { x_m: 100, y_m: 100 }];
    const places = ends.map((end) => this.latLng(end.x_m, end.y_m));
    const bounds = L.latLngBounds(places);
    const { x, y } = this.map.getSize();
    const margin = L.point(Math.min(MARGIN_PX, x / 4), Math.min(MARGIN_PX, y / 4));
    const { width, height } = this.root.parentElement.querySelector(".legend")?.getBoundingClientRect() ?? { width: 0, height: 0 };
    const free = (right, below) => ({ paddingTopLeft: margin, paddingBottomRight: margin.add([right, below]), animate: false, maxZoom: this.zoomFor(closest_px_per_m) });
    const show = (options) => this.map.fitBounds(bounds, options);
    const isCovered = () => places.map((place) => this.map.latLngToContainerPoint(place)).some((at) => at.x > x - width - margin.x / 3 && at.y > y - height - margin.y / 3);
    this.framing = true;
    show(free(0, 0));
    if (isCovered() && x > 2 * width && y > 2 * height) {
      const zoom = (right, below) => this.map.getBoundsZoom(bounds, false, margin.multiplyBy(2).add([right, below]));
      show(zoom(width, 0) > zoom(0, height) ? free(width, 0) : free(0, height));
    }
    this.framing = false;
  }

  moveTo({ x_m, y_m }) {
    if (!this.moved) this.zoomAll();
    else this.map.panTo(this.latLng(x_m, y_m), { animate: false });
  }

  isSeen({ x_m, y_m }) {
    return this.map.getBounds().pad(-0.05).contains(this.latLng(x_m, y_m));
  }

  resize() {
    const { width, height } = this.root.getBoundingClientRect();
    if (!width || !height) return;
    this.map.invalidateSize({ animate: false, pan: false });
    if (this.moved) this.draw();
    else this.zoomAll();
  }

  limitZoom() {
    this.map.setMinZoom(this.zoomFor(FARTHEST_PX_PER_M)).setMaxZoom(this.zoomFor(CLOSEST_PX_PER_M));
  }

  zoomFor(px_per_m) {
    if (!this.frame) return Math.log2(px_per_m);
    const far = 100;
    const [here, there] = [this.latLng(0, 0), this.latLng(far, 0)].map((place) => L.CRS.EPSG3857.latLngToPoint(place, 0));
    return Math.log2((px_per_m * far) / here.distanceTo(there));
  }

  key(event) {
    const pan = (x, y) => () => { this.moved = true; this.map.panBy([x, y], { animate: false }); };
    const acts = {
      ArrowLeft: pan(-PAN_PX, 0), ArrowRight: pan(PAN_PX, 0), ArrowUp: pan(0, -PAN_PX), ArrowDown: pan(0, PAN_PX),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.zoomAll(), Enter: () => this.zoomIncident(),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey || event.target !== this.root) return;
    event.preventDefault();
    acts[event.key]();
  }

  // --- metres and pixels ------------------------------------------------------------------------------------------

  latLng(x_m, y_m) {
    if (!this.frame) return L.latLng(y_m, x_m);
    const { lat_deg, lon_deg } = this.frame.toDegrees(x_m, y_m);
    return L.latLng(lat_deg, lon_deg);
  }

  metresAt({ lat, lng }) {
    return this.frame ? this.frame.toMetres(lat, lng) : { x_m: lng, y_m: lat };
  }

  // A place in pixels of the panes that move with the map.
  point(x_m, y_m) {
    return this.pixel(this.latLng(x_m, y_m));
  }

  pixel(latLng) {
    return this.map.project(latLng).subtract(this.map.getPixelOrigin());
  }

  // Degrees of an incident, worked out once: there may be thousands, drawn again and again.
  kept(incident) {
    if (!this.degrees.has(incident)) this.degrees.set(incident, this.latLng(incident.x_m, incident.y_m));
    return this.degrees.get(incident);
  }

  // Lays a canvas over a part of its pane, sharp on every screen; what is drawn then is in pixels from its corner.
  fitCanvas(canvas, { left, top, width, height }) {
    const sharp = Math.min(window.devicePixelRatio || 1, 2);
    Object.assign(canvas, { width: Math.round(width * sharp), height: Math.round(height * sharp) });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    L.DomUtil.setPosition(canvas, L.point(left, top));
    const paint = canvas.getContext("2d");
    paint.scale(sharp, sharp);
    return paint;
  }

  pxPerMetre() {
    const { x_m, y_m } = this.metresAt(this.map.getCenter());
    return this.point(x_m + 100, y_m).distanceTo(this.point(x_m - 100, y_m)) / 200;
  }

  placed() {
    return this.nodes.filter((node) => node.x_m !== null && node.x_m !== undefined);
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  repaint() {
    this.layers.repaint();
    this.draw();
  }

  draw() {
    const { x, y } = this.map.getSize();
    if (!x || !y) return;
    const corner = this.map.containerPointToLayerPoint([0, 0]);
    const scene = { px_per_m: this.pxPerMetre(), left: corner.x, top: corner.y, width: x, height: y };
    this.marks.replaceChildren(
      this.layers.hasBasemap ? svg("g") : this.grid(scene),
      this.others(scene),
      this.spokes(),
      this.regions(),
      this.ellipse(),
      this.places(),
      this.nodeMarks(scene),
      this.alternatives(),
      this.roundMarks(),
      this.target(scene),
    );
    this.furniture.setAttribute("viewBox", `0 0 ${x} ${y}`);
    this.furniture.replaceChildren(scaleBar(scene), north());
  }

  grid({ px_per_m, left, top, width, height }) {
    const step = roundLength(GRID_PX / px_per_m) * px_per_m;
    const from = this.point(0, 0);
    const group = svg("g", { class: "grid", "aria-hidden": "true" });
    const first = (low, zero) => zero + Math.ceil((low - zero) / step) * step;
    const [west, east, north_, south] = [left - width / 2, left + 1.5 * width, top - height / 2, top + 1.5 * height];
    for (let x = first(west, from.x); x <= east; x += step) group.append(svg("line", { x1: x, x2: x, y1: north_, y2: south }));
    for (let y = first(north_, from.y); y <= south; y += step) group.append(svg("line", { x1: west, x2: east, y1: y, y2: y }));
    return group;
  }

  // A few incidents are marks that tell their story; thousands are spots on a canvas.
  others(scene) {
    const group = svg("g", { class: "others" });
    const incidents = this.incidents.filter((incident) => incident.id !== this.selected?.id);
    const many = incidents.length > MOST_MARKS;
    this.spots = many ? incidents.map((incident) => ({ id: incident.id, at: this.pixel(this.kept(incident)) })) : [];
    this.drawSpots(scene);
    for (const incident of many ? [] : incidents) {
      const { x, y } = this.point(incident.x_m, incident.y_m);
      const mark = svg(
        "g",
        { "data-incident": incident.id, transform: `translate(${x} ${y})` },
        svg("circle", { r: 6 }),
        svg("title", { text: `${rounds(incident.rounds)}, ${clock(incident.time_utc)} UTC` }),
      );
      L.DomEvent.disableClickPropagation(mark);
      mark.addEventListener("click", () => this.onSelect(incident.id));
      group.append(mark);
    }
    return group;
  }

  drawSpots({ left, top, width, height }) {
    this.canvas.hidden = this.spots.length === 0;
    this.canvas.dataset.incidents = this.spots.length;
    if (this.canvas.hidden) return;
    const area = { left: left - width * PAD, top: top - height * PAD, width: width * (1 + 2 * PAD), height: height * (1 + 2 * PAD) };
    const paint = this.fitCanvas(this.canvas, area);
    Object.assign(paint, { fillStyle: getComputedStyle(this.root).getPropertyValue("--target").trim(), globalAlpha: 0.3 });
    for (const { at } of this.spots) {
      const [x, y] = [at.x - area.left, at.y - area.top];
      if (x < -SPOT_PX || y < -SPOT_PX || x > area.width + SPOT_PX || y > area.height + SPOT_PX) continue;
      paint.beginPath();
      paint.arc(x, y, SPOT_PX, 0, 2 * Math.PI);
      paint.fill();
    }
  }

  nearest(point) {
    let [best, least] = [null, NEAR_PX];
    for (const { id, at } of this.spots) {
      const far = at.distanceTo(point);
      if (far < least) [best, least] = [id, far];
    }
    return best;
  }

  pick(point) {
    const id = this.nearest(point);
    if (id !== null) this.onSelect(id);
  }

  spokes() {
    const group = svg("g", { class: "spokes", "aria-hidden": "true" });
    if (!this.selected) return group;
    const from = this.point(this.selected.x_m, this.selected.y_m);
    const role = nodeRoles(this.selected, this.hearing, this.nodes);
    for (const node of this.placed()) {
      const kind = role.get(node.node).role;
      if (!["used", "rejected", "missed"].includes(kind)) continue;
      const to = this.point(node.x_m, node.y_m);
      group.append(svg("line", { class: kind, x1: from.x, y1: from.y, x2: to.x, y2: to.y }));
    }
    return group;
  }

  regions() {
    const group = svg("g", { class: "regions" });
    for (const [index, shot] of (this.selected?.shots ?? []).entries()) {
      if (!shot.region95_m?.length) continue;
      const rings = shot.region95_m.map((ring) => `M${ring.map(([x_m, y_m]) => text(this.point(x_m, y_m))).join("L")}Z`);
      group.append(svg("path", { "data-region": index + 1, d: rings.join("") }, svg("title", { text: `round ${index + 1}: 95 % region` })));
    }
    return group;
  }

  ellipse() {
    if (!this.selected) return svg("g");
    const shape = svg("path", { class: "ellipse", id: "ellipse95", d: this.outline(this.selected) });
    shape.append(svg("title", { text: ellipseTitle(this.selected.ellipse95) }));
    return shape;
  }

  // Places that the rounds came from, where there are several.
  places() {
    const group = svg("g", { class: "places" });
    for (const [index, place] of (this.selected?.places ?? []).entries()) {
      const { x, y } = this.point(place.x_m, place.y_m);
      const title = svg("title", { text: `place ${index + 1}: ${rounds(place.rounds.length)}` });
      group.append(svg("g", { "data-place": index + 1 }, svg("path", { d: this.outline(place) }), svg("text", { x: x + 8, y: y - 8, text: `${index + 1}` }), title));
    }
    return group;
  }

  outline({ x_m, y_m, ellipse95: { semi_major_m, semi_minor_m, orientation_deg } }) {
    const turn = (orientation_deg * Math.PI) / 180;
    const ring = Array.from({ length: 72 }, (_, step) => {
      const [along, across] = [semi_major_m * Math.cos((step * Math.PI) / 36), semi_minor_m * Math.sin((step * Math.PI) / 36)];
      return text(this.point(x_m + along * Math.sin(turn) - across * Math.cos(turn), y_m + along * Math.cos(turn) + across * Math.sin(turn)));
    });
    return `M${ring.join("L")}Z`;
  }

  nodeMarks({ left, top, width, height }) {
    const group = svg("g", { class: "nodes" });
    const role = nodeRoles(this.selected, this.hearing, this.nodes);
    const nodes = this.placed().map((node) => ({ node, ...role.get(node.node), ...this.point(node.x_m, node.y_m), name: node.node }));
    nodes.sort((a, b) => RANK.indexOf(a.role) - RANK.indexOf(b.role));
    const seen = nodes.filter(({ x, y }) => x > left - 20 && y > top - 20 && x < left + width + 20 && y < top + height + 20);
    const names = placeNames(seen, { ahead: this.selected ? [around(this.point(this.selected.x_m, this.selected.y_m), 12)] : [] });
    for (const { node, x, y, ...known } of nodes.reverse()) {
      const health = nodeHealth(node);
      const words = roleWords(node.node, known) + (this.layers.shows("health") ? `; ${healthWords(node)}` : "");
      const mark = svg("g", {
        class: `node ${known.role}`, "data-node": node.node, "data-role": known.role, "data-health": health, transform: `translate(${x} ${y})`, role: "img", "aria-label": `node ${words}`,
      });
      mark.append(...nodeShape(known.role), svg("title", { text: words }));
      if (this.layers.shows("health")) mark.append(healthShape(health));
      const name = names.get(node.node);
      if (name) mark.append(svg("text", { x: name.x, y: name.y, "text-anchor": name.anchor, text: node.node }));
      group.append(mark);
    }
    return group;
  }

  alternatives() {
    const group = svg("g", { class: "alternatives" });
    for (const [index, shot] of (this.selected?.shots ?? []).entries()) {
      for (const other of shot.alternatives ?? []) {
        const words = `round ${index + 1}: ${percent(other.weight)} that it was here instead`;
        group.append(
          svg("g", { "data-alternative": index + 1, transform: `translate(${text(this.point(other.x_m, other.y_m))})` }, svg("path", { d: "M0 -6L6 0L0 6L-6 0Z" }), svg("title", { text: words })),
        );
      }
    }
    return group;
  }

  roundMarks() {
    const group = svg("g", { class: "rounds" });
    const shots = this.selected?.shots ?? [];
    const taken = [];
    for (const [index, shot] of shots.entries()) {
      const at = this.point(shot.x_m, shot.y_m);
      const mark = svg("g", { "data-round": index + 1, transform: `translate(${at.x} ${at.y})` }, svg("circle", { r: 3 }), svg("title", { text: roundTitle(shot, index) }));
      if (shots.length > 1 && !taken.some((other) => other.distanceTo(at) < 13)) {
        taken.push(at);
        mark.append(svg("text", { x: 5, y: -5, text: `${index + 1}` }));
      }
      group.append(mark);
    }
    return group;
  }

  target({ px_per_m }) {
    if (!this.selected) return svg("g");
    return svg(
      "g",
      { class: "target", transform: `translate(${text(this.point(this.selected.x_m, this.selected.y_m))})`, "aria-hidden": "true" },
      this.selected.ellipse95.semi_major_m * px_per_m < 14 ? svg("circle", { r: 14 }) : null,
      svg("path", { d: "M0 -20V-9M0 20V9M-20 0H-9M20 0H9" }),
    );
  }
}

const text = ({ x, y }) => `${x.toFixed(2)} ${y.toFixed(2)}`;

const around = ({ x, y }, px) => ({ left: x - px, right: x + px, top: y - px, bottom: y + px });

function scaleBar({ px_per_m, height }) {
  const length_m = roundLength(BAR_PX / px_per_m);
  const width = length_m * px_per_m;
  return svg(
    "g",
    { class: "scale", transform: `translate(16 ${height - 18})`, role: "img", "aria-label": `Scale bar: ${metres(length_m)}` },
    svg("path", { class: "halo", d: `M0 -6V0H${width}V-6` }),
    svg("path", { d: `M0 -6V0H${width}V-6` }),
    svg("text", { x: width / 2, y: -6, "text-anchor": "middle", text: lengthWords(length_m) }),
  );
}

function north() {
  return svg(
    "g",
    { class: "north", transform: "translate(29 182)", role: "img", "aria-label": "North is up" },
    svg("path", { d: "M0 -16L6 7L0 3L-6 7Z" }),
    svg("text", { y: 21, "text-anchor": "middle", text: "N" }),
  );
}
