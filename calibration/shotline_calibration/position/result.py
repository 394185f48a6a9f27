"""Where a node stands, as its record says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from shotline.geodesy import LocalFrame
from shotline_calibration.result import Result, Value

__all__ = ["Averaging", "PositionResult", "Survey"]


_FAR_M = 1_000.0


class Averaging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fixes were averaged; of the plane, the worse of its two axes.

    Parameters
    ----------
    fixes, windows : int
        Fixes used, and the means of some minutes each that were made of them.
    fixes_rejected : int
        Not used: without position, of no quality, or far from all others.
    duration_s : float
        From the first fix to the last.
    scatter_m, scatter_up_m : float
        1-sigma of one fix, as observed.
    correlation_s, correlation_up_s : float
        How long errors stay alike, with the prior: time constant.
    independent : float
        So many independent fixes would tell as much of the plane.
    random_sigma_m, random_sigma_up_m : float
        1-sigma of the average by what the series shows.
    slow_sigma_m, slow_sigma_up_m : float
        1-sigma of what no averaging removes.
    """

    fixes: int
    windows: int
    fixes_rejected: int
    duration_s: float
    scatter_m: float
    scatter_up_m: float
    correlation_s: float
    correlation_up_s: float
    independent: float
    random_sigma_m: float
    random_sigma_up_m: float
    slow_sigma_m: float
    slow_sigma_up_m: float


class Survey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a surveyed point was read.

    Parameters
    ----------
    crs : str
        Of the file.
    sigma_m : float
        1-sigma of the survey itself, per axis.
    operation : str
        What carried it to WGS-84.
    operation_sigma_m : float
        1-sigma of that, of the plane: the same shift for all points of the file.
    height_was : str
        ``ellipsoid``, ``geoid`` or ``missing``.
    """

    crs: str
    sigma_m: float
    operation: str
    operation_sigma_m: float
    height_was: str


class PositionResult(Result, frozen=True, kw_only=True):
    """A position in WGS-84, and how well it is known.

    Parameters
    ----------
    lat_deg, lon_deg : float
        Of the point that was surveyed.
    height_m : float
        Of it, above the ellipsoid.
    sigma_m : float
        1-sigma of the plane, per axis.
    sigma_up_m : float
        1-sigma of the height.
    microphone_east_m, microphone_north_m, microphone_up_m : float
        Of the microphone from that point.
    averaging : Averaging | None
        For an average of fixes.
    survey : Survey | None
        For a surveyed point.
    """

    lat_deg: float
    lon_deg: float
    height_m: float
    sigma_m: float
    sigma_up_m: float
    microphone_east_m: float = 0.0
    microphone_north_m: float = 0.0
    microphone_up_m: float = 0.0
    averaging: Averaging | None = None
    survey: Survey | None = None

    @property
    def microphone(self) -> tuple[float, float, float]:
        """Latitude and longitude in degrees and height of the microphone."""
        offset_m = self.microphone_east_m, self.microphone_north_m, self.microphone_up_m
        if not any(offset_m):
            return self.lat_deg, self.lon_deg, self.height_m
        return LocalFrame(self.lat_deg, self.lon_deg, self.height_m).to_geodetic(*offset_m)

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [
            f"position     {self.lat_deg:.7f}, {self.lon_deg:.7f}, {self.height_m:.2f} m above the ellipsoid",
            f"error        {self.sigma_m:.2f} m per axis, height {self.sigma_up_m:.2f} m (1 sigma)",
        ]
        offset_m = self.microphone_east_m, self.microphone_north_m, self.microphone_up_m
        if any(offset_m):
            east_m, north_m, up_m = offset_m
            said.append(f"microphone   {east_m:+.2f} m east, {north_m:+.2f} m north, {up_m:+.2f} m up from there")
        if (how := self.averaging) is not None:
            worth = f"worth {how.independent:.1f} independent fixes, not {how.fixes}"
            shown = (
                f"{how.random_sigma_m:.2f} m as the series shows, {how.slow_sigma_m:.2f} m that no averaging removes"
            )
            minutes = f"{how.correlation_s / 60.0:.0f} min (height {how.correlation_up_s / 60.0:.0f} min)"
            said += [
                f"averaged     {how.fixes} fixes in {how.duration_s / 3600.0:.2f} h, {how.fixes_rejected} not used",
                f"alike over   {minutes}: {worth}",
                f"of the error {shown}",
            ]
        if (read := self.survey) is not None:
            said += [
                f"surveyed in  {read.crs}, to {read.sigma_m:.3g} m",
                f"to WGS-84 by {read.operation} ({read.operation_sigma_m:g} m, the same for all points)",
                f"height was   {read.height_was}",
            ]
        return said

    def changed_from(self, before: Result) -> str:
        """Return how far the microphone stands from where the record before said."""
        if not isinstance(before, PositionResult):
            return ""
        apart_m = math.hypot(*LocalFrame(*before.microphone).to_enu_m(*self.microphone))
        if apart_m < _FAR_M:
            return f"{apart_m:.2f} m from where that says"
        return f"{apart_m / 1_000.0:.0f} KM FROM WHERE THAT SAYS"

    def node_settings(self, node: str) -> Mapping[str, Mapping[str, Value]]:  # noqa: ARG002 - the same for any
        """Return ``[place]``: of the antenna, whose fixes it is compared with."""
        return {
            "place": {
                "lat_deg": round(self.lat_deg, 9),
                "lon_deg": round(self.lon_deg, 9),
                "height_m": round(self.height_m, 3),
                "sigma_m": _rounded(self.sigma_m),
                "sigma_up_m": _rounded(self.sigma_up_m),
            }
        }

    def site_settings(self, node: str) -> Mapping[str, Value]:  # noqa: ARG002 - the same for any
        """Return the site: of the microphone, which is what hears.

        Of a surveyed point the error is that of the survey: what the way to WGS-84 adds moves all nodes alike, and a
        shot with them.
        """
        lat_deg, lon_deg, height_m = self.microphone
        return {
            "lat_deg": round(lat_deg, 9),
            "lon_deg": round(lon_deg, 9),
            "height_m": round(height_m, 3),
            "sigma_m": _rounded(self.sigma_m if self.survey is None else self.survey.sigma_m),
        }


def _rounded(sigma_m: float) -> float:
    """Return a sigma in whole millimetres, rounded up: never better than it is."""
    return math.ceil(sigma_m * 1e3 - 1e-9) / 1e3
