// The "why" panel: what an incident rests on, arrival by arrival.

import { chosenRound } from "./chosen.js";
import { clipLists } from "./clips.js";
import { clock, element, metres, percent, place, roles, rounds, stamp, svg } from "./format.js";
import { signed } from "./moments.js";
import { alerts, decisions, evidence, revisions, soundKept } from "./story.js";
import { air, leftOut, missed, others, probabilities } from "./whynot.js";

const BAR_WIDTH_PX = 88;
const LEAST_SCALE_MS = 5;

export class Detail {
  constructor(root) {
    this.root = root;
    this.closed = new Set(["others", "air", "sound", "evidence"]);
    chosenRound.addEventListener("change", () => this.last && this.draw());
    clipLists.addEventListener("change", () => this.last && this.draw());
  }

  // `hearing` is what fusion expected of each node, null where the server does not say.
  show(incident, nodes, story, hearing) {
    if (!incident) return;
    const given = [incident, nodes, story, hearing];
    if (this.last && given.every((part, index) => part === this.last[index])) return;
    this.last = given;
    this.draw();
  }

  draw() {
    const [incident, nodes, story, hearing] = this.last;
    const round = chosenRound.of(incident);
    const shot = incident.shots[round];
    const focused = this.root.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
    const heard = hearing?.rounds.find((one) => one.round === round + 1) ?? null;
    const clips = clipLists.of(incident.id);
    const parts = [
      element("h2", { id: "detail-title", text: "Why this alert" }),
      headline(incident),
      facts(incident),
      this.chooser(incident, round),
      this.part("arrivals", "Arrivals", [arrivalTable(shot), unheard(incident, nodes)]),
      this.part("probability", "Gunshot, by node", probabilities(shot, incident)),
      this.part("left-out", "Left out, and why", leftOut(shot)),
      this.part("missed", "Should have heard it, and did not", missed(shot, heard)),
      this.part("others", "Other places considered", others(shot)),
      this.part("air", "Air it was located with", air(shot)),
      ...(story ? [
        this.part("revisions", "Revisions", revisions(story)),
        this.part("decisions", "Decisions of people", decisions(story)),
        this.part("alerts", "Alerts sent", alerts(story)),
      ] : []),
      this.part("sound", "Sound kept", clips ? soundKept(clips) : null),
      this.part("evidence", "Evidence", evidence(incident)),
    ];
    this.root.replaceChildren(...parts.filter(Boolean));
    if (focused) this.root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  // A part that can be closed and stays so; null where there is nothing to say.
  part(name, title, content) {
    const children = [content].flat().filter(Boolean);
    if (!children.length) return null;
    const toggle = (event) => this.closed[event.target.open ? "delete" : "add"](name);
    const summary = element("summary", { "data-key": name, text: title });
    return element("details", { class: "why", "data-part": name, open: !this.closed.has(name), on: { toggle } }, summary, ...children);
  }

  chooser(incident, chosen) {
    if (incident.shots.length < 2) return null;
    const group = element("div", { class: "chooser", role: "group", "aria-label": "Round" });
    incident.shots.forEach((shot, index) => {
      const label = `round ${index + 1}, ${clock(shot.time_utc, 3)} UTC`;
      group.append(
        element("button", {
          type: "button", "data-key": `round-${index}`, text: index + 1, "aria-label": label, title: label, "aria-pressed": index === chosen ? "true" : "false",
          on: { click: () => chosenRound.choose(incident, index) },
        }),
      );
    });
    return group;
  }
}

export function badge(incident) {
  return element("span", { class: "badge", "data-state": incident.state, text: incident.state });
}

function headline(incident) {
  return element(
    "p",
    { class: "headline" },
    element("strong", { text: rounds(incident.rounds) }),
    badge(incident),
    element("span", { class: "quiet", text: `revision ${incident.revision}` }),
    incident.scene ? element("span", { class: "badge", "data-state": "replay", text: "replay" }) : null,
  );
}

function facts(incident) {
  const ellipse = incident.ellipse95;
  const list = element("dl");
  const add = (name, value) => list.append(element("dt", { text: name }), element("dd", { text: value }));
  add("time", stamp(incident.time_utc));
  if (incident.rounds > 1) add("last round", stamp(incident.last_time_utc));
  if (incident.cadence_rounds_per_min !== undefined) add("cadence", `${incident.cadence_rounds_per_min.toFixed(0)} rounds/min`);
  if (incident.rounds_low !== undefined && incident.rounds_low !== incident.rounds_high) add("rounds", `${incident.rounds_low} to ${incident.rounds_high} with 90 %`);
  if (incident.rounds > 1 && incident.fire_mode !== undefined) add("fire", incident.fire_mode.replace("_", "-"));
  (incident.places ?? []).forEach((one, index) => add(`place ${index + 1}`, `${one.rounds.length} of ${incident.rounds}, ${place(one)}`));
  if ((incident.shooters_least ?? 1) > 1) add("shooters", `at least ${incident.shooters_least}`);
  if (incident.movement) add("moving", `${incident.movement.speed_mps.toFixed(0)} m/s, heading ${incident.movement.heading_deg.toFixed(0)}°`);
  add("position", place(incident));
  if (incident.lat_deg !== undefined) add("", `x ${incident.x_m.toFixed(1)} m, y ${incident.y_m.toFixed(1)} m`);
  add("error", `95 % within ${metres(incident.cep95_m)}, 50 % within ${metres(incident.cep50_m)}`);
  add("ellipse 95 %", `${metres(2 * ellipse.semi_major_m)} × ${metres(2 * ellipse.semi_minor_m)}, long axis ${ellipse.orientation_deg.toFixed(0)}°`);
  add("gunfire", `probability ${percent(incident.probability)}`);
  if (incident.scene) add("recording", incident.scene);
  add("incident", incident.id);
  return list;
}

function arrivalTable(shot) {
  const used_ms = shot.arrivals.filter((arrival) => arrival.used).map((arrival) => Math.abs(arrival.residual_s) * 1000);
  const scale_ms = Math.max(LEAST_SCALE_MS, 1.5 * Math.max(0, ...used_ms));
  const body = element("tbody");
  for (const arrival of shot.arrivals) {
    const residual_ms = (arrival.residual_s ?? 0) * 1000;
    const probability = arrival.gunshot_probability ?? null;
    body.append(
      element(
        "tr",
        { class: arrival.used ? "used" : "rejected", "data-arrival": arrival.node },
        element("th", { scope: "row", text: arrival.node }),
        element("td", { class: "number", text: arrival.residual_s == null ? "–" : signed(residual_ms) }),
        element("td", {}, bar(residual_ms, scale_ms)),
        element("td", { class: "number", text: arrival.snr_db.toFixed(0) }),
        element("td", { class: "number", text: probability === null ? "–" : percent(probability) }),
        element("td", { class: "verdict", text: verdict(arrival) }),
      ),
    );
  }
  const head = ["node", "residual ms", "early · late", "SNR dB", "gunshot", "verdict"];
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      { class: "arrivals" },
      element("caption", { text: `Observed minus predicted arrival; rms ${(shot.rms_residual_s * 1000).toFixed(1)} ms, GDOP ${shot.gdop.toFixed(1)}` }),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col", text })))),
      body,
    ),
  );
}

