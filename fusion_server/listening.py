"""Which nodes were listening when: silence counts as evidence only from a node that could have spoken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Listening"]

_ALWAYS = (-(2**62), 2**62)


class Listening:
    """Spans of event time in which each node is known to have been listening.

    Parameters
    ----------
    nodes : sequence of str
        Every node, in the order used for arrays.
    assume : bool
        Whether a node of which nothing was ever noted counts as listening: yes when replaying pulses without
        heartbeats, no on a live server, where a node that never spoke is not there.
    """

    def __init__(self, nodes: Sequence[str], *, assume: bool) -> None:
        self._spans: dict[str, list[tuple[int, int]]] = {node: [] for node in nodes}
        self._unknown = [_ALWAYS] if assume else []
        self._ever: set[str] = set()
        self._first_end_ns = 2**62
        """No span ends before this."""

    def note(self, node: str, from_ns: int, until_ns: int) -> None:
        """Note that a node listens during a span; unknown nodes are ignored, overlapping spans are joined."""
        spans = self._spans.get(node)
        if spans is None:
            return
        self._ever.add(node)
        self._first_end_ns = min(self._first_end_ns, until_ns)
        if spans and spans[-1][0] <= from_ns <= spans[-1][1]:
            # Who speaks all the time: only the last span can be meant, since none overlaps another.
            spans[-1] = (spans[-1][0], max(spans[-1][1], until_ns))
            return
        apart = [span for span in spans if span[1] < from_ns or span[0] > until_ns]
        joined = [span for span in spans if span not in apart]
        spans[:] = sorted(
            [*apart, (min([from_ns, *(span[0] for span in joined)]), max([until_ns, *(span[1] for span in joined)]))]
        )

    def drop(self, node: str) -> None:
        """Take a node for one that does not listen, and never did, until something is noted of it again."""
        if node in self._spans:
            self._ever.add(node)
            self._spans[node].clear()

    def is_listening(self, node: str, time_ns: int) -> bool:
        """Say whether a node listens at an instant."""
        if node not in self._spans:
            return False
        spans = self._spans[node] if node in self._ever else self._unknown
        return any(start_ns <= time_ns <= end_ns for start_ns, end_ns in spans)

    def forget_before(self, time_ns: int) -> None:
        """Drop spans that ended before an instant."""
        if time_ns <= self._first_end_ns:
            return
        for spans in self._spans.values():
            spans[:] = [span for span in spans if span[1] >= time_ns]
        self._first_end_ns = min((spans[0][1] for spans in self._spans.values() if spans), default=2**62)

    def spans_s(self, epoch_ns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return starts and ends, seconds after an epoch, each of shape (n_nodes, n_spans), padded with empty spans."""
        rows = [spans if node in self._ever else self._unknown for node, spans in self._spans.items()]
        width = max(1, *(len(row) for row in rows)) if rows else 1
        starts, ends = np.full((len(rows), width), np.inf), np.full((len(rows), width), -np.inf)
        for column in range(width):
            there = [index for index, row in enumerate(rows) if len(row) > column]
            spans_ns = np.array([rows[index][column] for index in there], dtype=np.int64).reshape(-1, 2)
            starts[there, column], ends[there, column] = (spans_ns - epoch_ns).T / 1e9
        return starts, ends
