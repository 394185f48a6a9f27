"""Which clips a server asks for, and which it takes."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from clip_samples import EPOCH_NS, RATE_HZ, SECOND_NS, Node, collector, incident, request

from fusion_server.clips import ClipCollector, CollectedClip, RefusedClip
from fusion_server.flac import decode_flac
from shotline.domain import DetectionId
from shotline.errors import MessageError
from shotline.messages import Clip, ClipRequest, Reject, RejectReason

NOW_NS = EPOCH_NS + 3 * SECOND_NS


def asked(clips: ClipCollector, *, now_ns: int = NOW_NS, here: str = "abc") -> list[tuple[str, int]]:
    requests = clips.due(now_ns=now_ns, is_connected=lambda node: node in here)
    assert all(item == request(item.sequence, node=item.node, incident_id=item.incident_id) for item in requests)
    return [(item.node, item.sequence) for item in requests]


def want(clips: ClipCollector, *arrivals: tuple[str, int, float], now_ns: int = NOW_NS, **changes: object) -> None:
    clips.want(incident(*arrivals, **changes), event_ns=now_ns, now_ns=now_ns)  # type: ignore[arg-type]


def answer(node: Node, asked_for: ClipRequest) -> tuple[Clip, ...]:
    parts = node.desk.answer(asked_for, now_ns=node.now_ns)
    assert not isinstance(parts, Reject)
    return parts


@pytest.fixture
def node() -> Node:
    made = Node()
    made.hear(6.0)
    made.detect(4 * RATE_HZ)
    return made


def test_the_first_detection_of_each_node_that_was_used(node: Node) -> None:
    clips = collector()
    want(clips, ("a", 1, 0.5), ("a", 0, 0.1), ("b", 4, 0.2), ("c", 9, 0.3), unused=3)
    assert asked(clips) == [("a", 0), ("b", 4)]
    want(clips, ("a", 1, 0.5), ("a", 0, 0.1), ("b", 4, 0.2), ("c", 9, 0.3))
    assert asked(clips) == [("c", 9)]
    assert clips.counters.requests == 3
    assert node.made == 1


def test_later_ones_only_beyond_the_clip_before_and_so_many() -> None:
    clips = collector(most_per_node=3, outstanding_per_node=9)
    rounds = [("a", index, 0.25 * index) for index in range(40)]
    want(clips, *rounds, now_ns=NOW_NS + 10 * SECOND_NS)
    # 1.5 s after each onset is covered; the next round is 0.25 s later.
    assert asked(clips, now_ns=NOW_NS + 10 * SECOND_NS) == [("a", 0), ("a", 7), ("a", 14)]


def test_two_at_a_time_of_one_node_and_so_many_in_all() -> None:
    clips = collector(outstanding=3)
    want(clips, *[("a", index, 2.0 * index) for index in range(4)], ("b", 1, 0.0), ("c", 1, 0.0))
    assert asked(clips) == [("a", 0), ("b", 1), ("c", 1)]
    assert clips.take_refusal("b", Reject(reason=RejectReason.CLIP_QUOTA, detail="", boot=95, sequence=1), now_ns=0)
    assert asked(clips) == [("a", 1)]
    assert clips.waiting == 5


def test_nodes_that_are_not_there_are_asked_when_they_come_or_given_up() -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0), ("b", 0, 0.0))
    assert asked(clips, here="") == []
    assert asked(clips, now_ns=NOW_NS + 50 * SECOND_NS, here="a") == [("a", 0)]
    assert asked(clips, now_ns=EPOCH_NS + 60 * SECOND_NS) == []
    (first, second) = clips.take_outcomes()
    assert isinstance(first, RefusedClip)
    assert isinstance(second, RefusedClip)
    assert (first.reason, first.detail) == ("no_answer", "asked 1 times, 0 parts came in time")
    assert second.detail == "the node was not there in time"
    assert clips.waiting == 0


def test_silence_is_asked_once_more() -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0))
    assert asked(clips) == [("a", 0)]
    assert asked(clips, now_ns=NOW_NS + 5 * SECOND_NS - 1) == []
    assert asked(clips, now_ns=NOW_NS + 5 * SECOND_NS) == [("a", 0)]
    assert asked(clips, now_ns=NOW_NS + 20 * SECOND_NS) == []


def test_what_is_too_old_known_or_retracted_is_not_asked_for() -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0), now_ns=EPOCH_NS + 60 * SECOND_NS)
    assert asked(clips) == []
    want(clips, ("b", 0, 0.0))
    want(clips, ("b", 0, 0.0), incident_id="i2")
    assert asked(clips) == [("b", 0)]
    want(clips, ("c", 0, 0.0))
    want(clips, ("c", 0, 0.0), state="retracted")
    assert asked(clips) == []


@pytest.mark.parametrize(("announced", "digest_ok"), [("right", True), ("other", False), ("nothing", None)])
def test_a_clip_is_taken_and_compared_with_what_was_announced(
    node: Node, announced: str, digest_ok: bool | None
) -> None:
    right = hashlib.sha256(node.clip_sound(4 * RATE_HZ).astype("<i2").tobytes()).digest()
    clips = collector({"right": right, "other": bytes(32), "nothing": None}[announced])
    want(clips, ("a", 0, 0.0))
    (asked_for,) = clips.due(now_ns=NOW_NS, is_connected=lambda _: True)
    parts = answer(node, asked_for)
    for part in parts:
        clips.take_part(part, now_ns=NOW_NS + 1)
    (clip,) = clips.take_outcomes()
    assert isinstance(clip, CollectedClip)
    assert (clip.uid, clip.incident_id, clip.digest_ok) == (DetectionId("a", 95, 0), "i1", digest_ok)
    assert (clip.received_ns, clip.start_time_ns) == (NOW_NS + 1, parts[0].start_time_ns)
    sound = decode_flac(clip.flac, sample_rate_hz=RATE_HZ, samples=2 * RATE_HZ)
    assert np.array_equal(sound, node.clip_sound(4 * RATE_HZ))
    assert clips.counters.mismatched == (digest_ok is False)
    assert clips.take_outcomes() == []
    with pytest.raises(MessageError, match="clip_unasked: part 0 of a clip of 'a' that nobody waits for"):
        clips.take_part(parts[0], now_ns=NOW_NS + 2)


def test_a_refusal_ends_it_with_its_reason() -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0))
    refusal = Reject(reason=RejectReason.CLIPS_OFF, detail="off", boot=95, sequence=0)
    assert not clips.take_refusal("a", refusal, now_ns=NOW_NS)
    assert asked(clips) == [("a", 0)]
    for stray in ({"boot": None}, {"sequence": 1}):
        assert not clips.take_refusal("a", msgspec.structs.replace(refusal, **stray), now_ns=NOW_NS)
    assert not clips.take_refusal("b", refusal, now_ns=NOW_NS)
    assert clips.take_refusal("a", refusal, now_ns=NOW_NS)
    (outcome,) = clips.take_outcomes()
    assert isinstance(outcome, RefusedClip)
    assert (outcome.reason, outcome.detail, outcome.uid) == ("clips_off", "off", DetectionId("a", 95, 0))


def _bad(clip: Clip, **changes: object) -> Clip:
    return msgspec.structs.replace(clip, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"incident_id": "i9"}, "clip_unasked"),
        ({"sequence": 1}, "clip_unasked"),
        ({"node": "b"}, "clip_unasked"),
        ({"part": 1}, "clip_damaged: part 1 of 1 with"),
        ({"part": 1, "parts": 3}, "clip_damaged: part 1 of 3 after 0 parts, expected them in order"),
        ({"flac": b""}, "clip_damaged: part 0 of 1 with 0 bytes"),
        ({"sample_rate_hz": 192_001}, "clip_damaged: sound at 192001 Hz, expected at most 192000"),
        ({"sha256": bytes(32)}, "clip_damaged: SHA-256"),
        ({"sample_rate_hz": 16_000}, "clip_damaged: the file holds"),
    ],
)
def test_what_does_not_fit_is_not_taken(node: Node, changes: dict[str, object], words: str) -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0))
    (asked_for,) = clips.due(now_ns=NOW_NS, is_connected=lambda _: True)
    (part,) = answer(node, asked_for)
    with pytest.raises(MessageError, match=words):
        clips.take_part(_bad(part, **changes), now_ns=NOW_NS)
    assert clips.take_outcomes() == []
    clips.take_part(part, now_ns=NOW_NS)
    assert len(clips.take_outcomes()) == 1


def test_parts_of_two_files_do_not_mix_and_a_repeat_begins_again(node: Node) -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0))
    (asked_for,) = clips.due(now_ns=NOW_NS, is_connected=lambda _: True)
    (whole,) = answer(node, asked_for)
    half = len(whole.flac) // 2
    first, second = (
        _bad(whole, part=0, parts=2, flac=whole.flac[:half]),
        _bad(whole, part=1, parts=2, flac=whole.flac[half:]),
    )
    clips.take_part(first, now_ns=NOW_NS)
    with pytest.raises(MessageError, match="clip_damaged: part 1 belongs to another file than the part before it"):
        clips.take_part(_bad(second, start_time_ns=1), now_ns=NOW_NS)
    clips.take_part(first, now_ns=NOW_NS)
    with pytest.raises(MessageError, match="clip_unasked"):
        clips.take_part(first, now_ns=NOW_NS)
    assert asked(clips, now_ns=NOW_NS + 5 * SECOND_NS) == [("a", 0)]
    for part in (first, second):
        clips.take_part(part, now_ns=NOW_NS + 5 * SECOND_NS)
    assert len(clips.take_outcomes()) == 1


def test_a_clip_is_no_way_to_fill_memory_or_to_expand(node: Node) -> None:
    clips = collector()
    want(clips, ("a", 0, 0.0))
    (asked_for,) = clips.due(now_ns=NOW_NS, is_connected=lambda _: True)
    (whole,) = answer(node, asked_for)
    clips.take_part(_bad(whole, part=0, parts=9, flac=bytes(40_000)), now_ns=NOW_NS)
    with pytest.raises(MessageError, match="clip_damaged: more than 49984 bytes, expected 16000 samples"):
        clips.take_part(_bad(whole, part=1, parts=9, flac=bytes(40_000)), now_ns=NOW_NS)
    long = Node()
    silence = long.desk._encode(np.zeros(100 * RATE_HZ, dtype=np.int16))
    clips.due(now_ns=NOW_NS + 5 * SECOND_NS, is_connected=lambda _: True)
    with pytest.raises(MessageError, match=r"clip_damaged: the file holds .* 800000.*expected .* 16000"):
        clips.take_part(_bad(whole, flac=silence, sha256=hashlib.sha256(silence).digest()), now_ns=NOW_NS)
    text = b"RIFF, but not really"
    with pytest.raises(MessageError, match="clip_damaged: the file is no FLAC that can be read"):
        clips.take_part(_bad(whole, flac=text, sha256=hashlib.sha256(text).digest()), now_ns=NOW_NS)