function verdict(arrival) {
  if (!arrival.used) return arrival.reason ? `left out: ${arrival.reason}` : "left out";
  return arrival.reason ? `used, ${arrival.reason}` : "used";
}

function bar(residual_ms, scale_ms) {
  const middle = BAR_WIDTH_PX / 2;
  const length = Math.min(1, Math.abs(residual_ms) / scale_ms) * (middle - 4);
  const beyond = Math.abs(residual_ms) > scale_ms;
  const left = residual_ms < 0 ? middle - length : middle;
  const tip = residual_ms < 0 ? middle - length : middle + length;
  const arrow = residual_ms < 0 ? `M${tip} 2L${tip - 4} 7L${tip} 12Z` : `M${tip} 2L${tip + 4} 7L${tip} 12Z`;
  return svg(
    "svg",
    { class: "bar-chart", width: BAR_WIDTH_PX, height: 14, "aria-hidden": "true" },
    svg("line", { x1: middle, x2: middle, y1: 0, y2: 14 }),
    svg("rect", { x: left, y: 3, width: Math.max(length, 1), height: 8, rx: 1 }),
    beyond ? svg("path", { d: arrow }) : null,
  );
}

function unheard(incident, nodes) {
  const role = roles(incident);
  const missing = nodes.filter((node) => node.surveyed && !role.has(node.node));
  if (!missing.length) return element("p", { class: "quiet", text: "Every node heard it." });
  const names = missing.map((node) => (node.silent ? `${node.node} (silent)` : node.node)).join(", ");
  return element("p", { class: "quiet", text: `Not heard by ${names}.` });
}
