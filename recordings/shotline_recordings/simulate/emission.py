"""What a source gives off: short sounds, each at a place and an instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Emission", "Waveform"]


class Waveform(Protocol):
    """The pressure of one short sound, as it would be in free air without absorption."""

    @property
    def peak_pa_m(self) -> float:
        """Highest pressure times distance, in the loudest direction, far enough away to fall as 1/r."""
        ...

    @property
    def duration_s(self) -> float:
        """Time after its beginning in which all but 60 dB of it has passed, at 1 km: sizes the transform."""
        ...

    def spectrum_pa_m_s(
        self, frequency_hz: NDArray[np.float64], *, distance_m: NDArray[np.float64], direction: NDArray[np.float64]
    ) -> NDArray[np.complex128]:
        """Return the Fourier transform of pressure times distance; its wave front arrives at time zero.

        Parameters
        ----------
        frequency_hz : ndarray, shape (n_frequencies,), float64
        distance_m : ndarray, shape (n_paths,), float64
            Length of each path: strong waves grow longer on their way.
        direction : ndarray, shape (n_paths, 3), float64
            Unit vectors east, north, up in which each path leaves the source.

        Returns
        -------
        ndarray, shape (n_paths, n_frequencies), complex128
            Pa m s, in the convention of `numpy.fft` (a delay tau is exp(-2 pi i f tau)).
        """
        ...


@dataclass(frozen=True, slots=True)
class Emission:
    """One short sound of an event.

    Parameters
    ----------
    time_s : float
        After the start of the event.
    position_m : tuple[float, float, float]
        East, north, up in the local frame.
    waveform : Waveform
    """

    time_s: float
    position_m: tuple[float, float, float]
    waveform: Waveform
