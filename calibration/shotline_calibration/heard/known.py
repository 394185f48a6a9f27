"""A table of impulses at known places: control shots, a starter pistol, a clapper."""

from __future__ import annotations

from pathlib import Path

from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.heard.impulses import KnownPlace
from shotline_calibration.heard.tables import Row, read_rows

__all__ = ["KNOWN_COLUMNS", "read_known_places"]

KNOWN_COLUMNS = (
    "shot",
    "lat_deg",
    "lon_deg",
    "height_m",
    "x_m",
    "y_m",
    "z_m",
    "sigma_m",
    "sigma_z_m",
    "time_utc",
    "time_ns",
    "time_s",
    "time_sigma_s",
)
"""Every column that the table may have."""

_FARTHEST_M = 50_000.0
_LEAST_SIGMA_M = 0.001


def read_known_places(path: Path, *, frame: LocalFrame | None, sites: dict[str, Site]) -> list[KnownPlace]:
    """Read where impulses were made.

    Parameters
    ----------
    path : Path
        CSV: ``shot``, or the time of the discharge, or both; ``lat_deg, lon_deg, height_m`` or ``x_m, y_m, z_m``;
        ``sigma_m``, and ``sigma_z_m`` where that is not twice as much. With ``time_sigma_s`` the time counts.
    frame : LocalFrame | None
        Of the network.
    sites : dict of str to Site
        A place farther than 50 km from all of them is refused.

    Raises
    ------
    InputError
        Names file, line and column of what cannot be used.
    """
    rows = read_rows(path, known=KNOWN_COLUMNS, needed=("sigma_m",))
    places = []
    for row in rows:
        x_m, y_m, z_m = _place(row, frame)
        nearest_m = min(((site.x_m - x_m) ** 2 + (site.y_m - y_m) ** 2) ** 0.5 for site in sites.values())
        if nearest_m > _FARTHEST_M:
            raise row.wrong(
                "lat_deg", f"{nearest_m / 1e3:.0f} km from the nearest node; latitude and longitude swapped?"
            )
        sigma_m = row.number("sigma_m", least=_LEAST_SIGMA_M)
        sigma_z_m = row.number("sigma_z_m", least=_LEAST_SIGMA_M) if row.has("sigma_z_m") else 2.0 * sigma_m
        timed = any(row.has(column) for column in ("time_utc", "time_ns", "time_s"))
        if row.has("time_sigma_s") and not timed:
            raise row.wrong("time_sigma_s", "there is no time that it is the error of")
        places.append(
            KnownPlace(
                row.text("shot"),
                x_m,
                y_m,
                z_m,
                sigma_m,
                sigma_z_m,
                row.time_ns() if timed else None,
                row.number("time_sigma_s", least=1e-7) if row.has("time_sigma_s") else None,
                row.line,
            )
        )
        if not timed and not row.text("shot"):
            raise row.wrong("shot", "neither a shot nor a time says which impulse it is")
    return places


def _place(row: Row, frame: LocalFrame | None) -> tuple[float, float, float]:
    metres = row.has("x_m") and row.has("y_m")
    degrees = row.has("lat_deg") and row.has("lon_deg")
    if metres == degrees:
        raise row.wrong("x_m", "expected x_m and y_m, or lat_deg and lon_deg; saw " + ("both" if metres else "neither"))
    if metres:
        return row.number("x_m"), row.number("y_m"), row.number("z_m") if row.has("z_m") else 0.0
    if frame is None:
        raise row.wrong("lat_deg", "the network has no [frame]; give metres, or the network its origin")
    if not row.has("height_m"):
        raise row.wrong("height_m", "is missing: metres above the ellipsoid, as the nodes have it")
    try:
        return frame.to_enu_m(row.number("lat_deg"), row.number("lon_deg"), row.number("height_m"))
    except InputError as error:
        if error.problems[0].source:
            raise
        raise row.wrong("lat_deg", error.problems[0].message) from error
