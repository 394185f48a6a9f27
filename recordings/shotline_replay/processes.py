"""Child processes that never outlive us: ended in order on any way out, and by the kernel should we be killed."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from shotline.errors import EdgeError

__all__ = ["Child", "Children", "shotline_command"]

_END_S = 10.0
_LOG_LINES = 15
_PR_SET_PDEATHSIG = 1


def shotline_command(*arguments: str) -> list[str]:
    """Return the command line of a verb, run by this very interpreter."""
    return [sys.executable, "-c", "from shotline.cli import main; main()", *arguments]


class Child:
    """One process. Its standard error goes to ``log``, its standard output is read line by line."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._output = b""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def line(self, *, timeout_s: float) -> str:
        """Wait for the next line of standard output.

        Raises
        ------
        EdgeError
            It ends, or says nothing for so long; the text holds the end of its log.
        """
        assert self._process.stdout is not None
        until_s = time.monotonic() + timeout_s
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._output:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                raise self.failed(f"said nothing for {timeout_s:g} s")
            more = os.read(descriptor, 65_536)
            if not more:
                self._process.wait(_END_S)
                raise self.failed(f"ended at once with exit code {self._process.returncode}")
            self._output += more
        line, _, self._output = self._output.partition(b"\n")
        return line.decode(errors="replace")

    def failed(self, what: str) -> EdgeError:
        """Return an error that says what happened and what the process said last."""
        return EdgeError(f"{self.name} {what}{self._last_words()}")

    def end(self) -> None:
        """Ask it to end, insist if it does not, and read what it has still said."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._output += self._process.stdout.read()
            self._process.stdout.close()

    def rest(self) -> str:
        """Return the standard output not yet read; the process must have ended."""
        self.end()
        return self._output.decode(errors="replace")

    def _last_words(self) -> str:
        with suppress(OSError):
            if lines := self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]:
                return "; it said:\n" + "\n".join(lines)
        return ""


class Children:
    """Starts processes; leaving the ``with`` block, by whatever way, ends every one of them.

    They have sessions of their own, so that Ctrl-C reaches only us and they are ended in order: last started, first
    ended. On Linux the kernel ends them when we are killed. SIGTERM to us becomes an exit through the block.

    Parameters
    ----------
    folder : Path
        Where their standard error is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []
        self._before: signal._HANDLER = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _exit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        finally:
            if self._before is not None:
                signal.signal(signal.SIGTERM, self._before)

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a process.

        Raises
        ------
        EdgeError
            It cannot be started.
        """
        log = self._folder / f"{name}.log"
        try:
            with log.open("wb") as errors:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                )
        except OSError as error:
            raise EdgeError(f"cannot start {name}: {error.strerror}") from error
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def end(self) -> None:
        """End all, the last started first; ask all before waiting for any but the first."""
        for child in self._children[1:]:
            with suppress(ProcessLookupError):
                if child.returncode is None:
                    os.kill(child.pid, signal.SIGTERM)
        for child in reversed(self._children):
            child.end()


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _die_with_parent() -> None:
    """Between fork and exec: have the kernel end this process when its parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
