"""Association: from a stream of arrivals with echoes and clutter to the shots that explain them, in event time.

How it works. Every arrival is weighed by how much it stands out among its neighbours at its node: echoes seldom do.
For each prominent arrival, every cell of a coarse grid says when a sound from there would have left to arrive just
then; a stack over cells and origin times adds up what other prominent arrivals say, and its peaks become seeds
(`grid`). Seeds are refined on the arrivals near their prediction and judged by their evidence: heard nodes, silent
nodes that should have heard, clutter, prior rate of shots (`explain`, `evidence`). The best is taken, its arrivals are
struck out, and so on: one arrival belongs to one shot. A place that fired once may fire again: later rounds repeat the
first one's pattern of arrivals, path delays included, and need less evidence.

A full solve is a pure function of the arrivals held, so their order does not matter and later ones may overturn
earlier conclusions; between full solves only what new arrivals can change is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from fusion_server.associate.explain import Explainer, Hypothesis
from fusion_server.associate.grid import Grid
from fusion_server.associate.settings import AssociateSettings
from fusion_server.listening import Listening
from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId
from shotline.units import NS_PER_S

__all__ = ["AssociateSettings", "Associator", "Hypothesis"]


class Associator:
    """Holds the open arrivals and explains them.

    Parameters
    ----------
    registry : Registry
        At least one site.
    settings : AssociateSettings
    window_s : float
        Longest time between a shot's origin and the last arrival or query about it.
    listening : Listening
        When each node could have spoken.
    """

    def __init__(
        self, registry: Registry, settings: AssociateSettings, *, window_s: float, listening: Listening
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._grid = Grid(tuple(registry), settings, window_s=window_s)
        self._index = {site.node: index for index, site in enumerate(registry)}
        self._arrivals: dict[DetectionId, Arrival] = {}
        self._struck: set[DetectionId] = set()
        self._fresh: set[DetectionId] = set()
        self._before: list[Hypothesis] = []
        self._epoch_ns = 0

    def add(self, arrival: Arrival) -> None:
        """Take one arrival of a registered site."""
        if not self._arrivals:
            self._epoch_ns = arrival.time_ns - 1000 * NS_PER_S
        self._arrivals[arrival.uid] = arrival
        self._fresh.add(arrival.uid)

    def strike(self, uids: Iterable[DetectionId]) -> None:
        """Keep arrivals as clutter only: they belong to a concluded shot."""
        self._struck.update(uid for uid in uids if uid in self._arrivals)

    def age(self, *, strike_before_ns: int, forget_before_ns: int) -> None:
        """Strike arrivals too old to start a new shot, and forget those too old to matter at all."""
        for uid, arrival in list(self._arrivals.items()):
            if arrival.time_ns < forget_before_ns:
                del self._arrivals[uid]
                self._struck.discard(uid)
                self._fresh.discard(uid)
            elif arrival.time_ns < strike_before_ns:
                self._struck.add(uid)

    def solve(self, now_ns: int, weather: Weather, *, full: bool) -> list[Hypothesis]:
        """Return the shots that best explain the arrivals held, by origin time.

        Parameters
        ----------
        now_ns : int
            Event time; nodes that cannot have reported yet do not count as silent.
        weather : Weather
        full : bool
            Look everywhere; otherwise only at what arrivals added since the last solve can change.
        """
        fresh = set(self._arrivals) if full else self._fresh
        held = sorted(
            self._arrivals.values(), key=lambda arrival: (self._index[arrival.site.node], arrival.time_ns, arrival.uid)
        )
        found: list[Hypothesis] = []
        if len(held) - len(self._struck) >= self._settings.min_nodes:
            explainer = Explainer(
                self._settings,
                self._grid,
                held,
                node=[self._index[arrival.site.node] for arrival in held],
                free=[arrival.uid not in self._struck for arrival in held],
                anchors=[arrival.uid in fresh for arrival in held],
                spans_s=self._listening.spans_s(self._epoch_ns),
                weather=weather,
                epoch_ns=self._epoch_ns,
                now_ns=now_ns,
            )
            found = explainer.explain(self._before)
        self._fresh, self._before = set(), found
        return found
