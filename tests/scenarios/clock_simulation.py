"""A node's clocks, simulated: crystal, sound card, driver, host, GPS receiver; and named scenarios of what they do.

Truth is the true time of every sample. Everything that happens to one node is drawn before it starts, in arrays; the
clock under test then gets stamps, readings and pulses in the order in which a node would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensor_node.discipline import AdcStamp, DisciplinedClock, UtcReading
from shotline.domain import ClockState
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

__all__ = ["SCENARIOS", "Outcome", "Scenario", "Verdict", "judge", "simulate"]

RATE_HZ = 48_000
BLOCK = 1024
START_NS = parse_utc("2026-03-01T12:00:00Z")
BOOT_NS = 1_234_567 * 1_000_000
BUILT_NS = parse_utc("2025-11-01T00:00:00Z")
DRIFT_PER_S = 5.12e-6
"""How fast chrony's bound grows without a reference: measured, `maxclockerror` 5 ppm and a skew of 0.1 ppm."""


@dataclass(frozen=True)
class Loss:
    """Samples that never came; ``reopened`` when the source was closed meanwhile, and starts with a transient."""

    at_s: float
    samples: int
    flagged: bool
    reopened: bool = False


@dataclass(frozen=True)
class Span:
    """From one moment to another."""

    start_s: float
    end_s: float

    def holds(self, moment_s: float) -> bool:
        """Say whether a moment is inside."""
        return self.start_s <= moment_s < self.end_s


@dataclass(frozen=True)
class Scenario:
    """What happens to one node.

    Parameters
    ----------
    says : str
        One line for people.
    jitter_s : float
        Stamps are late by a uniform amount up to this.
    gauss_s : float
        And by the size of a normal amount.
    beat : bool
        The uniform part is not drawn: stamps wait for the next USB frame, whose clock is a few ppm off.
    spike_share, spike_s : float
        Share of blocks that are later still, uniformly up to `spike_s`.
    ramp_ppm_per_s, ramp : float, Span
        Linear change of the crystal.
    wave_ppm, wave_s : float
        Day in, day out: a sine of temperature.
    wander_ppm : float
        Random walk of the crystal, per root second.
    losses : tuple of Loss
    host_sigma_s, host_bound_s : float
        Error of the host's clock in lock, and what it claims.
    host_state : ClockState
        In lock.
    host_lost : Span | None
        No reference: it drifts, and says so.
    host_error : tuple[Span, float, float] | None
        While inside, the host is off by so many seconds and claims a bound of so many.
    host_far : Span | None
        The year is 1024 weeks early.
    leap_at_s : float | None
        A second is inserted here.
    pulses : bool
        PPS is recorded in the second channel.
    pulse_sigma_s : float
        Error of an edge.
    pulses_lost : Span | None
    false_pulses : float
        Share of seconds in which another edge is found somewhere.
    bad_pulses : float
        Share of edges that are up to 1 ms off.
    """

    says: str
    duration_s: float = 1800.0
    jitter_s: float = 1e-3
    gauss_s: float = 2e-6
    beat: bool = False
    spike_share: float = 0.01
    spike_s: float = 10e-3
    ramp_ppm_per_s: float = 0.0
    ramp: Span = Span(0.0, 0.0)
    wave_ppm: float = 1.0
    wave_s: float = 1800.0
    wander_ppm: float = 0.02
    losses: tuple[Loss, ...] = ()
    host_sigma_s: float = 2e-6
    host_bound_s: float = 10e-6
    host_state: ClockState = ClockState.PPS
    host_lost: Span | None = None
    host_error: tuple[Span, float, float] | None = None
    host_far: Span | None = None
    leap_at_s: float | None = None
    pulses: bool = False
    pulse_sigma_s: float = 0.12e-6
    pulses_lost: Span | None = None
    false_pulses: float = 0.0
    bad_pulses: float = 0.0
    start_ns: int = START_NS


@dataclass(frozen=True)
class Outcome:
    """What the clock said of samples drawn at random, each asked for as soon as it was settled.

    Parameters
    ----------
    moment_s : ndarray, shape (n,), float64
        True time of the sample.
    error_s : ndarray, shape (n,), float64
        Clock minus truth.
    sigma_s : ndarray, shape (n,), float64
    state : list of ClockState
    lag_s : ndarray, shape (n,), float64
        How long after the sample it was settled.
    clock : DisciplinedClock
        At the end.
    """

    moment_s: NDArray[np.float64]
    error_s: NDArray[np.float64]
    sigma_s: NDArray[np.float64]
    state: list[ClockState]
    lag_s: NDArray[np.float64]
    clock: DisciplinedClock


