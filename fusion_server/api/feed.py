"""New incidents from the server's threads to every open event stream."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakSet

import msgspec

from fusion_server.api.gating import coarse_incident
from shotline.errors import EdgeError
from shotline.records import IncidentRecord

__all__ = ["RELOAD_EVENT", "FeedFullError", "LiveFeed", "Subscription", "event_id", "incident_event", "review_event"]

RELOAD_EVENT = b"event: reload\ndata: {}\n\n"
"""Tells a client that events were left out: it must read /incidents again."""


class FeedFullError(EdgeError):
    """As many streams are open as may be."""


def event_id(record: IncidentRecord) -> str:
    """Return the id of the event that carries a revision."""
    return f"{record.id}/{record.revision}"


def incident_event(record: IncidentRecord) -> bytes:
    """Return the server-sent event that carries a revision."""
    return f"id: {event_id(record)}\nevent: incident\ndata: ".encode() + msgspec.json.encode(record) + b"\n\n"


def review_event(kind: str, event_id: str, document: object) -> bytes:
    """Return the server-sent event that tells what people did, or that nobody did anything yet."""
    return f"id: {event_id}\nevent: {kind}\ndata: ".encode() + msgspec.json.encode(document) + b"\n\n"


class Subscription:
    """One open stream. Made by `LiveFeed.subscribe`, used in one event loop.

    Parameters
    ----------
    queue_length : int
        Events that may wait; when more come, all are dropped and one `RELOAD_EVENT` takes their place.
    coarse : bool
        Whether its incidents must not tell where nodes are.
    """

    def __init__(self, queue_length: int, *, coarse: bool = False) -> None:
        self.coarse = coarse
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._queue_length = queue_length
        self._closed = False

    def offer(self, event: bytes) -> None:
        """Queue an event; from any thread."""
        with self._lock:
            if len(self._events) >= self._queue_length:
                self._events.clear()
                event = RELOAD_EVENT
            self._events.append(event)
        self._notify()

    def end(self) -> None:
        """End the stream after what is queued; from any thread."""
        self._closed = True
        self._notify()

    async def next(self, timeout_s: float) -> list[bytes] | None:
        """Return the queued events, as soon as there is one; [] after the timeout; None when the stream has ended."""
        if not self._events and not self._closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout_s)
        self._wake.clear()
        with self._lock:
            events = list(self._events)
            self._events.clear()
        return events if events or not self._closed else None

    def _notify(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake.set)


@dataclass(frozen=True, slots=True)
class _Forms:
    """One event, in full and without what tells where nodes are."""

    full: bytes
    coarse: bytes

    def of(self, subscription: Subscription) -> bytes:
        return self.coarse if subscription.coarse else self.full


class LiveFeed:
    """Fan-out of incidents to event streams. `publish` is safe from any thread and never waits.

    Parameters
    ----------
    remembered : int
        Latest events kept so that a client that was cut off can resume.
    queue_length : int
        Events that may wait for one slow client.
    max_streams : int
        Streams open at once.
    """

    def __init__(self, *, remembered: int = 1000, queue_length: int = 256, max_streams: int = 256) -> None:
        self._remembered = remembered
        self._queue_length = queue_length
        self._max_streams = max_streams
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, _Forms] = OrderedDict()
        self._subscriptions: WeakSet[Subscription] = WeakSet()  # a stream that never began is forgotten
        self._closed = False

    def publish(self, record: IncidentRecord) -> None:
        """Send a revision to every open stream. A repeat is ignored."""
        self._publish(event_id(record), _Forms(incident_event(record), incident_event(coarse_incident(record))))

    def announce(self, kind: str, key: str, document: object) -> None:
        """Send an event of an incident's review to every open stream, under a key of its own. A repeat is ignored."""
        event = review_event(kind, key, document)
        self._publish(key, _Forms(event, event))

    def _publish(self, key: str, forms: _Forms) -> None:
        with self._lock:
            if self._closed or key in self._recent:
                return
            self._recent[key] = forms
            while len(self._recent) > self._remembered:
                self._recent.popitem(last=False)
            for subscription in self._subscriptions:
                subscription.offer(forms.of(subscription))

    def subscribe(self, last_event_id: str = "", *, coarse: bool = False) -> tuple[Subscription, bool]:
        """Open a stream in the running event loop.

        Parameters
        ----------
        last_event_id : str
            The last event that the client has; "" for a new client.
        coarse : bool
            Whether its incidents must not tell where nodes are.

        Returns
        -------
        subscription : Subscription
        resumed : bool
            False when the client names an event that is not remembered here: what it missed is not queued.

        Raises
        ------
        FeedFullError
            Too many streams are open.
        """
        with self._lock:
            if len(self._subscriptions) >= self._max_streams:
                raise FeedFullError(f"{self._max_streams} event streams are open, no more are allowed; close one")
            subscription = Subscription(self._queue_length, coarse=coarse)
            resumed = not last_event_id or last_event_id in self._recent
            if last_event_id and resumed:
                keys = list(self._recent)
                for key in keys[keys.index(last_event_id) + 1 :]:
                    subscription.offer(self._recent[key].of(subscription))
            if self._closed:
                subscription.end()
            self._subscriptions.add(subscription)
        return subscription, resumed

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream."""
        with self._lock:
            self._subscriptions.discard(subscription)

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)

    def close(self) -> None:
        """End every stream. Call it before the HTTP server stops, which waits for open answers."""
        with self._lock:
            self._closed = True
            for subscription in self._subscriptions:
                subscription.end()
