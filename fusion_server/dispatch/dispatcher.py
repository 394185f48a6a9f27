"""From committed incidents to sinks: a thread for each sink, a receipt for each attempt, nothing forgotten.

What is published was committed before. Until a receipt says that a sink took it, it counts as undelivered and is sent
again after a restart; so delivery is at least once, and ``(id, revision)`` tells repeats apart.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from fusion_server.dispatch.sink import Alert, DeliveryError, Sink
from fusion_server.history import Receipt
from shotline.errors import InputError
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds

__all__ = ["Dispatcher", "ReceiptStore", "RetryPolicy", "SinkStatus"]

_GAVE_UP = "gave up: "
_REMEMBERED = 10_000


class ReceiptStore(Protocol):
    """The part of `fusion_server.history.History` that dispatch needs."""

    def append_receipt(self, receipt: Receipt) -> None:
        """Append what a sink said."""
        ...

    def receipts(self, incident_id: str) -> list[Receipt]:
        """Return every receipt of an incident, in the order they came."""
        ...

    def incidents(self, *, limit: int = 100, offset: int = 0) -> list[IncidentRecord]:
        """Return the latest revision of each incident, newest first."""
        ...

    def undelivered(self, sink: str, *, since_ns: int | None = None) -> list[IncidentRecord]:
        """Return the revisions that a sink has not taken yet, oldest conclusion first."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again: exponential backoff with jitter, for a bounded time.

    Parameters
    ----------
    first_delay_s : float
        After the first failure; doubled after each further one.
    max_delay_s : float
        No delay is longer, not even one that the sink asks for.
    jitter : float
        Share of each delay that is random, 0 to 1: receivers that failed together are not hit together.
    give_up_after_s : float
        Time since the first attempt after which a failure is the last.
    resume_window_s : float
        At start, undelivered alerts concluded this long before the newest incident, or longer, are left alone: they are
        history, and a new sink is not flooded with it.
    """

    first_delay_s: float = 1.0
    max_delay_s: float = 60.0
    jitter: float = 0.5
    give_up_after_s: float = 3600.0
    resume_window_s: float = 86_400.0

    def __post_init__(self) -> None:
        if not (0 < self.first_delay_s <= self.max_delay_s and 0 <= self.jitter <= 1 and self.give_up_after_s >= 0):
            raise InputError(f"retry policy cannot be: {self}; expected 0 < first <= max delay, jitter 0 to 1")

    def delay_s(self, attempt: int, rng: random.Random, *, asked_s: float | None = None) -> float:
        """Return the wait after a failed attempt (1 is the first); longer if the sink asks for it, up to the limit."""
        full_s = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(attempt - 1, 60))
        delay_s = full_s * (1.0 - self.jitter * rng.random())
        return min(self.max_delay_s, max(delay_s, asked_s or 0.0))


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How a sink does, since start.

    Parameters
    ----------
    name : str
    waiting : int
        Alerts not yet taken, those to be tried again included.
    delivered, gave_up : int
        Alerts taken, and alerts that it will not get any more.
    failures_in_a_row : int
        Attempts since the last one that was taken.
    last_error : str
        Of the last failure, or of the last receipt that could not be stored; "" when all is well.
    """

    name: str
    waiting: int
    delivered: int
    gave_up: int
    failures_in_a_row: int
    last_error: str


