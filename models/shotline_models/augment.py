"""What happens to a bang on its way to a file, drawn anew for every frame of a batch: the augmentation for training.

In the order of nature: `EFFECTS`. Air, ground and edges are those of `shotline.propagation`, the microphone and the
spectra of noise those of the simulator; here they are drawn and applied to many frames at once. The bang stays where it
is in its frame: every filter is of minimum phase [OppenheimSchafer1975 sec. 7.2], so that nothing sounds before its
time, and the straight way takes no time at all. docs/augmentation.md has every effect on one page.

Nothing here knows a label. Give all frames to one `Augmenter`, whatever they are called: an effect that only gunshots
have been through is one that the network will take for a gunshot.

References
----------
[ISO9613] air; [Maekawa1968] edges; [ChienSoroka1975], [Miki1990] ground; [AllenBerkley1979], [Kuttruff2009] echoes and
tail; [Morgan1992], [CNOSSOS2021] noise; [RFC6716], [RFC9639] codecs. See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import scipy.fft
import scipy.stats
import torch
from numpy.typing import NDArray
from torch import Tensor

from shotline.errors import InputError
from shotline.propagation import (
    absorption_db_per_m,
    fresnel_number,
    maekawa_attenuation_db,
    minimum_phase,
    spherical_reflection,
)
from shotline_models.codec import OPUS_BITRATES_BPS, OPUS_RATES_HZ, through_flac, through_opus
from shotline_recordings.simulate.blast import STANDARD_SOUND_MPS
from shotline_recordings.simulate.microphone import Microphone, response
from shotline_recordings.simulate.noise import NoiseModel
from shotline_recordings.simulate.noise_sources import CityNoise, TrafficNoise, WindNoise

__all__ = ["EFFECTS", "AugmentSettings", "Augmenter", "Effect"]

Effect = Literal[
    "distance", "bounce", "blocked", "echoes", "noise", "microphone", "gain", "clipping", "bandwidth", "codec"
]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
"""In the order in which they are applied."""

_Real = NDArray[np.float64]
_Range = tuple[float, float]

_NEPER_PER_DB = math.log(10.0) / 20.0
_DEEPEST_DB = 80.0
"""Gains are not followed below: a logarithm needs an end."""
_DEEPEST_DIP_DB = 60.0
_LOUDEST = 1e15
"""Sample that is no sound in any unit, and from which gains might reach infinity."""
_GUARD_S = 0.1
"""Of silence after a frame, in which filters other than the echoes may ring out. They do so in a few tens of ms."""

_AIRS, _GROUNDS, _EDGES, _MICROPHONES, _CORNERS, _WINDS, _ROADS = 64, 256, 128, 256, 64, 32, 15
"""How many of each are computed beforehand; what is drawn is one of them."""
_BANDWIDTH_ORDER = 8


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How often each effect is, and how strong. Ranges are (low, high), drawn evenly unless said otherwise.

    Parameters
    ----------
    distance_chance, bounce_chance, blocked_chance, echoes_chance, noise_chance, microphone_chance, gain_chance, \
clipping_chance, bandwidth_chance, codec_chance : float
        0 to 1: the share of frames with this effect. At 0 it changes no bit.
    distance_m : tuple[float, float]
        How much farther away the source is than it was when recorded.
    distance_from_m : float
        How far away it was then, as far as spherical spreading goes.
    temperature_c, humidity_percent : tuple[float, float]
        Of the air that absorbs.
    source_height_m, receiver_height_m : tuple[float, float]
        Above the ground that reflects.
    bounce_distance_m : tuple[float, float]
        Along the ground; logarithmically even.
    flow_resistivity_pa_s_per_m2 : tuple[float, float]
        Of the ground; logarithmically even. See `shotline.propagation.GROUND_FLOW_RESISTIVITY_PA_S_PER_M2`.
    detour_m : tuple[float, float]
        How much longer the way over the edge is than the blocked straight line; logarithmically even.
    echo_count : tuple[int, int]
    echo_delay_s : tuple[float, float]
        Behind the straight way; to the nearest sample.
    echo_loss_db : tuple[float, float]
        At the walls, beside what spreading takes.
    echo_path_m : tuple[float, float]
        Length of the straight way, against which the echoes' are longer; logarithmically even.
    echo_corner_hz : tuple[float, float]
        First-order low-pass of echoes and tail; logarithmically even.
    tail_level_db : tuple[float, float]
        Energy of the diffuse tail, within the frame and before the low-pass, over that of the unblocked straight way.
    tail_decay_s : tuple[float, float]
        By 60 dB; logarithmically even.
    tail_build_up_s : tuple[float, float]
        Time constant with which the tail begins.
    snr_db : tuple[float, float]
        Peak of the frame over rms of what is added.
    background_share : float
        0 to 1: of the frames with noise, those that get the caller's background, where there is one. The rest get
        wind and traffic.
    wind_speed_mps : tuple[float, float]
        At the microphone.
    road_distance_m : tuple[float, float]
        Logarithmically even; farthest of all is the hum of the city.
    noise_from_hz : float
        Wind and traffic have nothing below, and the SNR counts nothing there.
    low_corner_hz, resonance_hz : tuple[float, float]
        Of the microphone; logarithmically even.
    resonance_q : tuple[float, float]
    tilt_db : tuple[float, float]
        At half the sample rate; as much with the other sign at 50 Hz. Straight over the octaves.
    ripple_db : tuple[float, float]
        Of a slow wave over the octaves besides.
    gain_db : tuple[float, float]
    clip_below_peak_db : tuple[float, float]
        Where samples end, below the frame's peak.
    bandwidth_hz : tuple[float, float]
        Corner (-3 dB) of a Butterworth low-pass of eighth order.
    opus_share : float
        0 to 1: of the frames with a codec; the rest get FLAC.
    opus_bitrate_bps : tuple[float, float]
        Logarithmically even.
    codec_level_dbfs : tuple[float, float]
        Of the frame's peak when it is encoded.
    """

    distance_chance: float = 0.5
    distance_m: _Range = (10.0, 800.0)
    distance_from_m: float = 50.0
    temperature_c: _Range = (-10.0, 35.0)
    humidity_percent: _Range = (20.0, 95.0)

    bounce_chance: float = 0.4
    source_height_m: _Range = (1.0, 2.0)
    receiver_height_m: _Range = (2.0, 12.0)
    bounce_distance_m: _Range = (30.0, 500.0)
    flow_resistivity_pa_s_per_m2: _Range = (8.0e4, 2.0e7)

    blocked_chance: float = 0.3
    detour_m: _Range = (0.05, 5.0)

    echoes_chance: float = 0.5
    echo_count: tuple[int, int] = (1, 6)
    echo_delay_s: _Range = (0.003, 0.150)
    echo_loss_db: _Range = (1.0, 12.0)
    echo_path_m: _Range = (30.0, 400.0)
    echo_corner_hz: _Range = (800.0, 8_000.0)
    tail_level_db: _Range = (-25.0, -3.0)
    tail_decay_s: _Range = (0.2, 1.5)
    tail_build_up_s: _Range = (0.005, 0.050)

    noise_chance: float = 0.7
    snr_db: _Range = (10.0, 40.0)
    background_share: float = 0.5
    wind_speed_mps: _Range = (2.0, 12.0)
    road_distance_m: _Range = (10.0, 300.0)
    noise_from_hz: float = 50.0

    microphone_chance: float = 0.5
    low_corner_hz: _Range = (20.0, 150.0)
    resonance_hz: _Range = (2_000.0, 30_000.0)
    resonance_q: _Range = (0.6, 3.0)
    tilt_db: _Range = (-6.0, 6.0)
    ripple_db: _Range = (0.0, 2.0)

    gain_chance: float = 0.5
    gain_db: _Range = (-30.0, 12.0)

    clipping_chance: float = 0.15
    clip_below_peak_db: _Range = (1.0, 15.0)

    bandwidth_chance: float = 0.3
    bandwidth_hz: _Range = (2_500.0, 4_000.0)

    codec_chance: float = 0.03
    opus_share: float = 0.7
    opus_bitrate_bps: _Range = (12_000.0, 64_000.0)
    codec_level_dbfs: _Range = (-30.0, -1.0)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            low, high, unit = _LIMITS.get(item.name, (0.0, 1.0, "(a share of frames)"))
            if isinstance(value, tuple):
                if len(value) != 2 or not low <= value[0] <= value[1] <= high:
                    raise InputError(
                        f"{value}, expected two numbers within {low:g} to {high:g} {unit}; give the lower one first",
                        field=item.name,
                    )
            elif not low <= value <= high:
                raise InputError(
                    f"{value:g}, expected {low:g} to {high:g} {unit}; give a number within", field=item.name
                )
        if any(not isinstance(count, int) for count in self.echo_count):
            raise InputError(f"{self.echo_count}, expected two whole numbers; drop the fractions", field="echo_count")


