"""Sound files and the configuration of a node: every mistake has a sentence of its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sensor_node import audiofile
from sensor_node import config as node_config
from sensor_node.audiofile import boot_for_file, inspect_audio, read_blocks
from sensor_node.config import NodeConfig, load_node_config
from shotline.domain import ClockState
from shotline.errors import AudioError, ConfigError

RATE_HZ = 12_000


def write(path: Path, samples: np.ndarray, *, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def ramp(count: int = 1_000) -> np.ndarray:
    return np.linspace(-0.5, 0.5, count)


class TestReadBlocks:
    @pytest.mark.parametrize("name", ["a.wav", "a.flac"])
    @pytest.mark.parametrize("size", [1, 7, 999, 1_000, 5_000])
    def test_blocks_of_any_size_are_the_file(self, tmp_path: Path, name: str, size: int) -> None:
        path = write(tmp_path / name, ramp())
        blocks = list(read_blocks(path, block_samples=size))
        assert [block.first_sample for block in blocks] == list(range(0, 1_000, size))
        whole = np.concatenate([block.samples for block in blocks])
        assert whole.dtype == np.float32
        assert np.array_equal(whole, soundfile.read(path, dtype="float32")[0])

    def test_info(self, tmp_path: Path) -> None:
        info = inspect_audio(write(tmp_path / "a.wav", ramp(600)))
        assert (info.sample_rate_hz, info.channels, info.samples, info.duration_s) == (RATE_HZ, 1, 600, 0.05)

    def test_channel_is_chosen(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", np.stack([ramp(), -ramp()], axis=1))
        (block,) = read_blocks(path, block_samples=2_000, channel=2)
        assert block.samples[0] == 0.5
        assert block.samples.flags.c_contiguous

    @pytest.mark.parametrize(
        ("channel", "message"),
        [
            (None, "has 2 channels, expected one; choose one with `channel`, 1 to 2"),
            (3, "channel 3 asked for, it has 2; the first is 1"),
            (0, "channel 0 asked for, it has 2; the first is 1"),
        ],
    )
    def test_wrong_channel(self, tmp_path: Path, channel: int | None, message: str) -> None:
        path = write(tmp_path / "a.wav", np.zeros((10, 2)))
        with pytest.raises(AudioError, match=re.escape(f"{path}: {message}")):
            inspect_audio(path, channel=channel)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"no.wav: cannot read the file: No such file or directory"):
            inspect_audio(tmp_path / "no.wav")
        with pytest.raises(AudioError, match=r"no.wav: cannot read the file: No such file or directory"):
            boot_for_file(tmp_path / "no.wav", "n", 0)

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "e.wav").touch()
        with pytest.raises(AudioError, match=r"e.wav: the file is empty \(0 bytes\)"):
            inspect_audio(tmp_path / "e.wav")

    def test_no_samples(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"n.wav: holds no samples"):
            inspect_audio(write(tmp_path / "n.wav", np.zeros(0)))

    def test_not_sound(self, tmp_path: Path) -> None:
        path = tmp_path / "t.wav"
        path.write_text("this is not sound, not at all, it is just text that goes on for a while")
        with pytest.raises(AudioError, match=r"t.wav: not a sound file that can be read: .*; expected WAV or FLAC"):
            inspect_audio(path)

    def test_other_format(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"a.aiff: a AIFF file, expected WAV or FLAC"):
            inspect_audio(write(tmp_path / "a.aiff", ramp()))

    def test_flac_that_breaks_off(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        whole = write(tmp_path / "a.flac", 0.3 * rng.standard_normal(50_000)).read_bytes()
        path = tmp_path / "cut.flac"
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(AudioError, match=r"cut.flac: (ends at|breaks off near) sample \d+"):
            list(read_blocks(path, block_samples=1_000))

    def test_wav_that_breaks_off(self, tmp_path: Path) -> None:
        whole = write(tmp_path / "a.wav", ramp(10_000)).read_bytes()
        path = tmp_path / "cut.wav"
        path.write_bytes(whole[:10_044])
        with pytest.raises(AudioError, match=r"cut.wav: holds 5000 samples, its header promises 10000"):
            list(read_blocks(path, block_samples=1_000))

    def test_block_of_nothing(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", ramp())
        with pytest.raises(AudioError, match=r"block_samples: blocks of 0 samples, expected at least 1"):
            list(read_blocks(path, block_samples=0))


def test_boot_is_that_of_content_node_start_and_settings(tmp_path: Path) -> None:
    path, copy = write(tmp_path / "a.wav", ramp()), write(tmp_path / "b.wav", ramp())
    other = write(tmp_path / "c.wav", -ramp())
    boot = boot_for_file(path, "n", 5)
    assert 0 <= boot < 2**63
    assert boot_for_file(copy, "n", 5) == boot
    others = {
        boot_for_file(other, "n", 5),
        boot_for_file(path, "m", 5),
        boot_for_file(path, "n", 6),
        boot_for_file(path, "n", 5, settings="x"),
    }
    assert len(others | {boot}) == 5


GOOD = """\
[node]
id = "roof-1"
server = "tcp://127.0.0.1:5570"
spool = "roof-1.db"
full_scale_db_spl = 120.0
calibration_id = "cal-9"

