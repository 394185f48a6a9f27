"""A plan as a GeoTIFF: one band a figure, in metres of the plan's own frame, which the file describes.

The local frame is east and north of the origin in the plane that touches the ellipsoid there. Geographic programs know
it as an azimuthal equidistant projection about the origin: 5 km away the two differ by less than a millimetre.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.errors import StorageError
from shotline.geodesy import LocalFrame
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.planner import CellFigures

__all__ = ["BANDS", "NOTHING", "write_geotiff"]

BANDS = ("detect_probability", "goal_probability", "expected_nodes", "cep95_m", "gdop")
NOTHING = -9999.0
"""Outside the area, and where there is no such figure."""
_PIXEL_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_DOUBLES, _GEO_ASCII = 33550, 33922, 34735, 34736, 34737
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_DOUBLE = 12
_SHORT = 3
_TEXT = 2
_CITATION = "shotline local frame|WGS 84|"


def write_geotiff(path: Path, cells: Cells, figures: CellFigures, frame: LocalFrame) -> None:
    """Write the figures; an old file is replaced.

    Keys are those of [GeoTIFF2019]: a projected system of its own, azimuthal equidistant on WGS 84, in metres.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    import tifffile

    bands = np.stack([_band(cells, getattr(figures, name)) for name in BANDS])
    north_m = cells.south_m + cells.rows * cells.step_m
    keys = [
        (1024, 0, 1, 1),  # a projected system
        (1025, 0, 1, 1),  # pixels are areas
        (1026, _GEO_ASCII, 21, 0),
        (2048, 0, 1, 4326),
        (2049, _GEO_ASCII, 7, 21),
        (2054, 0, 1, 9102),  # degrees
        (3072, 0, 1, 32767),  # defined here
        (3074, 0, 1, 32767),
        (3075, 0, 1, 12),  # azimuthal equidistant
        (3076, 0, 1, 9001),  # metres
        (3082, _GEO_DOUBLES, 1, 2),  # false easting
        (3083, _GEO_DOUBLES, 1, 3),  # false northing
        (3088, _GEO_DOUBLES, 1, 0),  # longitude of the centre
        (3089, _GEO_DOUBLES, 1, 1),  # latitude of the centre
    ]
    table = [1, 1, 1, len(keys), *(number for key in keys for number in key)]
    doubles = (frame.lon_deg, frame.lat_deg, 0.0, 0.0)
    names = "".join(
        f'<Item name="DESCRIPTION" sample="{number}" role="description">{name}</Item>'
        for number, name in enumerate(BANDS)
    )
    tags = [
        (_PIXEL_SCALE, _DOUBLE, 3, (cells.step_m, cells.step_m, 0.0), True),
        (_TIEPOINT, _DOUBLE, 6, (0.0, 0.0, 0.0, cells.west_m, north_m, 0.0), True),
        (_GEO_KEYS, _SHORT, len(table), tuple(table), True),
        (_GEO_DOUBLES, _DOUBLE, len(doubles), doubles, True),
        (_GEO_ASCII, _TEXT, 0, _CITATION, True),
        (_GDAL_METADATA, _TEXT, 0, f"<GDALMetadata>{names}</GDALMetadata>", True),
        (_GDAL_NODATA, _TEXT, 0, f"{NOTHING:g}", True),
    ]
    try:
        tifffile.imwrite(
            path,
            bands,
            photometric="minisblack",
            planarconfig="separate",
            compression="zlib",
            metadata=None,
            extratags=tags,
        )
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _band(cells: Cells, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a band, rows from the north."""
    grid = cells.grid(values)
    grid[~np.isfinite(grid)] = NOTHING
    return np.asarray(grid[::-1], dtype=np.float32)
