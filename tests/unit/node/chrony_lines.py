"""Lines of ``chronyc -c tracking``, whole and mutated, for `test_chrony` and for `benchmarks/fuzz.py`."""

from __future__ import annotations

import random

# What chronyc 4.3 said: of a pulse that makes the clock 2 ms slow; of a server; of nothing; of `local stratum 10`.
PULSE = (
    "50505300,PPS,1,1796069572.018372747,0.002000000,-0.000000031,0.000000412,-12.345,0.001,0.113,0.000000001,"
    "0.000011279,1.0,Normal\n"
)
SERVER = (
    "C0000201,192.0.2.1,3,1796069500.250000000,-0.000150000,0.000020000,0.000040000,7.125,-0.002,0.050,0.012000000,"
    "0.000900000,64.3,Normal\n"
)
NOTHING = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,"
    "Not synchronised\n"
)
LOCAL = (
    "7F7F0101,,10,1796069920.118270852,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,"
    "0.0,Normal\n"
)
LINES = (PULSE, SERVER, NOTHING, LOCAL)

_FIELDS = (
    "", "0", "-0", "+1", "1.", ".5", "1e5", "nan", "NaN", "inf", "-inf", "Infinity", "1_000", "0x10", "9" * 20,
    "9" * 400, "-99999999999999999999.99999", "9223372036.9", "9223372037", "16", "17", "\u0663", "\u00b2", " 1", "1 ",
    "\0", "PPS", "Normal", "Insert second", "Delete second", "normal", "Not synchronised", "00000000", "7F7F0101",
    "FFFFFFFF", "7f7f0101\n", "GGGGGGGG", "x" * 900, "x" * 1_100, "\ufffd", "\u2028", "\x1c", "\r", "\ud800",
)  # fmt: skip


def mutated_line(rng: random.Random) -> str:
    """Return what chronyc might say if it were broken, replaced or cut off; unchanged now and then."""
    fields = rng.choice(LINES).strip().split(",")
    while rng.random() < 0.6:
        at = rng.randrange(len(fields))
        match rng.randrange(8):
            case 0:
                fields.insert(at, rng.choice(_FIELDS))
            case 1 if len(fields) > 1:
                del fields[at]
            case 2:
                fields[at] = fields[at][: rng.randrange(len(fields[at]) + 1)]
            case 3:
                spot = rng.randrange(len(fields[at]) + 1)
                fields[at] = fields[at][:spot] + rng.choice("\n,.-+eE\0 \t9") + fields[at][spot:]
            case 4:
                fields[at] = f"{rng.choice('+- ')}{rng.randrange(10 ** rng.randrange(1, 25))}.{rng.randrange(10**9)}"
            case _:
                fields[at] = rng.choice(_FIELDS)
    line = ",".join(fields)
    if rng.random() < 0.05:
        line = line[: rng.randrange(len(line) + 1)]
    if rng.random() < 0.05:
        line += "\n" + rng.choice(LINES)
    return line + "\n" * rng.randrange(2)
