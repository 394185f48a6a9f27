"""A support file: what a person far away needs to know of a node, in one zip. No sound, no key, no password.

Everything that goes in passes a `Scrubber`: the secrets that are known here (key file, environment) by their text, and
what looks like one by its pattern.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from io import BytesIO
from pathlib import Path

import zmq

from sensor_node.board import read_board
from sensor_node.capture import list_inputs
from sensor_node.config import NodeConfig
from sensor_node.livecheck import CheckEdges, ask_gpsd
from sensor_node.spoolfile import look
from shotline import __version__
from shotline.errors import EdgeError, StorageError
from shotline.health import Check, worst_status
from shotline.keyfiles import is_public_key
from shotline.timebase import format_utc

__all__ = ["Bundle", "BundleEdges", "Scrubber", "run_command", "write_bundle"]

_REMOVED = "[removed]"
_PACKAGES = (
    "msgspec", "numpy", "onnxruntime", "pydantic", "pyzmq", "rich", "sounddevice", "soundfile", "typer",
)  # fmt: skip
_JOURNAL = ("journalctl", "-u", "shotline-node", "-n", "400", "--no-pager", "-o", "short-iso")
_COMMAND_S = 10.0
_MOST_CHARACTERS = 200_000
_LEAST_SECRET = 6
"""A shorter value of the environment is not looked for: it would be found everywhere."""

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|credential|api_?key|private_?key|authorization", re.IGNORECASE
)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/\"']+@")
_ASSIGNMENT = re.compile(
    r"""((?:secret|passw|passphrase|token|credential|api[_-]?key|private[_-]?key|authorization)[\w-]*["']?\s*[:=]\s*)"""
    r"""("[^"\n]*"|'[^'\n]*'|(?:bearer\s+|basic\s+)?[^\s,;]+)""",
    re.IGNORECASE,
)
_SIGNING_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_WORD = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40,}")
_KEY_IN_FILE = re.compile(r"^\s*secret-key\s*=\s*[\"']?([^\"'\s]+)", re.MULTILINE)

_README = """\
Support file of the Shotline node '{node}', made {made_utc} by `shotline node check --bundle`.

It holds no sound, and neither secret keys nor passwords. What was known or looked like one is replaced by {removed};
public keys stay. The position of the node is in it, where it is configured or a GPS receiver gives it. Read it before
you send it.
"""


def run_command(command: Sequence[str]) -> str:
    """Return what a program says, its end if it is long; or why it says nothing."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return f"({command[0]} did not answer within {_COMMAND_S:g} s)"
    except OSError as error:
        return f"({command[0]} cannot be run: {error.strerror})"
    text = done.stdout.decode("utf-8", errors="replace")
    return text[-_MOST_CHARACTERS:] or f"({command[0]} said nothing, exit code {done.returncode})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEdges:
    """What a bundle touches of the machine.

    Parameters
    ----------
    checks : CheckEdges
    environ : Mapping[str, str]
        Read for secrets only: none of it goes in.
    run : callable (command) -> str
        `run_command`.
    now_ns : callable () -> int
        UTC nanoseconds.
    """

    checks: CheckEdges = field(default_factory=CheckEdges)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    run: Callable[[Sequence[str]], str] = run_command
    now_ns: Callable[[], int] = time.time_ns


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where a support file is, and the names of what it holds."""

    path: Path
    holds: tuple[str, ...]


