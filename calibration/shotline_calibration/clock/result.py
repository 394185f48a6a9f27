"""What records of a clock hold: its stability and holdover, and the delay of its hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from shotline_calibration.result import Result, Value

__all__ = ["ClockResult", "DeviationRow", "GapRow", "LatencyResult", "time_text"]

_US = 1e6


class DeviationRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deviations at one averaging time, with the 95 % interval of the Allan deviation, and the kind of noise there."""

    tau_s: float
    adev: float
    adev_low: float
    adev_high: float
    mdev: float
    tdev_s: float
    noise: str


class GapRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gaps cut into the second half of the log, predicted from the first: error found, sigma said, mean of their
    squared ratio, and how many do not overlap.
    """

    gap_s: float
    error_rms_s: float
    sigma_s: float
    nees: float
    independent: float


class ClockResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How stable a clock is.

    Parameters
    ----------
    what : str
        Which clock.
    duration_s : float
        Of the longest piece without a step, on which the rest stands.
    readings, spikes, steps : int
        Used; left out; places at which the phase stepped.
    residual_rms_s, residual_p50_s, residual_p95_s, residual_p99_s, residual_most_s : float
        Of one reading about its neighbours.
    deviations : tuple of DeviationRow
    frequency_offset_ppm : float
        Mean; positive is fast.
    white_phase_s, white_frequency, wander : float | None
        Fitted noise, as `shotline_calibration.clock.noisemodel.ClockNoise`; None for a clock that is steered.
    holdover_300us_s, holdover_1ms_s : float | None
        Until the 1-sigma error is 0.3 ms and 1 ms, at the longest 7 days; with their sigmas.
    ramp_ppm_per_10min : float | None
        Change of temperature that the next two allow for.
    ramp_holdover_300us_s, ramp_holdover_1ms_s : float | None
        Until then when such a ramp begins as the pulse is lost.
    gaps : tuple of GapRow
        How well the prediction held in the log itself.
    temperature_low_c, temperature_high_c : float | None
        Of the board meanwhile.
    """

    what: str
    duration_s: float
    readings: int
    spikes: int
    steps: int
    residual_rms_s: float
    residual_p50_s: float
    residual_p95_s: float
    residual_p99_s: float
    residual_most_s: float
    frequency_offset_ppm: float
    deviations: tuple[DeviationRow, ...]
    white_phase_s: float | None = None
    white_frequency: float | None = None
    wander: float | None = None
    holdover_300us_s: float | None = None
    holdover_300us_sigma_s: float | None = None
    holdover_1ms_s: float | None = None
    holdover_1ms_sigma_s: float | None = None
    ramp_ppm_per_10min: float | None = None
    ramp_holdover_300us_s: float | None = None
    ramp_holdover_1ms_s: float | None = None
    gaps: tuple[GapRow, ...] = ()
    temperature_low_c: float | None = None
    temperature_high_c: float | None = None

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [
            f"clock        {self.what}",
            (
                f"log          {self.duration_s / 3600.0:.2f} h in one piece, {self.readings} readings; "
                f"{self.spikes} spikes left out, {self.steps} steps"
            ),
            (
                f"residuals    {time_text(self.residual_rms_s)} rms, 95 % under {time_text(self.residual_p95_s)}, "
                f"99 % under {time_text(self.residual_p99_s)}, at most {time_text(self.residual_most_s)}"
            ),
            f"frequency    {self.frequency_offset_ppm:+.3f} ppm",
        ]
        for row in self.deviations:
            said.append(
                f"{row.tau_s:8.0f} s   ADEV {row.adev:.2e} ({row.adev_low:.2e} to {row.adev_high:.2e}), "
                f"TDEV {time_text(row.tdev_s)}, {row.noise}"
            )
        if self.temperature_low_c is not None and self.temperature_high_c is not None:
            said.append(f"board        {self.temperature_low_c:.0f} to {self.temperature_high_c:.0f} °C meanwhile")
        budgets = (
            ("0.3 ms", self.holdover_300us_s, self.holdover_300us_sigma_s, self.ramp_holdover_300us_s),
            ("1 ms", self.holdover_1ms_s, self.holdover_1ms_sigma_s, self.ramp_holdover_1ms_s),
        )
        for name, plain_s, sigma_s, ramp_s in budgets:
            if plain_s is None or sigma_s is None or ramp_s is None:
                said.append(f"holdover     to {name}: not told by a clock that is steered")
                continue
            said.append(
                f"holdover     {_span_text(plain_s)} ± {_span_text(sigma_s)} to {name} (1 sigma) as in the log; "
                f"{_span_text(ramp_s)} when a ramp of {self.ramp_ppm_per_10min:.1f} ppm in 10 min begins"
            )
        said += [
            f"checked      gaps of {_span_text(gap.gap_s)}: {time_text(gap.error_rms_s)} found, "
            f"{time_text(gap.sigma_s)} said, NEES {gap.nees:.2f} ({gap.independent:.0f} independent)"
            for gap in self.gaps
        ]
        return said


class LatencyResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How late the ADC times of a node's hardware are.

    Parameters
    ----------
    late_bias_us : float
        What ``[capture] late_bias_us`` is to be, 0 or more.
    sigma_us : float
        1-sigma, everything together.
    random_sigma_us, systematic_sigma_us : float
        As the readings scatter; what is the same for all of them.
    readings, spikes : int
    how : str
        ``pulses``, ``beside`` or ``seconds``.
    hardware : str
        Its kind, as in ``shotline calibrate clock hardware``.
    relative_to : str | None
        The node that it was compared with; then it is as good as that one's.
    difference_us : float | None
        Of a comparison: how much later this node dates a sound than that one, or than the second, as both were set up.
    """

    late_bias_us: float
    sigma_us: float
    random_sigma_us: float
    systematic_sigma_us: float
    readings: int
    spikes: int
    how: str
    hardware: str = ""
    relative_to: str | None = None
    difference_us: float | None = None

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [
            f"delay        {self.late_bias_us:.1f} us ± {self.sigma_us:.1f} us (1 sigma), by {self.how}",
            (
                f"of the error {self.random_sigma_us:.1f} us as {self.readings} readings scatter, "
                f"{self.systematic_sigma_us:.1f} us the same for all; {self.spikes} readings left out"
            ),
        ]
        if self.difference_us is not None:
            against = f"'{self.relative_to}'" if self.relative_to is not None else "the seconds"
            said.append(f"difference   {self.difference_us:+.1f} us against {against}, as the nodes were set up then")
        if self.hardware:
            said.append(f"hardware     {self.hardware}")
        return said

    def node_settings(self, node: str) -> Mapping[str, Mapping[str, Value]]:  # noqa: ARG002 - the same for any
        """Return ``[capture]``: the delay, and its sigma rounded up."""
        return {
            "capture": {
                "late_bias_us": round(self.late_bias_us, 1),
                "late_bias_sigma_us": math.ceil(10.0 * self.sigma_us - 1e-9) / 10.0,
            }
        }


def time_text(duration_s: float) -> str:
    """Return a short time as people read it: 120 ns, 3.4 us, 0.31 ms."""
    if duration_s < 1e-6:
        return f"{duration_s * 1e9:.0f} ns"
    if duration_s < 100e-6:
        return f"{duration_s * _US:.1f} us"
    return f"{duration_s * 1e3:.2f} ms"


def _span_text(duration_s: float) -> str:
    if duration_s < 120.0:
        return f"{duration_s:.0f} s"
    if duration_s < 7_200.0:
        return f"{duration_s / 60.0:.0f} min"
    if duration_s < 172_800.0:
        return f"{duration_s / 3600.0:.1f} h"
    return f"{duration_s / 86_400.0:.1f} d"
