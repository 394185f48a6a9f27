"""Networks and what they located: of a server, or of a replay."""

from __future__ import annotations

from pathlib import Path

from fusion_server.associate import AssociateSettings
from fusion_server.config import load_server_config
from fusion_server.engine import FusionSettings
from fusion_server.evidence.case import decoded
from fusion_server.evidence.replayed import ReplayFolder
from fusion_server.history import History
from fusion_server.netcheck import NetworkCheck, shots_of_record
from fusion_server.networkwatch import NetworkWatch
from shotline.domain import IncidentState
from shotline.errors import InputError
from shotline.timebase import parse_utc

__all__ = ["check_of_replay", "check_of_server"]


def check_of_server(config: Path) -> NetworkCheck:
    """Return the self-check as a server has it: of its last incidents, and what its audit log says.

    Parameters
    ----------
    config : Path
        The server's configuration; it may run or not.

    Raises
    ------
    InputError, StorageError
        The configuration or the history cannot be read, or nothing was located yet.
    """
    loaded = load_server_config(config)
    database = loaded.server.database
    if "://" not in database and not Path(database).is_file():
        raise InputError("no such history; start the server once, or name another configuration", source=database)
    with History.open(database) as history:
        watch = NetworkWatch(
            history,
            tuple(loaded.to_registry()),
            associate=loaded.to_fusion().associate,
            event_ns=loaded.to_event_clock().event_ns,
        )
        watch.rebuild()
    return _with_shots(watch.check, database)


def check_of_replay(folder: Path, dataset: Path | None, *, scene: str | None) -> NetworkCheck:
    """Return the self-check of what a replay located in one scene.

    Parameters
    ----------
    folder : Path
        What ``shotline replay`` wrote.
    dataset : Path | None
        What was replayed, where the folder has no detections of its own.
    scene : str | None
        None where there is one only.

    Raises
    ------
    InputError
        A file cannot be used, the scene is not there, or nothing was located in it.
    """
    replayed = ReplayFolder(folder, dataset)
    scenes = sorted({name for name, _ in replayed.incidents})
    if scene is None and len(scenes) != 1:
        raise InputError(f"it has {len(scenes)} scenes: {', '.join(scenes[:8])}; choose one", field="--scene")
    chosen = scenes[0] if scene is None else scene
    if chosen not in scenes:
        raise InputError(f"no scene '{chosen}'; there are {', '.join(scenes[:8])}", source=folder, field="--scene")
    settings: AssociateSettings = FusionSettings().associate
    cases = [replayed.case(*key) for key in replayed.incidents if key[0] == chosen]
    sites = cases[0].networks[0].sites
    check = NetworkCheck(sites)
    for case in sorted(cases, key=lambda item: parse_utc(item.revisions[-1].time_utc)):
        record = case.revisions[-1]
        if record.state == IncidentState.RETRACTED.value:
            continue
        for shot in shots_of_record(record, sites, settings=settings, detections=decoded(case.wire)):
            check.add(shot)
    return _with_shots(check, folder)


def _with_shots(check: NetworkCheck, source: object) -> NetworkCheck:
    if not check.shots:
        raise InputError(
            "no shot in it was located well enough by five nodes or more to judge any of them", source=source
        )
    return check
