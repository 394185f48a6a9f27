"""Fixes with errors as satellites have them, and logs of them."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt

from sensor_node.gpsd import Fix
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc

START_NS = 1_796_069_600_000_000_000
HOME = (51.5, -0.12, 40.0)


def wander_m(
    count: int, step_s: float, parts: list[tuple[float, float]], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return sums of first-order Gauss-Markov processes, (time constant, sigma) each, shape (count, 3)."""
    total = np.zeros((count, 3))
    for time_s, sigma_m in parts:
        keep = math.exp(-step_s / time_s)
        value = sigma_m * rng.normal(size=3)
        for row in range(count):
            total[row] += value
            value = keep * value + sigma_m * math.sqrt(1.0 - keep * keep) * rng.normal(size=3)
    return total


def fixes_at(
    enu_m: npt.NDArray[np.float64],
    step_s: float,
    *,
    at: tuple[float, float, float] = HOME,
    stated_m: float | None = 2.0,
) -> list[Fix]:
    """Return fixes at places about a point."""
    frame = LocalFrame(*at)
    return [
        Fix(START_NS + round(row * step_s * 1e9), 3, *frame.to_geodetic(*place), stated_m, stated_m, stated_m)
        for row, place in enumerate(enu_m.tolist())
    ]


def gpsd_text(fixes: list[Fix]) -> str:
    """Return what gpsd would have sent."""
    lines = ['{"class":"VERSION","release":"3.25","proto_major":3,"proto_minor":15}']
    for fix in fixes:
        assert fix.time_ns is not None
        fields = {"class": "TPV", "mode": fix.mode, "time": format_utc(fix.time_ns, digits=3)}
        fields |= {"lat": fix.lat_deg, "lon": fix.lon_deg, "altHAE": fix.height_m}
        lines.append(json.dumps(fields))
    return "\n".join(lines) + "\n"


def nmea(body: str) -> str:
    """Return a sentence with its checksum."""
    value = 0
    for character in body:
        value ^= ord(character)
    return f"${body}*{value:02X}"
