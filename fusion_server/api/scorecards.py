"""Scorecards for whoever asks over HTTP: made one after another beside everything else, and kept for a short time."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from fusion_server.api.problems import ApiProblemError
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import Area, Scorecard, ScorecardSettings, scorecard
from shotline.domain import Site
from shotline.errors import InputError
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["ScorecardRules", "Scorecards"]

_DEFAULT_DAYS = (91, 28, 7)
_DAY_NS = 86_400 * NS_PER_S
_MOST_DAYS = 3_660
_MOST_HEARD_ROWS = 500_000
_KEEP_NS = 60 * NS_PER_S
_MOST_KEPT = 64
_MOST_WAITING = 8
_Key = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardRules:
    """How the server counts.

    Parameters
    ----------
    settings : ScorecardSettings
    areas : sequence of Area
        Counted apart.
    event_ns : callable (wall_ns) -> int
        Event time from wall time; a replay has another.
    """

    settings: ScorecardSettings
    areas: Sequence[Area] = ()
    event_ns: Callable[[int], int] = lambda wall_ns: wall_ns


class Scorecards:
    """Makes scorecards in one thread of its own. Who asks for the same within a minute gets the same.

    Parameters
    ----------
    book : Scorebook
    sites : sequence of Site
        Surveyed nodes.
    rules : ScorecardRules
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """

    def __init__(
        self, book: Scorebook, *, sites: Sequence[Site], rules: ScorecardRules, now_ns: Callable[[], int]
    ) -> None:
        self._book = book
        self._sites = tuple(sites)
        self._rules = rules
        self._now_ns = now_ns
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scorecard")
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, tuple[int, Future[Scorecard]]] = OrderedDict()

    def event_ns(self) -> int:
        """Return event time, now."""
        return self._rules.event_ns(self._now_ns())

    async def card(self, since_ns: int | None, until_ns: int | None) -> Scorecard:
        """Return the scorecard of a period.

        Parameters
        ----------
        since_ns : int | None
            None: 91 days before the end, 28 or 7 of a large network, or the first thing kept if that is later.
        until_ns : int | None
            None: now.

        Raises
        ------
        ApiProblemError
            Nothing is kept, the period is none or too long, or too many others wait for theirs.
        """
        # Whoever goes away while it is made must not take it from the others who wait for it.
        return await asyncio.shield(asyncio.wrap_future(self._ask((since_ns, until_ns))))

    def forget(self) -> None:
        """Make every scorecard anew from now on."""
        with self._lock:
            self._kept.clear()

    def _ask(self, key: _Key) -> Future[Scorecard]:
        now_ns = self._now_ns()
        with self._lock:
            begun_ns, kept = self._kept.get(key, (0, None))
            if kept is not None and (not kept.done() or (0 <= now_ns - begun_ns < _KEEP_NS and not kept.exception())):
                return kept
            if sum(not made.done() for _, made in self._kept.values()) >= _MOST_WAITING:
                raise ApiProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{_MOST_WAITING} scorecards of other periods are being made; ask again in a moment",
                    headers={"Retry-After": "10"},
                )
            made = self._worker.submit(self._make, *key)
            self._kept[key] = now_ns, made
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return made

    def _make(self, since_ns: int | None, until_ns: int | None) -> Scorecard:
        now_ns = self._now_ns()
        until_ns = self._rules.event_ns(now_ns) if until_ns is None else until_ns
        since_ns = self._since_ns(until_ns) if since_ns is None else since_ns
        self._check_size(since_ns, until_ns)
        evidence = self._book.evidence(
            since_ns,
            until_ns,
            around_ns=ns_from_seconds(self._rules.settings.near_s),
            scene=self._rules.settings.scene,
            event_ns=self._rules.event_ns,
        )
        try:
            return scorecard(
                evidence,
                sites=self._sites,
                areas=self._rules.areas,
                settings=self._rules.settings,
                since_ns=since_ns,
                until_ns=until_ns,
                made_ns=now_ns,
            )
        except InputError as error:
            raise ApiProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _since_ns(self, until_ns: int) -> int:
        begin_ns = self._book.begin_ns()
        if begin_ns is None or begin_ns >= until_ns:
            raise ApiProblemError(HTTPStatus.NOT_FOUND, "nothing is kept of that time, so there is nothing to count")
        spans = [max(begin_ns, until_ns - days * _DAY_NS) for days in _DEFAULT_DAYS]
        return next((since for since in spans if self._book.heard_rows(since, until_ns) <= _MOST_HEARD_ROWS), spans[-1])

    def _check_size(self, since_ns: int, until_ns: int) -> None:
        """Refuse what takes the processor from what the server is there for."""
        if until_ns - since_ns > _MOST_DAYS * _DAY_NS:
            raise ApiProblemError(
                HTTPStatus.BAD_REQUEST, f"the period is longer than {_MOST_DAYS} days; ask for a shorter one"
            )
        rows = self._book.heard_rows(since_ns, until_ns)
        if rows > _MOST_HEARD_ROWS:
            raise ApiProblemError(
                HTTPStatus.BAD_REQUEST,
                f"{rows} hours of nodes are on record in that period, {_MOST_HEARD_ROWS} are counted here at the most; "
                "ask for a shorter period, or run `shotline scorecard` beside the server",
            )
