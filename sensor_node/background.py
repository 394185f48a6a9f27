"""Something slow that is called again and again in a thread of its own, so that sound and server never wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["Background"]

_T = TypeVar("_T")
_MOST_WAITING = 1_000
_CLOSE_PATIENCE_S = 5.0


class Background(Generic[_T]):
    """A thread that calls and keeps what comes of it until it is taken; the oldest goes when nobody takes it.

    Parameters
    ----------
    call : callable () -> T
        May take its time. What it raises ends the thread, and `take` raises it again.
    every_s : float
        Pause between calls.
    name : str
        Of the thread.
    """

    def __init__(self, call: Callable[[], _T], *, every_s: float, name: str) -> None:
        self._call = call
        self._every_s = every_s
        self._results: queue.SimpleQueue[_T] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(_CLOSE_PATIENCE_S)

    def take(self) -> list[_T]:
        """Return what has come since the last time, oldest first; never waits."""
        if self._error is not None:
            raise self._error
        results = []
        while not self._results.empty():
            results.append(self._results.get_nowait())
        return results

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._results.put(self._call())
                while self._results.qsize() > _MOST_WAITING:
                    self._results.get_nowait()
                self._stop.wait(self._every_s)
        except BaseException as error:
            self._error = error
