"""How much a node has on its way, by how long the server takes to acknowledge. Pure; time is given.

What a server cannot take yet is better kept at the node, which knows what is newest, than in the buffers between them,
where it can only wait its turn; and a second copy of what the server has not come to only makes it later.
"""

from __future__ import annotations

import math

__all__ = ["Pace"]

_GOAL_S = 1.0
"""Acknowledgements that take longer say that the server is behind: on a slow line, more than twice its usual time."""
_LEAST = 4
_MARGIN = 4.0
_LONGEST_WAIT_S = 120.0
_FORGET = 0.125


class Pace:
    """A window that opens while acknowledgements come at once, and is halved when they take long.

    Parameters
    ----------
    most : int
        Detections on their way at the most, and at first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = most
        self._delay_s = 0.0
        self._cut_s = -math.inf
        self._shortest_s = math.inf

    @property
    def _goal_s(self) -> float:
        return _GOAL_S if math.isinf(self._shortest_s) else max(_GOAL_S, 2.0 * self._shortest_s)

    def window(self, waited_s: float = 0.0) -> int:
        """Return how many detections may be on their way.

        Parameters
        ----------
        waited_s : float
            How long the oldest of those on their way has been; 0 when there is none.
        """
        return self._window if waited_s <= self._goal_s else min(_LEAST, self._window)

    def is_behind(self, waited_s: float = 0.0) -> bool:
        """Say whether the server takes long, or lately took long."""
        return self.window(waited_s) < self._most

    @property
    def patience_s(self) -> float:
        """How long to wait at the least before anything is sent again: some times what is usual now."""
        return min(_MARGIN * self._delay_s, _LONGEST_WAIT_S)

    def acknowledged(self, after_s: float, *, now_s: float) -> None:
        """Note how long after its first copy a detection was acknowledged."""
        # A longer delay is believed at once, a shorter one by and by.
        self._delay_s = max(after_s, self._delay_s + _FORGET * (after_s - self._delay_s))
        self._shortest_s = min(self._shortest_s, after_s)
        if after_s <= self._goal_s:
            self._window = min(self._window + 1, self._most)
        elif now_s >= self._cut_s:
            # Once for what was on its way: the next acknowledgements tell of the same wait.
            self._window = max(self._window // 2, min(_LEAST, self._most))
            self._cut_s = now_s + after_s

    def overdue(self, after_s: float, *, now_s: float) -> None:
        """Note that a detection was not acknowledged for so long that it is sent again."""
        if after_s > self._goal_s and now_s >= self._cut_s:
            self._window = max(self._window // 2, min(_LEAST, self._most))
            self._cut_s = now_s + after_s
