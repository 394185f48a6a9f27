"""Made-up incidents, nodes and health for the tests of alerts, API and page."""

from __future__ import annotations

import math
import random

from fusion_server.history import NodeStatus, StoredDetection
from fusion_server.metrics import LatencyHistogram, MetricsSnapshot, SinkNumbers
from fusion_server.registry import Registry
from shotline.domain import ClockState, DetectionId, Site
from shotline.geodesy import LocalFrame
from shotline.health import Check, CheckStatus, HealthReport
from shotline.messages import Detection, LevelReference, encode
from shotline.records import ALERT_NOTICE, ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord, SilenceRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S

EPOCH_NS = 1_545_180_568_543_000_000
FRAME = LocalFrame(40.4406, -79.9959, 250.0)
SITES = tuple(
    Site(f"roof-{index + 1:02}", x_m, y_m, 12.0, 0.5)
    for index, (x_m, y_m) in enumerate(
        [(-260, 190), (10, 240), (280, 170), (-310, -20), (-40, 30), (230, -40), (-220, -230), (60, -210), (320, -250)]
    )
)
_SPEED_OF_SOUND_MPS = 340.0


def registry() -> Registry:
    """Nine roofs."""
    return Registry(SITES)


def node_statuses(now_ns: int, *, silent: str = "roof-09") -> list[NodeStatus]:
    """The last word of each node; one of them spoke last an hour ago."""
    return [
        NodeStatus(
            node=site.node,
            boot=1,
            last_heard_ns=now_ns - (3600 if site.node == silent else 2) * NS_PER_S,
            clock_state=ClockState.PPS,
            clock_sigma_ns=1_000,
            software_version="0.1.0",
            model_id="impulse-rules-1",
            unacked=0,
        )
        for site in SITES
    ]


def incident(
    number: int = 1,
    *,
    revision: int = 1,
    rounds: int = 1,
    x_m: float = 90.0,
    y_m: float = 40.0,
    time_ns: int | None = None,
    frame: LocalFrame | None = FRAME,
    scene: str = "",
    cep95_m: float = 6.2,
    incident_id: str | None = None,
) -> IncidentRecord:
    """An incident that most nodes heard, one of them by an echo; `number` makes its id and, by default, its time."""
    rng = random.Random(number)
    start_ns = EPOCH_NS + number * 60 * NS_PER_S if time_ns is None else time_ns
    shots = tuple(
        _shot(
            rng,
            x_m + rng.gauss(0, 1.2) * (rounds > 1),
            y_m + rng.gauss(0, 1.2) * (rounds > 1),
            start_ns + index * 115_000_000,
            frame=frame,
            cep95_m=cep95_m,
        )
        for index in range(rounds)
    )
    lat_deg, lon_deg = _degrees(frame, x_m, y_m)
    return IncidentRecord(
        id=incident_id or f"{number:016x}",
        revision=revision,
        state="provisional" if revision == 1 else "revised",
        time_utc=shots[0].time_utc,
        last_time_utc=shots[-1].time_utc,
        as_of_utc=format_utc(start_ns + (1 + revision) * NS_PER_S),
        rounds=rounds,
        x_m=x_m,
        y_m=y_m,
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        covariance_m2=shots[0].covariance_m2,
        ellipse95=shots[0].ellipse95,
        cep50_m=round(0.45 * cep95_m, 3),
        cep95_m=cep95_m,
        probability=0.97 if number % 3 else 0.81,
        cadence_rounds_per_min=None if rounds == 1 else 521.7,
        shots=shots,
        notice=ALERT_NOTICE,
        scene=scene,
    )


def detection_of(arrival: ArrivalRecord, sigma_ns: int = 400_000) -> StoredDetection:
    """The detection that an arrival came from."""
    uid = DetectionId.parse(arrival.detection)
    made = Detection(
        node=uid.node,
        boot=uid.boot,
        sequence=uid.sequence,
        arrival_time_ns=parse_utc(arrival.time_utc),
        arrival_sigma_ns=sigma_ns,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=-6.0,
        level_reference=LevelReference.DBFS,
        snr_db=arrival.snr_db,
        rise_time_s=0.0005,
        model_id="",
    )
    return StoredDetection(made, encode(made), made.arrival_time_ns)


