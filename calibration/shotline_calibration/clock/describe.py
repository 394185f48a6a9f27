"""Results of what was found: from the dataclasses of the analysis to what a record holds. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shotline.errors import InputError
from shotline_calibration.clock.holdover import Holdover
from shotline_calibration.clock.latency import Latency
from shotline_calibration.clock.phase import Cleaned
from shotline_calibration.clock.result import ClockResult, DeviationRow, GapRow, LatencyResult
from shotline_calibration.clock.stability import NOISES, Deviation, Residuals

__all__ = ["clock_result", "latency_result"]

_MOST_LATE_S = 0.09
"""A tenth of a second is the length of a pulse: then it was its trailing edge."""


def clock_result(
    cleaned: Cleaned,
    residuals: Residuals,
    deviations: Sequence[Deviation],
    holdover: Holdover | None,
    temperatures_c: Sequence[float] = (),
) -> ClockResult:
    """Return the result of a clock; without a holdover for one that is steered."""
    series = cleaned.series
    result = ClockResult(
        what=series.what,
        duration_s=series.duration_s,
        readings=len(series.time_s),
        spikes=cleaned.spikes,
        steps=cleaned.steps,
        residual_rms_s=residuals.rms_s,
        residual_p50_s=residuals.p50_s,
        residual_p95_s=residuals.p95_s,
        residual_p99_s=residuals.p99_s,
        residual_most_s=residuals.most_s,
        frequency_offset_ppm=1e6 * float((series.phase_s[-1] - series.phase_s[0]) / series.duration_s),
        deviations=tuple(
            DeviationRow(
                tau_s=row.tau_s,
                adev=row.adev,
                adev_low=row.adev_low,
                adev_high=row.adev_high,
                mdev=row.mdev,
                tdev_s=row.tdev_s,
                noise=NOISES[row.alpha],
            )
            for row in deviations
        ),
        temperature_low_c=min(temperatures_c, default=None),
        temperature_high_c=max(temperatures_c, default=None),
    )
    return result if holdover is None else _with_holdover(result, holdover)


def latency_result(
    found: Latency,
    late_s: float,
    *,
    how: str,
    hardware: str = "",
    relative_to: str | None = None,
    difference_us: float | None = None,
) -> LatencyResult:
    """Return the result of a delay.

    Parameters
    ----------
    found : Latency
    late_s : float
        What the node's setting is to be.
    how, hardware, relative_to, difference_us
        See `LatencyResult`.

    Raises
    ------
    InputError
        Times would be early by more than the error explains, which no hardware is, or late by a pulse's length.
    """
    if late_s < -3.0 * found.sigma_s:
        text = f"times would be early by {-1e6 * late_s:.1f} us ± {1e6 * found.sigma_s:.1f} us, which no hardware is; "
        other = (
            "is the host's clock right?" if relative_to is None else f"raise late_bias_us of '{relative_to}' instead"
        )
        raise InputError(text + other)
    if late_s > _MOST_LATE_S:
        raise InputError(
            f"times are late by {1e3 * late_s:.1f} ms, expected under {1e3 * _MOST_LATE_S:.0f} ms; "
            "is pps_polarity right? The trailing edge of a pulse is 100 ms late"
        )
    return LatencyResult(
        late_bias_us=1e6 * max(late_s, 0.0),
        sigma_us=1e6 * found.sigma_s,
        random_sigma_us=1e6 * found.random_sigma_s,
        systematic_sigma_us=1e6 * found.systematic_sigma_s,
        readings=found.readings,
        spikes=found.spikes,
        how=how,
        hardware=hardware,
        relative_to=relative_to,
        difference_us=difference_us,
    )


def _with_holdover(result: ClockResult, holdover: Holdover) -> ClockResult:
    import msgspec

    soon, later = holdover.budget(0.3e-3), holdover.budget(1e-3)
    return msgspec.structs.replace(
        result,
        white_phase_s=holdover.noise.white_phase_s,
        white_frequency=holdover.noise.white_frequency,
        wander=holdover.noise.wander,
        holdover_300us_s=soon.holdover_s,
        holdover_300us_sigma_s=soon.sigma_s,
        holdover_1ms_s=later.holdover_s,
        holdover_1ms_sigma_s=later.sigma_s,
        ramp_ppm_per_10min=holdover.ramp_per_s * 600e6,
        ramp_holdover_300us_s=soon.ramp_holdover_s,
        ramp_holdover_1ms_s=later.ramp_holdover_s,
        gaps=tuple(
            GapRow(
                gap_s=check.gap_s,
                error_rms_s=check.rms_s,
                sigma_s=check.sigma_s,
                nees=check.nees,
                independent=check.independent,
            )
            for check in holdover.checks
        ),
    )
