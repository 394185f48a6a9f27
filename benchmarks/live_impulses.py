"""The impulses of the Pittsburgh live-fire set: its shots, at their surveyed places."""

from __future__ import annotations

from pathlib import Path

from shotline.domain import DetectionId
from shotline.messages import Detection
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse, KnownPlace
from shotline_recordings.dataset import Dataset, Scene
from shotline_recordings.pittsburgh import load

__all__ = ["DATA", "load_live", "shots_of"]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "pittsburgh"
_SIGMA_S = 0.0003
"""Times are rounded to a millisecond."""


def load_live() -> Dataset:
    """Return the set."""
    return load(DATA)


def shots_of(scene: Scene, *, known: bool) -> list[HeardImpulse]:
    """Return the shots as the vendor grouped their pulses, named ``event/number``, with the surveyed place if asked."""
    by_id: dict[DetectionId, Detection] = {each.uid: each for each in scene.detections}
    truth = {event.event: event for event in scene.truth}
    found = []
    for pulses in scene.pulse_sets:
        group: dict[str, HeardArrival] = {}
        for uid in pulses.detections:
            detection = by_id[uid]
            time_ns = detection.arrival_time_ns
            if uid.node not in group or time_ns < group[uid.node].time_ns:
                group[uid.node] = HeardArrival(uid.node, time_ns, _SIGMA_S)
        event = truth[pulses.event]
        place = KnownPlace("", event.x_m, event.y_m, event.z_m, event.sigma_m, event.sigma_m) if known else None
        arrivals = tuple(sorted(group.values(), key=lambda arrival: (arrival.time_ns, arrival.node)))
        found.append(HeardImpulse(f"{pulses.event}/{pulses.shot_index}", arrivals, place))
    return found
