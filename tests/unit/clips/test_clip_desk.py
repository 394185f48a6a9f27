"""What sound leaves a node: what was asked for around an onset, never more, never a stream."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import soundfile
from clip_samples import EPOCH_NS, RATE_HZ, SECOND_NS, Node, request

from sensor_node.flac import flac_encoder
from shotline.errors import AudioError
from shotline.messages import Clip, ClipRequest, Reject, RejectReason

ONSET = 4 * RATE_HZ + 123


@pytest.fixture
def node() -> Node:
    made = Node()
    made.hear(6.5)
    made.detect(ONSET)
    return made


def given_by(node: Node, asked: ClipRequest, *, now_ns: int | None = None) -> tuple[Clip, ...]:
    answer = node.desk.answer(asked, now_ns=node.now_ns if now_ns is None else now_ns)
    assert not isinstance(answer, Reject), answer
    return answer


def refused(node: Node, asked: ClipRequest, *, now_ns: int | None = None) -> tuple[RejectReason, str]:
    answer = node.desk.answer(asked, now_ns=node.now_ns if now_ns is None else now_ns)
    assert isinstance(answer, Reject), answer
    assert (answer.boot, answer.sequence) == (asked.boot, asked.sequence)
    return answer.reason, answer.detail


def sound_in(parts: tuple[Clip, ...]) -> np.ndarray:
    samples, rate_hz = soundfile.read(io.BytesIO(b"".join(part.flac for part in parts)), dtype="int16")
    assert rate_hz == RATE_HZ
    return samples


def test_the_clip_is_the_sound_around_the_onset_to_the_bit_and_its_digest_came_first(node: Node) -> None:
    sound = node.clip_sound(ONSET)
    announced = node.desk.digest(ONSET)
    assert announced == hashlib.sha256(sound.astype("<i2").tobytes()).digest()
    parts = given_by(node, request())
    assert np.array_equal(sound_in(parts), sound)
    file = b"".join(part.flac for part in parts)
    first = parts[0]
    assert (first.node, first.boot, first.sequence, first.incident_id) == ("a", 95, 0, "i1")
    assert first.start_time_ns == EPOCH_NS + ONSET * SECOND_NS // RATE_HZ - SECOND_NS // 2
    assert {part.sha256 for part in parts} == {hashlib.sha256(file).digest()}
    assert [(part.part, part.parts) for part in parts] == [(index, len(parts)) for index in range(len(parts))]


def test_large_files_come_in_parts_that_fit_a_message() -> None:
    rng = np.random.default_rng(1)
    file = flac_encoder(192_000)(rng.integers(-32_768, 32_768, 384_000).astype(np.int16))
    assert len(file) < 256 * 32 * 1024


def test_less_may_be_asked_for(node: Node) -> None:
    parts = given_by(node, request(before_s=0.25, after_s=0.5))
    assert np.array_equal(sound_in(parts), node.clip_sound(ONSET)[RATE_HZ // 4 : RATE_HZ])
    assert parts[0].start_time_ns == EPOCH_NS + ONSET * SECOND_NS // RATE_HZ - SECOND_NS // 4


@pytest.mark.parametrize(
    ("asked", "reason", "words"),
    [
        (request(node="b"), RejectReason.WRONG_NODE, "asked for a clip of node 'b', this is 'a'"),
        (request(1), RejectReason.CLIP_UNKNOWN, "no such detection in the last minute of this boot"),
        (request(before_s=0.6), RejectReason.CLIP_TOO_LONG, "0.6 s before and 1.5 s after the onset asked for"),
        (request(after_s=1.6), RejectReason.CLIP_TOO_LONG, "expected at most 0.5 and 1.5"),
        (request(before_s=0.0, after_s=0.0), RejectReason.CLIP_TOO_LONG, "0 s before and 0 s after"),
    ],
)
def test_what_is_not_given_is_refused_with_a_reason(
    node: Node, asked: ClipRequest, reason: RejectReason, words: str
) -> None:
    seen, detail = refused(node, asked)
    assert seen is reason
    assert words in detail


def test_nothing_older_than_a_minute_leaves() -> None:
    node = Node(ring_s=100.0)
    node.hear(6.5)
    node.detect(ONSET)
    limit_ns = ONSET * SECOND_NS // RATE_HZ + 60 * SECOND_NS
    seen, detail = refused(node, request(), now_ns=limit_ns + 1)
    assert (seen, detail) == (RejectReason.CLIP_TOO_OLD, "heard 60.0 s ago, expected at most 60")
    assert refused(node, request(), now_ns=0)[0] is RejectReason.CLIP_TOO_OLD
    assert given_by(node, request(), now_ns=limit_ns)
    assert refused(node, request(), now_ns=limit_ns + 61 * SECOND_NS)[0] is RejectReason.CLIP_UNKNOWN


def test_what_memory_holds_no_more_is_gone(node: Node) -> None:
    node.hear(29.0)
    assert refused(node, request())[0] is RejectReason.CLIP_GONE


def test_sound_that_was_interrupted_has_no_digest_and_makes_no_clip() -> None:
    node = Node()
    node.hear(4.5)
    node.hear(2.0, lost=True)
    assert node.detect(ONSET).clip_sha256 is None
    seen, detail = refused(node, request())
    assert seen is RejectReason.CLIP_INTERRUPTED
    assert "sound was lost around the onset" in detail


def test_a_clip_that_is_not_heard_to_its_end_has_no_digest() -> None:
    node = Node()
    node.hear(5.0)
    assert node.desk.digest(ONSET) is None


def test_switched_off_no_sound_leaves_and_none_is_announced() -> None:
    node = Node(enabled=False)
    node.hear(6.5)
    assert node.detect(ONSET).clip_sha256 is None
    assert refused(node, request()) == (
        RejectReason.CLIPS_OFF,
        "no sound leaves this node: [clips] enabled = false",
    )


def test_a_clip_is_given_once_and_repeated_twice_to_the_same_request(node: Node) -> None:
    first = given_by(node, request())
    assert refused(node, request(incident_id="i2")) == (
        RejectReason.CLIP_GIVEN,
        "given to incident i1; a clip is given once",
    )
    assert refused(node, request(after_s=1.0))[0] is RejectReason.CLIP_GIVEN
    assert [given_by(node, request()) for _ in range(2)] == [first, first]
    assert refused(node, request()) == (RejectReason.CLIP_GIVEN, "sent 3 times already, expected at most 3")


def test_a_minute_of_sound_gives_four_clips_at_most() -> None:
    node = Node(ring_s=60.0)
    node.hear(24.0)
    for index in range(8):
        node.detect((index + 2) * 2 * RATE_HZ)
    for index in range(4):
        given_by(node, request(index))
    assert refused(node, request(7)) == (
        RejectReason.CLIP_QUOTA,
        "4 clips of this minute of sound given, no more leave",
    )


def test_the_quota_is_of_any_hour_and_repeats_do_not_count() -> None:
    node = Node(most_per_hour=2, ring_s=5.0)
    times_ns = []
    for index in range(3):
        node.hear(61.0)
        node.detect(node.ring.next_sample - 2 * RATE_HZ)
        if index < 2:
            times_ns.append(node.now_ns)
            given_by(node, request(index))
            given_by(node, request(index))
    assert refused(node, request(2)) == (
        RejectReason.CLIP_QUOTA,
        "2 clips given in the last hour, which is what [clips] allows",
    )
    # An hour later there is room again: the desk is told the time, the sound in memory stays as it is.
    node.desk.remember(node.detect(node.ring.next_sample - 2 * RATE_HZ), onset_ns=times_ns[0] + 3_600 * SECOND_NS)
    assert given_by(node, request(3), now_ns=times_ns[0] + 3_600 * SECOND_NS)


def test_many_detections_do_not_fill_memory() -> None:
    node = Node()
    node.hear(4.0)
    for _ in range(4_200):
        node.detect(2 * RATE_HZ)
    assert len(node.desk._heard) == 4_096
    assert refused(node, request(0))[0] is RejectReason.CLIP_UNKNOWN


SPANS_S = [(0.5, 1.5), (0.5, 1.5), (0.0, 0.3), (0.5, 4.0), (2.0, 1.5)]


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_asked_no_stream_leaves(seed: int) -> None:
    """What left, as stretches of the index: near an onset, few in an hour, few in a minute of sound, true to a bit."""
    rng = np.random.default_rng(seed)
    most_per_hour = int(rng.integers(2, 9))
    node, later_ns = Node(most_per_hour=most_per_hour), 0
    onsets: list[int] = []
    left: dict[tuple[int, int], int] = {}
    for _ in range(150):
        node.hear(float(rng.choice([0.3, 2.0, 20.0], p=[0.5, 0.45, 0.05])), rng, lost=rng.random() < 0.1)
        if rng.random() < 0.05:
            later_ns += int(rng.integers(1_000 * SECOND_NS))
        for _ in range(rng.integers(3)):
            onsets.append(max(0, node.ring.next_sample - round(rng.uniform(1.4, 6.0) * RATE_HZ)))
            node.desk.remember(node.detect(onsets[-1]), onset_ns=later_ns + onsets[-1] * SECOND_NS // RATE_HZ)
        for _ in range(6):
            number = max(0, len(onsets) - int(rng.integers(8)))
            before_s, after_s = SPANS_S[rng.integers(len(SPANS_S))]
            now_ns = later_ns + node.now_ns
            answer = node.desk.answer(request(number, before_s=before_s, after_s=after_s), now_ns=now_ns)
            if isinstance(answer, Reject):
                continue
            onset = onsets[number]
            start, end = onset - round(before_s * RATE_HZ), onset + round(after_s * RATE_HZ)
            sound = node.ring.last(start, end)
            assert sound is not None
            assert np.array_equal(sound_in(answer), sound[1])
            assert onset - RATE_HZ // 2 <= start < end <= onset + 3 * RATE_HZ // 2
            assert now_ns - later_ns - onset * SECOND_NS // RATE_HZ <= 60 * SECOND_NS
            left.setdefault((start, end), now_ns)
    for start_ns in left.values():
        in_hour = [span for span, time_ns in left.items() if 0 <= time_ns - start_ns < 3_600 * SECOND_NS]
        assert sum(end - start for start, end in in_hour) <= most_per_hour * 2 * RATE_HZ
    for first, _ in left:
        in_minute = [span for span in left if first <= span[0] < first + 59 * RATE_HZ]
        assert len(in_minute) <= 4
    assert len(left) >= 2


def test_a_rate_that_flac_cannot_say_is_an_error_at_the_start() -> None:
    with pytest.raises(AudioError, match=r"sample_rate_hz: FLAC cannot hold sound at 70001 Hz .*choose a common rate"):
        flac_encoder(70_001)
