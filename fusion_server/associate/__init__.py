"""Association: from a stream of arrivals with echoes and clutter to the shots that explain them, in event time.

How it works, in docs/association.md: every arrival is weighed by how much it stands out at its node (`rows.weigh`);
arrivals that stand out look for places that others agree on (`cells.scan`); these seeds are fitted and judged by
their evidence, heard and silent nodes, clutter and prior rate (`judge.settle`); the best is taken with its further
rounds, its arrivals are struck out, and so on (`search`). What a detection costs depends on the nodes within hearing
range, not on the size of the city.

A full solve is a pure function of the arrivals held, so their order does not matter and later ones may overturn
earlier conclusions; between full solves only what new arrivals can change is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import Model, Sky, pick_cells, travel_times
from fusion_server.associate.geometry import STEP_M, audibility, lay_out
from fusion_server.associate.reasons import Reasons, reasons
from fusion_server.associate.rows import strike_before
from fusion_server.associate.search import Explained, Search, arrivals_of, template
from fusion_server.associate.settings import AssociateSettings
from fusion_server.associate.store import Store
from fusion_server.listening import Listening
from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["AssociateSettings", "Associator", "Hypothesis", "Reasons"]

_AGAIN_S = (1.0, 3.0)
"""An arrival looks around again at these ages: others that heard the sound may have come by then."""
_LAST_LOOK_S = 1.5
_COARSE_AREA_S = 0.3
_TIE_MASK = 2**62 - 1


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A shot that explains some arrivals: which, where and when roughly, and how strong the case is."""

    arrivals: tuple[Arrival, ...]
    x_m: float
    y_m: float
    origin_time_ns: int
    log_evidence: float