def health(status: CheckStatus = CheckStatus.OK) -> HealthReport:
    """A report whose second check has the given status."""
    return HealthReport(
        EPOCH_NS,
        (
            Check("store", CheckStatus.OK, "812 detections kept in history.db", {"detections": 812}),
            Check("nodes", status, "1 of 9 nodes silent: roof-09 (an hour ago); check its power", {"silent": 1}),
        ),
    )


def _shot(
    rng: random.Random, x_m: float, y_m: float, time_ns: int, *, frame: LocalFrame | None, cep95_m: float
) -> ShotRecord:
    arrivals = []
    for site in SITES[:7]:
        echo = site.node == "roof-04"
        residual_s = 0.0412 if echo else rng.gauss(0, 0.004)
        delay_s = math.hypot(site.x_m - x_m, site.y_m - y_m) / _SPEED_OF_SOUND_MPS + residual_s
        arrivals.append(
            ArrivalRecord(
                node=site.node,
                detection=f"{site.node}/5f/{rng.randrange(1000)}",
                time_utc=format_utc(time_ns + round(delay_s * NS_PER_S), digits=9),
                residual_s=round(residual_s, 6),
                used=not echo,
                reason="late by 41 ms: an echo" if echo else "",
                snr_db=round(rng.uniform(12, 38), 2),
                level_db=round(rng.uniform(-30, -3), 2),
                gunshot_probability=None if site.node == "roof-07" else round(rng.uniform(0.8, 0.99), 2),
            )
        )
    lat_deg, lon_deg = _degrees(frame, x_m, y_m)
    return ShotRecord(
        time_utc=format_utc(time_ns),
        x_m=round(x_m, 3),
        y_m=round(y_m, 3),
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        covariance_m2=((4.2, 1.6), (1.6, 8.1)),
        ellipse95=EllipseRecord(semi_major_m=1.15 * cep95_m, semi_minor_m=0.62 * cep95_m, orientation_deg=34.0),
        cep50_m=round(0.45 * cep95_m, 3),
        cep95_m=cep95_m,
        gdop=1.3,
        rms_residual_s=0.0041,
        probability=0.97,
        arrivals=tuple(sorted(arrivals, key=lambda arrival: arrival.time_utc)),
        log_evidence=24.1,
        silent=(SilenceRecord(node="roof-08", distance_m=251.8, probability=0.318),),
    )


def _degrees(frame: LocalFrame | None, x_m: float, y_m: float) -> tuple[float | None, float | None]:
    if frame is None:
        return None, None
    lat_deg, lon_deg, _ = frame.to_geodetic(x_m, y_m)
    return round(lat_deg, 8), round(lon_deg, 8)


def metrics_snapshot() -> MetricsSnapshot:
    """Return numbers of which no two are alike."""
    latencies = LatencyHistogram()
    for latency_s in (0.1, 0.11, 2.5, 400.0):
        latencies.observe(latency_s)
    return MetricsSnapshot(
        version="0.1.0",
        messages=900,
        detections=700,
        duplicates=40,
        rejects={"malformed": 3, 'odd "one"': 1},
        unused={"no_site": 5},
        revisions={"provisional": 4, "retracted": 1},
        incidents={"revised": 3, "retracted": 1},
        held_back=6,
        sinks=[SinkNumbers("desk", waiting=2, delivered=7, gave_up=1, failures_in_a_row=3)],
        latency_counts=latencies.counts,
        latency_sum_s=latencies.sum_s,
        surveyed=9,
        silent=2,
        connections=8,
        last_heard_ns={"roof-01": 1_545_180_568_250_000_000},
        unacked={"roof-01": 12},
        fusion_lag_s=0.25,
        fusion_failures=0,
        loop_age_s=0.02,
        checks={"store": "ok", "nodes": "warn", "sinks": "fail"},
    )
