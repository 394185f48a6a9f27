"""The local metric frame: WGS-84 degrees outside, east-north-up metres inside (through pyproj).

A dataset or a network either has a geodetic origin (`LocalFrame`) or lives in an arbitrary Cartesian frame
(``None``), whose x and y are then taken as east and north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shotline.errors import GeometryError

if TYPE_CHECKING:
    from pyproj import Transformer

__all__ = ["LocalFrame"]


def _topocentric(lat_deg: float, lon_deg: float, height_m: float) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
        "+step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lat_0={lat_deg:.17g} +lon_0={lon_deg:.17g} +h_0={height_m:.17g}"
    )


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """East-north-up metres about a WGS-84 origin.

    Parameters
    ----------
    lat_deg, lon_deg : float
        Origin, WGS-84.
    height_m : float
        Origin's height above the WGS-84 ellipsoid.

    Raises
    ------
    GeometryError
        The origin is not on the globe, or its height is not a number.
    """

    lat_deg: float
    lon_deg: float
    height_m: float = 0.0
    _transformer: Transformer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_position(self.lat_deg, self.lon_deg, self.height_m)
        object.__setattr__(self, "_transformer", _topocentric(self.lat_deg, self.lon_deg, self.height_m))

    def to_enu_m(self, lat_deg: float, lon_deg: float, height_m: float = 0.0) -> tuple[float, float, float]:
        """Return (east, north, up) metres of a WGS-84 position."""
        _check_position(lat_deg, lon_deg, height_m)
        east, north, up = self._transformer.transform(lon_deg, lat_deg, height_m)
        return float(east), float(north), float(up)

    def to_geodetic(self, east_m: float, north_m: float, up_m: float = 0.0) -> tuple[float, float, float]:
        """Return (latitude, longitude) in degrees and ellipsoidal height in metres."""
        lon, lat, height = self._transformer.transform(east_m, north_m, up_m, direction="INVERSE")
        return float(lat), float(lon), float(height)


def _check_position(lat_deg: float, lon_deg: float, height_m: float) -> None:
    if not (math.isfinite(lat_deg) and -90.0 <= lat_deg <= 90.0):
        raise GeometryError(f"latitude {lat_deg} is outside -90 to 90 degrees; are latitude and longitude swapped?")
    if not (math.isfinite(lon_deg) and -180.0 <= lon_deg <= 180.0):
        raise GeometryError(f"longitude {lon_deg} is outside -180 to 180 degrees")
    if not math.isfinite(height_m):
        raise GeometryError(f"height {height_m} is not a number of metres above the ellipsoid")
