"""From made sounds to a network in two files: plans, training, export, what a node runs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="torch is a training extra")
pytest.importorskip("librosa", reason="librosa is a training extra")

from shotline.domain import ImpulseKind  # noqa: E402
from shotline.errors import ConfigError, InputError  # noqa: E402
from shotline.features import MelDefinition, log_mel  # noqa: E402
from shotline_models import crossval  # noqa: E402
from shotline_models.architecture import Committee, ImpulseNet, count_parameters  # noqa: E402
from shotline_models.dataset import Clip, Corpus, Example  # noqa: E402
from shotline_models.export import AGREEMENT, export, training_data  # noqa: E402
from shotline_models.pictures import LogMel  # noqa: E402
from shotline_models.plan import Plan, is_free, load_plan, plan_digest, shipped_plan  # noqa: E402
from shotline_models.runtime import calibrated, open_network  # noqa: E402
from shotline_models.train import (  # noqa: E402
    RATE_HZ,
    Frames,
    Variants,
    draw_variants,
    gather_frames,
    logits_of,
    stopping_set,
    train,
    train_committee,
)
from shotline_models.twin import Threshold, check_picture, twin_path  # noqa: E402

CPU = torch.device("cpu")
SMALL = {
    "name": "small",
    "seed": 7,
    "licences": "all",
    "folds": 2,
    "input": {"bands": 16, "after_s": 0.2},
    "network": {"width": 4, "members": 2},
    "optimiser": {"epochs": 3, "frames_per_epoch": 128, "batch": 32},
    "sampling": {"variants": 3},
    "augment": {"codec_chance": 0.0},
}


def _sound(kind: ImpulseKind, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    samples = rng.normal(0.0, 0.002, round(0.8 * rate_hz))
    onset = round(0.4 * rate_hz)
    t = np.arange(len(samples) - onset) / rate_hz
    if kind is ImpulseKind.GUNSHOT:
        samples[onset:] += np.exp(-t / 0.05) * rng.normal(0.0, 0.5, len(t))
    else:
        samples[onset:] += np.exp(-t / 0.01) * np.sin(2.0 * np.pi * 2_500.0 * t)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Forty clips of noise bursts and clicks, of two sources and three rates."""
    rng = np.random.default_rng(2)
    clips, examples = [], []
    for number in range(80):
        kind = ImpulseKind.GUNSHOT if number % 2 else ImpulseKind.OTHER_IMPULSE
        rate_hz = (8_000, 12_000, 16_000)[number % 3]
        licence = "CC0 1.0" if number % 5 else "CC BY-NC 3.0 (ESC-50)"
        clip = Clip(f"{number}.wav", kind, kind.value, "", f"s{number % 2}", licence, f"f{number}", rate_hz, 0.8)
        clips.append(clip)
        samples = _sound(kind, rng, rate_hz)
        examples.append(Example(clip, 0.4, 40.0, 0.5, 0.002, False, samples, round(0.4 * rate_hz)))
    return Corpus(tuple(clips), tuple(examples))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.model_validate(SMALL)


