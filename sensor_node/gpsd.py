"""A small client of gpsd: a pure parser of its line-JSON (manual page gpsd_json(5)), and a thin socket edge."""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import TypeVar

import msgspec

from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

__all__ = [
    "Device",
    "Devices",
    "ErrorReport",
    "Fix",
    "GpsdClient",
    "GpsdCounts",
    "GpsdMessage",
    "GpsdParser",
    "GpsdReject",
    "GpsdState",
    "Pulse",
    "Sky",
    "TimeOffset",
    "Version",
    "Watch",
]

_MAX_LINE_BYTES = 16_384
"""gpsd 3.22 writes no longer response than 10,240 bytes."""
_RECEIVE_BYTES = 65_536
_WATCH = b'?WATCH={"enable":true,"json":true,"pps":true};\n'
_TWO_SIDED_95 = 1.959964
"""Of a normal distribution: 95 % within so many sigma."""
_CIRCLE_95 = 2.447747
"""Of a circular normal distribution: 95 % within so many sigma (of one axis) of its centre."""
_EXCERPT_BYTES = 80
_MAX_TIME_NS = 2**63 - 1
_MAX_SECONDS = _MAX_TIME_NS // NS_PER_S
_MAX_ERROR_M = 1e7
_HEIGHTS_M = (-12_000.0, 100_000.0)
_MAX_DOP = 1e6
_MAX_SATELLITES = 10_000
_MAX_DEVICES = 16
_MAX_PROTOCOL = 10_000
_PRECISIONS = (-64, 16)
_MODES = range(4)


@dataclass(frozen=True, slots=True)
class Version:
    """Who speaks: release of gpsd, and version of its protocol."""

    release: str
    proto_major: int
    proto_minor: int


@dataclass(frozen=True, slots=True)
class Device:
    """A receiver that gpsd reads, or no longer does."""

    path: str
    driver: str
    active: bool


@dataclass(frozen=True, slots=True)
class Devices:
    """Every receiver that gpsd reads."""

    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """What gpsd will send."""

    enabled: bool
    json: bool
    pulses: bool


@dataclass(frozen=True, slots=True)
class Fix:
    """Time and position at one instant (TPV). gpsd may send several for one instant, each more complete.

    The sigmas come from ``epx``, ``epy`` and ``epv`` (or ``eph``) taken as 95 % of a normal distribution. That is what
    gpsd makes of the dilution of precision, with generous constants; of what a receiver states itself the manual says
    "certainty unknown".

    Parameters
    ----------
    time_ns : int | None
        UTC of the fix.
    mode : int
        0 or 1 without position, 2 without height, 3 with both.
    lat_deg, lon_deg : float | None
        WGS-84.
    height_m : float | None
        Above the ellipsoid.
    sigma_east_m, sigma_north_m, sigma_up_m : float | None
        As gpsd says.
    device : str
    """

    time_ns: int | None
    mode: int
    lat_deg: float | None = None
    lon_deg: float | None = None
    height_m: float | None = None
    sigma_east_m: float | None = None
    sigma_north_m: float | None = None
    sigma_up_m: float | None = None
    device: str = ""


