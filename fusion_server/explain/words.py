"""A place and its error, or a refusal, in plain lines for people. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fusion_server.explain.geometry import Strip, inside_hull, strip_of
from shotline.atmosphere import Weather
from shotline.domain import Ellipse, Location, NoLocation, Root
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc
from shotline.units import NS_PER_S

__all__ = ["Notation", "location_lines", "refusal_lines", "region_line"]


@dataclass(frozen=True, slots=True)
class Notation:
    """How places and instants are written: the way the input wrote its own.

    Parameters
    ----------
    frame : LocalFrame | None
        The local frame, when places are written in degrees.
    clock_text : bool
        Whether instants are UTC; otherwise they are seconds since some instant.
    """

    frame: LocalFrame | None
    clock_text: bool

    def instant(self, time_ns: int) -> str:
        """Return an instant as text."""
        return format_utc(time_ns, digits=6) if self.clock_text else f"{time_ns / NS_PER_S:.6f} s"

    def degrees(self, x_m: float, y_m: float) -> dict[str, float]:
        """Return ``lat_deg`` and ``lon_deg`` of a place; nothing without a geodetic frame."""
        if self.frame is None:
            return {}
        lat_deg, lon_deg, _ = self.frame.to_geodetic(x_m, y_m)
        return {"lat_deg": round(lat_deg, 7), "lon_deg": round(lon_deg, 7)}

    def place(self, x_m: float, y_m: float) -> str:
        """Return a place as text."""
        if self.frame is None:
            return f"x {x_m:.2f} m, y {y_m:.2f} m"
        return "{lat_deg:.6f}, {lon_deg:.6f}".format(**self.degrees(x_m, y_m))


def location_lines(found: Location, *, weather: Weather, notation: Notation) -> list[tuple[str, str]]:
    """Return what there is to say about a place, as (name, text)."""
    place = notation.place(found.x_m, found.y_m)
    if found.z_m is not None:
        place += f", z {found.z_m:.1f} m" + ("" if found.z_sigma_m is None else f" ± {found.z_sigma_m:.1f} m")
    if found.alternatives:
        place += f", weight {_percent(found.weight)}"
    time_error = f" ± {1e3 * found.origin_sigma_s:.1f} ms" if math.isfinite(found.origin_sigma_s) else ""
    lines = [
        ("place", place),
        ("time", notation.instant(found.origin_time_ns) + time_error),
        ("error", f"50 % within {found.cep50_m:.1f} m, 95 % within {found.cep95_m:.1f} m"),
        ("ellipse", f"95 %: {_axes(found.ellipse95)} m, long axis {found.ellipse95.orientation_deg:.0f}° from north"),
        ("geometry", f"GDOP {found.gdop:.2f}, residuals {1e3 * found.rms_residual_s:.1f} ms rms"),
        ("air", _air(weather)),
    ]
    if found.region95:
        lines.insert(4, ("region", region_line(found)))
    lines += [("or", _root(root, notation)) for root in found.alternatives]
    return lines


def refusal_lines(found: NoLocation, *, notation: Notation) -> list[tuple[str, str]]:
    """Return why there is no place, and the places that there could be, as (name, text)."""
    reason = ("no place", f"{found.detail} ({found.reason.value})")
    return [reason, *(("could be", _root(root, notation)) for root in found.roots)]


def region_line(found: Location) -> str:
    """Return how large the region is that holds the truth, for a location that has one."""
    used = [verdict.arrival.site for verdict in found.verdicts if verdict.used]
    where = "outside the array: " if used and not inside_hull(found.x_m, found.y_m, used) else ""
    strips = [strip_of(ring) for ring in found.region95]
    if len(strips) == 1:
        return f"{where}the truth is somewhere in {_strip(strips[0])} (95 %), a region and not a dot"
    parts = "; ".join(_strip(strip) for strip in strips)
    return f"{where}the truth is somewhere in one of {len(strips)} regions (95 % together): {parts}"


def _strip(strip: Strip) -> str:
    size = f"about {_round(strip.width_m)} by {_round(strip.length_m)} m"
    if strip.length_m < 1.5 * strip.width_m:
        return f"an area {size}"
    return f"a strip {size}, long side {strip.orientation_deg:.0f}° from north"


def _round(length_m: float) -> str:
    """Return a length to two figures; a region has no more."""
    return f"{float(f'{length_m:.2g}'):g}"


def _axes(ellipse: Ellipse) -> str:
    return f"{2 * ellipse.semi_major_m:.1f} x {2 * ellipse.semi_minor_m:.1f}"


def _root(root: Root, notation: Notation) -> str:
    place, instant = notation.place(root.x_m, root.y_m), notation.instant(root.origin_time_ns)
    return f"{place} at {instant}, weight {_percent(root.weight)}"


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if share >= 0.01 else f"{100.0 * share:.1g} %"


def _air(weather: Weather) -> str:
    error = "" if weather.temperature_sigma_c is None else f" ± {_tenths(weather.temperature_sigma_c)}"
    text = f"{_tenths(weather.temperature_c)}{error} °C, sound travels at {weather.speed_of_sound_mps:.1f} m/s"
    if weather.wind_speed_mps:
        text += f", wind {_tenths(weather.wind_speed_mps)} m/s from {weather.wind_from_deg:.0f}°"
    if weather.wind_sigma_mps is not None:
        text += f" (wind ± {_tenths(weather.wind_sigma_mps)} m/s per axis)"
    return text


def _tenths(value: float) -> str:
    return f"{round(value, 1):g}"
