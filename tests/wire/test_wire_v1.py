"""The bytes of schema 1, frozen. A test that fails here means that nodes in the field can no longer be read: append."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from shotline.domain import CheckStatus, ClockState
from shotline.errors import MessageError
from shotline.messages import (
    MAX_MESSAGE_BYTES,
    Ack,
    Clip,
    ClipRequest,
    Detection,
    HealthItem,
    Heartbeat,
    Hello,
    LevelReference,
    Message,
    Reject,
    RejectReason,
    decode,
    encode,
    iter_frames,
    pack_frames,
)
from shotline.wiredoc import wire_markdown

HELLO = Hello(
    node="roof-03",
    boot=2**63 - 1,
    time_ns=1_545_180_566_000_000_001,
    software_version="0.1.0",
    model_id="impulse-rules-1",
    sample_rate_hz=48_000,
    clock_state=ClockState.PPS_AUDIO,
    report_delay_s=2.25,
)
DETECTION = Detection(
    node="roof-03",
    boot=95,
    sequence=812,
    arrival_time_ns=1_545_180_568_911_204_381,
    arrival_sigma_ns=1_200,
    clock_state=ClockState.HOLDOVER,
    probabilities_bp=(9_800, 50, 0, 100, 50, 0),
    peak_level_db=131.25,
    level_reference=LevelReference.DB_SPL,
    snr_db=31.5,
    rise_time_s=0.0005,
    model_id="impulse-rules-1",
    calibration_id="cal-7",
    clip_sha256=bytes(range(32)),
    onset_sample=139_737_810,
    clipped=True,
)
PLAIN_DETECTION = Detection(
    node="a",
    boot=0,
    sequence=0,
    arrival_time_ns=0,
    arrival_sigma_ns=0,
    clock_state=ClockState.UNTIMED,
    probabilities_bp=(),
    peak_level_db=-8.25,
    level_reference=LevelReference.DBFS,
    snr_db=0.0,
    rise_time_s=0.0,
    model_id="",
)
HEARTBEAT = Heartbeat(
    node="roof-03",
    boot=95,
    time_ns=1_545_180_570_000_000_000,
    clock_state=ClockState.PPS,
    clock_sigma_ns=30,
    next_sequence=813,
    unacked=2,
    gap_samples=1_024,
    noise_level_db=-62.5,
    dropped_detections=3,
    dropped_heartbeats=500,
    health=(
        HealthItem("microphone", CheckStatus.OK, "", -62.5),
        HealthItem("voltage", CheckStatus.FAIL, "the supply is too weak now"),
        HealthItem("model", CheckStatus.OK, "impulse-rules-1"),
    ),
)
SERVER_HEARTBEAT = Heartbeat(node="server", boot=1, time_ns=1_545_180_570_000_000_000, clock_state=ClockState.NTP)
ACK = Ack(boot=95, sequences=(811, 812))
REJECT = Reject(reason=RejectReason.CONFLICTING_DUPLICATE, detail="kept already", boot=95, sequence=812)
PLAIN_REJECT = Reject(reason=RejectReason.TOO_LARGE, detail="")
CLIP_REQUEST = ClipRequest(node="roof-03", boot=95, sequence=812, incident_id="7f3c", before_s=0.25, after_s=0.75)
CLIP = Clip(
    node="roof-03",
    boot=95,
    sequence=812,
    incident_id="7f3c",
    start_time_ns=1_545_180_568_661_204_381,
    sample_rate_hz=48_000,
    part=0,
    parts=2,
    sha256=bytes(range(32)),
    flac=b"fLaC",
)
FROZEN: dict[str, tuple[Message, str]] = {
    "hello": (
        HELLO,
        (
            "9a0101a7726f6f662d3033cf7fffffffffffffffcf15719589be445c01a5302e312e30af696d70756c73652d72756c65"
            "732d31cdbb80a97070735f617564696fcb4002000000000000"
        ),
    ),
    "detection": (
        DETECTION,
        (
            "dc00120201a7726f6f662d30335fcd032ccf1571958a6bc9d01dcd04b0a8686f6c646f76657296cd26483200643200cb"
            "4060680000000000a664625f73706ccb403f800000000000cb3f40624dd2f1a9fcaf696d70756c73652d72756c65732d"
            "31a563616c2d37c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fce08543ad2c3"
        ),
    ),
    "plain detection": (
        PLAIN_DETECTION,
        (
            "dc00120201a16100000000a7756e74696d656490cbc020800000000000a464626673cb0000000000000000cb00000000"
            "00000000a0c0c000c2"
        ),
    ),
    "heartbeat": (
        HEARTBEAT,
        (
            "9e0301a7726f6f662d30335fcf1571958aacaf8400a37070731ecd032d02cd0400cbc04f40000000000003cd01f49394aa6d"
            "6963726f70686f6e65a26f6ba0cbc04f40000000000094a7766f6c74616765a46661696cba74686520737570706c79206973"
            "20746f6f207765616b206e6f77c094a56d6f64656ca26f6baf696d70756c73652d72756c65732d31c0"
        ),
    ),
    "server heartbeat": (
        SERVER_HEARTBEAT,
        "9e0301a673657276657201cf1571958aacaf8400a36e747000000000cb0000000000000000000090",
    ),
    "ack": (
        ACK,
        "9404015f92cd032bcd032c",
    ),
    "reject": (
        REJECT,
        "960501b5636f6e666c696374696e675f6475706c6963617465ac6b65707420616c72656164795fcd032c",
    ),
    "plain reject": (
        PLAIN_REJECT,
        "960501a9746f6f5f6c61726765a0c0c0",
    ),
    "clip request": (
        CLIP_REQUEST,
        "980601a7726f6f662d30335fcd032ca437663363cb3fd0000000000000cb3fe8000000000000",
    ),
    "clip": (
        CLIP,
        (
            "9c0701a7726f6f662d30335fcd032ca437663363cf1571958a5ce31d9dcdbb800002c420000102030405060708090a0b"
            "0c0d0e0f101112131415161718191a1b1c1d1e1fc404664c6143"
        ),
    ),
}


@dataclass(frozen=True)
class Bad:
    data: bytes
    reason: RejectReason
    says: str


def _changed(index: int, value: object) -> bytes:
    fields = msgspec.msgpack.decode(encode(DETECTION))
    fields[index] = value
    return msgspec.msgpack.encode(fields)


BAD = {
    "empty": Bad(b"", RejectReason.TRUNCATED, "0 bytes end or break inside a message: Input data was truncated"),
    "cut": Bad(encode(DETECTION)[:-1], RejectReason.TRUNCATED, "end or break inside a message"),
    "trailing": Bad(
        encode(ACK) + b"\x00", RejectReason.TRUNCATED, "MessagePack data is malformed: trailing characters"
    ),
    "oversized": Bad(
        bytes(MAX_MESSAGE_BYTES + 1), RejectReason.TOO_LARGE, "message of 65537 bytes, expected at most 65536"
    ),
    "not an array": Bad(b"\x07", RejectReason.MALFORMED, "expected an array of tag, version, fields"),
    "text": Bad(b"GET / HTTP/1.1\r\n", RejectReason.MALFORMED, "expected an array of tag, version, fields"),
    "only a tag": Bad(
        b"\x91\x02", RejectReason.MALFORMED, "expected an array of tag, version, fields; saw fewer than two"
    ),
    "version not a number": Bad(_changed(1, "1"), RejectReason.MALFORMED, "Expected `int`, got `str`"),
    "newer": Bad(
        _changed(1, 2), RejectReason.UNSUPPORTED_VERSION, "schema version 2, this reader knows 1; update the older"
    ),
    "version zero": Bad(_changed(1, 0), RejectReason.UNSUPPORTED_VERSION, "schema version 0, this reader knows 1"),
    "text that is not UTF-8": Bad(
        encode(DETECTION).replace(b"roof-03", b"roof-\xff3"), RejectReason.MALFORMED, "Invalid UTF-8 encoded string"
    ),
    "nested without end": Bad(
        b"\x93\x02\x01" + b"\x91" * 60_000, RejectReason.MALFORMED, "arrays within arrays, deeper than any message"
    ),
    "unknown tag": Bad(_changed(0, 99), RejectReason.MALFORMED, "Invalid value 99"),
    "missing field": Bad(b"\x93\x04\x01\x5f", RejectReason.MALFORMED, "`array` of at least length 4, got 3"),
    "node with a blank": Bad(_changed(2, "roof 3"), RejectReason.MALFORMED, "matching regex"),
    "node too long": Bad(_changed(2, "n" * 65), RejectReason.MALFORMED, "length <= 64"),
    "boot negative": Bad(_changed(3, -1), RejectReason.MALFORMED, "`int` >= 0 - at `$[3]`"),
    "sequence beyond int63": Bad(_changed(4, 2**63), RejectReason.MALFORMED, "at `$[4]`"),
    "time as a float": Bad(_changed(5, 1.5e18), RejectReason.MALFORMED, "at `$[5]`"),
    "clock state unknown": Bad(
        _changed(7, "sundial"), RejectReason.MALFORMED, "Invalid enum value 'sundial' - at `$[7]`"
    ),
    "five probabilities": Bad(
        _changed(8, [1] * 5), RejectReason.MALFORMED, "probabilities_bp has 5 values, expected 6"
    ),
    "probability over one": Bad(_changed(8, [10_001] + [0] * 5), RejectReason.MALFORMED, "`int` <= 10000"),
    "level not a number": Bad(_changed(9, float("nan")), RejectReason.MALFORMED, "at `$[9]`"),
    "SNR infinite": Bad(_changed(11, float("inf")), RejectReason.MALFORMED, "at `$[11]`"),
    "digest too short": Bad(_changed(15, bytes(31)), RejectReason.MALFORMED, "length >= 32"),
}


@pytest.mark.parametrize("name", FROZEN)
def test_the_bytes_are_frozen(name: str) -> None:
    message, frozen = FROZEN[name]
    assert encode(message).hex() == frozen
    assert decode(bytes.fromhex(frozen)) == message


def test_every_message_is_frozen() -> None:
    assert {type(message) for message, _ in FROZEN.values()} == set(Message.__args__)


@pytest.mark.parametrize("name", FROZEN)
def test_appended_fields_are_ignored(name: str) -> None:
    message, frozen = FROZEN[name]
    fields = msgspec.msgpack.decode(bytes.fromhex(frozen))
    assert decode(msgspec.msgpack.encode([*fields, "later", {"more": 1}])) == message


def test_fields_that_an_older_writer_left_out_get_their_default() -> None:
    fields = msgspec.msgpack.decode(encode(PLAIN_DETECTION))
    assert decode(msgspec.msgpack.encode(fields[:14])) == PLAIN_DETECTION
    with pytest.raises(MessageError):
        decode(msgspec.msgpack.encode(fields[:13]))


def test_a_hello_from_before_the_delay_was_said_reports_at_once() -> None:
    fields = msgspec.msgpack.decode(encode(HELLO))
    assert decode(msgspec.msgpack.encode(fields[:9])) == msgspec.structs.replace(HELLO, report_delay_s=0.0)


def test_a_heartbeat_of_before_there_was_health_can_be_read() -> None:
    before = "9b0301a7726f6f662d30335fcf1571958aacaf8400a37070731ecd032d02cd0400cbc04f400000000000"
    plain = msgspec.structs.replace(HEARTBEAT, dropped_detections=0, dropped_heartbeats=0, health=())
    assert decode(bytes.fromhex(before)) == plain


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_have_a_reason(name: str) -> None:
    bad = BAD[name]
    with pytest.raises(MessageError) as caught:
        decode(bad.data)
    assert caught.value.reason == bad.reason
    assert bad.says in caught.value.detail


@pytest.mark.parametrize("name", FROZEN)
def test_no_cut_message_is_taken(name: str) -> None:
    data = bytes.fromhex(FROZEN[name][1])
    for length in range(len(data)):
        with pytest.raises(MessageError) as caught:
            decode(data[:length])
        assert caught.value.reason == RejectReason.TRUNCATED


def test_a_detection_is_small() -> None:
    assert len(encode(DETECTION)) <= 180


def test_a_heartbeat_with_twenty_checks_is_small_and_has_bounds() -> None:
    items = tuple(
        HealthItem(f"check-{number}", CheckStatus.OK, "", 0.5 if number % 2 else None) for number in range(20)
    )
    assert len(encode(msgspec.structs.replace(HEARTBEAT, health=items))) <= 500
    for item in (
        HealthItem("", CheckStatus.OK),
        HealthItem("x" * 33, CheckStatus.OK),
        HealthItem("x", CheckStatus.OK, "m" * 161),
        HealthItem("x", CheckStatus.OK, "", float("nan")),
    ):
        with pytest.raises(MessageError, match="malformed"):
            decode(encode(msgspec.structs.replace(HEARTBEAT, health=(item,))))
    many = (HealthItem("x", CheckStatus.OK),) * 65
    with pytest.raises(MessageError, match="length <= 64"):
        decode(encode(msgspec.structs.replace(HEARTBEAT, health=many)))
    worst = (HealthItem("x" * 32, CheckStatus.FAIL, "\U0001f50a" * 160, 1.0),) * 64
    assert len(encode(msgspec.structs.replace(HEARTBEAT, health=worst))) < MAX_MESSAGE_BYTES


def test_a_file_of_detections_round_trips() -> None:
    messages = [message for message, _ in FROZEN.values()]
    content = b"".join(pack_frames(messages))
    assert content[:4] == len(encode(messages[0])).to_bytes(4, "big")
    assert [decode(frame) for frame in iter_frames(content)] == messages
    assert list(iter_frames(b"")) == []


def test_a_cut_file_gives_what_comes_before_the_cut() -> None:
    content = b"".join(pack_frames([DETECTION, ACK]))
    frames = iter_frames(content[:-1])
    assert decode(next(frames)) == DETECTION
    with pytest.raises(MessageError, match=r"truncated: frame at byte 147 claims 11 bytes, 10 are left"):
        next(frames)
    with pytest.raises(MessageError, match=r"truncated: the file ends inside a frame's length at byte 0"):
        next(iter_frames(b"\x00\x00\x00"))
    with pytest.raises(MessageError, match=r"too_large: frame at byte 0 claims 65537 bytes"):
        next(iter_frames(b"\x00\x01\x00\x01"))


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "wire.md"
    assert page.read_text(encoding="utf-8") == wire_markdown(), "run: python -m shotline.wiredoc > docs/wire.md"
