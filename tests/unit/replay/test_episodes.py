"""Episodes: cut at pauses, and only by those who took part."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from small_city import START_NS, small_city

from shotline.units import NS_PER_S
from shotline_recordings.dataset import Recording
from shotline_replay.episodes import detection_episodes, sound_episodes


def test_detections_are_cut_at_pauses_and_none_is_lost() -> None:
    (scene,) = small_city().scenes
    cut = detection_episodes(scene, pause_s=15.0)
    assert sum(len(item.detections) for item in cut) == len(scene.detections)
    assert all(before.last_ns + 15 * NS_PER_S < after.first_ns for before, after in pairwise(cut))
    assert all(item.scene.sites == scene.sites for item in cut)
    assert len(detection_episodes(scene, pause_s=100.0)) == 1


def test_sound_is_cut_at_pauses_and_silent_nodes_are_no_part_of_it(tmp_path: Path) -> None:
    (scene,) = small_city().scenes

    def recording(node: str, after_s: int) -> Recording:
        path = tmp_path / f"{node}-{after_s}.wav"
        soundfile.write(path, np.zeros(8000, dtype=np.int16), 8000)
        return Recording(node, path, START_NS + after_s * NS_PER_S)

    # A second of sound each: 15.5 s after the end of one is a pause, 14 s is none.
    recordings = (recording("n1", 0), recording("n2", 15), recording("n3", 31), recording("n1", 32))
    first, second = sound_episodes(replace(scene, recordings=recordings), pause_s=14.5)
    assert [item.node for item in first.recordings] == ["n1", "n2"]
    assert [site.node for site in first.scene.sites] == ["n1", "n2"]
    assert [item.node for item in second.recordings] == ["n3", "n1"]
    assert [site.node for site in second.scene.sites] == ["n1", "n3"]
    assert (second.first_ns, second.last_ns) == (START_NS + 31 * NS_PER_S, START_NS + 33 * NS_PER_S)