def simulate(
    scenario: Scenario, rng: np.random.Generator, *, questions_per_s: float = 4.0, duration_s: float | None = None
) -> Outcome:
    """Run a node through a scenario."""
    length_s = duration_s or scenario.duration_s
    grid_s = np.arange(0.0, length_s + 40.0, 0.1)
    count = _crystal(scenario, grid_s, rng)
    host_s = _host_error(scenario, grid_s, rng)

    blocks = int(count[-1] // BLOCK) - 2
    first = np.arange(blocks) * BLOCK
    lost = np.zeros(blocks, dtype=np.int64)
    flags = np.zeros(blocks, dtype=bool)
    for loss in scenario.losses:
        block = int(np.searchsorted(np.interp((first + lost).astype(float), count, grid_s), loss.at_s))
        if block < blocks:
            lost[block:] += loss.samples
            flags[block] = loss.flagged
    true_s = np.interp((first + lost).astype(float), count, grid_s)
    keep = true_s < length_s
    first, lost, flags, true_s = first[keep], lost[keep], flags[keep], true_s[keep]
    monotonic_s = true_s + np.interp(true_s, grid_s, host_s)
    late_s = _delay(scenario, monotonic_s, rng)

    events: list[tuple[float, int, object]] = []
    for index in range(len(first)):
        stamp = AdcStamp(
            int(first[index]),
            BLOCK,
            BOOT_NS + round((monotonic_s[index] + late_s[index]) * 1e9),
            bool(flags[index]),
        )
        events.append((float(true_s[index]) + BLOCK / RATE_HZ, 1, stamp))
    for moment_s in np.arange(0.05, length_s, 1.0):
        events.append(
            (float(moment_s), 0, _reading(scenario, float(moment_s), float(np.interp(moment_s, grid_s, host_s)), rng))
        )
    if scenario.pulses:
        events += _pulses(scenario, length_s, grid_s, count, first, lost, rng)
    events.sort(key=lambda event: event[:2])

    asked_s = np.sort(rng.uniform(0.0, length_s - 8.0, int(questions_per_s * length_s)))
    asked_sample, asked_s = _delivered(asked_s, grid_s, count, first, lost)
    return _play(scenario, events, asked_s, asked_sample)


def _play(
    scenario: Scenario,
    events: list[tuple[float, int, object]],
    asked_s: NDArray[np.float64],
    asked_sample: NDArray[np.float64],
) -> Outcome:
    clock = DisciplinedClock(RATE_HZ, not_before_ns=BUILT_NS, late_bias_sigma_ns=0)
    error_s, sigma_s, lag_s = np.zeros(len(asked_s)), np.zeros(len(asked_s)), np.zeros(len(asked_s))
    state: list[ClockState] = []
    asked = 0
    for now_s, _, event in events:
        if isinstance(event, AdcStamp):
            clock.add_stamp(event)
            while asked < len(asked_s) and asked_sample[asked] < clock.settled_until:
                reading = clock.utc_at(float(asked_sample[asked]))
                true_ns = scenario.start_ns + round(float(asked_s[asked]) * 1e9)
                if scenario.leap_at_s is not None and asked_s[asked] >= scenario.leap_at_s:
                    true_ns -= NS_PER_S
                error_s[asked] = (reading.time_ns - true_ns) * 1e-9
                sigma_s[asked] = reading.sigma_ns * 1e-9
                lag_s[asked] = now_s - asked_s[asked]
                state.append(reading.state)
                asked += 1
        elif isinstance(event, UtcReading):
            clock.add_utc(event)
        elif isinstance(event, tuple):
            clock.add_pulse(*event)
    return Outcome(asked_s[:asked], error_s[:asked], sigma_s[:asked], state, lag_s[:asked], clock)


def _crystal(scenario: Scenario, grid_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how many samples the sound card has converted by each moment."""
    step_s = grid_s[1] - grid_s[0]
    ppm = rng.uniform(-50.0, 50.0) + scenario.wave_ppm / 2.0 * np.sin(
        2.0 * np.pi * (grid_s / scenario.wave_s + rng.uniform())
    )
    ppm = ppm + scenario.wander_ppm * np.sqrt(step_s) * np.cumsum(rng.standard_normal(len(grid_s)))
    ppm = ppm + scenario.ramp_ppm_per_s * np.clip(
        grid_s - scenario.ramp.start_s, 0.0, scenario.ramp.end_s - scenario.ramp.start_s
    )
    rate = RATE_HZ * (1.0 + ppm * 1e-6)
    total: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2.0 * step_s)])
    return total


def _host_error(scenario: Scenario, grid_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return by how much the host's clock is off: it wanders about the truth in lock, and drifts without."""
    step_s = grid_s[1] - grid_s[0]
    keep = np.exp(-step_s / 60.0)
    kicks = rng.standard_normal(len(grid_s)) * scenario.host_sigma_s * np.sqrt(1.0 - keep**2)
    error_s = np.zeros(len(grid_s))
    value, drift = rng.standard_normal() * scenario.host_sigma_s, 0.0
    noise = rng.standard_normal(len(grid_s))
    start_drift = 0.05e-6 * rng.standard_normal()
    for index, moment_s in enumerate(grid_s):
        if scenario.host_lost is not None and scenario.host_lost.holds(float(moment_s)):
            drift = start_drift if drift == 0.0 else drift + 0.005e-6 * np.sqrt(step_s) * noise[index]
            value += drift * step_s
        else:
            drift = 0.0
            excess = value * (1.0 - keep)
            value += kicks[index] - float(np.clip(excess, -50e-6 * step_s, 50e-6 * step_s))
        error_s[index] = value
    return error_s


def _delay(scenario: Scenario, monotonic_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    if scenario.beat:
        frames = monotonic_s * (1.0 + rng.uniform(-20e-6, 20e-6)) / scenario.jitter_s
        late_s = (np.ceil(frames) - frames) * scenario.jitter_s
    else:
        late_s = rng.uniform(0.0, scenario.jitter_s, len(monotonic_s))
    late_s = late_s + np.abs(rng.standard_normal(len(monotonic_s))) * scenario.gauss_s
    spikes = rng.uniform(size=len(monotonic_s)) < scenario.spike_share
    late_s = late_s + spikes * rng.uniform(0.0, scenario.spike_s, len(monotonic_s))
    for opened_s in (
        float(monotonic_s[0]),
        *(loss.at_s + loss.samples / RATE_HZ for loss in scenario.losses if loss.reopened),
    ):
        since_s = monotonic_s - opened_s
        late_s = late_s + ((since_s >= 0.0) & (since_s < 1.3)) * 0.172 * np.exp(-3.0 * np.abs(since_s))
    result: NDArray[np.float64] = late_s
    return result


def _reading(scenario: Scenario, moment_s: float, host_s: float, rng: np.random.Generator) -> UtcReading:
    monotonic_ns = BOOT_NS + round((moment_s + host_s) * 1e9)
    utc_ns = scenario.start_ns + round((moment_s + host_s) * 1e9) + round(abs(rng.standard_normal()) * 100.0)
    bound_s, state, leap = scenario.host_bound_s, scenario.host_state, False
    lost = scenario.host_lost
    if lost is not None and lost.start_s <= moment_s:
        if lost.holds(moment_s):
            state = ClockState.HOLDOVER
        bound_s += DRIFT_PER_S * (min(moment_s, lost.end_s) - lost.start_s)
        back_s = moment_s - lost.end_s
        bound_s = max(scenario.host_bound_s, bound_s * np.exp(-back_s / 60.0)) if back_s > 0 else bound_s
    if scenario.host_error is not None and scenario.host_error[0].holds(moment_s):
        utc_ns += round(scenario.host_error[1] * 1e9)
        bound_s = scenario.host_error[2]
    if scenario.host_far is not None and scenario.host_far.holds(moment_s):
        utc_ns -= 1024 * 7 * 86_400 * NS_PER_S
    if scenario.leap_at_s is not None:
        leap = moment_s < scenario.leap_at_s + 1.0
        utc_ns -= NS_PER_S * (moment_s >= scenario.leap_at_s)
    return UtcReading(monotonic_ns, utc_ns, round(bound_s * 1e9), state, leap)


def _delivered(
    moments_s: NDArray[np.float64],
    grid_s: NDArray[np.float64],
    count: NDArray[np.float64],
    first: NDArray[np.int64],
    lost: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the delivered sample index of moments, and those moments that have one."""
    converted = np.interp(moments_s, grid_s, count)
    block = np.clip(np.searchsorted((first + lost).astype(float), converted, side="right") - 1, 0, len(first) - 1)
    index = converted - lost[block]
    there = index < first[block] + BLOCK
    return index[there], moments_s[there]


def _pulses(
    scenario: Scenario,
    length_s: float,
    grid_s: NDArray[np.float64],
    count: NDArray[np.float64],
    first: NDArray[np.int64],
    lost: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[tuple[float, int, object]]:
    seconds = np.arange(1.0, length_s - 1.0)
    gone = scenario.pulses_lost
    if gone is not None:
        seconds = seconds[(seconds < gone.start_s) | (seconds >= gone.end_s)]
    at_s = seconds + rng.standard_normal(len(seconds)) * scenario.pulse_sigma_s
    bad = rng.uniform(size=len(seconds)) < scenario.bad_pulses
    at_s = at_s + bad * rng.uniform(-1e-3, 1e-3, len(seconds))
    false_s = seconds[rng.uniform(size=len(seconds)) < scenario.false_pulses]
    at_s = np.sort(np.concatenate([at_s, false_s + rng.uniform(0.05, 0.95, len(false_s))]))
    index, at_s = _delivered(at_s, grid_s, count, first, lost)
    sigma = scenario.pulse_sigma_s * RATE_HZ
    return [(float(moment) + 0.05, 2, (float(sample), sigma)) for moment, sample in zip(at_s, index, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """The figures of one or more runs.

    Parameters
    ----------
    rms_us, p999_us, max_us : float
        Error about the constant bias, of samples that are not `untimed`, from 20 s on.
    share_2_sigma : float
        Of them, with an error below 2 sigma.
    share_bold : float
        Of all samples: sigma under 0.3 ms, error over 1 ms.
    share_timed : float
        Of samples from 20 s on: not `untimed`.
    median_sigma_us, bias_us : float
    max_lag_s : float
        Until a sample was settled.
    """

    rms_us: float
    p999_us: float
    max_us: float
    share_2_sigma: float
    share_bold: float
    share_timed: float
    median_sigma_us: float
    bias_us: float
    max_lag_s: float


def judge(outcomes: list[Outcome], *, remove_bias: bool = True) -> Verdict:
    """Return the figures; the first 20 s of each run are its start."""
    errors, sigmas, timed, biases, bold = [], [], [], [], []
    for outcome in outcomes:
        settled = outcome.moment_s > 20.0
        good = settled & np.array([state is not ClockState.UNTIMED for state in outcome.state])
        bias_s = float(np.median(outcome.error_s[good])) if remove_bias else 0.0
        errors.append(outcome.error_s[good] - bias_s)
        sigmas.append(outcome.sigma_s[good])
        timed.append(good[settled])
        biases.append(bias_s)
        bold.append((outcome.sigma_s < 0.3e-3) & (np.abs(outcome.error_s - bias_s) > 1e-3))
    error_us, sigma_us = np.abs(np.concatenate(errors)) * 1e6, np.concatenate(sigmas) * 1e6
    return Verdict(
        rms_us=float(np.sqrt(np.mean(error_us**2))),
        p999_us=float(np.quantile(error_us, 0.999)),
        max_us=float(error_us.max()),
        share_2_sigma=float(np.mean(error_us < 2.0 * sigma_us)),
        share_bold=float(np.mean(np.concatenate(bold))),
        share_timed=float(np.mean(np.concatenate(timed))),
        median_sigma_us=float(np.median(sigma_us)),
        bias_us=float(np.mean(biases)) * 1e6,
        max_lag_s=max(float(outcome.lag_s.max()) for outcome in outcomes),
    )


_XRUNS = tuple((220.0 + 120.0 * index, 1 + (index * 7) % 11) for index in range(9))


def _losses(flagged: Callable[[int], bool]) -> tuple[Loss, ...]:
    return tuple(Loss(at_s, blocks * 512, flagged(index)) for index, (at_s, blocks) in enumerate(_XRUNS))


_USB = Scenario("USB, stamps up to 1 ms late, 1 % of them up to 10 ms more")
_LEAP_START_NS = parse_utc("2026-06-30T23:50:00Z")

_NTP = replace(_USB, host_state=ClockState.NTP, host_sigma_s=0.5e-3, host_bound_s=5e-3)
_PULSES = replace(_NTP, pulses=True)
_RAMP_PPM_PER_S = 3.0 / 600.0
_LATER = Span(700.0, 1300.0)
_UNPLUGGED = (Loss(600.0, 10 * RATE_HZ, False, reopened=True),)

SCENARIOS: dict[str, Scenario] = {
    "clean_i2s": Scenario("I2S by DMA: stamps up to 0.2 ms late", jitter_s=0.2e-3, spike_share=0.0),
    "usb_1ms": _USB,
    "usb_beat": replace(_USB, says="USB, stamps wait for a frame of 1 ms whose clock is up to 20 ppm off", beat=True),
    "cpu_load": replace(_USB, says="USB under load: 5 % of stamps up to 30 ms late", spike_share=0.05, spike_s=30e-3),
    "user_space_stamps": Scenario(
        "callback stamps: up to 5 ms late and 3 ms rms more", jitter_s=5e-3, gauss_s=3e-3, spike_share=0.0
    ),
    "xruns_flagged": replace(
        _USB, says="USB, nine overruns of 11 to 117 ms, each flagged", losses=_losses(lambda _: True)
    ),
    "xruns_unflagged": replace(_USB, says="the same, none flagged", losses=_losses(lambda _: False)),
    "unplugged": replace(_USB, says="USB, no device for 10 s, then another start transient", losses=_UNPLUGGED),
    "temperature_ramp": replace(
        _USB, says="USB, the crystal changes by 3 ppm in 10 minutes", ramp_ppm_per_s=_RAMP_PPM_PER_S, ramp=_LATER
    ),
    "ntp": replace(_NTP, says="USB, the host has NTP: 0.5 ms rms, claims 5 ms"),
    "pps_lost_and_back": replace(_USB, says="USB, the host has no PPS for 10 minutes", host_lost=_LATER),
    "pps_glitch": replace(
        _USB,
        says="USB, for one reading the host is 0.2 s off and claims 10 us",
        host_error=(Span(900.0, 901.0), 0.2, 10e-6),
    ),
    "step_back": replace(
        _USB, says="USB, the host is 0.4 s fast and says so, then steps back", host_error=(Span(0.0, 600.0), 0.4, 0.45)
    ),
    "step_back_wrong": replace(
        _USB,
        says="USB, the host steps back by 0.3 s, claims 10 us all the time, and returns after 20 s",
        host_error=(Span(900.0, 920.0), -0.3, 10e-6),
    ),
    "leap_second": replace(_USB, says="USB, a leap second is inserted", start_ns=_LEAP_START_NS, leap_at_s=600.0),
    "week_rollover": replace(
        _USB, says="USB, for 5 minutes the host's year is 1024 weeks early", host_far=Span(700.0, 1000.0)
    ),
    "pps_audio": replace(_PULSES, says="pulses in the second channel, USB, the host has NTP"),
    "pps_audio_ramp": replace(
        _PULSES,
        says="the same, the crystal changes by 3 ppm in 10 minutes",
        ramp_ppm_per_s=_RAMP_PPM_PER_S,
        ramp=_LATER,
    ),
    "pps_audio_xruns": replace(
        _PULSES, says="the same, nine overruns, every other one flagged", losses=_losses(lambda index: index % 2 == 0)
    ),
    "pps_audio_glitch": replace(
        _PULSES,
        says="the same, 2 % of edges up to 1 ms off, in 2 % of seconds another that is none",
        bad_pulses=0.02,
        false_pulses=0.02,
    ),
    "pps_audio_lost_and_back": replace(_PULSES, says="the same, no pulses for 10 minutes", pulses_lost=_LATER),
    "pps_audio_lost_ramp": replace(
        _PULSES,
        says="the same, and just then the crystal begins to change by 3 ppm in 10 minutes",
        pulses_lost=_LATER,
        ramp_ppm_per_s=_RAMP_PPM_PER_S,
        ramp=_LATER,
    ),
    "pps_audio_leap_second": replace(
        _PULSES, says="pulses, and a leap second is inserted", start_ns=_LEAP_START_NS, leap_at_s=600.0
    ),
}