class Dispatcher:
    """Send published incidents to every sink, each at its own pace.

    Parameters
    ----------
    sinks : sequence of Sink
        Their names differ.
    history : ReceiptStore
        Where receipts go and undelivered alerts come from.
    test : bool
        Everything sent is a test, and says so.
    retry : RetryPolicy
    rng : random.Random | None
        For jitter; None takes the system's.
    now_ns : callable
        Wall clock of the receipts, UTC nanoseconds.
    monotonic_s : callable
        Clock of the waits, seconds.

    Raises
    ------
    InputError
        Two sinks have one name.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        history: ReceiptStore,
        *,
        test: bool = False,
        retry: RetryPolicy | None = None,
        rng: random.Random | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        names = [sink.name for sink in sinks]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two sinks are named '{name}'; receipts are kept by name, so give each its own")
        self._workers = tuple(
            _Worker(
                sink,
                history,
                test=test,
                retry=retry or RetryPolicy(),
                rng=rng or random.SystemRandom(),
                now_ns=now_ns,
                monotonic_s=monotonic_s,
            )
            for sink in sinks
        )
        self._started = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start a thread for each sink. Each begins with what was left undelivered."""
        if not self._started:
            self._started = True
            for worker in self._workers:
                worker.start()

    def publish(self, record: IncidentRecord) -> None:
        """Hand over a revision that is committed. Returns at once; a repeat of one that was sent is ignored.

        Before `start` and after `close` nothing is taken: the history has it, and the next start sends it.
        """
        for worker in self._workers:
            worker.offer(record)

    def remind(self, record: IncidentRecord, number: int) -> None:
        """Tell a revision again: nobody took it on for so many spans. Each reminder is tried once."""
        for worker in self._workers:
            worker.offer(record, reminder=number)

    def status(self) -> tuple[SinkStatus, ...]:
        """Return how each sink does."""
        return tuple(worker.status() for worker in self._workers)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Stop: what was never tried gets its first attempt, what failed before is left for the next start.

        Parameters
        ----------
        timeout_s : float
            For all sinks together.

        Returns
        -------
        bool
            Whether nothing that was published is left.
        """
        for worker in self._workers:
            worker.stop()
        deadline_s = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline_s - time.monotonic()))
        return all(status.waiting == 0 for status in self.status())


@dataclass(slots=True)
class _Item:
    record: IncidentRecord
    attempts: int = 0
    first_s: float = 0.0
    reminder: int = 0

    @property
    def key(self) -> tuple[str, int, int]:
        return self.record.id, self.record.revision, self.reminder


class _Worker:
    """One sink, its thread, and what it still has to take."""

    def __init__(
        self,
        sink: Sink,
        history: ReceiptStore,
        *,
        test: bool,
        retry: RetryPolicy,
        rng: random.Random,
        now_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._history = history
        self._test = test
        self._retry = retry
        self._rng = rng
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._wake = threading.Condition()
        self._fresh: deque[_Item] = deque()
        self._failed: list[tuple[float, int, _Item]] = []  # a heap: when due, tie-breaker, what
        self._failures_seen = 0
        self._waiting: set[tuple[str, int, int]] = set()
        self._done: dict[tuple[str, int, int], None] = {}
        self._running = False
        self._stopping = False
        self._resume_due_s: float | None = None
        self._delivered = 0
        self._gave_up = 0
        self._failures = 0
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name=f"dispatch-{sink.name}", daemon=True)

    def start(self) -> None:
        with self._wake:
            self._running = True
            self._resume_due_s = self._monotonic_s()
        self._thread.start()

    def offer(self, record: IncidentRecord, *, reminder: int = 0) -> None:
        with self._wake:
            item = _Item(record, reminder=reminder)
            if not self._running or self._stopping or item.key in self._waiting or item.key in self._done:
                return
            self._waiting.add(item.key)
            self._fresh.append(item)
            self._wake.notify()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def status(self) -> SinkStatus:
        with self._wake:
            return SinkStatus(
                name=self._sink.name,
                waiting=len(self._waiting),
                delivered=self._delivered,
                gave_up=self._gave_up,
                failures_in_a_row=self._failures,
                last_error=self._last_error,
            )

    def _run(self) -> None:
        resumes = 0
        while self._wait():
            with self._wake:
                resume = self._resume_due_s is not None and self._resume_due_s <= self._monotonic_s()
            if resume:
                resumes += 1
                self._try_resume(resumes)
            elif (item := self._take()) is not None:
                self._attempt(item)

    def _wait(self) -> bool:
        """Wait until there is something to do; False when there never will be."""
        with self._wake:
            while True:
                if self._fresh:
                    return True
                if self._stopping:
                    return False
                dues = [due_s for due_s, _, _ in self._failed[:1]]
                if self._resume_due_s is not None:
                    dues.append(self._resume_due_s)
                wait_s = min(dues) - self._monotonic_s() if dues else None
                if wait_s is not None and wait_s <= 0:
                    return True
                self._wake.wait(wait_s)

    def _take(self) -> _Item | None:
        """Take what was never tried before what failed: a new alert does not wait behind an old one's trouble."""
        with self._wake:
            if self._fresh:
                return self._fresh.popleft()
            if self._failed and not self._stopping and self._failed[0][0] <= self._monotonic_s():
                return heapq.heappop(self._failed)[2]
            return None

    def _try_resume(self, attempt: int) -> None:
        try:
            self._resume()
        except Exception as error:  # as for a sink's own fault
            with self._wake:
                self._resume_due_s = self._monotonic_s() + self._retry.delay_s(attempt, self._rng)
                self._last_error = f"cannot read what is undelivered: {error}"
        else:
            with self._wake:
                self._resume_due_s = None

    def _resume(self) -> None:
        newest = self._history.incidents(limit=1)
        if not newest:
            return
        since_ns = parse_utc(newest[0].as_of_utc) - ns_from_seconds(self._retry.resume_window_s)
        for record in self._history.undelivered(self._sink.name, since_ns=since_ns):
            if not self._was_given_up(record):
                self.offer(record)

    def _was_given_up(self, record: IncidentRecord) -> bool:
        return any(
            receipt.detail.startswith(_GAVE_UP)
            for receipt in self._history.receipts(record.id)
            if receipt.sink == self._sink.name and receipt.revision == record.revision
        )

    def _attempt(self, item: _Item) -> None:
        now_s = self._monotonic_s()
        if item.attempts == 0:
            item.first_s = now_s
        item.attempts += 1
        try:
            self._sink.send(Alert(item.record, self._test, item.reminder))
        except DeliveryError as error:
            failure = error
        except Exception as error:  # a sink's own fault must neither end its thread nor go unseen
            failure = DeliveryError(f"the sink broke: {type(error).__name__}: {error}", retryable=True)
        else:
            detail = "test delivered" if self._test else "delivered"
            self._receipt(item, ok=True, detail=f"reminder {item.reminder} {detail}" if item.reminder else detail)
            self._settle(item, delivered=True)
            return
        waited_s = self._monotonic_s() - item.first_s
        if item.reminder:
            self._miss(item, f"reminder {item.reminder}: {failure.detail}")
        elif not failure.retryable:
            self._give_up(item, f"{failure.detail} (not worth another attempt)")
        elif waited_s >= self._retry.give_up_after_s:
            self._give_up(item, f"{failure.detail} ({item.attempts} attempts in {waited_s:.0f} s)")
        else:
            self._receipt(item, ok=False, detail=failure.detail)
            delay_s = self._retry.delay_s(item.attempts, self._rng, asked_s=failure.retry_after_s)
            with self._wake:
                self._failures_seen += 1
                heapq.heappush(self._failed, (self._monotonic_s() + delay_s, self._failures_seen, item))
                self._failures += 1
                self._last_error = failure.detail

    def _give_up(self, item: _Item, detail: str) -> None:
        self._miss(item, detail, f"{_GAVE_UP}{detail}")

    def _miss(self, item: _Item, detail: str, receipt: str = "") -> None:
        self._receipt(item, ok=False, detail=receipt or detail)
        self._settle(item, delivered=False)
        with self._wake:
            self._failures += 1
            self._last_error = detail

    def _settle(self, item: _Item, *, delivered: bool) -> None:
        with self._wake:
            self._waiting.discard(item.key)
            self._done[item.key] = None
            while len(self._done) > _REMEMBERED:
                del self._done[next(iter(self._done))]
            if delivered:
                self._delivered += 1
                self._failures = 0
            else:
                self._gave_up += 1

    def _receipt(self, item: _Item, *, ok: bool, detail: str) -> None:
        receipt = Receipt(
            incident_id=item.record.id,
            revision=item.record.revision,
            sink=self._sink.name,
            attempt=item.attempts,
            ok=ok,
            detail=detail,
            time_ns=self._now_ns(),
        )
        try:
            self._history.append_receipt(receipt)
        except Exception as error:  # the alert went out; only the proof of it is missing
            with self._wake:
                self._last_error = f"a receipt could not be stored, the alert may be sent again: {error}"
        else:
            if ok:
                with self._wake:
                    self._last_error = ""
