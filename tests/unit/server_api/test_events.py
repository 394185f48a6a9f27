from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from alert_samples import incident
from api_client import ask, sample_app

from fusion_server.api import FeedFullError, LiveFeed
from fusion_server.api.feed import RELOAD_EVENT, incident_event
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from shotline.records import IncidentRecord

Event = dict[str, str]


class _Stream:
    """A client of server-sent events that knows only what the HTML standard says about them."""

    def __init__(self, url: str, *, last: str = "", after: str = "") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        headers = {"Last-Event-ID": last} if last else {}
        self._connection.request("GET", f"/events?after={after}" if after else "/events", headers=headers)
        self.answer = self._connection.getresponse()

    def next(self, *kinds: str) -> Event:
        """Return the next event of one of the kinds."""
        event: Event = {}
        while True:
            raw = self.answer.readline()
            if not raw:
                raise EOFError
            line = raw.decode().rstrip("\n")
            if not line:
                if event.get("event", "") in kinds:
                    return event
                event = {}
                continue
            name, _, value = line.partition(": ")
            event[name] = value

    def close(self) -> None:
        self._connection.close()
        self.answer.close()


@contextmanager
def _served(history: History, live: LiveFeed, *, heartbeat_s: float = 5.0) -> Iterator[str]:
    server = HttpServer(sample_app(history, live=live, heartbeat_s=heartbeat_s), "127.0.0.1", 0)
    try:
        yield server.url
    finally:
        live.close()
        server.close()


def _commit(history: History, live: LiveFeed, *records: IncidentRecord) -> None:
    for record in records:
        history.append_incident(record)
        live.publish(record)


def _keys(stream: _Stream, count: int) -> list[str]:
    return [stream.next("incident")["id"] for _ in range(count)]


def _key(record: IncidentRecord) -> str:
    return f"{record.id}/{record.revision}"


def test_a_revision_comes_with_its_id(history: History) -> None:
    live = LiveFeed()
    with _served(history, live) as url:
        stream = _Stream(url)
        assert stream.answer.status == 200
        assert stream.answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        assert stream.answer.getheader("Cache-Control") == "no-store"
        stream.next("heartbeat")
        _commit(history, live, incident(1), incident(1, revision=2))
        event = stream.next("incident")
        assert event["id"] == f"{incident(1).id}/1"
        assert json.loads(event["data"])["id"] == incident(1).id
        assert _keys(stream, 1) == [f"{incident(1).id}/2"]
        stream.close()


def test_an_idle_stream_shows_that_it_is_alive(history: History) -> None:
    with _served(history, LiveFeed(), heartbeat_s=0.01) as url:
        stream = _Stream(url)
        times = [json.loads(stream.next("heartbeat")["data"])["time_utc"] for _ in range(3)]
        assert times == ["2018-12-19T01:49:28.543Z"] * 3
        stream.close()


@pytest.mark.parametrize("how", ["last", "after"])
def test_resuming_gives_exactly_what_was_missed(history: History, how: str) -> None:
    live = LiveFeed()
    records = [incident(number) for number in range(1, 6)]
    _commit(history, live, *records)
    with _served(history, live) as url:
        stream = _Stream(url, **{how: _key(records[2])})
        assert _keys(stream, 2) == [_key(records[3]), _key(records[4])]
        _commit(history, live, incident(6))
        assert _keys(stream, 1) == [_key(incident(6))]
        stream.close()


def test_resuming_after_a_restart_reads_the_history(history: History) -> None:
    """The new process's feed remembers nothing; what was concluded since is in the history."""
    records = [incident(number) for number in range(1, 6)]
    _commit(history, LiveFeed(), *records)
    with _served(history, LiveFeed()) as url:
        stream = _Stream(url, last=_key(records[2]))
        assert _keys(stream, 2) == [_key(records[3]), _key(records[4])]
        stream.close()


@pytest.mark.parametrize("last", ["unknown/1", "no-slash", "a/b", "../..", "x" * 150])
def test_an_event_that_nobody_knows_asks_for_a_reload(history: History, last: str) -> None:
    with _served(history, LiveFeed()) as url:
        stream = _Stream(url, last=last)
        assert stream.next("reload", "incident")["event"] == "reload"
        stream.close()


def test_two_clients_both_hear(history: History) -> None:
    live = LiveFeed()
    with _served(history, live) as url:
        streams = [_Stream(url), _Stream(url)]
        for stream in streams:
            stream.next("heartbeat")
        _commit(history, live, incident(1))
        assert [_keys(stream, 1) for stream in streams] == [[_key(incident(1))]] * 2
        for stream in streams:
            stream.close()


def test_closing_the_feed_ends_streams_so_that_the_server_can_stop(history: History) -> None:
    live = LiveFeed()
    with _served(history, live) as url:
        stream = _Stream(url)
        stream.next("heartbeat")
        live.close()
        with pytest.raises(EOFError):
            stream.next("incident")
        stream.close()


def test_too_many_streams_is_said_in_plain_words(history: History) -> None:
    live = LiveFeed(max_streams=0)
    answer = ask(sample_app(history, live=live), "/events")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "0 event streams are open, no more are allowed; close one"


def test_an_id_that_is_too_long_is_refused(history: History) -> None:
    assert ask(sample_app(history), "/events", headers={"Last-Event-ID": "x" * 201}).status_code == 400


def test_a_slow_client_is_told_to_reload_instead_of_holding_memory() -> None:
    async def check() -> None:
        live = LiveFeed(queue_length=3)
        subscription, resumed = live.subscribe()
        assert resumed
        for number in range(1, 6):
            live.publish(incident(number))
        assert await subscription.next(1.0) == [RELOAD_EVENT, incident_event(incident(5))]

    asyncio.run(check())


def test_the_feed_takes_incidents_from_many_threads() -> None:
    async def check() -> None:
        live = LiveFeed(queue_length=1000)
        subscription, _ = live.subscribe()

        def publish_50(start: int) -> None:
            for step in range(50):
                live.publish(incident(start + step))

        threads = [threading.Thread(target=publish_50, args=(start,)) for start in range(0, 400, 100)]
        for thread in threads:
            thread.start()
        events: list[bytes] = []
        while len(events) < 200:
            events += await subscription.next(5.0) or []
        for thread in threads:
            thread.join()
        assert len(set(events)) == 200

    asyncio.run(check())


def test_a_repeat_is_published_once_and_the_memory_is_bounded() -> None:
    async def check() -> None:
        live = LiveFeed(remembered=2)
        for number in (1, 1, 2, 3):
            live.publish(incident(number))
        forgotten, resumed = live.subscribe(_key(incident(1)))
        assert not resumed
        live.unsubscribe(forgotten)
        subscription, resumed = live.subscribe(_key(incident(2)))
        assert resumed
        assert await subscription.next(1.0) == [incident_event(incident(3))]
        live.unsubscribe(subscription)
        assert live.streams == 0

    asyncio.run(check())


def test_a_full_feed_and_a_closed_one() -> None:
    async def check() -> None:
        live = LiveFeed(max_streams=1)
        subscription, _ = live.subscribe()
        with pytest.raises(FeedFullError, match="1 event streams are open"):
            live.subscribe()
        live.close()
        live.publish(incident(1))
        assert await subscription.next(1.0) is None

    asyncio.run(check())


def test_publishing_after_the_loop_ended_is_harmless() -> None:
    live = LiveFeed()

    async def subscribe() -> object:
        return live.subscribe()[0]

    kept = asyncio.run(subscribe())
    live.publish(incident(1))
    assert kept is not None
