// The incident on the desk: where it stands, who said what, and a person's decision about it, three keys away.

import { clock, element, metres, place, rounds, stamp } from "./format.js";
import { send } from "./server.js";
import { OUTCOMES, difference, isOverdue, standing, timer } from "./standing.js";

const WITHDRAWN = "withdrawn: decided by mistake";
const MOST_NOTE = 2000;
const READ_FIRST_MS = 600;

export class Desk {
  constructor(root, { access, queue, time, say, onReview, onStale, onAct }) {
    Object.assign(this, { root, access, queue, time, say, onReview, onStale, onAct });
    this.id = "";
    this.outcome = null;
    this.seen = null;
    this.drafts = new Map();
    this.turn = 0;
    this.sending = 0;
    this.build();
  }

  get deciding() { return this.outcome !== null; }

  // --- what is shown ---------------------------------------------------------------------------------------------

  show(entry) {
    if ((entry?.id ?? "") !== this.id) {
      this.close();
      this.id = entry?.id ?? "";
    }
    this.root.hidden = !entry;
    if (!entry) return;
    const { incident, review } = entry;
    this.title.textContent = `${rounds(incident.rounds)} at ${clock(incident.time_utc)} UTC`;
    this.where.textContent = place(incident);
    this.drawStanding(entry);
    const mine = review.acknowledgements.some(({ person }) => person === this.access.who.name);
    this.buttons.acknowledge.disabled = mine;
    this.buttons.acknowledge.lastChild.textContent = mine ? "Taken on" : "Take on";
    this.buttons.undo.hidden = !review.decisions.length || !this.access.may("decide");
    this.drawSaid(review, incident);
    if (this.deciding && incident.revision > this.seen.revision) this.showChange(incident);
  }

  drawStanding(entry) {
    const stands = standing(entry, this.time);
    if (this.root.dataset.stands !== stands.kind) this.root.dataset.stands = stands.kind;
    write(this.mark, stands.mark);
    write(this.words, stands.says);
    write(this.timer, timer(entry, this.time));
    this.timer.toggleAttribute("data-late", isOverdue(entry, this.time));
  }

  drawSaid(review, incident) {
    const lines = [
      ...review.acknowledgements.map((one) => [one.time_utc, `${one.person} took it on`]),
      ...review.decisions.map((one) => [one.time_utc, `${one.person}: ${one.outcome}, ${one.reason_says}${one.note ? ` (${one.note})` : ""}${one.revision === incident.revision ? "" : `, about revision ${one.revision}`}`]),
    ].sort(([a], [b]) => (a < b ? -1 : 1));
    this.said.replaceChildren(
      ...lines.map(([utc, text]) => element("li", {}, element("time", { datetime: utc, title: stamp(utc), text: clock(utc, 0) }), element("span", { text }))),
    );
    const notes = [];
    const waits = review.waits_for_second;
    if (waits) notes.push(waits.person === this.access.who.name ? "A second person must agree; you cannot be both." : `${waits.person} decided; it stands once somebody else agrees. What do you say?`);
    if (review.disputed) notes.push("The last words of two persons differ.");
    if (review.changed_since_decision_m) notes.push(`The result has moved ${metres(review.changed_since_decision_m)} since it was decided on.`);
    write(this.note, notes.join(" "));
    this.note.hidden = !notes.length;
  }

