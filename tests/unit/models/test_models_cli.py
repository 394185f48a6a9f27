"""``shotline models`` from the command line: train a small one, judge it, check it, listen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

pytest.importorskip("torch", reason="torch is a training extra")
pytest.importorskip("librosa", reason="librosa is a training extra")

from shotline.errors import AudioError, InputError
from shotline_models.cli import app
from shotline_models.dataset import COLUMNS
from shotline_models.plan import is_free, load_plan, plan_digest, shipped_plan
from shotline_models.registry import find_weights, shipped_models
from shotline_models.twin import read_twin

PLAN = """
name = "tiny"
seed = 3
licences = "all"
folds = 2
[network]
width = 2
members = 2
[optimiser]
epochs = 2
frames_per_epoch = 64
batch = 32
[sampling]
variants = 2
[augment]
codec_chance = 0.0
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-six clips and their manifest."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(1)
    rows = []
    for number in range(36):
        label = ("gunshot", "door", "clap")[number % 3]
        samples = rng.normal(0.0, 0.001, 8_000)
        decay = 400.0 if label == "gunshot" else 40.0
        samples[3_000:6_000] += 0.5 * rng.normal(0.0, 1.0, 3_000) * np.exp(-np.arange(3_000) / decay)
        soundfile.write(folder / f"{number}.flac", np.clip(samples, -1.0, 1.0), 8_000)
        usual = {"sample_rate_hz": 8_000, "original_sample_rate_hz": 8_000, "duration_s": 1.0, "source": "made"}
        rows.append(usual | {"file": f"{number}.flac", "label": label, "group": f"g{number}", "licence": "CC0 1.0"})
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_network_is_trained_judged_and_checked(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    data = ("--manifest", clips / "manifest.csv", "--root", clips)
    out = _run("train", tmp_path / "plan.toml", *data, "--out", tmp_path / "made", "--device", "cpu", "--keep-folds")
    weights = tmp_path / "made" / "tiny.onnx"
    assert str(weights) in out.replace("\n", "")
    made = {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file()}
    assert made >= {"folds/tiny-fold-1.onnx", "folds/tiny-fold-2.onnx", "folds/tiny-fold-2.json"}
    assert made >= {"tiny.onnx", "tiny.json", "curves.csv", "curves.png", "held-out.json", "report/index.html"}
    runs = {row["run"] for row in csv.DictReader((tmp_path / "made" / "curves.csv").read_text().splitlines())}
    whose = ("fold 1 of 2", "fold 2 of 2", "on everything")
    assert runs == {f"{who}, member {member}" for who in whose for member in (1, 2)}
    twin = read_twin(weights)
    assert [item.per_hour for item in twin.thresholds] == [10.0, 1.0, 1.0 / 24.0]
    assert [(item.source, item.licence) for item in twin.data] == [("made", "CC0 1.0")]
    # The last threshold cannot be shown by 24 s of sound, and says so.
    assert not twin.thresholds[-1].resolved
    held_out = json.loads((tmp_path / "made" / "held-out.json").read_text())
    assert held_out["gunshot_onsets"] >= 12

    seen = json.loads(_run("verify", weights, "--json"))
    assert (seen["ok"], seen["model"], seen["sha256"]) == (True, "tiny", twin.sha256)
    assert "logits agree" in _run("verify", weights)

    found = tmp_path / "found.json"
    text = _run("evaluate", *data, "--model", weights, "--json", found, "--report", tmp_path / "page")
    assert "12 gunshots, 24 other onsets" in text
    assert "too little to tell" in text
    assert (tmp_path / "page" / "index.html").is_file()
    assert json.loads(found.read_text())["model_id"] == "tiny"


def test_shipped_networks_are_listed_and_verified() -> None:
    listed = json.loads(_run("list", "--json"))
    assert [item["model"] for item in listed] == list(shipped_models())
    for name in shipped_models():
        assert json.loads(_run("verify", name, "--json"))["ok"]
    _run("list")


def test_every_shipped_network_has_its_plan_its_card_and_its_licences() -> None:
    assert set(shipped_models()) == {"impulse-cnn-2", "impulse-cnn-2-nc"}
    for name, plan in (("impulse-cnn-2", "impulse-cnn"), ("impulse-cnn-2-nc", "impulse-cnn-nc")):
        twin = read_twin(find_weights(name))
        assert twin.plan_sha256 == plan_digest(load_plan(shipped_plan(plan)))
        assert twin.parameters <= 100_000
        card = (Path(__file__).parents[3] / "models" / "cards" / f"{name}.md").read_text(encoding="utf-8")
        assert twin.sha256 in card
        assert all(item.source in card for item in twin.data)
        assert all(is_free(item.licence) for item in twin.data) == (name == "impulse-cnn-2")


def test_augmentation_can_be_listened_to(tmp_path: Path) -> None:
    sound = tmp_path / "bang.wav"
    soundfile.write(sound, 0.5 * np.exp(-np.arange(8_000) / 400.0) * np.sin(np.arange(8_000) * 0.3), 16_000)
    _run("augment", "--listen", tmp_path / "heard", "--sound", sound)
    assert (tmp_path / "heard" / "index.html").is_file()
    soundfile.write(sound, np.zeros((800, 2)), 16_000)
    with pytest.raises(AudioError, match="expected one channel"):
        _run("augment", "--listen", tmp_path / "heard", "--sound", sound)


def test_a_network_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no network 'none\.onnx'; shipped: "):
        find_weights("none.onnx")
