"""Results of what was found: from the dataclasses of the analysis to what a record holds. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import db_from_amplitude
from shotline_calibration.microphone.clipping import Ceiling, DistortionPoint, NoCeiling, NoCeilingReason
from shotline_calibration.microphone.level import Level
from shotline_calibration.microphone.relative import GainVerdict, RelativeGain
from shotline_calibration.microphone.response import Response
from shotline_calibration.microphone.result import (
    BandRow,
    ClippingResult,
    DistortionRow,
    InsertionRow,
    LevelResult,
    RelativeResult,
    ResponseResult,
)
from shotline_calibration.microphone.tone import Tone

__all__ = ["clipping_result", "level_result", "relative_result", "response_result"]


def level_result(
    level: Level,
    tones: Sequence[Tone],
    *,
    calibrator_class: str,
    level_db_spl: float,
    frequency_hz: float,
    correction_db: float,
    correction_sigma_db: float,
) -> LevelResult:
    """Return the result of insertions of a calibrator.

    Raises
    ------
    InputError
        The level of full scale is none that a microphone has.
    """
    if not 40.0 <= level.full_scale_db_spl <= 200.0:
        raise InputError(
            f"full scale would be {level.full_scale_db_spl:.1f} dB SPL, expected 40 to 200; is --level-db right?"
        )
    return LevelResult(
        full_scale_db_spl=level.full_scale_db_spl,
        sigma_db=level.sigma_db,
        calibrator_sigma_db=level.calibrator_sigma_db,
        repeat_sigma_db=level.repeat_sigma_db,
        correction_sigma_db=correction_sigma_db,
        calibrator_class=calibrator_class,
        level_db_spl=level_db_spl,
        frequency_hz=frequency_hz,
        correction_db=correction_db,
        insertions=tuple(
            InsertionRow(
                full_scale_db_spl=each,
                frequency_hz=tone.frequency_hz,
                rms_dbfs=tone.rms_dbfs,
                steady_s=tone.steady_s,
                fluctuation_db=tone.fluctuation_db,
                thd_percent=tone.thd_percent,
                snr_db=tone.snr_db,
            )
            for each, tone in zip(level.each_db_spl, tones, strict=True)
        ),
        linearity_db=level.linearity_db,
        warnings=level.warnings,
    )


def relative_result(
    gain: RelativeGain, *, full_scale_db_spl: float | None, corrected: bool, is_change: bool = False
) -> RelativeResult:
    """Return the result of one node.

    Raises
    ------
    InputError
        It is to be corrected, and the gain cannot be told, or full scale is not known.
    """
    if corrected and gain.verdict not in (GainVerdict.QUIETER, GainVerdict.LOUDER):
        raise InputError(
            f"'{gain.node}' {gain.verdict.value} ({gain.why}); only a gain that is told can correct", field="--correct"
        )
    if corrected and full_scale_db_spl is None:
        raise InputError("the node's full scale is not known; give --full-scale-db-spl", field="--correct")
    return RelativeResult(
        gain_db=gain.gain_db,
        sigma_db=gain.sigma_db,
        probability_broken=gain.probability_broken,
        level_db=gain.level_db,
        expected_db=gain.expected_db,
        expected_sigma_db=gain.expected_sigma_db,
        neighbours=gain.neighbours,
        nights=gain.nights,
        verdict=gain.verdict.value,
        why=gain.why,
        follows=gain.follows,
        full_scale_db_spl=full_scale_db_spl,
        corrected=corrected,
        is_change=is_change,
    )


def response_result(response: Response) -> ResponseResult:
    """Return the result of a response."""
    verdict = {True: "inside", False: "outside", None: "cannot tell"}[response.ok]
    return ResponseResult(
        bands=tuple(
            BandRow(
                nominal_hz=item.band.nominal_hz,
                deviation_db=item.deviation_db,
                sigma_db=item.sigma_db,
                coherence=item.coherence,
                low_db=None if item.limit is None else item.limit.low_db,
                high_db=None if item.limit is None else item.limit.high_db,
            )
            for item in response.bands
        ),
        gain_db=response.gain_db,
        verdict=verdict,
        skew_ppm=response.skew_ppm,
        segments=response.segments,
    )


def clipping_result(
    ceiling: Ceiling | NoCeiling,
    samples: NDArray[np.float64],
    points: Sequence[DistortionPoint],
    full_scale_db_spl: float | None,
    full_scale_sigma_db: float | None,
) -> ClippingResult:
    """Return the result of a ceiling, or of none.

    Raises
    ------
    InputError
        There is no sound.
    """
    if isinstance(ceiling, NoCeiling) and ceiling.reason is NoCeilingReason.SILENT:
        raise InputError(f"the loudest sample is at {ceiling.loudest_dbfs:.0f} dBFS; there is no loud sound in it")
    loudest_dbfs = db_from_amplitude(float(np.max(np.abs(samples))))
    level_dbfs = ceiling.clip_dbfs if isinstance(ceiling, Ceiling) else loudest_dbfs
    spl = None if full_scale_db_spl is None else full_scale_db_spl + level_dbfs
    return ClippingResult(
        loudest_dbfs=loudest_dbfs,
        crests=ceiling.crests,
        clip_dbfs=ceiling.clip_dbfs if isinstance(ceiling, Ceiling) else None,
        positive_dbfs=ceiling.positive_dbfs if isinstance(ceiling, Ceiling) else None,
        negative_dbfs=ceiling.negative_dbfs if isinstance(ceiling, Ceiling) else None,
        digital=isinstance(ceiling, Ceiling) and ceiling.digital,
        full_scale_db_spl=full_scale_db_spl,
        clip_db_spl=spl,
        sigma_db=full_scale_sigma_db,
        distortion=tuple(
            DistortionRow(
                thd_percent=point.thd_percent,
                peak_dbfs=point.peak_dbfs,
                peak_db_spl=None if full_scale_db_spl is None else full_scale_db_spl + point.peak_dbfs,
            )
            for point in points
        ),
    )
