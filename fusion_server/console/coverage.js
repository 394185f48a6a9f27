// Where the network would hear a shot, as the server models it with the nodes that are heard now.

import { element, percent, svg } from "./format.js";

const LEVELS = [{ least: 0.9, name: "sure" }, { least: 0.5, name: "even" }];
const PAD = 0.5;

export class Coverage {
  constructor(map) {
    this.map = map;
    this.canvas = map.map.getPane("coverage").appendChild(document.createElement("canvas"));
    this.lines = map.map.getPane("coverage").appendChild(svg("svg", { class: "contours", width: 1, height: 1 }));
    this.words = element("p", { class: "words" });
    const line = (name, text) => element("li", {}, svg("svg", { viewBox: "0 0 22 8", width: 22, height: 8, class: "contours", "aria-hidden": "true" }, svg("path", { class: name, d: "M0 4H22" })), element("span", { text }));
    this.key = element("div", {}, element("ul", {}, ...LEVELS.map(({ least, name }) => line(name, `${percent(least)} of shots`))), this.words);
    this.document = null;
    this.heard = "";
    map.map.on("moveend viewreset", () => this.document && this.draw());
  }

  turn(on) {
    if (on) this.follow();
    else this.clear();
  }

  clear() {
    this.document = null;
    this.heard = "";
    this.canvas.hidden = true;
    this.lines.replaceChildren();
  }

  follow() {
    const heard = this.map.nodes.map((node) => `${node.node} ${node.silent} ${node.x_m} ${node.y_m}`).join("\n");
    if (heard === this.heard) return;
    this.heard = heard;
    this.load().catch((error) => {
      this.clear();
      this.words.textContent = `Coverage cannot be shown: ${error.message}`;
    });
  }

  async load() {
    const asked = this.heard;
    const answer = await fetch("/coverage", { cache: "no-store" });
    const document = await answer.json();
    if (!answer.ok) throw new Error(document.detail);
    if (asked !== this.heard) return;
    this.document = document;
    const rough = document.coarse ? " Positions of nodes are rounded to 100 m." : "";
    this.words.textContent =
      `Modelled, not measured: the share of shots, quiet and loud alike, that at least ${document.min_nodes} of the ${document.nodes.length} nodes heard now would report.${rough}`;
    this.draw();
  }

  draw() {
    if (!this.document?.columns) {
      this.canvas.hidden = true;
      this.lines.replaceChildren();
      return;
    }
    const { west_m, south_m, step_m, columns, rows, probability } = this.document;
    const at = (column, row) => this.map.point(west_m + (column + 0.5) * step_m, south_m + (row + 0.5) * step_m);
    this.tint(at);
    this.lines.replaceChildren(
      ...LEVELS.map(({ least, name }) => {
        const parts = contour(probability, columns, rows, least).map(([a, b]) => `M${pair(at(...a))}L${pair(at(...b))}`);
        return svg("path", { class: name, "data-least": least, d: parts.join("") });
      }),
    );
  }

  tint(at) {
    const { columns, rows, probability } = this.document;
    const colour = rgb(getComputedStyle(this.map.root).getPropertyValue("--covered"));
    const small = document.createElement("canvas");
    Object.assign(small, { width: columns, height: rows });
    const image = new ImageData(columns, rows);
    probability.forEach((share, index) => image.data.set([...colour, Math.round(255 * 0.34 * share)], 4 * index));
    small.getContext("2d").putImageData(image, 0, 0);
    const size = this.map.map.getSize();
    const corner = this.map.map.containerPointToLayerPoint([-PAD * size.x, -PAD * size.y]);
    const area = { left: corner.x, top: corner.y, width: size.x * (1 + 2 * PAD), height: size.y * (1 + 2 * PAD) };
    this.canvas.hidden = false;
    const paint = this.map.fitCanvas(this.canvas, area);
    // The grid's own axes in pixels: over a town they are straight and evenly spaced.
    const [origin, east, north] = [at(-0.5, -0.5), at(columns - 0.5, -0.5), at(-0.5, rows - 0.5)];
    paint.transform(
      (east.x - origin.x) / columns, (east.y - origin.y) / columns, (north.x - origin.x) / rows, (north.y - origin.y) / rows, origin.x - area.left, origin.y - area.top,
    );
    paint.imageSmoothingEnabled = true;
    paint.drawImage(small, 0, 0);
  }
}

const pair = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;

function rgb(colour) {
  const paint = document.createElement("canvas").getContext("2d");
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

// Marching squares: pieces of the line where a grid, row by row from the south, crosses a level.
export function contour(values, columns, rows, level) {
  const pieces = [];
  const value = (column, row) => values[row * columns + column] - level;
  for (let row = 0; row + 1 < rows; row += 1) {
    for (let column = 0; column + 1 < columns; column += 1) {
      const corners = [[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]];
      const crossings = [];
      corners.forEach((corner, index) => {
        const next = corners[(index + 1) % 4];
        const [a, b] = [value(...corner), value(...next)];
        if (a < 0 === b < 0) return;
        const share = a / (a - b);
        crossings.push([corner[0] + share * (next[0] - corner[0]), corner[1] + share * (next[1] - corner[1])]);
      });
      for (let index = 0; index + 1 < crossings.length; index += 2) pieces.push([crossings[index], crossings[index + 1]]);
    }
  }
  return pieces;
}
