"""What simulated scenes taught: written by ``python benchmarks/incidents.py --fit``."""

from __future__ import annotations

__all__ = [
    "INCIDENT",
    "INVENTED",
    "MISSED",
    "MISSED_RATES_S",
    "SHOT",
]

SHOT: dict[str, float] = {
    "constant": 0.0,
    "voices": 1.0,
    "evidence": 0.0,
    "heard": 0.0,
    "silent": 0.0,
    "slope": 0.0,
    "spread": 0.0,
    "residual": 0.0,
}
"""Log odds of a gunshot for each unit of `fusion_server.incidents.probability.features`."""
INCIDENT: tuple[float, float, float] = (0.0, 1.0, 0.0)
"""Log odds of gunfire: constant, for the mean log odds of the shots, for the logarithm of their number."""
INVENTED: tuple[float, float, float] = (0.02, 1.0, 0.25)
"""A round that is none: probability without evidence; minus log odds, constant and for each unit of log evidence."""
MISSED_RATES_S: tuple[float, float, float] = (0.4, 0.15, 0.0)
MISSED: tuple[float, float, float] = (0.02, 0.05, 0.1)
"""Share of rounds that are not found where the nearest round is at least so many seconds away."""
