"""The clock log of a node: stamps, readings and pulses as its sample clock gets them, a JSON object a line. Pure.

The first line says what it is; the others hold one thing each: ``stamp`` (first sample, samples, ADC time ns, flagged),
``utc`` (CLOCK_MONOTONIC ns, UTC ns, bound ns, state, leap), ``pulse`` (sample, sigma in samples, amplitude) or
``temperature_c``. `shotline_calibration.clock.listen` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_node.discipline import AdcStamp, UtcReading
from sensor_node.ppsaudio import Pulse
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline_calibration.clock.phase import PhaseSeries

__all__ = ["FORMAT", "ClockLog", "head_line", "log_line", "parse_clock_log", "phase_of_pulses"]

FORMAT = "shotline-clock-1"
_ALIKE_S, _AGREE_S = 0.02, 0.001
_STRAYS_TO_FOLLOW = 3


_ADVICE = "give one that `shotline calibrate clock listen` wrote"


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    log: str
    node: str
    device: str
    sample_rate_hz: int
    hardware: str = ""


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    stamp: tuple[int, int, int, bool] | None = None
    utc: tuple[int, int, int, ClockState, bool] | None = None
    pulse: tuple[float, float, float] | None = None
    temperature_c: float | None = None


@dataclass(slots=True)
class ClockLog:
    """What a log holds, in its order.

    Parameters
    ----------
    node, device, hardware : str
    sample_rate_hz : int
    events : list
        Of `AdcStamp`, `UtcReading` and `Pulse`.
    temperatures_c : list of float
    """

    node: str
    device: str
    sample_rate_hz: int
    hardware: str = ""
    events: list[AdcStamp | UtcReading | Pulse] = field(default_factory=list)
    temperatures_c: list[float] = field(default_factory=list)

    @property
    def pulses(self) -> list[Pulse]:
        """Only the pulses."""
        return [event for event in self.events if isinstance(event, Pulse)]


def head_line(*, node: str, device: str, sample_rate_hz: int, hardware: str = "") -> str:
    """Return the first line of a log."""
    head = _Head(log=FORMAT, node=node, device=device, sample_rate_hz=sample_rate_hz, hardware=hardware)
    return msgspec.json.encode(head).decode()


def log_line(event: AdcStamp | UtcReading | Pulse | float) -> str:
    """Return the line of an event; a number is a temperature in degrees Celsius."""
    if isinstance(event, AdcStamp):
        line = _Line(stamp=(event.first_sample, event.samples, event.adc_time_ns, event.overflow))
    elif isinstance(event, UtcReading):
        line = _Line(utc=(event.monotonic_ns, event.utc_ns, event.bound_ns, event.state, event.leap))
    elif isinstance(event, Pulse):
        line = _Line(pulse=(event.sample, event.sigma_samples, event.amplitude))
    else:
        line = _Line(temperature_c=event)
    return msgspec.json.encode(line).decode()


def parse_clock_log(lines: Iterable[str], *, source: object = "", stamps: bool = True) -> ClockLog:
    """Return what a log says.

    A last line that breaks off is left out: the program was ended while it wrote.

    Parameters
    ----------
    lines : iterable of str
    source : object
        The file, for errors.
    stamps : bool
        False leaves them out, unread: a day has four million.

    Raises
    ------
    InputError
        It is no clock log, or a line cannot be read.
    """
    decoder = msgspec.json.Decoder(_Line)
    log: ClockLog | None = None
    broken: tuple[int, str] | None = None
    for number, text in enumerate(lines, start=1):
        if not text.strip() or (not stamps and text.startswith('{"stamp"')):
            continue
        if log is None:
            log = _begun(text, source)
            continue
        if broken is not None:
            raise InputError(f"cannot be read: {broken[1]}", source=source, line=broken[0])
        try:
            _take(log, decoder.decode(text))
        except msgspec.DecodeError as error:
            broken = number, str(error)
    if log is None:
        raise InputError("is empty; expected a clock log", source=source)
    return log


def phase_of_pulses(log: ClockLog) -> PhaseSeries:
    """Return the phase of the sample clock: what it counts between edges, minus whole seconds.

    Raises
    ------
    InputError
        There are under two pulses.
    """
    pulses = log.pulses
    if len(pulses) < 2:
        raise InputError(
            f"{len(pulses)} pulses in the log of '{log.node}', expected two or more; is the pulse wired to pps_channel?"
        )
    count_s = np.array([pulse.sample for pulse in pulses]) / log.sample_rate_hz
    seconds, phase_s = _seconds_of(count_s - count_s[0])
    return PhaseSeries(seconds, phase_s, free=True, what=f"sample clock of {log.device or log.node}")


def _seconds_of(count_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the whole second of each edge, and how far the clock is fast there; edges in between are left out.

    An edge over 20 ms from where the last one was in its second is none, unless three in a row agree: samples are lost.
    """
    seconds, phases = [0.0], [0.0]
    strays: list[tuple[float, float]] = []
    for at_s in count_s[1:]:
        second = round(at_s - phases[-1])
        phase_s = at_s - second
        if abs(phase_s - phases[-1]) <= _ALIKE_S:
            strays.clear()
            if second > seconds[-1]:
                seconds.append(second)
                phases.append(phase_s)
            continue
        if strays and abs(phase_s - strays[-1][1]) > _AGREE_S:
            strays.clear()
        strays.append((second, phase_s))
        if len(strays) == _STRAYS_TO_FOLLOW:
            seconds += [max(stray[0], seconds[-1] + 1.0 + index) for index, stray in enumerate(strays)]
            phases += [stray[1] for stray in strays]
            strays.clear()
    return np.array(seconds), np.array(phases)


def _begun(text: str, source: object) -> ClockLog:
    try:
        head = msgspec.json.decode(text, type=_Head)
    except msgspec.DecodeError as error:
        raise InputError(f"is no clock log ({error}); {_ADVICE}", source=source, line=1) from error
    if head.log != FORMAT:
        raise InputError(f"is a log '{head.log}', expected {FORMAT}; {_ADVICE}", source=source, line=1)
    if head.sample_rate_hz <= 0:
        raise InputError(f"{head.sample_rate_hz} Hz is not more than 0", source=source, field="sample_rate_hz", line=1)
    return ClockLog(head.node, head.device, head.sample_rate_hz, head.hardware)


def _take(log: ClockLog, line: _Line) -> None:
    if line.stamp is not None:
        log.events.append(AdcStamp(*line.stamp))
    if line.utc is not None:
        log.events.append(UtcReading(*line.utc))
    if line.pulse is not None:
        log.events.append(Pulse(*line.pulse))
    if line.temperature_c is not None:
        log.temperatures_c.append(line.temperature_c)
