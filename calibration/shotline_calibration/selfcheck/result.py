"""What a self-check of a network found, as its record says."""

from __future__ import annotations

import math

import msgspec

from fusion_server.netcheck import Cause, NetworkCheck, NodeState, Standing
from shotline.timebase import format_utc
from shotline_calibration.result import Result

__all__ = ["CauseFound", "DirectionFound", "NodeFound", "SelfcheckResult", "result_of"]


class CauseFound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault that would explain what a node heard, with its 1-sigma.

    Parameters
    ----------
    cause : str
        See `fusion_server.netcheck.Cause`.
    log_odds : float
        Natural log of its Bayes factor against a healthy node.
    late_s, late_sigma_s : float | None
        Of a clock, a drift over the window, or an obstruction.
    east_m, east_sigma_m, north_m, north_sigma_m : float | None
        Of a move: where it stands, from where it is surveyed.
    deficit_db, deficit_sigma_db : float | None
        Of a microphone; None where it heard nothing that could be measured.
    from_deg : float | None
        Where obstructed sounds come from, clockwise from north.
    """

    cause: str
    log_odds: float
    late_s: float | None = None
    late_sigma_s: float | None = None
    east_m: float | None = None
    east_sigma_m: float | None = None
    north_m: float | None = None
    north_sigma_m: float | None = None
    deficit_db: float | None = None
    deficit_sigma_db: float | None = None
    from_deg: float | None = None


class DirectionFound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How late sound comes from one direction, shrunk towards nothing where little was heard."""

    from_deg: float
    delay_s: float
    sigma_s: float
    sounds: int


class NodeFound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One node.

    Parameters
    ----------
    node : str
    standing : str
        ``ok``, ``flagged`` or ``quarantined``.
    sounds : int
        So many were judged.
    score : float
        Log odds of a fault; 0 when ok.
    reason : str
    since_utc : str
        First sound of the window that showed it; "" when ok.
    causes : tuple of CauseFound
        Likeliest first.
    delays : tuple of DirectionFound
        Of 16 directions.
    """

    node: str
    standing: str
    sounds: int
    score: float = 0.0
    reason: str = ""
    since_utc: str = ""
    causes: tuple[CauseFound, ...] = ()
    delays: tuple[DirectionFound, ...] = ()


class SelfcheckResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A network, judged by what it located.

    Parameters
    ----------
    shots : int
        Shots that were looked at.
    first_utc, last_utc : str
        Of the first and the last.
    path_sigma_s : float
        1-sigma of travel times here, as learned.
    noise_share : float
        Share of its variance that differs from sound to sound, from the same place too.
    nodes : tuple of NodeFound
    """

    shots: int
    first_utc: str
    last_utc: str
    path_sigma_s: float
    noise_share: float
    nodes: tuple[NodeFound, ...]

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        bad = [item for item in self.nodes if item.standing != Standing.OK.value]
        said = [
            f"shots        {self.shots}, {self.first_utc} to {self.last_utc}",
            f"paths        scatter by {self.path_sigma_s * 1e3:.1f} ms, {self.noise_share:.0%} of it from shot to shot",
            f"nodes        {len(self.nodes) - len(bad)} of {len(self.nodes)} agree with what was located",
        ]
        width = max((len(item.node) for item in self.nodes), default=0)
        said += [f"{item.standing:<12} {item.node:<{width}}  {item.reason}" for item in bad]
        few = [item.node for item in self.nodes if item.sounds == 0]
        if few:
            said.append(f"not judged   {', '.join(few)}: no shot told anything of them")
        return said


def result_of(check: NetworkCheck) -> SelfcheckResult:
    """Return what a check found.

    Parameters
    ----------
    check : NetworkCheck
        With at least one shot.
    """
    return SelfcheckResult(
        shots=check.shots,
        first_utc=format_utc(check.time_ns(0), digits=3),
        last_utc=format_utc(check.time_ns(check.shots - 1), digits=3),
        path_sigma_s=round(check.path_sigma_s, 6),
        noise_share=check.noise_share,
        nodes=tuple(_node(check, state) for state in check.states()),
    )


def _node(check: NetworkCheck, state: NodeState) -> NodeFound:
    return NodeFound(
        node=state.node,
        standing=state.standing.value,
        sounds=state.sounds,
        score=round(state.score, 2),
        reason=state.reason,
        since_utc="" if state.since_ns is None else format_utc(state.since_ns, digits=3),
        causes=tuple(_cause(state, number) for number in range(len(state.estimates))),
        delays=tuple(
            DirectionFound(
                from_deg=item.direction_deg,
                delay_s=round(item.delay_s, 6),
                sigma_s=round(item.sigma_s, 6),
                sounds=item.sounds,
            )
            for item in check.rose(state.node)
        ),
    )


def _cause(state: NodeState, number: int) -> CauseFound:
    found = state.estimates[number]
    cause, log_odds = found.cause.value, round(found.log_odds, 2)
    if found.cause is Cause.MOVED:
        return CauseFound(
            cause=cause,
            log_odds=log_odds,
            east_m=round(found.value, 2),
            east_sigma_m=round(found.sigma, 2),
            north_m=round(found.second, 2),
            north_sigma_m=round(found.second_sigma, 2),
        )
    if found.cause is Cause.MUFFLED:
        measured = math.isfinite(found.sigma)
        return CauseFound(
            cause=cause,
            log_odds=log_odds,
            deficit_db=round(found.value, 1) if measured else None,
            deficit_sigma_db=round(found.sigma, 1) if measured else None,
        )
    return CauseFound(
        cause=cause,
        log_odds=log_odds,
        late_s=round(found.value, 6),
        late_sigma_s=round(found.sigma, 6),
        from_deg=found.direction_deg,
    )