@dataclass(frozen=True, slots=True)
class Sky:
    """Satellites and dilution of precision; None where gpsd did not say."""

    satellites_used: int | None = None
    satellites_seen: int | None = None
    hdop: float | None = None
    vdop: float | None = None
    pdop: float | None = None
    tdop: float | None = None
    device: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse per second (PPS), on both clocks. Only a receiver whose pulse is wired gives it.

    Parameters
    ----------
    real_ns : int
        UTC of the pulse.
    clock_ns : int
        What the system clock said.
    precision_s : float | None
        Of the system clock's reading, as gpsd says.
    device : str
    """

    real_ns: int
    clock_ns: int
    precision_s: float | None = None
    device: str = ""

    @property
    def offset_ns(self) -> int:
        """System clock minus UTC: positive when the system clock is fast."""
        return self.clock_ns - self.real_ns


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """When the time in the receiver's sentences arrived (TOFF): late by the serial line, some 0.1 s. No pulse.

    Parameters
    ----------
    real_ns : int
        UTC in the sentence.
    clock_ns : int
        What the system clock said when it arrived.
    device : str
    """

    real_ns: int
    clock_ns: int
    device: str = ""

    @property
    def offset_ns(self) -> int:
        """System clock minus UTC: positive when the system clock is fast, or the sentence late."""
        return self.clock_ns - self.real_ns


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """What gpsd did not understand."""

    message: str


GpsdMessage = Version | Device | Devices | Watch | Fix | Sky | Pulse | TimeOffset | ErrorReport


class GpsdReject(StrEnum):
    """Why a line was not taken."""

    TOO_LONG = "too_long"
    CUT_OFF = "cut_off"
    NOT_JSON = "not_json"
    NO_CLASS = "no_class"
    BAD_FIELD = "bad_field"
    OUT_OF_RANGE = "out_of_range"
    BEFORE_BUILD = "before_build"


@dataclass(frozen=True, slots=True)
class GpsdCounts:
    """What became of every line that was not empty: a message, of a class that is not read, or rejected.

    ``last_reject`` shows the newest of the rejected ones, cut short.
    """

    bytes: int = 0
    lines: int = 0
    messages: int = 0
    ignored: int = 0
    rejected: Mapping[GpsdReject, int] = field(default_factory=dict)
    last_reject: str = ""


class _Head(msgspec.Struct):
    name: str = msgspec.field(name="class")


class _Version(msgspec.Struct):
    release: str = ""
    proto_major: int = 0
    proto_minor: int = 0


class _Device(msgspec.Struct):
    path: str = ""
    driver: str = ""
    activated: str | float = 0.0


class _Devices(msgspec.Struct):
    devices: list[_Device] = []


class _Watch(msgspec.Struct):
    enable: bool = False
    json: bool = False
    pps: bool = False


class _Tpv(msgspec.Struct, rename={"height_m": "altHAE"}):
    mode: int = 0
    device: str = ""
    time: str | None = None
    lat: float | None = None
    lon: float | None = None
    height_m: float | None = None
    epx: float | None = None
    epy: float | None = None
    epv: float | None = None
    eph: float | None = None


class _Satellite(msgspec.Struct):
    used: bool = False


class _Sky(msgspec.Struct, rename={"seen": "nSat", "used": "uSat"}):
    device: str = ""
    seen: int | None = None
    used: int | None = None
    satellites: list[_Satellite] | None = None
    hdop: float | None = None
    vdop: float | None = None
    pdop: float | None = None
    tdop: float | None = None


class _Pps(msgspec.Struct):
    real_sec: int
    real_nsec: int
    clock_sec: int
    clock_nsec: int
    precision: int | None = None
    device: str = ""


class _Error(msgspec.Struct):
    message: str = ""


class _RejectedError(Exception):
    """Never leaves this module."""

    def __init__(self, reason: GpsdReject) -> None:
        self.reason = reason
        super().__init__(reason.value)


class GpsdParser:
    """Makes messages of what gpsd sends. Whatever arrives, it raises nothing and keeps at most one line.

    Parameters
    ----------
    not_before_ns : int
        A time before this is refused: give the day the software was built. gpsd 3.20 to 3.22 could set the date back
        by 1,024 weeks, and old receivers do.
    max_line_bytes : int
        A longer line is refused.

    Raises
    ------
    InputError
        ``max_line_bytes`` is less than 1.
    """

    def __init__(self, *, not_before_ns: int = 0, max_line_bytes: int = _MAX_LINE_BYTES) -> None:
        if max_line_bytes < 1:
            raise InputError(f"{max_line_bytes} bytes, expected 1 or more", field="max_line_bytes")
        self._not_before_ns = not_before_ns
        self._max_line_bytes = max_line_bytes
        self._line = bytearray()
        self._too_long = False
        self._bytes = self._lines = self._messages = self._ignored = 0
        self._rejected: Counter[GpsdReject] = Counter()
        self._last_reject = ""

    @property
    def counts(self) -> GpsdCounts:
        """What has happened so far."""
        return GpsdCounts(
            self._bytes, self._lines, self._messages, self._ignored, dict(self._rejected), self._last_reject
        )

    @property
    def buffered_bytes(self) -> int:
        """How much of a line is waiting for its end."""
        return len(self._line)

    def feed(self, data: bytes) -> list[GpsdMessage]:
        """Return the messages that these bytes complete, in order."""
        self._bytes += len(data)
        messages: list[GpsdMessage] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._keep(data, start, end)
            message = self._end_of_line()
            if message is not None:
                messages.append(message)
            start = end + 1
        self._keep(data, start, len(data))
        return messages

    def cut(self) -> None:
        """Forget a line that will not be completed, because the connection ended; it is counted."""
        if self._line and not self._too_long:
            self._lines += 1
            self._reject(GpsdReject.CUT_OFF)
        self._start_line()

    def _keep(self, data: bytes, start: int, end: int) -> None:
        if self._too_long or start == end:
            return
        room = self._max_line_bytes - len(self._line)
        self._line += data[start : min(end, start + room)]
        if end - start > room:
            self._too_long = True
            self._lines += 1
            self._reject(GpsdReject.TOO_LONG)
            del self._line[:]

    def _start_line(self) -> None:
        self._line = bytearray()
        self._too_long = False

    def _end_of_line(self) -> GpsdMessage | None:
        line, too_long = bytes(self._line).strip(), self._too_long
        if too_long or not line:
            self._start_line()
            return None
        self._lines += 1
        message = None
        try:
            message = self._message(line)
        except _RejectedError as rejected:
            self._reject(rejected.reason)
        else:
            self._messages += message is not None
            self._ignored += message is None
        self._start_line()
        return message

    def _reject(self, reason: GpsdReject) -> None:
        self._rejected[reason] += 1
        self._last_reject = f"{reason.value}: {bytes(self._line[:_EXCERPT_BYTES])!r}"

    def _message(self, line: bytes) -> GpsdMessage | None:
        """Return a message; None for a class that is not read."""
        try:
            # msgspec looks only at the text of fields that it keeps.
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _RejectedError(GpsdReject.NOT_JSON) from error
        match _decode(line, _Head, wrong=GpsdReject.NO_CLASS).name:
            case "TPV":
                return self._fix(_decode(line, _Tpv))
            case "SKY":
                return _sky(_decode(line, _Sky))
            case "PPS":
                pulse = _decode(line, _Pps)
                precision = pulse.precision
                if precision is not None and not _PRECISIONS[0] <= precision <= _PRECISIONS[1]:
                    raise _RejectedError(GpsdReject.OUT_OF_RANGE)
                precision_s = None if precision is None else math.ldexp(1.0, precision)
                return Pulse(*self._instants(pulse), precision_s, pulse.device)
            case "TOFF":
                offset = _decode(line, _Pps)
                return TimeOffset(*self._instants(offset), offset.device)
            case "VERSION":
                version = _decode(line, _Version)
                for number in (version.proto_major, version.proto_minor):
                    _within(number, 0, _MAX_PROTOCOL)
                return Version(version.release, version.proto_major, version.proto_minor)
            case "DEVICE":
                return _device(_decode(line, _Device))
            case "DEVICES":
                return Devices(tuple(_device(device) for device in _decode(line, _Devices).devices))
            case "WATCH":
                watch = _decode(line, _Watch)
                return Watch(watch.enable, watch.json, watch.pps)
            case "ERROR":
                return ErrorReport(_decode(line, _Error).message)
            case _:
                return None

    def _fix(self, tpv: _Tpv) -> Fix:
        if tpv.mode not in _MODES:
            raise _RejectedError(GpsdReject.OUT_OF_RANGE)
        time_ns = None if tpv.time is None else self._time_ns(tpv.time)
        _within(tpv.lat, -90.0, 90.0)
        _within(tpv.lon, -180.0, 180.0)
        _within(tpv.height_m, *_HEIGHTS_M)
        for error_m in (tpv.epx, tpv.epy, tpv.epv, tpv.eph):
            _within(error_m, 0.0, _MAX_ERROR_M)
        if tpv.mode < 2 or tpv.lat is None or tpv.lon is None:
            return Fix(time_ns, tpv.mode, device=tpv.device)
        along_axis_m = _scaled(tpv.eph, _CIRCLE_95)
        return Fix(
            time_ns=time_ns,
            mode=tpv.mode,
            lat_deg=tpv.lat,
            lon_deg=tpv.lon,
            height_m=tpv.height_m if tpv.mode > 2 else None,
            sigma_east_m=along_axis_m if tpv.epx is None else _scaled(tpv.epx, _TWO_SIDED_95),
            sigma_north_m=along_axis_m if tpv.epy is None else _scaled(tpv.epy, _TWO_SIDED_95),
            sigma_up_m=_scaled(tpv.epv, _TWO_SIDED_95),
            device=tpv.device,
        )

    def _time_ns(self, text: str) -> int:
        try:
            time_ns = parse_utc(text)
        except InputError as error:
            raise _RejectedError(GpsdReject.BAD_FIELD) from error
        if not 0 <= time_ns <= _MAX_TIME_NS:
            raise _RejectedError(GpsdReject.OUT_OF_RANGE)
        if time_ns < self._not_before_ns:
            raise _RejectedError(GpsdReject.BEFORE_BUILD)
        return time_ns

    def _instants(self, pulse: _Pps) -> tuple[int, int]:
        for seconds, nanoseconds in ((pulse.real_sec, pulse.real_nsec), (pulse.clock_sec, pulse.clock_nsec)):
            if not (0 <= seconds < _MAX_SECONDS and 0 <= nanoseconds < NS_PER_S):
                raise _RejectedError(GpsdReject.OUT_OF_RANGE)
        real_ns = pulse.real_sec * NS_PER_S + pulse.real_nsec
        if real_ns < self._not_before_ns:
            raise _RejectedError(GpsdReject.BEFORE_BUILD)
        return real_ns, pulse.clock_sec * NS_PER_S + pulse.clock_nsec


@dataclass(frozen=True, slots=True)
class GpsdState:
    """How the connection to gpsd is, for health.

    Parameters
    ----------
    connected : bool
    connects : int
        How often a connection was made.
    drops : int
        How often one ended.
    since_message_s : float | None
        Age of the newest message; None before the first.
    since_fix_s : float | None
        Age of the newest fix with a position; None before the first.
    release : str
        Of gpsd; "" before it said so.
    devices : tuple of str
        Receivers that gpsd reads, by path.
    problem : str
        Why there is no connection, "" when there is one.
    counts : GpsdCounts
    """

    connected: bool
    connects: int
    drops: int
    since_message_s: float | None
    since_fix_s: float | None
    release: str
    devices: tuple[str, ...]
    problem: str
    counts: GpsdCounts


class GpsdClient:
    """Listens to gpsd, and connects again whenever it must, at growing intervals.

    Not for several threads at once.

    Parameters
    ----------
    host, port
        Where gpsd listens.
    not_before_ns : int
        See `GpsdParser`.
    least_wait_s, most_wait_s : float
        Between attempts: the first, doubled each time, up to the second. A message starts over.
    silent_after_s : float
        A connection that brings no message for so long is given up. gpsd itself says nothing when its receiver is
        unplugged.
    connect_timeout_s : float
        How long one attempt may take.
    monotonic_s, wait_s : callable
        The clock, and how to wait.

    Raises
    ------
    InputError
        A port that cannot be, or a time that is not more than 0.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 2947,
        *,
        not_before_ns: int = 0,
        least_wait_s: float = 0.5,
        most_wait_s: float = 30.0,
        silent_after_s: float = 30.0,
        connect_timeout_s: float = 2.0,
        monotonic_s: Callable[[], float] = time.monotonic,
        wait_s: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < port < 65_536:
            raise InputError(f"{port} is not a port from 1 to 65535; gpsd's own is 2947", field="port")
        for name, value_s in (
            ("least_wait_s", least_wait_s),
            ("most_wait_s", most_wait_s),
            ("silent_after_s", silent_after_s),
            ("connect_timeout_s", connect_timeout_s),
        ):
            if not 0.0 < value_s < math.inf:
                raise InputError(f"{value_s:g} s is not more than 0 and finite", field=name)
        self._address = (host, port)
        self._parser = GpsdParser(not_before_ns=not_before_ns)
        self._waits_s = (least_wait_s, most_wait_s)
        self._silent_after_s = silent_after_s
        self._connect_timeout_s = connect_timeout_s
        self._monotonic_s = monotonic_s
        self._wait_s = wait_s
        self._socket: socket.socket | None = None
        self._next_wait_s = least_wait_s
        self._attempt_at_s = -math.inf
        self._heard_s = -math.inf
        self._message_s: float | None = None
        self._fix_s: float | None = None
        self._connects = self._drops = 0
        self._release = ""
        self._devices: dict[str, None] = {}
        self._problem = "not connected yet"

    def __enter__(self) -> GpsdClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> GpsdState:
        """How the connection is, now."""
        now_s = self._monotonic_s()
        return GpsdState(
            connected=self._socket is not None,
            connects=self._connects,
            drops=self._drops,
            since_message_s=None if self._message_s is None else now_s - self._message_s,
            since_fix_s=None if self._fix_s is None else now_s - self._fix_s,
            release=self._release,
            devices=tuple(self._devices),
            problem=self._problem,
            counts=self._parser.counts,
        )

    def poll(self, timeout_s: float) -> list[GpsdMessage]:
        """Return what has arrived; wait up to ``timeout_s`` for it.

        May return nothing before that time, when a connection was lost or could not be made. An attempt to connect
        may take ``connect_timeout_s`` longer.
        """
        deadline_s = self._monotonic_s() + max(0.0, timeout_s)
        if self._socket is None and not self._connected_by(deadline_s):
            return []
        while self._socket is not None:
            now_s = self._monotonic_s()
            if now_s - self._heard_s > self._silent_after_s:
                self._drop(f"no message for {now_s - self._heard_s:.0f} s; is the receiver plugged in?")
                return []
            data = self._receive(max(0.0, deadline_s - now_s))
            if not data:
                return []
            if messages := self._take(data):
                return messages
            if self._monotonic_s() >= deadline_s:
                return []
        return []

    def close(self) -> None:
        """End the connection; the next `poll` makes another."""
        if self._socket is not None:
            self._drop("closed")
            self._attempt_at_s = -math.inf

    def _connected_by(self, deadline_s: float) -> bool:
        """Wait for the time of the next attempt, but not beyond the deadline, and make it."""
        pause_s = min(self._attempt_at_s, deadline_s) - self._monotonic_s()
        if pause_s > 0:
            self._wait_s(pause_s)
        if self._monotonic_s() < self._attempt_at_s:
            return False
        made: socket.socket | None = None
        try:
            made = socket.create_connection(self._address, self._connect_timeout_s)
            made.sendall(_WATCH)
        except (OSError, UnicodeError) as error:
            if made is not None:
                made.close()
            host, port = self._address
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            self._retry_later(f"no gpsd at {host}:{port}: {said}; is it running?")
            return False
        self._socket = made
        self._connects += 1
        self._heard_s = self._monotonic_s()
        self._problem = ""
        return True

    def _receive(self, timeout_s: float) -> bytes:
        """Return what has come; b"" when nothing did in time, or the connection ended."""
        assert self._socket is not None
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_RECEIVE_BYTES)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            self._drop(f"connection lost: {error.strerror or error}")
            return b""
        if not data:
            self._drop("gpsd ended the connection")
        return data

    def _take(self, data: bytes) -> list[GpsdMessage]:
        messages = self._parser.feed(data)
        if not messages:
            return messages
        self._heard_s = self._message_s = self._monotonic_s()
        self._next_wait_s = self._waits_s[0]
        for message in messages:
            match message:
                case Fix(lat_deg=float()):
                    self._fix_s = self._message_s
                case Version():
                    self._release = message.release
                case Devices():
                    self._devices = {device.path: None for device in message.devices[:_MAX_DEVICES] if device.active}
                case Device(active=True) if len(self._devices) < _MAX_DEVICES:
                    self._devices[message.path] = None
                case Device(active=False):
                    self._devices.pop(message.path, None)
                case _:
                    pass
        return messages

    def _drop(self, problem: str) -> None:
        assert self._socket is not None
        with suppress(OSError):
            self._socket.close()
        self._socket = None
        self._parser.cut()
        self._devices = {}
        self._drops += 1
        self._retry_later(problem)

    def _retry_later(self, problem: str) -> None:
        self._problem = problem
        self._attempt_at_s = self._monotonic_s() + self._next_wait_s
        self._next_wait_s = min(2.0 * self._next_wait_s, self._waits_s[1])


_Wire = TypeVar("_Wire")


def _decode(line: bytes, kind: type[_Wire], *, wrong: GpsdReject = GpsdReject.BAD_FIELD) -> _Wire:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.ValidationError as error:
        raise _RejectedError(wrong) from error
    except (ValueError, RecursionError) as error:
        raise _RejectedError(GpsdReject.NOT_JSON) from error


def _within(value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise _RejectedError(GpsdReject.OUT_OF_RANGE)


def _scaled(value: float | None, sigmas: float) -> float | None:
    return None if value is None else value / sigmas


def _device(device: _Device) -> Device:
    return Device(device.path, device.driver, device.activated not in (0.0, ""))


def _sky(sky: _Sky) -> Sky:
    seen, used = sky.seen, sky.used
    if sky.satellites is not None:
        seen = len(sky.satellites) if seen is None else seen
        used = sum(satellite.used for satellite in sky.satellites) if used is None else used
    for count in (seen, used):
        _within(count, 0, _MAX_SATELLITES)
    for dop in (sky.hdop, sky.vdop, sky.pdop, sky.tdop):
        _within(dop, 0.0, _MAX_DOP)
    return Sky(used, seen, sky.hdop, sky.vdop, sky.pdop, sky.tdop, sky.device)
