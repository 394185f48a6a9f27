"""The parser of gpsd's line-JSON, whatever it is fed, and the client's connection, lost and made again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from gpsd_lines import (
    BUILD_NS,
    DEVICE,
    DEVICES,
    ERROR,
    PPS,
    SAMPLES,
    SKY,
    TOFF,
    TPV,
    TPV_2D,
    TPV_NS,
    VERSION,
    WATCH,
    GpsdFuzz,
    mutated_line,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_node.gpsd import (
    Device,
    Devices,
    ErrorReport,
    Fix,
    GpsdClient,
    GpsdCounts,
    GpsdMessage,
    GpsdParser,
    GpsdReject,
    Pulse,
    Sky,
    TimeOffset,
    Version,
    Watch,
)
from shotline.errors import InputError


def one(line: bytes, **arguments: int) -> GpsdMessage:
    """Return the only message of a line."""
    parser = GpsdParser(**arguments)
    (message,) = parser.feed(line)
    assert parser.counts.rejected == {}
    return message


def reject_of(line: bytes, **arguments: int) -> GpsdReject:
    """Return why a line is refused."""
    parser = GpsdParser(**arguments)
    assert parser.feed(line + b"\n") == []
    counts = parser.counts
    assert (counts.lines, counts.messages, counts.ignored) == (1, 0, 0)
    ((reason, count),) = counts.rejected.items()
    assert count == 1
    assert counts.last_reject.startswith(f"{reason.value}: b'{line[:1].decode('latin-1')}")
    return reason


class TestMessages:
    def test_who_speaks(self) -> None:
        assert one(VERSION) == Version("3.22", 3, 14)

    def test_devices(self) -> None:
        assert one(DEVICES) == Devices((Device("/dev/pts/0", "", True),))
        assert one(DEVICE) == Device("/dev/pts/0", "NMEA0183", True)

    @pytest.mark.parametrize("gone", [b',"activated":0', b',"activated":0.0', b',"activated":""', b""])
    def test_device_that_is_not_read(self, gone: bytes) -> None:
        assert one(b'{"class":"DEVICE","path":"/dev/pts/0"%s}\n' % gone) == Device("/dev/pts/0", "", False)

    def test_what_will_be_sent(self) -> None:
        assert one(WATCH) == Watch(enabled=True, json=True, pulses=True)

    def test_fix(self) -> None:
        fix = one(TPV)
        assert isinstance(fix, Fix)
        assert (fix.time_ns, fix.mode, fix.device) == (TPV_NS, 3, "/dev/pts/0")
        assert (fix.lat_deg, fix.lon_deg, fix.height_m) == (51.5012345, -0.1412345, -3.9)
        # Two-sided 95 % of a normal distribution is 1.96 sigma; the table's value has six decimals.
        assert fix.sigma_east_m == pytest.approx(24.615 / 1.959964, abs=1e-9)
        assert fix.sigma_north_m == pytest.approx(41.384 / 1.959964, abs=1e-9)
        assert fix.sigma_up_m == pytest.approx(39.1 / 1.959964, abs=1e-9)

    def test_fix_without_height_has_none(self) -> None:
        fix = one(TPV_2D.replace(b'"speed"', b'"altHAE":5.0,"speed"'))
        assert isinstance(fix, Fix)
        assert (fix.mode, fix.lat_deg, fix.height_m, fix.sigma_east_m) == (2, 51.5012345, None, None)

    def test_horizontal_error_stands_in_for_its_axes(self) -> None:
        fix = one(b'{"class":"TPV","mode":3,"lat":1,"lon":2,"altHAE":3,"eph":24.47747}\n')
        assert isinstance(fix, Fix)
        # 95 % of a circular normal distribution is sqrt(-2 ln 0.05) sigma.
        assert fix.sigma_east_m == fix.sigma_north_m == pytest.approx(10.0, abs=1e-9)
        assert fix.sigma_up_m is None

    @pytest.mark.parametrize("mode", [0, 1])
    def test_no_fix_has_no_position(self, mode: int) -> None:
        line = b'{"class":"TPV","mode":%d,"time":"2026-11-30T20:13:24.080Z","lat":1.0,"lon":2.0}\n' % mode
        assert one(line) == Fix(TPV_NS, mode)

    def test_every_key_may_be_missing(self) -> None:
        assert one(b'{"class":"TPV"}\n') == Fix(None, 0)
        assert one(b'{"class":"SKY"}\n') == Sky()
        assert one(b'{"class":"VERSION"}\n') == Version("", 0, 0)
        assert one(b'{"class":"DEVICES"}\n') == Devices(())
        assert one(b'{"class":"WATCH"}\n') == Watch(enabled=False, json=False, pulses=False)
        assert one(b'{"class":"ERROR"}\n') == ErrorReport("")

    def test_sky(self) -> None:
        assert one(SKY) == Sky(8, 10, 1.1, 1.7, 2.0, 11.31, "/dev/pts/0")

    def test_satellites_are_counted_where_gpsd_did_not(self) -> None:
        assert one(SKY.replace(b'"nSat":10,"uSat":8,', b"")) == Sky(2, 3, 1.1, 1.7, 2.0, 11.31, "/dev/pts/0")

    def test_pulse(self) -> None:
        pulse = one(PPS)
        assert pulse == Pulse(1_796_069_604_000_000_000, 1_796_069_603_999_998_750, 2.0**-20, "/dev/ttyAMA0")
        assert isinstance(pulse, Pulse)
        assert pulse.offset_ns == -1_250

    def test_pulse_without_precision(self) -> None:
        pulse = one(PPS.replace(b',"precision":-20', b""))
        assert isinstance(pulse, Pulse)
        assert pulse.precision_s is None

    def test_time_of_a_sentence(self) -> None:
        offset = one(TOFF)
        assert offset == TimeOffset(1_796_069_603_080_000_000, 1_796_069_603_083_310_385, "/dev/pts/0")
        assert isinstance(offset, TimeOffset)
        assert offset.offset_ns == 3_310_385

    def test_error(self) -> None:
        assert one(ERROR) == ErrorReport("Unrecognized request '?FOO;'")

    def test_other_classes_are_counted_and_not_read(self) -> None:
        parser = GpsdParser()
        assert parser.feed(b'{"class":"GST","rms":1.5}\n{"class":"POLL","tpv":"what"}\n') == []
        assert parser.counts == GpsdCounts(bytes=56, lines=2, ignored=2)


class TestRejects:
    @pytest.mark.parametrize(
        "line",
        [
            b"not json",
            b'{"class":"TPV"',
            b'{"class":"TPV"} {"class":"TPV"}',
            b'{"class":"TPV","lat":NaN,"lon":1}',
            b'{"class":"TPV","lat":Infinity,"lon":1}',
            b'{"class":"TPV","lat":-Infinity,"lon":1}',
            b'{"class":"TPV","device":"\xff\xfe"}',
            b'{"class":"TPV","not_read":"\xc3\x28"}',
            b'{"class":"\xed\xa0\x80"}',
            b'{"class":"TPV","not_read":' + b"[" * 9_000,
            b'{"class":"TPV","not_read":' + b'{"a":' * 3_000,
            b'{"class":"TPV","not_read":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
        ],
    )
    def test_not_json(self, line: bytes) -> None:
        assert reject_of(line) is GpsdReject.NOT_JSON

    @pytest.mark.parametrize(
        "line",
        [b"{}", b"[]", b"[[[[[[", b"null", b"17", b'"TPV"', b'{"class":7}', b'{"class":null}', b'{"Class":"TPV"}'],
    )
    def test_no_class(self, line: bytes) -> None:
        assert reject_of(line) is GpsdReject.NO_CLASS

    @pytest.mark.parametrize(
        "line",
        [
            b'{"class":"TPV","mode":"3"}',
            b'{"class":"TPV","mode":3.5}',
            b'{"class":"TPV","mode":3,"lat":"51","lon":0}',
            b'{"class":"TPV","mode":3,"lat":[51],"lon":0}',
            b'{"class":"TPV","mode":3,"lat":true,"lon":0}',
            b'{"class":"TPV","mode":3,"lat":1e999,"lon":0}',
            b'{"class":"TPV","mode":' + b"9" * 5_000 + b"}",
            b'{"class":"TPV","time":1796069604}',
            b'{"class":"TPV","time":"yesterday"}',
            b'{"class":"TPV","time":"2026-11-30T20:13:24"}',
            b'{"class":"TPV","time":"2026-13-30T20:13:24Z"}',
            b'{"class":"TPV","time":"2026-12-31T23:59:60Z"}',
            b'{"class":"SKY","satellites":{"used":true}}',
            b'{"class":"SKY","satellites":[1,2,3]}',
            b'{"class":"DEVICES","devices":"none"}',
            b'{"class":"PPS"}',
            b'{"class":"PPS","real_sec":1,"real_nsec":2,"clock_sec":3}',
            b'{"class":"TOFF","real_sec":1.5,"real_nsec":2,"clock_sec":3,"clock_nsec":4}',
            b'{"class":"WATCH","enable":1}',
            b'{"class":"ERROR","message":["a"]}',
        ],
    )
    def test_bad_field(self, line: bytes) -> None:
        assert reject_of(line) is GpsdReject.BAD_FIELD

    @pytest.mark.parametrize(
        "line",
        [
            b'{"class":"TPV","mode":4}',
            b'{"class":"TPV","mode":-1}',
            b'{"class":"TPV","mode":' + b"9" * 40 + b"}",
            b'{"class":"TPV","mode":3,"lat":90.001,"lon":0}',
            b'{"class":"TPV","mode":3,"lat":0,"lon":-180.5}',
            b'{"class":"TPV","mode":3,"lat":0,"lon":0,"altHAE":1e300}',
            b'{"class":"TPV","mode":3,"lat":0,"lon":0,"epx":-1}',
            b'{"class":"TPV","mode":3,"lat":0,"lon":0,"epv":1e12}',
            b'{"class":"TPV","time":"9999-12-31T23:59:59Z"}',
            b'{"class":"TPV","time":"1900-01-01T00:00:00Z"}',
            b'{"class":"SKY","nSat":-3}',
            b'{"class":"SKY","hdop":-0.5}',
            b'{"class":"SKY","tdop":1e200}',
            b'{"class":"PPS","real_sec":-1,"real_nsec":0,"clock_sec":0,"clock_nsec":0}',
            b'{"class":"PPS","real_sec":1,"real_nsec":1000000000,"clock_sec":0,"clock_nsec":0}',
            b'{"class":"PPS","real_sec":1,"real_nsec":0,"clock_sec":' + b"9" * 60 + b',"clock_nsec":0}',
            b'{"class":"PPS","real_sec":1,"real_nsec":0,"clock_sec":1,"clock_nsec":0,"precision":4000}',
            b'{"class":"TOFF","real_sec":1,"real_nsec":0,"clock_sec":0,"clock_nsec":-1}',
            b'{"class":"VERSION","proto_major":' + b"9" * 300 + b"}",
        ],
    )
    def test_out_of_range(self, line: bytes) -> None:
        assert reject_of(line) is GpsdReject.OUT_OF_RANGE

    @pytest.mark.parametrize("line", [TPV, TPV_2D, PPS, TOFF])
    def test_week_rollover_is_refused(self, line: bytes) -> None:
        """1,024 weeks back: what a receiver says whose firmware has run out of weeks."""
        early = line.replace(b"2026-11-30", b"2007-04-16").replace(b'real_sec":1796', b'real_sec":1176')
        assert early != line
        assert reject_of(early.strip(), not_before_ns=BUILD_NS) is GpsdReject.BEFORE_BUILD
        one(early)
        one(line, not_before_ns=BUILD_NS)

    def test_first_instant_that_is_taken(self) -> None:
        one(TPV, not_before_ns=TPV_NS)
        assert reject_of(TPV.strip(), not_before_ns=TPV_NS + 1) is GpsdReject.BEFORE_BUILD


class TestLines:
    def test_bytes_may_come_in_any_portions(self) -> None:
        stream = b"".join(SAMPLES)
        whole = GpsdParser().feed(stream)
        assert len(whole) == len(SAMPLES)
        for size in (1, 2, 7, 100, 1_000):
            parser = GpsdParser()
            pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
            assert [message for piece in pieces for message in parser.feed(piece)] == whole
            assert parser.counts == GpsdCounts(len(stream), len(SAMPLES), len(SAMPLES))

    def test_empty_lines_are_nothing(self) -> None:
        parser = GpsdParser()
        assert parser.feed(b"\n\r\n   \n\t\r\n") == []
        assert parser.counts == GpsdCounts(bytes=10)

    def test_a_megabyte_without_an_end_is_one_reject_and_takes_no_memory(self) -> None:
        parser = GpsdParser()
        for _ in range(1_024):
            assert parser.feed(b"[" * 1_024) == []
            assert parser.buffered_bytes <= 16_384
        assert parser.counts.rejected == {GpsdReject.TOO_LONG: 1}
        assert parser.feed(b"\n" + TPV) == [one(TPV)]
        assert (parser.counts.lines, parser.counts.messages) == (2, 1)

    def test_a_megabyte_at_once_is_one_reject(self) -> None:
        parser = GpsdParser()
        assert parser.feed(b"x" * 1_000_000 + b"\n" + TPV) == [one(TPV)]
        assert parser.counts.rejected == {GpsdReject.TOO_LONG: 1}
        assert parser.counts.last_reject == f"too_long: {b'x' * 80!r}"

    def test_longest_line(self) -> None:
        line = TPV.strip()
        assert len(GpsdParser(max_line_bytes=len(line)).feed(line + b"\n")) == 1
        assert reject_of(line, max_line_bytes=len(line) - 1) is GpsdReject.TOO_LONG

    def test_line_that_ends_with_the_connection_is_counted(self) -> None:
        parser = GpsdParser()
        parser.feed(TPV + TPV[:50])
        parser.cut()
        assert (parser.counts.lines, parser.counts.rejected) == (2, {GpsdReject.CUT_OFF: 1})
        assert parser.feed(TPV) == [one(TPV)]

    def test_too_long_line_that_is_cut_is_counted_once(self) -> None:
        parser = GpsdParser(max_line_bytes=10)
        parser.feed(b"x" * 30)
        parser.cut()
        assert parser.counts.rejected == {GpsdReject.TOO_LONG: 1}
        parser.cut()
        assert parser.counts.lines == 1

    def test_line_length_must_be_possible(self) -> None:
        with pytest.raises(InputError, match="max_line_bytes: 0 bytes, expected 1 or more"):
            GpsdParser(max_line_bytes=0)


class TestFuzz:
    def test_mutated_lines(self) -> None:
        rng = np.random.default_rng(20_261_130)
        fuzz = GpsdFuzz(rng)
        for _ in range(750):
            fuzz.feed(b"".join(mutated_line(rng) for _ in range(8)))
        counts = fuzz.counts()
        # Every way out was taken, so the mutations reach beyond the JSON decoder.
        assert set(counts.rejected) == set(GpsdReject)
        assert counts.messages > 1_000
        assert counts.ignored > 0

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(max_size=200), max_size=20))
    def test_any_bytes(self, portions: list[bytes]) -> None:
        parser = GpsdParser(max_line_bytes=64)
        for portion in portions:
            parser.feed(portion)
            assert parser.buffered_bytes <= 64
        parser.cut()
        counts = parser.counts
        assert counts.lines == counts.messages + counts.ignored + sum(counts.rejected.values())
        assert counts.lines <= b"".join(portions).count(b"\n") + 1


class Clock:
    """A clock that goes on only when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.waits_s: list[float] = []

    def read(self) -> float:
        return self.now_s

    def wait(self, pause_s: float) -> None:
        self.waits_s.append(pause_s)
        self.now_s += pause_s


