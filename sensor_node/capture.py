"""Sound from a card through PortAudio: opened by name, never trusted to stay, opened again when it goes.

`sounddevice` is loaded when a card is first asked for, not with this module. What the node does with it is in
docs/capture.md.
"""

from __future__ import annotations

import atexit
import math
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from sensor_node.ring import BlockRecord, SoundRing
from shotline.errors import EdgeError, InputError
from shotline.units import ns_from_seconds, seconds_from_ns

__all__ = [
    "Capture",
    "CaptureEvent",
    "CaptureSettings",
    "CaptureState",
    "CapturedSound",
    "EventKind",
    "InputDevice",
    "InputStream",
    "OnBlock",
    "PortAudio",
    "SoundCards",
    "conversion_time_ns",
    "find_input",
    "list_inputs",
    "stable_name",
]

_POLL_S = 1.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 30.0
_STEADY_S = 30.0
"""A stream that ran so long is opened again at once; one that did not waits as after a failure."""

_CLOSE_PATIENCE_S = 1.0
"""How long to wait for PortAudio to let go of a stream. A driver that is stuck can hold it for ever."""

_EVENTS_KEPT = 256
_OLDEST_CONVERSION_S = 10.0
_CLOCK_SLACK_S = 0.001
_HARDWARE = re.compile(r"\s*\(hw:(\d+),(\d+)\)")
_INVALID_CHANNELS, _INVALID_RATE, _UNAVAILABLE = -9998, -9997, -9985
"""PortAudio's error codes."""

OnBlock = Callable[[NDArray[np.int16], float, float, bool], None]
"""Takes a block: frames of shape (n_samples, n_channels); conversion time of the first and the moment of the call, in
seconds of PortAudio's clock; whether the card lost sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """What to record from, and how.

    Parameters
    ----------
    device : str
        Name of the device, or a part that only one has; see `find_input`.
    sample_rate_hz : int
        The device must grant exactly this.
    channels : int
        At least 1.
    block_samples : int
        Samples per channel in each callback.
    ring_s : float
        How much sound is kept in memory.
    latency : "high" | "low" | float
        As PortAudio takes it; a number is in seconds.
    no_callback_s : float
        Silence of the driver after which the device is opened again.
    """

    device: str
    sample_rate_hz: int = 48_000
    channels: int = 1
    block_samples: int = 960
    ring_s: float = 30.0
    latency: Literal["high", "low"] | float = "high"
    no_callback_s: float = 2.0

    def __post_init__(self) -> None:
        if not stable_name(self.device):
            raise InputError(
                f"device '{self.device}' has no name, expected one as `shotline node devices` shows", field="device"
            )
        for field in ("sample_rate_hz", "channels", "block_samples", "no_callback_s"):
            if not 0 < getattr(self, field) < math.inf:
                raise InputError(f"{getattr(self, field)} is not more than 0 and finite", field=field)
        block_s = self.block_samples / self.sample_rate_hz
        if not 2 * block_s <= self.ring_s < math.inf:
            raise InputError(f"{self.ring_s:g} s does not hold two blocks of {block_s:g} s", field="ring_s")
        if block_s >= self.no_callback_s:
            raise InputError(
                f"{self.no_callback_s:g} s is not longer than a block of {block_s:g} s", field="no_callback_s"
            )


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A device that can record.

    Parameters
    ----------
    index : int
        PortAudio's number; changes when devices come and go.
    name : str
        As PortAudio shows it.
    host_api : str
        Such as ALSA.
    channels : int
        Inputs it offers; software devices offer more than there are.
    default_rate_hz : float
        The rate it suggests.
    """

    index: int
    name: str
    host_api: str
    channels: int
    default_rate_hz: float

    @property
    def is_hardware(self) -> bool:
        """True for ALSA's hardware itself. Anything else may change the rate or the level of what it passes on."""
        return _HARDWARE.search(self.name) is not None

    def __str__(self) -> str:
        return f"{self.name}, {self.host_api}"


