"""What the self-check found, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fusion_server.netcheck.states import Cause, Estimate

__all__ = ["say_muffled", "say_time"]

_POINTS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


def say_time(estimates: Sequence[Estimate], *, late: int, sounds: int, directions: int) -> str:
    """Return what is wrong with the times of a node.

    Parameters
    ----------
    estimates : sequence of Estimate
        Likeliest first, at least one.
    late : int
        Of the sounds judged, how many were off to the side of the likeliest.
    sounds : int
    directions : int
        From how many of eight directions they came.
    """
    where = "in all directions" if directions >= 6 else f"from {directions} of 8 directions"
    text = f"{_of(estimates[0])} in {late} of {sounds} shots, {where}"
    others = [_of(item) for item in estimates[1:]]
    if others:
        text += f"; as likely as not {' or '.join(others)}: the geometry does not tell"
    return text


def say_muffled(estimate: Estimate, *, heard: int, expected: float, sounds: int) -> str:
    """Return what is wrong with the microphone of a node: levels, and how often it was heard of ``sounds``."""
    text = f"microphone hears {heard} of {sounds} shots where {expected:.0f} were expected"
    if math.isfinite(estimate.sigma):
        text = f"microphone reads {estimate.value:.0f} ± {estimate.sigma:.0f} dB too low; it {text[11:]}"
    return text


def _of(estimate: Estimate) -> str:
    if estimate.cause is Cause.CLOCK:
        side = "late" if estimate.value > 0 else "early"
        return f"clock reads {abs(estimate.value) * 1e3:.1f} ± {estimate.sigma * 1e3:.1f} ms {side}"
    if estimate.cause is Cause.DRIFT:
        side = "later" if estimate.value > 0 else "earlier"
        return f"clock reads {abs(estimate.value) * 1e3:.1f} ± {estimate.sigma * 1e3:.1f} ms {side} and later drifting"
    if estimate.cause is Cause.MOVED:
        away_m = math.hypot(estimate.value, estimate.second)
        sigma_m = math.sqrt(0.5 * (estimate.sigma**2 + estimate.second_sigma**2))
        heading = _POINTS[round(math.degrees(math.atan2(estimate.value, estimate.second)) / 45.0) % 8]
        return f"stands {away_m:.0f} ± {sigma_m:.0f} m {heading} of where it is surveyed"
    point = _POINTS[round((estimate.direction_deg or 0.0) / 45.0) % 8]
    return f"sound from the {point} comes {estimate.value * 1e3:.1f} ± {estimate.sigma * 1e3:.1f} ms late"
