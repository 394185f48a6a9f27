"""Where heard impulses come from: a table of arrivals, records of incidents, the database of a server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fusion_server.explain.recorded import latest_records
from shotline.domain import IncidentState
from shotline.errors import InputError
from shotline.records import ArrivalRecord, IncidentRecord
from shotline.timebase import parse_utc
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse
from shotline_calibration.heard.tables import read_rows

__all__ = ["HEARD_COLUMNS", "impulses_of_records", "read_impulses", "stored_impulses"]

HEARD_COLUMNS = ("shot", "node", "time_utc", "time_ns", "time_s", "sigma_s")
"""Every column that a table of arrivals may have."""
_SIGMA_S = 0.0005
"""1-sigma of picking an onset where nobody says; what paths add is learned, and is more."""
_PAGE = 500


def read_impulses(path: Path) -> list[HeardImpulse]:
    """Read impulses: a table ``shot, node, time_utc`` (CSV), or incidents as replay and server write them (.jsonl).

    Raises
    ------
    InputError
        Names file, line and column of what cannot be used.
    """
    if path.suffix.lower() == ".jsonl":
        found = impulses_of_records(latest_records(path).values())
        if not found:
            raise InputError("no shot of an incident that stands in the file", source=path)
        return found
    rows = read_rows(path, known=HEARD_COLUMNS, needed=("shot", "node"))
    groups: dict[str, dict[str, HeardArrival]] = {}
    for row in rows:
        if not row.text("shot") or not row.text("node"):
            raise row.wrong("shot", "shot or node is empty; which sound did which node hear?")
        sigma_s = row.number("sigma_s", least=1e-7) if row.has("sigma_s") else _SIGMA_S
        arrival = HeardArrival(row.text("node"), row.time_ns(), sigma_s)
        _first(groups.setdefault(row.text("shot"), {}), arrival)
    return [HeardImpulse(name, _ordered(group)) for name, group in groups.items()]


def impulses_of_records(records: Iterable[IncidentRecord]) -> list[HeardImpulse]:
    """Return the shots of incidents that were not retracted, named ``incident/number``; one arrival of each node.

    Arrivals that the locator set aside are among them: with positions that are off it cannot know.
    """
    found = []
    for record in records:
        if record.state == IncidentState.RETRACTED:
            continue
        for number, shot in enumerate(record.shots, start=1):
            group: dict[str, HeardArrival] = {}
            for each in sorted(shot.arrivals, key=lambda arrival: not arrival.used):
                group.setdefault(each.node, _of_record(each))
            if group:
                weather = None if shot.weather is None else shot.weather.to_weather()
                found.append(HeardImpulse(f"{record.id}/{number}", _ordered(group), weather=weather))
    return found


def stored_impulses(url: str, *, since_ns: int | None = None, until_ns: int | None = None) -> list[HeardImpulse]:
    """Return the shots of the incidents that a server keeps.

    Parameters
    ----------
    url : str
        Of its database, or the path of an SQLite file.
    since_ns, until_ns : int | None
        UTC nanoseconds, from and before.

    Raises
    ------
    InputError
        There is none in that time.
    StorageError
        The database cannot be opened.
    """
    from fusion_server.history import History

    records: list[IncidentRecord] = []
    with History.open(url) as history:
        while page := history.incidents(limit=_PAGE, offset=len(records), since_ns=since_ns, until_ns=until_ns):
            records.extend(page)
    found = impulses_of_records(records)
    if not found:
        raise InputError("no incident that stands is kept there for that time", source=url)
    return sorted(found, key=lambda impulse: impulse.time_ns)


def _of_record(record: ArrivalRecord) -> HeardArrival:
    return HeardArrival(record.node, parse_utc(record.time_utc, field="time_utc"), _SIGMA_S)


def _first(group: dict[str, HeardArrival], arrival: HeardArrival) -> None:
    before = group.get(arrival.node)
    if before is None or arrival.time_ns < before.time_ns:
        group[arrival.node] = arrival


def _ordered(group: dict[str, HeardArrival]) -> tuple[HeardArrival, ...]:
    return tuple(sorted(group.values(), key=lambda arrival: (arrival.time_ns, arrival.node)))
