"""Hear and see what the augmentation does: every effect alone, and all of them together, as a page with sound.

Sounds are written so loud that their peaks are at -1 dBFS, before and after alike, so that a shot from 800 m away is
heard; the pictures show their true levels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import amplitude_from_db
from shotline_models.augment import EFFECTS, Augmenter, AugmentSettings, Effect
from shotline_models.torchaudio_beside_cpu import torchaudio
from shotline_recordings.simulate.blast import STANDARD_SOUND_MPS, MuzzleBlast
from shotline_recordings.simulate.microphone import converter_response
from shotline_recordings.simulate.weapons import weapon

__all__ = ["example_gunshot", "write_examples"]

_WEAPON = "m4"
_EXAMPLE_S, _EXAMPLE_ONSET_S, _EXAMPLE_M = 0.7, 0.1, 50.0
_PEAK_DBFS = -1.0
_DEEPEST_DB = 80.0
_WINDOW_S = 0.016
_ALL = "all"


def example_gunshot(sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the muzzle blast of a rifle 50 m to the side, in open and still air: the simulator's, peak 0.9.

    Parameters
    ----------
    sample_rate_hz : int

    Returns
    -------
    ndarray, shape (n_samples,), float32
        0.7 s; the shot begins at 0.1 s.
    """
    blast = MuzzleBlast.of(weapon(_WEAPON), azimuth_deg=0.0, speed_of_sound_mps=STANDARD_SOUND_MPS)
    count = round(_EXAMPLE_S * sample_rate_hz)
    frequency_hz = np.fft.rfftfreq(2 * count, 1.0 / sample_rate_hz).astype(np.float64)
    spectrum = blast.spectrum_pa_m_s(
        frequency_hz, distance_m=np.array([_EXAMPLE_M]), direction=np.array([[1.0, 0.0, 0.0]])
    )[0]
    late = np.exp(-2j * np.pi * frequency_hz * _EXAMPLE_ONSET_S)
    sound = np.fft.irfft(spectrum * late * converter_response(frequency_hz, sample_rate_hz), 2 * count)[:count]
    result: NDArray[np.float32] = (0.9 / np.abs(sound).max() * sound).astype(np.float32)
    return result


def write_examples(
    folder: Path,
    sounds: Sequence[NDArray[np.float32]],
    *,
    sample_rate_hz: int,
    settings: AugmentSettings,
    seed: int,
) -> list[Path]:
    """Write sounds before and after each effect, and after all of them, with pictures and a page that plays them.

    Parameters
    ----------
    folder : Path
        Made if it is not there; files of the same names are replaced.
    sounds : sequence of ndarray, shape (n_samples,), float32
        One row each, of any length; none: `example_gunshot`.
    sample_rate_hz : int
    settings : AugmentSettings
        Their ranges. An effect whose chance is 0 is left out; the others are heard whatever their chance.
    seed : int

    Returns
    -------
    list[Path]
        ``index.html``, and for every sound and effect ``sound-1-distance-before.wav``, ``...-after.wav``, ``....png``.
    """
    heard = [effect for effect in EFFECTS if getattr(settings, f"{effect}_chance") > 0.0]
    if not heard:
        raise InputError("every chance is 0, expected one above 0 at least; there is nothing to hear", field="settings")
    chosen = [torch.from_numpy(np.array(sound, np.float32)) for sound in sounds or [example_gunshot(sample_rate_hz)]]
    for number, sound in enumerate(chosen, start=1):
        if sound.ndim != 1 or len(sound) < _window(sample_rate_hz):
            raise InputError(
                f"sound {number} has shape {tuple(sound.shape)}, expected one row of {_window(sample_rate_hz)} samples "
                "or more; give one channel",
                field="sounds",
            )
    augmenter = Augmenter(settings, sample_rate_hz)
    certain: dict[str, Any] = {f"{effect}_chance": 1.0 for effect in heard}
    every = Augmenter(replace(settings, **certain), sample_rate_hz)
    folder.mkdir(parents=True, exist_ok=True)
    written, rows = [], []
    for number, sound in enumerate(chosen, start=1):
        frames = sound.unsqueeze(0)
        for index, effect in enumerate([*heard, _ALL]):
            generator = torch.Generator().manual_seed(seed + 1_000 * number + index)
            after = (
                every(frames, background=None, generator=generator)
                if index == len(heard)
                else augmenter.apply_one(heard[index], frames, generator=generator)
            )[0].numpy()
            name = f"sound-{number}-{effect}"
            paths = [folder / f"{name}-before.wav", folder / f"{name}-after.wav", folder / f"{name}.png"]
            _write_wav(paths[0], sound.numpy(), sample_rate_hz)
            _write_wav(paths[1], after, sample_rate_hz)
            _draw(paths[2], sound.numpy(), after, sample_rate_hz, title=f"sound {number}: {effect}")
            written += paths
            rows.append((number, effect, [path.name for path in paths]))
    page = folder / "index.html"
    page.write_text(_page(rows, seed), encoding="utf-8")
    return [page, *written]


