"""What nodes report, without making any sound: the same paths and gains, and a model of the node's onset detector.

Of each path the energy and the peak inside the node's band are worked out at a few frequencies. Then, node by node and
in the order of time, the rules of `shotline.onsets` decide which arrivals are onsets: a step of energy, enough of a
peak over the noise, the refractory rule. Tens of times faster than sound; how well the two agree is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.messages import Detection, LevelReference
from shotline.onsets import OnsetSettings
from shotline.propagation import absorption_db_per_m
from shotline.units import NS_PER_S, amplitude_from_db
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.bullet import Flight
from shotline_recordings.simulate.emission import Emission, Waveform
from shotline_recordings.simulate.gains import path_magnitudes
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA
from shotline_recordings.simulate.microphone import Microphone, converter_response, response
from shotline_recordings.simulate.noise import DrawnNoise, draw_noise, onset_weight
from shotline_recordings.simulate.paths import PathFinder, PathKind, Paths
from shotline_recordings.simulate.sound import tail_energy_between
from shotline_recordings.simulate.stage import NearbyPaths, Stage, StagedNode
from shotline_recordings.simulate.streams import Stream, stream

__all__ = ["EventArrivals", "Reported", "event_arrivals", "least_margins_db", "node_band", "pulse_figures", "reported"]

_Real = NDArray[np.float64]
_Int = NDArray[np.intp]

_KNOTS = 48
_HIGHEST_HZ = 8_000.0
_PEAK_SHARE = 0.75
"""Peak of a pulse over that of one whose frequencies are all in step: see tests/unit/simulate/test_arrivals.py."""
_RISE_PER_PERIOD = 0.20
"""Rise time of a band-passed front, in periods of its mean frequency."""
_LATE_PER_RISE = 0.9
"""The detector picks half the height of the first peak, so much later than the front."""
_FAINTEST = 0.3
"""Peaks below this share of the noise are not looked at."""
_PACKET_EDGES_S = np.array([0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.26, 0.4, 0.6])
"""How a diffuse tail is cut into packets of energy: finer than the detector's windows where it begins."""
_TAIL_PEAK_RMS = 3.0
"""The highest of some milliseconds of Gaussian noise."""
_TAIL_BEGINS_S = 0.02
_TAIL_KIND, _LATE_TAIL_KIND = -1, -2
"""A tail can be an onset as it begins; what follows is smooth."""
_CLUTTER_EVENT = -1
_MIN_SNR_DB = 14.0
_NOISE_PEAK_RMS = 2.5
"""The highest of 50 ms has noise of so many rms in it."""
_NEAR_S = 0.050
_RISE_TO_HIGHEST = 0.9
_CLUSTER_S = 0.008
_NOISE_SHARE = 0.3
_CLUTTER_SNR_DB = (14.0, 6.0)
"""Least, and mean above it."""
_MODEL_ID = "simulated"
_SURE = {True: (6.0, 2.5), False: (2.5, 5.0)}
"""Beta distributions of a classifier's gunshot probability, for shots and for other bangs: medians 0.72 and 0.32."""


