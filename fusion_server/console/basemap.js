// Streets under the map, where the server has some: a GeoJSON file, or one PMTiles file of images or of shapes.
// The libraries that read PMTiles are loaded only when there is such a file.

import "./vendor/leaflet/leaflet.js";

import { element } from "./format.js";

const { L } = window;
const LIBRARIES = {
  raster: { file: "/console/vendor/pmtiles/pmtiles.js", name: "pmtiles" },
  vector: { file: "/console/vendor/protomaps-leaflet/protomaps-leaflet.js", name: "protomapsL" },
};
const MAJOR = /^(motorway|trunk|primary|secondary)/;
const PATHS = /^(footway|path|cycleway|steps|track|pedestrian|service)/;

export class Basemap {
  constructor(map) {
    this.map = map;
    this.layer = null;
    this.source = null;
    this.note = element("p", { class: "words" });
    this.credit = map.root.appendChild(element("p", { class: "credit" }));
  }

  get isShown() { return this.layer !== null; }

  async set(source, on) {
    this.source = source;
    this.turn(false);
    this.made = source === null ? null : make(source).catch((error) => {
      this.note.textContent = `The basemap cannot be shown: ${error.message}`;
      return null;
    });
    if (on) await this.turn(true);
  }

  async turn(on) {
    this.wanted = on;
    const made = on ? await this.made : null;
    if (this.wanted !== on) return;
    this.layer?.remove();
    this.layer = made ? made(isDark()) : null;
    this.layer?.addTo(this.map.map);
    this.credit.textContent = this.layer ? this.source.attribution : "";
    this.map.draw();
  }

  repaint() {
    if (this.layer) this.turn(true);
  }
}

const isDark = () => document.documentElement.dataset.theme === "dark";

// Returns what makes the layer, light or dark.
async function make(source) {
  if (source.kind === "geojson") {
    const answer = await fetch(source.href);
    if (!answer.ok) throw new Error(`${source.href} answered ${answer.status}`);
    const streets = await answer.json();
    return () => shapes(streets);
  }
  const library = await load(LIBRARIES[source.kind]);
  const levels = { minNativeZoom: source.min_zoom, maxNativeZoom: source.max_zoom };
  if (source.kind === "raster") {
    const archive = new library.PMTiles(source.href);
    return () => new Images(archive, { ...levels, className: "base images" });
  }
  return (dark) => library.leafletLayer({ url: source.href, flavor: dark ? "black" : "white", lang: "en", attribution: "", maxDataZoom: source.max_zoom, className: "base" });
}

function load({ file, name }) {
  if (window[name]) return Promise.resolve(window[name]);
  return new Promise((done, failed) => {
    const script = element("script", { src: file, on: { load: () => done(window[name]), error: () => failed(new Error(`${file} cannot be read`)) } });
    document.head.append(script);
  });
}

function shapes(streets) {
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const area = (name) => ({ stroke: false, fill: true, fillColor: colour(name), fillOpacity: 1 });
  const line = (name, weight, more = {}) => ({ color: colour(name), weight, fill: false, opacity: 1, ...more });
  const style = ({ geometry, properties }) => {
    const { highway = "", natural, waterway, leisure, landuse, building } = properties ?? {};
    const isArea = geometry.type.endsWith("Polygon");
    if (natural === "water" || waterway) return isArea ? area("--base-water") : line("--base-water", 2);
    if (leisure === "park" || natural === "wood" || ["grass", "forest", "cemetery", "park"].includes(landuse)) return area("--base-green");
    if (isArea) return area(building ? "--base-building" : "--base-area");
    if (MAJOR.test(highway)) return line("--base-major", 5);
    if (PATHS.test(highway)) return line("--base-street", 1, { dashArray: "3 3" });
    return line("--base-street", 2.5);
  };
  const renderer = L.canvas({ pane: "tilePane", padding: 0.5 });
  const layer = L.geoJSON(streets, { pane: "tilePane", renderer, interactive: false, filter: ({ geometry }) => /Line|Polygon/.test(geometry?.type), style });
  return layer.on("remove", () => renderer.remove());
}

const Images = L.GridLayer.extend({
  initialize(archive, options) {
    this.archive = archive;
    L.setOptions(this, options);
  },

  // Drawn on canvases: an image of a made-up address would need a looser Content-Security-Policy.
  createTile(coords, done) {
    const tile = L.DomUtil.create("canvas", "leaflet-tile");
    const size = this.getTileSize();
    this.paint(tile, size, coords).then(() => done(null, tile), (error) => done(error, tile));
    return tile;
  },

  async paint(tile, size, { x, y, z }) {
    const found = await this.archive.getZxy(z, x, y);
    if (!found) return;
    const image = await createImageBitmap(new Blob([found.data]));
    Object.assign(tile, { width: image.width, height: image.height });
    tile.getContext("2d").drawImage(image, 0, 0);
    image.close();
  },
});
