"""The table of places that shots are known to have come from, as a person writes it: CSV. Pure."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass

from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc

__all__ = ["KnownPlace", "parse_places"]

_COLUMNS = ("place", "sigma_m", "incident", "time_utc", "x_m", "y_m", "lat_deg", "lon_deg")
_MOST_SIGMA_M = 50.0


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """One row: where a shot came from, and which shot it was.

    Parameters
    ----------
    place : str
        Name; rows of one name are from the same place.
    x_m, y_m : float
        Local frame.
    sigma_m : float
        1-sigma of that, per axis.
    incident : str
        Id of the incident; "" when it is to be found by its time.
    time_ns : int | None
        UTC of the shot.
    line : int
        In the file.
    """

    place: str
    x_m: float
    y_m: float
    sigma_m: float
    incident: str
    time_ns: int | None
    line: int


def parse_places(text: str, *, frame: LocalFrame | None, source: object = "") -> list[KnownPlace]:
    """Return the rows of a table of known places.

    Columns: ``place``, ``sigma_m``; ``x_m`` and ``y_m``, or ``lat_deg`` and ``lon_deg``; ``incident``, or ``time_utc``.

    Parameters
    ----------
    text : str
        CSV with a line of names.
    frame : LocalFrame | None
        For degrees.
    source : object
        The file, for messages.

    Raises
    ------
    InputError
        Says which line, which column, and what was expected there.
    """
    reader = csv.DictReader(text.splitlines())
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    if unknown := [name for name in names if name not in _COLUMNS]:
        raise InputError(f"column '{unknown[0]}', expected {', '.join(_COLUMNS)}", source=source, line=1)
    for needed in ("place", "sigma_m"):
        if needed not in names:
            raise InputError(f"no column '{needed}'; every place has a name and an error", source=source, line=1)
    rows: list[KnownPlace] = []
    positions: dict[str, tuple[float, float, float]] = {}
    for row in reader:
        line = reader.line_num
        values = {name: (row.get(name) or "").strip() for name in names}
        if None in row or not any(values.values()):
            raise InputError(f"has not the {len(names)} columns of line 1", source=source, line=line)
        x_m, y_m = _position(values, frame, source, line)
        sigma_m = _number(values, "sigma_m", source, line)
        if not 0.0 < sigma_m <= _MOST_SIGMA_M:
            raise InputError(
                f"{sigma_m:g}, expected above 0 to {_MOST_SIGMA_M:g}", source=source, field="sigma_m", line=line
            )
        place, incident, when = values["place"], values.get("incident", ""), values.get("time_utc", "")
        if not place:
            raise InputError("is empty; give the place a name", source=source, field="place", line=line)
        if bool(incident) == bool(when):
            raise InputError("expected an incident, or a time_utc: one of them", source=source, line=line)
        stated = positions.setdefault(place, (x_m, y_m, sigma_m))
        if math.dist(stated[:2], (x_m, y_m)) > 0.01 or stated[2] != sigma_m:
            apart_m = math.dist(stated[:2], (x_m, y_m))
            raise InputError(
                f"'{place}' is {apart_m:.2f} m from where an earlier line says, or has another sigma_m; "
                "give each place one position, or another name",
                source=source,
                field="place",
                line=line,
            )
        time_ns = parse_utc(when, source=source, field="time_utc", line=line) if when else None
        rows.append(KnownPlace(place, *stated, incident, time_ns, line))
    if not rows:
        raise InputError("has no rows", source=source)
    return rows


def _position(values: Mapping[str, str], frame: LocalFrame | None, source: object, line: int) -> tuple[float, float]:
    plane = bool(values.get("x_m")) and bool(values.get("y_m"))
    degrees = bool(values.get("lat_deg")) and bool(values.get("lon_deg"))
    if plane == degrees:
        raise InputError("expected x_m and y_m, or lat_deg and lon_deg", source=source, line=line)
    if plane:
        return _number(values, "x_m", source, line), _number(values, "y_m", source, line)
    if frame is None:
        raise InputError("is in degrees, but the network has no [frame]; give x_m and y_m", source=source, line=line)
    lat_deg, lon_deg = _number(values, "lat_deg", source, line), _number(values, "lon_deg", source, line)
    x_m, y_m, _ = frame.to_enu_m(lat_deg, lon_deg, frame.height_m)
    return float(x_m), float(y_m)


def _number(values: Mapping[str, str], name: str, source: object, line: int) -> float:
    try:
        number = float(values.get(name, ""))
    except ValueError as error:
        raise InputError(f"'{values.get(name, '')}' is no number", source=source, field=name, line=line) from error
    if not math.isfinite(number):
        raise InputError(f"{number} is not finite", source=source, field=name, line=line)
    return number
