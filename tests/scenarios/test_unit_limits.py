"""The node's work under the system calls that its systemd unit leaves it: the same list, the kernel's own filter.

Each test starts this file as a program: a filter stays until the process ends.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "shotline-node.service"
ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd"),
    pytest.mark.skipif(ctypes.util.find_library("seccomp") is None, reason="apt-get install libseccomp2"),
]


def system_calls() -> set[str]:
    """Return the names that the unit allows, as systemd resolves its groups."""
    said = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"], capture_output=True, text=True, check=True, timeout=60.0
    )
    groups: dict[str, list[str]] = {}
    for line in said.stdout.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            group.append(line.strip())

    def names(word: str) -> set[str]:
        return set().union(*map(names, groups[word])) if word.startswith("@") else {word}

    allowed: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE):
        for word in words.lstrip("~").split():
            allowed = allowed - names(word) if words.startswith("~") else allowed | names(word)
    return allowed


def confine() -> None:
    """Leave this process the system calls of the unit; any other fails with EPERM, as the unit says."""
    seccomp = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(REFUSE)))
    for name in system_calls():
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            assert seccomp.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0) == 0, name
    if seccomp.seccomp_load(context) != 0:
        sys.exit("no filter")


def confined(scene: str, *arguments: object, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, __file__, scene, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120.0,
        env={**os.environ, **env},
    )
    if done.stderr.strip() == "no filter":
        pytest.skip("this kernel takes no seccomp filter")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_filter_is_one() -> None:
    assert confined("refused").strip() == "EPERM"


def test_a_file_is_heard(tmp_path: Path) -> None:
    """Through the network, ONNX Runtime, the file of detections."""
    import numpy as np
    import soundfile

    t = np.arange(96_000) / 48_000
    sound = 1e-3 * np.random.default_rng(1).standard_normal(len(t))
    sound += np.where(t >= 1.0, 0.3 * np.exp(-np.maximum(t - 1.0, 0.0) / 0.002), 0.0)
    soundfile.write(tmp_path / "a.wav", sound, 48_000)
    assert "1 detections" in confined("replay", tmp_path / "a.wav", tmp_path / "a.detections")


@pytest.mark.skipif(ctypes.util.find_library("portaudio") is None, reason="apt-get install libportaudio2")
def test_a_card_is_heard(tmp_path: Path) -> None:
    """Through the real PortAudio; ALSA's `file` device is the card."""
    (tmp_path / "sound.raw").write_bytes(bytes(96_000))
    config = tmp_path / "asound.conf"
    device = f'type file slave.pcm "null" file "/dev/null" infile "{tmp_path}/sound.raw" format "raw"'
    config.write_text(f"pcm.null {{ type null }}\npcm.recorded {{ {device} }}\npcm.default {{ type null }}\n")
    assert confined("capture", ALSA_CONFIG_PATH=str(config), HOME=str(tmp_path)).strip() == "heard"


def _refused() -> None:
    try:
        os.chroot("/")
    except OSError as error:
        print(errno.errorcode[error.errno or 0])


def _replay(wav: str, out: str) -> None:
    from shotline.cli import main

    sys.argv = ["shotline", "node", "replay", wav, "--start-utc", "2026-03-01T12:00:00Z", "--out", out]
    main()


def _capture() -> None:
    import sounddevice

    heard = threading.Event()
    with sounddevice.InputStream(
        device="recorded", samplerate=48_000, channels=1, dtype="int16", callback=lambda *_: heard.set()
    ):
        print("heard" if heard.wait(30.0) else "nothing")


if __name__ == "__main__":
    confine()
    {"refused": _refused, "replay": _replay, "capture": _capture}[sys.argv[1]](*sys.argv[2:])
