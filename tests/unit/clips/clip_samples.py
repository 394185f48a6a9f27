"""A desk over real memory, and what it is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion_server.clips import ClipCollector, ClipSettings
from fusion_server.flac import decode_flac
from sensor_node.clips import ClipDesk, ClipLimits, sound_of
from sensor_node.flac import flac_encoder
from sensor_node.ring import SoundRing
from shotline.domain import ClockState
from shotline.messages import ClipRequest, Detection, LevelReference
from shotline.records import ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc

RATE_HZ = 8_000
BOOT = 95
EPOCH_NS = 1_545_180_566_000_000_000
SECOND_NS = 1_000_000_000
ELLIPSE = EllipseRecord(semi_major_m=5.2, semi_minor_m=3.1, orientation_deg=41.0)
COVARIANCE = ((2.9, 1.1), (1.1, 3.4))


class Node:
    """What a live node does with a desk: sound goes into the ring, detections are dated 2 s late."""

    def __init__(self, *, node: str = "a", enabled: bool = True, most_per_hour: int = 30, ring_s: float = 30.0) -> None:
        self.node = node
        self.ring = SoundRing(ring_s, RATE_HZ, 2)
        self.desk = ClipDesk(
            ClipLimits(node=node, sample_rate_hz=RATE_HZ, enabled=enabled, most_per_hour=most_per_hour),
            sound_of(self.ring, channel=2),
            flac_encoder(RATE_HZ),
        )
        self.made = 0

    @property
    def now_ns(self) -> int:
        """Return the monotonic instant of the last sample."""
        return self.ring.next_sample * SECOND_NS // RATE_HZ

    def hear(self, seconds: float, rng: np.random.Generator | None = None, *, lost: bool = False) -> None:
        """Write sound of which no two stretches are alike."""
        rng = rng or np.random.default_rng(self.ring.next_sample)
        if lost:
            self.ring.end_segment()
        for _ in range(round(seconds * 10)):
            frames = rng.integers(-32_768, 32_768, (RATE_HZ // 10, 2)).astype(np.int16)
            self.ring.write(frames, adc_time_ns=self.now_ns, overflow=False)

    def detect(self, onset_sample: int) -> Detection:
        """Return a detection as it is dated now, remembered by the desk."""
        made = Detection(
            node=self.node,
            boot=BOOT,
            sequence=self.made,
            arrival_time_ns=EPOCH_NS + onset_sample * SECOND_NS // RATE_HZ,
            arrival_sigma_ns=1_000,
            clock_state=ClockState.PPS,
            probabilities_bp=(),
            peak_level_db=-1.0,
            level_reference=LevelReference.DBFS,
            snr_db=20.0,
            rise_time_s=0.001,
            model_id="m",
            clip_sha256=self.desk.digest(onset_sample),
            onset_sample=onset_sample,
        )
        self.made += 1
        self.desk.remember(made, onset_ns=onset_sample * SECOND_NS // RATE_HZ)
        return made

    def clip_sound(self, onset_sample: int) -> NDArray[np.int16]:
        """Return the sound of a whole clip, straight from memory."""
        sound = self.ring.last(onset_sample - RATE_HZ // 2, onset_sample + 3 * RATE_HZ // 2)
        assert sound is not None
        return sound[1]


def request(sequence: int = 0, *, node: str = "a", incident_id: str = "i1", **changes: float) -> ClipRequest:
    """Return what a server says."""
    return ClipRequest(node=node, boot=BOOT, sequence=sequence, incident_id=incident_id, **changes)  # type: ignore[arg-type]


def incident(
    *arrivals: tuple[str, int, float], incident_id: str = "i1", state: str = "provisional", unused: int = -1
) -> IncidentRecord:
    """Return an incident of one shot, with arrivals (node, sequence, seconds after the epoch)."""
    records = tuple(
        ArrivalRecord(
            node=node,
            detection=f"{node}/{BOOT:x}/{sequence}",
            time_utc=format_utc(EPOCH_NS + round(at_s * SECOND_NS), digits=9),
            residual_s=0.0,
            used=index != unused,
            reason="",
            snr_db=20.0,
            level_db=None,
        )
        for index, (node, sequence, at_s) in enumerate(arrivals)
    )
    shot = ShotRecord(
        time_utc=format_utc(EPOCH_NS),
        x_m=0.0,
        y_m=0.0,
        covariance_m2=COVARIANCE,
        ellipse95=ELLIPSE,
        cep50_m=2.1,
        cep95_m=4.4,
        gdop=1.2,
        rms_residual_s=0.0,
        probability=0.9,
        arrivals=records,
    )
    return IncidentRecord(
        id=incident_id,
        revision=1,
        state=state,
        time_utc=format_utc(EPOCH_NS),
        last_time_utc=format_utc(EPOCH_NS),
        as_of_utc=format_utc(EPOCH_NS),
        rounds=1,
        x_m=0.0,
        y_m=0.0,
        covariance_m2=COVARIANCE,
        ellipse95=ELLIPSE,
        cep50_m=2.1,
        cep95_m=4.4,
        probability=0.9,
        shots=(shot,),
        notice="",
    )


def collector(announced: bytes | None = None, **settings: float) -> ClipCollector:
    """Return a collector whose kept detections all announced the same."""
    return ClipCollector(
        ClipSettings(**settings),  # type: ignore[arg-type]
        decode=decode_flac,
        announced=lambda _: announced,
    )
