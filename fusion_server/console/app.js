// The live page: state, and who is told when it changes.

import { Detail, badge } from "./detail.js";
import { Feed, read } from "./feed.js";
import { age, clock, day, element, metres, percent, rounds, stamp, svg } from "./format.js";
import { ShotMap, WORDS, nodeShape } from "./map.js";

const PAGE = 100;
const NODES_EVERY_MS = 5000;
const MAP_INCIDENTS = 50;
const STORY_AFTER_MS = 120;
const find = (id) => document.getElementById(id);

const state = {
  incidents: new Map(),
  order: [],
  nodes: [],
  selected: new URLSearchParams(location.hash.slice(1)).get("incident") ?? "",
  story: null,
  mode: "live",
  offset_ms: 0,
  heard_utc: "",
  moved: false,
  storyTimer: 0,
};

const quietly = (work) => () => work().catch((error) => console.warn(error.message));

const map = new ShotMap(find("map"), { onSelect: (id) => select(id, { byHand: true }) });
const detail = new Detail(find("detail"));

// --- drawing: once a frame, however much comes ---------------------------------------------------------------------

const dirty = new Set();

function draw(...parts) {
  if (dirty.size === 0) requestAnimationFrame(drawNow);
  parts.forEach((part) => dirty.add(part));
}

function drawNow() {
  const parts = [...dirty];
  dirty.clear();
  parts.forEach((part) => part());
}

// --- incidents ---------------------------------------------------------------------------------------------------

function take(incident) {
  const known = state.incidents.get(incident.id);
  if (known && known.revision >= incident.revision) return false;
  state.incidents.set(incident.id, incident);
  if (!known) state.order.push(incident.id);
  state.order.sort((a, b) => {
    const [left, right] = [state.incidents.get(a), state.incidents.get(b)];
    return left.time_utc === right.time_utc ? (a < b ? -1 : 1) : left.time_utc < right.time_utc ? 1 : -1;
  });
  return true;
}

function arrive(incident) {
  const isNew = !state.incidents.has(incident.id);
  if (!take(incident)) return;
  if (isNew) {
    find("announce").textContent =
      `New incident: ${rounds(incident.rounds)} at ${clock(incident.time_utc, 0)} UTC, 95 percent within ${metres(incident.cep95_m)}.`;
  }
  if (find("follow").checked && isNew) select(state.order[0]);
  else if (incident.id === state.selected) select(incident.id);
  else draw(drawList, drawMap);
}

async function reload() {
  const page = await read(`/incidents?limit=${PAGE}`);
  page.incidents.forEach(take);
  find("more").hidden = !page.next;
  const wanted = state.incidents.has(state.selected) ? state.selected : state.order[0];
  if (wanted) select(wanted);
  else draw(drawList, drawMap);
}

async function older() {
  const page = await read(`/incidents?limit=${PAGE}&offset=${state.order.length}`);
  page.incidents.forEach(take);
  find("more").hidden = !page.next;
  draw(drawList);
}

function select(id, { byHand = false } = {}) {
  if (byHand && id !== state.order[0]) find("follow").checked = false;
  if (state.selected !== id) state.story = null;
  state.selected = id;
  draw(drawList, drawMap, drawDetail);
  clearTimeout(state.storyTimer);
  state.storyTimer = setTimeout(quietly(refreshStory), state.story ? 0 : STORY_AFTER_MS);
}

async function refreshStory() {
  const id = state.selected;
  if (!id) return;
  history.replaceState(null, "", `#incident=${encodeURIComponent(id)}`);
  const story = await read(`/incidents/${encodeURIComponent(id)}`);
  const outdated = state.selected !== id || story.revisions.length < (state.story?.revisions.length ?? 0);
  if (outdated || JSON.stringify(story) === JSON.stringify(state.story)) return;
  state.story = story;
  draw(drawDetail);
}

function drawList() {
  const rows = state.order.map((id) => {
    const incident = state.incidents.get(id);
    const current = id === state.selected;
    const row = element(
      "button",
      { type: "button", "aria-current": current ? "true" : null, "data-incident": id, on: { click: () => select(id, { byHand: true }) } },
      element("span", { class: "when" }, element("time", { datetime: incident.time_utc, text: `${clock(incident.time_utc)} UTC` }), badge(incident)),
      element("span", { class: "what" }, element("strong", { text: rounds(incident.rounds) }), element("span", { text: `95 % within ${metres(incident.cep95_m)}` })),
      element("span", { class: "quiet" }, element("span", { text: day(incident.time_utc) }), element("span", { text: `gunfire ${percent(incident.probability)}` }), element("span", { class: "age", "data-utc": incident.time_utc })),
    );
    return element("li", {}, row);
  });
  const list = find("incidents");
  const focused = document.activeElement?.closest?.("#incidents button")?.dataset.incident;
  list.replaceChildren(...rows);
  const focus = state.moved ? state.selected : focused;
  state.moved = false;
  if (focus) list.querySelector(`button[data-incident="${CSS.escape(focus)}"]`)?.focus();
  find("none").hidden = rows.length > 0;
  find("list-title").textContent = rows.length ? `Incidents (${rows.length})` : "Incidents";
  drawAges();
}

function moveInList(event) {
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = state.order[state.order.indexOf(state.selected) + step];
  if (!next) return;
  state.moved = true;
  select(next, { byHand: true });
}

const drawDetail = () => detail.show(state.incidents.get(state.selected), state.nodes, state.story);

function drawMap() {
  map.show({
    nodes: state.nodes,
    incidents: state.order.slice(0, MAP_INCIDENTS).map((id) => state.incidents.get(id)),
    selected: state.incidents.get(state.selected) ?? null,
  });
}

