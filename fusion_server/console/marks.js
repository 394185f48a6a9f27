// What is drawn on the map, as shapes and words. Shapes differ as well as colours, for eyes that do not tell them apart.

import { clock, metres, percent, roles, svg } from "./format.js";

export const WORDS = {
  used: "heard, used in the fix",
  rejected: "heard, left out",
  missed: "should have heard it, did not",
  unheard: "did not hear it",
  silent: "silent: no word from the node",
};

const IDLE = "listening";
const FROM_HEARING = { missed: "missed", not_expected: "unheard", silent: "silent" };
const HEALTH_WORDS = { ok: "well", warn: "warns", fail: "fails", unknown: "has said nothing of itself" };

// In which order nodes get their names and come to lie on top.
export const RANK = ["used", "rejected", "missed", "silent", "unheard", "idle"];

// What each node did for an incident, by name: its role, and with what probability it should have heard it.
export function nodeRoles(incident, hearing, nodes) {
  const heard = roles(incident);
  const said = new Map();
  for (const round of hearing?.incident === incident?.id ? hearing?.rounds ?? [] : []) {
    for (const one of round.nodes) {
      const [role, before] = [FROM_HEARING[one.outcome], said.get(one.node)];
      const expected = Math.max(one.expected_probability ?? 0, before?.expected ?? 0);
      const worse = before?.role && RANK.indexOf(before.role) < RANK.indexOf(role) ? before.role : role;
      said.set(one.node, { role: worse, expected });
    }
  }
  const quiet = (node) => (node.silent ? "silent" : incident ? "unheard" : "idle");
  return new Map(
    nodes.map((node) => {
      const { role, expected = null } = said.get(node.node) ?? {};
      return [node.node, { role: heard.get(node.node) ?? role ?? quiet(node), expected }];
    }),
  );
}

export function roleWords(name, { role, expected }) {
  const likely = expected === null || role === "used" || role === "rejected" ? "" : `, expected with ${percent(expected)}`;
  return `${name}: ${WORDS[role] ?? IDLE}${likely}`;
}

export const nodeHealth = (node) => (node.silent ? "fail" : node.health_status ?? "unknown");

export const healthWords = (node) => {
  if (node.silent) return "silent";
  const bad = node.health.filter((check) => check.status !== "ok").map((check) => `${check.name}: ${check.message}`);
  return [HEALTH_WORDS[nodeHealth(node)], ...bad].join("; ");
};

export function nodeShape(role) {
  if (role === "used") return [svg("circle", { r: 6.5 })];
  if (role === "rejected") return [svg("rect", { x: -5.5, y: -5.5, width: 11, height: 11, transform: "rotate(45)" })];
  if (role === "missed") return [svg("path", { class: "sign", d: "M0 -8L8 6H-8Z" }), svg("path", { class: "stroke", d: "M0 -3V1M0 3.4V3.6" })];
  if (role === "silent") return [svg("circle", { r: 6 }), svg("path", { d: "M-3 -3L3 3M-3 3L3 -3" })];
  return [svg("circle", { r: 6 })];
}

export function healthShape(health) {
  const shape = {
    ok: [svg("circle", { r: 5 }), svg("path", { d: "M-2.4 .2L-.7 2L2.5 -1.8" })],
    warn: [svg("path", { class: "sign", d: "M0 -6L6 4.5H-6Z" }), svg("path", { d: "M0 -2.2V1M0 2.8V3" })],
    fail: [svg("rect", { x: -5, y: -5, width: 10, height: 10 }), svg("path", { d: "M-2.2 -2.2L2.2 2.2M-2.2 2.2L2.2 -2.2" })],
    unknown: [svg("circle", { r: 5 }), svg("path", { d: "M-2 0H2" })],
  };
  return svg("g", { class: `health ${health}`, transform: "translate(8 -9)" }, ...shape[health]);
}

export function roundTitle(shot, index) {
  return `round ${index + 1} at ${clock(shot.time_utc, 3)} UTC`;
}

export function ellipseTitle({ semi_major_m, semi_minor_m }) {
  return `95 % ellipse, ${metres(2 * semi_major_m)} by ${metres(2 * semi_minor_m)}`;
}

export const lengthWords = (length_m) => (length_m < 1000 ? `${length_m} m` : `${length_m / 1000} km`);

// The largest of 1, 2, 5, 10, … metres that is no longer than this.
export function roundLength(about_m) {
  const decade = 10 ** Math.floor(Math.log10(about_m));
  return [5, 2, 1].find((step) => step * decade <= about_m * 1.000001) * decade;
}

// Names beside marks: each where it covers no other name and no mark, or not at all.
export function placeNames(marks, { ahead = [] } = {}) {
  const taken = [...ahead, ...marks.map(({ x, y }) => box(x - 7, y - 7, 14, 14))];
  const found = new Map();
  for (const { name, x, y } of marks) {
    const width = 6.9 * name.length + 2;
    const places = [
      { x: 11, y: 4, anchor: "start", left: x + 10 },
      { x: -11, y: 4, anchor: "end", left: x - 10 - width },
      { x: 0, y: 21, anchor: "middle", left: x - width / 2 },
      { x: 0, y: -12, anchor: "middle", left: x - width / 2 },
    ];
    const free = places.find((place) => {
      const wanted = box(place.left, y + place.y - 11, width, 14);
      return !taken.some((other) => overlaps(wanted, other));
    });
    if (!free) continue;
    taken.push(box(free.left, y + free.y - 11, width, 14));
    found.set(name, free);
  }
  return found;
}

const box = (left, top, width, height) => ({ left, top, right: left + width, bottom: top + height });

const overlaps = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
