"""What simulated scenes taught: written by ``python benchmarks/incidents.py --fit``."""

from __future__ import annotations

__all__ = [
    "ALONE",
    "INCIDENT",
    "INVENTED",
    "MISSED",
    "MISSED_RATES_S",
    "SHOT",
]

SHOT: dict[str, float] = {
    "constant": -0.5250,
    "voices": 1.0041,
    "evidence": -0.0377,
    "heard": -0.0894,
    "silent": 0.0000,
    "slope": -0.2311,
    "spread": 0.6093,
    "residual": 0.1988,
}
"""Log odds of a gunshot for each unit of `fusion_server.incidents.probability.features`."""
INCIDENT: tuple[float, float, float] = (-0.7154, 1.3252, 0.8309)
"""Log odds of gunfire: constant, for the mean log odds of the shots, for the logarithm of their number."""
INVENTED: tuple[float, float, float] = (0.1662, -0.1937, 0.0576)
"""A round that is none: probability without evidence; minus log odds, constant and for each unit of log evidence."""
ALONE: float = 0.1429
"""Share of events of more rounds among those of which one was found."""
MISSED_RATES_S: tuple[float, float, float] = (0.4, 0.15, 0.0)
MISSED: tuple[float, float, float] = (0.1376, 0.0514, 0.3883)
"""Share of rounds that are not found where rounds are at least so many seconds apart."""