@dataclass(frozen=True, slots=True, eq=False)
class EventArrivals:
    """What reaches the nodes: shape (n,) each.

    Parameters
    ----------
    node, event, round_index : ndarray, intp
    time_s : ndarray, float64
        True time, after the start of the scene.
    energy_pa2_s, peak_pa, rise_s : ndarray, float64
        In the node's band.
    kind : ndarray, intp
        `PathKind`; less than 0 for packets of a diffuse tail.
    straight_s : ndarray, float64
        When the straight line would have brought it.
    gunshot : ndarray, bool
    luck : ndarray, float64
        Standard normal: what the noise adds to the peak.
    """

    node: _Int
    event: _Int
    round_index: _Int
    time_s: _Real
    energy_pa2_s: _Real
    peak_pa: _Real
    rise_s: _Real
    kind: _Int
    straight_s: _Real
    gunshot: NDArray[np.bool_]
    luck: _Real

    @classmethod
    def together(cls, several: Sequence[EventArrivals]) -> EventArrivals:
        """Return many as one."""
        return cls(*(np.concatenate([getattr(item, column.name) for item in several]) for column in fields(cls)))

    @classmethod
    def none(cls) -> EventArrivals:
        """Return nothing."""
        whole, real = np.zeros(0, dtype=np.intp), np.zeros(0)
        return cls(whole, whole, whole, real, real, real, real, whole, real, np.zeros(0, dtype=np.bool_), real)

    def of_node(self, node: int) -> EventArrivals:
        """Return what reaches one node, in order of time."""
        rows = np.flatnonzero(self.node == node)
        rows = rows[np.lexsort((self.round_index[rows], self.event[rows], self.time_s[rows]))]
        return EventArrivals(*(getattr(self, column.name)[rows] for column in fields(self)))

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class Reported:
    """Detections of one node in order of time, each with what it came from.

    Parameters
    ----------
    detections : tuple[Detection, ...]
    event, round_index, kind : ndarray, shape (n,), intp
        Event -1 is clutter.
    time_s, excess_s : ndarray, shape (n,), float64
        True instant of the arrival after the start of the scene, and how far it is behind the straight line.
    """

    detections: tuple[Detection, ...]
    event: _Int
    round_index: _Int
    kind: _Int
    time_s: _Real
    excess_s: _Real


def event_arrivals(stage: Stage, finder: PathFinder, number: int) -> EventArrivals:
    """Return what reaches every node from one event.

    Parameters
    ----------
    stage : Stage
    finder : PathFinder
        For all nodes of the stage.
    number : int
        Of the event.
    """
    event = stage.event(number)
    near = NearbyPaths(stage, stage.nodes, finder)
    magnitudes: dict[int, _Real] = {}
    parts = []
    for round_index, discharge in enumerate(event.discharges):
        rng = stream(stage.seed, Stream.PATH, event.name, round_index)
        for sound, emission in enumerate(discharge.emissions):
            place, several = near.at(emission.position_m)
            heard = _Ears(stage, several)
            if place not in magnitudes:
                magnitudes[place] = path_magnitudes(heard.paths, heard.frequency_hz, stage.medium)
            some = [heard.pulses(emission.waveform, magnitudes[place])]
            if sound == 0 and discharge.flight is not None:
                some.append(heard.shocks(discharge.flight))
            share = discharge.tail_share(sound)
            if share > 0.0 and stage.scene.paths.tails:
                some.append(heard.tails(emission, share))
            for item in some:
                count = len(item.node)
                parts.append(
                    EventArrivals(
                        node=item.node,
                        event=np.full(count, number),
                        round_index=np.full(count, round_index),
                        time_s=emission.time_s + item.delay_s + item.scatter_s * rng.standard_normal(count),
                        energy_pa2_s=item.energy_pa2_s,
                        peak_pa=item.peak_pa,
                        rise_s=item.rise_s,
                        kind=item.kind,
                        straight_s=emission.time_s + item.straight_s,
                        gunshot=np.full(count, event.kind is ImpulseKind.GUNSHOT),
                        luck=rng.standard_normal(count),
                    )
                )
    return EventArrivals.together(parts)


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """What the nodes hear of one waveform from one place; shape (n,) each, delays after the emission."""

    node: _Int
    delay_s: _Real
    scatter_s: _Real
    energy_pa2_s: _Real
    peak_pa: _Real
    rise_s: _Real
    kind: _Int
    straight_s: _Real


