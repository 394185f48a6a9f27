"""The options that say what was heard by which network, shared by procedures with sound, and what they gather."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError

if TYPE_CHECKING:
    from shotline.atmosphere import WeatherTimeline
    from shotline.domain import Site
    from shotline.geodesy import LocalFrame
    from shotline_calibration.heard.impulses import HeardImpulse

__all__ = ["Database", "Gathered", "Heard", "Known", "Network", "PathSigma", "Since", "Until", "gather"]

Network = Annotated[
    Path, typer.Option("--network", "-n", metavar="FILE", help="Where nodes stand: a server.toml, or a dataset folder.")
]
Heard = Annotated[
    Path | None,
    typer.Option(
        "--heard", metavar="FILE", help="What was heard: .csv with shot,node,time_utc, or incidents.jsonl of a replay."
    ),
]
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="Instead: the shots that a server keeps; URL or file.")
]
Since = Annotated[str | None, typer.Option("--since", metavar="UTC", help="With --database: from then on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="UTC", help="With --database: before then.")]
Known = Annotated[
    Path | None, typer.Option("--known", metavar="FILE.csv", help="Which of them were made where; see the end.")
]

PathSigma = Annotated[
    float,
    typer.Option(
        "--path-sigma-ms",
        min=0.01,
        help="1-sigma of what paths add, as assumed; counts as much as four arrivals, residuals say the rest.",
    ),
]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A network and what it heard.

    Parameters
    ----------
    sites : sequence of Site
    frame : LocalFrame | None
    weather : WeatherTimeline
    impulses : sequence of HeardImpulse
        With their known places.
    remarks : mapping of str to int
        What was given and is not used: reason, how many.
    """

    sites: Sequence[Site]
    frame: LocalFrame | None
    weather: WeatherTimeline
    impulses: Sequence[HeardImpulse]
    remarks: Mapping[str, int]


def gather(
    network: Path, *, heard: Path | None, database: str | None, since: str | None, until: str | None, known: Path | None
) -> Gathered:
    """Read what the options name.

    Raises
    ------
    InputError
        They do not go together, or a file cannot be used.
    StorageError
        The database cannot be opened.
    """
    from fusion_server.explain.recorded import read_network
    from shotline.timebase import parse_utc
    from shotline_calibration.heard.impulses import matched
    from shotline_calibration.heard.known import read_known_places
    from shotline_calibration.heard.sources import read_impulses, stored_impulses

    if (heard is None) == (database is None):
        raise InputError("expected --heard FILE or --database URL: one of them", field="--heard")
    if database is None and (since is not None or until is not None):
        raise InputError("go with --database only; cut the file instead", field="--since")
    where = read_network(network, scene="")
    if heard is not None:
        impulses = read_impulses(heard)
    else:
        assert database is not None
        if "://" not in database and not Path(database).is_file():
            raise InputError("no such database; give its URL, or the path of an SQLite file", source=database)
        impulses = stored_impulses(
            database,
            since_ns=None if since is None else parse_utc(since, field="--since"),
            until_ns=None if until is None else parse_utc(until, field="--until"),
        )
    remarks: dict[str, int] = {}
    if known is not None:
        places = read_known_places(known, frame=where.frame, sites=dict(where.sites))
        impulses, left_over = matched(impulses, places, sites=where.sites, weather=where.weather)
        if left_over:
            remarks[f"known places of which nothing was heard (first in line {left_over[0].line})"] = len(left_over)
    return Gathered(list(where.sites.values()), where.frame, where.weather, impulses, remarks)
