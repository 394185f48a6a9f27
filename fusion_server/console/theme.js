// Light, dark, or as the system says. The dark colours are a file of their own, and its link's `media` decides.

import { recall, remember } from "./memory.js";

const THEMES = { auto: "auto", light: "light", dark: "dark" };
const SYSTEM = matchMedia("(prefers-color-scheme: dark)");

export class Theme {
  constructor(link, button) {
    Object.assign(this, { link, button });
    this.chosen = THEMES[recall("theme")] ?? "auto";
    SYSTEM.addEventListener("change", () => this.apply());
    button.addEventListener("click", () => this.turn());
    this.apply();
  }

  turn() {
    const names = Object.keys(THEMES);
    this.chosen = names[(names.indexOf(this.chosen) + 1) % names.length];
    remember("theme", this.chosen);
    this.apply();
  }

  // What draws on a canvas hears of it by the event.
  apply() {
    this.link.media = { auto: "(prefers-color-scheme: dark)", light: "not all", dark: "all" }[this.chosen];
    const shown = this.chosen === "auto" ? (SYSTEM.matches ? "dark" : "light") : this.chosen;
    document.documentElement.dataset.theme = shown;
    this.button.textContent = this.chosen;
    this.button.setAttribute("aria-label", `Colours: ${this.chosen}. Press for the next of auto, light, dark.`);
    document.dispatchEvent(new CustomEvent("themechange", { detail: shown }));
  }
}