_LIMITS: dict[str, tuple[float, float, str]] = {
    "distance_m": (0.0, 20_000.0, "m"),
    "distance_from_m": (1.0, 20_000.0, "m"),
    "temperature_c": (-60.0, 60.0, "°C"),
    "humidity_percent": (1.0, 100.0, "%"),
    "source_height_m": (0.1, 200.0, "m"),
    "receiver_height_m": (0.1, 200.0, "m"),
    "bounce_distance_m": (3.0, 20_000.0, "m"),
    "flow_resistivity_pa_s_per_m2": (1.0e3, 1.0e9, "Pa s/m²"),
    "detour_m": (0.001, 1_000.0, "m"),
    "echo_count": (1, 50, "echoes"),
    "echo_delay_s": (0.001, 10.0, "s"),
    "echo_loss_db": (0.0, 60.0, "dB"),
    "echo_path_m": (1.0, 20_000.0, "m"),
    "echo_corner_hz": (100.0, 100_000.0, "Hz"),
    "tail_level_db": (-80.0, 20.0, "dB"),
    "tail_decay_s": (0.01, 20.0, "s"),
    "tail_build_up_s": (0.0001, 1.0, "s"),
    "snr_db": (-20.0, 120.0, "dB"),
    "wind_speed_mps": (0.1, 60.0, "m/s"),
    "road_distance_m": (3.0, 2_000.0, "m"),
    "noise_from_hz": (0.0, 1_000.0, "Hz"),
    "low_corner_hz": (1.0, 1_000.0, "Hz"),
    "resonance_hz": (1_000.0, 1.0e6, "Hz"),
    "resonance_q": (0.3, 100.0, ""),
    "tilt_db": (-40.0, 40.0, "dB"),
    "ripple_db": (0.0, 20.0, "dB"),
    "gain_db": (-120.0, 120.0, "dB"),
    "clip_below_peak_db": (0.0, 60.0, "dB"),
    "bandwidth_hz": (100.0, 100_000.0, "Hz"),
    "opus_bitrate_bps": (*OPUS_BITRATES_BPS, "bit/s"),
    "codec_level_dbfs": (-80.0, 0.0, "dBFS"),
}


