"""What one node records: the pulses of all paths at their exact, fractional sample, tails, noise, microphone.

Per path the spectrum of the source times what the path does to it gives a short pulse, turned to its fractional sample
in the frequency domain and added. Rounds fired at one place share all of that, and get their own instants only.

References
----------
[Kuttruff2009] a diffuse tail as Gaussian noise that falls exponentially. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from shotline.units import amplitude_from_db
from shotline_recordings.scene import TailTable
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.bullet import Flight
from shotline_recordings.simulate.emission import Emission, Waveform
from shotline_recordings.simulate.events import Discharge
from shotline_recordings.simulate.gains import air_gain, path_gains
from shotline_recordings.simulate.microphone import converter_response, record, response
from shotline_recordings.simulate.noise import draw_noise
from shotline_recordings.simulate.paths import PathKind, Paths
from shotline_recordings.simulate.stage import NearbyPaths, Stage
from shotline_recordings.simulate.streams import Stream, spot, stream

__all__ = ["NodeSound", "TrueArrival", "node_sound", "tail_energy_between"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_LEAD_SAMPLES = 48
"""The converter's linear-phase filter rings ahead of a front."""
_ROOM_S = 0.012
"""For what filters add behind a pulse."""
_FADE_SHARE = 0.1
_TAIL_REFERENCE_M = 100.0
_STRAIGHT_FALLS_DB = 20.0 * math.log10(2.0)
_LATEST_START_S = 0.05
_LONGEST_TAIL_S = 3.0
_SLOWEST_MPS = 250.0
"""Slower than sound ever is against any wind."""


@dataclass(frozen=True, slots=True)
class TrueArrival:
    """The first sound of one round or bang at one node; and of a fast bullet, its shock.

    Parameters
    ----------
    event : str
    round_index : int
    time_s : float
        True time, after the start of the scene.
    kind : PathKind
        How it came.
    straight_s : float
        When the straight line would have brought it, blocked or not.
    """

    event: str
    round_index: int
    time_s: float
    kind: PathKind
    straight_s: float


