"""Clocks of nodes: what they claim, and how wrong they are.

Everything is one number, the *timestamp error* e(t): what the node's stamps say minus true time, at the true time t
since the start of the scene; positive is late. ::

    e(t) = offset + (rate error of the file + drift) t + wander(t)

Sound that arrives at t is put into the file of the node at sample (t + e(t) - begin) x nominal rate, where ``begin`` is
what the file claims as its start; so whoever reads the file with the nominal rate dates the sound t + e(t), and a
detection made without sound gets the same e(t) from `NodeClock.timestamp_error_s`.

A node whose sample clock is disciplined (`sensor_node.sampleclock`) takes the rate of its converter out: its file is
*rate corrected*, and the converter's rate error, tens of ppm, is not in e(t). A free-running one leaves it in.

The figures were measured while the node was designed (simulations over 30 min, real PortAudio stamps) or published
(holdover); see `draw_clock`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["CLOCK_SCENARIOS", "ClockScenario", "NodeClock", "draw_clock"]

_Real = NDArray[np.float64]

ClockScenario: TypeAlias = Literal["exact", "pps_audio", "pps", "pps_usb", "ntp", "holdover", "free_running", "stepped"]
CLOCK_SCENARIOS: tuple[ClockScenario, ...] = get_args(ClockScenario)

_WANDER_STEP_S = 1.0
_LONGEST_S = 86_400.0
_CRYSTAL_PPM = 50.0
_UNTIMED_SIGMA_NS = 10**18
"""As `sensor_node.sampleclock.UNTIMED_SIGMA_NS`: nobody can mistake it for a time."""
_FREE_OFFSET_SIGMA_NS = 0.2e9
_FREE_DRIFT_PPM_PER_S = 1.0 / 1_800.0
"""A crystal outdoors: 1 ppm in half an hour."""
_STEP_MS = 10.0
_HOLDOVER_S = (30.0, 1_800.0)
_HOLDOVER_ERROR_US = ((1.0, 60.0, 300.0, 900.0, 1_800.0, 86_400.0), (0.083, 17.0, 137.0, 670.0, 1_100.0, 53_000.0))
"""Median size of the error after so many seconds without pulses; the ends are extrapolated."""
_MEDIAN_PER_SIGMA = 0.6745


@dataclass(frozen=True, slots=True)
class _Figures:
    """A disciplined clock, in nanoseconds: what is common to its kind, what differs by node, what varies in time."""

    state: ClockState
    claimed_ns: int
    bias_ns: float
    node_ns: float
    wander_ns: float
    wander_s: float


_FIGURES: dict[str, _Figures] = {
    # Kalman filter on the pulse in the second channel: 0.4 to 2.2 us rms.
    "pps_audio": _Figures(ClockState.PPS_AUDIO, 3_000, 0.0, 1_000.0, 1_500.0, 10.0),
    # I2S by DMA in 0.2 ms bursts: 3.6 us rms about a constant that is late by half a burst of 0.2 x 120 us.
    "pps": _Figures(ClockState.PPS, 30_000, 24_000.0, 10_000.0, 3_600.0, 5.0),
    # USB in 1 ms frames: 10 to 16 us rms about a constant of 120 us; USB hubs differ (20 us, estimated).
    "pps_usb": _Figures(ClockState.PPS, 130_000, 120_000.0, 20_000.0, 13_000.0, 5.0),
    # Network time: milliseconds, mostly the asymmetry of the path, which stays.
    "ntp": _Figures(ClockState.NTP, 3_500_000, 0.0, 3_000_000.0, 500_000.0, 120.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClock:
    """The clock of one node in one scene.

    Parameters
    ----------
    scenario : str
        One of `CLOCK_SCENARIOS`.
    state : ClockState
        What the node claims.
    sigma_ns : int
        1-sigma it claims.
    offset_ns : float
        True timestamp error at the start of the scene, wander apart.
    rate_error_ppm : float
        True rate of the converter over the nominal one: +1 ppm makes a million and one samples of a million.
    rate_corrected : bool
        Whether the node took that out of its file.
    drift_ppm : float
        Growth of the timestamp error at the start of the scene, beyond the rate error.
    wander_step_s : float
    wander_ns : tuple[float, ...]
        The rest of the error, every step from the start; straight lines between, constant after the last.
    """

    scenario: str
    state: ClockState
    sigma_ns: int
    offset_ns: float = 0.0
    rate_error_ppm: float = 0.0
    rate_corrected: bool = True
    drift_ppm: float = 0.0
    wander_step_s: float = _WANDER_STEP_S
    wander_ns: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if self.sigma_ns < 0:
            raise InputError(f"sigma {self.sigma_ns} ns is negative", field="sigma_ns")
        if not self.wander_step_s > 0.0:
            raise InputError(f"step {self.wander_step_s:g} s, expected more than 0", field="wander_step_s")
        for name, values in (
            ("offset_ns", (self.offset_ns,)),
            ("rate_error_ppm", (self.rate_error_ppm,)),
            ("drift_ppm", (self.drift_ppm,)),
            ("wander_ns", self.wander_ns),
        ):
            if not values or not all(math.isfinite(value) for value in values):
                raise InputError(f"{list(values)[:5]}, expected finite numbers", field=name)

    @property
    def file_rate_error_ppm(self) -> float:
        """What is left of the converter's rate error in the stored file."""
        return 0.0 if self.rate_corrected else self.rate_error_ppm

    def timestamp_error_s(self, true_time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return stamp minus truth; positive is late.

        Parameters
        ----------
        true_time_s : ndarray, shape (n_times,), float64
            Since the start of the scene.

        Returns
        -------
        ndarray, shape (n_times,), float64
            Seconds.
        """
        steps_s = np.arange(len(self.wander_ns)) * self.wander_step_s
        wander_ns = np.interp(true_time_s, steps_s, self.wander_ns)
        growing_ns = (self.file_rate_error_ppm + self.drift_ppm) * 1e3 * np.asarray(true_time_s)
        result: _Real = (self.offset_ns + growing_ns + wander_ns) * 1e-9
        return result

    def claimed_start_time_ns(self, scene_start_ns: int, *, first_sample_s: float = 0.0) -> int:
        """Return the UTC that the node claims for its first sample.

        Parameters
        ----------
        scene_start_ns : int
            UTC of the start of the scene.
        first_sample_s : float
            True time of that sample, since the start of the scene.
        """
        return scene_start_ns + self._claimed_ns(first_sample_s)

    def sample_index(
        self, true_time_s: NDArray[np.float64], *, sample_rate_hz: int, first_sample_s: float = 0.0
    ) -> NDArray[np.float64]:
        """Return where in the file sound that arrives at a true time belongs, in samples.

        Reading the file with `claimed_start_time_ns` and the nominal rate gives back t + e(t), exactly.

        Parameters
        ----------
        true_time_s : ndarray, shape (n_times,), float64
            Since the start of the scene.
        sample_rate_hz : int
            Nominal.
        first_sample_s : float
            As given to `claimed_start_time_ns`.

        Returns
        -------
        ndarray, shape (n_times,), float64
            Fractions of a sample count.
        """
        if sample_rate_hz <= 0:
            raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
        begin_s = self._claimed_ns(first_sample_s) * 1e-9
        result: _Real = (true_time_s + self.timestamp_error_s(true_time_s) - begin_s) * sample_rate_hz
        return result

    def _claimed_ns(self, first_sample_s: float) -> int:
        error_s = float(self.timestamp_error_s(np.array([first_sample_s]))[0])
        return round((first_sample_s + error_s) * NS_PER_S)


def draw_clock(
    scenario: ClockScenario,
    *,
    duration_s: float,
    rng: np.random.Generator,
    offset_ms: float | None = None,
    holdover_s: float | None = None,
) -> NodeClock:
    """Draw the clock of a node.

    ============== ==========================================================================================
    exact          no error; claims PPS, 1 us
    pps_audio      1 us by node, wander 1.5 us over 10 s; claims 3 us
    pps            I2S: late by 24 us, 10 us by node, wander 3.6 us over 5 s; claims 30 us
    pps_usb        late by 120 us, 20 us by node, wander 13 us over 5 s; claims 130 us
    ntp            3 ms by node, wander 0.5 ms over 2 min; claims 3.5 ms
    holdover       pulses lost ``holdover_s`` before the scene (30 s to 30 min if not given): frequency walks at
                   random, median error 17 us after 1 min, 137 us after 5, 0.67 ms after 15; claims
                   30 us + 1.2 ppm of the time since
    free_running   set once by hand (0.2 s), converter up to 50 ppm off and not corrected; claims nothing (untimed)
    stepped        as pps, and ``offset_ms`` (10 if not given) late: claims 30 us and is wrong
    ============== ==========================================================================================

    Parameters
    ----------
    scenario : str
    duration_s : float
        Of the scene, up to a day; 0 for a single instant.
    rng : numpy.random.Generator
    offset_ms : float | None
        For ``stepped`` only.
    holdover_s : float | None
        For ``holdover`` only.

    Raises
    ------
    InputError
        No such scenario, or an argument of another one.
    """
    if scenario not in CLOCK_SCENARIOS:
        raise InputError(f"no clock scenario '{scenario}'; there are {', '.join(CLOCK_SCENARIOS)}", field="scenario")
    if not 0.0 <= duration_s <= _LONGEST_S:
        raise InputError(f"{duration_s:g} s, expected 0 s to a day", field="duration_s")
    for name, value, owner in (("offset_ms", offset_ms, "stepped"), ("holdover_s", holdover_s, "holdover")):
        if value is not None and scenario != owner:
            raise InputError(f"{value:g} given for the scenario '{scenario}'; it belongs to '{owner}'", field=name)
    crystal_ppm = float(rng.uniform(-_CRYSTAL_PPM, _CRYSTAL_PPM))
    if scenario == "exact":
        return NodeClock(scenario=scenario, state=ClockState.PPS, sigma_ns=1_000)
    if scenario == "holdover":
        return _holdover(crystal_ppm, holdover_s, duration_s, rng)
    if scenario == "free_running":
        slope_ppm_per_s = float(rng.normal(0.0, _FREE_DRIFT_PPM_PER_S))
        steps_s = np.arange(_steps(duration_s)) * _WANDER_STEP_S
        return NodeClock(
            scenario=scenario,
            state=ClockState.UNTIMED,
            sigma_ns=_UNTIMED_SIGMA_NS,
            offset_ns=float(rng.normal(0.0, _FREE_OFFSET_SIGMA_NS)),
            rate_error_ppm=crystal_ppm,
            rate_corrected=False,
            wander_ns=tuple((0.5e3 * slope_ppm_per_s * steps_s**2).tolist()),
        )
    figures = _FIGURES["pps" if scenario == "stepped" else scenario]
    step_ms = 0.0 if scenario != "stepped" else _STEP_MS if offset_ms is None else offset_ms
    return NodeClock(
        scenario=scenario,
        state=figures.state,
        sigma_ns=figures.claimed_ns,
        offset_ns=figures.bias_ns + float(rng.normal(0.0, figures.node_ns)) + step_ms * NS_PER_MS,
        rate_error_ppm=crystal_ppm,
        wander_ns=_wander_ns(figures, duration_s, rng),
    )


def _steps(duration_s: float) -> int:
    return math.ceil(duration_s / _WANDER_STEP_S) + 1


def _wander_ns(figures: _Figures, duration_s: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a first-order Gauss-Markov process, stationary from the first step."""
    keep = math.exp(-_WANDER_STEP_S / figures.wander_s)
    push = rng.normal(0.0, figures.wander_ns, _steps(duration_s))
    push[1:] *= math.sqrt(1.0 - keep**2)
    return tuple(np.asarray(scipy.signal.lfilter([1.0], [1.0, -keep], push)).tolist())


def _holdover(crystal_ppm: float, holdover_s: float | None, duration_s: float, rng: np.random.Generator) -> NodeClock:
    """Draw a clock whose frequency has walked at random since its last pulse, and goes on doing so.

    With a walk of density q the error after tau has variance q tau^3 / 3, the frequency q tau, and their correlation is
    sqrt(3)/2; q is set by the error the notes state for this tau.
    """
    since_s = float(rng.uniform(*_HOLDOVER_S)) if holdover_s is None else holdover_s
    if not 1.0 <= since_s <= _LONGEST_S:
        raise InputError(f"{since_s:g} s without pulses, expected 1 s to a day", field="holdover_s")
    median_us = math.exp(float(np.interp(math.log(since_s), *np.log(np.array(_HOLDOVER_ERROR_US)))))
    error_ns = 1e3 * median_us / _MEDIAN_PER_SIGMA
    density = 3.0 * error_ns**2 / since_s**3
    first, second = rng.standard_normal(2).tolist()
    drift_ns_per_s = math.sqrt(density * since_s) * (math.sqrt(0.75) * first + 0.5 * second)
    count = _steps(duration_s) - 1
    pushes = rng.standard_normal((2, count))
    step = _WANDER_STEP_S
    speed = np.concatenate([[0.0], np.cumsum(math.sqrt(density * step) * pushes[0])])
    jumps = math.sqrt(density * step**3 / 3.0) * (math.sqrt(0.75) * pushes[0] + 0.5 * pushes[1])
    wander_ns = np.concatenate([[0.0], np.cumsum(speed[:-1] * step + jumps)])
    base = _FIGURES["pps"]
    return NodeClock(
        scenario="holdover",
        state=ClockState.HOLDOVER,
        sigma_ns=base.claimed_ns + round(1.2e3 * since_s),
        offset_ns=base.bias_ns + float(rng.normal(0.0, base.node_ns)) + error_ns * first,
        rate_error_ppm=crystal_ppm,
        drift_ppm=drift_ns_per_s * 1e-3,
        wander_ns=tuple(wander_ns.tolist()),
    )
