"""Labelled sound: what is read, what is cut out, what is kept together, what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shotline.domain import ImpulseKind
from shotline.errors import DatasetError
from shotline_models.dataset import COLUMNS, LIVE_FIRE, Clip, fold_of, kind_of, read_live_fire, read_manifest

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recordings at ../shared/data")
RATE_HZ = 8_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def _bangs(rng: np.random.Generator, *peaks: float) -> np.ndarray:
    """Return noise with a bang a second, of these peaks."""
    samples = rng.normal(0.0, 0.0005, (len(peaks) + 1) * RATE_HZ)
    for number, peak in enumerate(peaks):
        start = round((number + 0.7) * RATE_HZ)
        samples[start : start + 400] += peak * np.exp(-np.arange(400) / 60.0) * np.sin(np.arange(400) * 0.9)
    return samples


def _manifest(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "manifest.csv"
    usual = {"sample_rate_hz": str(RATE_HZ), "original_sample_rate_hz": "8000", "duration_s": "3.0", "source": "s"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow(dict.fromkeys(columns, "") | usual | row)
    return path


def test_a_frame_is_cut_about_every_onset(tmp_path: Path, rng: np.random.Generator) -> None:
    soundfile.write(tmp_path / "a.wav", _bangs(rng, 0.5, 0.05), RATE_HZ)
    soundfile.write(tmp_path / "quiet.wav", _bangs(rng), RATE_HZ)
    manifest = _manifest(tmp_path, {"file": "a.wav", "label": "clap"}, {"file": "quiet.wav", "label": "rain_wind"})
    corpus = read_manifest(manifest, tmp_path, before_s=0.1, after_s=0.4)
    # A clip in which nothing is heard still counts as time without an alarm.
    assert [clip.file for clip in corpus.clips] == ["a.wav", "quiet.wav"]
    assert [item.at_s for item in corpus.examples] == pytest.approx([0.7, 1.7], abs=0.002)
    for item in corpus.examples:
        assert item.clip.kind is ImpulseKind.OTHER_IMPULSE
        # The onset lies between samples.
        assert abs(item.onset_index - 800) <= 1
        assert abs(len(item.samples) - 4_000) <= 1
        assert item.snr_db > 14.0
    assert corpus.examples[0].peak == pytest.approx(10.0 * corpus.examples[1].peak, rel=0.1)


def test_in_a_clip_of_gunshots_weak_onsets_are_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    soundfile.write(tmp_path / "a.wav", _bangs(rng, 0.5, 0.05, 0.4), RATE_HZ)
    near = read_manifest(
        _manifest(tmp_path, {"file": "a.wav", "label": "gunshot"}), tmp_path, before_s=0.1, after_s=0.4
    )
    assert [item.at_s for item in near.examples] == pytest.approx([0.7, 2.7], abs=0.002)
    manifest = _manifest(tmp_path, {"file": "a.wav", "label": "gunshot", "source": "carioni"})
    far = read_manifest(manifest, tmp_path, before_s=0.1, after_s=0.4)
    assert [item.at_s for item in far.examples] == pytest.approx([0.7], abs=0.002)


@pytest.mark.parametrize(
    ("label", "sub_label", "kind"),
    [
        ("gunshot", "", "gunshot"),
        ("firework", "fireworks", "firework"),
        ("thunder", "", "thunder"),
        ("door", "door_wood_knock", "impact"),
        ("hammer", "", "impact"),
        ("other_impulse", "medicine ball drop (inter-floor)", "impact"),
        ("other_impulse", "mouse_click", "other_impulse"),
        ("glass", "", "other_impulse"),
        ("speech", "spoken digit", "background"),
        ("birds_nature", "", "background"),
    ],
)
def test_labels_become_kinds_of_impulse(label: str, sub_label: str, kind: str) -> None:
    assert kind_of(label, sub_label) == kind


def test_families_are_blocks_but_where_a_block_is_a_whole_source(tmp_path: Path, rng: np.random.Generator) -> None:
    soundfile.write(tmp_path / "a.wav", _bangs(rng, 0.5), RATE_HZ)
    rows = [
        {"file": "a.wav", "label": "clap", "group": group, "split_block": block}
        for group, block in (("g1", "b1"), ("g2", "b1"), ("g1", "katsis"), ("g2", "katsis"), ("", ""))
    ]
    corpus = read_manifest(_manifest(tmp_path, *rows), tmp_path, before_s=0.1, after_s=0.4)
    assert [clip.family for clip in corpus.clips] == ["b1", "b1", "g1", "g2", "a.wav"]


def test_folds_depend_on_the_name_only_and_are_about_even() -> None:
    folds = [fold_of(f"family-{number}", 6) for number in range(600)]
    assert folds == [fold_of(f"family-{number}", 6) for number in range(600)]
    # Binomial with p = 1/6: 100 +- 9; five sigma.
    assert all(55 < folds.count(fold) < 145 for fold in range(6))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file": "none.wav"}, "cannot read none.wav"),
        ({"file": "a.wav", "sample_rate_hz": "16000"}, "a.wav has 8000 Hz, its row says 16000"),
        ({"file": "a.wav", "duration_s": "long"}, "line 2: sample_rate_hz '8000' or duration_s 'long' is no number"),
        ({"file": "stereo.wav"}, "stereo.wav has 2 channels, expected 1"),
        ({"file": "nan.wav"}, "nan.wav holds a sample that is not a finite number"),
        ({"file": "text.wav"}, "cannot read text.wav"),
    ],
)
def test_a_bad_row_or_file_is_named(
    tmp_path: Path, rng: np.random.Generator, row: dict[str, str], message: str
) -> None:
    soundfile.write(tmp_path / "a.wav", _bangs(rng, 0.5), RATE_HZ)
    soundfile.write(tmp_path / "stereo.wav", np.zeros((800, 2)), RATE_HZ)
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), RATE_HZ, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(DatasetError, match=message):
        read_manifest(_manifest(tmp_path, row), tmp_path, before_s=0.1, after_s=0.4)


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no column licence, flags; a manifest has the columns file, label"):
        read_manifest(_manifest(tmp_path, columns=COLUMNS[:-2]), tmp_path, before_s=0.1, after_s=0.4)
    with pytest.raises(DatasetError, match="no clip in the manifest"):
        read_manifest(_manifest(tmp_path), tmp_path, before_s=0.1, after_s=0.4)
    with pytest.raises(DatasetError, match="cannot read the manifest"):
        read_manifest(tmp_path / "none.csv", tmp_path, before_s=0.1, after_s=0.4)


def test_an_empty_clip_has_no_example(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE_HZ)
    corpus = read_manifest(_manifest(tmp_path, {"file": "a.wav", "label": "clap"}), tmp_path, before_s=0.1, after_s=0.4)
    assert (len(corpus.clips), len(corpus.examples)) == (1, 0)


@needs_data
def test_the_forest_holds_one_shot_a_clip_and_its_groups_stay_together() -> None:
    root = DATA / "audio"
    corpus = read_manifest(root / "manifest.csv", root, before_s=0.1, after_s=0.4, only_sources={"ffsl", "gungame"})
    assert {clip.source for clip in corpus.clips} == {"ffsl", "gungame"}
    assert sum(clip.kind is ImpulseKind.GUNSHOT for clip in corpus.clips) == 27
    assert {item.clip.kind for item in corpus.examples} == {ImpulseKind.GUNSHOT, ImpulseKind.OTHER_IMPULSE}


@needs_data
def test_live_fire_gives_an_example_for_nearly_every_pulse_with_its_distance() -> None:
    corpus = read_live_fire(DATA / "pittsburgh", before_s=0.1, after_s=0.4, only=["FP4"])
    assert len(corpus.examples) > 100
    assert len(corpus.missed) <= 0.02 * len(corpus.examples)
    assert {(item.clip.source, item.clip.family) for item in corpus.examples} == {(LIVE_FIRE, "FP4")}
    distances_m = [item.distance_m or 0.0 for item in corpus.examples]
    assert 20.0 < min(distances_m) < max(distances_m) < 1_000.0


def test_parts_of_a_corpus(tmp_path: Path, rng: np.random.Generator) -> None:
    soundfile.write(tmp_path / "a.wav", _bangs(rng, 0.5), RATE_HZ)
    rows = [{"file": "a.wav", "label": label} for label in ("clap", "thunder")]
    corpus = read_manifest(_manifest(tmp_path, *rows), tmp_path, before_s=0.1, after_s=0.4)
    part = corpus.only(lambda clip: clip.kind is ImpulseKind.THUNDER)
    assert [clip.label for clip in part.clips] == [item.clip.label for item in part.examples] == ["thunder"]
    both = part + corpus
    assert (len(both.clips), len(both.examples)) == (3, 3)
    assert isinstance(both.clips[0], Clip)
