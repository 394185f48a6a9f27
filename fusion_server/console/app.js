// The desk of the console: what is known, who is told when it changes. Each part draws itself; this wires them.

import { Announcer } from "./announce.js";
import { Desk } from "./decide.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { element } from "./format.js";
import { Keys } from "./keys.js";
import { drawLegend } from "./legend.js";
import { QueueList } from "./list.js";
import { Loader } from "./loader.js";
import { ShotMap } from "./map.js";
import { recall, remember } from "./memory.js";
import { Playback } from "./playback.js";
import { Queue, SHOWS } from "./queue.js";
import { Search } from "./search.js";
import { read } from "./server.js";
import { Access } from "./signin.js";
import { Siren } from "./siren.js";
import { Sound } from "./sound.js";
import { isWaiting } from "./standing.js";
import { Status } from "./status.js";
import { Theme } from "./theme.js";

const NODES_EVERY_MS = 5000;
const MAP_INCIDENTS = 100;
const STORY_AFTER_MS = 120;
const AGAIN_AFTER_MS = 3000;
const URGENT_FOR_MS = 24 * 3600 * 1000;
const find = (id) => document.getElementById(id);
const addressed = () => new URLSearchParams(location.hash.slice(1)).get("incident") ?? "";

// `ticks`: whether the page's clock is the clock of events; in a replay or a test it need not be.
const time = {
  offset_ms: 0,
  ticks: true,
  rules: { outcomes: {}, two_persons: false, acknowledge_within_s: 30, decide_within_s: 180 },
  get now_ms() { return Date.now() + this.offset_ms; },
};

const state = {
  nodes: [],
  selected: "",
  wanted: addressed(),
  byHand: false,
  story: null,
  hearing: null,
  past: null,
  storyTimer: 0,
  news: new Set(),
};

const quietly = (work) => (...given) => work(...given).catch((error) => console.warn(error.message));

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

function drawList() {
  queue.settle();
  const steady = desk.deciding || playback.on;
  list.show(queue, state.selected, { steady, time });
  const count = loader.known(queue.count);
  find("count").textContent = count;
  find("none").hidden = queue.order.length > 0;
  find("none").textContent = queue.show === "open" && queue.entries.size === 0
    ? "No incident yet. Nodes are listening; one appears here as soon as a shot is located."
    : `None: ${SHOWS[queue.show]}.`;
  find("news").hidden = state.news.size === 0;
  find("news").textContent = `${state.news.size} new: show the worst`;
}

function drawMap() {
  const { past } = state;
  const others = queue.order.slice(0, MAP_INCIDENTS).map(({ incident }) => incident);
  map.show({
    nodes: state.nodes,
    incidents: past ? [] : others,
    selected: past ?? queue.record(state.selected) ?? null,
    hearing: past ? null : state.hearing,
  });
}

function drawDetail() {
  if (state.past) {
    detail.show(state.past, state.nodes, state.story, null);
    return sound.show(state.past);
  }
  const here = queue.hasShots(state.selected);
  find("detail").classList.toggle("waits", state.selected !== "" && !here);
  if (!here) return undefined;
  const incident = queue.record(state.selected);
  detail.show(incident, state.nodes, state.story, state.hearing);
  return sound.show(incident);
}

const drawDesk = () => desk.show(queue.get(state.selected));

const drawAll = () => draw(drawList, drawMap, drawDetail, drawDesk);

// --- incidents ---------------------------------------------------------------------------------------------------

function arrive(incident) {
  const { entry, isNew, newer } = queue.take(incident);
  if (!newer) return;
  if (isNew) {
    if (incident.revision > 1) loader.soon();
    news(entry);
    if (mayMove()) return select(entry.id);
  }
  if (entry.id === state.selected) select(entry.id, { byHand: state.byHand });
  else draw(drawList, drawMap);
}

function news(entry) {
  entry.fresh = true;
  state.news.add(entry.id);
  siren.first();
  announcer.add(entry.incident);
}

// A new incident never takes away the one that somebody still has to decide on, or looks at by choice.
function mayMove() {
  const entry = queue.get(state.selected);
  if (!entry) return true;
  const busy = desk.deciding || playback.on || state.byHand || !find("search").hidden;
  return find("follow").checked && !busy && entry.review.outcome !== null;
}

function review(id, reviewed) {
  if (!queue.setReview(id, reviewed)) return;
  if (!isWaiting(queue.get(id))) seen(id);
  if (id === state.selected) {
    if (state.story) state.story = { ...state.story, review: reviewed };
    draw(drawDesk, drawDetail);
    storySoon();
  }
  ring();
  draw(drawList);
}

// Whoever has had their say is done with it: the next alert may open.
function mine(id, reviewed) {
  if (id === state.selected) state.byHand = false;
  review(id, reviewed);
}

function told(kind, { incident, review: reviewed }) {
  const entry = queue.get(incident);
  if (!entry) return loader.soon();
  if (kind === "reminder") entry.reminded = true;
  return review(incident, reviewed);
}

function seen(id) {
  const entry = queue.get(id);
  if (entry) entry.fresh = false;
  state.news.delete(id);
}

