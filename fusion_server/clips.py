"""Which clips to ask nodes for, and what came of it. Pure: time is given, decoding is an argument.

For each located incident: of each node whose detection was used, the clip of the first one, and of later ones that no
clip before covers. Nothing is taken that was not asked for, and what is taken is compared with what the node said of it
before it was asked.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shotline.domain import DetectionId, IncidentState
from shotline.errors import MessageError
from shotline.messages import Clip, ClipRequest, Reject, RejectReason
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds

__all__ = [
    "ClipCollector",
    "ClipCounters",
    "ClipOutcome",
    "ClipSettings",
    "CollectedClip",
    "DecodeFlac",
    "RefusedClip",
]

_NO_ANSWER = "no_answer"
_BEFORE_S, _AFTER_S = 0.5, 1.5
_MOST_TRIES = 2
_MOST_WISHES = 10_000
_MOST_RATE_HZ = 192_000
_RETRACTED = IncidentState.RETRACTED.value


class DecodeFlac(Protocol):
    """What is asked of `fusion_server.flac.decode_flac`."""

    def __call__(self, file: bytes, *, sample_rate_hz: int, samples: int) -> NDArray[np.int16]:
        """Return the samples, or raise `MessageError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSettings:
    """How much to ask for, and how long.

    Parameters
    ----------
    most_per_node : int
        Clips of one node for one incident.
    outstanding_per_node, outstanding : int
        Requests without an answer at a time, which bounds the memory that parts take.
    retry_s : float
        Ask a second time when nothing came for so long.
    give_up_s : float
        After the sound; nodes refuse what is older.
    """

    most_per_node: int = 4
    outstanding_per_node: int = 2
    outstanding: int = 64
    retry_s: float = 5.0
    give_up_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedClip:
    """A whole clip.

    Parameters
    ----------
    uid : DetectionId
    incident_id : str
        It was asked for.
    received_ns : int
        Wall time of its last part.
    start_time_ns : int
        UTC of its first sample, as the node says.
    sample_rate_hz : int
    sha256 : bytes
        Of `flac`.
    digest_ok : bool | None
        Whether the sound is what its detection announced; None when that announced nothing, or is not kept.
    flac : bytes
    """

    uid: DetectionId
    incident_id: str
    received_ns: int
    start_time_ns: int
    sample_rate_hz: int
    sha256: bytes
    digest_ok: bool | None
    flac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClip:
    """A clip that was asked for and did not come; the reason is one of `RejectReason`, or ``no_answer``."""

    uid: DetectionId
    incident_id: str
    received_ns: int
    reason: str
    detail: str


ClipOutcome = CollectedClip | RefusedClip


@dataclass(slots=True)
class ClipCounters:
    """Counts since the start."""

    requests: int = 0
    collected: int = 0
    refused: int = 0
    mismatched: int = 0


@dataclass(slots=True)
class _Wish:
    uid: DetectionId
    incident_id: str
    until_ns: int
    tries: int = 0
    heard_ns: int = 0
    first: Clip | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def begin_again(self) -> None:
        self.first, self.size = None, 0
        self.parts.clear()


class ClipCollector:
    """Asks, collects and checks. Use it from one thread.

    Parameters
    ----------
    settings : ClipSettings
    decode : DecodeFlac
    announced : callable (DetectionId) -> bytes | None
        The digest that a kept detection announced.
    """

    def __init__(
        self, settings: ClipSettings, *, decode: DecodeFlac, announced: Callable[[DetectionId], bytes | None]
    ) -> None:
        self.counters = ClipCounters()
        self._settings = settings
        self._decode = decode
        self._announced = announced
        self._wishes: dict[DetectionId, _Wish] = {}
        self._outcomes: deque[ClipOutcome] = deque()
        # Of each incident and node, the instants of detections asked for; of each detection, until when to remember.
        self._asked: dict[tuple[str, str], list[int]] = {}
        self._until_ns: dict[DetectionId, int] = {}

    @property
    def waiting(self) -> int:
        """How many clips are wanted that have not come."""
        return len(self._wishes)

    def want(self, record: IncidentRecord, *, event_ns: int, now_ns: int) -> None:
        """Take note of an incident at a new revision.

        Parameters
        ----------
        record : IncidentRecord
        event_ns, now_ns : int
            Event time and wall time, now.
        """
        if record.state == _RETRACTED:
            for uid in [wish.uid for wish in self._wishes.values() if wish.incident_id == record.id and not wish.tries]:
                del self._wishes[uid]
            return
        heard = sorted(
            (parse_utc(arrival.time_utc), DetectionId.parse(arrival.detection))
            for shot in record.shots
            for arrival in shot.arrivals
            if arrival.used
        )
        for time_ns, uid in heard:
            asked = self._asked.setdefault((record.id, uid.node), [])
            covered = any(0 <= time_ns - other_ns <= ns_from_seconds(_AFTER_S) for other_ns in asked)
            left_ns = ns_from_seconds(self._settings.give_up_s) - (event_ns - time_ns)
            if uid in self._until_ns or covered or left_ns <= 0 or len(asked) >= self._settings.most_per_node:
                continue
            if len(self._wishes) >= _MOST_WISHES:
                return
            asked.append(time_ns)
            self._wishes[uid] = _Wish(uid, record.id, now_ns + left_ns)
            self._until_ns[uid] = now_ns + left_ns

    def due(self, *, now_ns: int, is_connected: Callable[[str], bool]) -> list[ClipRequest]:
        """Return what to ask now, oldest wish first; give up what is too old."""
        settings = self._settings
        for wish in [wish for wish in self._wishes.values() if now_ns >= wish.until_ns]:
            seen = f"asked {wish.tries} times, {len(wish.parts)} parts came" if wish.tries else "the node was not there"
            self._end(wish, self._refused(wish, _NO_ANSWER, f"{seen} in time", now_ns))
        outstanding = Counter(wish.uid.node for wish in self._wishes.values() if wish.tries)
        total = outstanding.total()
        requests: list[ClipRequest] = []
        for wish in self._wishes.values():
            node = wish.uid.node
            is_room = total < settings.outstanding and outstanding[node] < settings.outstanding_per_node
            quiet = not 0 <= now_ns - wish.heard_ns < ns_from_seconds(settings.retry_s)
            is_due = is_room if not wish.tries else quiet and wish.tries < _MOST_TRIES
            if not is_due or not is_connected(node):
                continue
            total += not wish.tries
            outstanding[node] += not wish.tries
            wish.tries += 1
            wish.heard_ns = now_ns
            wish.begin_again()
            requests.append(
                ClipRequest(
                    node=node,
                    boot=wish.uid.boot,
                    sequence=wish.uid.sequence,
                    incident_id=wish.incident_id,
                    before_s=_BEFORE_S,
                    after_s=_AFTER_S,
                )
            )
        self.counters.requests += len(requests)
        self._forget(now_ns)
        return requests

    def take_part(self, clip: Clip, *, now_ns: int) -> None:
        """Take a part of a clip from the node that it names.

        Raises
        ------
        MessageError
            It was not asked for, or does not fit what came before; nothing of it is kept.
        """
        wish = self._wishes.get(DetectionId(clip.node, clip.boot, clip.sequence))
        if wish is None or not wish.tries or clip.incident_id != wish.incident_id or clip.part in wish.parts:
            raise MessageError(
                RejectReason.CLIP_UNASKED, f"part {clip.part} of a clip of '{clip.node}' that nobody waits for"
            )
        if problem := _problem(wish, clip):
            wish.begin_again()
            raise MessageError(RejectReason.CLIP_DAMAGED, problem)
        wish.first = wish.first or clip
        wish.heard_ns = now_ns
        wish.parts[clip.part] = clip.flac
        wish.size += len(clip.flac)
        if len(wish.parts) == clip.parts:
            self._finish(wish, clip, now_ns)

    def take_refusal(self, node: str, reject: Reject, *, now_ns: int) -> bool:
        """Take a node's refusal; return whether it refuses a clip that was asked of it."""
        if reject.boot is None or reject.sequence is None:
            return False
        wish = self._wishes.get(DetectionId(node, reject.boot, reject.sequence))
        if wish is None or not wish.tries:
            return False
        self._end(wish, self._refused(wish, reject.reason.value, reject.detail, now_ns))
        return True

    def take_outcomes(self) -> list[ClipOutcome]:
        """Return what has come of requests since the last time this was asked."""
        outcomes = list(self._outcomes)
        self._outcomes.clear()
        return outcomes

    def _finish(self, wish: _Wish, clip: Clip, now_ns: int) -> None:
        file = b"".join(wish.parts[index] for index in range(clip.parts))
        wish.begin_again()
        digest = hashlib.sha256(file).digest()
        if digest != clip.sha256:
            raise MessageError(RejectReason.CLIP_DAMAGED, f"SHA-256 {digest.hex()}, expected {clip.sha256.hex()}")
        sound = self._decode(file, sample_rate_hz=clip.sample_rate_hz, samples=_samples(clip.sample_rate_hz))
        announced = self._announced(wish.uid)
        said = hashlib.sha256(sound.astype("<i2").tobytes()).digest()
        digest_ok = None if announced is None else said == announced
        self.counters.collected += 1
        self.counters.mismatched += digest_ok is False
        self._end(
            wish,
            CollectedClip(
                uid=wish.uid,
                incident_id=wish.incident_id,
                received_ns=now_ns,
                start_time_ns=clip.start_time_ns,
                sample_rate_hz=clip.sample_rate_hz,
                sha256=digest,
                digest_ok=digest_ok,
                flac=file,
            ),
        )

    def _refused(self, wish: _Wish, reason: str, detail: str, now_ns: int) -> RefusedClip:
        self.counters.refused += 1
        return RefusedClip(uid=wish.uid, incident_id=wish.incident_id, received_ns=now_ns, reason=reason, detail=detail)

    def _end(self, wish: _Wish, outcome: ClipOutcome) -> None:
        del self._wishes[wish.uid]
        self._outcomes.append(outcome)

    def _forget(self, now_ns: int) -> None:
        """Forget what is too old to be asked for, and incidents of which nothing is remembered."""
        if len(self._until_ns) < _MOST_WISHES and len(self._asked) < _MOST_WISHES:
            return
        self._until_ns = {uid: until for uid, until in self._until_ns.items() if now_ns < until}
        newest_ns = max((times[-1] for times in self._asked.values() if times), default=0)
        keep_ns = newest_ns - 2 * ns_from_seconds(self._settings.give_up_s)
        self._asked = {key: times for key, times in self._asked.items() if times and times[-1] >= keep_ns}


def _samples(sample_rate_hz: int) -> int:
    return round(_BEFORE_S * sample_rate_hz) + round(_AFTER_S * sample_rate_hz)


def _most_bytes(sample_rate_hz: int) -> int:
    """Return how large a FLAC file of noise gets, and some more."""
    return 2 * _samples(sample_rate_hz) * 21 // 20 + 16_384


def _problem(wish: _Wish, clip: Clip) -> str:
    """Return why a part does not fit; "" when it does."""
    if clip.sample_rate_hz > _MOST_RATE_HZ:
        return f"sound at {clip.sample_rate_hz} Hz, expected at most {_MOST_RATE_HZ}"
    if clip.part >= clip.parts or not clip.flac:
        return f"part {clip.part} of {clip.parts} with {len(clip.flac)} bytes"
    first = wish.first
    if first is not None and (first.parts, first.sha256, first.sample_rate_hz, first.start_time_ns) != (
        clip.parts,
        clip.sha256,
        clip.sample_rate_hz,
        clip.start_time_ns,
    ):
        return f"part {clip.part} belongs to another file than the part before it"
    if clip.part != len(wish.parts):
        return f"part {clip.part} of {clip.parts} after {len(wish.parts)} parts, expected them in order"
    if wish.size + len(clip.flac) > _most_bytes(clip.sample_rate_hz):
        return f"more than {_most_bytes(clip.sample_rate_hz)} bytes, expected {_samples(clip.sample_rate_hz)} samples"
    return ""