[clock]
kind = "replay"
factor = 2.0

[[sources]]
file = "a.wav"
start_utc = "2018-12-19T00:49:26Z"
clock_state = "pps"
sigma_ms = 0.5

[[sources]]
file = "b.wav"
start_utc = "2018-12-19T00:50:26Z"
"""


class TestConfig:
    @pytest.mark.parametrize(
        ("lines", "says"),
        [
            ('key_file = "k"', "key_file and server_key go together; give both or neither"),
            (f'server_key = "{"a" * 40}"', "key_file and server_key go together; give both or neither"),
            (f'server_next_key = "{"a" * 40}"', "server_next_key is the successor of server_key, which is missing"),
            (f'key_file = "k"\nserver_key = "{"#" * 40}"', "is not the z85 text of a key; copy it from"),
        ],
    )
    def test_keys_go_together(self, tmp_path: Path, lines: str, says: str) -> None:
        (found,) = self.problems(tmp_path, GOOD.replace("[clock]", f"{lines}\n[clock]", 1))
        assert says in str(found)

    def test_a_key_file_is_relative_to_the_configuration(self, tmp_path: Path) -> None:
        path = tmp_path / "node.toml"
        keys = f'key_file = "keys/roof-1.key_secret"\nserver_key = "{"a" * 40}"\n'
        path.write_text(GOOD.replace("[clock]", f"{keys}[clock]", 1))
        assert load_node_config(path).node.key_file == str(tmp_path / "keys/roof-1.key_secret")

    def load(self, tmp_path: Path, text: str) -> NodeConfig:
        path = tmp_path / "node.toml"
        path.write_text(text)
        return load_node_config(path)

    def problems(self, tmp_path: Path, text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(tmp_path, text)
        return [f"{problem.line}: {problem.field}: {problem.message}" for problem in caught.value.problems]

    def test_paths_are_relative_to_the_file(self, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, GOOD)
        assert loaded.node.spool == str(tmp_path / "roof-1.db")
        assert [source.file for source in loaded.sources] == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
        assert [source.state for source in loaded.sources] == [ClockState.PPS, ClockState.NTP]
        assert loaded.clock is not None
        assert loaded.clock.factor == 2.0

    def test_source_without_start_is_untimed(self, tmp_path: Path) -> None:
        text = '[node]\nid = "n"\nserver = "ipc:///tmp/x"\n[[sources]]\nfile = "a.wav"\n'
        assert self.load(tmp_path, text).sources[0].state is ClockState.UNTIMED

    def test_every_mistake_at_once(self, tmp_path: Path) -> None:
        text = GOOD.replace('"roof-1"', '"roof 1"').replace("factor = 2.0", "factor = 0.0").replace("spool", "spol")
        found = self.problems(tmp_path, text)
        assert [line.split(": ")[1] for line in found] == ["node.id", "node.spol", "clock.factor"]
        assert [line.split(": ")[0] for line in found] == ["2", "4", "10"]

    def test_time_without_zone(self, tmp_path: Path) -> None:
        (found,) = self.problems(tmp_path, GOOD.replace("00:49:26Z", "00:49:26"))
        assert found.startswith("14: sources.0.start_utc: ")
        assert "write it like 2018-12-19T00:49:26.000Z" in found

    def test_half_a_clock(self, tmp_path: Path) -> None:
        (found,) = self.problems(tmp_path, GOOD.replace("factor = 2.0", 'event_epoch_utc = "2018-12-19T00:49:26Z"'))
        assert "event_epoch_utc and wall_epoch_utc go together" in found

    def test_files_out_of_order(self, tmp_path: Path) -> None:
        assert self.problems(tmp_path, GOOD.replace("00:50:26", "00:48:26")) == [
            "20: sources.1.start_utc: starts before a source above it; list the files in time order"
        ]

    def test_pace_needs_start_times(self, tmp_path: Path) -> None:
        assert self.problems(tmp_path, GOOD.replace('start_utc = "2018-12-19T00:50:26Z"', "")) == [
            "18: sources.1.start_utc: missing, but [clock] sets a pace; give the UTC of the first sample"
        ]

    def test_no_sources(self, tmp_path: Path) -> None:
        (found,) = self.problems(tmp_path, '[node]\nid = "n"\nserver = "tcp://a:1"\n')
        assert found.endswith("nothing to hear: give [capture] for a sound card, or [[sources]] for sound files")

    def test_a_card_and_files(self, tmp_path: Path) -> None:
        (found,) = self.problems(tmp_path, GOOD + '[capture]\ndevice = "USB"\n')
        assert found.endswith("[capture] is live; take out [[sources]] and [clock], or [capture]")

    def test_pulses_on_the_channel_of_the_microphone(self, tmp_path: Path) -> None:
        card = '[node]\nid = "n"\nserver = "tcp://a:1"\n[capture]\ndevice = "USB"\nchannel = 2\npps_channel = 2\n'
        (found,) = self.problems(tmp_path, card)
        assert found.endswith("channel 2 cannot be both the microphone and the pulses; give two")

    def test_a_card(self, tmp_path: Path) -> None:
        card = '[node]\nid = "n"\nserver = "tcp://a:1"\n[capture]\ndevice = "USB"\npps_channel = 2\n'
        (tmp_path / "n.toml").write_text(card)
        capture = load_node_config(tmp_path / "n.toml").capture
        assert capture is not None
        assert (capture.sample_rate_hz, capture.channels, capture.pps_polarity) == (48_000, 2, 1)

    def test_every_key_has_title_and_description(self) -> None:
        sections = (
            node_config.CaptureSection,
            node_config.TimeSection,
            node_config.GpsdSection,
            node_config.PlaceSection,
            node_config.ClipsSection,
            node_config.NodeSection,
            node_config.DetectorSection,
            node_config.ClockSection,
            node_config.SourceSection,
            node_config.NodeConfig,
        )
        bare = [
            f"{section.__name__}.{name}"
            for section in sections
            for name, field in section.model_fields.items()
            if not (field.title and field.description)
        ]
        assert bare == []


def test_public_names() -> None:
    assert audiofile.__all__ == ["AudioInfo", "boot_for_file", "inspect_audio", "read_blocks"]
    assert node_config.__all__ == [
        "CaptureSection",
        "ClipsSection",
        "ClockSection",
        "DetectorSection",
        "GpsdSection",
        "NodeConfig",
        "NodeSection",
        "PlaceSection",
        "SourceSection",
        "TimeSection",
        "load_node_config",
    ]