@pytest.fixture(scope="module")
def frames(corpus: Corpus, plan: Plan) -> Frames:
    return gather_frames(corpus, plan.mel, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def variants(frames: Frames, plan: Plan) -> Variants:
    return draw_variants(frames, crossval.folds_of(frames, plan), plan, device=CPU)


@pytest.fixture(scope="module")
def weights(frames: Frames, variants: Variants, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = train_committee(frames, variants, np.ones(len(frames.kind), dtype=bool), plan, seed=plan.seed, device=CPU)
    return export(
        network,
        plan,
        tmp_path_factory.mktemp("weights"),
        temperature=1.5,
        thresholds=[Threshold(1.0, 0.9, 2.0, True)],
        data=training_data(frames.examples),
    )


def test_there_is_no_kind_for_speech_or_people_among_the_outputs() -> None:
    network = ImpulseNet()
    assert network(torch.zeros(2, 1, 40, 72)).shape == (2, len(ImpulseKind))
    assert set(ImpulseKind) == {"gunshot", "firework", "thunder", "impact", "other_impulse", "background"}


def test_the_shipped_plans_keep_to_a_hundred_thousand_parameters() -> None:
    for name in ("impulse-cnn", "impulse-cnn-nc"):
        plan = load_plan(shipped_plan(name))
        members = [ImpulseNet(width=plan.network.width) for _ in range(plan.network.members)]
        assert count_parameters(Committee(members)) <= 100_000


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_pictures_in_torch_are_those_of_the_node(rate_hz: int) -> None:
    rng = np.random.default_rng(1)
    mel = MelDefinition()
    sound = _sound(ImpulseKind.GUNSHOT, rng, rate_hz)
    onset, before, after = (round(seconds * rate_hz) for seconds in (0.4, mel.before_s, mel.after_s))
    sound = np.concatenate([sound, rng.normal(0.0, 0.002, rate_hz).astype(np.float32)])
    cut = torch.from_numpy(sound[onset - before : onset + after])[None]
    wanted = log_mel(sound, onset_index=onset, sample_rate_hz=rate_hz, definition=mel)
    # 32-bit floats: 1e-7 of the loudest power, 60 dB above the quietest that counts.
    assert LogMel(mel, rate_hz, CPU)(cut)[0, 0].numpy() == pytest.approx(wanted, abs=2e-3)


def test_frames_of_every_rate_begin_at_the_same_time(frames: Frames, plan: Plan) -> None:
    onset = round((plan.input.before_s + 0.06) * RATE_HZ)
    before = np.abs(frames.sound[:, : onset - 20]).max(axis=1)
    after = np.abs(frames.sound[:, onset : onset + 80]).max(axis=1)
    assert (after > 10.0 * before).all()
    assert frames.background.any(axis=1).all()


def test_one_seed_gives_one_network(frames: Frames, variants: Variants, plan: Plan) -> None:
    chosen = np.ones(len(frames.kind), dtype=bool)
    rows = np.arange(len(frames.kind))
    torch.rand(3)
    runs = [train(frames, variants, chosen, plan, seed=seed, device=CPU) for seed in (3, 3, 4)]
    first, again, other = (logits_of(network, frames, rows, plan, CPU) for network, _ in runs)
    assert (first == again).all()
    assert runs[0][1] == runs[1][1]
    assert not np.allclose(first, other)


def test_what_it_stops_by_is_not_learned_from(frames: Frames, variants: Variants, plan: Plan) -> None:
    stopping = stopping_set(frames.examples)
    assert 0 < stopping.sum() < 20
    chosen = np.ones(len(frames.kind), dtype=bool)
    spoiled = Variants(variants.steps.copy())
    spoiled.steps[:, stopping] = 99
    one = train(frames, variants, chosen, plan, seed=1, device=CPU)[1]
    other = train(frames, spoiled, chosen, plan, seed=1, device=CPU)[1]
    assert [item.loss for item in one] == [item.loss for item in other]


def test_variants_differ_and_borrow_no_background_across_folds(frames: Frames, variants: Variants, plan: Plan) -> None:
    assert variants.steps.shape == (3, len(frames.kind), 16, plan.mel.columns)
    assert (variants.steps[0] != variants.steps[1]).any(axis=(1, 2)).all()
    folds = crossval.folds_of(frames, plan)
    louder = Frames(frames.sound, frames.background * 1.0, frames.kind, frames.examples)
    louder.background[folds == 0] = louder.background[folds == 0][:, ::-1]
    again = draw_variants(louder, folds, plan, device=CPU)
    changed = (again.steps != variants.steps).any(axis=(0, 2, 3))
    assert changed[folds == 0].any()
    assert not changed[folds == 1].any()


def test_a_committee_says_the_mean_of_what_its_members_say(plan: Plan) -> None:
    torch.manual_seed(1)
    members = [ImpulseNet(width=4).eval() for _ in range(3)]
    picture = torch.rand(5, 1, 16, plan.mel.columns)
    with torch.no_grad():
        wanted = torch.stack([torch.softmax(member(picture), dim=1) for member in members]).mean(dim=0)
        said = torch.softmax(Committee(members)(picture), dim=1)
    assert said.numpy() == pytest.approx(wanted.numpy(), abs=1e-6)


def test_held_out_means_held_out(frames: Frames, variants: Variants, corpus: Corpus, plan: Plan) -> None:
    folds = crossval.folds_of(frames, plan)
    assert set(folds.tolist()) == {0, 1}
    logits = crossval.held_out_logits(frames, variants, plan, device=CPU)
    network = train_committee(frames, variants, folds != 0, plan, seed=plan.seed + 1, device=CPU)
    rows = np.flatnonzero(folds == 0)
    assert (logits[rows] == logits_of(network, frames, rows, plan, CPU)).all()
    temperature, of_others = crossval.temperatures(logits, frames.kind, folds)
    assert len(set(of_others.tolist())) == 2
    probabilities = calibrated(logits, temperature)
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    rates = [item.per_hour for item in crossval.thresholds_of(corpus, probabilities)]
    assert rates == sorted(crossval.PER_HOUR, reverse=True)


def test_training_without_gunshots_or_without_others_is_refused(frames: Frames, variants: Variants, plan: Plan) -> None:
    for kind, message in ((0, "no sound that is no gunshot to learn from"), (4, "no gunshot to learn from")):
        with pytest.raises(InputError, match=message):
            train(frames, variants, frames.kind == kind, plan, seed=1, device=CPU)


def test_licences_decide_what_is_learned_from(frames: Frames) -> None:
    free = Plan.model_validate(SMALL | {"licences": "free"})
    allowed = crossval.may_learn(frames, free)
    assert not any("NC" in item.clip.licence for item, yes in zip(frames.examples, allowed, strict=True) if yes)
    assert allowed.sum() == 64
    assert [is_free(text) for text in ("CC0 1.0", "MIT (repo)", "CC BY-NC 3.0", "CC BY-SA 4.0", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_onnx_says_what_torch_says(weights: Path, plan: Plan) -> None:
    network = open_network(weights)
    assert network.twin.parameters == 2 * count_parameters(ImpulseNet(width=4))
    assert network.twin.input == plan.mel
    assert network.twin.plan_sha256 == plan_digest(plan)
    assert {item.source for item in network.twin.data} == {"s0", "s1"}
    assert sum(item.examples for item in network.twin.data) == 80
    seen = network.logits(check_picture(plan.mel)[None])[0]
    assert seen == pytest.approx(network.twin.check_logits, abs=AGREEMENT)
    found = network.probabilities(
        _sound(ImpulseKind.GUNSHOT, np.random.default_rng(1), 16_000), onset_index=6_400, sample_rate_hz=16_000
    )
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    # Nothing of the machine that it was made on goes along.
    model = onnx.load(weights)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert str(Path(__file__).parents[3]).encode() not in weights.read_bytes()


def test_a_warmer_network_is_less_sure(weights: Path, tmp_path: Path) -> None:
    sound = _sound(ImpulseKind.GUNSHOT, np.random.default_rng(1), 8_000)
    found = []
    for temperature in (1.0, 4.0):
        copy = tmp_path / f"t{temperature}.onnx"
        copy.write_bytes(weights.read_bytes())
        twin = json.loads(twin_path(weights).read_text()) | {"temperature": temperature}
        twin_path(copy).write_text(json.dumps(twin))
        found.append(open_network(copy).probabilities(sound, onset_index=3_200, sample_rate_hz=8_000).max())
    assert found[1] < found[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "no small.json beside small.onnx; a network runs only with its twin"),
        (b"{", "not a twin of format 1"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"format": 2}, "format 2, expected 1; update Shotline"),
        ({"kinds": ["gunshot", "speech"]}, "kinds gunshot, speech; expected gunshot, firework"),
        ({"temperature": 0.0}, "temperature 0.0, expected a positive number"),
        ({"sha256": "0" * 64}, "its twin says 000000000000"),
        ({"input": {"bands": 20}}, "takes .* expected one input 'picture'"),
    ],
)
def test_a_network_without_its_twin_is_not_run(
    weights: Path, tmp_path: Path, change: bytes | dict[str, object] | None, message: str
) -> None:
    copy = tmp_path / "small.onnx"
    copy.write_bytes(weights.read_bytes())
    if isinstance(change, bytes):
        twin_path(copy).write_bytes(change)
    elif change is not None:
        twin_path(copy).write_bytes(msgspec.json.encode(json.loads(twin_path(weights).read_text()) | change))
    with pytest.raises(InputError, match=message):
        open_network(copy)


def test_broken_weights_are_not_run(weights: Path, tmp_path: Path) -> None:
    import hashlib

    copy = tmp_path / "small.onnx"
    copy.write_bytes(b"no network at all")
    twin = json.loads(twin_path(weights).read_text()) | {"sha256": hashlib.sha256(copy.read_bytes()).hexdigest()}
    twin_path(copy).write_text(json.dumps(twin))
    with pytest.raises(InputError, match="not a network that ONNX Runtime can run"):
        open_network(copy)
    copy.unlink()
    with pytest.raises(InputError, match="cannot read the weights"):
        open_network(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nseed = 1\nlicences = "some"\n', "licences"),
        ('name = "x"\nseed = 1\nlicences = "all"\ncolour = 3\n', "colour"),
        ('name = "x"\nseed = 1\nlicences = "all"\n[augment]\nloudness = 3\n', "no effect has a setting loudness"),
        ('name = "x"\nseed = 1\nlicences = "all"\n[augment]\nnoise_chance = "often"\n', "Expected `float`"),
    ],
)
def test_a_mistake_in_a_plan_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_plan(tmp_path / "plan.toml")
