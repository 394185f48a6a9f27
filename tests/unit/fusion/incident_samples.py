"""Shots with exact truth for the tests of incidents: rounds from a place, heard at the nodes of a range."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shotline.domain import Arrival, ArrivalVerdict, DetectionId, Ellipse, Location, Shot, Site
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["START_NS", "Range", "bare_shot"]

START_NS = 1_800_000_000 * NS_PER_S
SPEED_MPS = 340.0


def bare_shot(x_m: float, y_m: float, at_s: float, *, sigma_m: float = 3.0, probability: float = 0.9) -> Shot:
    """A shot of which only place and time are known."""
    location = Location(
        x_m=x_m,
        y_m=y_m,
        z_m=None,
        origin_time_ns=START_NS + ns_from_seconds(at_s),
        origin_sigma_s=0.01,
        covariance_m2=((sigma_m**2, 0.0), (0.0, sigma_m**2)),
        ellipse95=Ellipse(sigma_m, sigma_m, 0.0),
        cep50_m=sigma_m,
        cep95_m=sigma_m,
        gdop=1.0,
        rms_residual_s=0.005,
        verdicts=(),
    )
    return Shot(location, probability)


class Range:
    """Nodes at random in a square, each with a path error of its own that every round shares."""

    def __init__(self, rng: np.random.Generator, *, nodes: int = 10, half_m: float = 350.0) -> None:
        self.sites_m = rng.uniform(-half_m, half_m, (nodes, 2))
        self.path_s = rng.normal(0.0, 0.009, nodes)

    def shot(
        self,
        place_m: tuple[float, float],
        at_s: float,
        *,
        rng: np.random.Generator,
        scatter_s: float = 0.0015,
        heard: NDArray[np.bool_] | None = None,
        turn_rad: float = 0.0,
        shift_m: tuple[float, float] = (0.0, 0.0),
        log_evidence: float | None = None,
    ) -> Shot:
        """One round; the whole world is turned about the origin, then shifted."""
        away_m = np.hypot(*(self.sites_m - np.array(place_m)).T)
        delay_s = away_m / SPEED_MPS + self.path_s
        delay_s = delay_s + scatter_s * rng.standard_normal(len(delay_s))
        turn = np.array([[math.cos(turn_rad), -math.sin(turn_rad)], [math.sin(turn_rad), math.cos(turn_rad)]])
        sites_m = self.sites_m @ turn.T + shift_m
        x_m, y_m = turn @ np.array(place_m) + shift_m
        there = np.arange(len(delay_s)) if heard is None else np.flatnonzero(heard)
        verdicts = tuple(
            ArrivalVerdict(
                Arrival(
                    DetectionId(f"n{node:02}", 1, round(1000.0 * at_s)),
                    Site(f"n{node:02}", float(sites_m[node, 0]), float(sites_m[node, 1])),
                    START_NS + ns_from_seconds(at_s + float(delay_s[node])),
                    sigma_s=0.0003,
                    snr_db=60.0 - 20.0 * math.log10(max(away_m[node], 10.0) / 10.0),
                    level_db=80.0,
                ),
                0.0,
                True,
            )
            for node in there.tolist()
        )
        base = bare_shot(float(x_m), float(y_m), at_s)
        return replace(base, location=replace(base.location, verdicts=verdicts), log_evidence=log_evidence)
