"""The wire: what a node and a server say to each other, and the file format of recorded detections.

Every message is one msgpack array whose first element is the tag (which message) and whose second is the schema
version. Fields are only ever appended, never reused; a reader ignores appended fields that it does not know.
``docs/wire.md`` is generated from these types; the bytes of each version are frozen in ``tests/wire``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated

import msgspec

from shotline.domain import NODE_ID_PATTERN, CheckStatus, ClockState, DetectionId, ImpulseKind
from shotline.errors import MessageError

__all__ = [
    "MAX_FRAME_BYTES",
    "MAX_HEALTH_ITEMS",
    "MAX_HEALTH_MESSAGE",
    "MAX_MESSAGE_BYTES",
    "SCHEMA_VERSION",
    "Ack",
    "Clip",
    "ClipRequest",
    "Detection",
    "HealthItem",
    "Heartbeat",
    "Hello",
    "LevelReference",
    "Message",
    "Reject",
    "RejectReason",
    "decode",
    "encode",
    "iter_frames",
    "pack_frames",
]

SCHEMA_VERSION = 1
MAX_MESSAGE_BYTES = 64 * 1024
MAX_FRAME_BYTES = MAX_MESSAGE_BYTES + 33
"""What a socket lets in: CURVE adds 33 bytes to a message. Above it libzmq cuts the connection."""

MAX_HEALTH_ITEMS = 64
MAX_HEALTH_MESSAGE = 160
"""Characters."""

_MAX_INT63 = 2**63 - 1
_KINDS = len(ImpulseKind)

NodeName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=NODE_ID_PATTERN, description="node id")]
Version = Annotated[int, msgspec.Meta(ge=1, le=255, description="schema version of this message")]
Boot = Annotated[
    int,
    msgspec.Meta(
        ge=0, le=_MAX_INT63, description="drawn anew at each start of a node; derived from the file in a replay"
    ),
]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT63, description="counts up by one within a boot")]
UtcNs = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT63, description="UTC nanoseconds since 1970")]
SigmaNs = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT63, description="one standard deviation, nanoseconds")]
Decibel = Annotated[float, msgspec.Meta(ge=-250.0, le=250.0, description="decibels")]
BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=10_000, description="probability in 1/10000")]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32, description="SHA-256")]
ClipDigest = Annotated[
    bytes,
    msgspec.Meta(
        min_length=32,
        max_length=32,
        description="SHA-256 of the sound 0.5 s before to 1.5 s after the onset, 16-bit little-endian samples",
    ),
]
Count = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT63, description="count since boot")]
ShortText = Annotated[str, msgspec.Meta(max_length=64)]


class LevelReference(StrEnum):
    """What a level in dB is relative to."""

    DBFS = "dbfs"
    DB_SPL = "db_spl"


class RejectReason(StrEnum):
    """Why a message was not taken. Each is counted under this name."""

    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNEXPECTED_MESSAGE = "unexpected_message"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    WRONG_NODE = "wrong_node"
    IN_FUTURE = "in_future"
    CLIPS_OFF = "clips_off"
    CLIP_UNKNOWN = "clip_unknown"
    CLIP_TOO_OLD = "clip_too_old"
    CLIP_GONE = "clip_gone"
    CLIP_INTERRUPTED = "clip_interrupted"
    CLIP_QUOTA = "clip_quota"
    CLIP_TOO_LONG = "clip_too_long"
    CLIP_GIVEN = "clip_given"
    CLIP_UNASKED = "clip_unasked"
    CLIP_DAMAGED = "clip_damaged"


class _Wire(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    schema_version: Version = SCHEMA_VERSION


class Hello(_Wire, tag=1, frozen=True, kw_only=True):
    """Node to server, first after each connect: who is speaking and what it is made of."""

    node: NodeName
    boot: Boot
    time_ns: UtcNs
    software_version: ShortText
    model_id: ShortText
    sample_rate_hz: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="samples per second")]
    clock_state: ClockState
    report_delay_s: Annotated[
        float, msgspec.Meta(ge=0.0, le=10.0, description="seconds from the sound to its detection, at the most")
    ] = 0.0


class Detection(_Wire, tag=2, frozen=True, kw_only=True):
    """Node to server: one impulse, heard at one node. (node, boot, sequence) is its identity."""

    node: NodeName
    boot: Boot
    sequence: Sequence
    arrival_time_ns: UtcNs
    arrival_sigma_ns: SigmaNs
    clock_state: ClockState
    probabilities_bp: Annotated[
        tuple[BasisPoints, ...],
        msgspec.Meta(description="one per impulse kind, in the order of the table; empty when unclassified"),
    ]
    peak_level_db: Decibel
    level_reference: LevelReference
    snr_db: Decibel
    rise_time_s: Annotated[float, msgspec.Meta(ge=0.0, le=10.0, description="10 to 90 % of the peak, seconds")]
    model_id: ShortText
    calibration_id: ShortText | None = None
    clip_sha256: ClipDigest | None = None
    onset_sample: Count = 0
    clipped: bool = False

    def __post_init__(self) -> None:
        if len(self.probabilities_bp) not in (0, _KINDS):
            raise ValueError(
                f"probabilities_bp has {len(self.probabilities_bp)} values, expected {_KINDS} "
                "(one per impulse kind) or none"
            )

    @property
    def uid(self) -> DetectionId:
        """Identity: unique for ever, the same on every resend."""
        return DetectionId(self.node, self.boot, self.sequence)

    def probability(self, kind: ImpulseKind) -> float | None:
        """Return the classifier's probability of a kind, or None when nothing classified the impulse."""
        if not self.probabilities_bp:
            return None
        return self.probabilities_bp[_KIND_INDEX[kind]] / 10_000