@dataclass(frozen=True, slots=True, eq=False)
class NodeSound:
    """What a node stored.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), int16
    first_sample_s : float
        True time of the first, after the start of the scene; nodes do not start together.
    arrivals : tuple[TrueArrival, ...]
        Those inside it.
    """

    samples: NDArray[np.int16]
    first_sample_s: float
    arrivals: tuple[TrueArrival, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Response:
    """What a node hears of one waveform from one place.

    ``spectra`` has the pulse of each path, shape (n_paths, n_frequencies), in Pa per sample.
    """

    early_s: _Real
    spectra: _Complex
    count: int


def node_sound(stage: Stage, index: int, *, from_s: float, until_s: float) -> NodeSound:
    """Return what one node records between two instants.

    Parameters
    ----------
    stage : Stage
    index : int
        Of the node.
    from_s, until_s : float
        True times after the start of the scene; the node starts up to 50 ms after the first.
    """
    return _Recorder(stage, index, from_s, until_s).run()


class _Recorder:
    """Renders one node."""

    def __init__(self, stage: Stage, index: int, from_s: float, until_s: float) -> None:
        self.stage, self.node = stage, stage.nodes[index]
        self.rate_hz = stage.scene.sample_rate_hz
        rng = stream(stage.seed, Stream.MICROPHONE, self.node.id)
        self.first_s = from_s + _LATEST_START_S * float(rng.random())
        self.microphone_rng = rng
        self.until_s = until_s
        self.samples = round((until_s - from_s) * self.rate_hz)
        self.finder = stage.finder([self.node])
        self.near = NearbyPaths(stage, [self.node], self.finder)
        self.responses: dict[tuple[int, Waveform], _Response] = {}
        self.gains: dict[tuple[int, int], _Complex] = {}
        self.tails: dict[tuple[int, Waveform], _Real] = {}
        self.pressure_pa = np.zeros(0)

    def run(self) -> NodeSound:
        noise = draw_noise(
            self.node.noise,
            duration_s=self.samples / self.rate_hz,
            rng=stream(self.stage.seed, Stream.NOISE, self.node.id),
        )
        self.pressure_pa = noise.pressure_pa(self.samples, sample_rate_hz=self.rate_hz, response=self._heard)
        arrivals = []
        reach_s = self.stage.farthest_m / _SLOWEST_MPS + _LONGEST_TAIL_S
        for number in self.stage.events_between(self.first_s - reach_s, self.until_s):
            event = self.stage.event(number)
            for round_index, discharge in enumerate(event.discharges):
                if not self._may_be_heard(discharge):
                    continue
                made = self._add_discharge(event.name, round_index, discharge)
                arrivals += [item for item in made if self.first_s <= item.time_s < self.until_s]
            self.near = NearbyPaths(self.stage, [self.node], self.finder)
            for memory in (self.responses, self.gains, self.tails):
                memory.clear()
        samples = record(
            self.pressure_pa, microphone=self.node.microphone, sample_rate_hz=self.rate_hz, rng=self.microphone_rng
        )
        return NodeSound(samples, self.first_s, tuple(arrivals))

    def _heard(self, frequency_hz: _Real) -> _Complex:
        """Return what membrane and converter do."""
        return response(frequency_hz, self.node.microphone) * converter_response(frequency_hz, self.rate_hz)

    def _may_be_heard(self, discharge: Discharge) -> bool:
        """Return whether any of it can be inside the recording."""
        latest_s = discharge.over_by_s(self.node.position_m, slowest_mps=_SLOWEST_MPS)
        extra_s = self.stage.scene.paths.longest_extra_m / _SLOWEST_MPS + _LONGEST_TAIL_S + 2.0
        return discharge.time_s < self.until_s and latest_s + extra_s > self.first_s

    def _add_discharge(self, event: str, round_index: int, discharge: Discharge) -> list[TrueArrival]:
        rng = stream(self.stage.seed, Stream.PATH, self.node.id, event, round_index)
        first: TrueArrival | None = None
        for number, emission in enumerate(discharge.emissions):
            place, (paths,) = self.near.at(emission.position_m)
            share = discharge.tail_share(number)
            if share > 0.0 and self.stage.scene.paths.tails:
                begin = self._position(np.array([emission.time_s + paths.straight_s]))
                self._add(round(float(begin[0])), math.sqrt(share) * self._tail(place, emission, paths))
            if not len(paths):
                continue
            heard = self._response(place, emission.waveform, paths)
            times_s = emission.time_s + paths.delay_s - heard.early_s
            times_s += self.stage.turbulent_sigma_s(paths.length_m) * rng.standard_normal(len(times_s))
            self._add_pulses(times_s, heard.spectra, heard.count)
            earliest = int(np.argmin(times_s))
            if first is None or times_s[earliest] < first.time_s:
                first = TrueArrival(
                    event,
                    round_index,
                    float(times_s[earliest]),
                    PathKind(int(paths.kind[earliest])),
                    emission.time_s + paths.straight_s,
                )
        shock_s = self._add_shock(discharge.time_s, discharge.flight) if discharge.flight is not None else None
        found = [first] if first is not None else []
        if shock_s is not None and first is not None:
            found.append(replace(first, time_s=shock_s, kind=PathKind.SHOCK))
        return found

    def _add_shock(self, time_s: float, flight: Flight) -> float | None:
        """Add the N-wave of a bullet, where its Mach cone sweeps over the node and nothing is in the way."""
        shocks = flight.shocks(self.node.position_m[None])
        if not shocks.heard[0] or self.stage.city.blocked(shocks.emission_enu_m, self.node.position_m[None])[0]:
            return None
        count = self._count(2.0 * float(shocks.duration_s[0]))
        frequency_hz = self._frequencies_hz(count)
        spectrum = shocks.spectrum_pa_s(frequency_hz) * self._heard(frequency_hz) * self.rate_hz
        if self.stage.medium.absorption:
            spectrum = spectrum * air_gain(float(shocks.path_length_m[0]), frequency_hz, self.stage.medium.weather)
        arrival_s = time_s + float(shocks.arrival_time_s[0])
        self._add_pulses(np.array([arrival_s]), spectrum, count)
        return arrival_s

    def _response(self, place: int, waveform: Waveform, paths: Paths) -> _Response:
        key = (place, waveform)
        if key in self.responses:
            return self.responses[key]
        count = self._count(waveform.duration_s)
        frequency_hz = self._frequencies_hz(count)
        if (place, count) not in self.gains:
            heard = self._heard(frequency_hz) * self.rate_hz
            self.gains[place, count] = path_gains(paths, frequency_hz, self.stage.medium) * heard
        distance_m = np.maximum(paths.length_m, 0.1)
        spectra = waveform.spectrum_pa_m_s(frequency_hz, distance_m=distance_m, direction=paths.departure)
        spectra *= self.gains[place, count]
        early_s = np.zeros(len(paths))
        if isinstance(waveform, MuzzleBlast):
            early_s = waveform.early_s(distance_m, paths.departure)
        self.responses[key] = _Response(early_s, spectra, count)
        return self.responses[key]

    def _tail(self, place: int, emission: Emission, paths: Paths) -> _Real:
        """Return the diffuse tails of a place at this node, from the instant of the straight line on."""
        waveform = emission.waveform
        if (place, waveform) in self.tails:
            return self.tails[place, waveform]
        count = self._count(waveform.duration_s)
        frequency_hz = self._frequencies_hz(count)
        straight_m = max(paths.straight_m, 1.0)
        direction = (self.node.position_m - np.array(emission.position_m)) / straight_m
        pulse = waveform.spectrum_pa_m_s(frequency_hz, distance_m=np.array([straight_m]), direction=direction[None])[0]
        pulse = pulse * self._heard(frequency_hz) * self.rate_hz / straight_m
        if self.stage.medium.absorption:
            pulse = pulse * air_gain(straight_m, frequency_hz, self.stage.medium.weather)
        tables = self.stage.scene.paths.tails
        length = max(round(min(table.decay_s, _LONGEST_TAIL_S) * self.rate_hz) for table in tables)
        edges_s = np.arange(length + 1, dtype=np.float64) / self.rate_hz
        envelope = np.sqrt(sum(tail_energy_between(table, edges_s, straight_m) for table in tables))
        noise = stream(self.stage.seed, Stream.PATH, self.node.id, spot(emission.position_m), "tail").standard_normal(
            length
        )
        late = np.exp(-2j * np.pi * frequency_hz / self.rate_hz * _LEAD_SAMPLES)
        short = scipy.fft.irfft(pulse * late, count)
        self.tails[place, waveform] = scipy.signal.oaconvolve(noise * envelope, short)[_LEAD_SAMPLES:]
        return self.tails[place, waveform]

    def _count(self, duration_s: float) -> int:
        """Return the length of a transform that holds a pulse: even, and quick."""
        least = _LEAD_SAMPLES + math.ceil((duration_s + _ROOM_S) * self.rate_hz)
        return 2 * int(scipy.fft.next_fast_len(-(-least // 2), real=True))

    def _frequencies_hz(self, count: int) -> _Real:
        return np.arange(count // 2 + 1, dtype=np.float64) * (self.rate_hz / count)

    def _position(self, times_s: _Real) -> _Real:
        return self.node.clock.sample_index(times_s, sample_rate_hz=self.rate_hz, first_sample_s=self.first_s)

    def _add_pulses(self, times_s: _Real, spectra: _Complex, count: int) -> None:
        position = self._position(times_s)
        first = np.floor(position).astype(np.int64) - _LEAD_SAMPLES
        inside = (first < self.samples) & (first + count > 0)
        turn = -2j * np.pi / count * (position - first)[inside, None]
        pulses = scipy.fft.irfft(spectra[inside] * np.exp(turn * np.arange(spectra.shape[1])), count, axis=1)
        # A pulse ends softly: what little is left at its end makes no step.
        fade = round(_FADE_SHARE * count)
        pulses[:, count - fade :] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1.0) / fade)
        for at, pulse in zip(first[inside].tolist(), pulses, strict=True):
            self._add(at, pulse)

    def _add(self, first: int, values: _Real) -> None:
        begin, end = max(first, 0), min(first + len(values), self.samples)
        if begin < end:
            self.pressure_pa[begin:end] += values[begin - first : end - first]


def tail_energy_between(table: TailTable, edges_s: _Real, straight_m: float) -> _Real:
    """Return the energy of a tail in stretches of time over that of the open straight path.

    A tail rises and falls by 60 dB in its decay time: (1 - exp(-t/r)) exp(-t/d), whose integral is known.

    Parameters
    ----------
    table : TailTable
    edges_s : ndarray, shape (n_edges,), float64
        After the instant of the straight line, rising from 0.
    straight_m : float

    Returns
    -------
    ndarray, shape (n_edges - 1,), float64
    """
    fall_s = table.decay_s / (6.0 * math.log(10.0))
    left = fall_s * np.exp(-edges_s / fall_s)
    if table.build_up_s > 0.0:
        both_s = 1.0 / (1.0 / fall_s + 1.0 / table.build_up_s)
        left = left - both_s * np.exp(-edges_s / both_s)
    doublings = math.log2(straight_m / _TAIL_REFERENCE_M)
    total = amplitude_from_db(table.level_db + (_STRAIGHT_FALLS_DB - table.falls_db) * doublings) ** 2
    result: _Real = total * -np.diff(left) / left[0]
    return result
