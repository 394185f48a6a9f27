"""What is shown to those who may not know where sensors are: places of nodes to 100 m, times of arrivals to the minute.

An exact arrival time is a distance from the shot, and a few of them are the node's position; so they go together. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from fusion_server.api.documents import ClipPage, NodeRecord
from fusion_server.incidentindex import IndexedIncident
from shotline.records import ArrivalRecord, IncidentRecord, ShotRecord

__all__ = [
    "GRID_M",
    "coarse_clips",
    "coarse_incident",
    "coarse_node",
    "coarse_probability",
    "public_feature",
    "public_place",
]

GRID_M = 100.0
"""Places of nodes are told to this."""
_DEGREE_DIGITS = 3
_TO_THE_MINUTE = len("YYYY-MM-DDThh:mm")


def coarse_incident(record: IncidentRecord) -> IncidentRecord:
    """Return an incident whose evidence does not tell where nodes are."""
    return msgspec.structs.replace(record, shots=tuple(_coarse_shot(shot) for shot in record.shots))


def coarse_node(node: NodeRecord) -> NodeRecord:
    """Return a node on a grid of 100 m, without its height."""
    return msgspec.structs.replace(
        node,
        x_m=None if node.x_m is None else _grid(node.x_m),
        y_m=None if node.y_m is None else _grid(node.y_m),
        z_m=None,
        sigma_m=None,
        lat_deg=None if node.lat_deg is None else round(node.lat_deg, _DEGREE_DIGITS),
        lon_deg=None if node.lon_deg is None else round(node.lon_deg, _DEGREE_DIGITS),
    )


def coarse_clips(page: ClipPage) -> ClipPage:
    """Return clips whose start does not tell when the sound arrived, without picks."""
    clips = [msgspec.structs.replace(clip, start_utc=_minute(clip.start_utc)) for clip in page.clips]
    return msgspec.structs.replace(page, clips=clips, picks=(), times_cut=True)


def coarse_probability(probability: float) -> float:
    """Return the chance that a node hears, in tenths: to three digits it is a distance."""
    return round(probability, 1)


def public_feature(record: IncidentRecord) -> IncidentRecord:
    """Return an incident for everybody: its place to 100 m and 0.001 degrees, without its rounds one by one."""
    return msgspec.structs.replace(
        record,
        x_m=_grid(record.x_m),
        y_m=_grid(record.y_m),
        lat_deg=None if record.lat_deg is None else round(record.lat_deg, _DEGREE_DIGITS),
        lon_deg=None if record.lon_deg is None else round(record.lon_deg, _DEGREE_DIGITS),
        shots=(),
        places=(),
        movement=None,
    )


def public_place(item: IndexedIncident) -> IndexedIncident:
    """Return where everybody may know an incident was: a search by place must not tell more than what it finds."""
    return replace(item, x_m=_grid(item.x_m), y_m=_grid(item.y_m))


def _coarse_shot(shot: ShotRecord) -> ShotRecord:
    return msgspec.structs.replace(
        shot,
        arrivals=_coarse_arrivals(shot.arrivals),
        passed_over=_coarse_arrivals(shot.passed_over),
        silent=tuple(
            msgspec.structs.replace(
                item, distance_m=_grid(item.distance_m), probability=coarse_probability(item.probability)
            )
            for item in shot.silent
        ),
    )


def _coarse_arrivals(arrivals: Iterable[ArrivalRecord]) -> tuple[ArrivalRecord, ...]:
    by_node = sorted(arrivals, key=lambda arrival: arrival.detection)  # their order tells who is nearer
    return tuple(msgspec.structs.replace(item, time_utc=_minute(item.time_utc)) for item in by_node)


def _minute(time_utc: str) -> str:
    return f"{time_utc[:_TO_THE_MINUTE]}:00Z"


def _grid(length_m: float) -> float:
    return round(length_m / GRID_M) * GRID_M
