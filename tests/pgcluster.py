"""A PostgreSQL of the tests' own: in a temporary folder, on a socket there, gone afterwards.

Its text is sorted by a language on purpose, as that of many a city is: an order that only holds by bytes would show.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

_START_S = 120.0
_SETTINGS = {
    "listen_addresses": "",
    # The folder is thrown away: nothing is to be written out for it.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
}


class Cluster:
    """A running PostgreSQL. Each call of `new_database` makes an empty database in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._names: list[str] = []

    def new_database(self) -> str:
        """Make a database; return its URL."""
        name = f"test{next(self._numbers)}"
        with self.connect("postgres") as db:
            db.execute(f"CREATE DATABASE {name}")
        self._names.append(name)
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def drop_databases(self) -> None:
        """Drop every database that was made, whoever is still in it."""
        with self.connect("postgres") as db:
            while self._names:
                db.execute(f"DROP DATABASE {self._names.pop()} WITH (FORCE)")

    def connect(self, name: str) -> psycopg.Connection:
        """Return a connection past Shotline; each statement commits."""
        return psycopg.connect(host=str(self._folder), user="postgres", dbname=name, autocommit=True)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster; stop it and remove its folder at the end. Skips where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="shotline-pg-"))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        _initdb(programs, data)
        settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        command = [*_as_postgres(), str(programs / "postgres"), "-D", str(data), "-k", str(folder), *settings]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                _await(process, folder)
                yield Cluster(folder)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=_START_S)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Return the folder of the newest server that is installed; Debian keeps each version in one of its own."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=_version, default=None)


def _version(programs: Path) -> int:
    said = subprocess.run([programs / "initdb", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0])


def _initdb(programs: Path, data: Path) -> None:
    words = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    language = ["--locale=C.UTF-8"]
    if _version(programs) >= 15:
        language += ["--locale-provider=icu", "--icu-locale=en-US"]
    made = subprocess.run(
        [*_as_postgres(), str(programs / "initdb"), *words, *language], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.fail(f"initdb: {made.stderr}")


def _as_postgres() -> Sequence[str]:
    """Return what a command begins with: PostgreSQL runs as root never, and is to end with the tests."""
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=INT", *user]


def _await(process: subprocess.Popen[bytes], folder: Path) -> None:
    end_s = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end_s:
                pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