class _Ears:
    """What the nodes make of sounds from one place, in their band."""

    def __init__(self, stage: Stage, several: Sequence[Paths]) -> None:
        rate_hz = stage.scene.sample_rate_hz
        self.stage, self.several = stage, several
        self.paths = Paths.together(several)
        self.frequency_hz, self.weight = node_band(tuple(node.microphone for node in stage.nodes), rate_hz)
        self.node = np.repeat(np.arange(len(several)), [len(paths) for paths in several])
        self.nodes_m = np.array([node.position_m for node in stage.nodes])
        self.straight_s = np.array([paths.straight_s for paths in several])

    def pulses(self, waveform: Waveform, magnitudes: _Real) -> _Heard:
        """Return the pulses of all paths; ``magnitudes`` is what the paths do, shape (n_paths, n_frequencies)."""
        paths = self.paths
        distance_m = np.maximum(paths.length_m, 0.1)
        source = waveform.spectrum_pa_m_s(self.frequency_hz, distance_m=distance_m, direction=paths.departure)
        power = (np.abs(source) * magnitudes) ** 2 * self.weight[self.node]
        energy_pa2_s, peak_pa, rise_s = pulse_figures(power, self.frequency_hz)
        early_s = waveform.early_s(distance_m, paths.departure) if isinstance(waveform, MuzzleBlast) else 0.0
        return _Heard(
            node=self.node,
            delay_s=paths.delay_s - early_s,
            scatter_s=self.stage.turbulent_sigma_s(paths.length_m),
            energy_pa2_s=energy_pa2_s,
            peak_pa=peak_pa,
            rise_s=rise_s,
            kind=paths.kind,
            straight_s=self.straight_s[self.node],
        )

    def shocks(self, flight: Flight) -> _Heard:
        """Return the N-waves of a bullet, where nothing is in the way of them."""
        made = flight.shocks(self.nodes_m)
        node = np.flatnonzero(made.heard)
        node = node[~self.stage.city.blocked(made.emission_enu_m[node], self.nodes_m[node])]
        source = np.abs(made.spectrum_pa_s(self.frequency_hz)[node])
        power = source**2 * self._air(made.path_length_m[node]) * self.weight[node]
        energy_pa2_s, peak_pa, rise_s = pulse_figures(power, self.frequency_hz)
        return _Heard(
            node=node,
            delay_s=made.arrival_time_s[node],
            scatter_s=np.zeros(len(node)),
            energy_pa2_s=energy_pa2_s,
            peak_pa=peak_pa,
            rise_s=rise_s,
            kind=np.full(len(node), int(PathKind.SHOCK)),
            straight_s=self.straight_s[node],
        )

    def tails(self, emission: Emission, share: float) -> _Heard:
        """Return the diffuse tails as packets of energy: they hide what comes later, or are all that is found."""
        straight_m = np.maximum(np.array([paths.straight_m for paths in self.several]), 1.0)
        direction = (self.nodes_m - np.array(emission.position_m)) / straight_m[:, None]
        source = emission.waveform.spectrum_pa_m_s(self.frequency_hz, distance_m=straight_m, direction=direction)
        power = (np.abs(source) / straight_m[:, None]) ** 2 * self._air(straight_m) * self.weight
        energy_pa2_s, _, rise_s = pulse_figures(power, self.frequency_hz)
        parts = np.zeros((len(self.several), len(_PACKET_EDGES_S) - 1))
        for table in self.stage.scene.paths.tails:
            parts += [tail_energy_between(table, _PACKET_EDGES_S, length) for length in straight_m.tolist()]
        packets = share * energy_pa2_s[:, None] * parts
        shape, begin_s = packets.shape, _PACKET_EDGES_S[:-1]
        return _Heard(
            node=np.repeat(np.arange(shape[0]), shape[1]),
            delay_s=(self.straight_s[:, None] + begin_s).ravel(),
            scatter_s=np.zeros(packets.size),
            energy_pa2_s=packets.ravel(),
            peak_pa=(_TAIL_PEAK_RMS * np.sqrt(packets / np.diff(_PACKET_EDGES_S))).ravel(),
            rise_s=np.repeat(rise_s, shape[1]),
            kind=np.tile(np.where(begin_s < _TAIL_BEGINS_S, _TAIL_KIND, _LATE_TAIL_KIND), shape[0]),
            straight_s=np.repeat(self.straight_s, shape[1]),
        )

    def _air(self, length_m: _Real) -> _Real:
        """Return what is left of the power after so much air, shape (n, n_frequencies)."""
        medium = self.stage.medium
        if not medium.absorption:
            return np.ones((len(length_m), len(self.frequency_hz)))
        loss_db = length_m[:, None] * absorption_db_per_m(
            self.frequency_hz,
            temperature_c=medium.weather.temperature_c,
            humidity_percent=medium.weather.humidity_percent,
        )
        result: _Real = 10.0 ** (-loss_db / 10.0)
        return result


