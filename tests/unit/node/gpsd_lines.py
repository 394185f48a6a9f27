"""Lines of gpsd, whole and mutated, for `test_gpsd` and for `benchmarks/fuzz.py`."""

from __future__ import annotations

import re

import numpy as np

from sensor_node.gpsd import GpsdCounts, GpsdParser

# What gpsd 3.22 of Debian 12 said of a receiver on a pseudo terminal; satellites cut down to three.
VERSION = b'{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}\r\n'
DEVICES = (
    b'{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/pts/0","activated":"2026-11-30T20:13:22.083Z",'
    b'"native":0,"bps":38400,"parity":"N","stopbits":1,"cycle":1.00}]}\r\n'
)
WATCH = (
    b'{"class":"WATCH","enable":true,"json":true,"nmea":false,"raw":0,"scaled":false,"timing":false,'
    b'"split24":false,"pps":true}\r\n'
)
DEVICE = (
    b'{"class":"DEVICE","path":"/dev/pts/0","driver":"NMEA0183","activated":"2026-11-30T20:13:23.083Z","native":0,'
    b'"bps":38400,"parity":"N","stopbits":1,"cycle":1.00}\r\n'
)
TOFF = (
    b'{"class":"TOFF","device":"/dev/pts/0","real_sec":1796069603, "real_nsec":80000000,"clock_sec":1796069603,'
    b'"clock_nsec":83310385}\r\n'
)
TPV_2D = (
    b'{"class":"TPV","device":"/dev/pts/0","mode":2,"time":"2026-11-30T20:13:23.080Z","ept":0.005,"lat":51.501234500,'
    b'"lon":-0.141234500,"track":0.0000,"magtrack":359.8331,"magvar":-0.2,"speed":0.000}\r\n'
)
TPV = (
    b'{"class":"TPV","device":"/dev/pts/0","mode":3,"time":"2026-11-30T20:13:24.080Z","ept":0.005,"lat":51.501234500,'
    b'"lon":-0.141234500,"altHAE":-3.9000,"altMSL":30.0000,"alt":30.0000,"epx":24.615,"epy":41.384,"epv":39.100,'
    b'"track":0.0000,"magtrack":359.8331,"magvar":-0.2,"speed":0.000,"climb":0.000,"eps":82.77,"epc":78.20,'
    b'"geoidSep":-33.900,"eph":20.900,"sep":38.000}\r\n'
)
SKY = (
    b'{"class":"SKY","device":"/dev/pts/0","xdop":1.64,"ydop":2.76,"vdop":1.70,"tdop":11.31,"hdop":1.10,"gdop":24.44,'
    b'"pdop":2.00,"nSat":10,"uSat":8,"satellites":[{"PRN":2,"el":22.0,"az":20.0,"ss":32.0,"used":true,"gnssid":0,'
    b'"svid":2},{"PRN":5,"el":25.0,"az":50.0,"ss":35.0,"used":true,"gnssid":0,"svid":5},{"PRN":24,"el":44.0,'
    b'"az":240.0,"ss":34.0,"used":false,"gnssid":0,"svid":24}]}\r\n'
)
# Of a receiver with a pulse, as gpsd_json(5) shows it.
PPS = (
    b'{"class":"PPS","device":"/dev/ttyAMA0","real_sec":1796069604,"real_nsec":0,"clock_sec":1796069603,'
    b'"clock_nsec":999998750,"precision":-20}\r\n'
)
ERROR = b'{"class":"ERROR","message":"Unrecognized request \'?FOO;\'"}\r\n'
SAMPLES = (VERSION, DEVICES, WATCH, DEVICE, TOFF, TPV_2D, TPV, SKY, PPS, ERROR)
TPV_NS = 1_796_069_604_080_000_000
BUILD_NS = 1_767_225_600_000_000_000  # 2026-01-01

