"""Broken clips, requests and refusals into the node's desk and the server's collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fusion_server.clips import ClipCollector
from sensor_node.clips import ClipDesk
from shotline.errors import MessageError
from shotline.messages import Clip, ClipRequest, Reject, decode, encode

__all__ = ["feed_clips", "fuzz_clips"]


def fuzz_clips(frames: Sequence[bytes], rng: np.random.Generator, *, count: int) -> Iterable[bytes]:
    """Yield frames with some bytes changed, removed, doubled, or cut off; a few stay whole.

    Parameters
    ----------
    frames : sequence of bytes
        Good ones to begin with.
    rng : numpy.random.Generator
    count : int
        How many.
    """
    for _ in range(count):
        frame = bytearray(frames[rng.integers(len(frames))])
        for _ in range(rng.integers(4)):
            # Most of a clip is sound; what decides is before it.
            at = int(rng.integers(min(len(frame), 160) if rng.random() < 0.8 else len(frame)))
            kind = rng.integers(4)
            if kind == 0:
                frame[at] = rng.integers(256)
            elif kind == 1:
                frame[at : at + int(rng.integers(1, 9))] = b""
            elif kind == 2:
                frame[at:at] = frame[at : at + int(rng.integers(1, 9))]
            elif rng.random() < 0.2:
                del frame[at:]
            if not frame:
                break
        yield bytes(frame)


def feed_clips(
    frames: Iterable[bytes], desk: ClipDesk, collector: ClipCollector, *, node: str, now_ns: int, wall_ns: int
) -> Counter[str]:
    """Give frames to whom they are for; return how often which end came of it.

    Parameters
    ----------
    frames : iterable of bytes
    desk, collector : ClipDesk, ClipCollector
    node : str
        Whose connection the frames come from.
    now_ns, wall_ns : int
        On the clock of the desk, and on that of the collector.
    """
    ends: Counter[str] = Counter()
    for frame in frames:
        try:
            message = decode(frame)
            if isinstance(message, ClipRequest):
                answer = desk.answer(message, now_ns=now_ns)
                ends["desk: " + (answer.reason.value if isinstance(answer, Reject) else "given")] += 1
                for item in [answer] if isinstance(answer, Reject) else answer:
                    assert decode(encode(item)) == item
            elif isinstance(message, Clip):
                collector.take_part(message, now_ns=wall_ns)
                ends["collector: taken"] += 1
            elif isinstance(message, Reject):
                ends[f"collector: refusal {collector.take_refusal(node, message, now_ns=wall_ns)}"] += 1
            else:
                ends["other"] += 1
        except MessageError as error:
            ends[f"reject: {error.reason}"] += 1
    return ends
