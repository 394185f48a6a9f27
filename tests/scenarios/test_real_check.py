"""`shotline node check` through the real PortAudio, with ALSA's `file` device in place of hardware."""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        ctypes.util.find_library("portaudio") is None,
        reason="libportaudio.so.2 is missing (apt-get install libportaudio2)",
    ),
]

TRACKING = "7F7F0101,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,Not synchronised"
COMMAND = "from sensor_node.cli import app; app()"


def check(folder: Path, device: str, sound: Callable[[int], NDArray[np.int16]]) -> dict[str, Any]:
    """Run the command in a process of its own, with sound through a pipe; return its checks by name."""
    # PortAudio 19.6 wants a device called default.
    (folder / "asound.conf").write_text(
        "pcm.null { type null }\n"
        f'pcm.recorded {{ type file slave.pcm "null" file "/dev/null" infile "{folder}/pipe" format "raw" }}\n'
        "pcm.default { type null }\n"
    )
    chronyc = json.dumps([sys.executable, "-c", f"print('{TRACKING}')"])
    (folder / "node.toml").write_text(
        '[node]\nid = "roof-1"\nserver = "tcp://127.0.0.1:1"\nspool = "roof-1.db"\n'
        f'[capture]\ndevice = "{device}"\n[time]\nchronyc = {chronyc}\n'
    )
    os.mkfifo(folder / "pipe")
    # Both ends, so that opening waits for nobody and the pipe never ends.
    end = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
    command = [sys.executable, "-c", COMMAND, "check", "--config", str(folder / "node.toml"), "--json"]
    environ = {**os.environ, "ALSA_CONFIG_PATH": str(folder / "asound.conf"), "HOME": str(folder)}
    try:
        with (folder / "said.json").open("w") as out, subprocess.Popen(command, stdout=out, env=environ) as process:
            while process.poll() is None:
                # Faster than real time, by no more than the ring can hold.
                for _ in range(4):
                    with suppress(BlockingIOError):
                        os.write(end, sound(960).tobytes())
                time.sleep(0.005)
    finally:
        os.close(end)
    assert process.returncode == 1
    return {item["name"]: item for item in json.loads((folder / "said.json").read_text())["checks"]}


def test_a_microphone_that_lives(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    found = check(tmp_path, "recorded", lambda count: np.rint(100.0 * rng.standard_normal(count)).astype(np.int16))
    assert found["capture"]["status"] == "ok", found["capture"]
    assert found["capture"]["message"].startswith("recorded, ALSA grants 48000 Hz")
    assert found["microphone"]["status"] == "ok", found["microphone"]
    # 100 of 32768 rms: -50.31 dBFS, given in tenths.
    assert abs(found["microphone"]["numbers"]["quiet_dbfs"] + 50.31) < 0.15
    assert found["time"]["status"] == "fail"
    assert found["model"] == {"name": "model", "status": "ok", "message": "impulse-cnn-2-nc", "numbers": {}}
    assert found["memory"]["numbers"]["rss_mb"] > 10.0


def silence(count: int) -> NDArray[np.int16]:
    return np.zeros(count, dtype=np.int16)


def test_a_microphone_that_says_nothing(tmp_path: Path) -> None:
    found = check(tmp_path, "recorded", silence)
    assert found["microphone"]["status"] == "fail"
    assert "nothing but zeros" in found["microphone"]["message"]


def test_a_sound_card_that_is_not_there(tmp_path: Path) -> None:
    found = check(tmp_path, "other", silence)
    assert found["capture"]["message"].startswith("no input is called 'other'; there are: ")
