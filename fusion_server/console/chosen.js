// Which round of which incident is looked at: one choice for every part of the page.

class ChosenRound extends EventTarget {
  #incident = "";
  #index = 0;

  // The index of the round of an incident; another incident starts at its first one.
  of(incident) {
    if (incident.id !== this.#incident) [this.#incident, this.#index] = [incident.id, 0];
    return Math.max(0, Math.min(this.#index, incident.shots.length - 1));
  }

  choose(incident, index) {
    const wanted = Math.max(0, Math.min(index, incident.shots.length - 1));
    if (wanted === this.of(incident)) return;
    this.#index = wanted;
    this.dispatchEvent(new Event("change"));
  }
}

export const chosenRound = new ChosenRound();