  build() {
    const action = (name, key, text, act, right) =>
      element("button", { type: "button", "data-act": name, "data-right": right, "aria-keyshortcuts": key, on: { click: () => act() } }, element("kbd", { text: key }), element("span", { text }));
    this.title = element("h2", { id: "desk-title" });
    this.where = element("span", { class: "quiet" });
    this.mark = element("span", { class: "mark", "aria-hidden": "true" });
    this.words = element("span", { class: "says" });
    this.timer = element("span", { class: "left", role: "timer" });
    this.stands = element("p", { class: "stands" }, this.mark, this.words);
    this.note = element("p", { class: "hint" });
    this.said = element("ol", { class: "said", "aria-label": "What people said" });
    this.buttons = {
      acknowledge: action("acknowledge", "a", "Take on", () => this.acknowledge(), "acknowledge"),
      confirmed: action("confirmed", "c", "Confirm", () => this.open("confirmed"), "decide"),
      dismissed: action("dismissed", "d", "Dismiss", () => this.open("dismissed"), "decide"),
      undetermined: action("undetermined", "u", "Undetermined", () => this.open("undetermined"), "decide"),
      undo: action("undo", "z", "Undo", () => this.undo(), "decide"),
      playback: action("playback", "p", "Replay", () => this.onAct("playback")),
      worst: action("worst", "n", "Next", () => this.onAct("worst")),
    };
    this.denied = element("p", { class: "hint" });
    const row = (label, ...names) => element("div", { class: "actions", role: "toolbar", "aria-label": label }, ...names.map((name) => this.buttons[name]));
    const decides = row("Decide", "acknowledge", "confirmed", "dismissed", "undetermined");
    const more = row("More", "undo", "playback", "worst");
    more.classList.add("more");
    more.append(this.where);
    this.reasons = element("div", { class: "reasons" });
    this.legend = element("legend");
    this.noteField = element("input", { type: "text", id: "decision-note", maxlength: MOST_NOTE, autocomplete: "off", on: { input: () => this.keepDraft() } });
    this.change = element("p", { class: "change", role: "alert", hidden: true });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.sendButton = element("button", { class: "main" }, element("span"), element("kbd", { text: "Enter" }));
    this.form = element(
      "form", { class: "decision", hidden: true, on: { submit: (event) => this.submit(event), change: () => this.keepDraft() } },
      element("fieldset", {}, this.legend, this.reasons),
      element("label", { for: "decision-note", text: "Note" }), this.noteField,
      this.change, this.problem,
      element("div", { class: "actions" }, this.sendButton, element("button", { type: "button", on: { click: () => this.close() } }, element("span", { text: "Cancel" }), element("kbd", { text: "Esc" }))),
    );
    this.root.replaceChildren(element("div", { class: "title" }, this.title, this.timer), this.stands, decides, this.denied, this.form, this.note, this.said, more);
  }

  // What a role may not do is not offered, and the page says why.
  showRights() {
    const missing = new Set();
    for (const button of Object.values(this.buttons)) {
      const { right } = button.dataset;
      const denied = right !== undefined && !this.access.may(right);
      if (denied) missing.add(right);
      if (denied || button !== this.buttons.undo) button.hidden = denied;
    }
    this.denied.textContent = missing.size ? `Take on, confirm, dismiss: ${this.access.why([...missing].at(-1))}` : "";
    this.denied.hidden = !missing.size;
  }

  // --- what people do --------------------------------------------------------------------------------------------

  async acknowledge() {
    const { id } = this;
    if (!id || !this.allowed("acknowledge")) return;
    try {
      this.onReview(id, await send(`/incidents/${encodeURIComponent(id)}/acknowledge`));
      this.say("Taken on.");
    } catch (error) {
      this.say(`Not taken on: ${told(error)}`);
    }
  }

  open(outcome) {
    const entry = this.queue.get(this.id);
    if (!entry || !this.allowed("decide")) return;
    this.onAct("decide");
    const draft = this.drafts.get(this.id) ?? {};
    if (!this.deciding) {
      this.seen = this.queue.record(this.id);
      this.back = document.activeElement;
    }
    this.outcome = outcome;
    this.turn += 1;
    this.legend.textContent = `${OUTCOMES[outcome].verb}: why?`;
    this.reasons.replaceChildren(
      ...this.time.rules.outcomes[outcome].map(({ code, says }, index) =>
        element("label", {},
          element("input", { type: "radio", name: "reason", value: code, checked: draft.outcome === outcome && draft.reason === code }),
          element("kbd", { text: index + 1 }), element("span", { text: says })),
      ),
    );
    this.noteField.value = draft.note ?? "";
    this.sendButton.firstChild.textContent = OUTCOMES[outcome].verb;
    this.sendButton.dataset.outcome = outcome;
    this.change.hidden = true;
    this.problem.textContent = "";
    this.form.hidden = false;
    for (const [name, button] of Object.entries(this.buttons)) button.setAttribute("aria-pressed", String(name === outcome));
    (this.form.querySelector("input:checked") ?? this.form.querySelector("input")).focus();
  }

