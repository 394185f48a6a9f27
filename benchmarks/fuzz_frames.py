"""Frames of the wire, whole and mutated, for `fuzz.py`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from shotline.domain import ClockState
from shotline.messages import (
    MAX_MESSAGE_BYTES,
    Ack,
    Clip,
    ClipRequest,
    Detection,
    Heartbeat,
    Hello,
    LevelReference,
    Message,
    Reject,
    RejectReason,
    encode,
)

__all__ = ["NODES", "NOW_NS", "corpus", "mutated", "mutated_frames"]

NOW_NS = 1_796_069_604_000_000_000
NODES = ("roof-1", "roof-2", "roof-3")
"""Who speaks; a mutated name is nobody's."""
_MOST_INT = 2**63 - 1
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.0, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", "x", "x" * 65, "x" * 5_000, "\0", "\u202e", "ä" * 40, "roof-2",
    "ntp", b"", bytes(31), bytes(32), bytes(33), bytes(70_000), [], [0], [[]], [None] * 7, [10_000] * 6, [0] * 5_000,
    {}, {"a": 1}, {1: {2: {3: None}}}, msgspec.msgpack.Ext(-1, bytes(4)), msgspec.msgpack.Ext(5, b"x"),
)  # fmt: skip
_LIES = (
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\xda\xff\xff", b"\xdc\xff\xff", b"\x9f", b"\x8f", b"\xbf", b"\xc1", b"\xd8",
)  # fmt: skip
_BAD_TEXT = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")


def _detection(node: str, boot: int, sequence: int, **changes: Any) -> Detection:
    plain = Detection(
        node=node,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=NOW_NS,
        arrival_sigma_ns=1_200,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_800, 50, 0, 100, 50, 0),
        peak_level_db=131.25,
        level_reference=LevelReference.DB_SPL,
        snr_db=31.5,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )
    return msgspec.structs.replace(plain, **changes)


def corpus() -> list[Message]:
    """Return every message, with and without its optional fields, ordinary and as extreme as the schema lets it be."""
    node, state = NODES[0], ClockState.NTP
    full = {"calibration_id": "cal-7", "clip_sha256": bytes(range(32)), "onset_sample": 7, "clipped": True}
    least = {
        "arrival_time_ns": 0, "arrival_sigma_ns": 0, "clock_state": ClockState.UNTIMED, "probabilities_bp": (),
        "peak_level_db": -250.0, "level_reference": LevelReference.DBFS, "snr_db": -250.0, "rise_time_s": 0.0,
        "model_id": "",
    }  # fmt: skip
    most = {
        "arrival_time_ns": _MOST_INT, "arrival_sigma_ns": _MOST_INT, "probabilities_bp": (10_000,) * 6,
        "peak_level_db": 250.0, "snr_db": 250.0, "rise_time_s": 10.0, "model_id": "\U0010ffff" * 64,
        "calibration_id": "\0" * 64, "onset_sample": _MOST_INT,
    }  # fmt: skip
    clip = Clip(
        node=node,
        boot=7,
        sequence=1,
        incident_id="i-1",
        start_time_ns=NOW_NS,
        sample_rate_hz=48_000,
        part=0,
        parts=1,
        sha256=bytes(32),
        flac=b"fLaC" * 50,
    )
    hello = Hello(
        node=node,
        boot=7,
        time_ns=NOW_NS,
        software_version="0.1.0",
        model_id="m",
        sample_rate_hz=48_000,
        clock_state=state,
    )
    return [
        hello,
        msgspec.structs.replace(hello, boot=_MOST_INT, time_ns=_MOST_INT, software_version="v" * 64, model_id=""),
        *(_detection(name, 7, sequence) for sequence, name in enumerate(NODES)),
        _detection(node, 7, 10, **full),
        _detection(node, 0, 0, **least),
        _detection(node, _MOST_INT, _MOST_INT, **most),
        Heartbeat(node=node, boot=7, time_ns=NOW_NS, clock_state=state),
        Heartbeat(
            node=node,
            boot=7,
            time_ns=NOW_NS,
            clock_state=ClockState.HOLDOVER,
            clock_sigma_ns=_MOST_INT,
            next_sequence=_MOST_INT,
            unacked=_MOST_INT,
            gap_samples=_MOST_INT,
            noise_level_db=-250.0,
        ),
        Ack(boot=7, sequences=()),
        Ack(boot=7, sequences=(0, 1, 2, _MOST_INT)),
        Ack(boot=_MOST_INT, sequences=tuple(range(4_096))),
        Reject(reason=RejectReason.MALFORMED, detail="x" * 512, boot=7, sequence=3),
        Reject(reason=RejectReason.RATE_LIMITED, detail=""),
        ClipRequest(node=node, boot=7, sequence=1, incident_id="i-1"),
        ClipRequest(node=node, boot=_MOST_INT, sequence=_MOST_INT, incident_id="", before_s=2.0, after_s=4.0),
        clip,
        msgspec.structs.replace(clip, part=255, parts=256, flac=bytes(60_000)),
    ]


