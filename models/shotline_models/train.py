"""Training: from examples and a plan to a network, the same bits for the same seed on the same machine.

Every frame is augmented many times over beforehand, all alike, whatever they are; all networks of a plan learn from the
same pictures. Each epoch draws anew: half of it gunshots, sources and labels by the plan's shares whatever their number
of clips, what the network got wrong more often. Weights of the last part of the run are averaged [Polyak1992].
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shotline.domain import GUNSHOT_INDEX, ImpulseKind
from shotline.errors import InputError
from shotline.features import MelDefinition
from shotline_models.architecture import Committee, ImpulseNet
from shotline_models.augment import Augmenter
from shotline_models.dataset import LIVE_FIRE, Corpus, Example, fold_of
from shotline_models.pictures import LogMel
from shotline_models.plan import Plan

__all__ = [
    "Epoch",
    "Frames",
    "Variants",
    "draw_variants",
    "fold_of_example",
    "gather_frames",
    "logits_of",
    "stopping_set",
    "train",
    "train_committee",
]

RATE_HZ = 8_000
"""Frames are augmented at this rate: the picture ends below half of it."""
MARGIN_S = 0.06
"""Sound kept on both sides of a frame: onsets are jittered, and filters need to begin somewhere."""
BACKGROUND_S = 0.25
"""Sound before the onset, as far as it serves as background for others."""
_AVERAGE_DECAY = 0.99
_STOPPING_SHARE = 12
_SEEDS_APART = 1_000
_STEPS = 255
"""A picture is kept in so many steps: of 60 dB they are a quarter of a decibel."""
_LEAST_LOSS = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Examples at one rate, side by side.

    Parameters
    ----------
    sound : ndarray, shape (n, n_samples), float32
        From `MARGIN_S` before to as much after a frame; where a clip begins or ends, noise as loud as its floor.
    background : ndarray, shape (n, n_samples), float32
        What came before the onset, repeated; silence where nothing is known.
    kind : ndarray, shape (n,), int64
        Index of the `ImpulseKind`.
    examples : sequence of Example
    """

    sound: NDArray[np.float32]
    background: NDArray[np.float32]
    kind: NDArray[np.int64]
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """Pictures of every frame as augmentation made it, several of each.

    Parameters
    ----------
    steps : ndarray, shape (n_variants, n, bands, columns), uint8
        A picture times 255.
    """

    steps: NDArray[np.uint8]

    def some(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return a picture of each of these frames, any of its variants, shape (n_rows, 1, bands, columns)."""
        chosen = self.steps[rng.integers(len(self.steps), size=len(rows)), rows]
        return torch.from_numpy(chosen).float().div_(_STEPS)[:, None]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch, for the curves.

    Parameters
    ----------
    number : int
        From 1.
    loss, stopping_loss : float
        Cross-entropy, nats: of the augmented frames of the epoch, and of the stopping set as recorded.
    rate : float
    """

    number: int
    loss: float
    stopping_loss: float
    rate: float


def gather_frames(corpus: Corpus, definition: MelDefinition, *, rng: np.random.Generator) -> Frames:
    """Bring the examples of a corpus to one rate and length.

    Parameters
    ----------
    corpus : Corpus
        Its frames reach at least `MARGIN_S` beyond those of the definition, where clips do.
    definition : MelDefinition
    rng : numpy.random.Generator
        Draws the noise that stands where a clip has ended.
    """
    import librosa

    before = round((definition.before_s + MARGIN_S) * RATE_HZ)
    count = before + round((definition.after_s + MARGIN_S) * RATE_HZ)
    sound = np.empty((len(corpus.examples), count), dtype=np.float32)
    background = np.zeros_like(sound)
    for number, example in enumerate(corpus.examples):
        rate_hz = example.clip.sample_rate_hz
        samples = example.samples
        if rate_hz != RATE_HZ:
            samples = librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ, res_type="soxr_hq")
        onset = round(example.onset_index * RATE_HZ / rate_hz)
        row = rng.normal(0.0, max(example.noise_rms, 1e-6), count).astype(np.float32)
        low, high = max(onset - before, 0), min(onset - before + count, len(samples))
        row[low - onset + before : high - onset + before] = samples[low:high]
        sound[number] = row
        quiet = samples[max(0, onset - round(BACKGROUND_S * RATE_HZ)) : max(0, onset - round(0.02 * RATE_HZ))]
        if len(quiet) > RATE_HZ // 20:
            background[number] = np.resize(quiet, count)
    kinds = list(ImpulseKind)
    kind = np.array([kinds.index(example.clip.kind) for example in corpus.examples], dtype=np.int64)
    return Frames(sound, background, kind, corpus.examples)


