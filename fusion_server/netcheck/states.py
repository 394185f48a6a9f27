"""What the self-check says of a node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Change", "Estimate", "NodeState", "Standing"]


class Standing(StrEnum):
    """Where a node stands with the self-check."""

    OK = "ok"
    FLAGGED = "flagged"
    QUARANTINED = "quarantined"


class Cause(StrEnum):
    """What may be wrong with a node."""

    CLOCK = "clock"
    DRIFT = "clock_drift"
    MOVED = "moved"
    OBSTRUCTED = "obstructed"
    MUFFLED = "muffled"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One fault that would explain what a node heard.

    Parameters
    ----------
    cause : Cause
    log_odds : float
        Natural log of its Bayes factor against a healthy node.
    value, sigma : float
        Seconds late; seconds gained from the first to the last sound; metres east; seconds of delay; decibels below
        what was expected. 1-sigma.
    second, second_sigma : float
        Metres north, of a move.
    direction_deg : float | None
        Where obstructed sounds come from: the middle of a quarter, clockwise from north.
    """

    cause: Cause
    log_odds: float
    value: float
    sigma: float
    second: float = 0.0
    second_sigma: float = 0.0
    direction_deg: float | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of a node.

    Parameters
    ----------
    node : str
    standing : Standing
    estimates : tuple of Estimate
        Likeliest first; more than one where the geometry does not tell them apart. Empty when ok.
    reason : str
        In words; "" when ok.
    score : float
        Log odds of a fault, decayed since the node was last heard: 0 when ok.
    sounds : int
        So many sounds were judged, since the start or since the node was last worked on.
    since_ns : int | None
        First sound of the window that showed it.
    changed_ns : int | None
        Sound that made it stand as it does.
    """

    node: str
    standing: Standing
    estimates: tuple[Estimate, ...] = ()
    reason: str = ""
    score: float = 0.0
    sounds: int = 0
    since_ns: int | None = None
    changed_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A node stands otherwise than before.

    Parameters
    ----------
    time_ns : int
        Of the sound that changed it.
    before : Standing
    state : NodeState
        As it is now.
    """

    time_ns: int
    before: Standing
    state: NodeState
