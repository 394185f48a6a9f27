"""What site biases are learned from: arrivals of sounds from known places, in columns."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["AirErrors", "ControlRows", "DelayScales"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DelayScales:
    """How large excess delays are, besides what the survey says of its error, and how far they stay alike.

    The hyperparameters; sizes are 1-sigma.

    Parameters
    ----------
    constant_s : float
        Of what a node has from everywhere: its clock, its converter.
    direction_s : float
        Of what it has from one direction: what stands near it, a survey worse than it says.
    direction_rad : float
        Directions further apart than about this have little in common.
    place_s : float
        Of what it has from one neighbourhood.
    place_m : float
        Places further apart than about this have little in common.
    scatter_s : float
        Of what is left, from one place to the next: no table can know it. The scale of a Student-t, as the locator's.
    """

    constant_s: float
    direction_s: float
    direction_rad: float
    place_s: float
    place_m: float
    scatter_s: float

    @property
    def prior_variance_s2(self) -> float:
        """Variance of an excess delay about which nothing was learned, without the scatter."""
        return self.constant_s**2 + self.direction_s**2 + self.place_s**2


@dataclass(frozen=True, slots=True)
class AirErrors:
    """How wrong the air may be that the straight lines went through.

    Parameters
    ----------
    speed_mps : float
        Speed of sound.
    speed_error_sigma : float
        1-sigma of its relative error.
    wind_error_sigma_mps : float
        1-sigma of each component of the error of the wind.
    """

    speed_mps: float
    speed_error_sigma: float = 0.004
    wind_error_sigma_mps: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ControlRows:
    """Excess delays of sounds from known places; one row for each node that heard a place.

    Several rounds from one place are one row a node: the mean of them, since what the path adds is the same each time.

    Parameters
    ----------
    site_m : ndarray, shape (n_nodes, 2), float64
        Where nodes stand by the survey, local frame.
    site_sigma_m : ndarray, shape (n_nodes,), float64
        1-sigma error of that, per axis, as the survey says; what it is more, the scales learn.
    place_m : ndarray, shape (n_places, 2), float64
        Where sounds were made, as far as known.
    place_sigma_m : ndarray, shape (n_places,), float64
        1-sigma of that, per axis: 2.5 for the GPS of a phone.
    air : ndarray, shape (n_places,), int64
        Places with the same number, 0 or more, were heard through the same air: what is wrong with it they share.
    place, node : ndarray, shape (n_rows,), int64
        Indices of the above.
    delay_s : ndarray, shape (n_rows,), float64
        Arrival time less what the straight line through the air as reported takes, from an instant that is the same
        for all rows of a place, and may be any: a common offset of a place is solved for.
    variance_s2 : ndarray, shape (n_rows,), float64
        Of clock, onset and turbulence, as far as rounds differ by them.
    """

    site_m: FloatArray
    site_sigma_m: FloatArray
    place_m: FloatArray
    place_sigma_m: FloatArray
    air: IntArray
    place: IntArray
    node: IntArray
    delay_s: FloatArray
    variance_s2: FloatArray

    def __len__(self) -> int:
        return len(self.delay_s)

    @property
    def n_places(self) -> int:
        """How many places."""
        return len(self.place_m)

    def check(self) -> None:
        """Refuse columns that do not fit each other.

        Raises
        ------
        InputError
            Says which column, and what is wrong with it.
        """
        for column in fields(self):
            if not np.isfinite(getattr(self, column.name)).all():
                raise InputError("a value is not finite; leave its row out", field=column.name)
        for name, count in (("place", self.n_places), ("node", len(self.site_m))):
            values = getattr(self, name)
            if len(values) != len(self) or (len(self) and not 0 <= values.min() <= values.max() < count):
                raise InputError(f"expected {len(self)} indices from 0 to {count - 1}", field=name)
        for name, count in (
            ("site_sigma_m", len(self.site_m)),
            ("place_sigma_m", self.n_places),
            ("air", self.n_places),
            ("variance_s2", len(self)),
        ):
            values = getattr(self, name)
            if len(values) != count:
                raise InputError(f"has {len(values)} values, expected {count}", field=name)
            if (values < 0.0).any():
                raise InputError("a sigma, variance or number is negative", field=name)
        if len(np.unique(self.place * len(self.site_m) + self.node)) != len(self):
            raise InputError("a node has two rows of one place; give their mean", field="node")

    def without(self, places: IntArray) -> ControlRows:
        """Return the rows of all other places; places keep their numbers."""
        return self.rows(~np.isin(self.place, places))

    def of(self, places: IntArray) -> ControlRows:
        """Return the rows of some places; places keep their numbers."""
        return self.rows(np.isin(self.place, places))

    def rows(self, keep: NDArray[np.bool_]) -> ControlRows:
        """Return some rows.

        Parameters
        ----------
        keep : ndarray, shape (n_rows,), bool
        """
        return ControlRows(
            self.site_m,
            self.site_sigma_m,
            self.place_m,
            self.place_sigma_m,
            self.air,
            self.place[keep],
            self.node[keep],
            self.delay_s[keep],
            self.variance_s2[keep],
        )