  digit(number) {
    const input = this.form.querySelectorAll("input[name=reason]")[number - 1];
    if (!input) return;
    input.checked = true;
    this.keepDraft();
    (this.reason().needs_note ? this.noteField : input).focus();
  }

  // There is no way back on record: an undo is one more decision, and the earlier ones stay.
  undo() {
    const decisions = this.queue.get(this.id)?.review.decisions ?? [];
    if (!decisions.length) return this.say("There is nothing to undo.");
    if (!this.allowed("decide")) return undefined;
    const before = decisions.at(-2);
    const number = decisions.at(-1).number;
    this.drafts.set(this.id, before
      ? { outcome: before.outcome, reason: before.reason, note: `as decision ${before.number}; decision ${number} ${WITHDRAWN}` }
      : { outcome: "undetermined", reason: "other", note: `decision ${number} ${WITHDRAWN}` });
    return this.open(this.drafts.get(this.id).outcome);
  }

  async submit(event) {
    event?.preventDefault();
    if (!this.deciding || this.sending === this.turn || "rests" in this.sendButton.dataset) return;
    const reason = this.reason();
    if (!reason) return this.complain("Choose a reason: press its digit.");
    const note = this.noteField.value;
    if (reason.needs_note && !note.trim()) {
      this.noteField.focus();
      return this.complain("Say in the note what the other reason is.");
    }
    const { id, outcome, turn } = this;
    if (this.queue.get(id).incident.revision > this.seen.revision) return this.askAgain();
    this.sending = turn;
    try {
      const review = await send(`/incidents/${encodeURIComponent(id)}/decisions`, { revision: this.seen.revision, outcome, reason: reason.code, note });
      if (this.turn === turn) {
        this.drafts.delete(id);
        this.close();
      }
      this.onReview(id, review);
      this.say(review.waits_for_second ? `Said ${outcome}. It stands once a second person agrees.` : `${outcome}: ${reason.says}.`);
    } catch (error) {
      if (error.status === 409 && this.turn === turn) await this.stale(id, turn);
      else this.complain(`Not sent: ${told(error)}`);
    } finally {
      if (this.sending === turn) this.sending = 0;
    }
    return undefined;
  }

  // The server knows of a newer revision than this page: read it, then ask.
  async stale(id, turn) {
    try {
      await this.onStale(id);
    } catch (error) {
      return this.complain(`Not sent: ${told(error)}`);
    }
    return this.turn === turn ? this.askAgain() : undefined;
  }

  showChange(incident) {
    write(this.change, `Revision ${incident.revision} came while you decide: ${difference(this.seen, incident)}.`);
    this.change.hidden = false;
  }

  // What was on the screen when the decision began is not what is known now: show it, and ask once more.
  askAgain() {
    const now = this.queue.get(this.id).incident;
    this.showChange(now);
    this.change.textContent += ` ${OUTCOMES[this.outcome].verb} all the same? Press Enter once more.`;
    this.seen = now;
    this.sendButton.focus();
    // A second press out of habit must not answer a question that nobody has read.
    this.sendButton.dataset.rests = "";
    setTimeout(() => delete this.sendButton.dataset.rests, READ_FIRST_MS);
  }

  close() {
    if (!this.deciding) return;
    const within = this.form.contains(document.activeElement);
    if (within) document.activeElement.blur();
    this.outcome = null;
    this.turn += 1;
    this.form.hidden = true;
    for (const button of Object.values(this.buttons)) button.removeAttribute("aria-pressed");
    if (within && this.back?.isConnected) this.back.focus({ preventScroll: true });
  }

  reason() {
    const code = this.form.querySelector("input[name=reason]:checked")?.value;
    return this.time.rules.outcomes[this.outcome].find((reason) => reason.code === code);
  }

  keepDraft() {
    if (!this.deciding) return;
    this.drafts.set(this.id, { outcome: this.outcome, reason: this.reason()?.code, note: this.noteField.value });
    this.problem.textContent = "";
  }

  allowed(right) {
    if (this.access.may(right)) return true;
    this.say(this.access.why(right));
    return false;
  }

  complain(text) {
    if (this.deciding) this.problem.textContent = text;
    else this.say(text);
  }
}

const told = (error) => (error.status ? error.message : "the server does not answer; press Enter to try again");

function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
