"""What an alert is, and what a sink must do with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from shotline.errors import EdgeError, InputError
from shotline.records import IncidentRecord

__all__ = ["Alert", "DeliveryError", "Sink", "check_sink_name"]

_SINK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One revision of an incident on its way to one sink.

    Parameters
    ----------
    record : IncidentRecord
    test : bool
        Not a real event: an exercise, or a check of the line. Every sink says so.
    reminder : int
        So many spans passed in which nobody took it on, and so it is told again; 0 when it is new. Every sink says so.
    """

    record: IncidentRecord
    test: bool = False
    reminder: int = 0

    @property
    def replay(self) -> bool:
        """Whether this comes from a recording, not from the microphones now."""
        return bool(self.record.scene)

    @property
    def banner(self) -> str:
        """Which of ``TEST``, ``REPLAY`` and ``REMINDER`` it is; "" for a live alert that is new."""
        words = (("TEST", self.test), ("REPLAY", self.replay), ("REMINDER", self.reminder > 0))
        return " ".join(word for word, says in words if says)


class DeliveryError(EdgeError):
    """A sink did not take an alert.

    Parameters
    ----------
    detail : str
        What was seen, in words for the receipt; no secret in it.
    retryable : bool
        Whether the same alert may be taken later.
    retry_after_s : float | None
        How long the sink asks to be left alone; None when it does not say.
    """

    def __init__(self, detail: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
        self.detail = detail
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        super().__init__(detail)


@runtime_checkable
class Sink(Protocol):
    """Somewhere alerts go. One thread calls it, one alert at a time.

    Delivery is at least once: after a crash the last alert may come again. ``(record.id, record.revision)`` is its
    identity.
    """

    @property
    def name(self) -> str:
        """Unique among the sinks, the same after a restart: receipts are kept under it."""
        ...

    def send(self, alert: Alert) -> None:
        """Deliver an alert; return only when it is really there.

        Raises
        ------
        DeliveryError
            It is not.
        """
        ...


def check_sink_name(name: str) -> str:
    """Return the name of a sink if it can be one.

    Raises
    ------
    InputError
        It has other characters than ``a-z 0-9 _ -``, or more than 64 of them.
    """
    if not _SINK_NAME.fullmatch(name):
        raise InputError(f"'{name}' is not a sink name; use 1 to 64 of a-z, 0-9, _ and -", field="name")
    return name
