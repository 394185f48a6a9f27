"""Incident records, and descriptions of the network that heard them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
from explain_samples import COVARIANCE_M2, NAMES, SITES_M, SOURCE_M, crowded, located
from locate_samples import ORIGIN_NS

from shotline.domain import Incident, IncidentState, Location, Shot
from shotline.records import IncidentRecord, incident_record

SERVER_TOML = """
[frame]
lat_deg = 40.44
lon_deg = -79.99
[weather]
temperature_c = 3.0
wind_speed_mps = 6.0
wind_from_deg = 270.0
"""
DATASET_TOML = """
format = "shotline-dataset-1"
name = "test"
licence = "CC0-1.0"
source = "a test"
"""
SCENE_TOML = """
[[scenes]]
name = "{name}"
[[scenes.weather]]
temperature_c = 3.0
wind_speed_mps = 6.0
wind_from_deg = 270.0
"""


def shot(later_ns: int = 0) -> Shot:
    found = located().found
    assert isinstance(found, Location)
    return Shot(dataclasses.replace(found, origin_time_ns=ORIGIN_NS + later_ns), 0.9)


def crowded_shot() -> Shot:
    """Return a shot that has one of everything."""
    full = crowded()
    assert isinstance(full.found, Location)
    return Shot(full.found, 0.9, log_evidence=12.0, passed_over=full.passed_over, silent=full.silent, lost=full.lost)


def record(
    name: str = "81d9", *, revision: int = 1, rounds: int = 2, scene: str = "", shots: tuple[Shot, ...] = ()
) -> IncidentRecord:
    shots = shots or tuple(shot(index * 10**9) for index in range(rounds))
    incident = Incident(
        incident_id=name,
        revision=revision,
        state=IncidentState.REVISED,
        shots=shots,
        x_m=SOURCE_M[0],
        y_m=SOURCE_M[1],
        covariance_m2=COVARIANCE_M2,
        ellipse95=shots[0].location.ellipse95,
        cep50_m=5.0,
        cep95_m=11.0,
        probability=0.9,
        cadence_rounds_per_min=60.0,
        as_of_ns=ORIGIN_NS,
    )
    return incident_record(incident, None, scene=scene)


def written(tmp_path: Path, *records: IncidentRecord) -> Path:
    path = tmp_path / "incidents.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in records))
    return path


def node_tables(header: str) -> str:
    return "".join(
        f'[[{header}]]\nid = "{name}"\nx_m = {x_m}\ny_m = {y_m}\n'
        for name, (x_m, y_m) in zip(
            [*NAMES, "mute", "spare"], [*SITES_M.tolist(), [200.0, -300.0], [-200.0, -100.0]], strict=True
        )
    )


def server_toml(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(SERVER_TOML + node_tables("nodes"), encoding="utf-8")
    return path


def dataset(tmp_path: Path, *scenes: str) -> Path:
    tables = [SCENE_TOML.format(name=name) + node_tables("scenes.nodes") for name in scenes]
    (tmp_path / "dataset.toml").write_text(DATASET_TOML + "".join(tables), encoding="utf-8")
    return tmp_path
