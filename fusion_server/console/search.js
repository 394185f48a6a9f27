// Search of the history: by time, outcome, probability, place, and words. Place and words are compared here.

import { clock, day, element, metres, percent, rounds } from "./format.js";
import { read } from "./server.js";
import { SHOWS } from "./queue.js";
import { standing } from "./standing.js";

const ASKED = 500;
const PAGE = 50;

export class Search {
  constructor(root, { bounds, take, time }) {
    Object.assign(this, { root, bounds, take, time });
    this.turn = 0;
    this.build();
  }

  build() {
    const field = (name, label, attributes) => {
      this[name] = element("input", { id: `search-${name}`, ...attributes });
      return element("label", { for: `search-${name}` }, element("span", { text: label }), this[name]);
    };
    this.outcome = element("select", { id: "search-outcome" }, ...["all", "confirmed", "dismissed", "undetermined", "open", "disputed"].map((show) => element("option", { value: show, text: SHOWS[show] })));
    this.status = element("p", { class: "quiet", role: "status" });
    this.results = element("ol", { class: "results" });
    this.next = element("button", { type: "button", hidden: true, text: "Next page", on: { click: () => this.page() } });
    this.form = element(
      "form", { on: { submit: (event) => this.begin(event) } },
      field("text", "Words", { type: "search", maxlength: 64, placeholder: "number or recording" }),
      field("since", "From (UTC)", { type: "datetime-local", step: 1 }),
      field("until", "Until (UTC)", { type: "datetime-local", step: 1 }),
      element("label", { for: "search-outcome" }, element("span", { text: "Outcome" }), this.outcome),
      field("least", "Gunfire at least %", { type: "number", min: 0, max: 100, step: 1, value: 0 }),
      field("here", "In the view of the map", { type: "checkbox" }),
      element("button", { class: "main", text: "Search" }),
    );
    this.root.append(this.form, this.status, this.results, this.next);
  }

  focus() { this.text.focus(); }

  begin(event) {
    event.preventDefault();
    this.turn += 1;
    const wanted = new URLSearchParams({ show: this.outcome.value, limit: ASKED, least_probability: Number(this.least.value) / 100 });
    if (this.since.value) wanted.set("since", `${this.since.value}Z`);
    if (this.until.value) wanted.set("until", `${this.until.value}Z`);
    this.found = [];
    this.looked = 0;
    this.following = `/review/queue?${wanted}`;
    this.fits = this.filter();
    this.results.replaceChildren();
    return this.page();
  }

  filter() {
    const words = this.text.value.trim().toLowerCase();
    const box = this.here.checked ? this.bounds() : null;
    return ({ id, scene = "", x_m, y_m }) =>
      (!words || id.toLowerCase().includes(words) || scene.toLowerCase().includes(words)) &&
      (!box || (x_m >= box.west_m && x_m <= box.east_m && y_m >= box.south_m && y_m <= box.north_m));
  }

  // Asks the server until a page is full or nothing is left.
  async page() {
    const { turn } = this;
    const upTo = this.results.children.length + PAGE;
    this.next.hidden = true;
    try {
      while (this.found.length < upTo && this.following) {
        const answer = await read(this.following);
        if (turn !== this.turn) return;
        this.looked += answer.items.length;
        this.following = answer.next;
        this.found.push(...answer.items.filter(({ incident }) => this.fits(incident)).map(({ incident, review }) => this.take(incident, review)));
        this.status.textContent = `${this.found.length} found among ${this.looked} of ${answer.total}, worst first.`;
      }
    } catch (error) {
      this.status.textContent = error.status ? error.message : "The server does not answer. Search again.";
      return;
    }
    this.results.append(...this.found.slice(this.results.children.length, upTo).map((entry) => this.row(entry)));
    this.next.hidden = !(this.following || this.found.length > upTo);
  }

  row(entry) {
    const { incident } = entry;
    const stands = standing(entry, this.time);
    return element("li", {}, element(
      "a", { href: `#incident=${encodeURIComponent(entry.id)}`, "data-stands": stands.kind },
      element("span", { class: "when" }, element("span", { class: "mark", "aria-hidden": "true", text: stands.mark }), element("time", { datetime: incident.time_utc, text: `${day(incident.time_utc)} ${clock(incident.time_utc, 0)}` }), element("strong", { text: rounds(incident.rounds) })),
      element("span", { class: "quiet" }, element("span", { text: stands.says }), element("span", { text: `${percent(incident.probability)}, ${metres(incident.cep95_m)}` })),
    ));
  }
}