class HealthItem(msgspec.Struct, array_like=True, frozen=True):
    """One check of a node; see `shotline.health`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32, description="which check")]
    status: Annotated[CheckStatus, msgspec.Meta(description="what came of it")]
    message: Annotated[
        str,
        msgspec.Meta(max_length=MAX_HEALTH_MESSAGE, description="what was seen, what to do; when ok empty or an id"),
    ] = ""
    value: (
        Annotated[
            float,
            msgspec.Meta(ge=-1e18, le=1e18, description="its figure; which one, and its unit, is in docs/node.md"),
        ]
        | None
    ) = None


class Heartbeat(_Wire, tag=3, frozen=True, kw_only=True):
    """Both ways, every few seconds: I am here, and how I am. The server leaves the node's own figures at zero."""

    node: Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="sender: a node id, or 'server'")]
    boot: Boot
    time_ns: UtcNs
    clock_state: ClockState
    clock_sigma_ns: SigmaNs = 0
    next_sequence: Sequence = 0
    unacked: Count = 0
    gap_samples: Count = 0
    noise_level_db: Decibel = 0.0
    dropped_detections: Annotated[
        int, msgspec.Meta(ge=0, le=_MAX_INT63, description="detections that had to make room, since the spool was made")
    ] = 0
    dropped_heartbeats: Annotated[
        int, msgspec.Meta(ge=0, le=_MAX_INT63, description="heartbeats not sent when due, since the spool was made")
    ] = 0
    health: Annotated[
        tuple[HealthItem, ...], msgspec.Meta(max_length=MAX_HEALTH_ITEMS, description="what the node's checks say")
    ] = ()


class Ack(_Wire, tag=4, frozen=True, kw_only=True):
    """Server to node: these detections are committed; forget them."""

    boot: Boot
    sequences: Annotated[tuple[Sequence, ...], msgspec.Meta(max_length=4096, description="sequences committed")]


class Reject(_Wire, tag=5, frozen=True, kw_only=True):
    """Server to node: a message was not taken, and why. Final for the detection that it names, if it names one.

    Node to server: the clip of the detection that it names is refused, and why.
    """

    reason: RejectReason
    detail: Annotated[str, msgspec.Meta(max_length=512, description="what was seen, what was expected")]
    boot: Boot | None = None
    sequence: Sequence | None = None


class ClipRequest(_Wire, tag=6, frozen=True, kw_only=True):
    """Server to node: send the short clip around one detection of a located incident."""

    node: NodeName
    boot: Boot
    sequence: Sequence
    incident_id: ShortText
    before_s: Annotated[float, msgspec.Meta(ge=0.0, le=2.0, description="seconds before the onset")] = 0.5
    after_s: Annotated[float, msgspec.Meta(ge=0.0, le=4.0, description="seconds after the onset")] = 1.5


