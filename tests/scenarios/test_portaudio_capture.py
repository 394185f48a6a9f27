"""The real PortAudio without hardware: it reads sound through ALSA's `file` device, paced by a pipe or at full speed.

Each test starts this file as a program: PortAudio reads ALSA's configuration from the environment, when it starts.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensor_node.capture import (
    Capture,
    CaptureSettings,
    CaptureState,
    InputDevice,
    InputStream,
    OnBlock,
    PortAudio,
    list_inputs,
)
from sensor_node.ring import BlockRecord
from shotline.errors import EdgeError
from shotline.units import NS_PER_S

ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        ctypes.util.find_library("portaudio") is None,
        reason="libportaudio.so.2 is missing (apt-get install libportaudio2)",
    ),
]

BLOCK = 960
PATIENCE_S = 30.0
"""Far beyond what is needed on a busy machine."""


def sound(samples: int, channels: int) -> NDArray[np.int16]:
    """Return noise at full scale, shape (samples, channels); the same in parent and child."""
    return np.random.default_rng(channels).integers(-32768, 32768, (samples, channels), dtype=np.int16)


def write_config(folder: Path, *devices: str) -> None:
    """Write ALSA's configuration anew, with these devices; PortAudio numbers them in this order.

    Without a device called default PortAudio 19.6 ends the program (an assertion in `BuildDeviceList`).
    """
    definitions = {
        "null": "type null",
        "default": "type null",
        "rooftop": f'type file slave.pcm "null" file "/dev/null" infile "{folder}/pipe" format "raw"',
        "recorded": f'type file slave.pcm "null" file "/dev/null" infile "{folder}/sound.raw" format "raw"',
        "limited": 'type rate slave { pcm "null" rate 48000 }',
        "narrow": 'type multi slaves.a { pcm "null" channels 1 } bindings.0 { slave a channel 0 }',
        "converted": 'type plug slave { pcm "null" rate 44100 }',
    }
    lines = [f"pcm.{name} {{ {definitions[name]} }}" for name in ("null", *devices, "default")]
    part = folder / "asound.part"
    part.write_text("\n".join(lines) + "\n")
    # Another file, not another content: ALSA looks at the inode and at whole seconds.
    part.replace(folder / "asound.conf")


def run(folder: Path, scene: str, *arguments: object) -> dict[str, Any]:
    """Play a scene in a process of its own and return what it says."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, scene, str(folder), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
        env={**os.environ, "ALSA_CONFIG_PATH": str(folder / "asound.conf"), "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("channels", [1, 2])
def test_every_bit_arrives(tmp_path: Path, channels: int) -> None:
    """Four seconds through the pipe, block by block: all of it, in order, dated by ALSA itself."""
    write_config(tmp_path, "rooftop")
    said = run(tmp_path, "paced", channels)
    assert said["samples"] == 200 * BLOCK
    assert said["exact"]
    assert said["clip_exact"]
    assert said["records_in_order"]
    assert (said["overflows"], said["refused"], said["callback_errors"]) == (0, 0, 0)
    assert said["events"][0].startswith(f"rooftop, ALSA: 48000 Hz, {channels} channels, latency ")
    # PortAudio's clock is CLOCK_MONOTONIC: nothing is estimated, no time is before the start or after the end.
    assert not said["estimated"]
    assert said["times_plausible"]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_at_full_speed(tmp_path: Path, channels: int) -> None:
    """PortAudio delivers a thousand times faster than sound comes; what the ring still has is right to the bit."""
    write_config(tmp_path, "recorded")
    (tmp_path / "sound.raw").write_bytes(sound(1000 * BLOCK, channels).tobytes())
    said = run(tmp_path, "flood", channels)
    assert said["blocks"] == 900
    # The ring holds 500 blocks, and the first poll comes when all are written.
    assert (said["first_sample"], said["samples"]) == (400 * BLOCK, 500 * BLOCK)
    assert said["overtaken"] == 400 * BLOCK
    assert said["exact"]


def test_sound_goes_on_after_the_stream_was_killed(tmp_path: Path) -> None:
    write_config(tmp_path, "rooftop")
    said = run(tmp_path, "killed")
    assert said["states"] == ["running", "running"]
    assert said["kinds"] == ["opened", "lost", "reopened"]
    assert said["lost"] == "rooftop, ALSA: the stream ended; is it unplugged?"
    assert said["segments"] == [0, 1]
    # Sound comes faster than it lasts here, and a gap is never less than one sample. One is what rounding may do.
    assert abs(said["jump_samples"] - max(BLOCK + 1, said["elapsed_samples"])) <= 1
    assert said["exact"]


def test_unplugged_then_plugged_in_under_another_number(tmp_path: Path) -> None:
    """The configuration of ALSA loses the device, then has it again behind another one."""
    write_config(tmp_path, "rooftop", "limited")
    said = run(tmp_path, "replugged")
    assert said["indices"] == [0, 2]
    assert said["problem"].startswith("no input is called 'rooftop'; there are: limited, ALSA; default, ALSA. ")
    assert said["state_without"] == "lost"
    assert said["kinds"] == ["opened", "lost", "reopen_failed", "reopened"]
    assert said["exact"]


def test_driver_that_says_nothing(tmp_path: Path) -> None:
    """Nothing comes through the pipe, and PortAudio 19.6 waits for it when it is told to stop: seen, said, survived."""
    write_config(tmp_path, "rooftop")
    said = run(tmp_path, "silent")
    assert said["kept_open"] == "running"
    assert said["kinds"] == ["opened", "lost", "stuck"]
    assert said["lost"].startswith("rooftop, ALSA: no sound for ")
    assert said["problem"].startswith("rooftop, ALSA: the driver does not let go of the stream; restart the node")
    assert said["kinds_after"] == ["reopened"]
    assert said["segments"] == [0, 1]
    assert said["exact"]


def test_program_ends_though_the_driver_does_not_let_go(tmp_path: Path) -> None:
    write_config(tmp_path, "rooftop")
    assert run(tmp_path, "stuck_at_the_end") == {"closer_still_waits": True}


def test_rate_that_the_device_does_not_do(tmp_path: Path) -> None:
    write_config(tmp_path, "limited")
    said = run(tmp_path, "refused", "limited", 1000, 1)
    assert said["error"] == (
        "limited, ALSA cannot be opened at 1000 Hz with 1 channels: Error opening InputStream: Invalid sample rate "
        "[PaErrorCode -9997]; it does not do that rate (its default is 44100 Hz); take another device"
    )


def test_channels_that_the_device_does_not_have(tmp_path: Path) -> None:
    write_config(tmp_path, "narrow")
    said = run(tmp_path, "refused", "narrow", 48_000, 2)
    assert said["error"] == ("narrow, ALSA has 1 input channels, 2 asked for; choose fewer channels or another device")


def test_device_that_is_not_there(tmp_path: Path) -> None:
    write_config(tmp_path, "limited", "converted")
    said = run(tmp_path, "refused", "attic", 48_000, 1)
    assert said["error"] == (
        "no input is called 'attic'; there are: limited, ALSA; converted, ALSA; default, ALSA. Give one of these "
        "names, without (hw:...): card numbers change"
    )


def test_list_of_inputs(tmp_path: Path) -> None:
    write_config(tmp_path, "limited", "narrow")
    said = run(tmp_path, "listed")
    assert said["inputs"] == [["limited", "ALSA", 0], ["narrow", "ALSA", 1], ["default", "ALSA", 2]]
    assert said["channels"][1] == 1
    assert not any(said["hardware"])


@pytest.mark.skipif(not ALSA_CONFIG.exists(), reason="no configuration of ALSA (apt-get install libasound2-data)")
def test_machine_without_a_device(tmp_path: Path) -> None:
    (tmp_path / "asound.conf").write_text(f"<{ALSA_CONFIG}>\n")
    if run(tmp_path, "listed")["inputs"]:
        pytest.skip("this machine has a sound card")
    assert run(tmp_path, "refused", "attic", 48_000, 1)["error"].startswith("no sound input found, 'attic' expected")


def test_configuration_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "asound.conf").write_text("pcm.attic { type \n")
    text = run(tmp_path, "refused", "attic", 48_000, 1)["error"]
    assert text.startswith("PortAudio does not start: Error initializing PortAudio: Unanticipated host error")
    assert text.endswith("; check /etc/asound.conf, ~/.asoundrc and ALSA_CONFIG_PATH")