class InputStream(Protocol):
    """A stream that was opened and not yet started."""

    @property
    def sample_rate_hz(self) -> float:
        """Rate granted."""
        ...

    @property
    def latency_s(self) -> float:
        """Time from conversion to callback, as the host API states it."""
        ...

    def start(self) -> None:
        """Let blocks come; raises EdgeError."""
        ...

    def is_active(self) -> bool:
        """Whether blocks can still come."""
        ...

    def close(self) -> None:
        """Stop and let go; raises nothing, may take for ever when the driver is stuck."""
        ...


class SoundCards(Protocol):
    """What the machine has to record from: PortAudio, or a test."""

    def refresh(self) -> None:
        """Look again for devices. No stream may be open."""
        ...

    def inputs(self) -> list[InputDevice]:
        """Return what was there when it last looked."""
        ...

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> InputStream:
        """Open a device; raises EdgeError."""
        ...

    def abandon(self) -> None:
        """A stream could not be closed: see that the end of the program does not wait for it."""
        ...


class CaptureState(StrEnum):
    """Whether sound comes in."""

    CLOSED = "closed"
    RUNNING = "running"
    LOST = "lost"


class EventKind(StrEnum):
    """What can happen to a capture."""

    OPENED = "opened"
    LOST = "lost"
    REOPENED = "reopened"
    REOPEN_FAILED = "reopen_failed"
    STUCK = "stuck"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class CaptureEvent:
    """Something that happened.

    Parameters
    ----------
    kind : EventKind
    time_ns : int
        CLOCK_MONOTONIC nanoseconds.
    message : str
        For people.
    """

    kind: EventKind
    time_ns: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class CapturedSound:
    """What came since the last poll.

    Parameters
    ----------
    samples : ndarray, shape (n_channels, n_samples), float32
        1.0 at digital full scale.
    records : tuple of BlockRecord
        Together as long as `samples`, in the same order.
    events : tuple of CaptureEvent
        Oldest first.
    """

    samples: NDArray[np.float32]
    records: tuple[BlockRecord, ...]
    events: tuple[CaptureEvent, ...]

    def blocks(self, channel: int = 1) -> Iterator[AudioBlock]:
        """Yield one channel as `Framer` takes it, 1 for the first channel."""
        if not 1 <= channel <= len(self.samples):
            raise InputError(f"channel {channel} asked for, there are {len(self.samples)}; the first is 1")
        start = 0
        for record in self.records:
            yield AudioBlock(record.first_sample, self.samples[channel - 1, start : start + record.samples])
            start += record.samples


