"""What records of a microphone hold."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shotline_calibration.result import Result, Value

__all__ = [
    "BandRow",
    "ClippingResult",
    "DistortionRow",
    "InsertionRow",
    "LevelResult",
    "RelativeResult",
    "ResponseResult",
]


class InsertionRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording of a calibrator's tone; ``full_scale_db_spl`` is what it alone says."""

    full_scale_db_spl: float
    frequency_hz: float
    rms_dbfs: float
    steady_s: float
    fluctuation_db: float
    thd_percent: float
    snr_db: float


class LevelResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The level of full scale, by a sound calibrator.

    Parameters
    ----------
    full_scale_db_spl : float
        Peak level of a sample of 1.0: ``[node] full_scale_db_spl``.
    sigma_db : float
        1-sigma, everything together.
    calibrator_sigma_db, repeat_sigma_db, correction_sigma_db : float
        Of the calibrator, of the mean of insertions, of the correction.
    calibrator_class : str
        IEC 60942.
    level_db_spl, frequency_hz : float
        Of the calibrator.
    correction_db : float
        Level at the microphone minus that of the calibrator.
    insertions : tuple of InsertionRow
    linearity_db : float | None
        What a second level read minus what it was higher by.
    warnings : tuple of str
        What was not as it should be.
    """

    full_scale_db_spl: float
    sigma_db: float
    calibrator_sigma_db: float
    repeat_sigma_db: float
    correction_sigma_db: float
    calibrator_class: str
    level_db_spl: float
    frequency_hz: float
    correction_db: float
    insertions: tuple[InsertionRow, ...]
    linearity_db: float | None = None
    warnings: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [
            f"full scale   {self.full_scale_db_spl:.2f} dB SPL peak ± {self.sigma_db:.2f} dB (1 sigma)",
            (
                f"of the error {self.calibrator_sigma_db:.2f} dB the calibrator (class {self.calibrator_class}, "
                f"{self.level_db_spl:g} dB at {self.frequency_hz:g} Hz), {self.repeat_sigma_db:.2f} dB from insertion "
                f"to insertion, {self.correction_sigma_db:.2f} dB the correction of {self.correction_db:+.2f} dB"
            ),
        ]
        said += [
            f"insertion {number}  {row.full_scale_db_spl:.2f} dB: {row.frequency_hz:.2f} Hz at {row.rms_dbfs:.2f} dBFS "
            f"rms for {row.steady_s:.1f} s, moves {row.fluctuation_db:.2f} dB, distortion {row.thd_percent:.2f} %, "
            f"{row.snr_db:.0f} dB over noise"
            for number, row in enumerate(self.insertions, start=1)
        ]
        if self.linearity_db is not None:
            said.append(f"linear       the second level reads {self.linearity_db:+.2f} dB off")
        said += [f"look at      {text}" for text in self.warnings]
        return said

    def node_settings(self, node: str) -> Mapping[str, Mapping[str, Value]]:  # noqa: ARG002 - the same for any
        """Return ``[node] full_scale_db_spl``."""
        return {"node": {"full_scale_db_spl": round(self.full_scale_db_spl, 2)}}


class RelativeResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A microphone's gain against its neighbours', by night noise.

    Parameters
    ----------
    gain_db : float
        By how much it reads too high, shrunk.
    sigma_db : float
    probability_broken : float
    level_db, expected_db, expected_sigma_db : float
        Its night level and what the others say of its place, above what all share.
    neighbours, nights : int
    verdict, why : str
    follows : float | None
        By how many decibels it rises when the others rise by one.
    full_scale_db_spl : float | None
        What ``[node] full_scale_db_spl`` was meanwhile.
    corrected : bool
        Whether the node's setting is to be changed by the gain: a person asked for it.
    is_change : bool
        Gain and levels are changes since earlier nights, in which places cancel.
    """

    gain_db: float
    sigma_db: float
    probability_broken: float
    level_db: float
    expected_db: float
    expected_sigma_db: float
    neighbours: int
    nights: int
    verdict: str
    why: str
    follows: float | None = None
    full_scale_db_spl: float | None = None
    corrected: bool = False
    is_change: bool = False

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        follows = "cannot be told" if self.follows is None else f"{self.follows:.2f} dB for each dB of the others"
        said = [
            f"verdict      {self.verdict}: {self.why}",
            (
                f"gain         {self.gain_db:+.1f} dB ± {self.sigma_db:.1f} dB (1 sigma) against the others"
                f"{', since earlier nights' if self.is_change else ''}"
            ),
            (
                f"night level  {self.level_db:+.1f} dB, the others say {self.expected_db:+.1f} ± "
                f"{self.expected_sigma_db:.1f} dB of its place; {self.nights} nights, {self.neighbours} neighbours"
            ),
            f"follows      {follows}",
        ]
        if self.corrected and self.full_scale_db_spl is not None:
            said.append(
                f"full scale   {self.full_scale_db_spl - self.gain_db:.1f} dB SPL in place of "
                f"{self.full_scale_db_spl:.1f} dB SPL"
            )
        return said

    def node_settings(self, node: str) -> Mapping[str, Mapping[str, Value]]:  # noqa: ARG002 - the same for any
        """Return ``[node] full_scale_db_spl`` where it is to be corrected."""
        if not self.corrected or self.full_scale_db_spl is None:
            return {}
        return {"node": {"full_scale_db_spl": round(self.full_scale_db_spl - self.gain_db, 2)}}


class BandRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One band of one third of an octave; ``low_db`` and ``high_db`` are its limits, if it has."""

    nominal_hz: float
    deviation_db: float
    sigma_db: float
    coherence: float
    low_db: float | None = None
    high_db: float | None = None


class ResponseResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A microphone's response over frequency, against a reference.

    Parameters
    ----------
    bands : tuple of BandRow
        Deviations from the mean of 500 Hz to 2 kHz.
    gain_db : float
        That mean: level read over the reference's, both dBFS.
    verdict : str
        ``inside``, ``outside`` or ``cannot tell``.
    skew_ppm, segments : float
        Between the two recordings' clocks; independent spectra that were averaged.
    """

    bands: tuple[BandRow, ...]
    gain_db: float
    verdict: str
    skew_ppm: float
    segments: float

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [f"verdict      {self.verdict}", f"gain         {self.gain_db:+.2f} dB against the reference, dBFS both"]
        for row in self.bands:
            limits = "" if row.low_db is None else f"   {row.low_db:+g} to {row.high_db:+g} dB"
            doubt = "" if row.coherence >= 0.8 else "   not told: noise, or another sound"
            said.append(
                f"{row.nominal_hz:8.0f} Hz  {row.deviation_db:+6.2f} dB ± {row.sigma_db:.2f} dB, "
                f"coherence {row.coherence:.3f}{limits}{doubt}"
            )
        return said


class DistortionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """At which peak level a tone has so much distortion."""

    thd_percent: float
    peak_dbfs: float
    peak_db_spl: float | None = None


class ClippingResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where a microphone ends.

    Parameters
    ----------
    loudest_dbfs : float
        Loudest peak that was heard: without ``clip_dbfs`` it ends no lower than there.
    crests : int
        Flat tops that were seen at the ceiling.
    clip_dbfs, positive_dbfs, negative_dbfs : float | None
        Peak level of the ceiling, of the lower side and of each.
    digital : bool
        It is the converter's full scale; else something before it.
    full_scale_db_spl, clip_db_spl, sigma_db : float | None
        When the level of full scale is known: with its sigma.
    distortion : tuple of DistortionRow
        Of a rising tone.
    """

    loudest_dbfs: float
    crests: int
    clip_dbfs: float | None = None
    positive_dbfs: float | None = None
    negative_dbfs: float | None = None
    digital: bool = False
    full_scale_db_spl: float | None = None
    clip_db_spl: float | None = None
    sigma_db: float | None = None
    distortion: tuple[DistortionRow, ...] = ()

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        doubt = "" if self.sigma_db is None else f" ± {self.sigma_db:.1f}"
        level = "" if self.clip_db_spl is None else f", {self.clip_db_spl:.1f}{doubt} dB SPL peak"
        if self.clip_dbfs is None:
            said = [
                f"ceiling      not reached: the loudest peak is {self.loudest_dbfs:.1f} dBFS{level}, and not cut off"
            ]
        else:
            what = "the converter" if self.digital else "something before the converter"
            said = [f"ceiling      {self.clip_dbfs:.2f} dBFS peak{level}: {what}; {self.crests} flat tops"]
            sides = ((self.positive_dbfs, "upper"), (self.negative_dbfs, "lower"))
            said += [f"{name} side   {value:.2f} dBFS" for value, name in sides if value is not None]
        for row in self.distortion:
            spl = "" if row.peak_db_spl is None else f", {row.peak_db_spl:.1f} dB SPL peak"
            said.append(f"distortion   {row.thd_percent:g} % at {row.peak_dbfs:.1f} dBFS peak{spl}")
        return said
