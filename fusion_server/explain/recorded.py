"""A shot of an incident record, with nodes and weather from where they are described, as an `Explanation`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusion_server.explain.subject import Explanation
from fusion_server.explain.words import Notation
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import (
    Arrival,
    ArrivalVerdict,
    DetectionId,
    Ellipse,
    Location,
    LostHypothesis,
    Root,
    Silence,
    Site,
)
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.records import ArrivalRecord, EllipseRecord, HypothesisRecord, IncidentRecord, ShotRecord
from shotline.timebase import parse_utc

__all__ = ["Network", "explain_record", "find_incident", "find_shot", "latest_records", "read_network"]

_MOST_NAMED = 6
_DATASET_FILE = "dataset.toml"


@dataclass(frozen=True, slots=True)
class Network:
    """Nodes, frame and weather of a network.

    Parameters
    ----------
    source : Path
        Where they are described.
    sites : mapping of str to Site
    frame : LocalFrame | None
    weather : WeatherTimeline
    """

    source: Path
    sites: Mapping[str, Site]
    frame: LocalFrame | None
    weather: WeatherTimeline


def find_incident(path: Path, *, incident_id: str | None) -> IncidentRecord:
    """Return an incident from a file of records, one to a line, in its latest revision.

    Parameters
    ----------
    path : Path
        As ``shotline replay`` writes ``incidents.jsonl`` and ``revisions.jsonl``, and the server's sink ``jsonl``.
    incident_id : str | None
        Its id, or a beginning of it that no other has; None when the file has only one.

    Raises
    ------
    InputError
        A line is no record, or there is not exactly one such incident. Names file and line.
    """
    latest = latest_records(path)
    if not latest:
        raise InputError("no incident in the file; expected one JSON object to a line", source=path)
    chosen = [name for name in latest if name.startswith(incident_id or "")]
    if incident_id in latest:
        chosen = [incident_id]
    if len(chosen) == 1:
        return latest[chosen[0]]
    shown = chosen or list(latest)
    names = ", ".join(shown[:_MOST_NAMED])
    if len(shown) > _MOST_NAMED:
        names += f" and {len(shown) - _MOST_NAMED} more"
    if not chosen:
        raise InputError(f"no incident '{incident_id}'; there are {names}", source=path, field="--id")
    raise InputError(f"{len(chosen)} incidents; name one of {names}", source=path, field="--id")


def latest_records(path: Path) -> dict[str, IncidentRecord]:
    """Return every incident of a file of records in its latest revision, by id, in the order in which they first come.

    Raises
    ------
    InputError
        A line is no record. Names file and line.
    """
    latest: dict[str, IncidentRecord] = {}
    for record in _records(path):
        if record.id not in latest or record.revision >= latest[record.id].revision:
            latest[record.id] = record
    return latest


def find_shot(record: IncidentRecord, number: int, *, source: Path) -> ShotRecord:
    """Return a shot of an incident, counted from 1.

    Raises
    ------
    InputError
        The incident has no such shot.
    """
    if not 1 <= number <= len(record.shots):
        raise InputError(
            f"no shot {number}; incident {record.id} has {len(record.shots)}, counted from 1",
            source=source,
            field="--shot",
        )
    return record.shots[number - 1]


def read_network(path: Path, *, scene: str) -> Network:
    """Read nodes, frame and weather from a dataset or from the configuration of a server.

    Parameters
    ----------
    path : Path
        A folder of a dataset, its ``dataset.toml``, or a ``server.toml``.
    scene : str
        Which scene of a dataset; "" when it has only one.

    Raises
    ------
    InputError
        The file cannot be read or used, or has no such scene.
    """
    if path.is_dir() or path.name == _DATASET_FILE:
        return _of_dataset(path, scene)
    from fusion_server.config import load_server_config

    config = load_server_config(path)
    sites = {site.node: site for site in config.to_registry()}
    return Network(path, sites, config.to_frame(), config.to_weather())


def explain_record(
    record: IncidentRecord, number: int, *, source: Path, network: Network, weather: Weather
) -> Explanation:
    """Return what there is to explain about one shot of an incident.

    Parameters
    ----------
    record : IncidentRecord
    number : int
        Which shot, counted from 1.
    source : Path
        File of the record, for messages.
    network : Network
    weather : Weather
        The air at the time of the shot.

    Raises
    ------
    InputError
        There is no such shot, or a node of it has no site in the network.
    """
    shot = find_shot(record, number, source=source)
    verdicts = tuple(_verdict(item, network, source) for item in shot.arrivals)
    place = f"incident {record.id}" + (f" of {record.scene}" if record.scene else "")
    return Explanation(
        title=f"Why this place: {place}, revision {record.revision}, shot {number} of {len(record.shots)}",
        found=_location(shot, verdicts),
        arrivals=tuple(verdict.arrival for verdict in verdicts),
        weather=weather,
        notation=Notation(network.frame, clock_text=True),
        height_m=shot.z_m,
        sites=tuple(network.sites.values()),
        silent=tuple(Silence(item.node, item.distance_m, item.probability) for item in shot.silent),
        passed_over=tuple(_verdict(item, network, source) for item in shot.passed_over),
        lost=tuple(_hypothesis(item) for item in shot.lost),
    )


def _records(path: Path) -> list[IncidentRecord]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", source=path) from error
    decoder = msgspec.json.Decoder(IncidentRecord)
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(decoder.decode(line))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InputError(f"not an incident record: {error}", source=path, line=number) from error
    return records


def _of_dataset(path: Path, scene: str) -> Network:
    # A server runs without recordings; only this command wants them.
    from shotline_recordings.dataset import open_dataset

    dataset = open_dataset(path, only=[scene] if scene else None)
    if len(dataset.scenes) != 1:
        names = ", ".join(item.name for item in dataset.scenes)
        raise InputError(
            f"the record names no scene, and there are {len(dataset.scenes)}: {names}; give the nodes as a server.toml",
            source=path,
            field="--nodes",
        )
    (found,) = dataset.scenes
    return Network(path, {site.node: site for site in found.sites}, found.frame, found.weather)


def _verdict(record: ArrivalRecord, network: Network, source: Path) -> ArrivalVerdict:
    site = network.sites.get(record.node)
    if site is None:
        raise InputError(
            f"node '{record.node}' of the record has no site in {network.source}; name the network that heard it",
            source=source,
            field="--nodes",
        )
    time_ns = parse_utc(record.time_utc, source=source, field="time_utc")
    level_db = math.nan if record.level_db is None else record.level_db
    residual_s = math.nan if record.residual_s is None else record.residual_s
    arrival = Arrival(_detection(record), site, time_ns, snr_db=record.snr_db, level_db=level_db)
    return ArrivalVerdict(arrival, residual_s, record.used, record.reason)


def _detection(record: ArrivalRecord) -> DetectionId:
    match = re.fullmatch(r".*/([0-9a-f]+)/(\d+)", record.detection)
    return DetectionId(record.node, int(match[1], 16), int(match[2])) if match else DetectionId(record.node, 0, 0)


def _location(shot: ShotRecord, verdicts: Sequence[ArrivalVerdict]) -> Location:
    return Location(
        x_m=shot.x_m,
        y_m=shot.y_m,
        z_m=shot.z_m,
        origin_time_ns=parse_utc(shot.time_utc),
        origin_sigma_s=math.nan,
        covariance_m2=shot.covariance_m2,
        ellipse95=_ellipse(shot.ellipse95),
        cep50_m=shot.cep50_m,
        cep95_m=shot.cep95_m,
        gdop=shot.gdop,
        rms_residual_s=shot.rms_residual_s,
        verdicts=tuple(verdicts),
        alternatives=tuple(
            Root(item.x_m, item.y_m, parse_utc(item.time_utc), item.weight) for item in shot.alternatives
        ),
        weight=shot.weight,
        ellipse50=None if shot.ellipse50 is None else _ellipse(shot.ellipse50),
        ellipse90=None if shot.ellipse90 is None else _ellipse(shot.ellipse90),
        region95=shot.region95_m,
        z_sigma_m=shot.z_sigma_m,
    )


def _hypothesis(record: HypothesisRecord) -> LostHypothesis:
    return LostHypothesis(
        x_m=record.x_m,
        y_m=record.y_m,
        origin_time_ns=parse_utc(record.time_utc),
        nodes=record.nodes,
        log_evidence=record.log_evidence,
        reason=record.reason,
    )


def _ellipse(record: EllipseRecord) -> Ellipse:
    return Ellipse(record.semi_major_m, record.semi_minor_m, record.orientation_deg)