class Capture:
    """A sound card that is kept open, and a ring with what it heard.

    `open`, `poll`, `supervise` and `close` belong to one thread. Call `supervise` a few times a second.

    Parameters
    ----------
    settings : CaptureSettings
    monotonic_ns : callable () -> int
        CLOCK_MONOTONIC, `time.monotonic_ns`. Also called in the callback.
    cards : SoundCards | None
        None is PortAudio. PortAudio looks for devices only when nothing is open, so a process has one capture.
    close_patience_s : float
        How long `supervise` and `close` wait for a stuck driver.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        *,
        monotonic_ns: Callable[[], int],
        cards: SoundCards | None = None,
        close_patience_s: float = _CLOSE_PATIENCE_S,
    ) -> None:
        self._settings = settings
        self._monotonic_ns = monotonic_ns
        self._cards: SoundCards = PortAudio() if cards is None else cards
        self._close_patience_s = close_patience_s
        self._ring = SoundRing(settings.ring_s, settings.sample_rate_hz, settings.channels)
        self._events: deque[CaptureEvent] = deque(maxlen=_EVENTS_KEPT)
        self._state = CaptureState.CLOSED
        self._device: InputDevice | None = None
        self._stream: InputStream | None = None
        self._closer: threading.Thread | None = None
        self._stuck = False
        self._problem = ""
        self._reopens = 0
        self._overflows_told = 0
        self._overrun_samples_told = 0
        self._next_try_ns = 0
        self._retry_s = 0.0
        self._opened_ns = 0
        # The callback reads the first two and writes the rest.
        self._generation = 0
        self._latency_ns = 0
        self._last_callback_ns = 0
        self._callback_errors = 0

    def __enter__(self) -> Capture:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ring(self) -> SoundRing:
        """The last seconds of sound: `SoundRing.last` for clips, counters for health. Only `poll` reads from it."""
        return self._ring

    @property
    def state(self) -> CaptureState:
        """Whether sound comes in, as of the last `supervise`."""
        return self._state

    @property
    def problem(self) -> str:
        """Why sound does not come in; "" when it does."""
        return self._problem

    @property
    def device(self) -> InputDevice | None:
        """The device last opened."""
        return self._device

    @property
    def latency_s(self) -> float:
        """Time from conversion to callback, as the host API states it."""
        return seconds_from_ns(self._latency_ns)

    @property
    def reopens(self) -> int:
        """How often the device was opened again."""
        return self._reopens

    @property
    def callback_errors(self) -> int:
        """Blocks lost to a mistake in this program."""
        return self._callback_errors

    def open(self) -> None:
        """Open the device.

        Raises
        ------
        EdgeError
            PortAudio is missing or does not start; no device, or several, have the name; it does not grant the rate
            or the channels; another program has it.
        InputError
            It is open already.
        """
        if self._state is not CaptureState.CLOSED:
            raise InputError(f"{self._settings.device} is open already; close it first", field="device")
        if not self._has_let_go(0.0):
            raise EdgeError(_stuck_text(self._device))
        self._open_stream()
        self._retry_s = 0.0
        self._tell(EventKind.OPENED, self._opened_text())

    def open_or_wait(self) -> None:
        """Open the device; when that fails let `supervise` go on trying: a node tells its server what is missing."""
        try:
            self.open()
        except EdgeError as error:
            self._state, self._problem = CaptureState.LOST, str(error)
            self._tell(EventKind.REOPEN_FAILED, self._problem)
            self._retry_s = _longer(0.0)
            self._next_try_ns = self._monotonic_ns() + ns_from_seconds(self._retry_s)

    def close(self) -> None:
        """Close the device; what was heard can still be read. Does nothing when it is closed."""
        self._let_go()
        if not self._has_let_go(self._close_patience_s):
            self._cards.abandon()
        self._state, self._stuck, self._problem = CaptureState.CLOSED, False, ""

    def poll(self) -> CapturedSound:
        """Return the sound and the events since the last call; at most one second of sound, the rest comes next time.

        The index of the samples jumps where sound was lost, and `BlockRecord.segment` goes up where the card's own
        counting was interrupted: the index after that is an estimate, and a clock must start anew.
        """
        most = max(1, round(_POLL_S * self._settings.sample_rate_hz))
        samples, records = self._ring.read(most)
        counters = self._ring.counters
        overflows = counters.overflows - self._overflows_told
        if overflows:
            lost = counters.overrun_samples - self._overrun_samples_told
            self._overflows_told, self._overrun_samples_told = counters.overflows, counters.overrun_samples
            self._tell(EventKind.OVERFLOW, f"{overflows} overruns, about {lost} samples lost")
        events = tuple(self._events)
        self._events.clear()
        return CapturedSound(samples, tuple(records), events)

    def supervise(self, now_monotonic_ns: int) -> CaptureState:
        """Open the device again when it is gone or silent; return whether sound comes in.

        Parameters
        ----------
        now_monotonic_ns : int
            On the clock of `monotonic_ns`.
        """
        if self._state is CaptureState.RUNNING:
            reason = self._why_lost(now_monotonic_ns)
            if reason:
                self._lose(reason, now_monotonic_ns)
        if self._state is CaptureState.LOST:
            self._try_again(now_monotonic_ns)
        return self._state

    def _why_lost(self, now_ns: int) -> str:
        silent_ns = now_ns - self._last_callback_ns
        if self._stream is None or not self._stream.is_active():
            return f"{self._device}: the stream ended; is it unplugged?"
        if silent_ns > ns_from_seconds(self._settings.no_callback_s):
            return f"{self._device}: no sound for {seconds_from_ns(silent_ns):.1f} s"
        return ""

    def _lose(self, reason: str, now_ns: int) -> None:
        steady = now_ns - self._opened_ns >= ns_from_seconds(_STEADY_S)
        self._retry_s = 0.0 if steady else self._retry_s
        self._state, self._problem = CaptureState.LOST, reason
        self._tell(EventKind.LOST, reason)
        # At once the first time; a device that comes and goes waits longer and longer.
        self._next_try_ns = now_ns + ns_from_seconds(self._retry_s)
        self._retry_s = _longer(self._retry_s)
        self._let_go()
        self._has_let_go(self._close_patience_s)

    def _try_again(self, now_ns: int) -> None:
        if not self._has_let_go(0.0):
            if not self._stuck:
                self._stuck, self._problem = True, _stuck_text(self._device)
                self._tell(EventKind.STUCK, self._problem)
            return
        self._stuck = False
        if now_ns < self._next_try_ns:
            return
        try:
            self._open_stream()
        except EdgeError as error:
            self._problem = str(error)
            self._tell(EventKind.REOPEN_FAILED, self._problem)
            self._next_try_ns = now_ns + ns_from_seconds(self._retry_s)
            self._retry_s = _longer(self._retry_s)
            return
        self._reopens += 1
        self._tell(EventKind.REOPENED, self._opened_text())

    def _open_stream(self) -> None:
        settings = self._settings
        self._cards.refresh()
        device = find_input(self._cards.inputs(), settings.device)
        if device.channels < settings.channels:
            raise EdgeError(
                f"{device} has {device.channels} input channels, {settings.channels} asked for; "
                "choose fewer channels or another device"
            )
        self._generation += 1
        stream = self._cards.open_input(device, settings, self._callback(self._generation))
        try:
            if round(stream.sample_rate_hz) != settings.sample_rate_hz:
                raise EdgeError(
                    f"{device} grants {stream.sample_rate_hz:g} Hz, {settings.sample_rate_hz} Hz asked for; "
                    "sound would be dated wrongly; choose the rate that it grants or another device"
                )
            # Nobody writes now: the stream before this one is closed.
            self._ring.end_segment()
            self._latency_ns = ns_from_seconds(stream.latency_s)
            self._last_callback_ns = self._opened_ns = self._monotonic_ns()
            stream.start()
        except EdgeError:
            stream.close()
            raise
        self._device, self._stream = device, stream
        self._state, self._problem = CaptureState.RUNNING, ""

    def _callback(self, generation: int) -> OnBlock:
        def on_block(frames: NDArray[np.int16], adc_s: float, call_s: float, overflow: bool) -> None:
            if generation != self._generation:
                return
            # An exception would end the stream.
            try:
                now_ns = self._monotonic_ns()
                adc_ns, estimated = conversion_time_ns(
                    now_ns=now_ns, adc_s=adc_s, call_s=call_s, latency_ns=self._latency_ns
                )
                self._ring.write(frames, adc_time_ns=adc_ns, overflow=overflow, estimated=estimated)
                self._last_callback_ns = now_ns
            except Exception:
                self._callback_errors += 1
                self._ring.end_segment()

        return on_block

    def _let_go(self) -> None:
        """Begin to close the stream, in a thread: the driver may never return."""
        stream, self._stream = self._stream, None
        self._generation += 1
        if stream is not None:
            self._closer = threading.Thread(target=stream.close, name="capture-close", daemon=True)
            self._closer.start()

    def _has_let_go(self, patience_s: float) -> bool:
        if self._closer is not None:
            self._closer.join(patience_s)
            if self._closer.is_alive():
                return False
            self._closer = None
        return True

    def _opened_text(self) -> str:
        settings = self._settings
        return (
            f"{self._device}: {settings.sample_rate_hz} Hz, {settings.channels} channels, "
            f"latency {1000.0 * self.latency_s:.0f} ms"
        )

    def _tell(self, kind: EventKind, message: str) -> None:
        self._events.append(CaptureEvent(kind, self._monotonic_ns(), message))


class PortAudio:
    """PortAudio through `sounddevice`, loaded when it is first needed."""

    def refresh(self) -> None:
        """See `SoundCards`. PortAudio looks for devices only when it starts, so it is started again."""
        fresh = "sounddevice" not in sys.modules
        sd = _sounddevice()
        if fresh:
            return
        try:
            while sd._initialized:
                sd._terminate()
            sd._initialize()
        except sd.PortAudioError as error:
            raise EdgeError(_not_started_text(error)) from error

    def inputs(self) -> list[InputDevice]:
        """See `SoundCards`."""
        sd = _sounddevice()
        try:
            apis = [str(api["name"]) for api in sd.query_hostapis()]
            devices = list(sd.query_devices())
        except sd.PortAudioError as error:
            raise EdgeError(_not_started_text(error)) from error
        return [
            InputDevice(
                index=int(device["index"]),
                name=str(device["name"]),
                host_api=apis[device["hostapi"]],
                channels=int(device["max_input_channels"]),
                default_rate_hz=float(device["default_samplerate"]),
            )
            for device in devices
            if device["max_input_channels"] > 0
        ]

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> InputStream:
        """See `SoundCards`."""
        sd = _sounddevice()

        def callback(frames: NDArray[np.int16], _count: int, times: _StreamTimes, status: _StreamStatus) -> None:
            on_block(frames, times.inputBufferAdcTime, times.currentTime, status.input_overflow)

        try:
            stream = sd.InputStream(
                samplerate=settings.sample_rate_hz,
                blocksize=settings.block_samples,
                device=device.index,
                channels=settings.channels,
                dtype="int16",
                latency=settings.latency,
                dither_off=True,  # the card's own samples, with nothing added
                callback=callback,
            )
        except (sd.PortAudioError, ValueError) as error:
            raise EdgeError(_not_opened_text(device, settings, error)) from error
        return _PortAudioStream(sd, stream, device)

    def abandon(self) -> None:
        """See `SoundCards`."""
        if "sounddevice" in sys.modules:
            atexit.unregister(_sounddevice()._exit_handler)


class _StreamTimes(Protocol):
    inputBufferAdcTime: float  # noqa: N815
    currentTime: float  # noqa: N815


class _StreamStatus(Protocol):
    input_overflow: bool


class _Stream(Protocol):
    samplerate: float
    latency: float
    active: bool

    def start(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class _PortAudioStream:
    def __init__(self, module: ModuleType, stream: _Stream, device: InputDevice) -> None:
        self._module = module
        self._stream = stream
        self._device = device

    @property
    def sample_rate_hz(self) -> float:
        return float(self._stream.samplerate)

    @property
    def latency_s(self) -> float:
        return float(self._stream.latency)

    def start(self) -> None:
        try:
            self._stream.start()
        except self._module.PortAudioError as error:
            raise EdgeError(f"{self._device} does not start: {error}; unplug it and plug it in again") from error

    def is_active(self) -> bool:
        try:
            return bool(self._stream.active)
        except self._module.PortAudioError:
            return False

    def close(self) -> None:
        # Both ignore errors: a device that is gone has many.
        self._stream.abort()
        self._stream.close()


def list_inputs(cards: SoundCards | None = None) -> list[InputDevice]:
    """Return what there is to record from.

    Parameters
    ----------
    cards : SoundCards | None
        None is PortAudio.

    Raises
    ------
    EdgeError
        PortAudio is missing or does not start.
    """
    return (PortAudio() if cards is None else cards).inputs()


def stable_name(name: str) -> str:
    """Return a device's name without ALSA's card and device number: the card's changes with every plug."""
    return _HARDWARE.sub("", name).strip()