def pulse_figures(power: _Real, frequency_hz: _Real) -> tuple[_Real, _Real, _Real]:
    """Return energy in Pa² s, peak in Pa and rise time in s of pulses, shape (...,) each.

    Parameters
    ----------
    power : ndarray, shape (..., n_frequencies), float64
        Of their one-sided spectra in the node's band, Pa² s².
    frequency_hz : ndarray, shape (n_frequencies,), float64
        Of `node_band`.
    """
    # Both sides of the spectrum: twice the sums.
    width_hz, total = 2.0 * frequency_hz[0], power.sum(axis=-1)
    rise_s = _RISE_PER_PERIOD * total / np.maximum(power @ frequency_hz, 1e-300)
    return width_hz * total, _PEAK_SHARE * width_hz * np.sqrt(power).sum(axis=-1), rise_s


def least_margins_db() -> tuple[float, float]:
    """Return what a lone pulse must have over the rms of the noise to be reported half of the time.

    Returns
    -------
    peak_db, energy_db : float
        Of its peak, and of its energy over the detector's window after the onset: both are asked for.
    """
    settings = OnsetSettings()
    peak_sq = 10.0 ** (_MIN_SNR_DB / 10.0) - _NOISE_PEAK_RMS**2
    step_sq = (1.0 + _NOISE_SHARE) * (10.0 ** (settings.threshold_db / 10.0) - 1.0)
    return 10.0 * math.log10(peak_sq), 10.0 * math.log10(step_sq)


@lru_cache(maxsize=4)
def node_band(microphones: tuple[Microphone, ...], sample_rate_hz: int) -> tuple[_Real, _Real]:
    """Return frequencies, evenly spaced, and the power gain of each node there, shape (n_nodes, n_frequencies)."""
    frequency_hz = min(0.5 * sample_rate_hz, _HIGHEST_HZ) / _KNOTS * np.arange(1, _KNOTS + 1, dtype=np.float64)
    band = onset_weight(frequency_hz, sample_rate_hz=sample_rate_hz)
    band *= converter_response(frequency_hz, sample_rate_hz) ** 2
    return frequency_hz, np.array([band * np.abs(response(frequency_hz, item)) ** 2 for item in microphones])


