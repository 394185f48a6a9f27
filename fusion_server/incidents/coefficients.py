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
    "constant": -0.3690,
    "voices": 1.0337,
    "evidence": 0.1553,
    "heard": 0.0155,
    "silent": -0.0932,
    "slope": -0.1676,
    "spread": 0.7568,
    "residual": 0.5942,
}
"""Log odds of a gunshot for each unit of `fusion_server.incidents.probability.features`."""
INCIDENT: tuple[float, float, float] = (-0.2817, 1.4788, 0.1743)
"""Log odds of gunfire: constant, for the mean log odds of the shots, for the logarithm of their number."""
INVENTED: tuple[float, float, float] = (0.0432, 0.9018, 0.0794)
"""A round that is none: probability without evidence; minus log odds, constant and for each unit of log evidence."""
ALONE: float = 0.0933
"""Share of events of more rounds among those of which one was found."""
MISSED_RATES_S: tuple[float, float, float] = (0.4, 0.15, 0.0)
MISSED: tuple[float, float, float] = (0.0045, 0.0252, 0.1123)
"""Share of rounds that are not found where rounds are at least so many seconds apart."""