def find_input(inputs: Sequence[InputDevice], wanted: str) -> InputDevice:
    """Return the one device that a name means.

    Upper and lower case and ALSA's card number do not count. A whole name, with or without its host API, goes before a
    part of one. The device number within a card is stable: it tells apart what has the same name.

    Raises
    ------
    EdgeError
        None has the name, or several; the text lists what there is.
    """
    name = stable_name(wanted).casefold()
    found = [device for device in inputs if name in (stable_name(device.name).casefold(), _label(device))]
    found = found or [device for device in inputs if name in _label(device)]
    if len(found) > 1:
        same = [device for device in found if _device_number(device.name) == _device_number(wanted)]
        found = same if len(same) == 1 else found
    if len(found) == 1:
        return found[0]
    if not inputs:
        raise EdgeError(
            f"no sound input found, '{wanted}' expected; plug it in, see whether `arecord -l` shows it, "
            "and whether this user is in the group audio"
        )
    there = "; ".join(str(device) for device in found or inputs)
    if found:
        raise EdgeError(
            f"'{wanted}' fits {len(found)} inputs: {there}. Give more of the name; cards of the same make need names "
            "of their own, see docs/capture.md"
        )
    raise EdgeError(
        f"no input is called '{wanted}'; there are: {there}. Give one of these names, without (hw:...): "
        "card numbers change"
    )


