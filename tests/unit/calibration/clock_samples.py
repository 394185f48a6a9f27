"""Clocks whose truth is known: oscillators with named noise, a node's clock log with a known delay, logs of chronyd."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensor_node.discipline import AdcStamp, UtcReading
from sensor_node.ppsaudio import Pulse
from shotline.domain import ClockState
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S
from shotline_calibration.clock.clocklog import head_line, log_line
from shotline_calibration.clock.phase import PhaseSeries

__all__ = ["RATE_HZ", "clock_log_lines", "oscillator", "tracking_log"]

RATE_HZ = 48_000
BLOCK = 4_800
START_NS = parse_utc("2026-03-01T12:00:00Z")
BOOT_NS = 1_234_567 * 1_000_000
Floats = NDArray[np.float64]


def oscillator(
    count: int,
    rng: np.random.Generator,
    *,
    step_s: float = 1.0,
    offset: float = 20e-6,
    white_phase_s: float = 1e-7,
    white_frequency: float = 1e-9,
    wander: float = 2e-8,
    drift_per_s: float = 0.0,
) -> PhaseSeries:
    """Return the phase of a free clock, read every ``step_s``."""
    time_s = step_s * np.arange(count)
    frequency = offset + drift_per_s * time_s
    frequency = frequency + wander * np.sqrt(step_s) * np.concatenate(
        [[0.0], np.cumsum(rng.standard_normal(count - 1))]
    )
    steps_s = frequency[:-1] * step_s + white_frequency * np.sqrt(step_s) * rng.standard_normal(count - 1)
    phase_s = np.concatenate([[0.0], np.cumsum(steps_s)]) + white_phase_s * rng.standard_normal(count)
    return PhaseSeries(time_s, phase_s, free=True, what="simulated clock")


def clock_log_lines(
    rng: np.random.Generator,
    *,
    minutes: float = 8.0,
    late_s: float = 70e-6,
    jitter_s: float = 0.2e-3,
    ppm: float = 30.0,
    host_sigma_s: float = 2e-6,
    bound_ns: int = 10_000,
    state: ClockState = ClockState.PPS,
    lost_at_s: float | None = None,
    edge_late_s: float = 0.0,
) -> list[str]:
    """Return a clock log: stamps late by ``late_s`` and up to ``jitter_s`` more, a host that wanders about the truth.

    CLOCK_MONOTONIC is UTC but for a constant; the card's crystal is ``ppm`` fast; from ``lost_at_s`` on 100 samples are
    missing; the edges found are ``edge_late_s`` behind the second.
    """
    length_s = 60.0 * minutes
    rate_hz = RATE_HZ * (1.0 + 1e-6 * ppm)
    lost = 100 if lost_at_s is not None else 0
    lines: list[tuple[float, str]] = []
    host_s = 0.0
    for second in range(int(length_s)):
        host_s += 0.05 * (host_sigma_s * rng.standard_normal() * 4.0 - host_s)
        mono_s = second + 0.3
        reading = UtcReading(BOOT_NS + round(mono_s * 1e9), START_NS + round((mono_s + host_s) * 1e9), bound_ns, state)
        lines.append((mono_s, log_line(reading)))
        if second:
            at_s = second + edge_late_s
            gone = lost if lost_at_s is not None and second > lost_at_s else 0
            sample = at_s * rate_hz + 0.005 * rng.standard_normal() - gone
            lines.append((at_s + 0.12, log_line(Pulse(float(sample), 0.005, 0.5))))
    for index in range(int(length_s * rate_hz) // BLOCK):
        first = index * BLOCK
        at_s = first / rate_hz
        gone = lost if lost_at_s is not None and at_s > lost_at_s else 0
        at_s = (first + gone) / rate_hz
        adc_ns = BOOT_NS + round((at_s + late_s + jitter_s * rng.uniform()) * 1e9)
        flagged = bool(gone) and (index - 1) * BLOCK / rate_hz <= (lost_at_s or 0.0)
        lines.append((at_s + BLOCK / rate_hz, log_line(AdcStamp(first, BLOCK, adc_ns, flagged))))
    lines.sort(key=lambda item: item[0])
    head = head_line(node="roof-1", device="hw:1", sample_rate_hz=RATE_HZ, hardware="i2s-dma")
    return [head, *(line for _, line in lines), log_line(41.5), log_line(39.0)]


def tracking_log(series: PhaseSeries, *, poll: int = 16) -> str:
    """Return the tracking.log of a chronyd that measures a free clock each ``poll`` readings.

    It corrects the frequency by the slope of the last four, and takes each offset off at once.
    """
    lines = [
        "=" * 40,
        "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  Offset sd Rem. corr. Root delay",
        "=" * 40,
    ]
    frequency = 0.0
    before_s: float | None = None
    for index in range(0, len(series.time_s), poll):
        phase_s, at_s = float(series.phase_s[index]), float(series.time_s[index])
        offset_s = 0.0
        if before_s is not None:
            spent_s = at_s - float(series.time_s[index - poll])
            offset_s += phase_s - before_s - frequency * spent_s
            low = max(0, index - 4 * poll)
            frequency = (phase_s - float(series.phase_s[low])) / (at_s - float(series.time_s[low]))
            frequency = round(frequency, 9)
        before_s = phase_s
        stamp = format_utc(START_NS + round(at_s * NS_PER_S), digits=0).replace("T", " ").rstrip("Z")
        # As chronyd writes it: frequency to 0.001 ppm, offset to four digits.
        lines.append(
            f"{stamp} {'PPS':15s}  1 {1e6 * frequency:10.3f} {0.012:10.3f} {offset_s:10.3e} N  1  1.000e-06  0.000e+00 "
            " 1.000e-09  1.000e-06  2.000e-06"
        )
    return "\n".join(lines) + "\n"
