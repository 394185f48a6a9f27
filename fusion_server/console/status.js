// The bar and the strips: whether the feed lives, what the server and the nodes say of themselves, what time it is.

import { age, clock, day, element, stamp } from "./format.js";

const MODES = {
  replay: "REPLAY — recorded sound. These shots are not happening now.",
  demo: "TEST — simulated sound for demonstration. No real shots.",
};
const find = (id) => document.getElementById(id);

export class Status {
  constructor(time) {
    this.time = time;
    this.heard_utc = "";
    this.cut = "";
    this.waiting = 0;
  }

  alive() {
    setPill(find("connection"), "ok", "live feed");
    find("lost").hidden = true;
    document.body.classList.remove("cut-off");
    this.cut = "";
    this.title();
  }

  lost(title, text) {
    setPill(find("connection"), "fail", "no connection");
    setPill(find("health"), "wait", "server unknown");
    setPill(find("node-count"), "wait", "nodes unknown");
    find("lost").textContent = `${title} — ${text} ${this.heard_utc ? `What you see is from ${this.heard_utc}. ` : ""}New shots do not appear here.`;
    find("lost").hidden = false;
    document.body.classList.add("cut-off");
    this.cut = title;
    this.title();
  }

  nothing() { setPill(find("connection"), "wait", "nothing to show"); }

  setWaiting(count) {
    this.waiting = count;
    this.title();
  }

  title() {
    document.title = this.cut ? `⚠ ${this.cut} — Shotline` : this.waiting ? `(${this.waiting}) Shotline` : "Shotline";
  }

  heard(utc) {
    this.heard_utc = stamp(utc, 0);
    this.tick();
  }

  // The clock stands while nothing is heard of the server.
  tick() {
    if (this.cut) return;
    const now = new Date(this.time.now_ms).toISOString();
    find("clock").replaceChildren(element("span", { text: day(now) }), ` ${clock(now, 0)} UTC`);
    find("clock").dateTime = now;
  }

  showMeta(meta) {
    find("notice").textContent = `${meta.notice} · Shotline ${meta.software_version}`;
    find("mode").textContent = MODES[meta.mode] ?? "";
    find("mode").hidden = meta.mode === "live";
  }

  showNodes(nodes) {
    const surveyed = nodes.filter((node) => node.surveyed);
    const heard = surveyed.filter((node) => !node.silent);
    setPill(find("node-count"), heard.length === surveyed.length ? "ok" : heard.length ? "warn" : "fail", `${heard.length} of ${surveyed.length} nodes heard`);
    find("node-table").tBodies[0].replaceChildren(
      ...nodes.map((node) =>
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

  showHealth(health) {
    setPill(find("health"), health.status, health.status === "ok" ? "server ok" : `server: ${health.status}`);
    find("checks").replaceChildren(
      ...health.checks.map((check) => element("li", { "data-status": check.status }, element("strong", { text: check.name }), element("span", { text: check.message }))),
    );
  }
}

function complaint(node) {
  const bad = node.health.filter((check) => check.status !== "ok");
  return bad.map((check) => `${check.name} ${check.status === "fail" ? "fails" : "warns"}: ${check.message}`).join("; ");
}

function setPill(pill, status, text) {
  pill.dataset.status = status;
  pill.textContent = text;
}
