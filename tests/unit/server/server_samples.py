"""Detections and incidents for the server's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fusion_server.history import StoredDetection
from shotline.domain import ClockState, DetectionId
from shotline.messages import Detection, Heartbeat, Hello, LevelReference, encode
from shotline.records import ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc

EPOCH_NS = 1_545_180_566_000_000_000
SECOND_NS = 1_000_000_000


def detection(sequence: int = 0, *, node: str = "a", boot: int = 7, **changes: Any) -> Detection:
    """Return a detection whose arrival is ``sequence`` seconds after the epoch."""
    plain = Detection(
        node=node,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=EPOCH_NS + sequence * SECOND_NS,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_000, 200, 200, 200, 200, 200),
        peak_level_db=-12.5,
        level_reference=LevelReference.DBFS,
        snr_db=22.0,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )
    return msgspec.structs.replace(plain, **changes)


def stored(item: Detection, *, received_ns: int = EPOCH_NS) -> StoredDetection:
    """Return the detection as the receiver hands it to the history."""
    return StoredDetection(item, encode(item), received_ns)


def hello(node: str = "a", *, boot: int = 7, report_delay_s: float = 0.0) -> Hello:
    """Return the first word of a node."""
    return Hello(
        node=node,
        boot=boot,
        time_ns=EPOCH_NS,
        software_version="0.1.0",
        model_id="impulse-rules-1",
        sample_rate_hz=48_000,
        clock_state=ClockState.NTP,
        report_delay_s=report_delay_s,
    )


def heartbeat(node: str = "a", *, boot: int = 7) -> Heartbeat:
    """Return a later word of a node."""
    return Heartbeat(
        node=node,
        boot=boot,
        time_ns=EPOCH_NS,
        clock_state=ClockState.PPS,
        clock_sigma_ns=30,
        next_sequence=12,
        unacked=3,
        gap_samples=64,
        noise_level_db=-61.5,
    )


def heard_shot(uids: Sequence[DetectionId], at_ns: int = EPOCH_NS) -> ShotRecord:
    """Return a shot that rests on these detections."""
    arrivals = tuple(
        ArrivalRecord(
            node=uid.node,
            detection=str(uid),
            time_utc=format_utc(at_ns, digits=9),
            residual_s=0.0,
            used=True,
            reason="",
            snr_db=20.0,
            level_db=None,
        )
        for uid in uids
    )
    return ShotRecord(
        time_utc=format_utc(at_ns),
        x_m=0.0,
        y_m=0.0,
        covariance_m2=((1.0, 0.0), (0.0, 1.0)),
        ellipse95=EllipseRecord(semi_major_m=2.0, semi_minor_m=2.0, orientation_deg=0.0),
        cep50_m=1.0,
        cep95_m=2.0,
        gdop=1.0,
        rms_residual_s=0.0,
        probability=0.9,
        arrivals=arrivals,
    )


def incident(incident_id: str = "i1", revision: int = 1, **changes: Any) -> IncidentRecord:
    """Return an incident record without shots; its time is a plausible one."""
    plain = IncidentRecord(
        id=incident_id,
        revision=revision,
        state="provisional" if revision == 1 else "revised",
        time_utc="2018-12-19T00:49:28.543000Z",
        last_time_utc="2018-12-19T00:49:28.543000Z",
        as_of_utc="2018-12-19T00:49:31.000000Z",
        rounds=1,
        x_m=120.4,
        y_m=-33.812,
        covariance_m2=((2.9, 1.1), (1.1, 3.4)),
        ellipse95=EllipseRecord(semi_major_m=5.2, semi_minor_m=3.1, orientation_deg=41.0),
        cep50_m=2.1,
        cep95_m=4.4,
        probability=0.97,
        shots=(),
        notice="",
    )
    return msgspec.structs.replace(plain, **changes)
