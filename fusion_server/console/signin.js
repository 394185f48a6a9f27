// Who is there, and what they may do. Without accounts everybody here may do everything.

import { read, send, onRefused } from "./server.js";
import { element } from "./format.js";

const WHO_MAY = {
  incidents: "everybody with an account but the public",
  acknowledge: "dispatchers and reviewers",
  decide: "dispatchers and reviewers",
};

export class Access {
  constructor({ sheet, badge, onEnter, onOut }) {
    Object.assign(this, { sheet, badge, onEnter, onOut });
    this.who = { mode: "open", name: null, roles: [], rights: [] };
    this.known = null;
    sheet.addEventListener("cancel", (event) => event.preventDefault());
    sheet.addEventListener("close", () => { if (this.who.name === null) this.sheet.showModal(); });
    this.build();
    onRefused(() => this.refresh().catch((error) => console.warn(error.message)));
  }

  may(right) { return this.who.rights.includes(right); }

  why(right) { return `${this.who.name} (${this.who.roles.join(", ")}) may not do this; ${WHO_MAY[right]} may.`; }

  // Asks who is signed in, and asks for a password when nobody is.
  async refresh() {
    this.enter(await read("/access"));
  }

  enter(who) {
    this.who = who;
    if (who.name === null) return this.demand();
    // Another person, or another role: nothing of what the one before saw or typed stays.
    if (this.known && (this.known.name !== who.name || String(this.known.rights) !== String(who.rights))) return location.reload();
    const first = this.known === null;
    this.known = who;
    this.showBadge();
    if (this.sheet.open) this.sheet.close();
    else if (!first) return undefined;
    return this.onEnter();
  }

  demand() {
    if (this.sheet.open) return;
    this.name.value = this.known?.name ?? "";
    this.password.value = "";
    this.says.textContent = this.known ? `The session of ${this.known.name} has ended. What you typed is kept for ${this.known.name}.` : "";
    this.sheet.showModal();
    (this.name.value ? this.password : this.name).focus();
    this.onOut();
  }

  build() {
    this.name = element("input", { id: "sign-in-name", name: "username", autocomplete: "username", required: true, maxlength: 64, autocapitalize: "none", spellcheck: "false" });
    this.password = element("input", { id: "sign-in-password", name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 1024 });
    this.says = element("p", { class: "says", role: "alert" });
    this.button = element("button", { class: "main", text: "Sign in" });
    const form = element(
      "form", { on: { submit: (event) => this.submit(event) } },
      element("h2", { id: "sign-in-title", text: "Sign in to Shotline" }),
      element("label", { for: "sign-in-name", text: "Name" }), this.name,
      element("label", { for: "sign-in-password", text: "Password" }), this.password,
      this.says, this.button,
    );
    this.sheet.replaceChildren(form);
  }

  async submit(event) {
    event.preventDefault();
    this.button.disabled = true;
    this.says.textContent = "";
    try {
      const who = await send("/access/login", { name: this.name.value, password: this.password.value });
      this.password.value = "";
      this.enter(who);
    } catch (error) {
      this.says.textContent = error.status ? error.message : "The server does not answer. Try again.";
      this.password.select();
    } finally {
      this.button.disabled = false;
    }
  }

  showBadge() {
    const { mode, name, roles } = this.who;
    if (mode === "open") {
      this.badge.replaceChildren(element("span", { class: "pill", title: "This server has no accounts: whoever reaches it may do everything.", text: "no accounts" }));
      return;
    }
    this.badge.replaceChildren(
      element("span", { class: "who" }, element("strong", { text: name }), ` ${roles.join(", ")}`),
      element("button", { type: "button", id: "sign-out", text: "Sign out", on: { click: () => this.leave() } }),
    );
  }

  async leave() {
    await send("/access/logout");
    location.reload();
  }
}
