"""A live node without hardware: a card that comes and goes, a host that is asked, threads that end."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sensor_node.background import Background
from sensor_node.capture import Capture, CaptureSettings, CaptureState, EventKind, InputDevice, OnBlock
from sensor_node.chrony import Tracking, parse_tracking
from sensor_node.config import NodeConfig, TimeSection, load_node_config
from sensor_node.gpsd import Fix
from sensor_node.hosttime import HostTime
from sensor_node.place import Position
from sensor_node.placefile import place_path, read_place, write_place
from sensor_node.publisher import Publisher
from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from sensor_node.spool import MemorySpool, SpoolCounts
from sensor_node.station import Station
from sensor_node.vitals import with_health
from shotline.domain import ClockState
from shotline.errors import EdgeError, InputError
from shotline.health import CheckStatus
from shotline.messages import ClipRequest, Reject, RejectReason, decode, encode
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

NOW_NS = parse_utc("2026-11-30T12:00:00Z")
PATIENCE_S = 10.0
PULSE = "50505300,PPS,1,{age},-0.000001,0.0,0.0,-1.2,0.001,0.168,0.000000001,0.000004,16.0,{leap}"


def tracking(*, seconds_ago: float = 2.0, leap: str = "Normal", now_ns: int = NOW_NS) -> Tracking:
    return parse_tracking(PULSE.format(age=f"{now_ns / NS_PER_S - seconds_ago:.9f}", leap=leap))


class Clocks:
    """CLOCK_MONOTONIC and UTC that only go when told to."""

    def __init__(self) -> None:
        self.monotonic_now_ns = 500 * NS_PER_S
        self.answers: list[Tracking | EdgeError] = []
        self.asked = 0

    def monotonic_ns(self) -> int:
        return self.monotonic_now_ns

    def utc_ns(self) -> int:
        return NOW_NS + self.monotonic_now_ns - 500 * NS_PER_S

    def ask(self) -> Tracking:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else tracking(now_ns=self.utc_ns())
        if isinstance(answer, EdgeError):
            raise answer
        return answer

    def host(self) -> HostTime:
        return HostTime(TimeSection(), monotonic_ns=self.monotonic_ns, utc_ns=self.utc_ns, tracking=self.ask)


class TestHostTime:
    def test_a_pulse(self) -> None:
        clocks = Clocks()
        reading = clocks.host().read()
        assert (reading.monotonic_ns, reading.utc_ns) == (500 * NS_PER_S, NOW_NS)
        assert reading.state is ClockState.PPS
        # |offset| + dispersion + delay / 2.
        assert reading.bound_ns == 1_000 + 4_000 + 0

    def test_chronyd_is_asked_now_and_then_and_doubted_meanwhile(self) -> None:
        clocks = Clocks()
        host = clocks.host()
        host.read()
        for _ in range(3):
            clocks.monotonic_now_ns += NS_PER_S
            reading = host.read()
        assert clocks.asked == 1
        assert reading.bound_ns == 5_000 + 15_000
        clocks.monotonic_now_ns += NS_PER_S
        assert host.read().bound_ns == 5_000
        assert clocks.asked == 2

    def test_no_answer_is_believed_for_half_a_minute_only(self) -> None:
        clocks = Clocks()
        host = clocks.host()
        host.read()
        clocks.answers = [EdgeError("chronyc did not answer")] * 20
        clocks.monotonic_now_ns += 29 * NS_PER_S
        assert host.read().state is ClockState.PPS
        assert host.problem == "chronyc did not answer"
        clocks.monotonic_now_ns += 2 * NS_PER_S
        reading = host.read()
        assert (reading.state, reading.bound_ns) == (ClockState.UNTIMED, UNTIMED_SIGMA_NS)

    def test_never_an_answer(self) -> None:
        clocks = Clocks()
        clocks.answers = [EdgeError("cannot run chronyc")]
        host = clocks.host()
        assert host.read().state is ClockState.UNTIMED
        assert host.tracking is None

    def test_a_leap_second_is_handed_on(self) -> None:
        clocks = Clocks()
        clocks.answers = [tracking(leap="Insert second")]
        assert clocks.host().read().leap


class TestBackground:
    def test_calls_again_and_keeps_what_comes(self) -> None:
        counts = iter(range(1_000_000))
        with Background(lambda: next(counts), every_s=0.001, name="count") as background:
            seen: list[int] = []
            until_s = time.monotonic() + PATIENCE_S
            while len(seen) < 3 and time.monotonic() < until_s:
                seen += background.take()
        assert seen[:3] == [0, 1, 2]
        assert not [thread for thread in threading.enumerate() if thread.name == "count"]

    def test_a_mistake_is_not_lost_in_the_thread(self) -> None:
        def fail() -> int:
            raise ValueError("as it should")

        def take_until_it_fails(background: Background[int]) -> None:
            until_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < until_s:
                background.take()

        with (
            Background(fail, every_s=0.001, name="fails") as background,
            pytest.raises(ValueError, match="as it"),
        ):
            take_until_it_fails(background)

    def test_nobody_takes(self) -> None:
        done = threading.Event()
        counts = iter(range(1_000_000))

        def count() -> int:
            number = next(counts)
            if number == 1_500:
                done.set()
            return number

        with Background(count, every_s=0.0, name="many") as background:
            assert done.wait(PATIENCE_S)
            kept = background.take()
        assert len(kept) <= 1_001
        assert kept[0] > 0


class Card:
    """A sound card that can be taken away."""

    def __init__(self) -> None:
        self.there = False
        self.on_block: OnBlock | None = None
        self.sample_rate_hz = 48_000.0
        self.latency_s = 0.04
        self.active = False

    def refresh(self) -> None: ...

    def inputs(self) -> list[InputDevice]:
        return [InputDevice(0, "Roof Mic", "ALSA", 2, 48_000.0)] if self.there else []

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> Card:
        assert (device.name, settings.device) == ("Roof Mic", "Roof Mic")
        self.on_block = on_block
        return self

    def abandon(self) -> None: ...

    def start(self) -> None:
        self.active = True

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.active = False


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    path = tmp_path / "node.toml"
    path.write_text(
        '[node]\nid = "roof-1"\nserver = "tcp://127.0.0.1:9"\nspool = "roof-1.db"\n'
        '[capture]\ndevice = "Roof Mic"\n[detector]\nmodel = "impulse-rules-1"\n'
    )
    return load_node_config(path)


@pytest.fixture
def roof(config: NodeConfig) -> Iterator[tuple[Station, Card, Clocks]]:
    clocks, card = Clocks(), Card()
    capture = Capture(CaptureSettings(device="Roof Mic"), monotonic_ns=clocks.monotonic_ns, cards=card)
    station = Station(
        config,
        capture=capture,
        tracking=clocks.ask,
        monotonic_ns=clocks.monotonic_ns,
        utc_ns=clocks.utc_ns,
        boot=77,
    )
    with station:
        yield station, card, clocks


class TestStation:
    def test_without_a_card_it_lives_and_says_so(self, roof: tuple[Station, Card, Clocks]) -> None:
        station, card, clocks = roof
        detections, events = station.step()
        assert detections == []
        assert [event.kind for event in events] == [EventKind.REOPEN_FAILED]
        assert "no sound input found, 'Roof Mic' expected" in station.capture.problem
        card.there = True
        clocks.monotonic_now_ns += 2 * NS_PER_S
        _, events = station.step()
        assert [event.kind for event in events] == [EventKind.REOPENED]
        assert station.capture.state is CaptureState.RUNNING

    def test_says_who_and_how_it_is(self, roof: tuple[Station, Card, Clocks]) -> None:
        station, _, clocks = roof
        hello = station.hello()
        assert (hello.node, hello.boot, hello.time_ns) == ("roof-1", 77, NOW_NS)
        assert (hello.sample_rate_hz, hello.clock_state) == (48_000, ClockState.UNTIMED)
        assert hello.report_delay_s == pytest.approx(2.25)
        clocks.monotonic_now_ns += NS_PER_S
        heartbeat = station.heartbeat(SpoolCounts(unacked=3, rejected=0))
        assert (heartbeat.time_ns, heartbeat.unacked) == (NOW_NS + NS_PER_S, 3)
        assert heartbeat.clock_state is ClockState.UNTIMED

    def test_hears_and_counts(self, roof: tuple[Station, Card, Clocks]) -> None:
        station, card, clocks = roof
        card.there = True
        clocks.monotonic_now_ns += 2 * NS_PER_S
        station.step()
        assert card.on_block is not None
        rng = np.random.default_rng(1)
        heard = []
        for block in range(400):
            sound = 30.0 * rng.standard_normal((960, 1))
            if block == 200:
                sound[400:440] += 20_000.0 * np.exp(-np.arange(40) / 10.0)[:, None]
            clocks.monotonic_now_ns += 20_000_000
            seconds = clocks.monotonic_now_ns / NS_PER_S
            card.on_block(sound.astype(np.int16), seconds - 0.02, seconds, False)
            heard += station.step()[0]
        heard += station.finish()
        (shot,) = heard
        assert 200 * 960 + 390 < shot.onset_sample < 200 * 960 + 410
        # The sound around it is announced by its digest, and leaves once, as it was heard.
        request = ClipRequest(node="roof-1", boot=77, sequence=0, incident_id="i1")
        parts = station.clip(request)
        assert not isinstance(parts, Reject)
        assert {part.parts for part in parts} == {len(parts)}
        sound, rate_hz = soundfile.read(io.BytesIO(b"".join(part.flac for part in parts)), dtype="int16")
        assert (rate_hz, len(sound)) == (48_000, 96_000)
        assert shot.clip_sha256 == hashlib.sha256(sound.astype("<i2").tobytes()).digest()
        refused = station.clip(ClipRequest(node="roof-1", boot=77, sequence=1, incident_id="i1"))
        assert isinstance(refused, Reject)
        assert refused.reason is RejectReason.CLIP_UNKNOWN
        summary = station.summary
        assert (summary.device, summary.detections, summary.samples) == ("Roof Mic", 1, 400 * 960)

    def test_its_checks_go_into_the_heartbeat(self, roof: tuple[Station, Card, Clocks]) -> None:
        station, _, _ = roof
        station.step()
        spool = MemorySpool()
        with Publisher(
            "tcp://127.0.0.1:9",
            spool=spool,
            hello=station.hello,
            heartbeat=station.heartbeat,
            monotonic_s=time.monotonic,
        ) as publisher:
            checks = station.checks(spool.counts(), spool, publisher)
        said = {check.name: check for check in checks}
        assert {"capture", "microphone", "rate", "overruns", "time", "server", "spool", "model"} <= set(said)
        assert said["capture"].status is CheckStatus.FAIL
        assert "'Roof Mic' expected" in said["capture"].message
        beat = with_health(station.heartbeat(spool.counts()), checks, spool.counts())
        assert {item.name: item.status for item in beat.health} == {check.name: check.status.value for check in checks}
        assert decode(encode(beat)) == beat

    def test_a_configuration_of_files_is_none_for_it(self, config: NodeConfig) -> None:
        with pytest.raises(InputError, match="no \\[capture\\]"):
            Station(config.model_copy(update={"capture": None}))


class TestPlaceFile:
    def test_round_trip(self, config: NodeConfig) -> None:
        position = Position(40.44, -79.95, 310.0, 1.2, 2.3)
        assert read_place(config) is None
        write_place(config, position)
        assert read_place(config) == position

    def test_what_is_broken_is_nothing(self, config: NodeConfig) -> None:
        path = place_path(config)
        assert path is not None
        for text in ("", "[]", "{}", '{"lat_deg": 99}', '{"lat_deg": 99, "lon_deg": 0, "height_m": 0}'):
            path.write_text(text)
            assert read_place(config) is None

    def test_a_node_without_a_spool_keeps_nothing(self, config: NodeConfig) -> None:
        node = config.node.model_copy(update={"spool": None})
        bare = config.model_copy(update={"node": node})
        write_place(bare, Position(40.44, -79.95, 310.0, 1.2, 2.3))
        assert read_place(bare) is None

    def test_the_average_is_left_for_the_next_run(self, config: NodeConfig, roof: tuple[Station, Card, Clocks]) -> None:
        station, _, _ = roof
        for second in range(0, 8 * 600, 2):
            fix = Fix(NOW_NS + second * NS_PER_S, 3, 40.44, -79.95, 310.0, 2.0, 2.0, 4.0)
            station._place(fix)
        left = read_place(config)
        assert left is not None
        assert abs(left.lat_deg - 40.44) < 1e-6
