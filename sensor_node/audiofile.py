"""Sound from WAV and FLAC files, in blocks. The file's samples are the only clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from shotline.errors import AudioError

__all__ = ["AudioInfo", "boot_for_file", "inspect_audio", "read_blocks"]

_CHUNK_BYTES = 1 << 20
_CUT_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED_BYTES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what a recorder writes that does not know the length yet


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file says about itself.

    Parameters
    ----------
    path : Path
    sample_rate_hz : int
    channels : int
    samples : int
        Per channel.
    """

    path: Path
    sample_rate_hz: int
    channels: int
    samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz


def inspect_audio(path: Path, *, channel: int | None = None) -> AudioInfo:
    """Open a file and say what is in it.

    Parameters
    ----------
    path : Path
        WAV or FLAC.
    channel : int | None
        The channel wanted, 1 for the first; None only does for one channel.

    Raises
    ------
    AudioError
        It is missing, empty, not sound, or does not have that channel.
    """
    with _open(path, channel) as file:
        return AudioInfo(path, int(file.samplerate), int(file.channels), int(file.frames))


def read_blocks(path: Path, *, block_samples: int, channel: int | None = None) -> Iterator[AudioBlock]:
    """Yield a file's sound in blocks of a given length; the last may be shorter.

    Parameters
    ----------
    path, channel
        See `inspect_audio`.
    block_samples : int
        At least 1.

    Raises
    ------
    AudioError
        As for `inspect_audio`; or the file breaks off, with the sample where it does.
    """
    if block_samples < 1:
        raise AudioError(f"blocks of {block_samples} samples, expected at least 1", source=path, field="block_samples")
    with _open(path, channel) as file:
        first, expected = 0, int(file.frames)
        while first < expected:
            samples = _read(file, min(block_samples, expected - first), first, path)
            if not len(samples):
                raise AudioError(
                    f"ends at sample {first}, its header promises {expected}; copy it again from the recorder",
                    source=path,
                )
            yield AudioBlock(first, np.ascontiguousarray(samples[:, (channel or 1) - 1]))
            first += len(samples)


def boot_for_file(path: Path, node: str, start_time_ns: int, *, settings: str = "") -> int:
    """Return a 63-bit boot id that a replay of the same file always gets, so that its detections are the same ones.

    Parameters
    ----------
    path : Path
        Its content counts, not its name.
    node : str
        Node id.
    start_time_ns : int
        UTC of its first sample.
    settings : str
        Anything else that the detections depend on: other settings make another boot, not a conflicting duplicate.

    Raises
    ------
    AudioError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(f"cannot read the file: {error.strerror}", source=path) from error
    origin = f"{digest.hexdigest()}\n{node}\n{start_time_ns}\n{settings}"
    return int.from_bytes(hashlib.sha256(origin.encode()).digest()[:8], "big") >> 1


def _open(path: Path, channel: int | None) -> soundfile.SoundFile:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioError(f"cannot read the file: {error.strerror}; check its path", source=path) from error
    if not size:
        raise AudioError("the file is empty (0 bytes); copy it again from the recorder", source=path)
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"not a sound file that can be read: {error}; expected WAV or FLAC", source=path) from error
    problem = _problem(file, channel)
    if problem:
        file.close()
        raise AudioError(problem, source=path)
    return file


def _problem(file: soundfile.SoundFile, channel: int | None) -> str:
    if file.format not in ("WAV", "WAVEX", "FLAC", "RF64"):
        return f"a {file.format} file, expected WAV or FLAC; convert it"
    cut = _CUT_DATA.search(file.extra_info)
    if cut and int(cut[1]) not in _STREAMED_BYTES:
        promised = file.frames * int(cut[1]) // max(int(cut[2]), 1)
        return f"holds {file.frames} samples, its header promises {promised}; copy it again from the recorder"
    if not file.frames:
        return "holds no samples; copy it again from the recorder"
    if channel is None and file.channels > 1:
        return f"has {file.channels} channels, expected one; choose one with `channel`, 1 to {file.channels}"
    if channel is not None and not 1 <= channel <= file.channels:
        return f"channel {channel} asked for, it has {file.channels}; the first is 1"
    return ""


def _read(file: soundfile.SoundFile, count: int, first: int, path: Path) -> NDArray[np.float32]:
    try:
        samples: NDArray[np.float32] = file.read(count, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"breaks off near sample {first}: {error}; copy it again from the recorder", source=path
        ) from error
    return samples