def conversion_time_ns(*, now_ns: int, adc_s: float, call_s: float, latency_ns: int) -> tuple[int, bool]:
    """Return when the first sample of a block was converted, and whether that is an estimate.

    Parameters
    ----------
    now_ns : int
        CLOCK_MONOTONIC nanoseconds in the callback.
    adc_s, call_s : float
        PortAudio's conversion time and its present, seconds of its clock. With ALSA that is CLOCK_MONOTONIC. Where it
        is another clock their difference still tells the age of the sample; where the host API has none, `adc_s` is 0
        or less.
    latency_ns : int
        Age of a sample where nothing better is known.

    Returns
    -------
    adc_time_ns : int
        CLOCK_MONOTONIC nanoseconds.
    estimated : bool
        False only when it is the host API's own time.
    """
    if adc_s > 0.0:
        if -_CLOCK_SLACK_S <= seconds_from_ns(now_ns) - adc_s <= _OLDEST_CONVERSION_S:
            return ns_from_seconds(adc_s), False
        if 0.0 <= call_s - adc_s <= _OLDEST_CONVERSION_S:
            return now_ns - ns_from_seconds(call_s - adc_s), True
    return now_ns - latency_ns, True


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise EdgeError("the Python package sounddevice is missing; pip install 'shotline[node]'") from error
    except OSError as error:
        raise EdgeError(
            f"the PortAudio library cannot be loaded: {error}; Debian, Ubuntu, Raspberry Pi OS: "
            "apt-get install libportaudio2"
        ) from error
    except Exception as error:  # its own class cannot be had when its import fails
        raise EdgeError(_not_started_text(error)) from error
    module: ModuleType = sounddevice
    return module


