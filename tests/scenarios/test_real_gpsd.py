"""The real gpsd, reading a receiver that is a pseudo terminal: messages, loss, return, wrong dates, a moved antenna."""

from __future__ import annotations

import math
import os
import pty
import select
import shutil
import socket
import subprocess
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sensor_node.gpsd import (
    Device,
    Devices,
    ErrorReport,
    Fix,
    GpsdClient,
    GpsdMessage,
    GpsdParser,
    GpsdReject,
    Sky,
    TimeOffset,
    Version,
    Watch,
)
from sensor_node.place import Place, PlaceKeeper, PlaceSettings, PlaceSource, Position
from shotline.geodesy import LocalFrame

_GPSD = shutil.which("gpsd") or shutil.which("gpsd", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(_GPSD is None, reason="gpsd is not installed: apt-get install gpsd"),
]

_PATIENCE_S = 60.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""
_NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
_HOME = (51.5012345, -0.1412345)
_GEOID_M = -33.9
_HEIGHT_MSL_M = 30.0


class Receiver:
    """A GPS receiver's serial line: what is written to it, gpsd reads."""

    def __init__(self, stack: ExitStack) -> None:
        self._master, slave = pty.openpty()
        stack.callback(self._close)
        # Kept open, so that the line stays when gpsd lets go of it.
        stack.callback(os.close, slave)
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(slave)

    def say(self, data: bytes) -> None:
        """Write what the line takes; a line that nobody reads is full some time."""
        while data and select.select([], [self._master], [], 0.0)[1]:
            with suppress(BlockingIOError):
                data = data[os.write(self._master, data) :]

    def _close(self) -> None:
        os.close(self._master)


def sentence(body: str) -> bytes:
    """Return an NMEA 0183 sentence with its checksum."""
    checksum = 0
    for byte in body.encode("ascii"):
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


def cycle(moment: datetime, lat_deg: float, lon_deg: float) -> bytes:
    """Return RMC, GGA, GSA, GSV and ZDA of one second, as a receiver sends them, with positions to 2 mm."""
    clock, day = moment.strftime("%H%M%S.%f")[:9], moment.strftime("%d%m%y")
    place = (
        f"{_minutes(lat_deg, 2)},{'N' if lat_deg >= 0 else 'S'},{_minutes(lon_deg, 3)},{'E' if lon_deg >= 0 else 'W'}"
    )
    seen = [2, 5, 7, 9, 13, 15, 18, 21, 24, 29]
    parts = [seen[start : start + 4] for start in range(0, len(seen), 4)]
    return b"".join(
        [
            sentence(f"GPRMC,{clock},A,{place},0.00,0.0,{day},,,A"),
            sentence(f"GPGGA,{clock},{place},1,08,1.1,{_HEIGHT_MSL_M:.1f},M,{_GEOID_M:.1f},M,,"),
            sentence("GPGSA,A,3,02,05,07,09,13,15,18,21,,,,,2.0,1.1,1.7"),
            *(
                sentence(
                    f"GPGSV,{len(parts)},{number},{len(seen)},"
                    + ",".join(f"{name:02d},{20 + name:02d},{10 * name:03d},{30 + name % 10}" for name in part)
                )
                for number, part in enumerate(parts, 1)
            ),
            sentence(f"GPZDA,{clock},{moment.strftime('%d,%m,%Y')},00,00"),
        ]
    )


def _minutes(angle_deg: float, digits: int) -> str:
    whole, part = divmod(abs(angle_deg), 1.0)
    return f"{int(whole):0{digits}d}{60.0 * part:09.6f}"