def reported(stage: Stage, index: int, arrivals: EventArrivals, *, boot: int) -> Reported:
    """Return what one node reports of all that reaches it, and of clutter.

    Parameters
    ----------
    stage : Stage
    index : int
        Of the node.
    arrivals : EventArrivals
        Of all events, at all nodes or at this one.
    boot : int
        For the identity of the detections.
    """
    node = stage.nodes[index]
    heard = arrivals.of_node(index)
    noise_pa = _noise_pa(stage, node, heard.time_s)
    chosen, snr, rise_s = _onsets(heard, noise_pa)
    rows = [
        _Row(
            time_s=float(heard.time_s[row] + _LATE_PER_RISE * heard.rise_s[row]),
            snr_db=float(snr[row]),
            level_pa=float(amplitude_from_db(float(snr[row])) * noise_pa[row]),
            rise_s=float(rise_s[row]),
            gunshot=bool(heard.gunshot[row]),
            event=int(heard.event[row]),
            round_index=int(heard.round_index[row]),
            kind=int(heard.kind[row]),
            true_s=float(heard.time_s[row]),
            excess_s=float(heard.time_s[row] - heard.straight_s[row]),
        )
        for row in chosen
    ]
    rows += _clutter(stage, node)
    rows.sort(key=lambda item: item.time_s)
    detections = tuple(_detection(stage, node, row, sequence, boot) for sequence, row in enumerate(rows))
    return Reported(
        detections,
        np.array([row.event for row in rows], dtype=np.intp),
        np.array([row.round_index for row in rows], dtype=np.intp),
        np.array([row.kind for row in rows], dtype=np.intp),
        np.array([row.true_s for row in rows]),
        np.array([row.excess_s for row in rows]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    time_s: float
    snr_db: float
    level_pa: float
    rise_s: float
    gunshot: bool
    event: int
    round_index: int
    kind: int
    true_s: float
    excess_s: float


def _noise_pa(stage: Stage, node: StagedNode, times_s: _Real) -> _Real:
    """Return the rms of the noise in the node's band at instants; long scenes repeat their first hour."""
    longest_s = min(stage.scene.duration_s, 3_600.0)
    drawn: DrawnNoise = draw_noise(node.noise, duration_s=longest_s, rng=stream(stage.seed, Stream.NOISE, node.id))
    rate_hz = stage.scene.sample_rate_hz
    level_db = drawn.band_level_db(
        times_s % longest_s,
        sample_rate_hz=rate_hz,
        response=lambda frequency: response(frequency, node.microphone) * converter_response(frequency, rate_hz),
    )
    quietest_db = max(node.microphone.self_noise_dba, node.microphone.full_scale_db_spl - 98.0)
    power = 10.0 ** (level_db / 10.0) + 10.0 ** (quietest_db / 10.0)
    result: _Real = REFERENCE_PRESSURE_PA * np.sqrt(power)
    return result


def _onsets(heard: EventArrivals, noise_pa: _Real) -> tuple[list[int], _Real, _Real]:
    """Return the rows that the node's detector would report; SNR in dB and rise time in s of all rows."""
    settings = OnsetSettings()
    time_s = heard.time_s
    total = np.concatenate([[0.0], np.cumsum(heard.energy_pa2_s)])

    def energy(begin_s: _Real, end_s: _Real) -> _Real:
        result: _Real = total[np.searchsorted(time_s, end_s)] - total[np.searchsorted(time_s, begin_s)]
        return np.maximum(result, 0.0)

    noise_power = noise_pa**2
    after = energy(time_s, time_s + settings.after_s) / settings.after_s + noise_power
    before = energy(time_s - settings.before_s, time_s) / settings.before_s + noise_power
    step_db = 10.0 * np.log10((after + _NOISE_SHARE * noise_power) / (before + _NOISE_SHARE * noise_power))
    highest = _highest_within(time_s, heard.peak_pa, _NEAR_S)
    peak = heard.peak_pa[highest]
    peak = np.hypot(peak, _NOISE_PEAK_RMS * noise_pa) + noise_pa * heard.luck
    snr_db = 20.0 * np.log10(np.maximum(peak / noise_pa, 1e-3))
    able = (heard.kind != _LATE_TAIL_KIND) & (step_db > settings.threshold_db) & (heard.peak_pa > _FAINTEST * noise_pa)
    chosen: list[int] = []
    last_s, last_after = -math.inf, 0.0
    for row in np.flatnonzero(able).tolist():
        rival = row + 1
        while rival < len(time_s) and time_s[rival] - time_s[row] < _CLUSTER_S:
            if able[rival] and step_db[rival] > step_db[row]:
                break
            rival += 1
        if rival < len(time_s) and time_s[rival] - time_s[row] < _CLUSTER_S:
            continue
        close = time_s[row] - last_s < settings.separation_s
        if close and after[row] < last_after * 10.0 ** (settings.stronger_db / 10.0):
            continue
        last_s, last_after = float(time_s[row]), float(after[row])
        if snr_db[row] >= _MIN_SNR_DB:
            chosen.append(row)
    # The rise is that to the highest peak, which need not be the first.
    rise_s = np.maximum(heard.rise_s, _RISE_TO_HIGHEST * (time_s[highest] - time_s))
    return chosen, snr_db, rise_s


def _highest_within(time_s: _Real, value: _Real, span_s: float) -> _Int:
    """Return the row of the highest value from each row on, for so long."""
    stop = np.maximum(np.searchsorted(time_s, time_s + span_s), np.arange(len(value)) + 1)
    best = np.arange(len(value))
    for step in range(1, int((stop - best).max(initial=0))):
        row = np.flatnonzero(np.arange(len(value)) + step < stop)
        better = row[value[row + step] > value[best[row]]]
        best[better] = better + step
    return best


def _clutter(stage: Stage, node: StagedNode) -> list[_Row]:
    """Return other impulses: at random in time, mostly weak."""
    rate = stage.scene.noise.clutter_per_minute
    if rate <= 0.0:
        return []
    rng = stream(stage.seed, Stream.CLUTTER, node.id)
    count = int(rng.poisson(rate * stage.scene.duration_s / 60.0))
    times_s = np.sort(rng.uniform(0.0, stage.scene.duration_s, count))
    noise_pa = _noise_pa(stage, node, times_s)
    snr_db = _CLUTTER_SNR_DB[0] + rng.exponential(_CLUTTER_SNR_DB[1], count)
    return [
        _Row(
            time_s=float(times_s[row]),
            snr_db=float(snr_db[row]),
            level_pa=float(noise_pa[row] * amplitude_from_db(float(snr_db[row]))),
            rise_s=1e-3,
            gunshot=False,
            event=_CLUTTER_EVENT,
            round_index=0,
            kind=_TAIL_KIND,
            true_s=float(times_s[row]),
            excess_s=math.nan,
        )
        for row in range(count)
    ]


def _detection(stage: Stage, node: StagedNode, row: _Row, sequence: int, boot: int) -> Detection:
    rng = stream(stage.seed, Stream.DETECTION, node.id, round(row.true_s * NS_PER_S))
    pick_s = math.hypot(
        row.rise_s / (0.8 * amplitude_from_db(row.snr_db)), 0.1 * row.rise_s, 0.1 / stage.scene.sample_rate_hz
    )
    clock = node.clock
    error_s = float(clock.timestamp_error_s(np.array([row.time_s]))[0]) + pick_s * float(rng.standard_normal())
    gunshot = float(rng.beta(*_SURE[row.gunshot]))
    share = {ImpulseKind.GUNSHOT: round(gunshot * 10_000)}
    share[ImpulseKind.OTHER_IMPULSE] = 10_000 - share[ImpulseKind.GUNSHOT]
    level_db = 20.0 * math.log10(row.level_pa / REFERENCE_PRESSURE_PA) + node.microphone.gain_error_db
    return Detection(
        node=node.id,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=stage.scene.start_ns + round((row.time_s + error_s) * NS_PER_S),
        arrival_sigma_ns=round(math.hypot(clock.sigma_ns, pick_s * NS_PER_S)),
        clock_state=clock.state,
        probabilities_bp=tuple(share.get(kind, 0) for kind in ImpulseKind),
        peak_level_db=min(level_db, node.microphone.full_scale_db_spl),
        level_reference=LevelReference.DB_SPL,
        snr_db=row.snr_db,
        rise_time_s=row.rise_s,
        model_id=_MODEL_ID,
        clipped=level_db >= node.microphone.full_scale_db_spl,
    )