def _window(sample_rate_hz: int) -> int:
    return 2 * round(_WINDOW_S * sample_rate_hz / 2)


def _write_wav(path: Path, sound: NDArray[np.float32], sample_rate_hz: int) -> None:
    peak = float(np.abs(sound).max())
    scale = amplitude_from_db(_PEAK_DBFS) / peak if peak > 0.0 else 0.0
    soundfile.write(path, sound.astype(np.float64) * scale, sample_rate_hz, format="WAV", subtype="PCM_16")


def _draw(
    path: Path, before: NDArray[np.float32], after: NDArray[np.float32], sample_rate_hz: int, *, title: str
) -> None:
    """Draw waveforms and spectrograms, before on the left and after on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0))
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(2, 2)
    figure.subplots_adjust(left=0.08, right=0.95, hspace=0.25, wspace=0.25)
    window = _window(sample_rate_hz)
    power = torchaudio.transforms.Spectrogram(n_fft=2 * window, win_length=window, hop_length=window // 4)
    for column, (name, sound) in enumerate((("before", before), ("after", after))):
        time_s = np.arange(len(sound)) / sample_rate_hz
        axes[0, column].plot(time_s, sound, linewidth=0.6)
        axes[0, column].set(title=name, ylabel="amplitude", xlim=(0.0, time_s[-1]))
        axes[0, column].grid(visible=True, alpha=0.3)
        level_db = 10.0 * np.log10(power(torch.from_numpy(sound)).numpy() + 1e-30)
        top_db = float(level_db.max())
        picture = axes[1, column].imshow(
            level_db,
            origin="lower",
            aspect="auto",
            extent=(0.0, time_s[-1], 0.0, sample_rate_hz / 2.0),
            vmin=top_db - _DEEPEST_DB,
            vmax=top_db,
        )
        figure.colorbar(picture, ax=axes[1, column], label="dB")
        axes[1, column].set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.savefig(path, dpi=80, metadata={"Software": None})


def _page(rows: Sequence[tuple[int, Effect | str, list[str]]], seed: int) -> str:
    style = "td,th{padding:.4em;vertical-align:top;text-align:left}img{width:40em;max-width:100%}audio{width:14em}"
    told = (
        f"Each effect alone, drawn with seed {seed}, then all of them together. All sounds have their peak at "
        f"{_PEAK_DBFS:g} dBFS; the pictures show their levels."
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><title>What the augmentation does</title>',
        f"<style>body{{font-family:sans-serif;margin:2em}}{style}</style>",
        "<h1>What the augmentation does</h1>",
        f"<p>{told}</p>",
        "<table><tr><th>sound<th>effect<th>before<th>after<th>picture</tr>",
    ]
    for number, effect, names in rows:
        before, after, picture = (html.escape(name, quote=True) for name in names)
        parts.append(
            f'<tr><td>{number}<td>{html.escape(effect)}<td><audio controls preload="none" src="{before}"></audio>'
            f'<td><audio controls preload="none" src="{after}"></audio>'
            f'<td><img loading="lazy" src="{picture}" alt="{html.escape(effect)}: waveform and spectrogram"></tr>'
        )
    return "\n".join([*parts, "</table></html>", ""])