def test_resampling_by_software_cannot_be_seen(tmp_path: Path) -> None:
    """ALSA's `plug` turns 44.1 kHz into 48 kHz and says nothing: docs/capture.md asks for the hardware itself."""
    write_config(tmp_path, "converted")
    assert run(tmp_path, "refused", "converted", 48_000, 1)["error"] == ""


def test_machine_without_the_library(tmp_path: Path) -> None:
    write_config(tmp_path, "limited")
    assert run(tmp_path, "no_library")["error"] == (
        "the PortAudio library cannot be loaded: PortAudio library not found; Debian, Ubuntu, Raspberry Pi OS: "
        "apt-get install libportaudio2"
    )


# --- What follows runs in the child. ---


class Pipe:
    """The far end of the pipe that ALSA takes for a recording."""

    def __init__(self, folder: Path, channels: int) -> None:
        os.mkfifo(folder / "pipe")
        # Both ends, so that opening waits for nobody and the pipe never ends.
        self._end = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
        self.frames = sound(1000 * BLOCK, channels)
        self._sent = 0

    def send(self, blocks: int) -> None:
        """Send whole blocks and wait until there is room for them."""
        limit_s = time.monotonic() + PATIENCE_S
        for _ in range(blocks):
            while not self._send_one():
                assert time.monotonic() < limit_s, "nobody reads the pipe"
                time.sleep(0.001)

    def feed_during(self, act: Callable[[], object]) -> None:
        """Do something that waits for the driver, while the driver gets what it waits for."""
        thread = threading.Thread(target=act)
        thread.start()
        limit_s = time.monotonic() + PATIENCE_S
        while thread.is_alive():
            assert time.monotonic() < limit_s, "the driver does not let go, fed or not"
            self._send_one()
            thread.join(0.005)

    def in_order(self, samples: NDArray[np.float32], records: list[BlockRecord]) -> bool:
        """Whether the sound is blocks that were sent, to the bit, in order, with none missing but at a break."""
        numbers = {self.frames[start : start + 8].tobytes(): start for start in range(0, self._sent, BLOCK)}
        at, before, segment = 0, -BLOCK, 0
        for record in records:
            block = np.round(samples[:, at : at + record.samples].T * 32768).astype(np.int16)
            start = numbers.get(block[:8].tobytes(), -1)
            follows = start == before + BLOCK or (start > before and record.segment == segment + 1)
            if not follows or not np.array_equal(block, self.frames[start : start + BLOCK]):
                return False
            at, before, segment = at + record.samples, start, record.segment
        return bool(at == samples.shape[1])

    def newest(self) -> NDArray[np.float32]:
        """Return the block sent last, as it is heard."""
        return self.frames[self._sent - BLOCK : self._sent].T / np.float32(32768)

    def _send_one(self) -> bool:
        """Send a block in one piece, for ALSA takes a short read for a whole one; False when there is no room."""
        block = self.frames[self._sent : self._sent + BLOCK].tobytes()
        assert 0 < len(block) <= 4096  # what a pipe promises not to split
        try:
            os.write(self._end, block)
        except BlockingIOError:
            return False
        self._sent += BLOCK
        return True