class Bench:
    """A client and what it takes for gpsd."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.clock = Clock()
        self.server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.server.settimeout(10.0)
        self.client = stack.enter_context(
            GpsdClient(
                port=self.server.getsockname()[1],
                monotonic_s=self.clock.read,
                wait_s=self.clock.wait,
                least_wait_s=0.5,
                most_wait_s=4.0,
                silent_after_s=30.0,
            )
        )

    def accept(self) -> socket.socket:
        """Take the client's connection, and its wish."""
        connection = self._stack.enter_context(self.server.accept()[0])
        connection.settimeout(10.0)
        assert connection.recv(1_000) == b'?WATCH={"enable":true,"json":true,"pps":true};\n'
        return connection


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


# Bytes sent on loopback are there at once, so none of these polls waits; the time limit is for a failure.
LONG_S = 10.0


class TestClient:
    def test_messages_come_through(self, bench: Bench) -> None:
        assert bench.client.state.problem == "not connected yet"
        assert bench.client.poll(0.0) == []
        connection = bench.accept()
        connection.sendall(VERSION + DEVICES + TPV)
        assert [type(message) for message in bench.client.poll(LONG_S)] == [Version, Devices, Fix]
        bench.clock.now_s += 3.0
        state = bench.client.state
        assert (state.connected, state.connects, state.drops, state.problem) == (True, 1, 0, "")
        assert (state.release, state.devices) == ("3.22", ("/dev/pts/0",))
        assert (state.since_message_s, state.since_fix_s) == (3.0, 3.0)
        assert (state.counts.lines, state.counts.messages) == (3, 3)
        connection.sendall(TOFF)
        bench.client.poll(LONG_S)
        assert (bench.client.state.since_message_s, bench.client.state.since_fix_s) == (0.0, 3.0)

    def test_nothing_new(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        bench.accept()
        assert bench.client.poll(0.0) == []
        assert bench.client.state.connected

    def test_line_that_comes_in_two(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        connection = bench.accept()
        connection.sendall(TPV[:100])
        assert bench.client.poll(0.0) == []
        connection.sendall(TPV[100:])
        assert bench.client.poll(LONG_S) == [one(TPV)]

    def test_fix_without_position_is_none(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        bench.accept().sendall(b'{"class":"TPV","mode":1}\n')
        assert bench.client.poll(LONG_S) == [Fix(None, 1)]
        assert bench.client.state.since_fix_s is None

    def test_devices_come_and_go(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        connection = bench.accept()

        def after(line: bytes) -> tuple[str, ...]:
            connection.sendall(line)
            bench.client.poll(LONG_S)
            return bench.client.state.devices

        assert after(DEVICE) == ("/dev/pts/0",)
        assert after(DEVICE.replace(b"pts/0", b"pts/1")) == ("/dev/pts/0", "/dev/pts/1")
        assert after(b'{"class":"DEVICE","path":"/dev/pts/0","activated":0}\n') == ("/dev/pts/1",)
        assert after(b'{"class":"DEVICE","path":"/dev/pts/9","activated":0}\n') == ("/dev/pts/1",)
        many = b"".join(DEVICE.replace(b"pts/0", b"many/%d" % number) for number in range(40))
        assert len(after(many)) == 16
        assert after(b'{"class":"DEVICES","devices":[]}\n') == ()
        entries = b",".join(b'{"path":"%d","activated":1}' % number for number in range(40))
        assert len(after(b'{"class":"DEVICES","devices":[' + entries + b"]}\n")) == 16

    def test_connects_again_at_growing_intervals(self, bench: Bench) -> None:
        bench.server.close()
        problems = set()
        for _ in range(7):
            assert bench.client.poll(LONG_S) == []
            problems.add(bench.client.state.problem)
        assert bench.clock.waits_s == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
        (problem,) = problems
        assert problem.startswith("no gpsd at 127.0.0.1:")
        assert problem.endswith("Connection refused; is it running?")
        state = bench.client.state
        assert (state.connected, state.connects, state.drops, state.since_message_s) == (False, 0, 0, None)

    def test_wait_for_the_next_attempt_keeps_the_time_limit(self, bench: Bench) -> None:
        bench.server.close()
        bench.client.poll(0.0)
        for _ in range(3):
            bench.client.poll(0.125)
        assert bench.clock.waits_s == [0.125, 0.125, 0.125]
        bench.client.poll(0.0)
        assert len(bench.clock.waits_s) == 3

    def test_lost_connection_is_made_again(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        connection = bench.accept()
        connection.sendall(DEVICES + TPV + TPV[:40])
        assert len(bench.client.poll(LONG_S)) == 2
        connection.close()
        assert bench.client.poll(LONG_S) == []
        state = bench.client.state
        assert (state.connected, state.drops, state.devices) == (False, 1, ())
        assert state.problem == "gpsd ended the connection"
        assert state.counts.rejected == {GpsdReject.CUT_OFF: 1}
        bench.client.poll(0.5)
        bench.accept().sendall(TPV)
        assert bench.client.poll(LONG_S) == [one(TPV)]
        assert (bench.client.state.connects, bench.client.state.problem) == (2, "")
        assert bench.clock.waits_s == [0.5]

    def test_peer_that_hangs_up_without_a_word_is_not_called_ever_faster(self, bench: Bench) -> None:
        for wait_s in (0.0, 0.5, 1.0, 2.0):
            bench.client.poll(wait_s)
            bench.accept().close()
            bench.client.poll(LONG_S)
        assert bench.clock.waits_s == [0.5, 1.0, 2.0]

    def test_a_message_starts_the_intervals_over(self, bench: Bench) -> None:
        for wait_s in (0.0, 0.5, 0.5):
            bench.client.poll(wait_s)
            connection = bench.accept()
            connection.sendall(VERSION)
            bench.client.poll(LONG_S)
            connection.close()
            bench.client.poll(LONG_S)
        assert bench.clock.waits_s == [0.5, 0.5]

    def test_silence_ends_the_connection(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        bench.accept()
        bench.clock.now_s += 30.0
        bench.client.poll(0.0)
        assert bench.client.state.connected
        bench.clock.now_s += 1.0
        assert bench.client.poll(LONG_S) == []
        state = bench.client.state
        assert (state.connected, state.drops) == (False, 1)
        assert state.problem == "no message for 31 s; is the receiver plugged in?"

    def test_garbage_is_no_sign_of_life(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        connection = bench.accept()
        for _ in range(31):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            bench.client.poll(0.0)
            bench.clock.now_s += 1.0
        assert bench.client.poll(0.0) == []
        state = bench.client.state
        assert (state.connected, state.drops) == (False, 1)
        assert state.counts.rejected[GpsdReject.NOT_JSON] >= 30

    def test_reset_connection_is_a_drop(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        connection = bench.accept()
        # Close with a reset, not in order.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        assert bench.client.poll(LONG_S) == []
        assert bench.client.state.problem == "connection lost: Connection reset by peer"

    def test_closed_client_connects_again_at_once(self, bench: Bench) -> None:
        bench.client.poll(0.0)
        bench.client.close()
        bench.client.close()
        assert (bench.client.state.connected, bench.client.state.problem) == (False, "closed")
        bench.accept()
        bench.client.poll(0.0)
        bench.accept().sendall(TPV)
        assert bench.client.poll(LONG_S) == [one(TPV)]
        assert bench.clock.waits_s == []

    def test_host_name_that_cannot_be(self) -> None:
        """No network is asked: a part of a name has at most 63 letters."""
        clock = Clock()
        with GpsdClient("x" * 64, monotonic_s=clock.read, wait_s=clock.wait) as client:
            assert client.poll(0.0) == []
            assert client.state.problem.startswith(f"no gpsd at {'x' * 64}:2947: ")

    @pytest.mark.parametrize("port", [0, -1, 65_536])
    def test_port_must_be_possible(self, port: int) -> None:
        with pytest.raises(InputError, match=f"port: {port} is not a port from 1 to 65535; gpsd's own is 2947"):
            GpsdClient(port=port)

    @pytest.mark.parametrize("name", ["least_wait_s", "most_wait_s", "silent_after_s", "connect_timeout_s"])
    @pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
    def test_times_must_be_possible(self, name: str, bad: float) -> None:
        arguments: dict[str, float] = {name: bad}
        with pytest.raises(InputError, match=f"{name}: {bad:g} s is not more than 0 and finite"):
            GpsdClient(**arguments)  # type: ignore[arg-type]
