"""From files to the phase of a clock: which kind each is, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotline.errors import InputError
from shotline_calibration.clock.chronylogs import ChronyLog, ChronyRow, log_kind, parse_chrony_log, phase_of
from shotline_calibration.clock.clocklog import FORMAT, ClockLog, parse_clock_log, phase_of_pulses
from shotline_calibration.clock.phase import PhaseSeries

__all__ = ["ReadClock", "read_clock", "read_clock_log"]


@dataclass(frozen=True, slots=True)
class ReadClock:
    """What files told of one clock.

    Parameters
    ----------
    series : PhaseSeries
    temperatures_c : tuple of float
        Of the board, where the log has them.
    skipped : int
        Lines that say nothing of a synchronised clock.
    """

    series: PhaseSeries
    temperatures_c: tuple[float, ...] = ()
    skipped: int = 0


def read_clock(files: Sequence[Path], *, reference: str | None = None) -> ReadClock:
    """Read one clock log, or logs of chronyd of one kind.

    Parameters
    ----------
    files : sequence of Path
    reference : str | None
        Of logs of chronyd: the source to take; None the most frequent.

    Raises
    ------
    InputError
        They cannot be read, are none of these, or do not go together.
    """
    ours = [file for file in files if _begins_with_brace(file)]
    if ours:
        if len(files) > 1:
            raise InputError("is a clock log; give one of them alone: samples are counted anew in each", source=ours[0])
        log = read_clock_log(ours[0], stamps=False)
        return ReadClock(phase_of_pulses(log), tuple(log.temperatures_c))
    texts = {file: _text(file) for file in files}
    kinds: set[ChronyLog] = set()
    rows: list[ChronyRow] = []
    skipped = 0
    for file, text in texts.items():
        if log_kind(text) is None:
            names = ", ".join(f"{kind}.log" for kind in ChronyLog)
            raise InputError(f"is neither a clock log ({FORMAT}) nor {names} with its header", source=file)
        kind, found, without = parse_chrony_log(text, source=file)
        kinds.add(kind)
        rows += found
        skipped += without
    if len(kinds) != 1:
        raise InputError(f"{' and '.join(sorted(kinds))} together; give logs of one kind", source=files[0])
    return ReadClock(phase_of(kinds.pop(), rows, reference=reference), (), skipped)


def read_clock_log(file: Path, *, stamps: bool = True) -> ClockLog:
    """Read a clock log; without its stamps where only pulses are wanted.

    Raises
    ------
    InputError
        It cannot be read or is none.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            return parse_clock_log(lines, source=file, stamps=stamps)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=file) from error


def _begins_with_brace(file: Path) -> bool:
    try:
        with file.open("rb") as begin:
            return begin.read(64).lstrip()[:1] == b"{"
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror or error}", source=file) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=file) from error
