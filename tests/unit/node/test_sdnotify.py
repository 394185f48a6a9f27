"""What systemd is told, through real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor_node.sdnotify import Notifier

PID = 812


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Yield the service manager's socket and what it puts into NOTIFY_SOCKET."""
    named = f"@shotline-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + named[1:] if named.startswith("@") else named)
        listener.settimeout(10.0)
        yield listener, named


def test_every_message(manager: tuple[socket.socket, str]) -> None:
    listener, named = manager
    notifier = Notifier({"NOTIFY_SOCKET": named, "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(PID)}, pid=PID)
    assert (notifier.enabled, notifier.watchdog_s) == (True, 20.0)
    notifier.ready("hears\nMAINPID=1 ")
    notifier.status("roof-1: 3 detections")
    notifier.status("")
    notifier.alive()
    notifier.stopping()
    assert [listener.recv(4096) for _ in range(4)] == [
        b"READY=1\nSTATUS=hears MAINPID=1",
        b"STATUS=roof-1: 3 detections",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]
    assert notifier.problem == ""


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "813"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(manager: tuple[socket.socket, str], environ: dict[str, str], watchdog_s: float | None) -> None:
    listener, named = manager
    notifier = Notifier({"NOTIFY_SOCKET": named, **environ}, pid=PID)
    assert notifier.watchdog_s == watchdog_s
    notifier.alive()
    notifier.ready()
    expected = [b"READY=1"] if watchdog_s is None else [b"WATCHDOG=1", b"READY=1"]
    assert [listener.recv(4096) for _ in expected] == expected


@pytest.mark.parametrize("named", ["", "@", "vsock:2:1234", "relative"])
def test_without_systemd_nothing_is_sent(named: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": named}, pid=PID)
    notifier.ready("x")
    assert (notifier.enabled, notifier.problem) == (False, "")


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=PID)
    notifier.ready()
    assert notifier.problem == "systemd is not reached at NOTIFY_SOCKET: No such file or directory"