def _not_started_text(error: Exception) -> str:
    return f"PortAudio does not start: {error}; check /etc/asound.conf, ~/.asoundrc and ALSA_CONFIG_PATH"


def _not_opened_text(device: InputDevice, settings: CaptureSettings, error: Exception) -> str:
    code = error.args[1] if len(error.args) > 1 else 0
    what = {
        _INVALID_RATE: f"it does not do that rate (its default is {device.default_rate_hz:g} Hz); take another device",
        _INVALID_CHANNELS: f"it does not do so many channels, up to {device.channels} may work",
        _UNAVAILABLE: "another program may have it: stop PulseAudio, PipeWire or arecord",
    }.get(code, "unplug it and plug it in again")
    return (
        f"{device} cannot be opened at {settings.sample_rate_hz} Hz with {settings.channels} channels: {error}; {what}"
    )


def _stuck_text(device: InputDevice | None) -> str:
    return f"{device}: the driver does not let go of the stream; restart the node, or unplug the device"


def _label(device: InputDevice) -> str:
    return stable_name(str(device)).casefold()


def _device_number(name: str) -> str | None:
    numbers = _HARDWARE.search(name)
    return numbers[2] if numbers else None


def _longer(retry_s: float) -> float:
    return min(max(_FIRST_RETRY_S, 2.0 * retry_s), _LONGEST_RETRY_S)
