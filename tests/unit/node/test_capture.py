"""The logic around a sound card, with cards that do as they are told. Real PortAudio: tests/scenarios."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from sensor_node import capture as capture_module
from sensor_node.capture import (
    Capture,
    CapturedSound,
    CaptureEvent,
    CaptureSettings,
    CaptureState,
    EventKind,
    InputDevice,
    OnBlock,
    PortAudio,
    conversion_time_ns,
    find_input,
    list_inputs,
    stable_name,
)
from sensor_node.cli import app
from sensor_node.framing import Framer
from shotline.errors import EdgeError, InputError

S = 1_000_000_000
MS = 1_000_000
RATE_HZ = 48_000


def device(index: int, name: str, *, api: str = "ALSA", channels: int = 2) -> InputDevice:
    return InputDevice(index, name, api, channels, 48_000.0)


class Stream:
    """A stream that is told what to do."""

    def __init__(self, device: InputDevice, on_block: OnBlock, rate_hz: float) -> None:
        self.device = device
        self.on_block = on_block
        self.sample_rate_hz = rate_hz
        self.latency_s = 0.04
        self.active = False
        self.closed = False
        self.refuses_start = False
        self.may_close = threading.Event()
        self.may_close.set()

    def start(self) -> None:
        if self.refuses_start:
            raise EdgeError("it does not start")
        self.active = True

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.may_close.wait(10.0)
        self.active, self.closed = False, True


class Bench:
    """A clock, cards and a capture on them."""

    def __init__(
        self, *devices: InputDevice, name: str = "Roof Mic", channels: int = 1, patience_s: float = 5.0
    ) -> None:
        self.now_ns = 1000 * S
        self.devices = list(devices)
        self.there: list[InputDevice] = []
        self.streams: list[Stream] = []
        self.granted_hz = 48_000.0
        self.refusal = ""
        self.refuses_start = False
        self.abandoned = 0
        self.heard = 0
        self.capture = Capture(
            CaptureSettings(device=name, channels=channels),
            monotonic_ns=lambda: self.now_ns,
            cards=self,
            close_patience_s=patience_s,
        )

    def refresh(self) -> None:
        assert all(stream.closed for stream in self.streams), "looked for devices while a stream was open"
        self.there = list(self.devices)

    def inputs(self) -> list[InputDevice]:
        return self.there

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> Stream:
        assert settings is not None
        if self.refusal:
            raise EdgeError(self.refusal)
        stream = Stream(device, on_block, self.granted_hz)
        stream.refuses_start = self.refuses_start
        self.streams.append(stream)
        return stream

    def abandon(self) -> None:
        self.abandoned += 1

    def hear(self, blocks: int = 1, *, overflow: bool = False) -> None:
        """Let time pass, a block at a time, with the sound of it."""
        for _ in range(blocks):
            self.now_ns += 20 * MS
            frames = np.full((960, self.capture.ring.channels), self.heard, dtype=np.int16)
            self.heard += 1
            seconds = self.now_ns / S
            self.streams[-1].on_block(frames, seconds - 0.02, seconds, overflow)

    def wait(self, seconds: float, *, every_s: float = 0.25) -> None:
        """Let time pass without sound."""
        until_ns = self.now_ns + round(seconds * S)
        while self.now_ns < until_ns:
            self.now_ns += round(every_s * S)
            self.capture.supervise(self.now_ns)

    def told(self) -> list[EventKind]:
        return [event.kind for event in self.capture.poll().events]


def bench(**options: object) -> Bench:
    return Bench(device(3, "Roof Mic: USB Audio (hw:1,0)"), **options)  # type: ignore[arg-type]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "stable"),
        [
            ("USB Audio CODEC: - (hw:1,0)", "USB Audio CODEC: -"),
            ("USB Audio CODEC: - (hw:12,3), ALSA", "USB Audio CODEC: -, ALSA"),
            ("roof_mic", "roof_mic"),
            (" (hw:1,0) ", ""),
            ("Mic (left)", "Mic (left)"),
        ],
    )
    def test_card_number_is_not_part_of_the_name(self, name: str, stable: str) -> None:
        assert stable_name(name) == stable

    @pytest.mark.parametrize(
        ("wanted", "index"),
        [
            ("USB Audio CODEC: - (hw:1,0)", 4),
            ("USB Audio CODEC: - (hw:7,0)", 4),
            ("usb audio codec: -", 4),
            ("CODEC", 4),
            ("citest", 6),
            ("citest2", 7),
            ("test2", 7),
            ("Analog", 0),
            ("Analog (hw:0,0), ALSA", 0),
            ("snd_rpi: I2S (hw:3,1)", 9),
            ("system, JACK", 11),
        ],
    )
    def test_whole_names_go_before_parts_of_names(self, wanted: str, index: int) -> None:
        devices = [
            device(0, "HDA Intel: ALC662 rev1 Analog (hw:0,0)"),
            device(1, "HDA Intel: ALC662 rev1 Digital (hw:0,1)"),
            device(4, "USB Audio CODEC: - (hw:2,0)"),
            device(6, "citest"),
            device(7, "citest2"),
            device(8, "snd_rpi: I2S (hw:1,0)"),
            device(9, "snd_rpi: I2S (hw:1,1)"),
            device(10, "system", api="OSS"),
            device(11, "system", api="JACK"),
        ]
        assert find_input(devices, wanted).index == index

    def test_two_of_the_same_make_are_refused(self) -> None:
        two = [device(1, "USB: Mic (hw:1,0)"), device(2, "USB: Mic (hw:2,0)")]
        for wanted in ("USB: Mic", "Mic", "USB: Mic (hw:1,0)"):
            with pytest.raises(EdgeError) as caught:
                find_input(two, wanted)
            assert str(caught.value) == (
                f"'{wanted}' fits 2 inputs: USB: Mic (hw:1,0), ALSA; USB: Mic (hw:2,0), ALSA. "
                "Give more of the name; cards of the same make need names of their own, see docs/capture.md"
            )

    def test_unknown_name_says_what_there_is(self) -> None:
        for wanted in ("Attic", "hw:1,0"):
            with pytest.raises(EdgeError) as caught:
                find_input([device(1, "USB: Mic (hw:1,0)"), device(2, "citest")], wanted)
            assert str(caught.value) == (
                f"no input is called '{wanted}'; there are: USB: Mic (hw:1,0), ALSA; citest, ALSA. "
                "Give one of these names, without (hw:...): card numbers change"
            )

    def test_no_input_at_all(self) -> None:
        with pytest.raises(EdgeError, match=r"no sound input found, 'Mic' expected; plug it in, .*group audio"):
            find_input([], "Mic")

    def test_hardware_is_told_from_software(self) -> None:
        assert device(1, "USB: Mic (hw:1,0)").is_hardware
        assert not device(2, "default").is_hardware


class TestConversionTime:
    def test_time_of_the_card_is_taken_as_it_is(self) -> None:
        found = conversion_time_ns(now_ns=100 * S, adc_s=99.96, call_s=100.0, latency_ns=7)
        assert found == (99_960_000_000, False)

    def test_microseconds_survive_a_year_of_uptime(self) -> None:
        adc_ns = 31_557_600 * S + 123_456_000
        found = conversion_time_ns(now_ns=adc_ns + MS, adc_s=adc_ns / S, call_s=adc_ns / S, latency_ns=0)
        # A float64 of that size steps by 4 ns.
        assert abs(found[0] - adc_ns) <= 4

    @pytest.mark.parametrize("adc_s", [0.0, -0.04, float("nan"), float("inf")])
    def test_without_one_the_latency_is_taken_off_the_moment_of_the_call(self, adc_s: float) -> None:
        assert conversion_time_ns(now_ns=100 * S, adc_s=adc_s, call_s=0.0, latency_ns=40 * MS) == (
            99_960_000_000,
            True,
        )

    def test_on_another_clock_the_age_still_holds(self) -> None:
        found = conversion_time_ns(now_ns=100 * S, adc_s=1_700_000_000.0, call_s=1_700_000_000.25, latency_ns=7)
        assert found == (99_750_000_000, True)

    @pytest.mark.parametrize(("adc_s", "call_s"), [(80.0, 100.0), (100.1, 100.0), (100.1, 200.0)])
    def test_what_cannot_be_is_not_taken(self, adc_s: float, call_s: float) -> None:
        assert conversion_time_ns(now_ns=100 * S, adc_s=adc_s, call_s=call_s, latency_ns=1) == (100 * S - 1, True)


class TestSettings:
    def test_defaults(self) -> None:
        settings = CaptureSettings(device="x")
        assert (settings.sample_rate_hz, settings.channels, settings.block_samples) == (48_000, 1, 960)
        assert (settings.ring_s, settings.latency, settings.no_callback_s) == (30.0, "high", 2.0)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"device": " "}, "device: device ' ' has no name"),
            ({"device": "(hw:1,0)"}, "device: device '(hw:1,0)' has no name"),
            ({"sample_rate_hz": 0}, "sample_rate_hz: 0 is not more than 0 and finite"),
            ({"channels": -1}, "channels: -1 is not more than 0 and finite"),
            ({"block_samples": 0}, "block_samples: 0 is not more than 0 and finite"),
            ({"no_callback_s": float("inf")}, "no_callback_s: inf is not more than 0 and finite"),
            ({"ring_s": 0.03}, "ring_s: 0.03 s does not hold two blocks of 0.02 s"),
            ({"no_callback_s": 0.02}, "no_callback_s: 0.02 s is not longer than a block of 0.02 s"),
        ],
    )
    def test_what_cannot_be(self, options: dict[str, float], text: str) -> None:
        with pytest.raises(InputError) as caught:
            CaptureSettings(**{"device": "x", **options})  # type: ignore[arg-type]
        assert str(caught.value).startswith(text)


class TestSound:
    def test_sound_comes_with_index_and_time(self) -> None:
        b = bench(channels=2)
        with b.capture as capture:
            b.hear(3)
            sound = capture.poll()
            assert sound.samples.shape == (2, 2880)
            assert [(r.first_sample, r.samples, r.adc_time_ns) for r in sound.records] == [
                (0, 960, 1000 * S),
                (960, 960, 1000 * S + 20 * MS),
                (1920, 960, 1000 * S + 40 * MS),
            ]
            assert sound.events == (
                CaptureEvent(
                    EventKind.OPENED,
                    1000 * S,
                    "Roof Mic: USB Audio (hw:1,0), ALSA: 48000 Hz, 2 channels, latency 40 ms",
                ),
            )
            assert (capture.device, capture.latency_s) == (b.devices[0], 0.04)
            again = capture.poll()
            assert (again.samples.shape, again.records, again.events) == ((2, 0), (), ())
        assert b.streams[0].closed

    def test_one_channel_goes_to_the_framer(self) -> None:
        b = bench(channels=2)
        b.capture.open()
        b.hear(2)
        b.hear(overflow=True)
        sound = b.capture.poll()
        framer = Framer()
        assert [framer.accept(block) for block in sound.blocks(2)] == [True, False, True]
        assert framer.samples == 2880
        assert framer.gap_samples == 1
        for channel in (0, 3):
            with pytest.raises(InputError, match=f"channel {channel} asked for, there are 2; the first is 1"):
                next(sound.blocks(channel))

    def test_a_poll_takes_at_most_a_second(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(60)
        assert [b.capture.poll().samples.shape[1] for _ in range(3)] == [48_000, 9_600, 0]

    def test_overruns_are_counted_and_told(self) -> None:
        b = bench()
        b.capture.open()
        b.capture.poll()
        b.hear()
        b.now_ns += 100 * MS
        b.hear(overflow=True)
        sound = b.capture.poll()
        assert [event.message for event in sound.events] == ["1 overruns, about 4800 samples lost"]
        assert [record.first_sample for record in sound.records] == [0, 5760]
        b.hear(2, overflow=True)
        assert [event.message for event in b.capture.poll().events] == ["2 overruns, about 2 samples lost"]
        b.hear()
        assert b.capture.poll().events == ()

    def test_a_mistake_in_the_callback_does_not_end_the_stream(self) -> None:
        b = bench()
        b.capture.open()
        b.hear()
        b.now_ns = "noon"  # type: ignore[assignment]
        b.streams[0].on_block(np.zeros((960, 1), dtype=np.int16), 1.0, 1.0, False)
        assert b.capture.callback_errors == 1
        b.now_ns = 1000 * S + 40 * MS
        b.hear()
        assert [(record.first_sample, record.segment) for record in b.capture.poll().records] == [(0, 0), (1920, 1)]

    def test_clips_come_from_the_ring(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(2)
        clip = b.capture.ring.last(959, 961)
        assert clip is not None
        assert clip.tolist() == [[0, 1]]

    def test_what_was_heard_can_be_read_after_the_end(self) -> None:
        b = bench()
        with b.capture:
            b.hear(2)
        assert b.capture.poll().samples.shape == (1, 1920)


class TestOpening:
    def test_other_rate_is_refused(self) -> None:
        b = bench()
        b.granted_hz = 44_100.0
        with pytest.raises(EdgeError) as caught:
            b.capture.open()
        assert str(caught.value) == (
            "Roof Mic: USB Audio (hw:1,0), ALSA grants 44100 Hz, 48000 Hz asked for; sound would be dated wrongly; "
            "choose the rate that it grants or another device"
        )
        assert b.streams[0].closed
        assert b.capture.state is CaptureState.CLOSED
        b.granted_hz = 48_000.3  # what a driver says that knows its crystal
        b.capture.open()
        assert b.capture.state is CaptureState.RUNNING

    def test_too_few_channels(self) -> None:
        with pytest.raises(EdgeError, match="has 2 input channels, 3 asked for; choose fewer channels"):
            bench(channels=3).capture.open()

    def test_it_is_opened_once(self) -> None:
        b = bench()
        b.capture.open()
        with pytest.raises(InputError, match="Roof Mic is open already; close it first"):
            b.capture.open()

    def test_closing_twice_is_no_mistake_and_it_can_be_opened_again(self) -> None:
        b = bench()
        b.capture.close()
        for _ in range(2):
            b.capture.open()
            b.capture.close()
            b.capture.close()
        assert b.capture.state is CaptureState.CLOSED
        assert b.capture.supervise(b.now_ns) is CaptureState.CLOSED
        assert b.told() == [EventKind.OPENED, EventKind.OPENED]
        assert b.abandoned == 0

    def test_a_stream_that_does_not_start_is_closed(self) -> None:
        b = bench()
        b.refuses_start = True
        with pytest.raises(EdgeError, match="it does not start"):
            b.capture.open()
        assert b.streams[0].closed

    def test_list_of_inputs(self) -> None:
        b = bench()
        b.refresh()
        assert list_inputs(b) == b.devices


class TestReopening:
    def test_sound_that_comes_keeps_it_open(self) -> None:
        b = bench()
        b.capture.open()
        for _ in range(20):
            b.hear(25)
            assert b.capture.supervise(b.now_ns) is CaptureState.RUNNING
        assert len(b.streams) == 1

    def test_silence_of_the_driver_for_two_seconds(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(2000)
        while b.capture.poll().records:
            pass
        b.wait(2.0)
        assert len(b.streams) == 1
        assert b.capture.state is CaptureState.RUNNING
        b.wait(0.25)
        assert len(b.streams) == 2
        assert b.streams[0].closed
        assert (b.capture.state, b.capture.problem, b.capture.reopens) == (CaptureState.RUNNING, "", 1)
        events = b.capture.poll().events
        assert [event.kind for event in events] == [EventKind.LOST, EventKind.REOPENED]
        assert events[0].message == "Roof Mic: USB Audio (hw:1,0), ALSA: no sound for 2.2 s"

    def test_a_device_that_never_says_anything(self) -> None:
        b = bench()
        b.capture.open()
        b.wait(2.25)
        assert b.told() == [EventKind.OPENED, EventKind.LOST, EventKind.REOPENED]

    def test_the_index_jumps_by_the_time_that_is_missing(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(10)
        b.wait(2.25)
        b.hear(10)
        records = b.capture.poll().records
        assert records[9].end_sample == 9600
        assert records[10].first_sample == 9600 + round(2.25 * RATE_HZ)
        assert [record.segment for record in records] == [0] * 10 + [1] * 10
        # The index still tells the time.
        assert {r.adc_time_ns - r.first_sample * S // RATE_HZ for r in records} == {1000 * S}
        assert b.capture.ring.counters.breaks == 1

    def test_unplugged_and_plugged_in_under_another_number(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(2000)
        b.devices, b.streams[0].active = [], False
        assert b.capture.supervise(b.now_ns) is CaptureState.LOST
        assert b.capture.problem.startswith("no sound input found, 'Roof Mic' expected")
        b.wait(10.0)
        assert b.capture.state is CaptureState.LOST
        b.devices = [device(0, "Other: Mic (hw:1,0)"), device(7, "Roof Mic: USB Audio (hw:4,0)")]
        b.wait(5.5)  # the next try is 15 s after the first
        assert b.capture.state is CaptureState.RUNNING
        assert b.streams[-1].device.index == 7
        kinds = b.told()
        assert kinds[:3] == [EventKind.OPENED, EventKind.LOST, EventKind.REOPEN_FAILED]
        assert kinds[-1] is EventKind.REOPENED
        assert set(kinds[2:-1]) == {EventKind.REOPEN_FAILED}

    def test_tries_come_less_and_less_often(self) -> None:
        b = bench()
        b.capture.open()
        b.hear(2000)
        b.refusal, b.streams[0].active = "it is gone", False
        begin_ns = b.now_ns
        b.capture.supervise(b.now_ns)
        b.wait(130.0)
        tries = [
            (event.time_ns - begin_ns) / S for event in b.capture.poll().events if event.kind is EventKind.REOPEN_FAILED
        ]
        assert tries == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0]
        assert b.capture.problem == "it is gone"

    def test_a_device_that_comes_and_goes_waits_too(self) -> None:
        b = bench()
        b.capture.open()
        begins_ns = []
        for _ in range(5):
            b.streams[-1].active = False
            begin_ns, before = b.now_ns, len(b.streams)
            b.capture.supervise(b.now_ns)
            while len(b.streams) == before:
                b.wait(0.25)
            begins_ns.append(b.now_ns - begin_ns)
            b.hear(5)
        assert [waited / S for waited in begins_ns] == [0.0, 1.0, 2.0, 4.0, 8.0]
        b.hear(1500)  # it has been steady for 30 s
        b.streams[-1].active = False
        b.capture.supervise(b.now_ns)
        assert len(b.streams) == 7

    def test_rate_that_changed_meanwhile_is_refused(self) -> None:
        b = bench()
        b.capture.open()
        b.granted_hz, b.streams[0].active = 44_100.0, False
        assert b.capture.supervise(b.now_ns) is CaptureState.LOST
        assert "grants 44100 Hz" in b.capture.problem
        assert b.streams[1].closed
        b.granted_hz = 48_000.0
        b.wait(1.0)
        assert b.capture.state is CaptureState.RUNNING

    def test_late_block_of_a_stream_that_was_given_up(self) -> None:
        b = bench()
        b.capture.open()
        b.hear()
        old = b.streams[0]
        old.active = False
        b.capture.supervise(b.now_ns)
        old.on_block(np.zeros((960, 1), dtype=np.int16), b.now_ns / S, b.now_ns / S, False)
        assert b.capture.ring.counters.blocks == 1

    def test_closed_while_it_waits(self) -> None:
        b = bench()
        b.capture.open()
        b.refusal, b.streams[0].active = "it is gone", False
        b.capture.supervise(b.now_ns)
        b.capture.close()
        assert (b.capture.state, b.capture.problem) == (CaptureState.CLOSED, "")
        b.wait(60.0)
        assert len(b.streams) == 1


class TestStuckDriver:
    """A driver that does not return from closing: the patience is short here, the thread waits for the test."""

    def stuck(self) -> Bench:
        b = bench(patience_s=0.01)
        b.capture.open()
        b.hear()
        b.streams[0].may_close.clear()
        b.wait(2.25)
        return b

    def test_supervise_comes_back_and_says_so_once(self) -> None:
        b = self.stuck()
        assert b.capture.state is CaptureState.LOST
        b.wait(5.0)
        assert b.told() == [EventKind.OPENED, EventKind.LOST, EventKind.STUCK]
        assert b.capture.problem == (
            "Roof Mic: USB Audio (hw:1,0), ALSA: the driver does not let go of the stream; restart the node, "
            "or unplug the device"
        )
        assert len(b.streams) == 1
        self.release(b)
        b.wait(0.25)
        assert (b.capture.state, len(b.streams)) == (CaptureState.RUNNING, 2)
        assert b.told() == [EventKind.REOPENED]

    def test_close_comes_back_too_and_the_program_can_end(self) -> None:
        b = self.stuck()
        b.capture.close()
        assert b.abandoned == 1
        with pytest.raises(EdgeError, match="does not let go"):
            b.capture.open()
        self.release(b)
        b.capture.open()
        assert b.capture.state is CaptureState.RUNNING

    def release(self, b: Bench) -> None:
        closer = next(thread for thread in threading.enumerate() if thread.name == "capture-close")
        b.streams[0].may_close.set()
        closer.join(10.0)


class RefusalError(Exception):
    """Stands in for `sounddevice.PortAudioError`."""


def sounddevice_that(do: Callable[[], object]) -> ModuleType:
    module = ModuleType("sounddevice")
    module.PortAudioError = RefusalError  # type: ignore[attr-defined]
    module.InputStream = lambda **_: do()  # type: ignore[attr-defined]
    module.query_hostapis = do  # type: ignore[attr-defined]
    module._initialized = 0  # type: ignore[attr-defined]
    module._initialize = do  # type: ignore[attr-defined]
    module._exit_handler = do  # type: ignore[attr-defined]
    return module


class TestPortAudioErrors:
    """Texts of errors that no device can be made to give here."""

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            (-9985, "another program may have it: stop PulseAudio, PipeWire or arecord"),
            (-9997, "it does not do that rate (its default is 48000 Hz); take another device"),
            (-9998, "it does not do so many channels, up to 2 may work"),
            (-9999, "unplug it and plug it in again"),
        ],
    )
    def test_device_that_cannot_be_opened(self, monkeypatch: pytest.MonkeyPatch, code: int, advice: str) -> None:
        def refuse() -> None:
            raise RefusalError("no", code)

        monkeypatch.setitem(sys.modules, "sounddevice", sounddevice_that(refuse))
        with pytest.raises(EdgeError) as caught:
            PortAudio().open_input(device(1, "Mic"), CaptureSettings(device="Mic"), lambda *_: None)
        text = str(caught.value)
        assert text.startswith("Mic, ALSA cannot be opened at 48000 Hz with 1 channels: ('no', ")
        assert text.endswith(f"; {advice}")

    def test_start_and_stop_of_a_device_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Gone:
            samplerate, latency = 48_000.0, 0.1

            @property
            def active(self) -> bool:
                raise RefusalError("gone")

            def start(self) -> None:
                raise RefusalError("gone")

            def abort(self) -> None:
                pass

            close = abort

        monkeypatch.setitem(sys.modules, "sounddevice", sounddevice_that(Gone))
        stream = PortAudio().open_input(device(1, "Mic"), CaptureSettings(device="Mic"), lambda *_: None)
        with pytest.raises(EdgeError, match="Mic, ALSA does not start: gone; unplug it and plug it in again"):
            stream.start()
        assert not stream.is_active()
        stream.close()

    def test_portaudio_that_does_not_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse() -> None:
            raise RefusalError("broken")

        monkeypatch.setitem(sys.modules, "sounddevice", sounddevice_that(refuse))
        for ask in (PortAudio().refresh, PortAudio().inputs, list_inputs):
            with pytest.raises(EdgeError, match=r"PortAudio does not start: broken; check /etc/asound.conf"):
                ask()

    def test_package_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        with pytest.raises(EdgeError, match=r"sounddevice is missing; pip install 'shotline\[node\]'"):
            list_inputs()

    def test_end_of_the_program_does_not_wait_for_what_was_abandoned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        module = sounddevice_that(lambda: calls.append(1))
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        taken: list[object] = []
        monkeypatch.setattr(atexit, "unregister", taken.append)
        PortAudio().abandon()
        assert taken == [module._exit_handler]


def test_importing_the_module_loads_no_sound_library() -> None:
    code = "import sys, sensor_node.capture; print(sorted({'sounddevice', 'scipy', 'soundfile'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=120.0, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    assert set(capture_module.__all__) >= {"Capture", "CaptureSettings", "CapturedSound", "list_inputs"}
    assert CapturedSound.__doc__


@pytest.mark.parametrize(
    ("found", "code"), [([], 1), ([InputDevice(3, "USB Audio: - (hw:1,0)", "ALSA", 2, 48_000.0)], 0)]
)
def test_devices_are_listed_for_a_technician(
    monkeypatch: pytest.MonkeyPatch, found: list[InputDevice], code: int
) -> None:
    monkeypatch.setattr("sensor_node.capture.list_inputs", lambda: found)
    said = CliRunner().invoke(app, ["devices"])
    assert said.exit_code == code
    assert all(f"{item.name}  (ALSA, 2 channels, 48000 Hz)" in said.output for item in found)
    as_json = json.loads(CliRunner().invoke(app, ["devices", "--json"]).stdout)
    assert [item["name"] for item in as_json["devices"]] == [item.name for item in found]