_VALUE = re.compile(rb"(?<=:)(?:-?[0-9.]+|true|false|\"[^\"]*\")")
_VALUES = (
    b"null", b"true", b"0", b"-0.0", b"1e308", b"-1e308", b"1e-320", b"4294967296", b"-9223372036854775809", b"9" * 40,
    b"3.0", b'""', b'"2007-04-16T20:13:24.080Z"', b'"2026-02-29T00:00:00Z"', b"[]", b"{}", b"[[[]]]", b'"\\u0000"',
)  # fmt: skip
_TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"-1e-999", b"9" * 40, b"0" * 40, b"null", b"true", b"[]", b"{}", b'"', b"\\u0000",
    b"\\ud800", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00", b"\r", b"[" * 200, b'{"a":' * 200, b"TPV", b"PPS",
    b"SKY", b'"class":', b'"mode":4', b"2007-04-16", b"-",
)  # fmt: skip


class GpsdFuzz:
    """A parser that is fed in random portions, beside an obvious twin that only counts lines.

    Parameters
    ----------
    rng : np.random.Generator
        Draws the portions, and where the connection is cut.
    max_line_bytes : int
    """

    def __init__(self, rng: np.random.Generator, *, max_line_bytes: int = 2_048) -> None:
        self.parser = GpsdParser(not_before_ns=BUILD_NS, max_line_bytes=max_line_bytes)
        self._rng = rng
        self._max_line_bytes = max_line_bytes
        self._sent_bytes = self._messages = self._lines = 0
        self._twin = b""

    def feed(self, data: bytes) -> None:
        """Feed bytes; nothing may be raised, and no more than a line be kept."""
        start = 0
        while start < len(data):
            portion = data[start : start + int(self._rng.integers(1, 4_096))]
            start += len(portion)
            self._sent_bytes += len(portion)
            self._messages += len(self.parser.feed(portion))
            assert self.parser.buffered_bytes <= self._max_line_bytes
            *whole, self._twin = (self._twin + portion).split(b"\n")
            self._lines += sum(len(line) > self._max_line_bytes or bool(line.strip()) for line in whole)
            if self._rng.random() < 0.02:
                self.cut()

    def cut(self) -> None:
        """End the connection; a line that it had begun counts."""
        self.parser.cut()
        self._lines += bool(self._twin)
        self._twin = b""

    def counts(self) -> GpsdCounts:
        """End the connection and return what became of every line; each is counted once."""
        self.cut()
        counts = self.parser.counts
        assert counts.bytes == self._sent_bytes
        assert counts.messages == self._messages
        assert counts.lines == self._lines
        assert counts.lines == counts.messages + counts.ignored + sum(counts.rejected.values())
        return counts


def mutated_line(rng: np.random.Generator) -> bytes:
    """Return a line of gpsd, most of the time changed in a few places."""
    line = bytearray(SAMPLES[int(rng.integers(len(SAMPLES)))])
    for _ in range(int(rng.geometric(0.4)) - 1):
        at, span = int(rng.integers(len(line) + 1)), int(rng.geometric(0.1))
        match int(rng.integers(9)):
            case 0:
                line[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                del line[at : at + span]
            case 2:
                line[at:at] = _TOKENS[int(rng.integers(len(_TOKENS)))]
            case 3:
                line[at : at + span] = _TOKENS[int(rng.integers(len(_TOKENS)))]
            case 4:
                line[at:at] = line[at : at + 4 * span]
            case 5:
                del line[at:]
            case 6:
                line[at:at] = rng.bytes(span)
            case _:
                if values := list(_VALUE.finditer(line)):
                    start, end = values[int(rng.integers(len(values)))].span()
                    line[start:end] = _VALUES[int(rng.integers(len(_VALUES)))]
    if rng.random() < 0.01:
        line[1:1] = b"x" * int(rng.integers(1_000, 5_000))
    if rng.random() < 0.95 and not line.endswith(b"\n"):
        line += b"\n"
    return bytes(line)