def draw_variants(
    frames: Frames,
    folds: NDArray[np.int64],
    plan: Plan,
    *,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Variants:
    """Augment every frame as often as the plan says.

    Background is lent within a fold: no network learns from the sound of what it is judged by.

    Parameters
    ----------
    frames : Frames
    folds : ndarray, shape (n,), int
        Which fold holds each frame out.
    plan : Plan
    device : torch.device
        That makes the pictures; augmentation itself runs on the processor.
    progress : callable (done, of_how_many)
    """
    augment, pictures = Augmenter(plan.augmentation, RATE_HZ), LogMel(plan.mel, RATE_HZ, device)
    rng, generator = np.random.default_rng(plan.seed), torch.Generator().manual_seed(plan.seed)
    count, reach = plan.sampling.variants, round(min(plan.sampling.jitter_s, MARGIN_S) * RATE_HZ)
    steps = np.zeros((count, len(frames.kind), plan.mel.bands, plan.mel.columns), dtype=np.uint8)
    heard = np.asarray(frames.background.any(axis=1))
    for variant in range(count):
        for fold in np.unique(folds):
            rows = np.flatnonzero(folds == fold)
            lenders = rows[heard[rows]]
            for first in range(0, len(rows), plan.optimiser.batch):
                mine = rows[first : first + plan.optimiser.batch]
                lent = None if not len(lenders) else torch.from_numpy(frames.background[rng.choice(lenders, len(mine))])
                sound = augment(torch.from_numpy(frames.sound[mine]), background=lent, generator=generator)
                sound = _cut(sound, plan, rng.integers(-reach, reach + 1, len(mine)))
                made = pictures(sound.to(device))[:, 0].mul(_STEPS).round().to(torch.uint8)
                steps[variant, mine] = made.cpu().numpy()
        progress(variant + 1, count)
    return Variants(steps)


def fold_of_example(example: Example, plan: Plan, positions: Sequence[str]) -> int:
    """Return the fold that holds an example out: live fire by firing position, clips by family."""
    if example.clip.source == LIVE_FIRE:
        return positions.index(example.clip.family) % plan.folds
    return fold_of(example.clip.family, plan.folds)


def stopping_set(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Say which examples training never learns from, but stops by: a twelfth of the families and recordings."""
    return np.array(
        [
            zlib.crc32(b"stop:" + (item.clip.file if item.clip.source == LIVE_FIRE else item.clip.family).encode())
            % _STOPPING_SHARE
            == 0
            for item in examples
        ]
    )


def train(
    frames: Frames,
    variants: Variants,
    chosen: NDArray[np.bool_],
    plan: Plan,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[Epoch], None] = lambda _: None,
) -> tuple[ImpulseNet, list[Epoch]]:
    """Train a network on some of the frames.

    Parameters
    ----------
    frames : Frames
    variants : Variants
        Of these frames.
    chosen : ndarray, shape (n,), bool
        What may be learned from or stopped by.
    plan : Plan
    seed : int
        Of weights and draws.
    device : torch.device
    progress : callable (Epoch)

    Raises
    ------
    InputError
        There is no gunshot among the chosen, or nothing else.
    """
    stopping = stopping_set(frames.examples) & chosen
    learned, held_back = chosen & ~stopping, np.flatnonzero(stopping)
    weights = _draw_weights(frames, learned, plan)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ImpulseNet(width=plan.network.width, dropout=plan.network.dropout).to(device)
    settings = plan.optimiser
    steps_each = max(1, settings.frames_per_epoch // settings.batch)
    optimiser = torch.optim.AdamW(network.parameters(), settings.peak_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.peak_rate, total_steps=settings.epochs * steps_each
    )
    losses = np.full(len(frames.kind), np.nan)
    averaged: dict[str, Tensor] | None = None
    best: tuple[float, dict[str, Tensor]] | None = None
    history: list[Epoch] = []
    since_best = 0
    for number in range(1, settings.epochs + 1):
        network.train()
        total = 0.0
        rows = rng.choice(
            len(weights), steps_each * settings.batch, p=_by_loss(weights, losses, frames, settings.hard_power)
        )
        for step in range(steps_each):
            mine = rows[step * settings.batch : (step + 1) * settings.batch]
            pictures = variants.some(mine, rng).to(device, memory_format=torch.channels_last)
            kinds = torch.from_numpy(frames.kind[mine]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                logits = network(pictures)
            each = nn.functional.cross_entropy(logits.float(), kinds, reduction="none")
            optimiser.zero_grad()
            torch.autograd.backward(each.mean())
            optimiser.step()
            schedule.step()
            now = each.detach().cpu().numpy()
            losses[mine] = np.where(np.isnan(losses[mine]), now, 0.5 * (losses[mine] + now))
            total += float(now.mean())
            if (number - 1) * steps_each + step >= settings.average_from * settings.epochs * steps_each:
                averaged = _average(averaged, network)
        judged = network if averaged is None else _with_weights(network, averaged)
        stopping_loss = _loss(logits_of(judged, frames, held_back, plan, device), frames.kind[held_back])
        history.append(Epoch(number, total / steps_each, stopping_loss, float(schedule.get_last_lr()[0])))
        progress(history[-1])
        if best is None or not stopping_loss >= best[0]:
            best, since_best = (stopping_loss, copy.deepcopy(judged.state_dict())), 0
        else:
            since_best += 1
            if since_best >= settings.patience:
                break
    assert best is not None
    network.load_state_dict(best[1])
    network.eval()
    return network, history


def train_committee(
    frames: Frames,
    variants: Variants,
    chosen: NDArray[np.bool_],
    plan: Plan,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, Epoch], None] = lambda *_: None,
) -> Committee:
    """Train as many networks as the plan says, each from another seed; see `train`.

    ``progress`` is also told which member it is about, from 1.
    """
    members = []
    for number in range(plan.network.members):
        network, _ = train(
            frames,
            variants,
            chosen,
            plan,
            seed=seed + number * _SEEDS_APART,
            device=device,
            progress=lambda epoch, number=number: progress(number + 1, epoch),  # type: ignore[misc]
        )
        members.append(network)
    return Committee(members).eval()


def logits_of(
    network: nn.Module, frames: Frames, rows: NDArray[np.int64], plan: Plan, device: torch.device
) -> NDArray[np.float64]:
    """Return the logits of some frames as they were recorded, shape (n_rows, n_kinds)."""
    pictures = LogMel(plan.mel, RATE_HZ, device)
    network.eval()
    made = []
    with torch.no_grad():
        for first in range(0, len(rows), 512):
            mine = rows[first : first + 512]
            sound = _cut(torch.from_numpy(frames.sound[mine]), plan, np.zeros(len(mine), dtype=np.int64))
            made.append(network(pictures(sound.to(device))).cpu().double().numpy())
    return np.concatenate(made) if made else np.zeros((0, len(ImpulseKind)))


def _loss(logits: NDArray[np.float64], kind: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy, nats, every kind of the same weight; NaN of nothing."""
    if not len(kind):
        return math.nan
    each = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(kind), reduction="none").numpy()
    return float(np.mean([each[kind == one].mean() for one in np.unique(kind)]))


def _draw_weights(frames: Frames, learned: NDArray[np.bool_], plan: Plan) -> NDArray[np.float64]:
    """Return how likely each frame is drawn before losses count: sources and labels by shares, clips evenly in each."""
    gunshot = frames.kind == GUNSHOT_INDEX
    shares = plan.sampling.source_shares
    groups: dict[tuple[bool, str, str], dict[str, list[int]]] = {}
    for row in np.flatnonzero(learned).tolist():
        clip = frames.examples[row].clip
        key = (bool(gunshot[row]), clip.source, "" if gunshot[row] else clip.label)
        groups.setdefault(key, {}).setdefault(clip.file, []).append(row)
    weights = np.zeros(len(frames.kind))
    for (is_gunshot, source, label), clips in groups.items():
        if is_gunshot:
            share = shares.get(source, min(shares.values(), default=1.0))
        else:
            # Between one say for every clip and one for every label.
            share = len(clips) ** 0.7 * plan.sampling.label_weights.get(label, 1.0)
        for rows in clips.values():
            weights[rows] = share / len(clips) / len(rows)
    for part, share in ((gunshot, plan.sampling.gunshot_share), (~gunshot, 1.0 - plan.sampling.gunshot_share)):
        if weights[part].sum() <= 0.0:
            what = "gunshot" if part is gunshot else "sound that is no gunshot"
            raise InputError(f"no {what} to learn from among {int(learned.sum())} examples; give more data")
        weights[part] *= share / weights[part].sum()
    return weights


def _by_loss(
    weights: NDArray[np.float64], losses: NDArray[np.float64], frames: Frames, power: float
) -> NDArray[np.float64]:
    """Return the chances with which frames are drawn: more of what went wrong, gunshots as often as before."""
    if power == 0.0 or np.isnan(losses).all():
        return weights
    known = np.where(np.isnan(losses), np.nanmedian(losses), losses)
    gunshot = frames.kind == GUNSHOT_INDEX
    chances: NDArray[np.float64] = weights * (known + _LEAST_LOSS) ** power
    for part in (gunshot, ~gunshot):
        chances[part] *= weights[part].sum() / chances[part].sum()
    chances /= chances.sum()
    return chances


def _cut(sound: Tensor, plan: Plan, shift: NDArray[np.int64]) -> Tensor:
    """Return the frames of the definition out of those with margins, each shifted by so many samples."""
    count = round((plan.input.before_s + plan.input.after_s) * RATE_HZ)
    first = torch.from_numpy(shift)[:, None] + round(MARGIN_S * RATE_HZ)
    return torch.gather(sound, 1, first + torch.arange(count)[None, :])


def _average(averaged: dict[str, Tensor] | None, network: ImpulseNet) -> dict[str, Tensor]:
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    if averaged is None:
        return state
    return {
        name: _AVERAGE_DECAY * averaged[name] + (1.0 - _AVERAGE_DECAY) * value if value.is_floating_point() else value
        for name, value in state.items()
    }


def _with_weights(network: ImpulseNet, weights: dict[str, Tensor]) -> ImpulseNet:
    other = copy.deepcopy(network)
    other.load_state_dict(weights)
    return other
