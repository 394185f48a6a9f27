"""Tell systemd how the service is: the protocol of sd_notify(3), one datagram a message, without a package.

Outside systemd, where ``NOTIFY_SOCKET`` is not set, nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

__all__ = ["Notifier"]

_MOST_CHARACTERS = 1_000


class Notifier:
    """Sends to the service manager that started this process. A message that cannot be sent is no error.

    Parameters
    ----------
    environ : Mapping[str, str]
        ``os.environ``: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read, and nothing is changed.
    pid : int
        Of this process: a watchdog that is meant for another is not ours.
    """

    def __init__(self, environ: Mapping[str, str], *, pid: int) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ, pid)
        """The service is killed after so long without `alive`; None without a watchdog. Say it twice as often."""
        self.problem = ""
        """Why the last message was not sent; "" when it was, or nobody asked for it."""

    @property
    def enabled(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """Say that the start is over."""
        self._send("READY=1", *_status(status))

    def status(self, status: str) -> None:
        """Say in one line what goes on; ``systemctl status`` shows it."""
        self._send(*_status(status))

    def alive(self) -> None:
        """Say that the loop still comes round; nothing without a watchdog."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", *_status(status))

    def _send(self, *assignments: str) -> None:
        if self._address is None or not assignments:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode("utf-8"), self._address)
        except OSError as error:
            self.problem = f"systemd is not reached at NOTIFY_SOCKET: {error.strerror or error}"
        else:
            self.problem = ""


def _address(text: str) -> str | None:
    """Return the address: a path, or ``@name`` for an abstract one, which starts with a zero byte."""
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    usec, for_pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec) > 0) or for_pid not in ("", str(pid)):
        return None
    return int(usec) / 1e6


def _status(text: str) -> list[str]:
    """Return the assignment of a status: one line, or it would be read as another assignment."""
    line = " ".join(text.split())[:_MOST_CHARACTERS]
    return [f"STATUS={line}"] if line else []
