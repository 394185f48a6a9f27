"""The receiver's part in clips: whom it asks, from whom it takes them, what is kept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import soundfile
from server_samples import EPOCH_NS, SECOND_NS, detection, heard_shot, hello, incident

from fusion_server.admission import RateLimit
from fusion_server.clips import ClipCollector, ClipSettings, CollectedClip, RefusedClip
from fusion_server.flac import decode_flac
from fusion_server.history import History
from fusion_server.receiver import Intake
from shotline.domain import DetectionId
from shotline.enrolment import Enrolled, Refused
from shotline.errors import StorageError
from shotline.messages import Clip, ClipRequest, Message, Reject, RejectReason, decode, encode
from shotline.records import IncidentRecord

NOW_NS = EPOCH_NS + 2 * SECOND_NS
RATE_HZ = 8_000


class Names:
    """An allow-list on which a key is the node of its name."""

    def refresh(self) -> None: ...

    def standing(self, public: str, *, now_ns: int) -> Enrolled | Refused:  # noqa: ARG002
        return Enrolled(public)


def _record(*nodes: str) -> IncidentRecord:
    return incident(shots=(heard_shot([detection(0, node=node).uid for node in nodes]),))


def flac_parts(node: str = "a", *, parts: int = 2) -> list[Clip]:
    sound = np.random.default_rng(1).integers(-9_000, 9_000, 2 * RATE_HZ).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, sound, RATE_HZ, format="FLAC", subtype="PCM_16")
    data = file.getvalue()
    size = -(-len(data) // parts)
    return [
        Clip(
            node=node,
            boot=7,
            sequence=0,
            incident_id="i1",
            start_time_ns=EPOCH_NS,
            sample_rate_hz=RATE_HZ,
            part=index,
            parts=parts,
            sha256=hashlib.sha256(data).digest(),
            flac=data[index * size : (index + 1) * size],
        )
        for index in range(parts)
    ]


@pytest.fixture
def history(quick_database_url: str) -> Iterator[History]:
    with History.open(quick_database_url) as opened:
        yield opened


@pytest.fixture
def clips() -> ClipCollector:
    return ClipCollector(ClipSettings(), decode=decode_flac, announced=lambda _: None)


@pytest.fixture
def intake(history: History, clips: ClipCollector) -> Intake:
    return Intake(history, boot=5, heartbeat_s=1_000.0, forget_s=1_000.0, clips=clips)


def exchange(intake: Intake, *said: tuple[bytes, Message], now_ns: int = NOW_NS, keys: bool = False) -> list[object]:
    """Return what is answered, without heartbeats, with the peer."""
    for peer, message in said:
        intake.take(peer, [encode(message)], now_ns=now_ns, key=peer.decode() if keys else "")
    replies = [(peer, decode(data)) for peer, data in intake.commit(now_ns=now_ns).replies]
    return [(peer, message) for peer, message in replies if isinstance(message, Reject | ClipRequest)]


def test_connected_nodes_are_asked_and_what_comes_is_kept(
    intake: Intake, clips: ClipCollector, history: History
) -> None:
    exchange(intake, (b"1", hello("a")))
    clips.want(_record("a", "b"), event_ns=NOW_NS, now_ns=NOW_NS)
    asked = ClipRequest(node="a", boot=7, sequence=0, incident_id="i1")
    assert exchange(intake) == [(b"1", asked)]
    first, second = flac_parts()
    assert exchange(intake, (b"1", first), (b"1", second)) == []
    assert exchange(intake, (b"2", hello("b"))) == [(b"2", msgspec.structs.replace(asked, node="b"))]
    refusal = Reject(reason=RejectReason.CLIP_QUOTA, detail="enough", boot=7, sequence=0)
    assert exchange(intake, (b"2", refusal)) == []
    (kept,) = history.clips("i1")
    assert kept == CollectedClip(
        uid=DetectionId("a", 7, 0),
        incident_id="i1",
        received_ns=NOW_NS,
        start_time_ns=EPOCH_NS,
        sample_rate_hz=RATE_HZ,
        sha256=first.sha256,
        digest_ok=None,
        flac=first.flac + second.flac,
    )
    assert history.clip(DetectionId("a", 7, 0)) == kept
    assert history.clip(DetectionId("b", 7, 0)) is None
    assert history.clip_refusals("i1") == [
        RefusedClip(
            uid=DetectionId("b", 7, 0), incident_id="i1", received_ns=NOW_NS, reason="clip_quota", detail="enough"
        )
    ]
    assert not intake.counters.rejects


def test_a_clip_comes_from_the_node_whose_it_is(intake: Intake, clips: ClipCollector, history: History) -> None:
    exchange(intake, (b"1", hello("a")), (b"2", hello("b")))
    clips.want(_record("a"), event_ns=NOW_NS, now_ns=NOW_NS)
    exchange(intake)
    first, second = flac_parts()
    refusal = Reject(reason=RejectReason.CLIPS_OFF, detail="", boot=7, sequence=0)
    (answer,) = exchange(intake, (b"2", first), (b"2", refusal))
    assert answer == (b"2", Reject(reason=RejectReason.WRONG_NODE, detail="node 'a' speaks on another connection"))
    assert intake.counters.rejects == {"wrong_node": 1, "unexpected_message": 1}
    exchange(intake, (b"1", first), (b"1", second))
    assert len(history.clips("i1")) == 1


def test_with_keys_the_key_says_whose_it_is(history: History, clips: ClipCollector) -> None:
    intake = Intake(history, boot=5, clips=clips, keys=Names(), limit=RateLimit(10.0, 100))
    exchange(intake, (b"a", hello("a")), (b"b", hello("b")), keys=True)
    clips.want(_record("a"), event_ns=NOW_NS, now_ns=NOW_NS)
    exchange(intake)
    first, second = flac_parts()
    ((peer, answer),) = exchange(intake, (b"b", first), keys=True)  # type: ignore[misc]
    assert (peer, answer.reason) == (b"b", RejectReason.WRONG_NODE)
    exchange(intake, (b"a", first), (b"a", second), keys=True)
    assert len(history.clips("i1")) == 1


def test_a_clip_that_nobody_asked_for_is_a_counted_reject(intake: Intake, history: History) -> None:
    (first,) = flac_parts(parts=1)
    ((_, answer),) = exchange(intake, (b"1", hello("a")), (b"1", first))  # type: ignore[misc]
    assert answer.reason is RejectReason.CLIP_UNASKED
    assert history.reject_counts() == {"clip_unasked": 1}
    plain = Intake(history, boot=5)
    ((_, answer),) = exchange(plain, (b"1", hello("a")), (b"1", first))  # type: ignore[misc]
    assert answer.reason is RejectReason.UNEXPECTED_MESSAGE
    assert [item.raw for item in history.rejects()] == [b"", b""]


def test_nobody_is_asked_over_a_connection_that_is_gone(intake: Intake, clips: ClipCollector) -> None:
    exchange(intake, (b"1", hello("a")))
    intake.forget(b"1")
    clips.want(_record("a"), event_ns=NOW_NS, now_ns=NOW_NS)
    assert exchange(intake) == []
    (asked,) = exchange(intake, (b"9", hello("a")))
    assert asked == (b"9", ClipRequest(node="a", boot=7, sequence=0, incident_id="i1"))


def test_what_cannot_be_kept_is_kept_later(
    intake: Intake, clips: ClipCollector, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StorageError("the disk is full")

    exchange(intake, (b"1", hello("a")))
    clips.want(_record("a"), event_ns=NOW_NS, now_ns=NOW_NS)
    exchange(intake)
    with monkeypatch.context() as patch:
        patch.setattr(history, "append_clips", full)
        exchange(intake, *[(b"1", part) for part in flac_parts()])
        assert intake.storage_problem == "the disk is full"
    exchange(intake)
    assert len(history.clips("i1")) == 1
    assert intake.storage_problem == ""
    history.append_clips(history.clips("i1"))
    assert len(history.clips("i1")) == 1