class Augmenter:
    """Applies what `AugmentSettings` say to batches of frames.

    Filters are computed once for each length of frame that is met (about a second in all), at points spread evenly over
    the ranges (Sobol's sequence); a frame then gets one of these at random. Distance, tilt, ripple, echoes, tail,
    noise, gain and clipping are drawn from a continuum. What one effect draws does not depend on the settings of
    another.

    Parameters
    ----------
    settings : AugmentSettings
    sample_rate_hz : int
        Of all frames.
    """

    def __init__(self, settings: AugmentSettings, sample_rate_hz: int) -> None:
        if not 4_000 <= sample_rate_hz <= 200_000:
            raise InputError(f"{sample_rate_hz} Hz, expected 4000 to 200000; resample first", field="sample_rate_hz")
        if settings.codec_chance * settings.opus_share > 0.0 and sample_rate_hz not in OPUS_RATES_HZ:
            raise InputError(
                f"{sample_rate_hz} Hz, but Opus takes {', '.join(str(rate) for rate in OPUS_RATES_HZ)} Hz only; "
                "resample, or set opus_share to 0",
                field="sample_rate_hz",
            )
        self.settings = settings
        self.sample_rate_hz = sample_rate_hz
        self._filters: dict[int, _Filters] = {}
        self._effects: dict[Effect, Callable[[Tensor, _Around, _Draw], Tensor]] = {
            "distance": self._distance,
            "bounce": self._bounce,
            "blocked": self._blocked,
            "echoes": self._echoes,
            "noise": self._noise,
            "microphone": self._microphone,
            "gain": self._gain,
            "clipping": self._clipping,
            "bandwidth": self._bandwidth,
            "codec": self._codec,
        }

    def __call__(self, sound: Tensor, *, background: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return frames with effects, each on the share of them that its chance says.

        Parameters
        ----------
        sound : Tensor, shape (n_frames, n_samples), float32
            On the CPU; finite; not changed.
        background : Tensor | None, shape (n_frames, n_samples), float32
            Sound without any bang, one for each frame, at any level; pair them at random.
        generator : torch.Generator
            All randomness comes from it: the same state in gives the same bits out.

        Returns
        -------
        Tensor, shape (n_frames, n_samples), float32
            Finite. A frame that no effect was drawn for is the same to the bit.
        """
        _check(sound, background)
        seeds = torch.randint(2**62, (len(EFFECTS),), generator=generator).tolist()
        result, unblocked = sound.clone(), sound
        for effect, seed in zip(EFFECTS, seeds, strict=True):
            draw = _Draw(seed)
            rows = torch.nonzero(draw.even(len(sound), (0.0, 1.0)) < self._chance(effect)).squeeze(1)
            if effect == "blocked":
                unblocked = result
            if len(rows):
                around = _Around(unblocked[rows], None if background is None else background[rows])
                result = result.index_put((rows,), self._effects[effect](result[rows], around, draw))
        return result

    def apply_one(
        self, effect: Effect, sound: Tensor, *, background: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Return frames that have all been through one effect, whatever its chance.

        Parameters
        ----------
        effect : str
            One of `EFFECTS`.
        sound, background, generator
            See `__call__`.

        Returns
        -------
        Tensor, shape (n_frames, n_samples), float32
        """
        if effect not in EFFECTS:
            raise InputError(f"no effect {effect!r} is known; give one of {', '.join(EFFECTS)}", field="effect")
        _check(sound, background)
        if not len(sound):
            return sound.clone()
        draw = _Draw(int(torch.randint(2**62, (1,), generator=generator)))
        return self._effects[effect](sound, _Around(sound, background), draw)

    def _chance(self, effect: Effect) -> float:
        return float(getattr(self.settings, f"{effect}_chance"))

    def _filters_for(self, n_samples: int) -> _Filters:
        if n_samples not in self._filters:
            count = _even_fast(n_samples + round(_GUARD_S * self.sample_rate_hz))
            self._filters[n_samples] = _Filters(self.settings, count, self.sample_rate_hz)
        return self._filters[n_samples]

    def _distance(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Move the source away: 1/r, and what air absorbs on the way [ISO9613 eq. 3 to 5], of minimum phase."""
        settings = self.settings
        farther_m = draw.even(len(sound), settings.distance_m)
        table = self._filters_for(sound.shape[1]).air_log_per_m
        air = table[draw.index(len(sound), len(table))]
        spread = settings.distance_from_m / (settings.distance_from_m + farther_m)
        return _filtered(sound, torch.exp(air * _column(farther_m)) * _column(spread))

    def _bounce(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Add what the ground reflects, and so the dips of their interference; see `_bounces`."""
        table = self._filters_for(sound.shape[1]).bounce
        return _filtered(sound, table[draw.index(len(sound), len(table))])

    def _blocked(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Put an edge in the straight way; see `_edges`. The echoes go round it: they may then be the louder ones."""
        table = self._filters_for(sound.shape[1]).edge
        return _filtered(sound, table[draw.index(len(sound), len(table))])

    def _echoes(self, sound: Tensor, around: _Around, draw: _Draw) -> Tensor:
        """Add a few echoes by walls, as from images [AllenBerkley1979 eq. 1], and a diffuse tail [Kuttruff2009].

        An echo is weaker than the unblocked straight way by spreading over its longer path and by its wall's loss. The
        tail is noise whose amplitude goes as (1 - exp(-t/build-up)) 10^(-3 t/decay). Both are low-passed, in one step.
        """
        settings, rate_hz, (n_frames, n_samples) = self.settings, self.sample_rate_hz, sound.shape
        most = settings.echo_count[1]
        count = draw.whole(n_frames, settings.echo_count)
        delay_s = draw.even((n_frames, most), settings.echo_delay_s)
        loss_db = draw.even((n_frames, most), settings.echo_loss_db)
        straight_m = _column(draw.log_even(n_frames, settings.echo_path_m))
        gain = straight_m / (straight_m + STANDARD_SOUND_MPS * delay_s) * torch.exp(-_NEPER_PER_DB * loss_db)
        late = torch.round(delay_s * rate_hz).long()
        heard = (torch.arange(most) < _column(count)) & (late < n_samples)
        response_ = draw.normal(n_frames, n_samples)
        after_s = torch.arange(n_samples, dtype=torch.float32) / rate_hz
        build_up_s = _column(draw.even(n_frames, settings.tail_build_up_s)).float()
        decay_s = _column(draw.log_even(n_frames, settings.tail_decay_s)).float()
        response_ *= -torch.expm1(-after_s / build_up_s) * torch.exp(after_s * (-3.0 * math.log(10.0) / decay_s))
        energy = torch.exp(2.0 * _NEPER_PER_DB * draw.even(n_frames, settings.tail_level_db))
        response_ *= _column(torch.sqrt(energy / (response_.double() ** 2).sum(dim=1).clamp(min=1e-30))).float()
        response_.scatter_add_(1, late.clamp(max=n_samples - 1), torch.where(heard, gain, 0.0).float())

        padded = _even_fast(2 * n_samples)
        corner_hz = _column(draw.log_even(n_frames, settings.echo_corner_hz))
        keep = torch.exp(-2.0 * math.pi / rate_hz * corner_hz).float()
        turn = torch.exp(-2j * math.pi / padded * torch.arange(padded // 2 + 1)).to(torch.complex64)
        dull = (1.0 - keep) / (1.0 - keep * turn)
        spectrum = torch.fft.rfft(response_, padded) * dull
        return sound + _filtered(around.unblocked, spectrum)

    def _noise(self, sound: Tensor, around: _Around, draw: _Draw) -> Tensor:
        """Add wind and traffic, or the background that was given, at an SNR; see `_noise_shapes`.

        Of the power of the former, an even share between none and all is the wind's.
        """
        settings, (n_frames, n_samples) = self.settings, sound.shape
        winds, roads = self._filters_for(n_samples).noise
        wind, road = winds[draw.index(n_frames, len(winds))], roads[draw.index(n_frames, len(roads))]
        share = _column(draw.even(n_frames, (0.0, 1.0))).float()
        amplitude = torch.sqrt(share * wind + (1.0 - share) * road)
        lines = torch.view_as_complex(draw.normal(n_frames, amplitude.shape[1], 2)) * amplitude
        noise = torch.fft.irfft(lines, 2 * (amplitude.shape[1] - 1))[:, :n_samples]
        given = draw.even(n_frames, (0.0, 1.0)) < settings.background_share
        if around.background is not None:
            given &= around.background.abs().amax(dim=1) > 0.0
            noise = torch.where(_column(given), around.background, noise)
        peak = sound.abs().amax(dim=1).double()
        rms = _rms(noise).clamp(min=1e-30)
        scale = peak * torch.exp(-_NEPER_PER_DB * draw.even(n_frames, settings.snr_db)) / rms
        added: Tensor = (noise.double() * _column(scale)).float()
        return sound + added

    def _microphone(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Hear it with another microphone (see `_microphones`), and with a tilt and a ripple of its own."""
        settings, n_frames = self.settings, len(sound)
        filters = self._filters_for(sound.shape[1])
        tilt_db = draw.even(n_frames, settings.tilt_db)
        ripple_db, phase = draw.even(n_frames, settings.ripple_db), draw.even(n_frames, (0.0, 2.0 * math.pi))
        weights = torch.stack((tilt_db, ripple_db * torch.cos(phase), ripple_db * torch.sin(phase)), dim=1)
        colour = torch.exp(weights.to(torch.complex64) @ filters.colour_log_per_db)
        return _filtered(sound, filters.microphone[draw.index(n_frames, len(filters.microphone))] * colour)

    def _gain(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Turn it up or down."""
        return sound * _column(torch.exp(_NEPER_PER_DB * draw.even(len(sound), self.settings.gain_db))).float()

    def _clipping(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """End the samples at a level below the frame's peak, both signs alike."""
        below = torch.exp(-_NEPER_PER_DB * draw.even(len(sound), self.settings.clip_below_peak_db))
        limit = _column(sound.abs().amax(dim=1) * below.float())
        return torch.clamp(sound, -limit, limit)

    def _bandwidth(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Leave out what is above a corner, as a lower sample rate or a codec would; see `_bandwidths`."""
        table = self._filters_for(sound.shape[1]).bandwidth
        return _filtered(sound, table[draw.index(len(sound), len(table))])

    def _codec(self, sound: Tensor, _: _Around, draw: _Draw) -> Tensor:
        """Store it as Opus [RFC6716] or FLAC [RFC9639] and read it again; see `shotline_models.codec`."""
        settings, n_frames = self.settings, len(sound)
        opus = (draw.even(n_frames, (0.0, 1.0)) < settings.opus_share).tolist()
        asked_bps = draw.log_even(n_frames, settings.opus_bitrate_bps)
        bitrates_bps: list[float] = asked_bps.clamp(*settings.opus_bitrate_bps).tolist()
        levels_dbfs = draw.even(n_frames, settings.codec_level_dbfs).tolist()
        rate_hz = self.sample_rate_hz
        result = torch.empty_like(sound)
        for row, frame in enumerate(sound.numpy()):
            stored = (
                through_opus(frame, sample_rate_hz=rate_hz, bitrate_bps=bitrates_bps[row], level_dbfs=levels_dbfs[row])
                if opus[row]
                else through_flac(frame, sample_rate_hz=rate_hz, level_dbfs=levels_dbfs[row])
            )
            result[row] = torch.from_numpy(stored)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class _Around:
    """What an effect needs beside the frames: their sound as no edge has weakened it, and what else is to be heard."""

    unblocked: Tensor
    background: Tensor | None


class _Draw:
    """Random numbers of one effect in one batch; float64 unless said otherwise."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def even(self, shape: int | tuple[int, ...], range_: _Range) -> Tensor:
        size = (shape,) if isinstance(shape, int) else shape
        return range_[0] + (range_[1] - range_[0]) * torch.rand(size, generator=self._generator, dtype=torch.float64)

    def log_even(self, count: int, range_: _Range) -> Tensor:
        return range_[0] * torch.exp(self.even(count, (0.0, math.log(range_[1] / range_[0]))))

    def whole(self, count: int, range_: tuple[int, int]) -> Tensor:
        return torch.randint(range_[0], range_[1] + 1, (count,), generator=self._generator)

    def index(self, count: int, size: int) -> Tensor:
        return self.whole(count, (0, size - 1))

    def normal(self, *shape: int) -> Tensor:
        """Return float32."""
        return torch.randn(shape, generator=self._generator)


class _Filters:
    """Transfer functions and noise at the frequencies of one transform, each computed when it is first used.

    Parameters
    ----------
    settings : AugmentSettings
    count : int
        Samples of the transform, even.
    sample_rate_hz : int
    """

    def __init__(self, settings: AugmentSettings, count: int, sample_rate_hz: int) -> None:
        self._settings = settings
        self._fine_hz: _Real = np.fft.rfftfreq(2 * count, 1.0 / sample_rate_hz).astype(np.float64)

    @cached_property
    def air_log_per_m(self) -> Tensor:
        """Logarithm of the gain of a metre, shape (n_airs, n_frequencies), complex64."""
        return _complex64(_airs(self._settings, self._fine_hz))

    @cached_property
    def bounce(self) -> Tensor:
        """Gain, shape (n_grounds, n_frequencies), complex64."""
        return _complex64(_bounces(self._settings, self._fine_hz))

    @cached_property
    def edge(self) -> Tensor:
        """Gain, shape (n_edges, n_frequencies), complex64."""
        return _complex64(_edges(self._settings, self._fine_hz))

    @cached_property
    def microphone(self) -> Tensor:
        """Gain, shape (n_microphones, n_frequencies), complex64."""
        return _complex64(_microphones(self._settings, self._fine_hz))

    @cached_property
    def colour_log_per_db(self) -> Tensor:
        """Logarithm of the gain of a decibel of tilt and of the two phases of ripple, (3, n_frequencies), complex64."""
        return _complex64(_colours(self._fine_hz))

    @cached_property
    def bandwidth(self) -> Tensor:
        """Gain, shape (n_corners, n_frequencies), complex64."""
        return _complex64(_bandwidths(self._settings, self._fine_hz))

    @cached_property
    def noise(self) -> tuple[Tensor, Tensor]:
        """Powers of wind and of roads, each shape (n, n_frequencies), float32, each row with a sum of one."""
        wind, road = _noise_shapes(self._settings, self._fine_hz[::2])
        return torch.from_numpy(wind.astype(np.float32)), torch.from_numpy(road.astype(np.float32))


def _airs(settings: AugmentSettings, frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return the logarithm of what a metre of air does [ISO9613], which is so small that it has no turns in it.

    Minimum phase is linear in the logarithm of the gain: d metres are exp(d times this).
    """
    weather = _spread(_AIRS, settings.temperature_c, settings.humidity_percent)
    absorbed_db = np.stack(
        [
            absorption_db_per_m(frequency_hz, temperature_c=float(temperature_c), humidity_percent=float(humidity))
            for temperature_c, humidity in weather
        ]
    )
    return np.asarray(np.log(_causal(-_NEPER_PER_DB * absorbed_db)))


def _bounces(settings: AugmentSettings, frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return direct and reflected wave together, over the direct one: |1 + Q (r1/r2) exp(-ik (r2 - r1))|.

    Q is that of a spherical wave [ChienSoroka1975] over porous ground [Miki1990]. The sum of a sound and of a weaker,
    later one is of minimum phase by itself [OppenheimSchafer1975 sec. 7.2]; making it so from its gain changes that
    only where soft ground adds a surface wave, and keeps half-sample delays from sounding early.
    """
    resistivity = settings.flow_resistivity_pa_s_per_m2
    drawn = _spread(
        _GROUNDS,
        settings.source_height_m,
        settings.receiver_height_m,
        _log(settings.bounce_distance_m),
        _log(resistivity),
    )
    source_m, receiver_m = drawn[:, :1], drawn[:, 1:2]
    horizontal_m, flow = np.exp(drawn[:, 2:3]), np.exp(drawn[:, 3:4])
    reflected = spherical_reflection(
        frequency_hz,
        source_height_m=source_m,
        receiver_height_m=receiver_m,
        horizontal_m=horizontal_m,
        flow_resistivity_pa_s_per_m2=flow,
        speed_of_sound_mps=STANDARD_SOUND_MPS,
    )
    straight_m, by_ground_m = (
        np.hypot(horizontal_m, source_m - receiver_m),
        np.hypot(horizontal_m, source_m + receiver_m),
    )
    phase = 2.0 * np.pi * frequency_hz / STANDARD_SOUND_MPS * (by_ground_m - straight_m)
    total = np.abs(1.0 + reflected * (straight_m / by_ground_m) * np.exp(-1j * phase))
    return _causal(np.log(np.maximum(total, 10.0 ** (-_DEEPEST_DIP_DB / 20.0))))


def _edges(settings: AugmentSettings, frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return what an edge leaves of the sound that bends over it, by Maekawa's curve [Maekawa1968], minimum phase."""
    detour_m = np.exp(_spread(_EDGES, _log(settings.detour_m)))
    number = fresnel_number(detour_m, frequency_hz, speed_of_sound_mps=STANDARD_SOUND_MPS)
    return _causal(-_NEPER_PER_DB * maekawa_attenuation_db(number))


def _microphones(settings: AugmentSettings, frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return the simulator's microphone: vent or coupling, first or second order, and the capsule's resonance."""
    drawn = _spread(
        _MICROPHONES, _log(settings.low_corner_hz), _log(settings.resonance_hz), settings.resonance_q, (1.0, 3.0)
    )
    low_hz = np.clip(np.exp(drawn[:, 0]), *settings.low_corner_hz)
    resonance_hz = np.clip(np.exp(drawn[:, 1]), *settings.resonance_hz)
    gains = [
        np.abs(
            response(
                frequency_hz,
                Microphone(
                    name="drawn",
                    full_scale_db_spl=120.0,
                    low_corner_hz=float(low_hz[row]),
                    low_order=int(drawn[row, 3]),
                    resonance_hz=float(resonance_hz[row]),
                    resonance_q=float(drawn[row, 2]),
                ),
            )
        )
        for row in range(_MICROPHONES)
    ]
    return _causal(np.log(np.maximum(np.stack(gains), 10.0 ** (-_DEEPEST_DB / 20.0))))


def _colours(frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return logarithms of gains of 1 dB at the most: straight, and one wave of either phase, over the octaves."""
    place = np.log(np.maximum(frequency_hz, 50.0) / 50.0) / np.log(frequency_hz[-1] / 50.0)
    wave = 2.0 * np.pi * place
    shapes_db = np.stack([2.0 * place - 1.0, np.cos(wave), np.sin(wave)])
    return np.asarray(np.log(_causal(_NEPER_PER_DB * shapes_db)))


def _bandwidths(settings: AugmentSettings, frequency_hz: _Real) -> NDArray[np.complex128]:
    """Return low-passes with Butterworth's gain, 1 / sqrt(1 + (f/corner)^16), minimum phase."""
    corner_hz = _spread(_CORNERS, settings.bandwidth_hz)
    log_gain = -0.5 * np.log1p((frequency_hz / corner_hz) ** (2 * _BANDWIDTH_ORDER))
    return _causal(np.maximum(log_gain, -_NEPER_PER_DB * _DEEPEST_DB))


def _noise_shapes(settings: AugmentSettings, frequency_hz: _Real) -> tuple[_Real, _Real]:
    """Return spectra of wind [Morgan1992] and of traffic [CNOSSOS2021], near, far, and very far: the simulator's."""
    winds = [WindNoise(float(speed_mps)) for speed_mps in _spread(_WINDS, settings.wind_speed_mps)[:, 0]]
    nearest_m, farthest_m = settings.road_distance_m
    away_m = np.clip(np.exp(_spread(_ROADS, _log(settings.road_distance_m)))[:, 0], nearest_m, farthest_m)
    roads: list[NoiseModel] = [TrafficNoise(6.0, distance_m=float(each_m)) for each_m in away_m]
    return _powers(list(winds), frequency_hz, settings), _powers([*roads, CityNoise(45.0)], frequency_hz, settings)


def _powers(models: list[NoiseModel], frequency_hz: _Real, settings: AugmentSettings) -> _Real:
    """Return the share of the power that is at each frequency, shape (n_models, n_frequencies)."""
    heard = frequency_hz[1:] >= settings.noise_from_hz
    density = np.stack([model.mean_powers() @ model.spectra_pa2_per_hz(frequency_hz[1:]) for model in models]) * heard
    return np.concatenate([np.zeros((len(models), 1)), density / density.sum(axis=1, keepdims=True)], axis=1)


def _causal(log_gain_neper: _Real) -> NDArray[np.complex128]:
    """Return the minimum-phase spectrum at every second of the frequencies.

    The finer ones keep what a gain that is zero at 0 Hz leaves in the cepstrum for long from folding back into a
    frame: 3e-3 of a microphone's response without them, 1e-5 with them.
    """
    return minimum_phase(log_gain_neper, 2 * (log_gain_neper.shape[-1] - 1))[..., ::2]


def _spread(count: int, *ranges: _Range) -> _Real:
    """Return points that fill a box evenly, shape (count, n_ranges)."""
    places: _Real = scipy.stats.qmc.Sobol(len(ranges), scramble=False).random_base2(math.ceil(math.log2(count)))[:count]
    low, high = np.array(ranges, dtype=np.float64).T
    result: _Real = low + (high - low) * places
    return result


def _log(range_: _Range) -> _Range:
    return math.log(range_[0]), math.log(range_[1])


def _complex64(values: NDArray[np.complex128]) -> Tensor:
    return torch.from_numpy(values.astype(np.complex64))


def _column(values: Tensor) -> Tensor:
    return values.unsqueeze(1)


def _even_fast(count: int) -> int:
    return 2 * int(scipy.fft.next_fast_len((count + 1) // 2, real=True))


def _filtered(sound: Tensor, spectrum: Tensor) -> Tensor:
    """Return frames after a filter each; what rings on after the frame is cut off."""
    count = 2 * (spectrum.shape[1] - 1)
    result: Tensor = torch.fft.irfft(torch.fft.rfft(sound, count) * spectrum.to(torch.complex64), count)
    return result[:, : sound.shape[1]]


def _rms(sound: Tensor) -> Tensor:
    """Return float64, shape (n_frames,)."""
    return torch.sqrt((sound.double() ** 2).mean(dim=1))


def _check(sound: Tensor, background: Tensor | None) -> None:
    for name, value in (("sound", sound), ("background", background)):
        if value is None:
            continue
        if value.ndim != 2 or value.dtype != torch.float32 or value.shape[1] < 2 or value.shape != sound.shape:
            raise InputError(
                f"{value.dtype} of shape {tuple(value.shape)}, expected torch.float32 of shape (n_frames, n_samples), "
                "the same for sound and background; give one frame to a row",
                field=name,
            )
        good = value.abs() <= _LOUDEST
        if not bool(good.all()):
            raise InputError(
                f"{int((~good).sum())} of {value.numel()} samples are NaN, infinite or beyond {_LOUDEST:g}, expected "
                "sound; drop such frames before they are augmented",
                field=name,
            )
