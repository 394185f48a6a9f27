// A plan of `shotline plan --geojson`, from a file of the person's: it stays in the browser and is never sent.

import { element, percent, svg } from "./format.js";

const MOST_BYTES = 20_000_000;

export class PlanLayer {
  constructor(map) {
    this.map = map;
    this.lines = map.map.getPane("coverage").appendChild(svg("svg", { class: "contours plan", width: 1, height: 1 }));
    this.words = element("p", { class: "words", role: "status", text: "A file that `shotline plan --geojson` made. It stays in this browser." });
    const input = element("input", { type: "file", id: "plan-file", accept: ".geojson,.json,application/geo+json", on: { change: () => this.take(input.files[0]) } });
    this.key = element("div", {}, element("label", {}, element("span", { class: "hidden", text: "File of the plan" }), input), this.words);
    this.plan = null;
    this.shown = false;
    map.map.on("moveend viewreset", () => this.shown && this.draw());
  }

  turn(on) {
    this.shown = on;
    if (on) this.draw();
    else this.lines.replaceChildren();
  }

  async take(file) {
    if (!file) return;
    this.plan = null;
    try {
      if (file.size > MOST_BYTES) throw new Error(`it has ${file.size} bytes, at most ${MOST_BYTES} are read`);
      this.plan = read(await file.text());
      const { weapons, surroundings } = this.plan;
      this.words.textContent = this.map.frame
        ? `${file.name}: modelled, not measured; ${weapons.join(", ")} in ${surroundings} surroundings. ${this.plan.areas.map(({ least, most }) => `${percent(least)} to ${percent(most)}`).join(", ")} of shots found; triangles are suggested places.`
        : `${file.name} is in degrees, but this network has no origin on the globe, so it cannot be placed.`;
    } catch (error) {
      this.words.textContent = `${file.name} cannot be shown: ${error.message}`;
    }
    this.turn(this.shown);
  }

  draw() {
    const { frame } = this.map;
    if (!this.plan || !frame) {
      this.lines.replaceChildren();
      return;
    }
    const at = ([lon_deg, lat_deg]) => {
      const { x_m, y_m } = frame.toMetres(lat_deg, lon_deg);
      const { x, y } = this.map.point(x_m, y_m);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    };
    const outline = (polygon) => polygon.map((ring) => `M${ring.map(at).join("L")}Z`).join("");
    this.lines.replaceChildren(
      ...this.plan.areas.map(({ least, polygons }) =>
        svg("path", { class: "area", "data-least": least, "fill-rule": "evenodd", "fill-opacity": (0.4 * least).toFixed(2), d: polygons.map(outline).join("") }),
      ),
      ...this.plan.places.map(({ name, place }) =>
        svg("g", { "data-suggested": name, transform: `translate(${at(place)})` }, svg("path", { class: "place", d: "M0 -7L6 5L-6 5Z" }), svg("title", { text: name })),
      ),
    );
  }
}

function read(text) {
  const { type, features, weapons, surroundings } = JSON.parse(text);
  if (type !== "FeatureCollection" || !Array.isArray(features) || !Array.isArray(weapons)) throw new Error("it is no plan; expected a FeatureCollection of `shotline plan --geojson`");
  const of = (role) => features.filter(({ properties }) => properties.role === role);
  const areas = of("coverage").map(({ geometry, properties }) => ({ least: Number(properties.probability_from), most: Number(properties.probability_to), polygons: geometry.coordinates }));
  const places = of("suggested").map(({ geometry, properties }) => ({ name: String(properties.node), place: geometry.coordinates }));
  return { areas, places, weapons: weapons.map(String), surroundings: String(surroundings) };
}
