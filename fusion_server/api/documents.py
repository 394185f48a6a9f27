"""The JSON documents of the API. An incident is the record it is everywhere; these go around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from fusion_server.api.picks import PickRecord
from fusion_server.clips import RefusedClip
from fusion_server.health import NodeReport
from fusion_server.history import ClipHead, NodeStatus, Receipt
from shotline.domain import Site
from shotline.geodesy import LocalFrame
from shotline.health import Check, HealthReport
from shotline.records import ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord, SilenceRecord
from shotline.timebase import format_utc
from shotline.units import seconds_from_ns

__all__ = [
    "EXAMPLE_INCIDENT",
    "BasemapRecord",
    "CheckRecord",
    "ClipPage",
    "ClipRecord",
    "ClipRefusalRecord",
    "HealthDocument",
    "IncidentPage",
    "Meta",
    "Mode",
    "NodePage",
    "NodeRecord",
    "ProblemRecord",
    "ReceiptRecord",
    "clip_page",
    "health_document",
    "node_records",
    "receipt_record",
    "schema_components",
]


class Mode(StrEnum):
    """Where the server's sound comes from; the page says so in a banner unless it is live."""

    LIVE = "live"
    REPLAY = "replay"
    DEMO = "demo"


class IncidentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents, newest first, each at its latest revision. ``next`` is the address of the page after this one."""

    incidents: Sequence[IncidentRecord]
    limit: int
    offset: int
    next: str | None = None


class ReceiptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink said to one attempt to deliver one revision."""

    revision: int
    sink: str
    attempt: int
    ok: bool
    detail: str
    time_utc: str


class CheckRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One named check. ``status`` is ok, warn or fail."""

    name: str
    status: str
    message: str
    numbers: Mapping[str, float]


class ClipRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One clip that is kept; ``href`` is where its FLAC file is.

    ``digest_ok`` says whether the sound is what the node announced with the detection; null when it announced nothing.
    """

    detection: str
    node: str
    start_utc: str
    sample_rate_hz: int
    received_utc: str
    bytes: int
    sha256: str
    digest_ok: bool | None
    href: str


class ClipRefusalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One clip that was asked for and did not come, and why."""

    detection: str
    node: str
    time_utc: str
    reason: str
    detail: str


class ClipPage(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of an incident, by start, and those that did not come.

    ``picks`` say where in the sound each round is, at the latest revision. ``times_cut`` is true for whoever may not
    know where sensors are: then there are no picks, and starts are to the minute.
    """

    clips: Sequence[ClipRecord]
    refused: Sequence[ClipRefusalRecord]
    picks: Sequence[PickRecord] = ()
    times_cut: bool = False


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node: where it stands, and its last word.

    ``surveyed`` is false for one that speaks but has no site: what it hears is kept, not used. ``silent`` is true when
    it was not heard for too long, or never. ``health`` is what its last heartbeat said of it, ``health_status`` the
    worst of that: null when it has said nothing since the server's start.
    """

    node: str
    surveyed: bool
    silent: bool
    x_m: float | None = None
    y_m: float | None = None
    z_m: float | None = None
    sigma_m: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    last_heard_utc: str | None = None
    last_heard_ago_s: float | None = None
    clock_state: str | None = None
    clock_sigma_s: float | None = None
    software_version: str = ""
    model_id: str = ""
    unacked: int | None = None
    gap_samples: int | None = None
    noise_level_db: float | None = None
    dropped_detections: int | None = None
    dropped_heartbeats: int | None = None
    health_status: str | None = None
    health: Sequence[CheckRecord] = ()


class NodePage(msgspec.Struct, frozen=True, kw_only=True):
    """Every node, by name."""

    nodes: Sequence[NodeRecord]


class HealthDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every check, and the worst of their states."""

    status: str
    as_of_utc: str
    checks: Sequence[CheckRecord]
    mode: Mode


class BasemapRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Streets under the map. ``kind`` is geojson, raster or vector; the levels are those of the tiles."""

    kind: str
    href: str
    attribution: str
    min_zoom: int
    max_zoom: int


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What this server is. ``frame`` is geodetic (degrees are given too) or cartesian (metres only)."""

    software: str
    software_version: str
    mode: Mode
    frame: str
    notice: str
    origin_lat_deg: float | None = None
    origin_lon_deg: float | None = None
    origin_height_m: float | None = None
    basemap: BasemapRecord | None = None


class ProblemRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, in plain words (RFC 9457)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def health_document(report: HealthReport, mode: Mode) -> HealthDocument:
    """Return the JSON shape of the health report."""
    return HealthDocument(
        status=report.status.value,
        as_of_utc=format_utc(report.as_of_ns),
        checks=[_check_record(check) for check in report.checks],
        mode=mode,
    )


def _check_record(check: Check) -> CheckRecord:
    return CheckRecord(name=check.name, status=check.status.value, message=check.message, numbers=check.numbers)


def clip_page(
    incident_id: str,
    clips: Sequence[ClipHead],
    refused: Sequence[RefusedClip],
    picks: Sequence[PickRecord] = (),
) -> ClipPage:
    """Return the JSON shape of an incident's clips."""
    return ClipPage(
        clips=[
            ClipRecord(
                detection=str(clip.uid),
                node=clip.uid.node,
                start_utc=format_utc(clip.start_time_ns, digits=9),
                sample_rate_hz=clip.sample_rate_hz,
                received_utc=format_utc(clip.received_ns),
                bytes=clip.size_bytes,
                sha256=clip.sha256.hex(),
                digest_ok=clip.digest_ok,
                href=f"/incidents/{incident_id}/clips/{clip.uid}",
            )
            for clip in clips
        ],
        refused=[
            ClipRefusalRecord(
                detection=str(item.uid),
                node=item.uid.node,
                time_utc=format_utc(item.received_ns),
                reason=item.reason,
                detail=item.detail,
            )
            for item in refused
        ],
        picks=picks,
    )


def receipt_record(receipt: Receipt) -> ReceiptRecord:
    """Return the JSON shape of a receipt."""
    return ReceiptRecord(
        revision=receipt.revision,
        sink=receipt.sink,
        attempt=receipt.attempt,
        ok=receipt.ok,
        detail=receipt.detail,
        time_utc=format_utc(receipt.time_ns),
    )


def node_records(
    sites: Sequence[Site],
    statuses: Sequence[NodeStatus],
    reports: Mapping[str, NodeReport],
    *,
    frame: LocalFrame | None,
    now_ns: int,
    silent_after_s: float,
) -> list[NodeRecord]:
    """Return every node that was surveyed or ever spoke, by name.

    Parameters
    ----------
    sites : sequence of Site
    statuses : sequence of NodeStatus
    reports : Mapping[str, NodeReport]
        What nodes said of themselves, by node id.
    frame : LocalFrame | None
        Gives degrees when the network has a geodetic origin.
    now_ns : int
        Wall time, to tell who is silent.
    silent_after_s : float
        A node not heard for longer is silent.
    """
    site_of = {site.node: site for site in sites}
    status_of = {status.node: status for status in statuses}
    return [
        _node_record(
            node,
            site_of.get(node),
            status_of.get(node),
            reports.get(node),
            frame=frame,
            now_ns=now_ns,
            silent_after_s=silent_after_s,
        )
        for node in sorted(site_of.keys() | status_of.keys())
    ]


