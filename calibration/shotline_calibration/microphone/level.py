"""From the tone of a sound calibrator to dB SPL at full scale, with its uncertainty. Pure.

Full scale is, as everywhere in Shotline, the *peak* level of a sample of 1.0: what a tone of known rms level reads in
dBFS rms, taken off that level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from shotline.errors import InputError
from shotline_calibration.microphone.tone import Tone

__all__ = ["CALIBRATOR_CLASSES", "CalibratorClass", "Level", "level_of"]

_PRIOR_SCATTER_DB, _PRIOR_INSERTIONS = 0.15, 4.0
"""Scatter of insertions until there are enough of them, and with the weight of how many it counts."""
_CLOCK_SHARE = 2e-4
"""By how much a sound card's rate may be off."""
_LEAST_INSERTIONS = 3
_MOST_SPREAD_DB = 0.5
_LEAST_SNR_DB = 20.0
_WRONG_TONE = 0.05
_MOST_DRIFT_DB = 0.2
_LINEAR_WITHIN_DB = 0.5


@dataclass(frozen=True, slots=True)
class CalibratorClass:
    """What IEC 60942:2017 allows a calibrator of a class at 160 Hz to 1.25 kHz (tables 2, 4, 7, A.1).

    Parameters
    ----------
    name : str
    level_db : float
        Half the tolerance: acceptance limit and largest uncertainty of its test together.
    fluctuation_db : float
        Short-term.
    frequency_percent : float
    distortion_percent : float
        Total distortion and noise.
    """

    name: str
    level_db: float
    fluctuation_db: float
    frequency_percent: float
    distortion_percent: float

    @property
    def sigma_db(self) -> float:
        """1-sigma of its level: the tolerance as half the width of a rectangle [JCGM2008 4.3.7]."""
        return self.level_db / math.sqrt(3.0)


CALIBRATOR_CLASSES = MappingProxyType(
    {
        item.name: item
        for item in (
            CalibratorClass("LS", 0.20, 0.03, 0.7, 2.0),
            CalibratorClass("1", 0.40, 0.07, 0.7, 2.5),
            CalibratorClass("2", 0.75, 0.15, 1.7, 3.0),
        )
    }
)
"""By name [IEC2017]."""


@dataclass(frozen=True, slots=True)
class Level:
    """The level of full scale.

    Parameters
    ----------
    full_scale_db_spl : float
        Peak level of a sample of 1.0.
    sigma_db : float
        1-sigma, everything together.
    calibrator_sigma_db, repeat_sigma_db : float
        Of the calibrator's level; of the mean of insertions, as they scatter.
    each_db_spl : tuple of float
        By insertion.
    linearity_db : float | None
        Of a second level: difference read minus difference made; None without.
    warnings : tuple of str
        What is not as it should be, in words.
    """

    full_scale_db_spl: float
    sigma_db: float
    calibrator_sigma_db: float
    repeat_sigma_db: float
    each_db_spl: tuple[float, ...]
    linearity_db: float | None
    warnings: tuple[str, ...]


def level_of(
    tones: Sequence[Tone],
    *,
    level_db_spl: float,
    frequency_hz: float,
    calibrator: CalibratorClass,
    calibrator_sigma_db: float | None = None,
    correction_db: float = 0.0,
    correction_sigma_db: float = 0.0,
    second: Sequence[Tone] = (),
    second_level_db_spl: float | None = None,
) -> Level:
    """Return the level of full scale from insertions of a calibrator.

    Parameters
    ----------
    tones : sequence of Tone
        One of each insertion.
    level_db_spl : float
        Rms level that the calibrator makes, by its certificate if there is one.
    frequency_hz : float
        Of it.
    calibrator : CalibratorClass
    calibrator_sigma_db : float | None
        1-sigma of its level by its certificate; None: what its class allows.
    correction_db, correction_sigma_db : float
        Level at the microphone minus level that the calibrator makes: coupler, adapter, static pressure.
    second : sequence of Tone
        Insertions at another level, to see whether the gain stays the same.
    second_level_db_spl : float | None

    Raises
    ------
    InputError
        No tone, a clipped one, or one of another frequency.
    """
    if not tones:
        raise InputError("no tone; give a recording of each insertion")
    for number, tone in enumerate([*tones, *second], start=1):
        _refuse(tone, number, frequency_hz)
    each = [level_db_spl + correction_db - tone.rms_dbfs for tone in tones]
    mean = float(np.mean(each))
    scatter2 = _PRIOR_INSERTIONS * _PRIOR_SCATTER_DB**2 + float(np.sum((np.array(each) - mean) ** 2))
    scatter2 /= _PRIOR_INSERTIONS + len(each) - 1.0
    repeat_db = math.sqrt(scatter2 / len(each))
    own_db = calibrator.sigma_db if calibrator_sigma_db is None else calibrator_sigma_db
    linearity_db = None
    if second and second_level_db_spl is not None:
        read_db = float(np.mean([tone.rms_dbfs for tone in second])) - float(np.mean([tone.rms_dbfs for tone in tones]))
        linearity_db = read_db - (second_level_db_spl - level_db_spl)
    return Level(
        mean,
        math.sqrt(own_db**2 + repeat_db**2 + correction_sigma_db**2),
        own_db,
        repeat_db,
        tuple(each),
        linearity_db,
        tuple(_warnings(tones, each, frequency_hz, calibrator, linearity_db)),
    )


