"""Surveyed points in any coordinate system as WGS-84 positions, through pyproj; nothing is guessed in silence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.position.points import Column, PointTable, RawPoint

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

__all__ = ["HeightKind", "SurveySettings", "Surveyed", "SurveyedPoint", "to_wgs84"]

_Floats = npt.NDArray[np.float64]

_SAME_POINT_M = 0.5
_EDGE_DEG = 1.0
_SEMI_MAJOR_M = 6_378_137.0


class HeightKind(StrEnum):
    """What heights are above."""

    ELLIPSOID = "ellipsoid"
    GEOID = "geoid"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveySettings:
    """What a person says of a survey.

    Parameters
    ----------
    crs : str | None
        ``EPSG:25832``, WKT, or another text that pyproj takes; None: what the file says.
    height_kind : HeightKind | None
        None: the coordinate system says, or there are none.
    geoid_m : float | None
        Height of the geoid above the ellipsoid there, for heights above the geoid.
    height_m : float | None
        Above the ellipsoid, of every point, where the file has none.
    height_unit_m : float | None
        Metres in one unit of height; None: heights are in metres, which is refused where the plane is in feet.
    sigma_m : float | None
        1-sigma of the plane, where the file has none.
    farthest_km : float
        A point farther from the middle of all than this is refused.
    """

    crs: str | None = None
    height_kind: HeightKind | None = None
    geoid_m: float | None = None
    height_m: float | None = None
    height_unit_m: float | None = None
    sigma_m: float | None = None
    farthest_km: float = 50.0


@dataclass(frozen=True, slots=True)
class SurveyedPoint:
    """A node's position in WGS-84. ``sigma_m`` is that of the survey, without that of the way to WGS-84."""

    node: str
    lat_deg: float
    lon_deg: float
    height_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What became of a file.

    Parameters
    ----------
    points : tuple of SurveyedPoint
    crs : str
        Its name.
    operation : str
        What carried it to WGS-84.
    operation_sigma_m : float
    height_was : str
        ``ellipsoid``, ``geoid`` or ``missing``.
    remarks : tuple of str
        What a person should read before believing it.
    """

    points: tuple[SurveyedPoint, ...]
    crs: str
    operation: str
    operation_sigma_m: float
    height_was: str
    remarks: tuple[str, ...]


def to_wgs84(table: PointTable, settings: SurveySettings, *, source: object = "") -> Surveyed:
    """Return where the points are.

    Raises
    ------
    InputError
        The coordinate system is not known or not said; points are outside of where it holds, two in one place, or far
        from all others; it is not said what heights are above.
    """
    crs = _crs(settings.crs or table.crs, source)
    remarks: list[str] = []
    east_first = _pairs(table, crs, remarks, source)
    plane = _plane(crs)
    _check_area(table.points, plane, east_first, source)
    transformer, sigma_m = _operation(plane, east_first, remarks, source)
    lon_deg, lat_deg = _transformed(transformer, east_first)
    heights, height_was = _heights(table.points, crs, settings, remarks, source)
    points: list[SurveyedPoint] = []
    for raw, lat, lon, height in zip(table.points, lat_deg, lon_deg, heights, strict=True):
        own_m = raw.sigma_m if raw.sigma_m is not None else settings.sigma_m
        if own_m is None or not 0.0 < own_m < 100.0:
            raise InputError(
                f"error of '{raw.node}' is {own_m}, expected metres, over 0 and under 100: say how good the survey is, "
                "--sigma-m METRES (1 sigma per axis), or a column sigma",
                source=source,
                line=raw.line,
            )
        points.append(SurveyedPoint(raw.node, float(lat), float(lon), height, own_m))
    _check_apart(points, settings.farthest_km, source)
    return Surveyed(tuple(points), crs.name, transformer.description, sigma_m, height_was, tuple(remarks))


def _crs(text: str | None, source: object) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    # RFC 7946: GeoJSON that says nothing is WGS-84.
    if text is None and str(source).lower().endswith((".geojson", ".json")):
        text = "EPSG:4979"
    if text is None:
        raise InputError(
            "is in which coordinate system? say it: --crs EPSG:25832, or WKT; ask who surveyed", source=source
        )
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"'{text}' is no coordinate system that pyproj knows ({error})", field="--crs") from error
    if not (crs.is_geographic or crs.is_projected or crs.is_compound):
        raise InputError(
            f"'{crs.name}' is neither geographic nor projected, so it has no place on the globe", field="--crs"
        )
    return crs


def _plane(crs: CRS) -> CRS:
    """Return the horizontal part of a compound system."""
    return crs.sub_crs_list[0] if crs.is_compound else crs


def _pairs(table: PointTable, crs: CRS, remarks: list[str], source: object) -> _Floats:
    """Return east and north, or longitude and latitude, shape (n_points, 2): never by the order of the axes alone.

    In some national systems x is north. Columns called just x and y then say nothing, and are refused.
    """
    values = np.array([(point.first, point.second) for point in table.points])
    axes = {axis.abbrev.upper(): axis.direction for axis in _plane(crs).axis_info}
    if table.plain_xy:
        if axes.get("X") == "north" or crs.is_geographic:
            raise InputError(
                f"columns are called x and y, and in {crs.name} "
                + ("there are latitude and longitude" if crs.is_geographic else "x is north by its definition")
                + ", which not everybody follows; say which is which: --east COLUMN --north COLUMN",
                source=source,
            )
        x, y = table.columns[Column.X], table.columns[Column.Y]
        remarks.append(f"'{x}' was taken as east and '{y}' as north")
    order = [axis.direction for axis in _plane(crs).axis_info][:2]
    if order == ["north", "east"]:
        remarks.append(f"{crs.name} has north first by its definition; here columns count by their names, not by order")
    return values


def _operation(plane: CRS, east_first: _Floats, remarks: list[str], source: object) -> tuple[Transformer, float]:
    """Return the best way to WGS-84 that is here, and its 1-sigma error; never a mere guess."""
    from pyproj.aoi import AreaOfInterest
    from pyproj.transformer import TransformerGroup

    lon_deg, lat_deg = _transformed(_to_degrees(plane), east_first)
    area = AreaOfInterest(float(lon_deg.min()), float(lat_deg.min()), float(lon_deg.max()), float(lat_deg.max()))
    with warnings.catch_warnings():
        # That a grid is missing is said below, with what it would bring.
        warnings.simplefilter("ignore", UserWarning)
        group = TransformerGroup(plane, "EPSG:4326", always_xy=True, allow_ballpark=False, area_of_interest=area)  # type: ignore[arg-type]
    known = [found for found in group.transformers if found.accuracy >= 0.0]
    if not known:
        raise InputError(
            f"no way of known accuracy from '{plane.name}' to WGS-84 is here", source=source, field="--crs"
        )
    best = min(known, key=lambda found: found.accuracy)
    for missing in group.unavailable_operations:
        if 0.0 <= missing.accuracy < best.accuracy:
            grids = ", ".join(grid.short_name for grid in missing.grids if not grid.available)
            remarks.append(
                f"to WGS-84 with an error of {best.accuracy:g} m; with the grid {grids} it would be "
                f"{missing.accuracy:g} m (pyproj sync --file {grids})"
            )
            break
    return best, float(best.accuracy)


def _to_degrees(plane: CRS) -> Transformer:
    """Return the way to longitude and latitude of the same datum."""
    from pyproj.transformer import Transformer

    geographic = plane.geodetic_crs
    assert geographic is not None
    return Transformer.from_crs(plane, geographic, always_xy=True)


def _transformed(transformer: Transformer, pairs: _Floats) -> tuple[_Floats, _Floats]:
    first, second = transformer.transform(pairs[:, 0].copy(), pairs[:, 1].copy())
    return np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)


def _check_area(points: Sequence[RawPoint], plane: CRS, pairs: _Floats, source: object) -> None:
    """Refuse points outside of where the system holds, and say so when the two coordinates are swapped."""
    transformer = _to_degrees(plane)
    area = plane.area_of_use
    if area is None:
        return
    west, south, east, north = area.bounds

    def outside(values: _Floats) -> list[int]:
        lon, lat = values[:, 0], values[:, 1]
        across = (lon >= west - _EDGE_DEG) & (lon <= east + _EDGE_DEG)
        if west > east:
            across = (lon >= west - _EDGE_DEG) | (lon <= east + _EDGE_DEG)
        inside = across & (lat >= south - _EDGE_DEG) & (lat <= north + _EDGE_DEG) & (np.abs(lat) <= 90.0)
        return [int(index) for index in np.flatnonzero(~inside)]

    out = outside(np.column_stack(_transformed(transformer, pairs)))
    if not out:
        return
    swapped = not outside(np.column_stack(_transformed(transformer, pairs[:, ::-1])))
    advice = "they are swapped: with the two exchanged all points are inside" if swapped else "is --crs right?"
    first = points[out[0]]
    raise InputError(
        f"{len(out)} of {len(points)} points are outside of where {plane.name} holds ({area.name}), first "
        f"'{first.node}' at {first.first:g}, {first.second:g}; {advice}",
        source=source,
        line=first.line,
    )


def _heights(
    points: Sequence[RawPoint], crs: CRS, settings: SurveySettings, remarks: list[str], source: object
) -> tuple[list[float], str]:
    """Return heights above the ellipsoid, and what they were above."""
    missing = [point for point in points if point.height is None]
    if missing:
        if len(missing) < len(points):
            raise InputError(f"'{missing[0].node}' has no height, others have", source=source, line=missing[0].line)
        if settings.height_m is None:
            raise InputError(
                "has no heights; give --height-m METRES above the ellipsoid for all, roofs included", source=source
            )
        return [settings.height_m] * len(points), "missing"
    kind = settings.height_kind
    if crs.is_compound and kind is None:
        kind = HeightKind.GEOID
        remarks.append(f"heights of {crs.name} are above the geoid")
    elif len(crs.axis_info) == 3 and kind is None:
        kind = HeightKind.ELLIPSOID
    if kind is None:
        raise InputError(
            "has heights, and nobody says above what: --height-is ellipsoid (of satellites), or geoid (of levelling, "
            "of maps, 'above sea level'); they differ by up to 107 m",
            source=source,
        )
    axis = _plane(crs).axis_info[0].unit_name
    if "foot" in axis and settings.height_unit_m is None:
        raise InputError(f"is in {axis}; are heights too? say --height-unit m, ft or ftus", source=source)
    metres = [(point.height or 0.0) * (settings.height_unit_m or 1.0) for point in points]
    if kind is HeightKind.ELLIPSOID:
        if not crs.ellipsoid or not math.isclose(crs.ellipsoid.semi_major_metre, _SEMI_MAJOR_M, abs_tol=1.0):
            remarks.append("heights were taken as above the WGS-84 ellipsoid, as satellites give them")
        return metres, kind.value
    if settings.geoid_m is None:
        raise InputError(
            "heights are above the geoid: give its height above the ellipsoid there, --geoid-m METRES (a calculator of "
            "EGM2008 or of your country has it; +46 in London, -33 in New York)",
            source=source,
        )
    return [height_m + settings.geoid_m for height_m in metres], kind.value


def _check_apart(points: Sequence[SurveyedPoint], farthest_km: float, source: object) -> None:
    """Refuse two points in one place, and points far from all others."""
    first = points[0]
    frame = LocalFrame(first.lat_deg, first.lon_deg, first.height_m)
    places = np.array([frame.to_enu_m(point.lat_deg, point.lon_deg, point.height_m)[:2] for point in points])
    away_m = np.hypot(*(places - np.median(places, axis=0)).T)
    if far := [
        f"'{points[index].node}' ({away_m[index] / 1e3:.0f} km)"
        for index in np.flatnonzero(away_m > farthest_km * 1e3).tolist()
    ]:
        raise InputError(
            f"{', '.join(far[:5])} of {len(points)} are farther than {farthest_km:g} km from the middle of all; a "
            "digit too many, or another zone? if they are right, --farthest-km",
            source=source,
        )
    for (one, here), (other, there) in combinations(zip(points, places, strict=True), 2):
        apart_m = float(np.hypot(*(here - there)))
        if apart_m < _SAME_POINT_M:
            raise InputError(
                f"'{one.node}' and '{other.node}' are {apart_m:.2f} m apart: one point under two names; remove one",
                source=source,
            )