class Bench:
    """A receiver, gpsd, started and stopped at will on one port, and a client."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.receiver = Receiver(stack)
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.heard: list[GpsdMessage] = []

    def start_gpsd(self) -> subprocess.Popen[bytes]:
        """Start gpsd: in the foreground, on loopback, writing nothing to the receiver, not waiting for a client."""
        assert _GPSD is not None
        errors = self._stack.enter_context((self._folder / "gpsd.txt").open("ab"))
        command = [_GPSD, "-N", "-n", "-b", "-S", str(self.port), self.receiver.path]
        process = self._stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors))
        self._stack.callback(process.kill)
        return process

    def client(self, *, not_before_ns: int = 0, silent_after_s: float = 60.0) -> GpsdClient:
        """Return a client that tries often."""
        return self._stack.enter_context(
            GpsdClient(
                port=self.port,
                not_before_ns=not_before_ns,
                least_wait_s=0.02,
                most_wait_s=0.1,
                silent_after_s=silent_after_s,
            )
        )

    def until(
        self,
        client: GpsdClient,
        done: Callable[[], object],
        what: str,
        *,
        moments: Iterator[tuple[datetime, float, float]] | None = None,
        period_s: float = 0.1,
    ) -> None:
        """Poll until it is done; meanwhile the receiver speaks every so often."""
        deadline_s, next_s = time.monotonic() + _PATIENCE_S, 0.0
        while not done():
            now_s = time.monotonic()
            assert now_s < deadline_s, f"waited {_PATIENCE_S:g} s in vain until {what}; {client.state}"
            if moments is not None and now_s >= next_s:
                self.receiver.say(cycle(*next(moments)))
                next_s = now_s + period_s
            self.heard += client.poll(0.02)

    def of(self, kind: type[GpsdMessage]) -> list[GpsdMessage]:
        """Return what was heard of a kind."""
        return [message for message in self.heard if isinstance(message, kind)]


def standing(start: datetime = _NOW, at: tuple[float, float] = _HOME) -> Iterator[tuple[datetime, float, float]]:
    """Yield one second after the other at one place."""
    while True:
        yield start, *at
        start += timedelta(seconds=1)


def ns_of(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


@pytest.fixture(autouse=True)
def _shared_memory_is_left_as_it_was() -> Iterator[None]:
    """gpsd gives up root before it could remove the System V segments it made for ntpd."""
    before = _segments()
    yield
    for number, attached in _segments().items():
        if number not in before and not attached:
            subprocess.run(["ipcrm", "-m", str(number)], check=False, capture_output=True)


def _segments() -> dict[int, int]:
    """Return how many processes each segment of shared memory is attached to, by its number."""
    with suppress(OSError):
        rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
        return {int(row[1]): int(row[6]) for row in rows}
    return {}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_every_message_of_the_real_gpsd_is_read(bench: Bench) -> None:
    bench.start_gpsd()
    client = bench.client(not_before_ns=ns_of(_NOW))
    # gpsd says DEVICE once, when it has recognised the receiver: who connects later finds it in DEVICES only.
    bench.until(client, lambda: bench.of(Watch), "gpsd answers, before the receiver speaks")

    def complete() -> list[Fix]:
        return [fix for fix in bench.heard if isinstance(fix, Fix) and None not in (fix.sigma_east_m, fix.sigma_up_m)]

    bench.until(client, lambda: complete() and bench.of(Sky), "a complete fix and the sky", moments=standing())
    for kind in (Version, Devices, Watch, Device, TimeOffset, Fix, Sky):
        assert bench.of(kind), kind
    fix = complete()[-1]
    # NMEA gives 1e-6 minutes of angle: 2 mm, or 2e-8 degrees; gpsd writes nine decimals.
    assert (fix.lat_deg, fix.lon_deg) == (pytest.approx(_HOME[0], abs=2e-8), pytest.approx(_HOME[1], abs=2e-8))
    assert fix.height_m == pytest.approx(_HEIGHT_MSL_M + _GEOID_M, abs=1e-3)
    assert fix.mode == 3
    assert fix.time_ns is not None
    assert (fix.time_ns - ns_of(_NOW)) % 1_000_000_000 == 0
    assert 0 <= fix.time_ns - ns_of(_NOW) < 300 * 1_000_000_000
    sky = bench.of(Sky)[-1]
    assert isinstance(sky, Sky)
    assert (sky.satellites_used, sky.satellites_seen, sky.hdop) == (8, 10, 1.1)
    offset = bench.of(TimeOffset)[-1]
    assert isinstance(offset, TimeOffset)
    # The sentences tell another day than the machine's, on purpose.
    assert offset.real_ns // 1_000_000_000 * 1_000_000_000 == offset.real_ns
    assert abs(offset.clock_ns - time.time_ns()) < 60 * 1_000_000_000
    state = client.state
    assert (state.connected, state.connects, state.devices) == (True, 1, (bench.receiver.path,))
    assert state.release.startswith("3.")
    assert state.counts.rejected == {}
    assert state.counts.lines == state.counts.messages + state.counts.ignored


def test_gpsd_that_goes_and_comes_back(bench: Bench) -> None:
    moments = standing()
    client = bench.client()
    assert client.poll(0.0) == []
    assert "is it running?" in client.state.problem
    for round_number in range(1, 4):
        process = bench.start_gpsd()
        bench.heard.clear()
        bench.until(client, lambda: bench.of(Fix), f"fix in round {round_number}", moments=moments)
        assert (client.state.connects, client.state.drops) == (round_number, round_number - 1)
        process.kill()
        process.wait()
        bench.until(client, lambda: not client.state.connected, "the loss is noticed")
        assert client.state.devices == ()
    assert client.state.problem


def test_receiver_that_falls_silent_is_noticed(bench: Bench) -> None:
    """gpsd itself keeps the connection and says nothing."""
    bench.start_gpsd()
    moments = standing()
    client = bench.client(silent_after_s=2.0)
    bench.until(client, lambda: bench.of(Fix), "a fix", moments=moments)
    connects = client.state.connects
    bench.until(client, lambda: not client.state.connected, "the silence is noticed")
    assert "is the receiver plugged in?" in client.state.problem
    bench.heard.clear()
    bench.until(client, lambda: bench.of(Fix), "a fix again", moments=moments)
    assert client.state.connects > connects


def test_garbage_on_the_serial_line_comes_to_nothing(bench: Bench) -> None:
    bench.start_gpsd()
    moments = standing()
    client = bench.client(not_before_ns=ns_of(_NOW))
    bench.until(client, lambda: bench.of(Fix), "a fix", moments=moments)
    for number in range(20):
        bench.receiver.say(bytes((7 * number + 13 * place) % 256 for place in range(200)) + b"\r\n$GPRMC,,,,*FF\r\n")
    bench.heard.clear()
    bench.until(client, lambda: len(bench.of(Fix)) >= 3, "fixes after the garbage", moments=moments)
    for fix in bench.of(Fix):
        assert isinstance(fix, Fix)
        assert fix.lat_deg in (None, pytest.approx(_HOME[0], abs=1e-6))


def test_date_before_the_software_was_built_is_refused(bench: Bench) -> None:
    """As after a week rollover. gpsd mends a date that is before its own release, so ours is set later here."""
    bench.start_gpsd()
    built_ns = ns_of(_NOW + timedelta(days=30))
    client = bench.client(not_before_ns=built_ns)

    def refused() -> int:
        return client.state.counts.rejected.get(GpsdReject.BEFORE_BUILD, 0)

    bench.until(client, lambda: refused() >= 4, "wrong dates are refused", moments=standing())
    assert bench.of(TimeOffset) == []
    assert not [fix for fix in bench.heard if isinstance(fix, Fix) and fix.time_ns is not None]
    assert client.state.since_fix_s is None
    assert set(client.state.counts.rejected) == {GpsdReject.BEFORE_BUILD}
    bench.until(client, lambda: bench.of(Fix), "the right date", moments=standing(_NOW + timedelta(days=31)))


def test_what_gpsd_does_not_understand_it_says(bench: Bench) -> None:
    bench.start_gpsd()
    client = bench.client()
    bench.until(client, lambda: client.state.connected, "connected")
    with socket.create_connection(("127.0.0.1", bench.port), _PATIENCE_S) as other:
        other.sendall(b"?SHOTLINE;\n")
        said = b""
        while b"ERROR" not in said or not said.endswith(b"\n"):
            said += other.recv(4_096)
    parser = GpsdParser()
    messages = parser.feed(said)
    assert [message for message in messages if isinstance(message, ErrorReport)]
    assert parser.counts.rejected == {}


def test_an_antenna_that_is_carried_away_raises_the_flag(bench: Bench) -> None:
    """Ten minutes are sixty cycles of ten seconds here, and pass in a few seconds of the wall."""
    bench.start_gpsd()
    client = bench.client(not_before_ns=ns_of(_NOW))
    frame = LocalFrame(*_HOME, _HEIGHT_MSL_M + _GEOID_M)
    survey = Position(*_HOME, _HEIGHT_MSL_M + _GEOID_M, sigma_m=0.5, sigma_up_m=1.0)
    keeper = PlaceKeeper(
        survey=survey, settings=PlaceSettings(window_s=100.0, least_fixes=5, moved_sigmas=2.0, reference_windows=2)
    )
    averaging = PlaceKeeper(settings=PlaceSettings(window_s=100.0, least_fixes=5))
    north_m = 0.0

    def walk() -> Iterator[tuple[datetime, float, float]]:
        moment = _NOW
        while True:
            lat_deg, lon_deg, _ = frame.to_geodetic(0.0, north_m)
            yield moment, lat_deg, lon_deg
            moment += timedelta(seconds=10)

    moments = walk()

    def take() -> None:
        for message in bench.heard:
            if isinstance(message, Fix):
                keeper.add(message)
                averaging.add(message)
        bench.heard.clear()

    def windows(count: int) -> Callable[[], bool]:
        def done() -> bool:
            take()
            return keeper.counts.windows >= count

        return done

    bench.until(client, windows(4), "four windows at home", moments=moments, period_s=0.02)
    at_home = keeper.place()
    assert isinstance(at_home, Place)
    assert (at_home.moved, at_home.source, at_home.position) == (False, PlaceSource.SURVEY, survey)
    # 2 mm of NMEA in each axis.
    assert at_home.offset_m == pytest.approx(0.0, abs=0.004)
    averaged = averaging.place()
    assert isinstance(averaged, Place)
    east_m, north_seen_m, up_m = frame.to_enu_m(
        averaged.position.lat_deg, averaged.position.lon_deg, averaged.position.height_m
    )
    assert math.hypot(east_m, north_seen_m, up_m) < 0.004
    # gpsd's own figures, 12 and 21 m, rule until windows have shown better.
    assert 5.0 < averaged.position.sigma_m < 20.0

    north_m = 120.0
    bench.until(client, windows(keeper.counts.windows + 4), "four windows away", moments=moments, period_s=0.02)
    away = keeper.place()
    assert isinstance(away, Place)
    assert (away.moved, away.position) == (True, survey)
    assert away.offset_m == pytest.approx(120.0, abs=0.004)
