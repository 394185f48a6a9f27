"""What the scorecard counts over. Every instant is event time, UTC nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusion_server.review import Acknowledgement, Decision
from fusion_server.scorecard.heard import HeardHour

__all__ = ["Case", "Evidence", "Miss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An incident that was told, with all that people and sinks did about it.

    Parameters
    ----------
    incident_id : str
    time_ns : int
        Of the first shot, by the latest revision.
    sound_ns : int
        Of the first shot, by the first revision.
    fixed_ns : int
        When fusion concluded the first revision.
    x_m, y_m : float
        By the latest revision, local frame.
    retracted : bool
        Whether that says that the evidence no longer supports it.
    decisions, acknowledgements : sequence
        In their order.
    delivered_ns : mapping of str to int | None
        By sink that was tried: when it first took a revision; None when it never did.
    """

    incident_id: str
    time_ns: int
    sound_ns: int
    fixed_ns: int
    x_m: float
    y_m: float
    retracted: bool = False
    decisions: Sequence[Decision] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    delivered_ns: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A shooting that somebody says was not told.

    Parameters
    ----------
    number : int
        Counts up from 1.
    time_ns : int
    x_m, y_m : float
        Local frame.
    said_by : str
        Who says so: a person, a list of emergency calls, a hospital.
    reason : str
        How they know.
    person : str
        Who entered it.
    entered_ns : int
        Wall time of the entry.
    """

    number: int
    time_ns: int
    x_m: float
    y_m: float
    said_by: str
    reason: str
    person: str
    entered_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is kept about a period, and a little around it.

    Parameters
    ----------
    cases : sequence of Case
    misses : sequence of Miss
    heard : sequence of HeardHour
    other_scenes : int
        Incidents of recordings that were replayed into the same history; they are not among the cases.
    """

    cases: Sequence[Case]
    misses: Sequence[Miss] = ()
    heard: Sequence[HeardHour] = ()
    other_scenes: int = 0
