"""Locating with what was learned: each arrival less the excess delay of its path, and as sure as that is.

The delay depends on the place that is sought. So each shot is located without it, then with the delays of each place
that explained it (its roots), of which the likeliest stays, and once more with those of the place found then. A delay
hardly changes over the metre or two by which that moves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fusion_server.locate import ArrivalBatch, Fixes, Ground, LocateSettings, locate, locate_batch
from fusion_server.sitebias.delays import PathDelays
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Location, NoLocation
from shotline.units import NS_PER_S

__all__ = ["locate_batch_with_delays", "locate_with_delays"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def locate_with_delays(
    arrivals: tuple[Arrival, ...] | list[Arrival],
    *,
    delays: PathDelays | None,
    weather: Weather,
    settings: LocateSettings | None = None,
    ground: Ground | None = None,
) -> Location | NoLocation:
    """Locate one shot; without ``delays`` exactly as `fusion_server.locate.locate` does.

    Parameters
    ----------
    arrivals, weather, settings, ground
        As there.
    delays : PathDelays, optional
    """
    if delays is None:
        return locate(arrivals, weather=weather, settings=settings, ground=ground)
    batch = ArrivalBatch.of([arrivals])
    return locate_batch_with_delays(batch, delays=delays, weather=weather, settings=settings, ground=ground).result(0)


def locate_batch_with_delays(
    batch: ArrivalBatch,
    *,
    delays: PathDelays,
    weather: Weather,
    settings: LocateSettings | None = None,
    ground: Ground | None = None,
    regions: bool = True,
) -> Fixes:
    """Locate many shots heard in the same weather, with the excess delays of their paths.

    ``settings.path_sigma_s`` gives way to what the table knows: the variance of each delay and the scatter that is
    left; so does the error of the survey of a node in the table. Residuals are those that are left after the delays.

    Parameters
    ----------
    batch : ArrivalBatch
        Made of arrivals, which name their nodes.
    delays : PathDelays
    weather, settings, ground, regions
        As in `fusion_server.locate.locate_batch`.
    """
    settings = replace(settings or LocateSettings(), path_sigma_s=delays.scales.scatter_s)
    known = _numbers(batch, delays)

    def found(some: ArrivalBatch, with_regions: bool = False) -> Fixes:
        return locate_batch(some, weather=weather, settings=settings, ground=ground, regions=with_regions)

    # Before there is a place, nothing is known of the paths but how large delays are.
    nowhere = np.full((len(batch), 2), np.inf)
    plain = found(_corrected(batch, known, delays, nowhere))
    shot, root = np.nonzero(np.isfinite(plain.roots[:, :, 3]))
    place_m = nowhere
    if len(shot):
        tried, rows = _repeated(batch, shot)
        at_roots = found(_corrected(tried, known[rows], delays, plain.roots[shot, root, :2]))
        weight = np.where(at_roots.located, at_roots.log_evidence, -np.inf)
        # Of each shot the likeliest, which is the last of it in this order; of none that was located, the heaviest.
        order = np.lexsort((-root, weight, shot))
        last = order[np.append(shot[order][1:] != shot[order][:-1], True)]
        place_m = nowhere.copy()
        moved_m = np.where(at_roots.located[:, None], at_roots.place_m, plain.roots[shot, root, :2])
        place_m[shot[last]] = moved_m[last]
    return found(_corrected(batch, known, delays, place_m), regions)


def _numbers(batch: ArrivalBatch, delays: PathDelays) -> IntArray:
    """Return the number of each arrival's node in the table."""
    number = {node: index for index, node in enumerate(delays.nodes)}
    return np.array(
        [number.get(arrival.site.node, -1) for shot in batch.arrivals for arrival in shot], dtype=np.int64
    ).reshape(-1)


def _corrected(batch: ArrivalBatch, known: IntArray, delays: PathDelays, place_m: FloatArray) -> ArrivalBatch:
    """Return arrivals less the delays from a place a shot; where that is infinite, from anywhere."""
    at_m = np.repeat(place_m, np.diff(batch.first), axis=0)
    somewhere = np.isfinite(at_m[:, 0])
    mean_s, variance_s2 = delays.at(
        np.where(somewhere, known, -1), np.where(somewhere, at_m[:, 0], 0.0), np.where(somewhere, at_m[:, 1], 0.0)
    )
    survey_s2 = np.append(delays.survey_s, 0.0)[known] ** 2
    variance_s2 = np.where(somewhere, variance_s2, variance_s2 + survey_s2)
    return replace(
        batch,
        time_ns=batch.time_ns - np.rint(mean_s * NS_PER_S).astype(np.int64),
        sigma_s=np.sqrt(batch.sigma_s**2 + variance_s2),
        site_sigma_m=np.where(known >= 0, 0.0, batch.site_sigma_m),
    )


def _repeated(batch: ArrivalBatch, shots: IntArray) -> tuple[ArrivalBatch, IntArray]:
    """Return some shots, in any number and order, as a batch, and the rows of each arrival in the first."""
    sizes = np.diff(batch.first)[shots]
    first = np.zeros(len(shots) + 1, dtype=np.int64)
    first[1:] = np.cumsum(sizes)
    rows = np.concatenate([np.arange(batch.first[shot], batch.first[shot + 1]) for shot in shots.tolist()])
    repeated = ArrivalBatch(
        first=first,
        node=batch.node[rows],
        site_m=batch.site_m[rows],
        site_sigma_m=batch.site_sigma_m[rows],
        sigma_s=batch.sigma_s[rows],
        snr_db=batch.snr_db[rows],
        level_db=batch.level_db[rows],
        time_ns=batch.time_ns[rows],
        arrivals=tuple(batch.arrivals[shot] for shot in shots.tolist()),
    )
    return repeated, rows
