"""Episodes: stretches of recorded time without a long pause. Reads the length of sound files, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sensor_node.audiofile import inspect_audio
from shotline.messages import Detection
from shotline.units import ns_from_seconds
from shotline_recordings.dataset import Recording, Scene

__all__ = ["Episode", "detection_episodes", "sound_episodes"]

_PAUSE_S = 15.0
"""Sound takes 6 s over the hearing range of 2 km: what is further apart has nothing to do with each other."""


@dataclass(frozen=True, slots=True)
class Episode:
    """From its first sound to its last.

    Parameters
    ----------
    scene : Scene
        With the sites of the nodes that took part.
    first_ns, last_ns : int
    recordings, detections
        Those of this stretch; one of the two is empty.
    """

    scene: Scene
    first_ns: int
    last_ns: int
    recordings: tuple[Recording, ...] = ()
    detections: tuple[Detection, ...] = ()


def sound_episodes(scene: Scene, *, pause_s: float = _PAUSE_S) -> list[Episode]:
    """Cut the sound of a scene at its pauses. Nodes that recorded nothing in an episode are no part of it.

    A node without a recording was not listening, and its silence must not count against a shot.
    """
    length_ns = {item.path: ns_from_seconds(inspect_audio(item.path).duration_s) for item in scene.recordings}
    spans = [(item.start_time_ns, item.start_time_ns + length_ns[item.path]) for item in scene.recordings]
    cut = []
    for first_ns, last_ns in _merged(spans, ns_from_seconds(pause_s)):
        recordings = tuple(item for item in scene.recordings if first_ns <= item.start_time_ns <= last_ns)
        there = {item.node for item in recordings}
        sites = tuple(site for site in scene.sites if site.node in there)
        cut.append(Episode(replace(scene, sites=sites), first_ns, last_ns, recordings=recordings))
    return cut


def detection_episodes(scene: Scene, *, pause_s: float = _PAUSE_S) -> list[Episode]:
    """Cut the recorded detections of a scene at their pauses. Every site is part of every episode."""
    spans = [(item.arrival_time_ns, item.arrival_time_ns) for item in scene.detections]
    return [
        Episode(
            scene,
            first_ns,
            last_ns,
            detections=tuple(item for item in scene.detections if first_ns <= item.arrival_time_ns <= last_ns),
        )
        for first_ns, last_ns in _merged(spans, ns_from_seconds(pause_s))
    ]


def _merged(spans: Iterable[tuple[int, int]], pause_ns: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first_ns, last_ns in sorted(spans):
        if merged and first_ns - merged[-1][1] <= pause_ns:
            merged[-1] = merged[-1][0], max(merged[-1][1], last_ns)
        else:
            merged.append((first_ns, last_ns))
    return merged
