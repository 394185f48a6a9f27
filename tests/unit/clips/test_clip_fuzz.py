from __future__ import annotations

import numpy as np
from clip_fuzz import feed_clips, fuzz_clips
from clip_samples import EPOCH_NS, RATE_HZ, SECOND_NS, Node, collector, incident, request

from fusion_server.clips import CollectedClip
from shotline.messages import Reject, RejectReason, encode


def test_broken_frames_end_as_counted_rejects_and_never_as_more_sound() -> None:
    node, other = Node(), Node()
    for each in (node, other):
        each.hear(8.0)
        for index in range(4):
            each.detect(RATE_HZ + index * RATE_HZ)
    clips, rng = collector(), np.random.default_rng(6)
    good = [encode(request(index)) for index in range(4)]
    for index in range(4):
        parts = other.desk.answer(request(index), now_ns=other.now_ns)
        assert not isinstance(parts, Reject)
        good += [encode(part) for part in parts]
        good.append(encode(Reject(reason=RejectReason.CLIP_GONE, detail="gone", boot=95, sequence=index)))
    ends = feed_clips((), node.desk, clips, node="a", now_ns=0, wall_ns=0)
    for number in range(40):
        wall_ns = EPOCH_NS + 3 * SECOND_NS + number
        uids = [("a", index, index * 2.0) for index in range(4)]
        clips.want(incident(*uids, incident_id="i1"), event_ns=wall_ns, now_ns=wall_ns)
        clips.due(now_ns=wall_ns, is_connected=lambda _: True)
        frames = fuzz_clips(good, rng, count=250)
        ends += feed_clips(frames, node.desk, clips, node="a", now_ns=node.now_ns, wall_ns=wall_ns)
    assert ends.total() == 10_000
    # Every end is met, so the frames go deep; the desk gave what its limits allow and no more.
    for end in ("desk: given", "desk: clip_given", "desk: clip_unknown", "desk: wrong_node", "desk: clip_too_long"):
        assert ends[end], end
    for end in ("collector: taken", "collector: refusal True", "collector: refusal False"):
        assert ends[end], end
    for end in ("reject: malformed", "reject: truncated", "reject: unsupported_version", "reject: clip_unasked"):
        assert ends[end], end
    assert ends["desk: given"] <= 4 * 3
    collected = [outcome for outcome in clips.take_outcomes() if isinstance(outcome, CollectedClip)]
    assert len(collected) <= 4
    assert clips.counters.collected == len(collected)
