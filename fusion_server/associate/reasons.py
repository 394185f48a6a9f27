"""Why a shot was concluded: what it passed over, who was silent, which other hypotheses lost. Made when asked for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES
from fusion_server.associate.geometry import distance_rows, probability_to_hear
from fusion_server.associate.judge import shared_arrivals
from fusion_server.associate.rows import ABSENT
from fusion_server.associate.search import Explained, Search
from shotline.domain import ArrivalVerdict, LostHypothesis, Silence
from shotline.propagation import travel_time_s
from shotline.units import ns_from_seconds

__all__ = ["MOST_SILENT", "SURE_SILENCE", "Reasons", "reasons"]

MOST_SILENT = 20
"""So many silent nodes are named, the likeliest to have heard first."""
SURE_SILENCE = 0.5
"""A node should have heard a shot that it would have heard with at least this probability."""
_BEFORE_S = 0.05
_AFTER_S = 0.5
_MOST_PASSED_OVER = 40
_MOST_LOST = 5
_LEAST_SILENCE = 0.05
_WEAKER_DB = 3.0
_SAME_M = 30.0
_SAME_S = 0.04


class Reasons(NamedTuple):
    """As in `shotline.domain.Shot`."""

    passed_over: tuple[ArrivalVerdict, ...]
    silent: tuple[Silence, ...]
    lost: tuple[LostHypothesis, ...]


def reasons(search: Search, shot: Explained, names: tuple[str, ...]) -> Reasons:
    """Return the reasons for a shot of a search whose store has not changed since.

    Parameters
    ----------
    search : Search
        Finished.
    shot : Explained
        One of ``search.found``.
    names : tuple of str
        Node ids by index.
    """
    passed_over = _passed_over(search, shot)
    silent = _silent(search, shot.x_m, shot.y_m, shot.origin_s, set(shot.nodes.tolist()), names)
    return Reasons(passed_over, tuple(silent[:MOST_SILENT]), _lost(search, shot, names))


def _predicted_s(search: Search, x_m: float, y_m: float, origin_s: float) -> NDArray[np.float64]:
    sky = search.sky
    return origin_s + travel_time_s(
        np.array([x_m, y_m]),
        search.ground.sites_m,
        speed_of_sound_mps=sky.speed_mps,
        wind_mps=np.array([sky.wind_x_mps, sky.wind_y_mps]),
    )


def _distance_m(search: Search, x_m: float, y_m: float) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.hypot(*(search.ground.sites_m - (x_m, y_m)).T)
    return distance


def _passed_over(search: Search, shot: Explained) -> tuple[ArrivalVerdict, ...]:
    columns = search.columns
    owner = {
        (node, position): other
        for other in search.found
        for node, position in zip(other.nodes.tolist(), other.positions.tolist(), strict=True)
    }
    mine = dict(zip(shot.nodes.tolist(), shot.positions.tolist(), strict=True))
    predicted_s = _predicted_s(search, shot.x_m, shot.y_m, shot.origin_s)
    verdicts: list[ArrivalVerdict] = []
    for node in np.flatnonzero(_distance_m(search, shot.x_m, shot.y_m) <= search.settings.reach_m).tolist():
        row = columns.time_s[node, : columns.used[node]]
        low, high = np.searchsorted(row, (predicted_s[node] - _BEFORE_S, predicted_s[node] + _AFTER_S))
        for position in range(int(low), int(high)):
            if mine.get(node) == position:
                continue
            residual_s = float(row[position] - predicted_s[node])
            why = _why_not(search, shot, node, position, mine.get(node), owner.get((node, position)), residual_s)
            arrival = search.store.arrivals[int(columns.slot[node, position])]
            verdicts.append(ArrivalVerdict(arrival, residual_s, False, why))
    verdicts.sort(key=lambda item: (abs(item.residual_s), item.arrival.uid))
    return tuple(sorted(verdicts[:_MOST_PASSED_OVER], key=lambda item: (item.arrival.time_ns, item.arrival.uid)))


def _why_not(
    search: Search,
    shot: Explained,
    node: int,
    position: int,
    used: int | None,
    owner: Explained | None,
    residual_s: float,
) -> str:
    columns = search.columns
    if owner is not None:
        apart_s = owner.origin_s - shot.origin_s
        return f"belongs to the shot {abs(apart_s):.2f} s {'later' if apart_s > 0 else 'earlier'}"
    if columns.free[node, position] == 2:
        return "belongs to an earlier conclusion, or is too old"
    if used is not None:
        after_s = float(columns.time_s[node, position] - columns.time_s[node, used])
        if after_s > 0.0:
            return f"echo: {1000.0 * after_s:.0f} ms after the arrival used"
        weaker_db = float(columns.snr_db[node, used] - columns.snr_db[node, position])
        if weaker_db > _WEAKER_DB:
            return f"weaker than the one chosen by {weaker_db:.0f} dB"
        return f"{-1000.0 * after_s:.0f} ms before the arrival used, which fits better"
    side = "late" if residual_s > 0.0 else "early"
    if abs(residual_s) > search.settings.gate_s:
        return f"{1000.0 * abs(residual_s):.0f} ms {side}: outside the gate of {1000.0 * search.settings.gate_s:.0f} ms"
    return f"{1000.0 * abs(residual_s):.0f} ms {side}: not needed by the pattern of the rounds"


def _silent(
    search: Search, x_m: float, y_m: float, origin_s: float, heard: set[int], names: tuple[str, ...]
) -> list[Silence]:
    """Return silent nodes, likeliest to have heard first, by how loud the shot was for those that did hear."""
    model, sky = search.model, search.sky
    distance_m = _distance_m(search, x_m, y_m)
    predicted_s = _predicted_s(search, x_m, y_m, origin_s)
    near = distance_m <= model.reach_m
    listened = ((sky.starts_s <= predicted_s[:, None]) & (predicted_s[:, None] <= sky.ends_s)).any(axis=1)
    due = predicted_s + model.latency_s < sky.now_s
    is_heard = np.isin(np.arange(len(distance_m)), list(heard))
    silent = near & listened & due & ~is_heard
    row = distance_rows(distance_m, step_m=model.step_m, rows=len(model.log_heard))
    log_heard, log_silent = model.log_heard[row, :N_RANGES], model.log_silent[row, :N_RANGES]
    probability = probability_to_hear(log_heard, log_silent, heard=is_heard & near, silent=silent)
    return [
        Silence(names[node], float(distance_m[node]), float(probability[node]))
        for node in np.flatnonzero(silent)[np.argsort(-probability[silent], kind="stable")].tolist()
        if probability[node] >= _LEAST_SILENCE
    ]


def _lost(search: Search, shot: Explained, names: tuple[str, ...]) -> tuple[LostHypothesis, ...]:
    rivals: list[tuple[float, LostHypothesis]] = []
    for considered in search.considered:
        shared = shared_arrivals(search.ground, considered.results, considered.chosen, shot.nodes, shot.positions)
        stood = (considered.results[:, 4] > 0.0) & np.isfinite(considered.results[:, 3]) & (shared >= 2)
        for result, chosen in zip(considered.results[stood], considered.chosen[stood], strict=True):
            home = int(result[5])
            around = search.ground.around[search.ground.around_first[home] : search.ground.around_first[home + 1]]
            there = np.flatnonzero(chosen[: len(around)] != ABSENT)
            its = set(zip(around[there].tolist(), chosen[there].tolist(), strict=True))
            x_m, y_m, origin_s, evidence = (float(value) for value in result[:4])
            if any(_is(other, x_m, y_m, origin_s) for other in search.found):
                continue
            why = _why_lost(search, shot, x_m, y_m, origin_s, evidence, its, names)
            instant_ns = search.store.epoch_ns + ns_from_seconds(origin_s)
            rivals.append((evidence, LostHypothesis(x_m, y_m, instant_ns, len(its), evidence, why)))
    kept: list[LostHypothesis] = []
    for _, rival in sorted(rivals, key=lambda item: (-item[0], item[1].origin_time_ns)):
        apart = (
            math.hypot(rival.x_m - other.x_m, rival.y_m - other.y_m) >= _SAME_M
            or abs(rival.origin_time_ns - other.origin_time_ns) >= ns_from_seconds(_SAME_S)
            for other in kept
        )
        if all(apart):
            kept.append(rival)
    return tuple(kept[:_MOST_LOST])


def _is(shot: Explained, x_m: float, y_m: float, origin_s: float) -> bool:
    return math.hypot(x_m - shot.x_m, y_m - shot.y_m) < _SAME_M and abs(origin_s - shot.origin_s) < _SAME_S


def _why_lost(
    search: Search,
    shot: Explained,
    x_m: float,
    y_m: float,
    origin_s: float,
    evidence: float,
    its: set[tuple[int, int]],
    names: tuple[str, ...],
) -> str:
    asked = search.settings.min_log_evidence
    if evidence >= asked:
        return f"its arrivals belong to a stronger shot: evidence {evidence:.1f} against {shot.log_evidence:.1f}"
    silent = _silent(search, x_m, y_m, origin_s, {node for node, _ in its}, names)
    missing = [item.node for item in silent if item.probability >= SURE_SILENCE]
    if missing:
        listed = ", ".join(missing[:4]) + (" and more" if len(missing) > 4 else "")
        return f"node{'s' if len(missing) > 1 else ''} {listed} should have heard"
    if len(its) < len(shot.nodes):
        return f"fewer nodes agree: {len(its)} against {len(shot.nodes)}"
    return f"evidence {evidence:.1f} below the {asked:.1f} asked for"
