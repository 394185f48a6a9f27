// The list of the queue: only the rows that are seen exist, so 5,000 cost what 20 do.

import { badge } from "./detail.js";
import { age, clock, day, element, metres, percent, rounds } from "./format.js";
import { isOverdue, standing, timer } from "./standing.js";

const BEYOND_ROWS = 4;
const ROW_REM = 4.75;

export class QueueList {
  constructor(scroller, list, { onSelect, onNearEnd }) {
    Object.assign(this, { scroller, list, onSelect, onNearEnd });
    this.rows = new Map();
    this.queue = null;
    this.selected = "";
    this.anchor = null;
    this.focusSelected = false;
    this.measure();
    scroller.addEventListener("scroll", () => this.window(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroller);
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-incident]");
      if (row) onSelect(row.dataset.incident);
    });
  }

  measure() {
    this.row_px = Math.round(ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize));
    this.list.style.setProperty("--row", `${this.row_px}px`);
    this.height_px = this.scroller.clientHeight;
    if (this.queue) this.draw();
  }

  get handsOn() { return this.scroller.matches(":hover") || this.scroller.contains(document.activeElement); }

  // `steady`: what is seen keeps its place on the screen, and new rows above push nothing.
  show(queue, selected, { steady, time }) {
    const moved = this.selected !== selected;
    Object.assign(this, { queue, selected, time });
    this.list.style.height = `${queue.order.length * this.row_px}px`;
    if (moved) this.reveal(queue.indexOf(queue.get(selected)));
    else if (steady || this.handsOn || this.scroller.scrollTop > 0) this.restore();
    this.draw();
    if (!this.focusSelected) return;
    this.focusSelected = false;
    this.rows.get(selected)?.button.focus({ preventScroll: true });
  }

  restore() {
    const index = this.anchor ? this.queue.indexOf(this.queue.get(this.anchor.id)) : -1;
    if (index >= 0) this.scroller.scrollTop = index * this.row_px - this.anchor.top_px;
  }

  reveal(index) {
    if (index < 0) return;
    const top_px = index * this.row_px;
    const over_px = top_px + this.row_px - this.height_px;
    if (top_px < this.scroller.scrollTop) this.scroller.scrollTop = top_px;
    else if (over_px > this.scroller.scrollTop) this.scroller.scrollTop = over_px;
  }

  top() { this.scroller.scrollTop = 0; }

  window() {
    if (!this.queue) return;
    this.draw();
  }

  draw() {
    const { order } = this.queue;
    const top_px = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top_px / this.row_px) - BEYOND_ROWS);
    const last = Math.min(order.length, Math.ceil((top_px + this.height_px) / this.row_px) + BEYOND_ROWS);
    const seen = new Set();
    for (let index = first; index < last; index += 1) {
      const entry = order[index];
      seen.add(entry.id);
      const row = this.rows.get(entry.id) ?? this.make(entry.id);
      this.fill(row, entry, index);
    }
    for (const [id, row] of this.rows) {
      if (seen.has(id)) continue;
      if (row.item.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
      row.item.remove();
      this.rows.delete(id);
    }
    this.remember(first, last);
    if (last > order.length - BEYOND_ROWS) this.onNearEnd();
  }

  remember(first, last) {
    const { order } = this.queue;
    const chosen = this.queue.indexOf(this.queue.get(this.selected));
    const top = Math.ceil(this.scroller.scrollTop / this.row_px);
    const index = chosen >= first && chosen < last ? chosen : Math.min(top, order.length - 1);
    this.anchor = index >= 0 ? { id: order[index].id, top_px: index * this.row_px - this.scroller.scrollTop } : null;
  }

  make(id) {
    const cell = (name) => element("span", { class: name });
    const parts = { mark: element("span", { class: "mark", "aria-hidden": "true" }), when: element("time"), date: cell("date"), badge: cell("of"), what: element("strong"), within: cell("within"), sure: cell("sure"), says: cell("says"), left: cell("left") };
    const button = element(
      "button", { type: "button", "data-incident": id },
      element("span", { class: "when" }, parts.mark, parts.when, parts.date, parts.badge),
      element("span", { class: "what" }, parts.what, parts.within, parts.sure),
      element("span", { class: "quiet" }, parts.says, parts.left),
    );
    const row = { ...parts, button, item: element("li", {}, button), shown: "" };
    this.rows.set(id, row);
    this.list.append(row.item);
    return row;
  }

  fill(row, entry, index) {
    const { incident } = entry;
    row.item.style.transform = `translateY(${index * this.row_px}px)`;
    set(row.item, "aria-posinset", index + 1);
    set(row.item, "aria-setsize", this.queue.order.length);
    set(row.button, "aria-current", entry.id === this.selected ? "true" : null);
    const stands = standing(entry, this.time);
    set(row.button, "data-stands", stands.kind);
    set(row.button, "data-fresh", entry.fresh ? "true" : null);
    write(row.mark, stands.mark);
    write(row.says, entry.fresh ? `NEW · ${stands.says}` : stands.says);
    write(row.left, timer(entry, this.time) || (this.time.ticks ? age((this.time.now_ms - Date.parse(incident.time_utc)) / 1000) : ""));
    set(row.left, "data-late", isOverdue(entry, this.time) ? "" : null);
    const today = day(incident.time_utc) === day(new Date(this.time.now_ms).toISOString());
    write(row.date, today ? "" : day(incident.time_utc));
    if (row.shown === `${incident.revision} ${incident.state}`) return;
    row.shown = `${incident.revision} ${incident.state}`;
    row.when.dateTime = incident.time_utc;
    write(row.when, `${clock(incident.time_utc)} UTC`);
    row.badge.replaceChildren(badge(incident));
    write(row.what, rounds(incident.rounds));
    write(row.within, `95 % within ${metres(incident.cep95_m)}`);
    write(row.sure, `gunfire ${percent(incident.probability)}`);
  }
}

function set(target, name, value) {
  const text = value === null ? null : String(value);
  if (target.getAttribute(name) === text) return;
  if (text === null) target.removeAttribute(name);
  else target.setAttribute(name, text);
}

function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
