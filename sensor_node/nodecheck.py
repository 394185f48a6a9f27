"""``shotline node check``: everything that a configured node needs, looked at without disturbing one that runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from sensor_node.app import curve_keys
from sensor_node.audiofile import AudioInfo
from sensor_node.config import CaptureSection, NodeConfig
from sensor_node.livecheck import (
    CheckEdges,
    check_board,
    check_chrony,
    check_classifier,
    check_gpsd,
    check_sound_card,
)
from sensor_node.player import FileSource, inspect_source, require_order, sources_from_config
from sensor_node.selftest import check_calibration, check_spool, check_version
from sensor_node.spool import SpoolCounts
from sensor_node.spoolfile import look
from shotline import __version__
from shotline.config import is_this_machine
from shotline.errors import InputError, ShotlineError, StorageError
from shotline.health import Check, CheckStatus

__all__ = ["check_node"]

_REACH_S = 3.0
_ZMTP_SIGNATURE_BYTES = 10
_LEAST_USEFUL_RATE_HZ = 8_000


def check_node(config: NodeConfig, edges: CheckEdges | None = None) -> list[Check]:
    """Look at everything a configured node needs, without disturbing one that runs.

    Parameters
    ----------
    config : NodeConfig
    edges : CheckEdges | None
        None is this machine.
    """
    if config.capture is None:
        checks = _check_files(config)
    else:
        checks = _check_live(config, config.capture, edges or CheckEdges())
    checks.append(check_calibration(config.node.calibration_id, full_scale_db_spl=config.node.full_scale_db_spl))
    checks.append(_check_spool(config))
    checks.append(_check_keys(config))
    checks.append(_check_server(config.node.server))
    return checks


def _check_live(config: NodeConfig, capture: CaptureSection, edges: CheckEdges) -> list[Check]:
    checks = [Check("config", CheckStatus.OK, f"node '{config.node.id}', sound card '{capture.device}'")]
    checks += check_sound_card(capture, full_scale_db_spl=config.node.full_scale_db_spl, edges=edges)
    checks.append(check_chrony(config.time, edges=edges))
    if config.gpsd is not None:
        checks.append(check_gpsd(config.gpsd, edges=edges))
    checks += check_board(config.node.spool, edges=edges)
    checks.append(check_version(__version__))
    checks.append(check_classifier(config.detector, capture.sample_rate_hz))
    return checks


def _check_files(config: NodeConfig) -> list[Check]:
    checks = [Check("config", CheckStatus.OK, f"node '{config.node.id}', {len(config.sources)} sources")]
    infos: list[tuple[FileSource, AudioInfo]] = []
    problems: list[str] = []
    for source in sources_from_config(config):
        try:
            infos.append((source, inspect_source(source)))
        except ShotlineError as error:
            problems.append(str(error))
    checks.append(_check_sources(infos, problems))
    checks.append(_check_sample_rate(infos))
    checks.append(_check_clock(config))
    return checks


def _check_sources(infos: list[tuple[FileSource, AudioInfo]], problems: list[str]) -> Check:
    seconds = sum(info.duration_s for _, info in infos)
    numbers: dict[str, int | float] = {"readable": len(infos), "unreadable": len(problems), "duration_s": seconds}
    if not problems:
        try:
            require_order(infos)
        except InputError as error:
            problems = [str(error)]
    if problems:
        return Check("sources", CheckStatus.FAIL, "; ".join(problems), numbers)
    return Check("sources", CheckStatus.OK, f"{len(infos)} files can be read, {seconds:.1f} s of sound", numbers)


def _check_sample_rate(infos: list[tuple[FileSource, AudioInfo]]) -> Check:
    rates = sorted({info.sample_rate_hz for _, info in infos})
    if not rates:
        return Check("sample_rate", CheckStatus.FAIL, "no file can be read, so no rate is known; see sources")
    numbers: dict[str, int | float] = {"lowest_hz": rates[0], "highest_hz": rates[-1]}
    if rates[0] < _LEAST_USEFUL_RATE_HZ:
        text = f"{rates[0]} Hz is too low to tell impulses apart; record at {_LEAST_USEFUL_RATE_HZ} Hz or more"
        return Check("sample_rate", CheckStatus.FAIL, text, numbers)
    if len(rates) > 1:
        text = f"files of one node differ: {', '.join(map(str, rates))} Hz; was the recorder set up anew?"
        return Check("sample_rate", CheckStatus.WARN, text, numbers)
    return Check("sample_rate", CheckStatus.OK, f"{rates[0]} Hz", numbers)


def _check_clock(config: NodeConfig) -> Check:
    untimed = [Path(source.file).name for source in config.sources if source.start_utc is None]
    numbers: dict[str, int | float] = {"untimed_files": len(untimed)}
    if untimed:
        text = (
            f"the clock is not set: no start time for {', '.join(untimed)}; its detections are marked untimed and "
            "cannot be located; give start_utc"
        )
        return Check("clock", CheckStatus.FAIL, text, numbers)
    numbers["worst_sigma_ms"] = max(source.sigma_ms for source in config.sources)
    states = ", ".join(sorted({source.clock_state for source in config.sources}))
    return Check("clock", CheckStatus.OK, f"every file has a start time ({states})", numbers)


def _check_spool(config: NodeConfig) -> Check:
    if config.node.spool is None:
        return check_spool(None, SpoolCounts(0, 0))
    path = Path(config.node.spool)
    writable = path if path.exists() else path.parent
    if not path.parent.is_dir():
        return Check("spool", CheckStatus.FAIL, f"the folder {path.parent} does not exist; create it")
    if not os.access(writable, os.W_OK):
        return Check("spool", CheckStatus.FAIL, f"{writable} cannot be written; give this user write permission")
    if not path.exists():
        return Check("spool", CheckStatus.OK, f"{path} can be written")
    try:
        counts = look(path)
    except StorageError as error:
        return Check("spool", CheckStatus.WARN, f"{error}; at its next start the node sets a damaged one aside")
    found = SpoolCounts(counts.waiting, counts.rejected, **counts.lost.as_dict())
    return check_spool(str(path), found, size_bytes=counts.size_bytes, most_rows=config.node.spool_most_rows)


def _check_keys(config: NodeConfig) -> Check:
    try:
        curve = curve_keys(config)
    except InputError as error:
        return Check("keys", CheckStatus.FAIL, str(error))
    if curve is None and is_this_machine(config.node.server):
        return Check("keys", CheckStatus.OK, "none, and none needed: the server is on this machine")
    if curve is None:
        text = "none: what is sent can be read and forged on its way; give node.key_file and node.server_key"
        return Check("keys", CheckStatus.WARN, text)
    successor = "no successor" if curve.server_next_public is None else "a successor"
    text = f"this node is {curve.own.public}; the server's key is pinned, with {successor}"
    return Check("keys", CheckStatus.OK, text)


def _check_server(endpoint: str) -> Check:
    try:
        greeting = _greeting(endpoint)
    except (OSError, ValueError) as error:
        text = f"{endpoint} is not reached ({error}); is the server running, is the address right?"
        return Check("server", CheckStatus.FAIL, text)
    if len(greeting) < _ZMTP_SIGNATURE_BYTES or greeting[0] != 0xFF or greeting[9] != 0x7F:
        return Check("server", CheckStatus.FAIL, f"{endpoint} answers, but not as a Shotline server; check the port")
    return Check("server", CheckStatus.OK, f"{endpoint} answers")


def _greeting(endpoint: str) -> bytes:
    """Return the first bytes that a ZeroMQ peer says of itself (RFC 23), without saying who asks."""
    parts = urlsplit(endpoint)
    if parts.scheme == "ipc":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_REACH_S)
    else:
        if parts.hostname is None or parts.port is None:
            raise ValueError("no host and port in it; write it like tcp://server.example:5570")
        connection = socket.create_connection((parts.hostname, parts.port), timeout=_REACH_S)
    with connection:
        if parts.scheme == "ipc":
            connection.connect(endpoint.removeprefix("ipc://"))
        seen = b""
        while len(seen) < _ZMTP_SIGNATURE_BYTES and (more := connection.recv(_ZMTP_SIGNATURE_BYTES - len(seen))):
            seen += more
        return seen