def _refuse(tone: Tone, number: int, frequency_hz: float) -> None:
    if tone.clipped_samples:
        raise InputError(
            f"insertion {number} has {tone.clipped_samples} samples at full scale; use 94 dB instead of 114 dB, or "
            "lower the gain and calibrate again"
        )
    if abs(tone.frequency_hz / frequency_hz - 1.0) > _WRONG_TONE:
        raise InputError(
            f"insertion {number} has a tone of {tone.frequency_hz:.1f} Hz, expected {frequency_hz:g} Hz; is it another "
            "calibrator (--frequency-hz), or is the rate of the recording wrong?"
        )


def _warnings(
    tones: Sequence[Tone],
    each: Sequence[float],
    frequency_hz: float,
    calibrator: CalibratorClass,
    linearity_db: float | None,
) -> list[str]:
    found = []
    for number, tone in enumerate(tones, start=1):
        off = abs(tone.frequency_hz / frequency_hz - 1.0)
        if off > 0.01 * calibrator.frequency_percent + _CLOCK_SHARE:
            found.append(
                f"insertion {number}: {tone.frequency_hz:.2f} Hz is {100.0 * off:.1f} % off, class {calibrator.name} "
                f"allows {calibrator.frequency_percent:g} %; look at its battery"
            )
        if tone.fluctuation_db > calibrator.fluctuation_db:
            found.append(
                f"insertion {number}: the level moves by {tone.fluctuation_db:.2f} dB, class {calibrator.name} allows "
                f"{calibrator.fluctuation_db:g} dB; is it tight, is it quiet?"
            )
        if tone.thd_percent > calibrator.distortion_percent:
            found.append(
                f"insertion {number}: distortion of {tone.thd_percent:.1f} %, a calibrator has at most "
                f"{calibrator.distortion_percent:g} %; the microphone is near its limit, or something turns the gain"
            )
        if tone.snr_db < _LEAST_SNR_DB:
            found.append(
                f"insertion {number}: only {tone.snr_db:.0f} dB over the noise; is the microphone in the coupler?"
            )
        half = len(tone.level_each_db) // 2
        drift_db = float(np.mean(tone.level_each_db[half:]) - np.mean(tone.level_each_db[:half]))
        if abs(drift_db) > _MOST_DRIFT_DB:
            found.append(f"insertion {number}: the level drifts by {drift_db:+.2f} dB; a leak, or gain control")
    if len(each) < _LEAST_INSERTIONS:
        found.append(f"{len(each)} of {_LEAST_INSERTIONS} insertions: take it off and put it on again between them")
    if max(each) - min(each) > _MOST_SPREAD_DB:
        found.append(
            f"insertions differ by {max(each) - min(each):.2f} dB, expected {_MOST_SPREAD_DB:g} dB at the most; "
            "the adapter does not seal"
        )
    if linearity_db is not None and abs(linearity_db) > _LINEAR_WITHIN_DB:
        found.append(
            f"the second level reads {linearity_db:+.2f} dB off: something turns the gain, or it is near its limit"
        )
    return found
