"""A small simulator of sound in a city block, for the demo and for tests with exact truth.

Per path (straight, by the ground, by buildings): spherical spreading, absorption by the air as a minimum-phase filter,
and an exact delay as a phase, all in the frequency domain; then noise, a microphone that clips, and 16 bits.

What a scene says is `shotline_recordings.scene`. Every random choice comes from the seed and from the place of its node
and event in the file, so the same file and seed give the same bits, and one more shot does not change the noise.

References
----------
[Friedlander1946] blast wave p = P (1 - t/T) exp(-t/T); [ISO9613] absorption. See docs/references.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.geodesy import LocalFrame
from shotline.propagation import absorption_db_per_m, travel_time_s
from shotline.units import NS_PER_S, amplitude_from_db, ns_from_seconds
from shotline_recordings.dataset import Dataset, Recording, Scene, TruthEvent, save_dataset
from shotline_recordings.scene import Bang, Echoes, Noise, SceneFile, Shots

__all__ = ["Simulation", "draw_overview", "simulate", "write_simulation"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

REFERENCE_PRESSURE_PA = 20e-6
"""0 dB SPL."""
SITE_SIGMA_M = 0.05
CLOCK_SIGMA_NS = 1_000
"""Disciplined by PPS [TN098 table I]. The simulated clocks are exact."""

_SEGMENT_S = 2.0
_LEAD_S = 0.02
_LONGEST_ECHO_S = 0.8
_GROUND_REFLECTION = 0.5
_NLOS_GAIN = 0.4
_NLOS_CORNER_HZ = 1_200.0
_TAIL_BEGINS_S = 0.008
_TAIL_CORNER_HZ = 1_500.0
_DEEPEST_NEPER = -14.0
"""-120 dB: where absorption stops, so that a filter's logarithm stays finite."""
_NOISE_STREAM, _PATH_STREAM = 0, 1


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the microphones recorded.

    Parameters
    ----------
    scene : SceneFile
    seed : int
    sounds : dict[str, ndarray], shape (n_samples,), int16
        By node.
    start_times_ns : dict[str, int]
        UTC of each node's first sample; they differ by fractions of a sample and more.
    truth : tuple[TruthEvent, ...]
        Exact: sigma 0.
    """

    scene: SceneFile
    seed: int
    sounds: dict[str, NDArray[np.int16]]
    start_times_ns: dict[str, int]
    truth: tuple[TruthEvent, ...]


@dataclass(frozen=True, slots=True)
class _Paths:
    """The ways from one event to one node: shape (n_paths,) each, the straight one first."""

    delay_s: _Real
    length_m: _Real
    gain: _Real
    dull: NDArray[np.bool_]
    tail: _Real


def simulate(scene: SceneFile, *, seed: int) -> Simulation:
    """Return what the nodes of a scene record.

    Parameters
    ----------
    scene : SceneFile
    seed : int
        Of every random choice.
    """
    rate_hz = scene.sample_rate_hz
    sites_m = np.array([(node.x_m, node.y_m, node.z_m) for node in scene.nodes])
    samples = round(scene.duration_s * rate_hz)
    full_scale_pa = REFERENCE_PRESSURE_PA * amplitude_from_db(scene.full_scale_db_spl)
    sounds, starts_ns, longest_s = {}, {}, {item.event: 0.0 for item in scene.events}
    for index, node in enumerate(scene.nodes):
        rng = np.random.default_rng([seed, _NOISE_STREAM, index])
        starts_ns[node.id] = scene.start_ns + int(rng.integers(0, 50_000_000))
        pressure_pa = _noise_pa(scene.noise, samples, rate_hz, rng)
        for number, item in enumerate(scene.events):
            choice = np.random.default_rng([seed, _PATH_STREAM, index, number])
            source_m = np.array([item.x_m, item.y_m, item.z_m])
            paths = _paths(source_m, sites_m[index], scene.air, scene.echoes, rate_hz, choice)
            longest_s[item.event] = max(longest_s[item.event], float(paths.delay_s[0]))
            response = _response(item, paths, scene.air, rate_hz)
            for discharge_ns in _discharges_ns(scene, item):
                arrival_s = (discharge_ns - starts_ns[node.id]) / NS_PER_S + float(paths.delay_s[0])
                _add(pressure_pa, response, paths.tail, arrival_s=arrival_s, rate_hz=rate_hz)
        steps = np.rint(pressure_pa / full_scale_pa * 32_768.0)
        sounds[node.id] = np.clip(steps, -32_768, 32_767).astype(np.int16)
    truth = tuple(_truth(scene, item, longest_s[item.event]) for item in scene.events)
    return Simulation(scene, seed, sounds, starts_ns, truth)


def write_simulation(simulation: Simulation, folder: Path) -> Dataset:
    """Write FLAC files, ``dataset.toml`` and ``overview.png`` into a folder; return the dataset.

    Parameters
    ----------
    simulation : Simulation
    folder : Path
        Made if need be; files of the same names are replaced.
    """
    import soundfile

    scene = simulation.scene
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    recordings = []
    for node, sound in simulation.sounds.items():
        path = folder / "audio" / f"{node}.flac"
        soundfile.write(path, sound, scene.sample_rate_hz, subtype="PCM_16")
        recordings.append(
            Recording(
                node=node,
                path=path,
                start_time_ns=simulation.start_times_ns[node],
                clock_state=ClockState.PPS,
                clock_sigma_ns=CLOCK_SIGMA_NS,
                full_scale_db_spl=scene.full_scale_db_spl,
            )
        )
    made = Scene(
        name=scene.name,
        frame=LocalFrame(scene.origin.lat_deg, scene.origin.lon_deg, scene.origin.height_m),
        sites=tuple(Site(node.id, node.x_m, node.y_m, node.z_m, SITE_SIGMA_M) for node in scene.nodes),
        weather=WeatherTimeline.constant(scene.air),
        recordings=tuple(recordings),
        truth=simulation.truth,
    )
    dataset = Dataset(
        name=scene.name,
        licence="CC0-1.0",
        source=f"simulated by shotline, seed {simulation.seed}",
        scenes=(made,),
    )
    save_dataset(dataset, folder)
    draw_overview(simulation, folder / "overview.png")
    return dataset


def draw_overview(simulation: Simulation, path: Path) -> None:
    """Draw a map of the scene, and the sound of every node by its distance from the first event."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scene = simulation.scene
    figure = Figure(figsize=(13.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    ground, record = figure.subplots(1, 2, width_ratios=(1.0, 1.4))
    ground.set(title=scene.name, xlabel="east (m)", ylabel="north (m)", aspect="equal")
    ground.plot([n.x_m for n in scene.nodes], [n.y_m for n in scene.nodes], "^", color="tab:blue", label="node")
    for node in scene.nodes:
        ground.annotate(node.id, (node.x_m, node.y_m), xytext=(4, 4), textcoords="offset points", fontsize=8)
    for event in simulation.truth:
        shot = event.kind == "gunshot"
        text = (
            f"{event.event}: {event.rounds} round{'s' if event.rounds > 1 else ''}"
            if shot
            else f"{event.event}, no shot"
        )
        ground.plot(event.x_m, event.y_m, "*" if shot else "x", ms=12, color="tab:red" if shot else "gray", label=text)
    figure.legend(fontsize=8, loc="outside lower left", ncols=6)
    ground.grid(visible=True, alpha=0.3)

    first = simulation.truth[0] if simulation.truth else None
    centre = (first.x_m, first.y_m) if first else (0.0, 0.0)
    ordered = sorted(scene.nodes, key=lambda node: np.hypot(node.x_m - centre[0], node.y_m - centre[1]))
    for row, node in enumerate(ordered):
        sound = simulation.sounds[node.id].astype(np.float64)
        step = max(1, len(sound) // 4_000)
        blocks = np.abs(sound[: len(sound) // step * step].reshape(-1, step)).max(axis=1)
        late_s = (simulation.start_times_ns[node.id] - scene.start_ns) / NS_PER_S
        level_db = 20.0 * np.log10(np.maximum(blocks, 1.0) / 32_768.0) + scene.full_scale_db_spl
        times_s = late_s + np.arange(len(blocks)) * step / scene.sample_rate_hz
        record.plot(times_s, row + (level_db - 50.0) / 80.0, lw=0.6, color="tab:blue")
    for event in simulation.truth:
        for time_ns in event.shot_times_ns:
            color = "tab:red" if event.kind == "gunshot" else "gray"
            record.axvline((time_ns - scene.start_ns) / NS_PER_S, color=color, lw=0.8, alpha=0.6)
    record.set(title="peak level; nearest to the first event at the bottom", xlabel="time (s)")
    record.set_yticks(range(len(ordered)), [node.id for node in ordered])
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _discharges_ns(scene: SceneFile, item: Shots | Bang) -> tuple[int, ...]:
    times_s = item.times_s if isinstance(item, Shots) else [item.time_s]
    return tuple(scene.start_ns + ns_from_seconds(time_s) for time_s in sorted(times_s))


def _truth(scene: SceneFile, item: Shots | Bang, longest_s: float) -> TruthEvent:
    times_ns = _discharges_ns(scene, item)
    shot = isinstance(item, Shots)
    return TruthEvent(
        event=item.event,
        x_m=item.x_m,
        y_m=item.y_m,
        z_m=item.z_m,
        sigma_m=0.0,
        rounds=len(times_ns) if shot else 0,
        shot_times_ns=times_ns,
        window_ns=(times_ns[0] - NS_PER_S // 2, times_ns[-1] + ns_from_seconds(longest_s + 1.0)),
        kind="gunshot" if isinstance(item, Shots) else item.kind,
        label=item.label,
    )


def _source_pa(item: Shots | Bang, frequency_hz: _Real) -> _Complex:
    """Return the spectrum in Pa s of the pressure at 1 m: Friedlander's blast, or modes that ring and decay."""
    laplace = 2j * np.pi * frequency_hz
    peak_pa = REFERENCE_PRESSURE_PA * amplitude_from_db(item.peak_db_spl_at_1m)
    if isinstance(item, Shots):
        return np.asarray(peak_pa * laplace / (laplace + 1e3 / item.blast_ms) ** 2, dtype=np.complex128)
    decay_per_s = 1e3 / item.decay_ms
    ringing = np.zeros(frequency_hz.shape, dtype=np.complex128)
    for mode_hz in item.modes_hz:
        turn = 2.0 * np.pi * mode_hz
        ringing += turn / ((laplace + decay_per_s) ** 2 + turn**2)
    return peak_pa / len(item.modes_hz) * ringing


def _paths(
    source_m: _Real, site_m: _Real, air: Weather, echoes: Echoes, rate_hz: int, rng: np.random.Generator
) -> _Paths:
    """Draw the ways from an event to a node. The straight one obeys `travel_time_s`; all others are later."""
    wind_mps = np.array([*air.wind_enu_mps, 0.0])
    ends_m = np.array([site_m, site_m * [1.0, 1.0, -1.0]])
    travel_s = travel_time_s(source_m, ends_m, speed_of_sound_mps=air.speed_of_sound_mps, wind_mps=wind_mps)
    length_m = np.linalg.norm(ends_m - source_m, axis=1)
    hidden = bool(rng.random() < echoes.nlos_share)
    excess_s = float(rng.exponential(echoes.nlos_excess_ms)) * 1e-3 if hidden else 0.0
    count = int(rng.poisson(echoes.per_path))
    extra_s = np.minimum(0.003 + rng.exponential(echoes.delay_ms * 1e-3, count), _LONGEST_ECHO_S)
    strength = rng.uniform(0.15, 0.7, count) * rng.choice([-1.0, 1.0], count)
    tail = _tail(echoes, rate_hz, rng)
    return _Paths(
        delay_s=np.concatenate([travel_s + excess_s, travel_s[0] + excess_s + extra_s]),
        length_m=np.concatenate([length_m, length_m[0] + extra_s * air.speed_of_sound_mps]),
        gain=np.concatenate([[1.0, _GROUND_REFLECTION], strength])
        * np.where(np.arange(count + 2) < 2, _NLOS_GAIN if hidden else 1.0, 1.0),
        dull=(np.arange(count + 2) < 2) & hidden,
        tail=tail,
    )


def _tail(echoes: Echoes, rate_hz: int, rng: np.random.Generator) -> _Real:
    """Return a diffuse tail that begins with the rms that ``tail_db`` says, for a peak of 1."""
    count = round(min(_SEGMENT_S, 7e-3 * echoes.tail_ms) * rate_hz)
    frequency_hz = _frequencies_hz(count, rate_hz)
    rough = _coloured(1.0 / np.hypot(1.0, frequency_hz / _TAIL_CORNER_HZ), count, rng)
    falling = np.exp(-np.arange(count) / rate_hz * 1e3 / echoes.tail_ms)
    result: _Real = amplitude_from_db(echoes.tail_db) * rough * falling
    return result


def _response(item: Shots | Bang, paths: _Paths, air: Weather, rate_hz: int) -> _Complex:
    """Return the spectrum of what arrives by all paths, the straight one at time zero, in Pa (per sample)."""
    count = _segment_samples(rate_hz)
    frequency_hz = _frequencies_hz(count, rate_hz)
    neper_per_m = absorption_db_per_m(
        frequency_hz, temperature_c=air.temperature_c, humidity_percent=air.humidity_percent
    ) * (np.log(10.0) / 20.0)
    dullness = -0.5 * np.log1p((frequency_hz / _NLOS_CORNER_HZ) ** 4)
    total = np.zeros(frequency_hz.shape, dtype=np.complex128)
    for delay_s, length_m, gain, dull in zip(paths.delay_s, paths.length_m, paths.gain, paths.dull, strict=True):
        log_gain = np.maximum(-neper_per_m * length_m + (dullness if dull else 0.0), _DEEPEST_NEPER)
        late = np.exp(-2j * np.pi * frequency_hz * (delay_s - paths.delay_s[0]))
        total += gain / length_m * _minimum_phase(log_gain, count) * late
    return np.asarray(total * _source_pa(item, frequency_hz) * _band_edge(frequency_hz, rate_hz) * rate_hz)


def _frequencies_hz(count: int, rate_hz: int) -> _Real:
    result: _Real = np.arange(count // 2 + 1, dtype=np.float64) * (rate_hz / count)
    return result


def _segment_samples(rate_hz: int) -> int:
    return round(_SEGMENT_S * rate_hz)


def _minimum_phase(log_gain: _Real, count: int) -> _Complex:
    """Return the causal spectrum with this logarithmic gain (folded cepstrum): absorption never sounds early."""
    cepstrum = np.fft.irfft(log_gain, count)
    fold = np.zeros(count)
    fold[0] = 1.0
    fold[1 : (count + 1) // 2] = 2.0
    if count % 2 == 0:
        fold[count // 2] = 1.0
    return np.asarray(np.exp(np.fft.rfft(cepstrum * fold)))


def _band_edge(frequency_hz: _Real, rate_hz: int) -> _Real:
    """Return the converter's anti-alias filter: linear phase, cosine from 0.35 to 0.5 of the sample rate."""
    position = np.clip((frequency_hz / rate_hz - 0.35) / 0.15, 0.0, 1.0)
    result: _Real = 0.5 + 0.5 * np.cos(np.pi * position)
    return result


def _add(pressure_pa: _Real, response: _Complex, tail: _Real, *, arrival_s: float, rate_hz: int) -> None:
    """Add an arrival at an exact, fractional sample position, and its tail."""
    count = _segment_samples(rate_hz)
    position = arrival_s * rate_hz
    first = int(np.floor(position)) - round(_LEAD_S * rate_hz)
    turn = np.exp(-2j * np.pi * np.arange(len(response)) / count * (position - first))
    segment = np.fft.irfft(response * turn, count)
    tail_at = int(np.ceil(position - first + _TAIL_BEGINS_S * rate_hz))
    length = min(len(tail), count - tail_at)
    segment[tail_at : tail_at + length] += tail[:length] * np.abs(segment).max()
    begin, end = max(first, 0), min(first + count, len(pressure_pa))
    if begin < end:
        pressure_pa[begin:end] += segment[begin - first : end - first]


def _noise_pa(noise: Noise, count: int, rate_hz: int, rng: np.random.Generator) -> _Real:
    """Return wind and city (falling 5 dB per octave from 60 Hz) and vehicles that pass (60 to 900 Hz)."""
    frequency_hz = _frequencies_hz(count, rate_hz)
    city = _coloured(np.maximum(frequency_hz, 20.0) ** -0.83 * (frequency_hz > 20.0), count, rng)
    road = _coloured(1.0 / (1.0 + (frequency_hz / 500.0) ** 2) * (frequency_hz > 60.0), count, rng)
    times_s = np.arange(count) / rate_hz
    passing = np.zeros(count)
    for _ in range(int(rng.poisson(noise.passes_per_minute * count / rate_hz / 60.0))):
        middle_s, width_s = rng.uniform(0.0, times_s[-1]), rng.uniform(1.5, 4.0)
        passing = np.maximum(passing, rng.uniform(0.4, 1.0) * np.exp(-0.5 * ((times_s - middle_s) / width_s) ** 2))
    result: _Real = REFERENCE_PRESSURE_PA * (
        amplitude_from_db(noise.background_db_spl) * city + amplitude_from_db(noise.traffic_db_spl) * passing * road
    )
    return result


def _coloured(shape: _Real, count: int, rng: np.random.Generator) -> _Real:
    """Return noise of this amplitude spectrum with an rms of 1."""
    result = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    scaled: _Real = result / np.sqrt(np.mean(result**2))
    return scaled