class Clip(_Wire, tag=7, frozen=True, kw_only=True):
    """Node to server: one part of the short clip around one detection."""

    node: NodeName
    boot: Boot
    sequence: Sequence
    incident_id: ShortText
    start_time_ns: UtcNs
    sample_rate_hz: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="samples per second")]
    part: Annotated[int, msgspec.Meta(ge=0, le=255, description="zero-based")]
    parts: Annotated[int, msgspec.Meta(ge=1, le=256, description="how many parts make the clip")]
    sha256: Annotated[Digest, msgspec.Meta(description="SHA-256 of the whole FLAC file")]
    flac: Annotated[bytes, msgspec.Meta(max_length=60_000, description="part of a FLAC file")]


Message = Hello | Detection | Heartbeat | Ack | Reject | ClipRequest | Clip

_KIND_INDEX = {kind: index for index, kind in enumerate(ImpulseKind)}
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)
_HEAD_DECODER = msgspec.msgpack.Decoder(list[msgspec.Raw])
_INT_DECODER = msgspec.msgpack.Decoder(int)
_LENGTH = struct.Struct(">I")


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Return the message in bytes from outside.

    Raises
    ------
    MessageError
        With the reason: too large, truncated, malformed, or of a schema version newer than this reader's.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(
            RejectReason.TOO_LARGE, f"message of {len(data)} bytes, expected at most {MAX_MESSAGE_BYTES}"
        )
    try:
        # Nearly all are in order: only what is not is looked at more closely.
        message: Message = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    else:
        if message.schema_version == SCHEMA_VERSION:
            return message
    try:
        version = _schema_version(data)
        if version != SCHEMA_VERSION:
            raise MessageError(
                RejectReason.UNSUPPORTED_VERSION,
                f"schema version {version}, this reader knows {SCHEMA_VERSION}; update the older side",
            )
        return _DECODER.decode(data)
    except msgspec.DecodeError as error:  # limits not kept, and text that is not UTF-8
        raise MessageError(RejectReason.MALFORMED, str(error)) from error
    except RecursionError as error:
        raise MessageError(RejectReason.MALFORMED, "arrays within arrays, deeper than any message has them") from error


def _schema_version(data: bytes) -> int:
    try:
        head = _HEAD_DECODER.decode(data)
        return _INT_DECODER.decode(head[1])
    except msgspec.ValidationError as error:
        raise MessageError(RejectReason.MALFORMED, f"expected an array of tag, version, fields: {error}") from error
    except msgspec.DecodeError as error:
        raise MessageError(
            RejectReason.TRUNCATED, f"{len(data)} bytes end or break inside a message: {error}"
        ) from error
    except IndexError as error:
        raise MessageError(
            RejectReason.MALFORMED, "expected an array of tag, version, fields; saw fewer than two"
        ) from error


def pack_frames(messages: Iterable[Message]) -> Iterator[bytes]:
    """Yield each message as a frame of a detections file: its length (4 bytes, big endian), then its bytes."""
    for message in messages:
        data = encode(message)
        yield _LENGTH.pack(len(data)) + data


def iter_frames(data: bytes) -> Iterator[bytes]:
    """Yield the bytes of each message in the content of a detections file.

    Raises
    ------
    MessageError
        The content ends inside a frame, or a frame claims more than a message may hold; names the byte offset.
    """
    offset = 0
    while offset < len(data):
        if offset + _LENGTH.size > len(data):
            raise MessageError(RejectReason.TRUNCATED, f"the file ends inside a frame's length at byte {offset}")
        (length,) = _LENGTH.unpack_from(data, offset)
        start, end = offset + _LENGTH.size, offset + _LENGTH.size + length
        if length > MAX_MESSAGE_BYTES:
            raise MessageError(RejectReason.TOO_LARGE, f"frame at byte {offset} claims {length} bytes")
        if end > len(data):
            raise MessageError(
                RejectReason.TRUNCATED, f"frame at byte {offset} claims {length} bytes, {len(data) - start} are left"
            )
        yield data[start:end]
        offset = end
