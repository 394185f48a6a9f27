"""The open arrivals as columns, one row for each node, and the rings that say when each node had something to say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.rows import (
    BIN_S,
    COARSE_GATE_S,
    NEVER,
    Columns,
    Weighing,
    draw_touched,
    forget,
    insert,
    weigh,
)
from fusion_server.associate.settings import AssociateSettings
from shotline.domain import Arrival
from shotline.units import NS_PER_S

__all__ = ["AHEAD_S", "ECHO_S", "ECHO_WITHIN_S", "Store"]

FloatArray = NDArray[np.float64]

AHEAD_S = 2.5
"""Arrivals further ahead of event time than this wait outside."""
_EPOCH_STEP_NS = 1000 * NS_PER_S
_RECORD_S = 1.0
ECHO_S = 0.6
"""Echoes that matter come within this time."""
ECHO_WITHIN_S = 0.8
"""Nor does an echo come later than this."""
_FIRST_CAPACITY = 64
_MOST_PER_NODE = 4096


class Store:
    """Holds arrivals; see `fusion_server.associate.rows.Columns`.

    Parameters
    ----------
    n_nodes : int
    settings : AssociateSettings
    window_s : float
        Longest time an arrival is kept after event time has passed it.
    """

    def __init__(self, n_nodes: int, settings: AssociateSettings, *, window_s: float) -> None:
        self._settings = settings
        self._n_nodes = n_nodes
        self._capacity = _FIRST_CAPACITY
        self.columns = _empty(n_nodes, _FIRST_CAPACITY)
        self.how = _weighing(settings)
        bins = (window_s + AHEAD_S + settings.clutter_window_s + 2.0) / BIN_S
        self.ring = np.full((n_nodes, 2 ** math.ceil(math.log2(bins))), NEVER, dtype=np.float32)
        self._head: int | None = None
        self.arrivals: dict[int, Arrival] = {}
        self._next_slot = 0
        self._waiting: list[tuple[int, int, int, Arrival]] = []
        self.epoch_ns = 0
        self.log_coarse = float(-np.log(2.0 * COARSE_GATE_S))

    def __len__(self) -> int:
        return len(self.arrivals) + len(self._waiting)

    @property
    def is_waiting(self) -> bool:
        """Whether arrivals wait to be admitted."""
        return bool(self._waiting)

    def add(self, node: int, arrival: Arrival, tie: int) -> None:
        """Take one arrival of a node; it waits until `admit`."""
        if not self.epoch_ns:
            # A round number, so that it does not depend on which arrival came first.
            self.epoch_ns = (arrival.time_ns // _EPOCH_STEP_NS - 10) * _EPOCH_STEP_NS
        self._waiting.append((node, arrival.time_ns, tie, arrival))

    def admit(self, now_s: float, speed_mps: float, listens_from_s: FloatArray) -> int:
        """Put waiting arrivals into their rows, less those far in the future; weigh and draw what they change.

        Parameters
        ----------
        now_s, speed_mps : float
        listens_from_s : ndarray, shape (n_nodes,), float64
            Since when each node has been listening.
        """
        self._turn(now_s)
        latest_ns = self.epoch_ns + int((now_s + AHEAD_S) * NS_PER_S)
        fresh = [item for item in self._waiting if item[1] <= latest_ns]
        if not fresh:
            return 0
        self._waiting = [item for item in self._waiting if item[1] > latest_ns]
        fresh.sort(key=lambda item: item[:3])
        node = np.array([item[0] for item in fresh], dtype=np.int64)
        arrivals = [item[3] for item in fresh]
        settings = self._settings
        time_s = (np.array([item[1] for item in fresh], dtype=np.int64) - self.epoch_ns) / NS_PER_S
        pick_s = np.array([arrival.sigma_s for arrival in arrivals])
        site_m = np.array([arrival.site.sigma_m for arrival in arrivals])
        slots = np.arange(self._next_slot, self._next_slot + len(fresh))
        self._next_slot += len(fresh)
        self.arrivals.update(zip(slots.tolist(), arrivals, strict=True))
        self._make_room(node)
        touched_from, touched_to = np.full(self._n_nodes, np.inf), np.full(self._n_nodes, -np.inf)
        insert(
            self.columns,
            node,
            time_s,
            np.array([arrival.snr_db for arrival in arrivals]),
            np.sqrt(speed_mps**2 * (pick_s**2 + settings.path_sigma_s**2) + site_m**2),
            _class_odds(arrivals, settings),
            np.array([item[2] for item in fresh], dtype=np.int64),
            slots,
            touched_from,
            touched_to,
        )
        self.columns.listens_from_s[:] = listens_from_s
        weigh(self.columns, self.how, touched_from, touched_to)
        self.draw(touched_from, touched_to, margin_s=settings.clutter_window_s + settings.clutter_burst_s)
        return len(fresh)

    def draw(self, from_s: FloatArray, to_s: FloatArray, *, margin_s: float = 0.0) -> None:
        """Draw nodes' rings afresh between two instants each, shape (n_nodes,); from > to for nodes left alone."""
        assert self._head is not None
        oldest_s = (self._head - self.ring.shape[1] + 1) * BIN_S
        newest_s = self._head * BIN_S - 0.5
        draw_touched(self.columns, self.ring, from_s, to_s, margin_s, oldest_s, newest_s, self.log_coarse)

    def forget(self, before_s: float) -> None:
        """Drop arrivals before an instant."""
        gone = np.empty(len(self.arrivals), dtype=np.int64)
        for slot in gone[: forget(self.columns, before_s, gone)].tolist():
            del self.arrivals[slot]

    def positions(self, node: int, time_ns: int) -> range:
        """Return where arrivals of an instant are in a node's row."""
        row = self.columns.time_s[node, : self.columns.used[node]]
        at_s = (time_ns - self.epoch_ns) / NS_PER_S
        return range(int(np.searchsorted(row, at_s)), int(np.searchsorted(row, at_s, side="right")))

    def _turn(self, now_s: float) -> None:
        """Turn the rings on: bins that come round again are emptied."""
        n_bins = self.ring.shape[1]
        head = int((now_s + AHEAD_S + 1.0) / BIN_S)
        if self._head is None or head - self._head >= n_bins:
            self.ring[:] = NEVER
        elif head > self._head:
            self.ring[:, np.arange(self._head + 1, head + 1) % n_bins] = NEVER
        self._head = head if self._head is None else max(head, self._head)

    def _make_room(self, node: NDArray[np.int64]) -> None:
        most = int((self.columns.used + np.bincount(node, minlength=self._n_nodes)).max())
        if most <= self._capacity:
            return
        while self._capacity < most:
            self._capacity *= 2
        wider = _empty(self._n_nodes, self._capacity)
        wider.used[:], wider.listens_from_s[:] = self.columns.used, self.columns.listens_from_s
        for name in Columns._fields[2:]:
            old = getattr(self.columns, name)
            getattr(wider, name)[:, : old.shape[1]] = old
        self.columns = wider


