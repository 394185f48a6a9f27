"""What a plan is made from, out of files: the server's configuration, GeoJSON, states of nodes, heard minutes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from fusion_server.config import ServerConfig, load_server_config
from fusion_server.database import Database
from fusion_server.engine import FusionSettings
from fusion_server.locate import Ground, ground_of_sites
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard.areas import Area
from fusion_server.scorecard.heard import HOUR_NS, HeardHour
from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.plan.places import grid_sites, parse_area, parse_points, parse_states, with_states
from shotline_calibration.plan.situation import PlannedNode

__all__ = ["HeardPeriod", "PlanInputs", "read_candidates", "read_heard", "read_inputs", "read_text"]

_MOST_GRID = 300
_FAR_M = 20_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """A network and the area that it is planned for.

    Parameters
    ----------
    areas : tuple of Area
    frame : LocalFrame
    nodes : tuple of PlannedNode
    weather : Weather
    fusion : FusionSettings
    ground : Ground
        That sources stand on.
    up_m : float
        Height in the frame of microphones whose own is not known.
    config : ServerConfig | None
    files : tuple of Path
        That were read.
    """

    areas: tuple[Area, ...]
    frame: LocalFrame
    nodes: tuple[PlannedNode, ...]
    weather: Weather
    fusion: FusionSettings
    ground: Ground
    up_m: float
    config: ServerConfig | None
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class HeardPeriod:
    """Heard minutes of whole hours."""

    rows: tuple[HeardHour, ...]
    since_ns: int
    until_ns: int


def read_inputs(
    area: Path,
    *,
    config: Path | None,
    nodes: Path | None,
    state: Path | None,
    failed: Sequence[str] = (),
    muffled: Sequence[str] = (),
    mast_m: float,
) -> PlanInputs:
    """Read all that a plan is made from, but for candidates.

    Parameters
    ----------
    area : Path
        GeoJSON.
    config : Path | None
        Of the server: its frame, sites, weather and settings of fusion.
    nodes : Path | None
        GeoJSON of points, instead of the server's sites; at most one of both is asked for its nodes.
    state : Path | None
    failed, muffled : sequence of str
        Names; ``NAME=DB``.
    mast_m : float
        Of microphones whose height is not known.

    Raises
    ------
    InputError
        A file cannot be used; a network without a frame has no place in WGS-84.
    """
    settings = None if config is None else load_server_config(config)
    frame = None if settings is None else settings.to_frame()
    if settings is not None and frame is None:
        raise InputError(
            "the network has no [frame], so its place in WGS-84 is not known; add its origin", source=config
        )
    areas, frame = parse_area(read_text(area), frame=frame, source=area)
    fusion = FusionSettings() if settings is None else settings.to_fusion()
    if nodes is not None:
        known = parse_points(read_text(nodes), frame=frame, up_m=mast_m, source=nodes, prefix="node")
    elif settings is not None:
        known = tuple(PlannedNode(site=site) for site in settings.to_registry())
    else:
        known = ()
    states = [] if state is None else list(parse_states(read_text(state), source=state))
    known = with_states(known, states, source=state or "")
    known = _with_faults(known, failed, muffled)
    sites = [node.site for node in known]
    _check_near(areas, sites, fusion.locate.hearing_range_m, source=area)
    ground = ground_of_sites(sites, mast_m=fusion.locate.mast_m) if sites else Ground.level(0.0)
    return PlanInputs(
        areas=areas,
        frame=frame,
        nodes=known,
        weather=Weather() if settings is None else settings.to_weather().at(0),
        fusion=fusion,
        ground=ground,
        up_m=float(np.median([site.z_m for site in sites])) if sites else mast_m,
        config=settings,
        files=tuple(path for path in (area, config, nodes, state) if path is not None),
    )


def read_candidates(inputs: PlanInputs, file: Path | None, *, apart_m: float | None) -> tuple[PlannedNode, ...]:
    """Return the candidate sites of a file, or of a grid over the area, less those beside a node.

    Raises
    ------
    InputError
        The file cannot be used, or the grid is too fine.
    """
    if file is not None:
        return parse_points(read_text(file), frame=inputs.frame, up_m=inputs.up_m, source=file, prefix="candidate")
    size_m2 = sum(area.shape.area for area in inputs.areas)
    apart = apart_m or max(150.0, float(np.sqrt(size_m2 / 60.0)))
    if size_m2 / apart**2 > _MOST_GRID:
        raise InputError(
            f"a grid of {apart:g} m over {size_m2 / 1e6:.1f} km² has more than {_MOST_GRID} places; choose a larger",
            field="--apart-m",
        )
    made = grid_sites(inputs.areas, apart_m=apart, up_m=inputs.up_m)
    taken = {node.site.node for node in inputs.nodes}
    near = [
        place
        for place in made
        if place.site.node not in taken
        and all(
            np.hypot(place.site.x_m - node.site.x_m, place.site.y_m - node.site.y_m) > 0.25 * apart
            for node in inputs.nodes
            if not node.failed
        )
    ]
    if not near:
        raise InputError(f"no place of a grid of {apart:g} m is free; choose a smaller one", field="--apart-m")
    return tuple(near)


def read_heard(config: ServerConfig, *, since_ns: int | None, until_ns: int) -> HeardPeriod:
    """Return the heard minutes that the server's history keeps, of whole hours.

    Raises
    ------
    InputError
        There is no history, or nothing in it.
    """
    name = config.server.database
    if "://" not in name and not Path(name).is_file():
        raise InputError("no history is there; name the configuration of a server that has run", source=name)
    with closing(Database.open(name)) as database:
        book = Scorebook(database)
        first_ns = book.begin_ns() if since_ns is None else since_ns
        if first_ns is None or first_ns >= until_ns:
            raise InputError("nothing is kept of that time; has the server run?", source=name, field="--from")
        first_ns -= first_ns % HOUR_NS
        last_ns = -(-until_ns // HOUR_NS) * HOUR_NS
        return HeardPeriod(tuple(book.heard(first_ns, last_ns)), first_ns, last_ns)


def read_text(file: Path) -> str:
    """Return a file's text.

    Raises
    ------
    InputError
        It cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=file) from error


def _check_near(areas: Sequence[Area], sites: Sequence[Site], hearing_range_m: float, *, source: Path) -> None:
    """Refuse an area that no node could ever hear, by far: its degrees are swapped, or it is another city."""
    if not sites:
        return
    nearest_m = min(area.shape.distance(shapely.Point(site.x_m, site.y_m)) for area in areas for site in sites)
    if nearest_m > max(_FAR_M, hearing_range_m):
        raise InputError(
            f"the area is {nearest_m / 1000.0:.0f} km from the nearest node; is it the right one, longitude first?",
            source=source,
        )


def _with_faults(
    nodes: Sequence[PlannedNode], failed: Sequence[str], muffled: Sequence[str]
) -> tuple[PlannedNode, ...]:
    of = {node.site.node: node for node in nodes}
    for name in failed:
        _require(name, of, "--failed")
        of[name] = replace(of[name], failed=True)
    for text in muffled:
        name, equals, level = text.rpartition("=")
        try:
            muffled_db = float(level)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"'{text}', expected NODE=DB such as roof-3=-20", field="--muffled")
        _require(name, of, "--muffled")
        of[name] = replace(of[name], muffled_db=muffled_db)
    return tuple(of.values())


def _require(name: str, of: dict[str, PlannedNode], option: str) -> None:
    if name not in of:
        raise InputError(f"no node '{name}'; there are {', '.join(sorted(of)[:8])}", field=option)
