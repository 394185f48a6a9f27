"""Which alerts are told again, because nobody took them on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Reminders"]

_MOST_AT_ONCE = 20


class Reminders:
    """Remembers what was told again, and how often.

    Parameters
    ----------
    most_at_once : int
        So many of the worst are repeated; in a flood the rest waits its turn in the queue, and drowns nothing.
    """

    def __init__(self, most_at_once: int = _MOST_AT_ONCE) -> None:
        self._most_at_once = most_at_once
        self._told: dict[str, int] = {}

    def take(self, due: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Return what is to be told now.

        Parameters
        ----------
        due : sequence of (str, int)
            Incidents that nobody took on, worst first, and how many reminders of each are due by now.
        """
        worst = due[: self._most_at_once]
        new = [(incident_id, number) for incident_id, number in worst if number > self._told.get(incident_id, 0)]
        waiting = {incident_id for incident_id, _ in due}
        self._told = {incident_id: number for incident_id, number in self._told.items() if incident_id in waiting}
        self._told.update(new)
        return new