def _class_odds(arrivals: Sequence[Arrival], settings: AssociateSettings) -> FloatArray:
    """Return the weighted log odds that each node's classifier gives a gunshot, over those it gives the usual impulse.

    Unclassified arrivals say nothing; a network's word against a shot is bounded. Shape (n_arrivals,).
    """
    rules = frozenset(settings.rule_models)
    plain = np.array([arrival.model_id in rules for arrival in arrivals], dtype=np.bool_)
    usual = np.where(plain, settings.rule_usual_probability, settings.class_usual_probability)
    said = np.array([math.nan if item.gunshot_probability is None else item.gunshot_probability for item in arrivals])
    probability = np.clip(np.where(np.isnan(said), usual, said), _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    odds = np.log(probability / (1.0 - probability)) - np.log(usual / (1.0 - usual))
    learned = np.maximum(settings.class_weight * odds, settings.class_least_log_odds)
    weighted: FloatArray = np.where(plain, settings.rule_weight * odds, learned)
    return weighted


_LEAST_PROBABILITY = 0.02


def _weighing(settings: AssociateSettings) -> Weighing:
    return Weighing(
        window_s=settings.clutter_window_s,
        burst_s=settings.clutter_burst_s,
        margin_db=settings.strength_margin_db,
        softness_db=settings.strength_softness_db,
        least_hz=settings.clutter_hz,
        record_s=_RECORD_S,
        echo_s=ECHO_S,
        echo_share=settings.echo_clutter_share,
        quiet_s=settings.quiet_s,
        quiet_below_db=settings.quiet_below_db,
        echo_hz=settings.echo_hz,
        echo_decay_s=settings.echo_decay_s,
        echo_within_s=ECHO_WITHIN_S,
        echo_weaker_db=settings.echo_weaker_db,
    )


def _empty(n_nodes: int, capacity: int) -> Columns:
    shape = (n_nodes, capacity)
    floats, integers = np.zeros((7, *shape)), np.zeros((2, *shape), dtype=np.int64)
    flags = np.zeros((3, *shape), dtype=np.uint8)
    return Columns(
        used=np.zeros(n_nodes, dtype=np.int64),
        listens_from_s=np.full(n_nodes, -np.inf),
        time_s=floats[0],
        snr_db=floats[1],
        sigma_m=floats[2],
        odds=floats[3],
        starts=floats[4],
        tie=integers[0],
        slot=integers[1],
        log_clutter=floats[5],
        working=floats[6],
        free=flags[0],
        record=flags[1],
        look=flags[2],
    )