class Listener:
    """A capture and all that it ever gave."""

    def __init__(self, channels: int, cards: PortAudio | None = None, **options: Any) -> None:
        settings = CaptureSettings(device=options.pop("device", "rooftop"), channels=channels, **options)
        self.capture = Capture(settings, monotonic_ns=time.monotonic_ns, cards=cards, close_patience_s=0.2)
        self.parts: list[NDArray[np.float32]] = []
        self.records: list[BlockRecord] = []
        self.kinds: list[str] = []
        self.messages: list[str] = []

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate(self.parts, axis=1)

    def poll(self) -> None:
        found = self.capture.poll()
        self.parts.append(found.samples)
        self.records += found.records
        self.kinds += [event.kind.value for event in found.events]
        self.messages += [event.message for event in found.events]

    def poll_until(self, condition: Callable[[], bool]) -> None:
        limit_s = time.monotonic() + PATIENCE_S
        while True:
            self.poll()
            if condition():
                return
            assert time.monotonic() < limit_s, (self.kinds, self.messages, self.heard())
            time.sleep(0.002)

    def heard(self) -> int:
        return sum(record.samples for record in self.records)


class WatchedStream:
    """A stream whose device the test can take away."""

    def __init__(self, stream: InputStream) -> None:
        self._stream = stream
        self.sample_rate_hz = stream.sample_rate_hz
        self.latency_s = stream.latency_s
        self.start = stream.start
        self.is_active = stream.is_active
        self.close = stream.close

    def close_device(self) -> None:
        """Stop the stream behind the back of whoever uses it."""
        self._stream._stream.abort()  # type: ignore[attr-defined]


