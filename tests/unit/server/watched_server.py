"""A history, an engine and a network watch put together, fed with the shots of a made-up town."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from fusion_server.associate import AssociateSettings
from fusion_server.engine import Disposition, FusionEngine
from fusion_server.history import History, NodeStatus, StoredDetection
from fusion_server.netcheck import Change, CheckedShot
from fusion_server.networkwatch import NetworkWatch
from fusion_server.registry import Registry
from shotline.atmosphere import WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.messages import Detection, LevelReference, encode
from shotline.records import IncidentRecord, incident_record
from shotline.units import NS_PER_S

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from netcheck_samples import Fault, Town, town_of

__all__ = ["Fault", "Town", "WatchedServer", "quiet_town"]


def quiet_town() -> Town:
    """Return a town of 12 nodes whose paths scatter by 1 ms."""
    return town_of(5, nodes=12, path_sigma_s=0.001)


class WatchedServer:
    """What a server does with detections, without its sockets.

    Parameters
    ----------
    history : History
    sites : list of Site
    quarantine : bool
    """

    def __init__(self, history: History, sites: list[Site], *, quarantine: bool = True) -> None:
        self.history, self.sites = history, sites
        self.watch = NetworkWatch(history, sites, associate=AssociateSettings(), quarantine=quarantine)
        self.records: list[IncidentRecord] = []
        self.dispositions: set[str] = set()
        self._sequence = 0

    def hear(self, shots: Iterable[CheckedShot]) -> list[Change]:
        """Take in what nodes heard of shots, each concluded before the next; return what changes."""
        changes: list[Change] = []
        for shot in shots:
            # A made-up town tells its weather shot by shot.
            weather = WeatherTimeline.constant(shot.weather)
            engine = FusionEngine(registry=Registry(self.sites), weather=weather)
            engine.set_quarantine(self.watch.quarantined)
            for item in self._detections(shot):
                self.history.store([StoredDetection(item, encode(item), item.arrival_time_ns)])
                self.history.touch_node(NodeStatus(item.node, 1, last_heard_ns=item.arrival_time_ns))
                disposition = engine.add(item)
                self.dispositions.add(disposition.value)
                assert disposition is not Disposition.NO_SITE
            latest = {incident.incident_id: incident for incident in engine.finish()}
            for incident in latest.values():
                record = incident_record(incident, None)
                self.records.append(record)
                self.history.append_incident(record)
                self.watch.note(record)
            now_ns = shot.time_ns + 60 * NS_PER_S
            changes += self.watch.step(now_ns, wall_ns=now_ns)
        return changes

    def _detections(self, shot: CheckedShot) -> list[Detection]:
        found = []
        for arrival in sorted(shot.arrivals, key=lambda item: item.time_ns):
            self._sequence += 1
            found.append(
                Detection(
                    node=arrival.node,
                    boot=1,
                    sequence=self._sequence,
                    arrival_time_ns=arrival.time_ns,
                    arrival_sigma_ns=round(arrival.sigma_s * NS_PER_S),
                    clock_state=ClockState.PPS,
                    probabilities_bp=(9_000, 200, 200, 200, 200, 200),
                    peak_level_db=arrival.level_db,
                    level_reference=LevelReference.DBFS,
                    snr_db=20.0,
                    rise_time_s=0.0005,
                    model_id="",
                )
            )
        return found