function select(id, { byHand = false } = {}) {
  if (state.selected !== id) {
    state.story = null;
    state.hearing = null;
    playback.end();
    queue.hold(id);
  }
  state.selected = id;
  state.byHand = byHand;
  seen(id);
  drawDesk(); // at once: the next key is meant for this one, not for what is still on the screen
  drawAll();
  storySoon(state.story || !queue.hasShots(id) ? 0 : STORY_AFTER_MS);
}

const choose = (id) => select(id, { byHand: true });

function storySoon(after_ms = 0) {
  clearTimeout(state.storyTimer);
  state.storyTimer = setTimeout(quietly(refreshStory), after_ms);
}

const unaged = (name, value) => (name === "age_s" || name === "reminders_due" ? undefined : value);

async function refreshStory() {
  const id = state.selected;
  if (!id) return;
  history.replaceState(null, "", `#incident=${encodeURIComponent(id)}`);
  const path = `/incidents/${encodeURIComponent(id)}`;
  const [story, hearing] = await Promise.all([read(path), read(`${path}/hearing`).catch(() => null)]);
  take(story.incident, story.review);
  draw(drawList, drawDesk);
  const outdated = state.selected !== id || story.revisions.length < (state.story?.revisions.length ?? 0);
  if (outdated || JSON.stringify(story, unaged) === JSON.stringify(state.story, unaged)) return;
  Object.assign(state, { story, hearing });
  drawAll();
}

const take = (incident, reviewed) => queue.take(incident, reviewed, time.now_ms - 1000 * reviewed.age_s).entry;

// What the address names may be long gone from the queue, or not be there at all.
async function openAddressed() {
  const id = addressed();
  if (!id || id === state.selected) return;
  if (!queue.get(id)) {
    const story = await read(`/incidents/${encodeURIComponent(id)}`);
    take(story.incident, story.review);
  }
  choose(id);
}

function reloaded() {
  const worst = queue.worstBut("");
  queue.settle();
  if (state.wanted) {
    state.wanted = "";
    openAddressed().catch((error) => { say(error.message); reloaded(); });
  } else if (!state.selected) {
    const first = worst ?? queue.order[0];
    if (first) select(first.id);
  }
  ring();
  drawAll();
}

function step(by) {
  const index = queue.indexOf(queue.get(state.selected));
  const next = queue.order[index < 0 ? 0 : index + by];
  if (!next) return;
  list.focusSelected = document.activeElement === document.body || find("rows").contains(document.activeElement);
  choose(next.id);
}

function goWorst() {
  const worst = queue.worstBut(state.selected);
  if (!worst) return say("Nothing else is to be decided.");
  showTab("queue");
  return select(worst.id);
}

function showNews() {
  const fresh = [...state.news].map((id) => queue.get(id));
  const worst = fresh.reduce((a, b) => (b.incident.probability * b.incident.rounds > a.incident.probability * a.incident.rounds ? b : a));
  if (queue.indexOf(worst) < 0) setShow("open");
  state.news.clear();
  choose(worst.id);
}

function setShow(show) {
  find("show").value = show;
  queue.setShow(show);
  list.top();
  draw(drawList, drawMap);
  loader.load();
}

// --- the alert sound ---------------------------------------------------------------------------------------------

function ring() {
  let late = 0;
  for (const id of queue.waiting) {
    const entry = queue.get(id);
    const age_ms = time.now_ms - entry.told_ms;
    if (entry.reminded || (time.ticks && age_ms > 1000 * time.rules.acknowledge_within_s && age_ms < URGENT_FOR_MS)) late += 1;
  }
  siren.setUrgent(access.may("acknowledge") ? late : 0);
  status.setWaiting(queue.waiting.size);
}

// --- the past ----------------------------------------------------------------------------------------------------

function play() {
  if (playback.on) return playback.toggle();
  if (!state.story) return say("The incident is still being read. Try again.");
  desk.close();
  return playback.begin(state.story);
}

function act(name) {
  if (name === "playback") play();
  else if (name === "worst") goWorst();
  else playback.end();
}

function escape() {
  if (document.activeElement === find("show")) find("rows").focus();
  else if (desk.deciding) desk.close();
  else if (playback.on) playback.end();
  else showTab("queue");
}

function showTab(name) {
  for (const tab of ["queue", "search"]) {
    find(`tab-${tab}`).setAttribute("aria-pressed", String(tab === name));
  }
  find("queue").hidden = name !== "queue";
  if (name === "search") {
    find("search").hidden = false;
    return search.focus();
  }
  if (find("search").contains(document.activeElement)) document.activeElement.blur();
  find("search").hidden = true;
  return list.measure();
}

// --- nodes and health --------------------------------------------------------------------------------------------

async function refreshNodes() {
  if (!feed) return;
  const [nodes, health] = await Promise.all([read("/nodes"), read("/health")]);
  const before = JSON.stringify(state.nodes.map((node) => [node.node, node.silent, node.x_m, node.y_m]));
  state.nodes = nodes.nodes;
  const changed = before !== JSON.stringify(state.nodes.map((node) => [node.node, node.silent, node.x_m, node.y_m]));
  status.showNodes(state.nodes);
  status.showHealth(health);
  if (changed) draw(drawMap, drawDetail);
  await refreshStory();
}

