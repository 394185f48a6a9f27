// Every key of the page, in one table: what they do, and the sheet that lists them. They never fire while somebody types.

import { element } from "./format.js";
import { recall, remember } from "./memory.js";

const TYPED = "input:not([type=radio]):not([type=checkbox]):not([type=range]):not([type=button]), textarea, select, [contenteditable]";

export const KEYS = [
  { group: "The queue", keys: ["j", "↓"], act: "next", says: "next incident (arrow: in the list)" },
  { group: "The queue", keys: ["k", "↑"], act: "previous", says: "previous incident (arrow: in the list)" },
  { group: "The queue", keys: ["n"], act: "worst", says: "the worst that is still to be decided" },
  { group: "The queue", keys: ["f"], act: "filter", says: "choose which incidents are listed" },
  { group: "The queue", keys: ["/"], act: "search", says: "search the history" },
  { group: "The incident", keys: ["a"], act: "acknowledge", says: "take it on: its alert sound stops" },
  { group: "The incident", keys: ["c"], act: "confirmed", says: "confirm: then a digit for the reason, then Enter" },
  { group: "The incident", keys: ["d"], act: "dismissed", says: "dismiss: then a digit, then Enter" },
  { group: "The incident", keys: ["u"], act: "undetermined", says: "undetermined: then a digit, then Enter" },
  { group: "The incident", keys: ["z"], act: "undo", says: "undo: decide again, the earlier decision stays on record" },
  { group: "The incident", keys: ["1–9"], act: "digit", says: "choose a reason, while deciding" },
  { group: "The incident", keys: ["Enter"], act: "enter", says: "send the decision" },
  { group: "The incident", keys: ["Esc"], act: "escape", says: "leave what is open; a half-typed note is kept" },
  { group: "The incident", keys: ["p"], act: "playback", says: "replay it as it became known" },
  { group: "The page", keys: ["m"], act: "mute", says: "sound off or on" },
  { group: "The page", keys: ["t"], act: "theme", says: "light, dark, or as the system" },
  { group: "The page", keys: ["?"], act: "help", says: "this list" },
  { group: "The sound, when it has the focus", keys: ["Space"], says: "play or stop (with Shift: all nodes)" },
  { group: "The sound, when it has the focus", keys: ["↓", "↑", "1–9"], says: "choose a node" },
  { group: "The sound, when it has the focus", keys: ["←", "→"], says: "the round before, the next" },
  { group: "The sound, when it has the focus", keys: ["+", "-"], says: "a shorter time, a longer" },
  { group: "The map, when it has the focus", keys: ["arrows"], says: "move it" },
  { group: "The map, when it has the focus", keys: ["+", "-", "0"], says: "zoom; all nodes" },
  { group: "The map, when it has the focus", keys: ["Enter"], says: "zoom to the incident" },
];

const ACTS = new Map(KEYS.filter(({ act }) => act && !["digit", "enter", "escape"].includes(act)).map(({ keys, act }) => [keys[0], act]));

export class Keys {
  constructor(actions, { sheet, isDeciding }) {
    Object.assign(this, { actions, sheet, isDeciding });
    this.single = recall("keys") !== "off";
    document.addEventListener("keydown", (event) => this.press(event));
    this.fillSheet();
  }

  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    // A key that is held down moves in the list, and decides nothing.
    if (event.repeat && event.key === "Enter") event.preventDefault();
    if (event.repeat && !["j", "k"].includes(event.key)) return;
    if (event.key === "Escape") return this.act("escape", event);
    if (event.target.matches?.(TYPED)) return;
    if (event.key === "Enter") {
      const ownUse = event.target.closest?.("button, a, summary, input, #map");
      if (this.isDeciding() && !ownUse) this.act("enter", event);
      return;
    }
    if (this.isDeciding() && /^[1-9]$/.test(event.key)) return this.act("digit", event, Number(event.key));
    const act = ACTS.get(event.shiftKey ? event.key : event.key.toLowerCase());
    if (act && (this.single || act === "help")) this.act(act, event);
  }

  act(name, event, value) {
    event.preventDefault();
    this.actions[name](value);
  }

  fillSheet() {
    const groups = new Map();
    for (const key of KEYS) groups.set(key.group, [...(groups.get(key.group) ?? []), key]);
    const table = ([group, keys]) =>
      element(
        "section", {},
        element("h3", { text: group }),
        element("dl", {}, ...keys.flatMap(({ keys: names, says }) => [element("dt", {}, ...names.map((name) => element("kbd", { text: name }))), element("dd", { text: says })])),
      );
    const box = element("input", { type: "checkbox", checked: this.single, on: { change: () => this.setSingle(box.checked) } });
    this.sheet.replaceChildren(
      element("h2", { id: "keys-title", text: "Keys" }),
      element("div", { class: "groups" }, ...[...groups].map(table)),
      element("form", { method: "dialog" }, element("label", {}, box, " single keys act (off: only the mouse, Tab and Enter)"), element("button", { class: "main", autofocus: true, text: "Close" })),
    );
  }

  setSingle(single) {
    this.single = single;
    remember("keys", single ? "on" : "off");
  }

  showSheet() {
    this.sheet.showModal();
  }
}