// --- nodes and health --------------------------------------------------------------------------------------------

async function refreshNodes() {
  const [nodes, health] = await Promise.all([read("/nodes"), read("/health")]);
  const before = JSON.stringify(state.nodes.map((node) => [node.node, node.silent, node.x_m, node.y_m]));
  state.nodes = nodes.nodes;
  const changed = before !== JSON.stringify(state.nodes.map((node) => [node.node, node.silent, node.x_m, node.y_m]));
  drawNodes();
  drawHealth(health);
  if (changed) draw(drawMap, drawDetail);
  await refreshStory();
}

function drawNodes() {
  const surveyed = state.nodes.filter((node) => node.surveyed);
  const heard = surveyed.filter((node) => !node.silent);
  setPill(find("node-count"), heard.length === surveyed.length ? "ok" : heard.length ? "warn" : "fail", `${heard.length} of ${surveyed.length} nodes heard`);
  find("node-table").tBodies[0].replaceChildren(
    ...state.nodes.map((node) =>
      element(
        "tr",
        { class: node.silent || node.health_status === "fail" ? "bad" : "" },
        element("th", { scope: "row", text: node.node }),
        element("td", { text: !node.surveyed ? "no site" : node.silent ? "silent" : complaint(node) || "heard" }),
        element("td", { text: node.last_heard_utc ? `${clock(node.last_heard_utc, 0)} UTC, ${age(node.last_heard_ago_s)}` : "never" }),
        element("td", { text: node.clock_state ?? "–" }),
      ),
    ),
  );
}

function complaint(node) {
  const bad = node.health.filter((check) => check.status !== "ok");
  return bad.map((check) => `${check.name} ${check.status === "fail" ? "fails" : "warns"}: ${check.message}`).join("; ");
}

function drawHealth(health) {
  setPill(find("health"), health.status, health.status === "ok" ? "server ok" : `server: ${health.status}`);
  find("checks").replaceChildren(
    ...health.checks.map((check) => element("li", { "data-status": check.status }, element("strong", { text: check.name }), element("span", { text: check.message }))),
  );
}

function setPill(pill, status, text) {
  pill.dataset.status = status;
  pill.textContent = text;
}

// --- connection, mode, time --------------------------------------------------------------------------------------

function alive() {
  quietly(refreshNodes)();
  setPill(find("connection"), "ok", "live feed");
  find("lost").hidden = true;
  document.body.classList.remove("cut-off");
  document.title = "Shotline";
}

function lost(reason) {
  setPill(find("connection"), "fail", "no connection");
  setPill(find("health"), "wait", "server unknown");
  setPill(find("node-count"), "wait", "nodes unknown");
  find("lost").textContent = `CONNECTION LOST — ${reason}. ${state.heard_utc ? `What you see is from ${state.heard_utc}. ` : ""}New shots do not appear here. Trying again…`;
  find("lost").hidden = false;
  document.body.classList.add("cut-off");
  document.title = "⚠ CONNECTION LOST — Shotline";
}

function serverTime(utc) {
  state.offset_ms = Date.parse(utc) - Date.now();
  state.heard_utc = stamp(utc, 0);
  drawClock();
}

function drawClock() {
  const now = new Date(Date.now() + state.offset_ms).toISOString();
  find("clock").textContent = `${day(now)} ${clock(now, 0)} UTC`;
  find("clock").dateTime = now;
}

function drawAges() {
  if (state.mode !== "live") return;
  const now_ms = Date.now() + state.offset_ms;
  for (const place of document.querySelectorAll(".age")) place.textContent = age((now_ms - Date.parse(place.dataset.utc)) / 1000);
}

function drawMode(meta) {
  state.mode = meta.mode;
  find("notice").textContent = `${meta.notice} · Shotline ${meta.software_version}`;
  const words = {
    replay: "REPLAY — recorded sound. These shots are not happening now.",
    demo: "TEST — simulated sound for demonstration. No real shots.",
  };
  find("mode").textContent = words[meta.mode] ?? "";
  find("mode").hidden = meta.mode === "live";
}

function drawLegend() {
  const entry = (kind, text) =>
    element("span", {}, svg("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" }, svg("g", { class: `node ${kind}` }, ...nodeShape(kind))), element("span", { text }));
  find("legend").replaceChildren(
    ...Object.entries(WORDS).map(([kind, text]) => entry(kind, text.split(":")[0])),
    element("span", {}, svg("svg", { viewBox: "-12 -9 24 18", width: 24, height: 18, "aria-hidden": "true" }, svg("ellipse", { class: "ellipse", rx: 10, ry: 6 }), svg("g", { class: "rounds" }, svg("circle", { r: 3 }))), element("span", { text: "round, 95 % ellipse" })),
  );
}

// --- begin -------------------------------------------------------------------------------------------------------

drawLegend();
find("zoom-in").addEventListener("click", () => map.zoom(1.5));
find("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
find("zoom-all").addEventListener("click", () => map.zoomAll());
find("zoom-incident").addEventListener("click", () => map.zoomIncident());
find("incidents").addEventListener("keydown", moveInList);
find("more").addEventListener("click", quietly(older));
find("follow").addEventListener("change", (event) => { if (event.target.checked && state.order.length) select(state.order[0]); });
quietly(async () => drawMode(await read("/meta")))();
setInterval(quietly(refreshNodes), NODES_EVERY_MS);
setInterval(() => { if (find("lost").hidden) drawClock(); drawAges(); }, 1000);
new Feed({ onIncident: arrive, onReload: quietly(reload), onTime: serverTime, onLost: lost, onAlive: alive });
