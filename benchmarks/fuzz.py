"""Broken, hostile and extreme input for everything that reads from outside: nothing crashes, all of it is counted.

    python benchmarks/fuzz.py [--messages 1000000] [--seed 1] [--only NAME,...] [--out benchmarks/results/fuzz]

Each target has a share of the messages and runs in a process of its own. What is sent is drawn with the seed from every
message of the wire, from lines of gpsd and of chronyc: whole, as extreme as the schema lets them be, or mutated (bits,
cuts, splices, lying lengths, other types, NaN, huge integers, too many and too few fields, nesting, broken text). Each
target counts what it was given by itself: accepted, ignored and rejected must add up to it, and what the code under
test says of itself must agree. Memory is that of the process (resident, /proc/self/statm) after a tenth and at the end;
from 50,000 messages on it may grow by 16 MiB. Writes OUT.json and OUT.md; exit code 1 when anything escapes, is not
counted, or grows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import zmq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "node"))
sys.path.insert(0, str(ROOT / "tests" / "unit" / "clips"))

import chrony_lines  # noqa: E402
import gpsd_lines  # noqa: E402
from clip_fuzz import feed_clips, fuzz_clips  # noqa: E402
from clip_samples import EPOCH_NS, RATE_HZ, SECOND_NS, Node, collector, incident, request  # noqa: E402
from fuzz_frames import NODES, NOW_NS, corpus, mutated, mutated_frames  # noqa: E402

from fusion_server.admission import RateLimit  # noqa: E402
from fusion_server.history import History  # noqa: E402
from fusion_server.receiver import CurveGuard, Intake, Receiver  # noqa: E402
from sensor_node.chrony import clock_state, parse_tracking  # noqa: E402
from sensor_node.diskspool import DiskSpool  # noqa: E402
from sensor_node.gpsd import GpsdClient  # noqa: E402
from sensor_node.publisher import Publisher, PublisherSettings  # noqa: E402
from shotline.allowlist import WatchedAllowList, edit_allow_list  # noqa: E402
from shotline.domain import ClockState  # noqa: E402
from shotline.enrolment import AllowList  # noqa: E402
from shotline.errors import InputError, MessageError  # noqa: E402
from shotline.keyfiles import KeyPair  # noqa: E402
from shotline.messages import (  # noqa: E402
    MAX_MESSAGE_BYTES,
    Ack,
    Detection,
    Heartbeat,
    Hello,
    Reject,
    RejectReason,
    decode,
    encode,
)

RESULTS = ROOT / "benchmarks" / "results" / "fuzz"
MIB = 1024 * 1024
MAY_GROW_BYTES = 16 * MIB
GROWTH_COUNTS_FROM = 50_000
BATCH = 256
PATIENCE_S = 30.0
EXAMPLES = 3
_KEY_REFUSED = (RejectReason.UNKNOWN_KEY, RejectReason.REVOKED_KEY)


@dataclass
class Tally:
    """What became of what was given, as the target itself has seen it."""

    given: int = 0
    accepted: int = 0
    ignored: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: dict[str, int | str] = field(default_factory=dict)

    def check(self) -> None:
        """Assert that nothing is missing."""
        assert self.given == self.accepted + self.ignored + sum(self.rejected.values()), self


class Feed(Protocol):
    """One thing that reads from outside."""

    def take(self) -> None:
        """Draw one message and give it."""
        ...

    def settle(self) -> None:
        """End a batch."""
        ...

    def tally(self) -> Tally:
        """Say what became of everything; raise AssertionError when anything is not accounted for."""
        ...


@dataclass(frozen=True)
class Target:
    """What is fed, with what, and its share of the messages."""

    name: str
    corpus: str
    share: float
    open: Callable[[int, Path], AbstractContextManager[Feed]]


# --- the server ---------------------------------------------------------------------------------------------------


class IntakeFeed:
    """Frames into the intake, under keys that are accepted, revoked and unknown; a batch is committed at a time."""

    def __init__(self, seed: int, folder: Path, history: History) -> None:
        self._rng = random.Random(seed)
        self._history = history
        self._keys = [_new_pair().public for _ in range(len(NODES) + 2)]
        allow_list = _allow_list(folder, dict(zip([*NODES, "gone"], self._keys, strict=False)))
        edit_allow_list(allow_list.path, lambda before: before.revoke("gone", None, now_ns=NOW_NS))
        allow_list.refresh()
        self._now_ns = NOW_NS
        self._intake = Intake(history, boot=1, keys=allow_list, limit=RateLimit(200.0, 200), future_limit_s=2.0)
        self._tally = Tally()
        self._pending = 0

    def take(self) -> None:
        """Give one message; time goes on about as fast as the limit of a node lets it speak."""
        rng, counters = self._rng, self._intake.counters
        self._now_ns += rng.choice((0, 100_000, 1_000_000, 16_000_000))
        key = rng.choices(self._keys, (90, 6, 2, 1, 1))[0]
        frames = mutated_frames(rng)
        rejects, detections = counters.rejects.total(), counters.detections
        self._intake.take(rng.randbytes(1), frames, now_ns=self._now_ns, key=key)
        self._tally.given += 1
        if counters.rejects.total() > rejects:
            assert counters.rejects.total() == rejects + 1
        elif counters.detections > detections:
            self._pending += 1
        else:
            assert isinstance(decode(frames[-1]), Hello | Heartbeat | Reject), frames
            self._tally.accepted += 1

    def settle(self) -> None:
        """Commit."""
        counters = self._intake.counters
        before = counters.fresh + counters.duplicates
        conflicts = counters.rejects[RejectReason.CONFLICTING_DUPLICATE.value]
        taken = self._intake.commit(now_ns=self._now_ns)
        assert not self._intake.storage_problem, self._intake.storage_problem
        assert counters.fresh + counters.duplicates - before == self._pending
        for _, data in taken.replies:
            assert isinstance(decode(data), Ack | Reject | Heartbeat)
        conflicts = counters.rejects[RejectReason.CONFLICTING_DUPLICATE.value] - conflicts
        self._tally.accepted += self._pending - conflicts
        self._pending = 0

    def tally(self) -> Tally:
        """Compare with the intake's counts and the history's."""
        counters, kept = self._intake.counters, self._history.counts()
        self._tally.rejected = Counter(counters.rejects)
        assert counters.messages == self._tally.given
        assert counters.uncommitted == 0
        assert kept.detections == counters.fresh
        assert self._history.reject_counts() == {name: count for name, count in counters.rejects.items() if count}
        rows = len(self._history.rejects(limit=1_000_000))
        assert rows <= 1_001 * len(counters.rejects), rows
        self._tally.notes = {
            "detections stored": counters.fresh,
            "copies": counters.duplicates,
            "rejects kept as examples": rows,
        }
        return self._tally


@contextmanager
def open_intake(seed: int, folder: Path) -> Iterator[Feed]:
    """Open an intake with a history on disk."""
    with History.open(folder / "history.db") as history:
        yield IntakeFeed(seed, folder, history)


class ReceiverFeed:
    """Messages of one or more frames through a real CURVE socket of the receiver, and rubbish at its port."""

    def __init__(
        self, seed: int, history: History, receiver: Receiver, intake: Intake, peer: zmq.Socket[bytes]
    ) -> None:
        self._rng = random.Random(seed)
        self._history, self._receiver, self._intake, self._peer = history, receiver, intake, peer
        self._port = int(receiver.endpoint.rpartition(":")[2])
        self._tally = Tally()
        self._rubbish = 0

    def take(self) -> None:
        """Send one message; for a longer frame libzmq would cut the connection, which `test_receiver` looks at."""
        frames = [frame for frame in mutated_frames(self._rng) if len(frame) <= MAX_MESSAGE_BYTES] or [b""]
        self._peer.send_multipart(frames)
        self._tally.given += 1

    def settle(self) -> None:
        """Have everything taken, and read the answers; let somebody connect who speaks no ZMTP."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self._intake.counters.messages < self._tally.given:
            assert time.monotonic() < deadline_s, f"{self._intake.counters.messages} of {self._tally.given} came"
            self._receiver.poll(10, lambda: NOW_NS)
            while self._peer.poll(0):
                self._peer.recv()
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", self._port), timeout=10.0) as raw:
            self._rubbish += 1
            raw.sendall(self._rng.choice((b"", bytes.fromhex("ff00000000000000017f"), b"GET / HTTP/1.1\r\n\r\n")))
            raw.sendall(self._rng.randbytes(self._rng.randrange(200)))
        self._receiver.poll(0, lambda: NOW_NS)

    def tally(self) -> Tally:
        """Compare with the intake's counts; hellos and heartbeats are what is neither a detection nor a reject."""
        counters = self._intake.counters
        conflicts = counters.rejects[RejectReason.CONFLICTING_DUPLICATE.value]
        assert counters.messages == self._tally.given, (counters.messages, self._tally.given)
        assert self._history.counts().detections == counters.fresh
        self._tally.rejected = Counter(counters.rejects)
        self._tally.accepted = counters.messages - counters.rejects.total()
        assert counters.fresh + counters.duplicates - conflicts <= self._tally.accepted
        self._tally.notes = {
            "detections stored": counters.fresh,
            "connections that spoke no ZMTP": self._rubbish,
        }
        return self._tally


