"""What nodes report, without making any sound: the same paths and gains, and a model of the node's onset detector.

Of each path the energy and the peak inside the node's band are worked out at a few frequencies. Then, node by node and
in the order of time, the rules of `shotline.onsets` decide which arrivals are onsets: a step of energy, enough of a
peak over the noise, the refractory rule. Hundreds of times faster than sound; how well the two agree is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.messages import Detection, LevelReference
from shotline.onsets import OnsetSettings
from shotline.propagation import absorption_db_per_m
from shotline.units import NS_PER_S, amplitude_from_db
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.emission import Waveform
from shotline_recordings.simulate.gains import path_magnitudes
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA
from shotline_recordings.simulate.microphone import converter_response, response
from shotline_recordings.simulate.noise import DrawnNoise, draw_noise, onset_weight
from shotline_recordings.simulate.paths import PathFinder, Paths
from shotline_recordings.simulate.sound import tail_energy_between
from shotline_recordings.simulate.stage import Stage, StagedNode, Stream, stream

__all__ = ["EventArrivals", "Reported", "event_arrivals", "reported"]

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
_PACKET_EDGES_S = np.concatenate([np.arange(0.0, 0.05, 0.005), np.arange(0.05, 0.7, 0.025)])
"""How a diffuse tail is cut into packets of energy: finer than the detector's windows where it begins."""
_TAIL_PEAK_RMS = 3.0
"""The highest of some milliseconds of Gaussian noise."""
_TAIL_KIND = -1
_CLUTTER_EVENT = -1
_MIN_SNR_DB = 14.0
_NOISE_PEAK_RMS = 2.5
"""The highest of 50 ms has noise of so many rms in it."""
_NEAR_S = 0.050
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
        `PathKind`; -1 for a packet of a diffuse tail.
    straight_s : ndarray, float64
        When the straight line would have brought it.
    gunshot : ndarray, bool
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

    @classmethod
    def together(cls, several: Sequence[EventArrivals]) -> EventArrivals:
        """Return many as one."""
        return cls(*(np.concatenate([getattr(item, column.name) for item in several]) for column in fields(cls)))

    @classmethod
    def none(cls) -> EventArrivals:
        """Return nothing."""
        whole, real = np.zeros(0, dtype=np.intp), np.zeros(0)
        return cls(whole, whole, whole, real, real, real, real, whole, real, np.zeros(0, dtype=np.bool_))

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
    known: dict[tuple[float, float, float], tuple[Paths, ...]] = {}
    heard: dict[tuple[tuple[float, float, float], Waveform], _Heard] = {}
    parts = []
    for round_index, discharge in enumerate(event.discharges):
        rng = stream(stage.seed, Stream.PATH, event.name, round_index)
        for emission in discharge.emissions:
            at = emission.position_m
            if at not in known:
                found = finder.find(np.array(at))
                known[at] = tuple(stage.screened(item, node, at) for item, node in zip(found, stage.nodes, strict=True))
            if (at, emission.waveform) not in heard:
                heard[at, emission.waveform] = _heard(stage, known[at], emission.waveform)
            some = heard[at, emission.waveform]
            scatter_s = some.scatter_s * rng.standard_normal(len(some.node))
            parts.append(
                EventArrivals(
                    node=some.node,
                    event=np.full(len(some.node), number),
                    round_index=np.full(len(some.node), round_index),
                    time_s=emission.time_s + some.delay_s + scatter_s,
                    energy_pa2_s=some.energy_pa2_s,
                    peak_pa=some.peak_pa,
                    rise_s=some.rise_s,
                    kind=some.kind,
                    straight_s=emission.time_s + some.straight_s,
                    gunshot=np.full(len(some.node), event.kind is ImpulseKind.GUNSHOT),
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


def _heard(stage: Stage, several: Sequence[Paths], waveform: Waveform) -> _Heard:
    rate_hz = stage.scene.sample_rate_hz
    frequency_hz = min(0.5 * rate_hz, _HIGHEST_HZ) / _KNOTS * np.arange(1, _KNOTS + 1, dtype=np.float64)
    # Both sides of the spectrum.
    width_hz = np.full(_KNOTS, 2.0 * frequency_hz[0])
    band = onset_weight(frequency_hz, sample_rate_hz=rate_hz) * converter_response(frequency_hz, rate_hz) ** 2
    membranes = {id(n.microphone): np.abs(response(frequency_hz, n.microphone)) ** 2 for n in stage.nodes}
    membrane = np.array([membranes[id(node.microphone)] for node in stage.nodes])

    together = Paths.together(several)
    node = np.repeat(np.arange(len(several)), [len(paths) for paths in several])
    distance_m = np.maximum(together.length_m, 0.1)
    source = np.abs(waveform.spectrum_pa_m_s(frequency_hz, distance_m=distance_m, direction=together.departure))
    power = (source * path_magnitudes(together, frequency_hz, stage.medium)) ** 2 * band * membrane[node]
    straight_s = np.array([paths.straight_s for paths in several])
    early_s = waveform.early_s(distance_m, together.departure) if isinstance(waveform, MuzzleBlast) else 0.0
    columns = [
        _Heard(
            node=node,
            delay_s=together.delay_s - early_s,
            scatter_s=stage.turbulent_sigma_s(together.length_m),
            energy_pa2_s=power @ width_hz,
            peak_pa=_PEAK_SHARE * (np.sqrt(power) @ width_hz),
            rise_s=_RISE_PER_PERIOD * (power @ width_hz) / np.maximum(power @ (width_hz * frequency_hz), 1e-300),
            kind=together.kind,
            straight_s=straight_s[node],
        )
    ]
    if stage.scene.paths.tails:
        columns.append(_tails(stage, several, waveform, frequency_hz, width_hz * band * membrane))
    return _Heard(*(np.concatenate([getattr(item, column.name) for item in columns]) for column in fields(_Heard)))


def _tails(stage: Stage, several: Sequence[Paths], waveform: Waveform, frequency_hz: _Real, weight: _Real) -> _Heard:
    """Return the diffuse tails as packets of energy: they hide what comes later, or are all that is found."""
    weather = stage.medium.weather
    straight_m = np.maximum(np.array([paths.straight_m for paths in several]), 1.0)
    straight_s = np.array([paths.straight_s for paths in several])
    nodes_m = np.array([node.position_m for node in stage.nodes])
    source_m = next((paths.points_m[0][0] for paths in several if len(paths)), nodes_m[0])
    direction = (nodes_m - source_m) / straight_m[:, None]
    source = np.abs(waveform.spectrum_pa_m_s(frequency_hz, distance_m=straight_m, direction=direction))
    loss_db = straight_m[:, None] * absorption_db_per_m(
        frequency_hz, temperature_c=weather.temperature_c, humidity_percent=weather.humidity_percent
    )
    energy = ((source / straight_m[:, None]) ** 2 * 10.0 ** (-loss_db / 10.0) * weight).sum(axis=1)
    steps_s = np.diff(_PACKET_EDGES_S)
    begin_s = _PACKET_EDGES_S[:-1]
    share = np.zeros((len(several), len(steps_s)))
    for table in stage.scene.paths.tails:
        share += [tail_energy_between(table, _PACKET_EDGES_S, length) for length in straight_m.tolist()]
    packets = energy[:, None] * share
    centroid_hz = (weight * source**2) @ frequency_hz / np.maximum((weight * source**2).sum(axis=1), 1e-300)
    shape = packets.shape
    return _Heard(
        node=np.repeat(np.arange(shape[0]), shape[1]),
        delay_s=(straight_s[:, None] + begin_s).ravel(),
        scatter_s=np.zeros(packets.size),
        energy_pa2_s=packets.ravel(),
        peak_pa=(_TAIL_PEAK_RMS * np.sqrt(packets / steps_s)).ravel(),
        rise_s=np.broadcast_to(_RISE_PER_PERIOD / centroid_hz[:, None], shape).ravel(),
        kind=np.full(packets.size, _TAIL_KIND),
        straight_s=np.repeat(straight_s, shape[1]),
    )


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
    rng = stream(stage.seed, Stream.DETECTION, node.id)
    chosen, snr = _onsets(heard, noise_pa, rng)
    rows = [
        _Row(
            time_s=float(heard.time_s[row] + _LATE_PER_RISE * heard.rise_s[row]),
            snr_db=float(snr[row]),
            level_pa=float(amplitude_from_db(float(snr[row])) * noise_pa[row]),
            rise_s=float(heard.rise_s[row]),
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
    detections = tuple(_detection(stage, node, row, sequence, boot, rng) for sequence, row in enumerate(rows))
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


def _onsets(heard: EventArrivals, noise_pa: _Real, rng: np.random.Generator) -> tuple[list[int], _Real]:
    """Return the rows that the node's detector would report, and the SNR of each row in dB."""
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
    peak = _highest_within(time_s, heard.peak_pa, _NEAR_S)
    peak = np.hypot(peak, _NOISE_PEAK_RMS * noise_pa) + noise_pa * rng.standard_normal(len(peak))
    snr_db = 20.0 * np.log10(np.maximum(peak / noise_pa, 1e-3))
    able = (step_db > settings.threshold_db) & (heard.peak_pa > _FAINTEST * noise_pa)
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
    return chosen, snr_db


def _highest_within(time_s: _Real, value: _Real, span_s: float) -> _Real:
    """Return the highest value from each row on, for so long."""
    stop = np.searchsorted(time_s, time_s + span_s)
    return np.array([value[row : max(stop[row], row + 1)].max() for row in range(len(value))]).reshape(-1)


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


def _detection(
    stage: Stage, node: StagedNode, row: _Row, sequence: int, boot: int, rng: np.random.Generator
) -> Detection:
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
