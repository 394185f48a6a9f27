"""What `shotline server check` looks at while no server runs: can this configuration be started, here, now?"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from fusion_server.app import load_keys
from fusion_server.basemap import Basemap
from fusion_server.biasfile import site_bias_of
from fusion_server.config import ServerConfig
from fusion_server.health import check_disk, check_store
from fusion_server.history import History
from fusion_server.http_server import listening_socket
from fusion_server.receiver import Intake, Receiver
from fusion_server.sinkconfig import FolderSinkSection, JsonlSinkSection
from fusion_server.sinks import make_sink
from shotline.errors import ShotlineError
from shotline.health import Check, CheckStatus, HealthReport

__all__ = ["check_configuration"]


def check_configuration(config: ServerConfig, *, now_ns: int) -> HealthReport:
    """Try what a start needs and leave no trace: open the history, listen, read the secrets.

    Parameters
    ----------
    config : ServerConfig
    now_ns : int
        Wall time, UTC nanoseconds.
    """
    checks = [_sites(config), _store(config)]
    checks.append(_try("receiver", f"can listen on {config.server.bind}", lambda: _listen(config)))
    if config.http.enabled:
        where = f"{config.http.host}:{config.http.port}"
        checks.append(
            _try("http", f"can listen on {where}", lambda: listening_socket(config.http.host, config.http.port).close())
        )
        if (streets := config.console.basemap) is not None:
            checks.append(_try("basemap", f"streets can be shown from {streets}", lambda: Basemap.read(Path(streets))))
    if (bias := config.fusion.site_bias_file) is not None:
        checks.append(
            _try("site_bias", f"shots are located with {bias}", lambda: site_bias_of(bias, config.to_registry()))
        )
    checks.append(_try("sinks", f"{len(config.sinks)} sinks can be made", lambda: _make_sinks(config)))
    folder = Path(config.server.database).parent
    if "://" not in config.server.database and folder.is_dir():
        usage = shutil.disk_usage(folder)
        checks.append(check_disk(str(folder.absolute()), free_bytes=usage.free, total_bytes=usage.total))
    return HealthReport(now_ns, tuple(checks))


def _sites(config: ServerConfig) -> Check:
    count = len(config.to_registry())
    numbers = {"surveyed": count}
    if count < 3:
        message = f"{count} nodes have a site, a fix needs 3; add [[nodes]] to the configuration"
        return Check("sites", CheckStatus.WARN, message, numbers)
    return Check("sites", CheckStatus.OK, f"{count} nodes have a site", numbers)


def _store(config: ServerConfig) -> Check:
    path = Path(config.server.database)
    if "://" not in config.server.database and not path.exists():
        if os.access(path.parent, os.W_OK):
            return Check("store", CheckStatus.OK, f"a new history will be made at {path}")
        problem = f"cannot make {path}; create its folder and give this user write permission there"
        return Check("store", CheckStatus.FAIL, problem)
    try:
        with History.open(config.server.database) as history:
            return check_store(history.name, "", detections=history.counts().detections)
    except ShotlineError as error:
        return check_store(config.server.database, str(error), detections=0)


def _listen(config: ServerConfig) -> None:
    curve, _ = load_keys(config)
    with History.open("sqlite://") as nothing:
        Receiver(config.server.bind, Intake(nothing, boot=0), curve=curve).close()


def _make_sinks(config: ServerConfig) -> None:
    for section in config.sinks:
        make_sink(section, config, revisions=lambda _incident: [], console_to=io.StringIO())
        if isinstance(section, JsonlSinkSection) and not Path(section.path).parent.is_dir():
            raise ShotlineError(f"sink '{section.name}': the folder of {section.path} is not there; create it")
        if isinstance(section, FolderSinkSection) and not Path(section.path).is_dir():
            raise ShotlineError(f"sink '{section.name}': the folder {section.path} is not there; create it")


def _try(name: str, good: str, attempt: Callable[[], object]) -> Check:
    try:
        attempt()
    except ShotlineError as error:
        return Check(name, CheckStatus.FAIL, str(error))
    return Check(name, CheckStatus.OK, good)