def _node_record(
    node: str,
    site: Site | None,
    status: NodeStatus | None,
    report: NodeReport | None,
    *,
    frame: LocalFrame | None,
    now_ns: int,
    silent_after_s: float,
) -> NodeRecord:
    place: dict[str, Any] = {}
    if site is not None:
        place = {"x_m": site.x_m, "y_m": site.y_m, "z_m": site.z_m, "sigma_m": site.sigma_m}
        if frame is not None:
            lat_deg, lon_deg, _ = frame.to_geodetic(site.x_m, site.y_m, site.z_m)
            place |= {"lat_deg": round(lat_deg, 8), "lon_deg": round(lon_deg, 8)}
    if status is None:
        return NodeRecord(node=node, surveyed=site is not None, silent=True, **place)
    ago_s = max(0.0, seconds_from_ns(now_ns - status.last_heard_ns))
    sigma_ns = status.clock_sigma_ns
    return NodeRecord(
        node=node,
        surveyed=site is not None,
        silent=ago_s > silent_after_s,
        last_heard_utc=format_utc(status.last_heard_ns, digits=3),
        last_heard_ago_s=round(ago_s, 1),
        clock_state=None if status.clock_state is None else status.clock_state.value,
        clock_sigma_s=None if sigma_ns is None else seconds_from_ns(sigma_ns),
        software_version=status.software_version,
        model_id=status.model_id,
        unacked=status.unacked,
        gap_samples=status.gap_samples,
        noise_level_db=status.noise_level_db,
        dropped_detections=None if report is None else report.dropped_detections,
        dropped_heartbeats=None if report is None else report.dropped_heartbeats,
        health_status=None if report is None or report.status is None else report.status.value,
        health=() if report is None else tuple(_check_record(check) for check in report.checks),
        **place,
    )


def schema_components() -> dict[str, Any]:
    """Return the JSON schemas of every document, by name, for the OpenAPI description."""
    documents = (IncidentPage, IncidentRecord, NodePage, HealthDocument, Meta, ProblemRecord, ClipPage)
    _, components = msgspec.json.schema_components(documents, ref_template="#/components/schemas/{name}")
    return components


_EXAMPLE_ELLIPSE = EllipseRecord(semi_major_m=5.2, semi_minor_m=3.1, orientation_deg=41.0)
_EXAMPLE_COVARIANCE = ((2.9, 1.1), (1.1, 3.4))

EXAMPLE_INCIDENT = IncidentRecord(
    id="7f3c9a51d2e84b06",
    revision=2,
    state="revised",
    time_utc="2018-12-19T00:49:28.543000Z",
    last_time_utc="2018-12-19T00:49:28.543000Z",
    as_of_utc="2018-12-19T00:49:31.000000Z",
    rounds=1,
    x_m=120.4,
    y_m=-33.812,
    lat_deg=40.4406,
    lon_deg=-79.9959,
    covariance_m2=_EXAMPLE_COVARIANCE,
    ellipse95=_EXAMPLE_ELLIPSE,
    cep50_m=2.1,
    cep95_m=4.4,
    probability=0.97,
    shots=(
        ShotRecord(
            time_utc="2018-12-19T00:49:28.543000Z",
            x_m=120.4,
            y_m=-33.812,
            lat_deg=40.4406,
            lon_deg=-79.9959,
            covariance_m2=_EXAMPLE_COVARIANCE,
            ellipse95=_EXAMPLE_ELLIPSE,
            cep50_m=2.1,
            cep95_m=4.4,
            gdop=1.2,
            rms_residual_s=0.0021,
            probability=0.97,
            arrivals=(
                ArrivalRecord(
                    node="roof-03",
                    detection="roof-03/5f/812",
                    time_utc="2018-12-19T00:49:28.911204381Z",
                    residual_s=-0.0014,
                    used=True,
                    reason="",
                    snr_db=31.5,
                    level_db=-8.2,
                    gunshot_probability=0.98,
                ),
            ),
            log_evidence=31.4,
            silent=(SilenceRecord(node="roof-09", distance_m=612.0, probability=0.31),),
        ),
    ),
    notice="Automatic acoustic estimate of a place, with its error. "
    "By itself it is not grounds for a stop, search or arrest.",
    rounds_low=1,
    rounds_high=1,
    fire_mode="single",
    fire_mode_probability=0.97,
)