// --- connection, mode, time --------------------------------------------------------------------------------------

let feed = null;

function alive() {
  quietly(refreshNodes)();
  status.alive();
}

// The stream also ends with the session that opened it: ask who is signed in.
function lost(reason) {
  status.lost("CONNECTION LOST", `${reason}. Trying again…`);
  ask();
}

function signedOut() {
  feed?.end();
  feed = null;
  if (access.known) status.lost("SIGNED OUT", "Sign in to go on.");
}

function serverTime(utc) {
  time.offset_ms = Date.parse(utc) - Date.now();
  status.heard(utc);
}

function tick() {
  status.tick();
  if (!feed) return;
  if (time.ticks && queue.show === "overdue") queue.setShow("overdue");
  ring();
  draw(drawList, drawTimer);
}

function drawTimer() {
  const entry = queue.get(state.selected);
  if (entry) desk.drawStanding(entry);
}

// Somebody is there, with their rights.
async function enter() {
  try {
    await begin();
  } catch (error) {
    if (error.status !== 401) again(enter, error);
  }
}

function again(work, error) {
  status.lost("CONNECTION LOST", `${error.status ? error.message : "the server does not answer"}. Trying again…`);
  setTimeout(work, AGAIN_AFTER_MS);
}

const ask = () => access.refresh().catch((error) => again(ask, error));

async function begin() {
  desk.showRights();
  if (!access.may("incidents")) {
    find("none").textContent = `Incidents are not shown here: ${access.why("incidents")}`;
    status.nothing();
    return;
  }
  const [meta, rules] = await Promise.all([read("/meta"), read("/review/reasons")]);
  time.rules = rules;
  time.ticks = meta.mode === "live";
  map.setMeta(meta);
  status.showMeta(meta);
  feed?.end();
  feed = new Feed({ onIncident: arrive, onReview: told, onReload: () => loader.load(), onTime: serverTime, onLost: lost, onAlive: alive });
}

// --- begin -------------------------------------------------------------------------------------------------------

const queue = new Queue(time);
const announcer = new Announcer(find("announce"), find("say"));
const say = (text) => announcer.say(text);
const status = new Status(time);
const map = new ShotMap(find("map"), { onSelect: choose });
const detail = new Detail(find("detail"));
const sound = new Sound(find("sound"));
const theme = new Theme(find("dark"), find("theme"));
const siren = new Siren(find("sound-switch"));
const access = new Access({ sheet: find("sign-in"), badge: find("person"), onEnter: enter, onOut: signedOut });
const loader = new Loader(queue, { take, onLoaded: reloaded });
const list = new QueueList(find("rows"), find("incidents"), { onSelect: choose, onNearEnd: () => loader.further() });
const desk = new Desk(find("desk"), { access, queue, time, say, onReview: mine, onStale: refreshStory, onAct: act });
const search = new Search(find("search"), { bounds: () => map.bounds?.() ?? null, take, time });
const playback = new Playback(find("playback"), {
  onShow: (record) => { state.past = record; draw(drawMap, drawDetail); },
  onEnd: () => { state.past = null; drawAll(); },
});
const keys = new Keys(
  {
    next: () => step(1), previous: () => step(-1), worst: goWorst, filter: () => { showTab("queue"); find("show").focus(); }, search: () => showTab("search"),
    acknowledge: () => desk.acknowledge(), confirmed: () => desk.open("confirmed"), dismissed: () => desk.open("dismissed"),
    undetermined: () => desk.open("undetermined"), undo: () => desk.undo(), digit: (number) => desk.digit(number), enter: () => desk.submit(),
    escape, playback: play, mute: () => siren.toggle(), theme: () => theme.turn(), help: () => keys.showSheet(),
  },
  { sheet: find("keys"), isDeciding: () => desk.deciding },
);

drawLegend(find("legend"));
find("zoom-in").addEventListener("click", () => map.zoom(1.5));
find("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
find("zoom-all").addEventListener("click", () => map.zoomAll());
find("zoom-incident").addEventListener("click", () => map.zoomIncident());
find("show").append(...Object.entries(SHOWS).map(([value, text]) => element("option", { value, text })));
find("show").addEventListener("change", (event) => setShow(event.target.value));
find("show").addEventListener("keydown", (event) => { if (event.key === "Enter") find("rows").focus(); });
find("news").addEventListener("click", showNews);
find("help").addEventListener("click", () => keys.showSheet());
find("tab-queue").addEventListener("click", () => showTab("queue"));
find("tab-search").addEventListener("click", () => showTab("search"));
find("follow").checked = recall("follow") !== "off";
find("follow").addEventListener("change", (event) => remember("follow", event.target.checked ? "on" : "off"));
find("rows").addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  step(by);
});
addEventListener("hashchange", quietly(openAddressed));
setInterval(quietly(refreshNodes), NODES_EVERY_MS);
setInterval(tick, 1000);
ask();