class Scrubber:
    """Takes secrets out of texts.

    Parameters
    ----------
    secrets : iterable of str
        Known ones; found wherever they stand.
    public : iterable of str
        Keys that may stay.
    """

    def __init__(self, secrets: Iterable[str], *, public: Iterable[str] = ()) -> None:
        self._public = frozenset(public)
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _REMOVED)
        text = _USERINFO.sub(rf"\g<1>{_REMOVED}@", text)
        text = _ASSIGNMENT.sub(rf"\g<1>{_REMOVED}", text)
        text = _SIGNING_SECRET.sub(_REMOVED, text)
        return _WORD.sub(self._word, text)

    def value(self, value: object, *, name: str = "") -> object:
        """Return what JSON will be made of, without secrets; a value under a name of one is left out whole."""
        if value is not None and _SECRET_NAME.search(name):
            return _REMOVED
        if isinstance(value, Mapping):
            return {str(key): self.value(item, name=str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _word(self, found: re.Match[str]) -> str:
        """Return a word, unless it looks like a CURVE key and is none of the public ones."""
        word = found[0]
        if any(key in word for key in self._public):
            return word
        mixed = re.search(r"[a-z]", word) and re.search(r"[A-Z]", word)
        starts = range(len(word) - 39)
        return _REMOVED if mixed and any(is_public_key(word[start : start + 40]) for start in starts) else word


def write_bundle(
    path: Path, config: NodeConfig | None, checks: Sequence[Check], edges: BundleEdges | None = None
) -> Bundle:
    """Write a support file that only this user can read.

    Parameters
    ----------
    path : Path
        Must not exist.
    config : NodeConfig | None
        None when it cannot be read; then the checks say why.
    checks : sequence of Check
    edges : BundleEdges | None
        None is this machine.

    Raises
    ------
    StorageError
        The file exists or cannot be written.
    """
    edges = edges or BundleEdges()
    scrubber = _scrubber(config, edges)
    files = {
        name: scrubber.text(content)
        if isinstance(content, str)
        else json.dumps(scrubber.value(content), indent=2, ensure_ascii=False, default=str) + "\n"
        for name, content in _contents(config, checks, edges).items()
    }
    _write(path, files, edges.now_ns())
    return Bundle(path, tuple(files))


def _scrubber(config: NodeConfig | None, edges: BundleEdges) -> Scrubber:
    secrets = [
        value for name, value in edges.environ.items() if _SECRET_NAME.search(name) and len(value) >= _LEAST_SECRET
    ]
    public: list[str] = []
    if config is not None:
        node = config.node
        public = [key for key in (node.server_key, node.server_next_key) if key is not None]
        if node.key_file is not None:
            with suppress(OSError):
                text = Path(node.key_file).read_text(encoding="utf-8", errors="replace")
                secrets += _KEY_IN_FILE.findall(text)
                public += re.findall(r"public-key\s*=\s*[\"']?([^\"'\s]+)", text)
    return Scrubber(secrets, public=[key for key in public if key not in secrets])


def _contents(config: NodeConfig | None, checks: Sequence[Check], edges: BundleEdges) -> dict[str, object]:
    """Return what goes in: texts, and what JSON is made of."""
    node = "?" if config is None else config.node.id
    made_utc = format_utc(edges.now_ns(), digits=0)
    contents: dict[str, object] = {
        "README.txt": _README.format(node=node, made_utc=made_utc, removed=_REMOVED),
        "checks.json": {"status": worst_status(checks).value, "checks": [check.as_json() for check in checks]},
        "versions.json": _versions(),
        "board.json": asdict(read_board(edges.checks.root)) | {"system": " ".join(platform.uname())},
        "devices.txt": _devices(edges),
        "journal.txt": edges.run(_JOURNAL),
    }
    if config is None:
        return contents
    contents["config.json"] = config.model_dump(mode="json")
    contents["ids.json"] = {
        "node": node,
        "software_version": __version__,
        "model": next((check.message for check in checks if check.name == "model"), config.detector.model),
        "calibration": config.node.calibration_id,
    }
    if config.capture is not None:
        contents["chrony.txt"] = _chrony(config.time.chronyc, edges)
    if config.gpsd is not None:
        state, fix, sky = ask_gpsd(config.gpsd, edges=edges.checks)
        contents["gpsd.json"] = {
            "state": asdict(state),
            "fix": None if fix is None else asdict(fix),
            "sky": None if sky is None else asdict(sky),
        }
    if config.node.spool is not None and Path(config.node.spool).exists():
        contents["spool.json"] = _spool(Path(config.node.spool))
    return contents


def _versions() -> dict[str, object]:
    found: dict[str, object] = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return {
        "shotline": __version__,
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": found,
    }


def _devices(edges: BundleEdges) -> str:
    try:
        lines = [
            f"{item.name}  ({item.host_api}, {item.channels} channels, {item.default_rate_hz:g} Hz)"
            for item in list_inputs(edges.checks.cards)
        ]
    except EdgeError as error:
        lines = [f"({error})"]
    return "\n".join(["PortAudio:", *(lines or ["(no input)"]), "", "arecord -l:", edges.run(("arecord", "-l"))])


def _chrony(command: Sequence[str], edges: BundleEdges) -> str:
    """Ask chronyc as the node does, but for people: without -c, and for its sources too."""
    base = [word for word in command if word not in ("-c", "tracking")]
    parts = []
    for what in ("tracking", "sources", "sourcestats"):
        parts += [f"{' '.join(base)} -n {what}", edges.run((*base, "-n", what))]
    return "\n".join(parts)


def _spool(path: Path) -> dict[str, object]:
    try:
        return asdict(look(path))
    except StorageError as error:
        return {"problem": str(error)}


def _write(path: Path, files: Mapping[str, str], now_ns: int) -> None:
    content = BytesIO()
    date = time.gmtime(now_ns // 1_000_000_000)[:6]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, text.encode("utf-8"))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content.getvalue())
    except FileExistsError as error:
        raise StorageError(f"{path} is there already and is not overwritten; choose another name") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another folder") from error
