// What the marks on the map mean.

import { element, svg } from "./format.js";
import { WORDS, nodeShape } from "./map.js";

export function drawLegend(root) {
  const entry = (kind, text) =>
    element("span", {}, svg("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" }, svg("g", { class: `node ${kind}` }, ...nodeShape(kind))), element("span", { text }));
  root.replaceChildren(
    ...Object.entries(WORDS).map(([kind, text]) => entry(kind, text.split(":")[0])),
    element("span", {}, svg("svg", { viewBox: "-12 -9 24 18", width: 24, height: 18, "aria-hidden": "true" }, svg("ellipse", { class: "ellipse", rx: 10, ry: 6 }), svg("g", { class: "rounds" }, svg("circle", { r: 3 }))), element("span", { text: "round, 95 % ellipse" })),
  );
}
