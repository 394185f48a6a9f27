"""The page that plays the augmentation, and torchaudio beside a torch that its compiled part does not fit."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is a training extra")
soundfile = pytest.importorskip("soundfile", reason="soundfile is a training extra")
pytest.importorskip("matplotlib", reason="matplotlib is a server extra")
if importlib.util.find_spec("torchaudio") is None:
    pytest.skip("torchaudio is a training extra", allow_module_level=True)

from shotline.errors import InputError  # noqa: E402
from shotline_models import torchaudio_beside_cpu  # noqa: E402
from shotline_models.augment import EFFECTS, AugmentSettings  # noqa: E402
from shotline_models.listen import example_gunshot, write_examples  # noqa: E402

RATE_HZ = 8_000
NONE = AugmentSettings(**{f"{effect}_chance": 0.0 for effect in EFFECTS})
FEW = replace(NONE, echoes_chance=0.1, clipping_chance=0.1)

NOT_LOADED = """
import sys
import torch

def refuse(path):
    raise OSError(f"Could not load this library: {path}")

torch.ops.load_library = refuse
from shotline_models.torchaudio_beside_cpu import torchaudio
import torchaudio as again
assert again is torchaudio
assert torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE is False
power = torchaudio.transforms.Spectrogram(n_fft=64, hop_length=32)(torch.ones(1, 640))
assert power.shape == (1, 33, 21)
assert torchaudio.functional.melscale_fbanks(33, 0.0, 4000.0, 10, 8000).shape == (33, 10)
assert torchaudio.functional.lowpass_biquad(torch.ones(1, 80), 8000, 1000.0).shape == (1, 80)
try:
    torchaudio.functional.forced_align(torch.zeros(1, 5, 3), torch.ones(1, 2, dtype=torch.int32))
except RuntimeError as error:
    assert "forced_align is compiled" in str(error), error
else:
    raise SystemExit("forced_align ran without its compiled part")
"""


def test_every_effect_and_all_together_can_be_heard_and_seen(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    written = write_examples(folder, [], sample_rate_hz=RATE_HZ, settings=AugmentSettings(), seed=1)
    page, *files = written
    assert page.name == "index.html"
    names = [f"sound-1-{effect}" for effect in [*EFFECTS, "all"]]
    assert [path.name for path in files] == [
        f"{name}{end}" for name in names for end in ("-before.wav", "-after.wav", ".png")
    ]
    assert all(path.parent == folder for path in written)
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'src="([^"]+)"', text) == [path.name for path in files]
    for path in files:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
            continue
        sound, rate_hz = soundfile.read(path)
        assert rate_hz == RATE_HZ
        assert len(sound) == 5_600
        # Peaks at -1 dBFS, in steps of 16 bits.
        assert np.abs(sound).max() == pytest.approx(10.0 ** (-1.0 / 20.0), abs=1e-4)


def test_the_same_seed_writes_the_same_sound_and_another_one_does_not(tmp_path: Path) -> None:
    settings = replace(NONE, echoes_chance=0.1)

    def after(folder: str, seed: int) -> list[bytes]:
        paths = write_examples(tmp_path / folder, [], sample_rate_hz=RATE_HZ, settings=settings, seed=seed)
        assert len(paths) == 1 + 2 * 3
        return [path.read_bytes() for path in paths if path.name.endswith("-after.wav")]

    first = after("one", 1)
    assert after("two", 1) == first
    assert after("three", 2) != first


def test_every_sound_is_written_and_silence_is_silent(tmp_path: Path) -> None:
    sounds = [np.zeros(1_000, dtype=np.float32), example_gunshot(RATE_HZ)[::-1]]
    settings = replace(NONE, gain_chance=1.0)
    paths = write_examples(tmp_path, sounds, sample_rate_hz=RATE_HZ, settings=settings, seed=1)
    assert len(paths) == 1 + 2 * 2 * 3
    assert not soundfile.read(tmp_path / "sound-1-gain-after.wav")[0].any()
    assert soundfile.read(tmp_path / "sound-2-gain-after.wav")[0].any()


@pytest.mark.parametrize(
    ("sounds", "settings", "message"),
    [
        ([], NONE, "settings: every chance is 0, expected one above 0"),
        (
            [np.zeros((2, 800), np.float32)],
            FEW,
            r"sounds: sound 1 has shape \(2, 800\), expected one row of 128",
        ),
        ([np.zeros(9, np.float32)], FEW, r"sounds: sound 1 has shape \(9,\), expected one row"),
    ],
)
def test_what_cannot_be_heard_is_said(
    tmp_path: Path, sounds: list[Any], settings: AugmentSettings, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_examples(tmp_path / "folder", sounds, sample_rate_hz=RATE_HZ, settings=settings, seed=1)
    assert not (tmp_path / "folder").exists()


def test_the_example_begins_at_its_time() -> None:
    sound = example_gunshot(RATE_HZ)
    assert sound.shape == (5_600,)
    assert sound.dtype == np.float32
    assert sound.max() == pytest.approx(0.9)
    # The converter's linear-phase filter rings before the front: below 10 % beyond three samples.
    assert 797 <= int(np.argmax(np.abs(sound) > 0.09)) <= 801


def test_torchaudio_works_where_its_compiled_part_does_not_load() -> None:
    done = subprocess.run([sys.executable, "-c", NOT_LOADED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_without_torchaudio_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(ImportError, match=r"torchaudio cannot be imported .* pip install 'shotline\[train\]'"):
        importlib.reload(torchaudio_beside_cpu)
