"""Which nodes heard each round of an incident, and which should have, by fusion's own model of what is audible. Pure.

A function of the record and of where nodes stand. Who was listening is what the record says of silent nodes: it names
those that listened and would have heard with 5 % or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES
from fusion_server.associate.geometry import STEP_M, audibility, distance_rows, probability_to_hear
from fusion_server.associate.reasons import MOST_SILENT, SURE_SILENCE
from fusion_server.associate.settings import AssociateSettings
from shotline.domain import Site
from shotline.records import IncidentRecord, ShotRecord

__all__ = ["Heard", "Outcome", "hearing"]


class Outcome(StrEnum):
    """What became of one round at one node."""

    USED = "used"
    LEFT_OUT = "left_out"
    MISSED = "missed"
    NOT_EXPECTED = "not_expected"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Heard:
    """One node and one round.

    Parameters
    ----------
    node : str
    expected_probability : float | None
        That it would report the round, as loud as that was for the others; None where it has no site any more.
    outcome : Outcome
        ``missed``: it listened, should have heard, and reported nothing. ``silent``: it should have, and gave no sign
        of life then. ``not_expected``: it need not have heard.
    """

    node: str
    expected_probability: float | None
    outcome: Outcome


def hearing(
    record: IncidentRecord, sites: Sequence[Site], settings: AssociateSettings
) -> tuple[tuple[Heard, ...], ...]:
    """Return each round of an incident with every node, by name.

    Parameters
    ----------
    record : IncidentRecord
    sites : sequence of Site
        Where nodes stand.
    settings : AssociateSettings
        Those of fusion.
    """
    tables = audibility(settings)
    return tuple(_round(shot, sites, settings, tables) for shot in record.shots)


def _round(
    shot: ShotRecord,
    sites: Sequence[Site],
    settings: AssociateSettings,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> tuple[Heard, ...]:
    used = {arrival.node: False for arrival in shot.arrivals}
    used.update({arrival.node: True for arrival in shot.arrivals if arrival.used})
    told = {item.node: item.probability for item in shot.silent}
    expected = _expected(shot, sites, settings, tables, heard=set(used), told=set(told)) | told
    # An old record says of nobody whether it listened, and a long list is cut: then whoever should have heard counts.
    everybody = shot.log_evidence is None or len(told) >= MOST_SILENT
    found = []
    for node in sorted(expected.keys() | used.keys()):
        probability = expected.get(node)
        if node in used:
            outcome = Outcome.USED if used[node] else Outcome.LEFT_OUT
        elif probability is None or probability < SURE_SILENCE:
            outcome = Outcome.NOT_EXPECTED
        else:
            outcome = Outcome.MISSED if node in told or everybody else Outcome.SILENT
        found.append(Heard(node, probability, outcome))
    return tuple(found)


def _expected(
    shot: ShotRecord,
    sites: Sequence[Site],
    settings: AssociateSettings,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    heard: set[str],
    told: set[str],
) -> dict[str, float]:
    """Return the probability that each node reports a round, as association has it."""
    if not sites:
        return {}
    places_m = np.array([(site.x_m, site.y_m) for site in sites])
    distance_m: NDArray[np.float64] = np.hypot(*(places_m - (shot.x_m, shot.y_m)).T)
    near = distance_m <= settings.reach_m
    row = distance_rows(distance_m, step_m=STEP_M, rows=len(tables[0]))
    is_heard = np.array([site.node in heard for site in sites]) & near
    is_silent = np.array([site.node in told for site in sites]) & near & ~is_heard
    if shot.log_evidence is None:
        is_silent = near & ~is_heard
    probability = probability_to_hear(
        tables[0][row, :N_RANGES], tables[1][row, :N_RANGES], heard=is_heard, silent=is_silent
    )
    probability[~near] = 0.0
    return {site.node: float(value) for site, value in zip(sites, probability, strict=True)}
