"""Fusion as one pure machine in event time: detections and "now" go in, incidents come out.

The same machine serves the live server and every replay. It never asks what time it is: ``advance_to`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fusion_server.registry import Registry
from shotline.atmosphere import WeatherTimeline
from shotline.domain import DetectionId, Incident
from shotline.messages import Detection

__all__ = ["Disposition", "FusionEngine", "FusionSettings"]


class Disposition(StrEnum):
    """What became of a detection given to the engine. Only ``FUSED`` ones can be part of a shot."""

    FUSED = "fused"
    DUPLICATE = "duplicate"
    NO_SITE = "no_site"
    UNTIMED = "untimed"
    TOO_LATE = "too_late"
    IN_FUTURE = "in_future"


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """Settings of fusion (filled in by the engine's author)."""

    lateness_s: float = 10.0


class FusionEngine:
    """Detections in, incidents out.

    Parameters
    ----------
    registry : Registry
        Surveyed sites.
    weather : WeatherTimeline
    settings : FusionSettings
    """

    def __init__(
        self, *, registry: Registry, weather: WeatherTimeline, settings: FusionSettings | None = None
    ) -> None:
        self._registry = registry
        self._weather = weather
        self._settings = settings or FusionSettings()

    def add(self, detection: Detection) -> Disposition:
        """Take one detection, in any order; say what became of it."""
        raise NotImplementedError

    def advance_to(self, now_ns: int) -> tuple[Incident, ...]:
        """Move event time forward (never back) and return the incidents that are new or revised, oldest first."""
        raise NotImplementedError

    def finish(self) -> tuple[Incident, ...]:
        """Conclude: return what remains as if no further detection will ever come."""
        raise NotImplementedError
