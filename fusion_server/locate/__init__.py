"""Multilateration: arrivals of one sound in, a place with an honest error out, or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence

from fusion_server.locate.batch import MIN_NODES, ArrivalBatch, Fixes, locate_batch
from fusion_server.locate.ground import Ground, ground_of_sites
from fusion_server.locate.learn import learn_path_sigma
from fusion_server.locate.settings import Height, LocateSettings
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Location, NoLocation

__all__ = [
    "MIN_NODES",
    "ArrivalBatch",
    "Fixes",
    "Ground",
    "Height",
    "LocateSettings",
    "ground_of_sites",
    "learn_path_sigma",
    "locate",
    "locate_batch",
]


def locate(
    arrivals: Sequence[Arrival],
    *,
    weather: Weather,
    settings: LocateSettings | None = None,
    ground: Ground | None = None,
) -> Location | NoLocation:
    """Locate one shot.

    Parameters
    ----------
    arrivals : sequence of Arrival
        Of one sound, at most one counts per node; echoes among them are tolerated and set aside with a reason.
    weather : Weather
        Temperature gives the speed of sound, wind carries the wave front.
    settings : LocateSettings, optional
    ground : Ground, optional
        See `locate_batch`.

    Returns
    -------
    Location | NoLocation
        A fix with covariance, verdict per arrival and remaining alternatives; or the reason why there is none, with
        both roots and their weights where there are two and nothing to choose between them.
    """
    batch = ArrivalBatch.of([arrivals])
    return locate_batch(batch, weather=weather, settings=settings, ground=ground).result(0)