class WatchedPortAudio(PortAudio):
    """PortAudio; the test keeps hold of the streams, and may stop listening after some blocks."""

    def __init__(self, most_blocks: int = 2**40) -> None:
        self.streams: list[WatchedStream] = []
        self.indices: list[int] = []
        self.blocks = 0
        self._most_blocks = most_blocks

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> InputStream:
        def counted(frames: NDArray[np.int16], adc_s: float, call_s: float, overflow: bool) -> None:
            if self.blocks < self._most_blocks:
                on_block(frames, adc_s, call_s, overflow)
                self.blocks += 1

        stream = WatchedStream(super().open_input(device, settings, counted))
        self.streams.append(stream)
        self.indices.append(device.index)
        return stream


def paced(folder: Path, channels: str) -> dict[str, Any]:
    pipe, listener = Pipe(folder, int(channels)), Listener(int(channels))
    capture = listener.capture
    begin_ns = time.monotonic_ns()
    capture.open()
    for _ in range(40):
        pipe.send(5)
        listener.poll()
    listener.poll_until(lambda: listener.heard() >= 200 * BLOCK)
    end_ns = time.monotonic_ns()
    clip = capture.ring.last(1234, 1234 + 48_000)
    expected = pipe.frames[: 200 * BLOCK].T
    samples, records, counters = listener.samples, listener.records, capture.ring.counters
    pipe.feed_during(capture.close)
    return {
        "samples": samples.shape[1],
        "exact": bool(np.array_equal(samples, expected / np.float32(32768))),
        "clip_exact": clip is not None and bool(np.array_equal(clip, expected[:, 1234 : 1234 + 48_000])),
        "records_in_order": [record.first_sample for record in records] == list(range(0, 200 * BLOCK, BLOCK)),
        "overflows": counters.overflows,
        "refused": counters.refused_blocks,
        "callback_errors": capture.callback_errors,
        "events": listener.messages,
        "estimated": any(record.estimated for record in records),
        "times_plausible": all(begin_ns <= record.adc_time_ns <= end_ns for record in records)
        and all(a.adc_time_ns <= b.adc_time_ns for a, b in pairwise(records)),
    }


def flood(_folder: Path, channels: str) -> dict[str, Any]:
    cards = WatchedPortAudio(most_blocks=900)
    listener = Listener(int(channels), cards, device="recorded", ring_s=10.0)
    with listener.capture as capture:
        limit_s = time.monotonic() + PATIENCE_S
        while cards.blocks < 900:
            assert time.monotonic() < limit_s
            time.sleep(0.002)
    while not listener.parts or listener.parts[-1].shape[1]:
        listener.poll()
    first = listener.records[0].first_sample
    frames = sound(1000 * BLOCK, int(channels))[first : first + listener.heard()]
    return {
        "blocks": capture.ring.counters.blocks,
        "first_sample": first,
        "samples": listener.heard(),
        "overtaken": capture.ring.counters.overtaken_samples,
        "exact": bool(np.array_equal(listener.samples, frames.T / np.float32(32768))),
    }


def killed(folder: Path) -> dict[str, Any]:
    cards = WatchedPortAudio()
    pipe, listener = Pipe(folder, 1), Listener(1, cards)
    capture = listener.capture
    capture.open()
    pipe.send(20)
    listener.poll_until(lambda: listener.heard() == 20 * BLOCK)
    states = [capture.supervise(time.monotonic_ns()).value]
    pipe.feed_during(cards.streams[0].close_device)
    states.append(capture.supervise(time.monotonic_ns()).value)
    listener.poll()
    hear_more(pipe, listener)
    pipe.feed_during(capture.close)
    last, first = next((a, b) for a, b in pairwise(listener.records) if a.segment != b.segment)
    return {
        "states": states,
        "kinds": listener.kinds,
        "lost": listener.messages[1],
        "segments": sorted({record.segment for record in listener.records}),
        "jump_samples": first.first_sample - last.first_sample,
        "elapsed_samples": (first.adc_time_ns - last.adc_time_ns) * 48_000 / NS_PER_S,
        "exact": pipe.in_order(listener.samples, listener.records),
    }


