"""The network self-check: shots in, one at a time; what each node stands at, and why, out. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusion_server.netcheck.delaymap import DirectionDelay, delay_rose
from fusion_server.netcheck.judge import Finding, find_muffled, find_time, still_muffled, still_timed
from fusion_server.netcheck.memory import Series, ShotMemory
from fusion_server.netcheck.settings import NetcheckSettings
from fusion_server.netcheck.shots import CheckedShot
from fusion_server.netcheck.states import Cause, Change, NodeState, Standing
from fusion_server.netcheck.words import say_muffled, say_time
from shotline.domain import Site

__all__ = ["NetworkCheck"]

_LEAST_TRUSTED = 4


@dataclass(slots=True)
class _Watched:
    """What is remembered of one node."""

    state: NodeState
    finding: Finding | None = None
    since_row: int = 0
    """The window that shows the fault begins with this shot."""
    flagged_row: int = 0
    """The second window begins after this shot."""
    is_level: bool = False
    clean_row: int = 0
    """Sounds before this shot are over and done with: the node has healed since."""
    scored_ns: int | None = None
    """When the score was last as it is; None: at the last sound that changed something."""


class NetworkCheck:
    """Watches a network through what it locates.

    Parameters
    ----------
    sites : sequence of Site
        Of all nodes, quarantined or not.
    settings : NetcheckSettings, optional
    """

    def __init__(self, sites: Sequence[Site], settings: NetcheckSettings | None = None) -> None:
        self._settings = settings or NetcheckSettings()
        self._memory = ShotMemory(sites, self._settings)
        self._watched = [_Watched(NodeState(site.node, Standing.OK)) for site in sites]
        self._crowded = False

    @property
    def shots(self) -> int:
        """How many shots are remembered."""
        return len(self._memory)

    @property
    def path_sigma_s(self) -> float:
        """How travel times scatter here, as learned."""
        return self._memory.path_sigma_s

    @property
    def is_crowded(self) -> bool:
        """Whether more nodes look wrong than may be in doubt: the weather or the survey is, rather."""
        return self._crowded

    @property
    def quarantined(self) -> frozenset[str]:
        """Nodes in quarantine."""
        return frozenset(item.state.node for item in self._watched if item.state.standing is Standing.QUARANTINED)

    def states(self, now_ns: int | None = None) -> tuple[NodeState, ...]:
        """Return where each node stands, in the order of the sites.

        Parameters
        ----------
        now_ns : int | None
            Scores are decayed until then; None: until the last shot.
        """
        return tuple(replace(item.state, score=self._score(item, now_ns)) for item in self._watched)

    def series(self, node: str) -> tuple[Series, Series]:
        """Return the times and levels of a node, as they are judged."""
        number = self._memory.number[node]
        return self._memory.times(number), self._memory.levels(number)

    def rose(self, node: str) -> tuple[DirectionDelay, ...]:
        """Return how late sound comes to a node from each direction; nothing for one that heard nothing."""
        number = self._memory.number[node]
        return delay_rose(self._memory.learned_delays(), number, self._memory.times(number))

    @property
    def noise_share(self) -> float:
        """Share of the variance of travel times that differs from sound to sound, from the same place too."""
        return self._memory.share.noise

    def time_ns(self, row: int) -> int:
        """Return the instant of a shot that a series names."""
        return self._memory.time_ns(row)

    def clear(self, node: str, time_ns: int) -> Change | None:
        """Forget what a node said: it was worked on, and starts afresh.

        Returns
        -------
        Change or None
            None when the node was ok, or is none of this network.
        """
        number = self._memory.number.get(node)
        if number is None:
            return None
        before = self._watched[number].state.standing
        self._memory.forget_node(number)
        self._watched[number] = _Watched(NodeState(node, Standing.OK, changed_ns=time_ns))
        if before is Standing.OK:
            return None
        return Change(time_ns, before, self._watched[number].state)

    def resume(self, state: NodeState) -> None:
        """Let a node stand as it is known to: after a restart, what was found longer ago than is remembered.

        Parameters
        ----------
        state : NodeState
            Flagged or quarantined, with its estimates; of a node of this network, or nothing happens.
        """
        number = self._memory.number.get(state.node)
        if number is None or state.standing is Standing.OK or not state.estimates:
            return
        is_level = state.estimates[0].cause is Cause.MUFFLED
        if len(self._memory):
            self._memory.distrust(number, 0, levels=is_level)
        found = Finding(state.score, 0, state.estimates, 0, 0, 0)
        self._watched[number] = _Watched(state, found, 0, len(self._memory) - 1, is_level)

    def add(self, shot: CheckedShot) -> tuple[Change, ...]:
        """Take one settled shot, in order of time; return what changes."""
        settings = self._settings
        if len(shot.arrivals) < settings.least_nodes or not shot.cep95_m <= settings.most_cep95_m:
            return ()
        doubted = np.array([item.state.standing is not Standing.OK for item in self._watched], dtype=np.bool_)
        weak = np.array([item.is_level for item in self._watched], dtype=np.bool_)
        dropped = self._memory.add(shot, distrusted=doubted & ~weak, weak=weak)
        for item in self._watched:
            item.since_row = max(item.since_row - dropped, 0)
            item.flagged_row = max(item.flagged_row - dropped, -1)
            item.clean_row = max(item.clean_row - dropped, 0)
        told = {arrival.node for arrival in shot.arrivals} | {
            node for node, probability in shot.expected.items() if probability >= 0.3
        }
        touched = [number for node, number in self._memory.number.items() if node in told]
        for number in touched:
            state = self._watched[number].state
            self._watched[number].state = replace(state, sounds=state.sounds + 1)
        changes = [change for number in touched if (change := self._second_look(number)) is not None]
        return (*changes, *self._first_look(touched))

    def _score(self, item: _Watched, now_ns: int | None) -> float:
        if item.finding is None or item.state.standing is Standing.OK or not len(self._memory):
            return 0.0
        latest_ns = self._memory.last_ns if now_ns is None else now_ns
        scored_ns = item.scored_ns or item.state.changed_ns or latest_ns
        age_s = max(latest_ns - scored_ns, 0) / 1e9
        return item.state.score * math.exp2(-age_s / self._settings.half_life_s)

    # --- first window -------------------------------------------------------------------------------------------

    def _first_look(self, touched: Sequence[int]) -> list[Change]:
        """Flag nodes, the worst first and each again without those flagged before."""
        changes: list[Change] = []
        settings = self._settings
        self._crowded = False
        while True:
            best: tuple[float, int, Finding, bool] | None = None
            for number in touched:
                if self._watched[number].state.standing is not Standing.OK:
                    continue
                for is_level, find in ((False, find_time), (True, find_muffled)):
                    if is_level and not self._memory.may_be_weak(number, settings.least_deficit_db):
                        continue
                    found = find(self._memory, number, settings, from_row=self._watched[number].clean_row)
                    least = settings.flag_muffled_log_odds if is_level else settings.flag_log_odds
                    if found is None or found.log_odds < least:
                        continue
                    if best is None or found.log_odds > best[0]:
                        best = (found.log_odds, number, found, is_level)
            if best is None:
                return changes
            _, number, found, is_level = best
            doubted = 1 + sum(item.state.standing is not Standing.OK for item in self._watched)
            most = max(1, math.floor(self._settings.most_doubted * len(self._watched)))
            if doubted > most or len(self._watched) - doubted < _LEAST_TRUSTED:
                self._crowded = True
                return changes
            changes.append(self._flag(number, found, is_level=is_level))

    def _flag(self, number: int, found: Finding, *, is_level: bool) -> Change:
        item = self._watched[number]
        item.finding, item.is_level = found, is_level
        item.since_row, item.flagged_row = found.start_row, len(self._memory) - 1
        self._memory.distrust(number, found.start_row, levels=is_level)
        return self._stand(item, Standing.FLAGGED, found)

    def _stand(self, item: _Watched, standing: Standing, found: Finding | None) -> Change:
        before, now_ns = item.state.standing, self._memory.last_ns
        item.scored_ns = now_ns
        if standing is Standing.OK or found is None:
            item.state = NodeState(item.state.node, Standing.OK, sounds=item.state.sounds, changed_ns=now_ns)
            item.finding, item.is_level, item.clean_row = None, False, len(self._memory) - 1
        else:
            item.state = replace(
                item.state,
                standing=standing,
                estimates=found.estimates,
                reason=_reason(found),
                score=found.log_odds,
                since_ns=self._memory.time_ns(min(item.since_row, len(self._memory) - 1)),
                changed_ns=now_ns,
            )
        return Change(now_ns, before, item.state)

    # --- second window and after --------------------------------------------------------------------------------

    def _second_look(self, number: int) -> Change | None:
        """Confirm a flag by a second window, or lift it."""
        item = self._watched[number]
        if item.state.standing is Standing.OK or item.finding is None:
            return None
        look = find_muffled if item.is_level else find_time
        still = still_muffled if item.is_level else still_timed
        estimate = item.state.estimates[0]
        persisting = still(self._memory, number, self._settings, estimate, since_row=item.flagged_row + 1)
        if item.state.standing is Standing.FLAGGED:
            second = look(self._memory, number, self._settings, since_row=item.flagged_row + 1)
            if (
                second is not None
                and second.log_odds >= self._settings.confirm_log_odds
                and second.sounds >= min(self._settings.window_arrivals, self._settings.least_arrivals)
                and _agree(item.finding, second)
            ):
                both = look(self._memory, number, self._settings, since_row=item.since_row)
                item.finding = both or second
                return self._stand(item, Standing.QUARANTINED, item.finding)
        if persisting is not None and persisting >= self._settings.confirm_log_odds:
            item.scored_ns = self._memory.last_ns
        if persisting is not None and persisting <= -self._settings.heal_log_odds:
            return self._stand(item, Standing.OK, None)
        if self._score(item, None) < 0.5 * self._settings.confirm_log_odds:
            return self._stand(item, Standing.OK, None)
        return None


def _agree(first: Finding, second: Finding) -> bool:
    """Say whether two windows name a fault in common, to the same side."""
    if first.estimates[0].cause is Cause.MUFFLED:
        return True
    for one in first.estimates:
        for other in second.estimates:
            if one.cause is other.cause:
                return one.value * other.value + one.second * other.second > 0.0
    return {one.cause for one in first.estimates} <= {Cause.DRIFT, Cause.CLOCK} and {
        other.cause for other in second.estimates
    } <= {Cause.DRIFT, Cause.CLOCK}


def _reason(found: Finding) -> str:
    if found.estimates[0].cause is Cause.MUFFLED:
        return say_muffled(found.estimates[0], heard=found.late, expected=found.expected, sounds=found.sounds)
    return say_time(found.estimates, late=found.late, sounds=found.sounds, directions=found.directions)
