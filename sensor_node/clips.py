"""What sound may leave a node: short clips around detections, when the server asks. Pure: time is given.

This is the only module that reads sound out of memory for anybody else, and the only one that makes a `Clip`. What it
gives is bounded whoever asks: 0.5 s before to 1.5 s after the onset of a detection of this boot, one stretch of each,
at most four of any minute of sound and `ClipLimits.most_per_hour` in any hour, and nothing older than 60 s. What a clip
must hold is fixed by a digest before anybody can ask for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_node.ring import SoundRing
from shotline.domain import DetectionId
from shotline.messages import Clip, ClipRequest, Detection, Reject, RejectReason
from shotline.units import NS_PER_S

__all__ = ["AFTER_S", "BEFORE_S", "ClipDesk", "ClipLimits", "Sound", "sound_of"]

BEFORE_S, AFTER_S = 0.5, 1.5
_OLDEST_NS = 60 * NS_PER_S
_HOUR_NS = 3_600 * NS_PER_S
_MINUTE_S = 60
_MOST_PER_MINUTE = 4
_MOST_ANSWERS = 3
_MOST_REMEMBERED = 4_096
_PART_BYTES = 32 * 1024

Sound = Callable[[int, int], NDArray[np.int16] | None]
"""From one sample index to another, one channel; None when not all of it is in memory."""


def sound_of(ring: SoundRing, *, channel: int) -> Sound:
    """Return the sound of one channel of a ring, 1 for the first."""

    def sound(from_sample: int, until_sample: int) -> NDArray[np.int16] | None:
        samples = ring.last(from_sample, until_sample)
        return None if samples is None else samples[channel - 1]

    return sound


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLimits:
    """Whose sound it is, and how much of it may leave.

    Parameters
    ----------
    node : str
        Node id.
    sample_rate_hz : int
        Nominal rate.
    enabled : bool
        False: no sound ever leaves.
    most_per_hour : int
        Clips in any hour.
    """

    node: str
    sample_rate_hz: int
    enabled: bool = True
    most_per_hour: int = 30


@dataclass(frozen=True, slots=True)
class _Heard:
    detection: Detection
    onset_ns: int


@dataclass(slots=True)
class _Given:
    """A clip that left: of which onset, when first, to which request, how often since."""

    onset_sample: int
    time_ns: int
    request: ClipRequest
    answers: int = 1


class ClipDesk:
    """Decides about clips. Use it from one thread.

    Parameters
    ----------
    limits : ClipLimits
    sound : Sound
        See `sound_of`.
    encode : callable (samples) -> bytes
        Makes a FLAC file; see `sensor_node.flac.flac_encoder`.
    """

    def __init__(self, limits: ClipLimits, sound: Sound, encode: Callable[[NDArray[np.int16]], bytes]) -> None:
        self._limits = limits
        self._sound = sound
        self._encode = encode
        self._heard: dict[DetectionId, _Heard] = {}
        self._given: dict[DetectionId, _Given] = {}

    def digest(self, onset_sample: int) -> bytes | None:
        """Return the SHA-256 of the clip of an onset, for its detection; None when it will not be given.

        Call it when the whole clip has been heard, 1.5 s after the onset. None also when sound was lost within it.
        """
        if not self._limits.enabled:
            return None
        samples = self._sound(*self._span(onset_sample, BEFORE_S, AFTER_S))
        return None if samples is None else _digest(samples)

    def remember(self, detection: Detection, *, onset_ns: int) -> None:
        """Take note of a detection that is about to be sent, with its digest in it.

        Parameters
        ----------
        detection : Detection
        onset_ns : int
            Its onset on the clock of `answer`, such as CLOCK_MONOTONIC nanoseconds.
        """
        self._heard[detection.uid] = _Heard(detection, onset_ns)
        if len(self._heard) > _MOST_REMEMBERED:
            del self._heard[next(iter(self._heard))]

    def answer(self, request: ClipRequest, *, now_ns: int) -> tuple[Clip, ...] | Reject:
        """Return the parts of the clip asked for, in order, or why it is refused.

        The same request again is answered again, twice at most: parts may have been lost. No other sound leaves then,
        so it does not count.
        """
        self._forget(now_ns)
        uid = DetectionId(request.node, request.boot, request.sequence)
        heard, before = self._heard.get(uid), self._given.get(uid)
        if refused := self._refusal(request, heard, before, now_ns):
            return _reject(request, *refused)
        assert heard is not None
        whole = self._span(heard.detection.onset_sample, BEFORE_S, AFTER_S)
        samples = self._sound(*whole)
        if samples is None or _digest(samples) != heard.detection.clip_sha256:
            return _reject(request, RejectReason.CLIP_GONE, "the sound is not in memory any more; ask sooner")
        if before is None:
            self._given[uid] = _Given(heard.detection.onset_sample, now_ns, request)
        else:
            before.answers += 1
        start, end = self._span(heard.detection.onset_sample, request.before_s, request.after_s)
        return self._parts(request, heard.detection, samples[start - whole[0] : end - whole[0]])

    def _refusal(
        self, request: ClipRequest, heard: _Heard | None, before: _Given | None, now_ns: int
    ) -> tuple[RejectReason, str] | None:
        limits = self._limits
        if request.node != limits.node:
            return RejectReason.WRONG_NODE, f"asked for a clip of node '{request.node}', this is '{limits.node}'"
        if not limits.enabled:
            return RejectReason.CLIPS_OFF, "no sound leaves this node: [clips] enabled = false"
        start, end = self._span(0, request.before_s, request.after_s)
        if request.before_s > BEFORE_S or request.after_s > AFTER_S or end <= start:
            asked = f"{request.before_s:g} s before and {request.after_s:g} s after the onset"
            return RejectReason.CLIP_TOO_LONG, f"{asked} asked for, expected at most {BEFORE_S:g} and {AFTER_S:g}"
        if heard is None:
            return RejectReason.CLIP_UNKNOWN, "no such detection in the last minute of this boot"
        if not 0 <= now_ns - heard.onset_ns <= _OLDEST_NS:
            age_s = (now_ns - heard.onset_ns) / NS_PER_S
            return RejectReason.CLIP_TOO_OLD, f"heard {age_s:.1f} s ago, expected at most {_OLDEST_NS // NS_PER_S}"
        if heard.detection.clip_sha256 is None:
            return RejectReason.CLIP_INTERRUPTED, "sound was lost around the onset, so there is no whole clip"
        if before is not None:
            return self._refusal_of_repeat(request, before)
        return self._over_quota(heard.detection.onset_sample)

    def _refusal_of_repeat(self, request: ClipRequest, before: _Given) -> tuple[RejectReason, str] | None:
        if request != before.request:
            return RejectReason.CLIP_GIVEN, f"given to incident {before.request.incident_id}; a clip is given once"
        if before.answers >= _MOST_ANSWERS:
            return RejectReason.CLIP_GIVEN, f"sent {before.answers} times already, expected at most {_MOST_ANSWERS}"
        return None

    def _over_quota(self, onset_sample: int) -> tuple[RejectReason, str] | None:
        if len(self._given) >= self._limits.most_per_hour:
            most = self._limits.most_per_hour
            return RejectReason.CLIP_QUOTA, f"{most} clips given in the last hour, which is what [clips] allows"
        minute = _MINUTE_S * self._limits.sample_rate_hz
        if sum(abs(given.onset_sample - onset_sample) < minute for given in self._given.values()) >= _MOST_PER_MINUTE:
            return RejectReason.CLIP_QUOTA, f"{_MOST_PER_MINUTE} clips of this minute of sound given, no more leave"
        return None

    def _parts(self, request: ClipRequest, detection: Detection, samples: NDArray[np.int16]) -> tuple[Clip, ...]:
        file = self._encode(samples)
        digest = hashlib.sha256(file).digest()
        before = round(request.before_s * self._limits.sample_rate_hz)
        before_ns = before * NS_PER_S // self._limits.sample_rate_hz
        parts = [file[start : start + _PART_BYTES] for start in range(0, len(file), _PART_BYTES)]
        return tuple(
            Clip(
                node=request.node,
                boot=request.boot,
                sequence=request.sequence,
                incident_id=request.incident_id,
                start_time_ns=max(0, detection.arrival_time_ns - before_ns),
                sample_rate_hz=self._limits.sample_rate_hz,
                part=index,
                parts=len(parts),
                sha256=digest,
                flac=part,
            )
            for index, part in enumerate(parts)
        )

    def _span(self, onset_sample: int, before_s: float, after_s: float) -> tuple[int, int]:
        rate_hz = self._limits.sample_rate_hz
        return onset_sample - round(before_s * rate_hz), onset_sample + round(after_s * rate_hz)

    def _forget(self, now_ns: int) -> None:
        """Forget detections after two minutes, so that a late request is told why, and clips after an hour."""
        self._heard = {uid: heard for uid, heard in self._heard.items() if now_ns - heard.onset_ns <= 2 * _OLDEST_NS}
        self._given = {uid: given for uid, given in self._given.items() if now_ns - given.time_ns < _HOUR_NS}


def _digest(samples: NDArray[np.int16]) -> bytes:
    return hashlib.sha256(samples.astype("<i2").tobytes()).digest()


def _reject(request: ClipRequest, reason: RejectReason, detail: str) -> Reject:
    return Reject(reason=reason, detail=detail, boot=request.boot, sequence=request.sequence)
