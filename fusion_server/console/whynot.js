// Parts of the why panel about one round: what each node said of the sound, what was left out, who was expected.

import { clock, element, metres, percent, place, svg } from "./format.js";
import { secondsAfter, signed } from "./moments.js";

const plain = (lines) => element("ul", { class: "plain" }, ...lines);
const said = (mark, text) => element("li", { "data-mark": mark, text });

// The classifier's probability of a gunshot, node by node; an outline where the arrival was left out.
export function probabilities(shot, incident) {
  const judged = shot.arrivals.filter(({ gunshot_probability: p }) => p !== null && p !== undefined);
  if (!judged.length) return element("p", { class: "quiet", text: "No node classified the sound." });
  const bars = judged.map(({ node, used, gunshot_probability: p }) =>
    element(
      "li",
      { class: used ? "" : "left-out" },
      element("span", { text: node, title: used ? node : `${node}, left out` }),
      svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { width: Math.max(0.5, 100 * p), height: 10 })),
      element("span", { class: "number", text: percent(p) }),
    ),
  );
  const silent = shot.arrivals.length - judged.length;
  return [
    element("ul", { class: "bars" }, ...bars),
    element("p", { class: "quiet", text: `Together: ${percent(incident.probability)}.${silent ? ` ${silent} said nothing of the kind of sound.` : ""}` }),
  ];
}

export function leftOut(shot) {
  const lines = shot.arrivals.filter(({ used }) => !used).map((arrival) => said("✕", `${arrival.node}: ${arrival.reason || "no reason is kept"}`));
  const passedOver = (shot.passed_over ?? []).map((arrival) =>
    said("·", `${arrival.node}, ${arrival.residual_s === null ? "another arrival" : `another arrival at ${signed(1000 * arrival.residual_s)} ms`}: ${arrival.reason}`),
  );
  return lines.length + passedOver.length ? plain([...lines, ...passedOver]) : null;
}

// What fusion expected of each node where the server says so; otherwise the silences that the round's own record keeps.
export function missed(shot, heard) {
  const silent = shot.silent ?? [];
  const away = new Map(silent.map(({ node, distance_m }) => [node, `, ${metres(distance_m)} away`]));
  const line = (node, probability) => said("○", `${node}${away.get(node) ?? ""}: would have heard it with ${percent(probability)}`);
  if (!heard) return silent.length ? plain(silent.map(({ node, probability }) => line(node, probability))) : null;
  const lines = heard.nodes.filter(({ outcome }) => outcome === "missed").map((one) => line(one.node, one.expected_probability));
  return lines.length ? plain(lines) : element("p", { class: "quiet", text: "No node that should have heard it missed it." });
}

export function others(shot) {
  const alternatives = (shot.alternatives ?? []).map((other) => said("≈", `weight ${percent(other.weight)}: ${place(other)}, ${metres(apart_m(other, shot))} away, ${clock(other.time_utc, 3)} UTC`));
  const lost = (shot.lost ?? []).map((other) =>
    said("✕", `${place(other)} at ${signed(secondsAfter(other.time_utc, shot.time_utc), 3)} s, from ${other.nodes} nodes, ${metres(apart_m(other, shot))} away: ${other.reason} (log evidence ${other.log_evidence.toFixed(1)}${shot.log_evidence === undefined ? "" : ` against ${shot.log_evidence.toFixed(1)}`})`),
  );
  if (!alternatives.length && !lost.length) return null;
  const own = alternatives.length ? [said("●", `weight ${percent(shot.weight ?? 1)}: the place shown`)] : [];
  return plain([...own, ...alternatives, ...lost]);
}

const apart_m = (other, shot) => Math.hypot(other.x_m - shot.x_m, other.y_m - shot.y_m);

export function air(shot) {
  const { weather } = shot;
  if (!weather) return null;
  const error = (sigma, unit) => (sigma === null ? "" : ` ± ${sigma.toFixed(1)} ${unit}`);
  const list = element("dl");
  const add = (name, text) => list.append(element("dt", { text: name }), element("dd", { text }));
  add("temperature", `${weather.temperature_c.toFixed(1)} °C${error(weather.temperature_sigma_c, "°C")}`);
  add("wind", weather.wind_speed_mps ? `${weather.wind_speed_mps.toFixed(1)} m/s from ${weather.wind_from_deg.toFixed(0)}°${error(weather.wind_sigma_mps, "m/s")}` : `calm${error(weather.wind_sigma_mps, "m/s")}`);
  add("humidity", `${weather.humidity_percent.toFixed(0)} %`);
  return list;
}
