"""What the map of the page asks for besides incidents and nodes: who should have heard, and what would be heard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from fusion_server.api.gating import coarse_probability
from fusion_server.coverage import Coverage
from fusion_server.hearing import Heard
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord

__all__ = [
    "EXAMPLE_HEARING",
    "CoverageDocument",
    "HeardRecord",
    "HearingDocument",
    "HearingRound",
    "coverage_collection",
    "coverage_document",
    "hearing_document",
    "map_schema_components",
]

_BANDS = (0.0, 0.1, 0.5, 0.9)
_DIGITS = 7


class HeardRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One node and one round.

    ``expected_probability`` is that of its reporting a round as loud as this was for the others, by fusion's model;
    null for a node that has no site any more. ``outcome``: ``used`` in the fix; ``left_out`` of it; ``missed``, it
    listened, should have heard with 0.5 or more and did not; ``not_expected``; ``silent``, it should have heard and
    gave no sign of life.
    """

    node: str
    expected_probability: float | None
    outcome: str


class HearingRound(msgspec.Struct, frozen=True, kw_only=True):
    """One round, counted from 1, and every node by name."""

    round: int
    nodes: Sequence[HeardRecord]


class HearingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Who heard the rounds of an incident at one revision, and who should have."""

    incident: str
    revision: int
    rounds: Sequence[HearingRound]


class CoverageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shot would be heard, on a grid: modelled, not measured.

    Cells run from the south-west corner eastwards, row after row northwards; ``step_m`` is their side. ``probability``
    is that at least ``min_nodes`` nodes report a shot there, ``expected_nodes`` how many do on average; quiet and loud
    shots count alike. ``nodes`` are those that are counted, ``silent`` those that are not: not heard now, or without
    the time. ``coarse``: their places were rounded first.
    """

    west_m: float
    south_m: float
    step_m: float
    columns: int
    rows: int
    min_nodes: int
    nodes: Sequence[str]
    silent: Sequence[str]
    coarse: bool
    probability: Sequence[float]
    expected_nodes: Sequence[float]


EXAMPLE_HEARING = HearingDocument(
    incident="7f3c9a51d2e84b06",
    revision=2,
    rounds=[
        HearingRound(
            round=1,
            nodes=[
                HeardRecord(node="roof-03", expected_probability=0.88, outcome="used"),
                HeardRecord(node="roof-09", expected_probability=0.31, outcome="not_expected"),
            ],
        )
    ],
)


def hearing_document(record: IncidentRecord, rounds: Sequence[Sequence[Heard]], *, coarse: bool) -> HearingDocument:
    """Return the JSON shape of who heard an incident."""

    def told(probability: float | None) -> float | None:
        if probability is None:
            return None
        return coarse_probability(probability) if coarse else round(probability, 3)

    return HearingDocument(
        incident=record.id,
        revision=record.revision,
        rounds=[
            HearingRound(
                round=number,
                nodes=[
                    HeardRecord(
                        node=item.node, expected_probability=told(item.expected_probability), outcome=item.outcome.value
                    )
                    for item in nodes
                ],
            )
            for number, nodes in enumerate(rounds, start=1)
        ],
    )


def coverage_document(
    coverage: Coverage, *, min_nodes: int, nodes: Sequence[str], silent: Sequence[str], coarse: bool
) -> CoverageDocument:
    """Return the JSON shape of a coverage."""
    rows, columns = coverage.probability.shape
    return CoverageDocument(
        west_m=coverage.west_m,
        south_m=coverage.south_m,
        step_m=coverage.step_m,
        columns=columns,
        rows=rows,
        min_nodes=min_nodes,
        nodes=nodes,
        silent=silent,
        coarse=coarse,
        probability=[round(value, 2) for value in coverage.probability.ravel().tolist()],
        expected_nodes=[round(value, 1) for value in coverage.expected_nodes.ravel().tolist()],
    )


def coverage_collection(document: CoverageDocument, frame: LocalFrame) -> dict[str, Any]:
    """Return a coverage as GeoJSON: cells of a row whose probability lies in one band are one polygon."""
    features = []
    for row in range(document.rows):
        start = row * document.columns
        bands = [_band(value) for value in document.probability[start : start + document.columns]]
        for band, run in groupby(range(document.columns), key=bands.__getitem__):
            cells = list(run)
            if band > 0:
                features.append(_band_feature(document, row, (cells[0], cells[-1] + 1), band, frame))
    properties = {"min_nodes": document.min_nodes, "coarse": document.coarse, "modelled": True}
    return {"type": "FeatureCollection", "features": features, **properties}


def _band(probability: float) -> int:
    return max(index for index, least in enumerate(_BANDS) if probability >= least)


def _band_feature(
    document: CoverageDocument, row: int, columns: tuple[int, int], band: int, frame: LocalFrame
) -> dict[str, Any]:
    west_m, east_m = (document.west_m + column * document.step_m for column in columns)
    south_m, north_m = (document.south_m + (row + up) * document.step_m for up in (0, 1))
    ring = []
    for x_m, y_m in ((west_m, south_m), (east_m, south_m), (east_m, north_m), (west_m, north_m), (west_m, south_m)):
        lat_deg, lon_deg, _ = frame.to_geodetic(x_m, y_m)
        ring.append((round(lon_deg, _DIGITS), round(lat_deg, _DIGITS)))
    above = _BANDS[band + 1] if band + 1 < len(_BANDS) else 1.0
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"role": "coverage", "probability_from": _BANDS[band], "probability_to": above},
    }


def map_schema_components() -> dict[str, Any]:
    """Return the JSON schemas of these documents, by name, for the OpenAPI description."""
    _, components = msgspec.json.schema_components(
        (HearingDocument, CoverageDocument), ref_template="#/components/schemas/{name}"
    )
    return components