_CORPUS = [encode(message) for message in corpus()]
_SMALL = [data for data in _CORPUS if len(data) < 1_000]


def mutated(rng: random.Random) -> bytes:
    """Return one frame: valid in one case of six, most of the time changed in a few places."""
    data = rng.choice(_CORPUS if rng.random() < 0.02 else _SMALL)
    if rng.random() < 0.3:
        data = _with_fields_changed(data, rng)
    elif rng.random() < 0.3:
        return _another_detection(rng)
    while rng.random() < 0.6:
        data = rng.choice(_CHANGES)(data, rng)
    return data


def mutated_frames(rng: random.Random) -> list[bytes]:
    """Return the frames of one message: nearly always one."""
    frames = [mutated(rng)]
    while rng.random() < 0.02:
        frames.insert(0, rng.choice((b"", mutated(rng))))
    return [] if rng.random() < 0.001 else frames


def _another_detection(rng: random.Random) -> bytes:
    """Return a valid detection: new, sent before, or other content under an identity that was used before."""
    changes: dict[str, Any] = {"snr_db": 20.0} if rng.random() < 0.02 else {}
    if rng.random() < 0.02:
        changes["arrival_time_ns"] = NOW_NS + 10**15
    node = rng.choices(NODES, (90, 6, 4))[0]
    return encode(_detection(node, rng.randrange(50), rng.randrange(1_000), **changes))


def _with_fields_changed(data: bytes, rng: random.Random) -> bytes:
    """Return a message whose fields are of other types, beyond their limits, too many or too few."""
    fields = msgspec.msgpack.decode(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(fields) + 1)
        match rng.randrange(6):
            case 0:
                fields.insert(at, rng.choice(_VALUES))
            case 1 if fields:
                fields.pop(at - 1)
            case 2 if fields:
                fields[0] = rng.choice((1, 2, 3, 4, 5, 6, 7, 0, 8, 255, 2**64 - 1, -1, "2"))
            case 3 if len(fields) > 1:
                fields[1] = rng.choice((1, 0, 2, 255, 256, 2**64 - 1, -1, None))
            case _ if fields:
                fields[at - 1] = rng.choice(_VALUES)
    return msgspec.msgpack.encode(fields)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(data), rng.randrange(1, 5))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 20) :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(_SMALL)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def _put(data: bytes, rng: random.Random, values: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(values) + data[at + rng.randrange(3) :]


def _lie(data: bytes, rng: random.Random) -> bytes:
    return _put(data, rng, _LIES)


def _bad_text(data: bytes, rng: random.Random) -> bytes:
    """Spoil the text of a name, so that only its encoding is wrong."""
    at = data.find(b"roof-1")
    return _put(data, rng, _BAD_TEXT) if at < 0 else data[:at] + rng.choice(_BAD_TEXT)[:1] + data[at + 1 :]


def _noise(data: bytes, rng: random.Random) -> bytes:
    return _put(data, rng, (rng.randbytes(rng.randrange(1, 40)),))


def _nest(data: bytes, rng: random.Random) -> bytes:
    """Put arrays, or maps, within each other; seldom as deep as a frame has room for."""
    depth = rng.choice((10, 100, 900, 1_100)) if rng.random() < 0.99 else MAX_MESSAGE_BYTES - 200
    return _put(data, rng, (b"\x91" * depth, b"\x81\x00" * (depth // 2)))


def _grow(data: bytes, rng: random.Random) -> bytes:
    """Make it longer than a frame may be, seldom."""
    return data if rng.random() < 0.99 else data + bytes(MAX_MESSAGE_BYTES + 1)


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _flip, _cut, _drop, _splice, _lie, _bad_text, _noise, _nest, _grow,
)  # fmt: skip
