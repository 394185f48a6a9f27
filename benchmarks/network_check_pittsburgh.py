"""The network self-check on real shots: the Pittsburgh set, with faults put into one node at a time.

    python benchmarks/network_check_pittsburgh.py [--out OUT]

Each of the six firing positions has a network of its own with 18 events, fused from the vendor's pulses as a replay
does it; of each event one shot. All come from one place: so by itself the self-check says nothing of times here (one
place is one path), and first it is seen how often it flags anything as it is. Then one place is let be enough
(`one_place`), and from the tenth event on a node, each in turn of those that heard 8 of the first 9 and 6 of the last,
is given a clock 2 ms late, a move of 10 m straight away from the place, or 20 dB less, of which nothing below 10 dB of
SNR is heard. The fix stays that of the recorded times: a residual is against the others.
Needs ../shared/data/pittsburgh. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from results_files import write_results

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.netcheck import CheckedShot, NetcheckSettings, NetworkCheck, Standing, shots_of_record
from fusion_server.registry import Registry
from shotline.domain import IncidentState
from shotline.records import incident_record
from shotline_recordings.dataset import Scene, open_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "network_check_pittsburgh"
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
HEALTHY, LEAST_SNR_DB = 9, 10.0
FAULTS = ("clock 2 ms", "moved 10 m", "-20 dB")


def shots_of(scene: Scene) -> tuple[list[CheckedShot], dict[tuple[str, int], float]]:
    """Return one shot of each event, in order, and the SNR of arrivals by node and instant."""
    settings = FusionSettings()
    engine = FusionEngine(registry=Registry(scene.sites), weather=scene.weather, settings=settings)
    latest = {}
    for detection in sorted(scene.detections, key=lambda item: item.arrival_time_ns):
        for incident in engine.advance_to(detection.arrival_time_ns):
            latest[incident.incident_id] = incident
        engine.add(detection)
    latest |= {incident.incident_id: incident for incident in engine.finish()}
    known = {str(item.uid): item for item in scene.detections}
    found: list[CheckedShot] = []
    for incident in latest.values():
        if incident.state is not IncidentState.RETRACTED:
            record = incident_record(incident, None)
            found += shots_of_record(record, scene.sites, settings=settings.associate, detections=known)
    snr_db = {(item.node, item.arrival_time_ns): item.snr_db for item in scene.detections}
    return sorted(found, key=lambda item: item.time_ns), snr_db


def with_fault(shot: CheckedShot, node: str, fault: str, snr_db: dict[tuple[str, int], float]) -> CheckedShot:
    """Return a shot as a faulty node would have heard it."""
    arrivals = []
    for item in shot.arrivals:
        if item.node != node:
            arrivals.append(item)
        elif fault == "clock 2 ms":
            arrivals.append(replace(item, time_ns=item.time_ns + 2_000_000))
        elif fault == "moved 10 m":
            late_s = 10.0 / shot.weather.speed_of_sound_mps
            arrivals.append(replace(item, time_ns=item.time_ns + round(1e9 * late_s)))
        elif snr_db.get((node, item.time_ns), math.inf) - 20.0 >= LEAST_SNR_DB:
            arrivals.append(replace(item, level_db=item.level_db - 20.0))
    return replace(shot, arrivals=tuple(arrivals))


def found_after(
    shots: Sequence[CheckedShot], scene: Scene, node: str, fault: str, snr_db: dict[tuple[str, int], float]
) -> tuple[int | None, int]:
    """Return after how many events with the fault it was flagged, and how often another node was."""
    check = NetworkCheck(scene.sites, NetcheckSettings(one_place=True))
    wrongly = 0
    for number, shot in enumerate(shots):
        heard = shot if number < HEALTHY else with_fault(shot, node, fault, snr_db)
        for change in check.add(heard):
            if change.state.node == node and number >= HEALTHY and change.state.standing is not Standing.OK:
                return number - HEALTHY + 1, wrongly
            wrongly += change.before is Standing.OK
    return None, wrongly


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(2, f"{DATA} is not there\n")
    rows: dict[str, list[int | None]] = {fault: [] for fault in FAULTS}
    flags = {True: 0, False: 0}
    events, wrongly = 0, 0
    for scene in open_dataset(DATA).scenes:
        shots, snr_db = shots_of(scene)
        events += len(shots)
        for one_place in (False, True):
            check = NetworkCheck(scene.sites, NetcheckSettings(one_place=one_place))
            flags[one_place] += sum(change.before is Standing.OK for shot in shots for change in check.add(shot))
        for site in scene.sites:
            heard = np.array([any(item.node == site.node and item.in_fix for item in shot.arrivals) for shot in shots])
            if heard[:HEALTHY].sum() < HEALTHY - 1 or heard[HEALTHY:].sum() < 6:
                continue
            for fault in FAULTS:
                after, others = found_after(shots, scene, site.node, fault, snr_db)
                rows[fault].append(after)
                wrongly += others
        sys.stderr.write(f"{scene.name}: {len(shots)} shots, {len(rows[FAULTS[0]])} nodes so far\n")
    software = describe_software()
    document: dict[str, Any] = {
        "benchmark": "network_check_pittsburgh",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "events": events,
        "flags_without_fault": flags[False],
        "flags_without_fault_one_place": flags[True],
        "others_flagged": wrongly,
        "found_after": rows,
    }
    changes = " with changes" if software.git_dirty else ""
    lines = [
        "# Network self-check on the Pittsburgh set",
        "",
        f"Commit {(software.git_commit or '')[:12]}{changes}. Made by `python benchmarks/network_check_pittsburgh.py`.",
        "",
        f"{events} events at six firing positions, each a network and a place of its own. Flags without any fault,",
        f"as a server judges: {flags[False]}; where one place is enough: {flags[True]}.",
        "With a fault from the tenth event on, and one place enough:",
        "",
        "| fault | nodes | found within the 9 events | median of those | worst |",
        "|---|---:|---:|---:|---:|",
    ]
    for fault, delays in rows.items():
        found = [item for item in delays if item is not None]
        share = f"{100.0 * len(found) / max(len(delays), 1):.0f} %"
        middle = f"{np.median(found):.0f} | {max(found)}" if found else "– | –"
        lines.append(f"| {fault} | {len(delays)} | {share} | {middle} |")
    lines += ["", f"Other nodes flagged meanwhile, most of them those that are without any fault: {wrongly}."]
    write_results(args.out, document, "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
