"""The disciplined sample clock: from ADC stamps, the host's UTC and recorded pulses to the UTC of any sample.

Three filters of one kind (`line.Line`), each with the sample index as its axis:

- `stamps`: sample index -> CLOCK_MONOTONIC, from the blocks' ADC times. Finds lost samples.
- `pulses`: sample index -> UTC, from the edges of a PPS recorded beside the sound.
- `coast`: sample index -> UTC, fed by the better of the others; carries on when both are gone.

`host` turns CLOCK_MONOTONIC into UTC, `clock` puts it all together. docs/clock.md says what each is worth.
"""

from sensor_node.discipline.clock import DisciplinedClock
from sensor_node.discipline.host import UtcReading
from sensor_node.discipline.stamps import AdcStamp, ClockBreak

__all__ = ["AdcStamp", "ClockBreak", "DisciplinedClock", "UtcReading"]
