"""Surveyed points as results, as tables ``[[nodes]]`` of the server's configuration, and as GeoJSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from shotline_calibration.position.datum import Surveyed
from shotline_calibration.position.result import PositionResult, Survey
from shotline_calibration.tomltext import toml_text

__all__ = ["results_of", "sites_geojson", "sites_toml"]

_UP_SHARE = 2.0
"""Sigma of a height over that of the plane: as surveys with satellites have it."""


def results_of(surveyed: Surveyed) -> dict[str, PositionResult]:
    """Return the result of each node, in the order of the file."""
    return {
        point.node: PositionResult(
            lat_deg=point.lat_deg,
            lon_deg=point.lon_deg,
            height_m=point.height_m,
            sigma_m=math.hypot(point.sigma_m, surveyed.operation_sigma_m),
            sigma_up_m=_UP_SHARE * math.hypot(point.sigma_m, surveyed.operation_sigma_m),
            survey=Survey(
                crs=surveyed.crs,
                sigma_m=point.sigma_m,
                operation=surveyed.operation,
                operation_sigma_m=surveyed.operation_sigma_m,
                height_was=surveyed.height_was,
            ),
        )
        for point in surveyed.points
    }


def sites_toml(results: Mapping[str, PositionResult]) -> str:
    """Return the tables of the server's configuration."""
    return toml_text({"nodes": [{"id": node, **result.site_settings(node)} for node, result in results.items()]})


def sites_geojson(results: Mapping[str, PositionResult]) -> str:
    """Return a feature collection [RFC7946]: longitude, latitude, height above the ellipsoid."""
    features = []
    for node, result in results.items():
        site = result.site_settings(node)
        coordinates = [site["lon_deg"], site["lat_deg"], site["height_m"]]
        features.append(
            {
                "type": "Feature",
                "id": node,
                "geometry": {"type": "Point", "coordinates": coordinates},
                "properties": {"node": node, "sigma_m": site["sigma_m"]},
            }
        )
    document = {"type": "FeatureCollection", "features": features}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
