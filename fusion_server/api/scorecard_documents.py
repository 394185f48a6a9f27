"""The JSON documents of reported misses, and an example of a scorecard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from fusion_server.scorecard import (
    Case,
    CoverageRules,
    Evidence,
    HeardHour,
    Miss,
    Scorecard,
    ScorecardSettings,
    scorecard,
)
from shotline.domain import Site
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S

__all__ = [
    "EXAMPLE_MISS",
    "EXAMPLE_MISS_REQUEST",
    "MissPage",
    "MissRecord",
    "MissRequest",
    "example_scorecard",
    "miss_record",
    "scorecard_schema_components",
]

_Latitude = Annotated[float, msgspec.Meta(ge=-90.0, le=90.0)]
_Longitude = Annotated[float, msgspec.Meta(ge=-180.0, le=180.0)]
_Metres = Annotated[float, msgspec.Meta(ge=-1e7, le=1e7)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_DEGREE_DIGITS = 8


class MissRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shooting that was not told: when, where (degrees or metres of the network, one pair), who says so, and why."""

    time_utc: Annotated[str, msgspec.Meta(max_length=64)]
    lat_deg: _Latitude | None = None
    lon_deg: _Longitude | None = None
    x_m: _Metres | None = None
    y_m: _Metres | None = None
    said_by: _Text
    reason: _Text


class MissRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reported miss as it is kept. ``person`` entered it; degrees only where the network has them."""

    number: int
    time_utc: str
    x_m: float
    y_m: float
    lat_deg: float | None
    lon_deg: float | None
    said_by: str
    reason: str
    person: str
    entered_utc: str


class MissPage(msgspec.Struct, frozen=True, kw_only=True):
    """Reported misses by when they happened. ``next`` is the address of the page after this one."""

    misses: Sequence[MissRecord]
    total: int
    limit: int
    offset: int
    next: str | None = None


def miss_record(miss: Miss, frame: LocalFrame | None) -> MissRecord:
    """Return the JSON shape of a reported miss."""
    lat_deg, lon_deg = (None, None) if frame is None else frame.to_geodetic(miss.x_m, miss.y_m)[:2]
    return MissRecord(
        number=miss.number,
        time_utc=format_utc(miss.time_ns),
        x_m=round(miss.x_m, 3),
        y_m=round(miss.y_m, 3),
        lat_deg=None if lat_deg is None else round(lat_deg, _DEGREE_DIGITS),
        lon_deg=None if lon_deg is None else round(lon_deg, _DEGREE_DIGITS),
        said_by=miss.said_by,
        reason=miss.reason,
        person=miss.person,
        entered_utc=format_utc(miss.entered_ns),
    )


def scorecard_schema_components() -> dict[str, Any]:
    """Return the JSON schemas of these documents, by name."""
    documents = (Scorecard, MissRequest, MissRecord, MissPage)
    _, components = msgspec.json.schema_components(documents, ref_template="#/components/schemas/{name}")
    return components


def example_scorecard() -> Scorecard:
    """Return the scorecard of a day on which four nodes were heard and one incident told, which nobody decided."""
    since_ns = parse_utc("2026-03-14T00:00:00Z")
    sound_ns = since_ns + 77_400 * NS_PER_S
    whole_hour = (1 << 60) - 1
    corners = {"roof-01": (0.0, 0.0), "roof-02": (200.0, 0.0), "roof-03": (200.0, 200.0), "roof-04": (0.0, 200.0)}
    case = Case(
        incident_id="7f3c9a51d2e84b06",
        time_ns=sound_ns,
        sound_ns=sound_ns,
        fixed_ns=sound_ns + 3 * NS_PER_S,
        x_m=90.0,
        y_m=40.0,
        delivered_ns={},
    )
    heard = [
        HeardHour(since_ns + hour * 3_600 * NS_PER_S, node, whole_hour) for hour in range(24) for node in ("", *corners)
    ]
    return scorecard(
        Evidence(cases=[case], heard=heard),
        sites=[Site(node, x_m, y_m) for node, (x_m, y_m) in corners.items()],
        settings=ScorecardSettings(coverage=CoverageRules(min_nodes=4, hearing_range_m=1_000.0)),
        since_ns=since_ns,
        until_ns=since_ns + 86_400 * NS_PER_S,
        made_ns=since_ns + 86_400 * NS_PER_S,
    )


EXAMPLE_MISS_REQUEST = MissRequest(
    time_utc="2026-03-14T21:30:00Z",
    lat_deg=40.4411,
    lon_deg=-79.9950,
    said_by="emergency calls, list of March",
    reason="three callers, casings found",
)
EXAMPLE_MISS = MissRecord(
    number=1,
    time_utc="2026-03-14T21:30:00.000000Z",
    x_m=90.0,
    y_m=40.0,
    lat_deg=40.4411,
    lon_deg=-79.9950,
    said_by="emergency calls, list of March",
    reason="three callers, casings found",
    person="ann",
    entered_utc="2026-04-02T09:12:44.000000Z",
)