def replugged(folder: Path) -> dict[str, Any]:
    cards = WatchedPortAudio()
    pipe, listener = Pipe(folder, 1), Listener(1, cards)
    capture = listener.capture
    capture.open()
    pipe.send(20)
    listener.poll_until(lambda: listener.heard() == 20 * BLOCK)
    indices = [cards.indices[-1]]
    write_config(folder, "limited")
    pipe.feed_during(cards.streams[0].close_device)
    state_without = capture.supervise(time.monotonic_ns()).value
    problem = capture.problem
    write_config(folder, "limited", "converted", "rooftop")
    capture.supervise(time.monotonic_ns() + 2 * NS_PER_S)
    listener.poll()
    indices.append(cards.indices[-1])
    hear_more(pipe, listener)
    pipe.feed_during(capture.close)
    return {
        "indices": indices,
        "problem": problem,
        "state_without": state_without,
        "kinds": listener.kinds,
        "exact": pipe.in_order(listener.samples, listener.records),
    }


def silent(folder: Path) -> dict[str, Any]:
    pipe, listener = Pipe(folder, 1), Listener(1)
    capture = listener.capture
    capture.open()
    pipe.send(20)
    listener.poll_until(lambda: listener.heard() == 20 * BLOCK)
    kept_open = capture.supervise(time.monotonic_ns()).value
    # Nobody waits: the watchdog is told that it is later.
    capture.supervise(time.monotonic_ns() + 3 * NS_PER_S)
    capture.supervise(time.monotonic_ns() + 4 * NS_PER_S)
    listener.poll()
    kinds, problem = list(listener.kinds), capture.problem

    def until_reopened() -> None:
        limit_s = time.monotonic() + PATIENCE_S
        while capture.supervise(time.monotonic_ns() + 5 * NS_PER_S) is not CaptureState.RUNNING:
            assert time.monotonic() < limit_s

    pipe.feed_during(until_reopened)
    listener.poll()
    hear_more(pipe, listener)
    pipe.feed_during(capture.close)
    return {
        "kept_open": kept_open,
        "kinds": kinds,
        "lost": listener.messages[1],
        "problem": problem,
        "kinds_after": listener.kinds[len(kinds) :],
        "segments": sorted({record.segment for record in listener.records}),
        "exact": pipe.in_order(listener.samples, listener.records),
    }


def stuck_at_the_end(folder: Path) -> dict[str, Any]:
    pipe, listener = Pipe(folder, 1), Listener(1)
    with listener.capture:
        pipe.send(5)
        listener.poll_until(lambda: listener.heard() == 5 * BLOCK)
    return {"closer_still_waits": any(thread.name == "capture-close" for thread in threading.enumerate())}


def refused(_folder: Path, device: str, sample_rate_hz: str, channels: str) -> dict[str, Any]:
    listener = Listener(int(channels), device=device, sample_rate_hz=int(sample_rate_hz), no_callback_s=3.0)
    try:
        listener.capture.open()
    except EdgeError as error:
        return {"error": str(error)}
    listener.capture.close()
    return {"error": ""}


def listed(_folder: Path) -> dict[str, Any]:
    inputs = list_inputs()
    return {
        "inputs": [[device.name, device.host_api, device.index] for device in inputs],
        "channels": [device.channels for device in inputs],
        "hardware": [device.is_hardware for device in inputs],
    }


def no_library(folder: Path) -> dict[str, Any]:
    ctypes.util.find_library = lambda name: None  # noqa: ARG005
    return refused(folder, "limited", "48000", "1")


def hear_more(pipe: Pipe, listener: Listener) -> None:
    """Send twenty blocks more and hear the last of them."""
    pipe.send(20)
    newest = pipe.newest()
    listener.poll_until(lambda: bool(np.array_equal(listener.samples[:, -BLOCK:], newest)))


if __name__ == "__main__":
    SCENES = (paced, flood, killed, replugged, silent, stuck_at_the_end, refused, listed, no_library)
    scene: Callable[..., dict[str, Any]] = {function.__name__: function for function in SCENES}[sys.argv[1]]
    print(json.dumps(scene(Path(sys.argv[2]), *sys.argv[3:])))
