"""Who was listening when."""

from __future__ import annotations

import numpy as np

from fusion_server.listening import Listening


def _listens(listening: Listening, node: int, at_s: float) -> bool:
    starts, ends = listening.spans_s(0)
    return bool(((starts[node] <= at_s) & (at_s <= ends[node])).any())


def test_nothing_noted_is_as_assumed() -> None:
    assert _listens(Listening(["a"], assume=True), 0, 1e6)
    assert not _listens(Listening(["a"], assume=False), 0, 1e6)


def test_once_noted_only_the_spans_count_and_overlaps_join() -> None:
    listening = Listening(["a", "b"], assume=True)
    listening.note("a", 10_000_000_000, 20_000_000_000)
    listening.note("a", 15_000_000_000, 30_000_000_000)
    listening.note("a", 50_000_000_000, 60_000_000_000)
    listening.note("stranger", 0, 1)
    assert [_listens(listening, 0, at_s) for at_s in (9.0, 10.0, 25.0, 40.0, 55.0, 61.0)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    assert _listens(listening, 1, 40.0)
    assert listening.is_listening("a", 25_000_000_000)
    assert not listening.is_listening("a", 40_000_000_000)
    assert listening.is_listening("b", 40_000_000_000)
    assert not listening.is_listening("stranger", 0)
    starts, _ = listening.spans_s(0)
    assert starts.shape == (2, 2)


def test_forgotten_spans_do_not_bring_back_the_assumption() -> None:
    listening = Listening(["a"], assume=True)
    listening.note("a", 0, 1_000_000_000)
    listening.forget_before(2_000_000_000)
    assert not _listens(listening, 0, 0.5)
    assert np.isinf(listening.spans_s(0)[0]).all()


class _SlowListening:
    """All spans of one node, joined by looking at every one."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def note(self, from_ns: int, until_ns: int) -> None:
        touching = [span for span in self.spans if span[0] <= until_ns and from_ns <= span[1]]
        self.spans = [span for span in self.spans if span not in touching]
        starts, ends = [from_ns, *(span[0] for span in touching)], [until_ns, *(span[1] for span in touching)]
        self.spans = sorted([*self.spans, (min(starts), max(ends))])

    def forget_before(self, time_ns: int) -> None:
        self.spans = [span for span in self.spans if span[1] >= time_ns]


def test_noting_is_as_looking_at_every_span() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        listening, slow = Listening(["a", "b"], assume=False), _SlowListening()
        for now_ns in np.sort(rng.integers(0, 400, 30)).tolist():
            from_ns = int(now_ns - rng.integers(0, 60))
            until_ns = int(from_ns + rng.integers(0, 30))
            listening.note("a", from_ns, until_ns)
            slow.note(from_ns, until_ns)
            if rng.random() < 0.3:
                listening.forget_before(now_ns - 50)
                slow.forget_before(now_ns - 50)
            starts, ends = listening.spans_s(0)
            there = np.isfinite(starts[0])
            assert (starts[0, there] * 1e9).round().tolist() == [span[0] for span in slow.spans]
            assert (ends[0, there] * 1e9).round().tolist() == [span[1] for span in slow.spans]
            assert np.isinf(starts[1]).all()