@contextmanager
def open_receiver(seed: int, folder: Path) -> Iterator[Feed]:
    """Open a receiver on loopback, and connect to it with a key that it knows."""
    server, node = _new_pair(), _new_pair()
    keys = _allow_list(folder, {NODES[0]: node.public})
    with History.open(folder / "history.db") as history, zmq.Context() as context:
        intake = Intake(history, boot=1, keys=keys, future_limit_s=2.0)
        with (
            Receiver("tcp://127.0.0.1:0", intake, curve=CurveGuard(server, keys), context=context) as receiver,
            context.socket(zmq.DEALER) as peer,
        ):
            peer.linger = 0
            peer.curve_publickey, peer.curve_secretkey = node.public.encode(), node.secret.encode()
            peer.curve_serverkey = server.public.encode()
            peer.connect(receiver.endpoint)
            yield ReceiverFeed(seed, history, receiver, intake, peer)


# --- the node -----------------------------------------------------------------------------------------------------


class NodeFeed:
    """Frames from a real ROUTER to a publisher that owes detections."""

    def __init__(self, seed: int, publisher: Publisher, spool: DiskSpool, router: zmq.Socket[bytes]) -> None:
        self._rng = random.Random(seed)
        self._publisher, self._spool, self._router = publisher, spool, router
        self._tally = Tally()
        self._sent = self._taken = self._sequence = self._batch = 0
        while not publisher.connected:
            publisher.poll(10)
        self._peer = router.recv_multipart()[0]

    def take(self) -> None:
        """Send one frame. A reject of the key would make the node connect anew: `test_secure_transport` does that."""
        while True:
            data = mutated(self._rng)
            try:
                message = decode(data)
            except MessageError as error:
                kind = error.reason
            else:
                if isinstance(message, Reject) and message.reason in _KEY_REFUSED:
                    continue
                kind = type(message).__name__
            if len(data) <= MAX_MESSAGE_BYTES:
                break
        if kind in ("Ack", "Reject", "Heartbeat"):
            self._tally.accepted += 1
            self._tally.notes[kind] = int(self._tally.notes.get(kind, 0)) + 1
        elif kind in tuple(RejectReason):
            self._tally.rejected[kind] += 1
        else:
            self._tally.rejected["unexpected_message"] += 1
        self._router.send_multipart([self._peer, data])
        self._sent += 1

    def settle(self) -> None:
        """Have everything taken, owe something new, and read what the node says."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self._taken < self._sent:
            assert time.monotonic() < deadline_s, f"{self._taken} of {self._sent} came"
            self._taken += self._publisher.poll(10)
        detection = next(message for message in corpus() if isinstance(message, Detection))
        self._publisher.send(_renumbered(detection, self._sequence))
        self._sequence += 1
        while self._router.poll(0):
            self._router.recv_multipart()

    def tally(self) -> Tally:
        """Compare with the publisher's counts."""
        counters, notes = self._publisher.counters, self._tally.notes
        self._tally.given = self._taken
        assert counters.bad_messages == self._tally.rejected.total(), (counters, self._tally)
        assert counters.rejected == notes.get("Reject", 0)
        assert counters.heartbeats_received == notes.get("Heartbeat", 0)
        assert counters.disconnects == 0
        assert not self._spool.problem
        return self._tally


