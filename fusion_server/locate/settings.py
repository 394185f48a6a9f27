"""Settings of the locator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Height", "LocateSettings"]


class Height(StrEnum):
    """What is assumed of the source's height."""

    PLANAR = "planar"
    """Everything in one plane: the default; free height on a flat array throws the fix about."""
    GROUND = "ground"
    """The source is on the ground that the nodes stand on, see `ground_of_sites`; slant ranges are used."""
    KNOWN = "known"
    """The height is given; slant ranges are used."""
    FREE = "free"
    """The height is solved for, held by a weak prior about the ground."""


@dataclass(frozen=True, slots=True)
class LocateSettings:
    """Settings of the locator; where the defaults come from is in docs/location.md.

    Parameters
    ----------
    path_sigma_s : float
        1-sigma of the travel time against a straight line through uniform air: buildings and turbulence. A network
        learns its own from what it has located, see `fusion_server.locate.learn_path_sigma`.
    path_freedom : float
        How much ``path_sigma_s`` weighs against the residuals of one shot, in degrees of freedom.
    pick_sigma_s : float
        1-sigma of an onset at 20 dB of SNR; ten times more at 0 dB, ten times less at 40 dB.
    speed_error_sigma : float
        1-sigma of the relative error of the speed of sound, where the weather does not say how good it is.
    wind_error_sigma_mps : float
        1-sigma of each component of the error of the wind, where the weather does not say.
    wind_share : float
        1-sigma of what the wind along the path differs from the wind at a mast, as a share of it.
    systematic_sigma_m : float
        1-sigma per axis of what all arrivals of a fix share and residuals cannot show.
    outlier_late, outlier_early : float
        Prior probability that an arrival given to a shot is an echo or a blocked path, or earlier than it can be.
    outlier_sigma : float
        An arrival this many sigma from the fix is not part of it.
    level_slope_db, level_sigma_db : float
        Fall of the peak level in a decade of distance, and its scatter between paths: tells solutions apart.
    hearing_range_m : float
        Hardly anybody hears a shot from further away.
    height : Height
    mast_m : float
        How high a microphone usually stands over the ground where sources are.
    height_m : float
        The known height, or the centre of the prior when free, where no ground is given.
    height_sigma_m : float
        1-sigma of the prior when free.
    """

    path_sigma_s: float = 0.007
    path_freedom: float = 8.0
    pick_sigma_s: float = 0.001
    speed_error_sigma: float = 0.004
    wind_error_sigma_mps: float = 1.0
    wind_share: float = 0.15
    systematic_sigma_m: float = 1.0
    outlier_late: float = 0.002
    outlier_early: float = 0.001
    outlier_sigma: float = 4.0
    level_slope_db: float = 30.0
    level_sigma_db: float = 10.0
    hearing_range_m: float = 2000.0
    height: Height = Height.PLANAR
    mast_m: float = 8.0
    height_m: float = 0.0
    height_sigma_m: float = 20.0