class Associator:
    """Holds the open arrivals and explains them.

    Parameters
    ----------
    registry : Registry
        At least one site.
    settings : AssociateSettings
    window_s : float
        Longest time an arrival may stay open.
    listening : Listening
        When each node could have spoken.
    """

    def __init__(
        self, registry: Registry, settings: AssociateSettings, *, window_s: float, listening: Listening
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._ground = lay_out(tuple(registry), settings)
        self._index = {site.node: index for index, site in enumerate(registry)}
        self._nodes = tuple(self._index)
        self._store = Store(
            len(self._index), settings, window_s=window_s + settings.clutter_window_s + settings.repeat_within_s
        )
        self._window_s = window_s
        self._model = _model(settings)
        self._weather: Weather | None = None
        self._awake: NDArray[np.uint8] = np.zeros(len(self._index), dtype=np.uint8)
        self._looked_s: float | None = None
        self._before: list[Hypothesis] = []
        self._concluded: dict[tuple[Arrival, ...], Hypothesis] = {}
        self._search: Search | None = None
        self._explained: dict[int, Explained] = {}

    def add(self, arrival: Arrival) -> None:
        """Take one arrival of a registered site."""
        tie = (arrival.uid.boot * 1_000_003 + arrival.uid.sequence) & _TIE_MASK
        self._store.add(self._index[arrival.site.node], arrival, tie)

    @property
    def is_waiting(self) -> bool:
        """Whether arrivals of the future wait for their time."""
        return self._store.is_waiting

    def conclude(self, hypothesis: Hypothesis) -> None:
        """Keep a shot for good: its arrivals are clutter to all others, and its pattern may be repeated."""
        self._concluded[hypothesis.arrivals] = hypothesis
        for arrival in hypothesis.arrivals:
            node = self._index[arrival.site.node]
            for place in self._store.positions(node, arrival.time_ns):
                if self._store.arrivals[int(self._store.columns.slot[node, place])].uid == arrival.uid:
                    self._store.columns.free[node, place] = 2

    def age(self, *, strike_before_ns: int, forget_before_ns: int) -> None:
        """Strike arrivals too old to start a new shot, and forget those too old to matter at all."""
        epoch_ns = self._store.epoch_ns
        strike_before(self._store.columns, (strike_before_ns - epoch_ns) / NS_PER_S)
        self._store.forget((forget_before_ns - epoch_ns) / NS_PER_S)
        self._concluded = {
            arrivals: shot for arrivals, shot in self._concluded.items() if arrivals[0].time_ns >= forget_before_ns
        }

    def solve(self, now_ns: int, weather: Weather, *, full: bool) -> list[Hypothesis]:
        """Return the shots that best explain the arrivals held, by origin time.

        Parameters
        ----------
        now_ns : int
            Event time; nodes that cannot have reported yet do not count as silent.
        weather : Weather
        full : bool
            Look at everything of interest; otherwise only at what new arrivals can change.
        """
        self._explained = {}
        if not len(self._store):
            return []
        epoch_ns = self._store.epoch_ns
        now_s = (now_ns - epoch_ns) / NS_PER_S
        starts_s, ends_s = self._listening.spans_s(epoch_ns)
        wind_mps = weather.wind_enu_mps
        sky = Sky(weather.speed_of_sound_mps, float(wind_mps[0]), float(wind_mps[1]), now_s, starts_s, ends_s)
        if weather != self._weather:
            travel_times(self._ground, sky)
            self._weather = weather
        spans = ends_s >= starts_s
        listens_from_s = np.where(spans, starts_s, -np.inf).max(axis=1)
        listens_from_s[~spans.any(axis=1)] = np.inf
        self._store.admit(now_s, weather.speed_of_sound_mps, listens_from_s)
        awake = np.asarray((ends_s >= now_s - self._window_s).any(axis=1), dtype=np.uint8)
        if not np.array_equal(awake, self._awake):
            first, cells, ranks = pick_cells(self._ground.cell_sites, awake, self._settings.nucleus_nodes)
            self._ground = self._ground._replace(cells_first=first, cells_of=cells, rank_of=ranks)
            self._awake = awake
        since_s = now_s if self._looked_s is None else self._looked_s
        spans_s = np.array([(since_s - age_s, now_s - age_s) for age_s in self._again_s])
        self._looked_s = now_s
        search = Search(self._settings, self._store, self._ground, sky, self._model)
        again = [(shot.x_m, shot.y_m, (shot.origin_time_ns - epoch_ns) / NS_PER_S) for shot in self._before]
        search.run([self._template(shot) for shot in self._concluded.values()], again, spans_s, full=full)
        found = []
        for shot in search.found:
            hypothesis = Hypothesis(
                arrivals_of(shot, self._store),
                shot.x_m,
                shot.y_m,
                epoch_ns + ns_from_seconds(shot.origin_s),
                shot.log_evidence,
            )
            found.append(hypothesis)
            self._explained[id(hypothesis)] = shot
        found.sort(key=lambda shot: (shot.origin_time_ns, shot.x_m, shot.y_m))
        self._let_go(found)
        self._before, self._search = found, search
        return found

    def _let_go(self, found: Iterable[Hypothesis]) -> None:
        """Make arrivals that were explained before and are no longer of interest again."""
        still = {arrival.uid for shot in found for arrival in shot.arrivals}
        columns = self._store.columns
        for shot in self._before:
            for arrival in shot.arrivals:
                if arrival.uid not in still:
                    node = self._index[arrival.site.node]
                    for place in self._store.positions(node, arrival.time_ns):
                        columns.look[node, place] = 2

    def _template(self, shot: Hypothesis) -> Explained:
        """Return a concluded shot as the search knows them: where its arrivals are in the columns now."""
        places: dict[int, int] = {}
        for arrival in shot.arrivals:
            node = self._index[arrival.site.node]
            for place in self._store.positions(node, arrival.time_ns):
                places[node] = place
        origin_s = (shot.origin_time_ns - self._store.epoch_ns) / NS_PER_S
        return template(self._ground, shot.x_m, shot.y_m, origin_s, shot.log_evidence, places)

    def reasons(self, hypothesis: Hypothesis) -> Reasons:
        """Say why a hypothesis of the last solve was taken: what it passed over, who was silent, what lost."""
        assert self._search is not None
        return reasons(self._search, self._explained[id(hypothesis)], self._nodes)

    @property
    def _again_s(self) -> tuple[float, ...]:
        """Ages of another look; the last when every arrival that can come in time has come."""
        return (*_AGAIN_S, max(self._window_s - _LAST_LOOK_S, _AGAIN_S[-1] + 1.0))


def _model(settings: AssociateSettings) -> Model:
    heard, silent = audibility(settings)
    log_rate = math.log(settings.shots_per_km2_hour / (1e6 * 3600.0))
    return Model(
        min_nodes=settings.min_nodes,
        min_log_evidence=settings.min_log_evidence,
        seed_log_evidence=settings.seed_log_evidence,
        log_prior=log_rate,
        log_coarse=log_rate + math.log(settings.cell_m**2 * _COARSE_AREA_S),
        latency_s=settings.latency_s,
        gate_s=settings.gate_s,
        speed_error_sigma=settings.speed_error_sigma,
        detect_probability=settings.detect_probability,
        masked_share=settings.masked_share,
        mask_s=settings.mask_s,
        reach_m=settings.reach_m,
        step_m=STEP_M,
        log_heard=heard,
        log_silent=silent,
        repeats_hz=settings.repeats_hz,
        repeat_within_s=settings.repeat_within_s,
        repeat_sigma_s=settings.repeat_sigma_s,
        repeat_strength_sigma_db=settings.repeat_strength_sigma_db,
        split_s=0.04,
    )