@contextmanager
def open_node(seed: int, folder: Path) -> Iterator[Feed]:
    """Open a publisher with a spool on disk, connected to a ROUTER."""
    hello = next(message for message in corpus() if isinstance(message, Hello))
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as router,
        DiskSpool(folder / "spool.db") as spool,
    ):
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with Publisher(
            f"tcp://127.0.0.1:{port}",
            spool=spool,
            hello=lambda: hello,
            heartbeat=lambda counts: Heartbeat(
                node=NODES[0], boot=7, time_ns=NOW_NS, clock_state=ClockState.PPS, unacked=counts.unacked
            ),
            monotonic_s=time.monotonic,
            settings=PublisherSettings(),
            context=context,
        ) as publisher:
            yield NodeFeed(seed, publisher, spool, router)


class GpsdFeed:
    """Lines of gpsd in random portions, the connection cut now and then."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._fuzz = gpsd_lines.GpsdFuzz(self._rng)
        self._waiting: list[bytes] = []

    def take(self) -> None:
        """Draw one line."""
        self._waiting.append(gpsd_lines.mutated_line(self._rng))

    def settle(self) -> None:
        """Feed them."""
        self._fuzz.feed(b"".join(self._waiting))
        self._waiting.clear()

    def tally(self) -> Tally:
        """Lines are those of an obvious counter beside the parser."""
        counts = self._fuzz.counts()
        rejected = Counter({reason.value: count for reason, count in counts.rejected.items()})
        return Tally(counts.lines, counts.messages, counts.ignored, rejected, {"bytes": counts.bytes})


@contextmanager
def open_gpsd(seed: int, _folder: Path) -> Iterator[Feed]:
    """Open a parser."""
    yield GpsdFeed(seed)


class GpsdClientFeed:
    """Lines of gpsd through a socket to the client; gpsd ends the connection now and then, in the middle of a line."""

    def __init__(self, seed: int, listener: socket.socket, client: GpsdClient) -> None:
        self._rng = np.random.default_rng(seed)
        self._listener, self._client = listener, client
        self._waiting: list[bytes] = []
        self._sent_bytes = self._messages = self._ended = 0
        self._connect()

    def take(self) -> None:
        """Draw one line."""
        self._waiting.append(gpsd_lines.mutated_line(self._rng))

    def settle(self) -> None:
        """Send them, and have them read."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        for start in range(0, len(data), 16_384):
            portion = data[start : start + 16_384]
            self._connection.sendall(portion)
            self._sent_bytes += len(portion)
            self._poll_until(lambda: self._client.state.counts.bytes == self._sent_bytes)
        if self._rng.random() < 0.2:
            self._connection.close()
            self._ended += 1
            self._poll_until(lambda: not self._client.state.connected)
            self._connect()

    def tally(self) -> Tally:
        """Compare with the client's counts."""
        state, counts = self._client.state, self._client.state.counts
        assert (state.connects, state.drops) == (self._ended + 1, self._ended)
        assert counts.messages == self._messages
        rejected = Counter({reason.value: count for reason, count in counts.rejected.items()})
        return Tally(counts.lines, counts.messages, counts.ignored, rejected, {"connections": state.connects})

    def _connect(self) -> None:
        self._poll_until(lambda: self._client.state.connected)
        self._connection, _ = self._listener.accept()

    def _poll_until(self, done: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, self._client.state
            self._messages += len(self._client.poll(0.01))


@contextmanager
def open_gpsd_client(seed: int, _folder: Path) -> Iterator[Feed]:
    """Open a client, and be its gpsd."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        built_ns = gpsd_lines.BUILD_NS
        with GpsdClient(port=port, not_before_ns=built_ns, least_wait_s=0.001, most_wait_s=0.01) as client:
            feed = GpsdClientFeed(seed, listener, client)
            yield feed
            feed._connection.close()


class ChronyFeed:
    """Lines of chronyc."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._tally = Tally()

    def take(self) -> None:
        """Parse one; what is taken must also give a bound and a state."""
        self._tally.given += 1
        try:
            tracking = parse_tracking(chrony_lines.mutated_line(self._rng))
        except InputError as error:
            self._tally.rejected[error.problems[0].field or "not one line"] += 1
            return
        assert tracking.bound_ns >= 0
        state = clock_state(tracking, NOW_NS).value
        self._tally.notes[state] = int(self._tally.notes.get(state, 0)) + 1
        self._tally.accepted += 1

    def settle(self) -> None:
        """Nothing waits."""

    def tally(self) -> Tally:
        """Return the counts."""
        return self._tally


@contextmanager
def open_chrony(seed: int, _folder: Path) -> Iterator[Feed]:
    """Open nothing: parsing is a function."""
    yield ChronyFeed(seed)


class ClipsFeed:
    """Requests to a node's desk that has sound, and clips and refusals to a collector that wants them."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._clips = collector()
        self._tally = Tally()
        self._ends: Counter[str] = Counter()
        self._rounds = 0
        self._renew()

    def take(self) -> None:
        """Give one frame to whom it is for."""
        frames = fuzz_clips(self._good, self._rng, count=1)
        ends = feed_clips(
            frames, self._node.desk, self._clips, node="a", now_ns=self._node.now_ns, wall_ns=self._wall_ns
        )
        self._tally.given += 1
        assert ends.total() == 1
        self._ends += ends

    def settle(self) -> None:
        """Keep what was collected, and let another located incident be asked about."""
        self._clips.take_outcomes()
        self._renew()

    def tally(self) -> Tally:
        """Sort the ends, and compare with the collector's counts."""
        for end, count in self._ends.items():
            if end in ("desk: given", "collector: taken", "collector: refusal True"):
                self._tally.accepted += count
            else:
                self._tally.rejected[end.removeprefix("desk: ").removeprefix("reject: ")] += count
        self._tally.notes["clips collected"] = self._clips.counters.collected
        assert self._ends["desk: given"] <= 12 * self._rounds
        return self._tally

    def _renew(self) -> None:
        """Four detections with their sound, asked for by an incident; the sound of another node as the answers."""
        self._rounds += 1
        self._node, other = Node(), Node()
        for each in (self._node, other):
            each.hear(8.0)
            for index in range(4):
                each.detect(RATE_HZ + index * RATE_HZ)
        incident_id = f"i{self._rounds}"
        asked = [request(index, incident_id=incident_id) for index in range(4)]
        self._good = [encode(item) for item in asked]
        for index, item in enumerate(asked):
            parts = other.desk.answer(item, now_ns=other.now_ns)
            assert not isinstance(parts, Reject)
            self._good += [encode(part) for part in parts]
            self._good.append(encode(Reject(reason=RejectReason.CLIP_GONE, detail="gone", boot=95, sequence=index)))
        # An hour later, so that what a node refused before is no reason not to ask.
        self._wall_ns = EPOCH_NS + 3_600 * self._rounds * SECOND_NS
        self._clips.want(
            incident(*(("a", index, index * 2.0) for index in range(4)), incident_id=incident_id),
            event_ns=EPOCH_NS + 3 * SECOND_NS,
            now_ns=self._wall_ns,
        )
        self._clips.due(now_ns=self._wall_ns, is_connected=lambda _: True)


@contextmanager
def open_clips(seed: int, folder: Path) -> Iterator[Feed]:
    """Open a desk and a collector; neither keeps anything on disk."""
    assert folder.is_dir()
    yield ClipsFeed(seed)


TARGETS = (
    Target("intake", "frames into the server's intake, with keys, limits and a history on disk", 0.38, open_intake),
    Target("receiver", "frames through a CURVE socket of the receiver", 0.02, open_receiver),
    Target("gpsd", "lines of gpsd to its parser, in random portions", 0.28, open_gpsd),
    Target("gpsd-client", "lines of gpsd through a socket to its client", 0.02, open_gpsd_client),
    Target("chrony", "lines of chronyc", 0.1, open_chrony),
    Target("clips", "requests to a node's desk, clips and refusals to the server's collector", 0.1, open_clips),
    Target("node", "frames through a socket to the node's publisher", 0.1, open_node),
)


# --- running ------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Return the memory that this process has in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def run(target: Target, messages: int, seed: int) -> dict[str, Any]:
    """Feed one target; return its figures."""
    escaped: Counter[str] = Counter()
    examples: list[str] = []

    def guarded(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            escaped[type(error).__name__] += 1
            if len(examples) < EXAMPLES:
                examples.append(f"{type(error).__name__}: {error}"[:500])
        return None

    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, target.open(seed, Path(name)) as feed:
        started_s, early_bytes = time.monotonic(), 0
        for number in range(messages):
            guarded(feed.take)
            if escaped:
                break
            if number % BATCH == BATCH - 1 or number == messages - 1:
                guarded(feed.settle)
                if not early_bytes and number >= messages // 10:
                    early_bytes = resident_bytes()
        took_s, late_bytes = time.monotonic() - started_s, resident_bytes()
        tally = guarded(feed.tally) or Tally()
        guarded(tally.check)
    grew_bytes = late_bytes - early_bytes
    return {
        "target": target.name,
        "corpus": target.corpus,
        "messages": messages,
        **vars(tally),
        "rejected_in_all": tally.rejected.total(),
        "escaped": dict(escaped),
        "examples": examples,
        "rss_after_a_tenth_bytes": early_bytes,
        "rss_at_the_end_bytes": late_bytes,
        "messages_per_s": round(messages / took_s),
        "ok": not escaped and (messages < GROWTH_COUNTS_FROM or grew_bytes <= MAY_GROW_BYTES),
    }


def report(document: dict[str, Any]) -> str:
    """Return the results for people."""
    rows, reasons = [], []
    for each in document["targets"]:
        early, late = each["rss_after_a_tenth_bytes"] / MIB, each["rss_at_the_end_bytes"] / MIB
        rows.append(
            f"| {each['target']}: {each['corpus']} | {each['messages']:,} | {each['given']:,} | {each['accepted']:,} | "
            f"{each['ignored']:,} | {each['rejected_in_all']:,} | {sum(each['escaped'].values())} | "
            f"{early:.1f}, {late:.1f} MiB | {each['messages_per_s']:,} |"
        )
        why = ", ".join(f"`{name}` {count:,}" for name, count in sorted(each["rejected"].items()) if count)
        notes = ", ".join(f"{name} {count:,}" for name, count in sorted(each["notes"].items()))
        reasons.append(f"- {each['target']}: {why}." + (f" Also: {notes}." if notes else ""))
    table, listed = "\n".join(rows), "\n".join(reasons)
    return f"""# Broken, hostile and extreme input

Commit {document["commit"]}; {document["machine"]}, Python {document["python"]}. Made by `{document["command"]}`, seed \
{document["seed"]}.

| target | sent | counted | accepted | ignored | rejected | escaped | memory after a tenth, at the end | sent a second |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

A line may be counted as two or none: mutated, it holds an end of line, or lacks its own. Rejected, by reason:

{listed}
"""


def _new_pair() -> KeyPair:
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


def _allow_list(folder: Path, keys: Mapping[str, str]) -> WatchedAllowList:
    def enrol(before: AllowList) -> AllowList:
        for node, key in keys.items():
            before = before.enrol(node, key, now_ns=NOW_NS - 1)
        return before

    edit_allow_list(folder / "allow.toml", enrol, create=True)
    return WatchedAllowList(folder / "allow.toml")


def _renumbered(detection: Detection, sequence: int) -> Detection:
    return msgspec.structs.replace(detection, sequence=sequence)


def main() -> None:
    """Feed each target in a process of its own, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(target.name for target in TARGETS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [target for target in TARGETS if target.name in options.only.split(",")]
    if options.here:
        print(json.dumps(run(chosen[0], max(1, round(chosen[0].share * options.messages)), options.seed)))
        return
    found = []
    for target in chosen:
        command = [sys.executable, __file__, "--here", "--only", target.name, "--messages", str(options.messages)]
        done = subprocess.run([*command, "--seed", str(options.seed)], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{target.name} ended with {done.returncode}")
        found.append(json.loads(done.stdout))
        print(f"{target.name}: {'ok' if found[-1]['ok'] else found[-1]['examples']}", file=sys.stderr, flush=True)
    # Not above: it would be in the memory of every target.
    from shotline_replay.report import describe_software

    software = describe_software()
    document = {
        "command": " ".join(["python", "benchmarks/fuzz.py", *sys.argv[1:]]),
        "commit": f"{(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}",
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "python": software.python,
        "seed": options.seed,
        "targets": found,
    }
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(document))
    print(report(document))
    sys.exit(0 if all(each["ok"] for each in found) else 1)


if __name__ == "__main__":
    main()
