"""Alerts on a terminal or in a log: one readable block each."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name
from shotline.records import ALERT_NOTICE, IncidentRecord

__all__ = ["ConsoleSink"]

_SHORT_NOTICE = "By itself not grounds for a stop, search or arrest."
_COLOURS = {"provisional": "yellow", "revised": "cyan"}
_PLAIN_WIDTH = 100
_MODES = {"automatic": "automatic", "semi_automatic": "semi-automatic"}


class ConsoleSink:
    """Write each alert as a block of text.

    Parameters
    ----------
    stream : TextIO
        A terminal gets colours, anything else plain text.
    name : str
        Name of the sink.
    """

    def __init__(self, stream: TextIO, *, name: str = "console") -> None:
        self._name = check_sink_name(name)
        interactive = stream.isatty()
        self._console = Console(
            file=stream, highlight=False, emoji=False, markup=False, width=None if interactive else _PLAIN_WIDTH
        )
        self._announced = False

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Print one alert; the first time, the full notice goes before it."""
        try:
            if not self._announced:
                self._console.print(Text(f"Alerts. {ALERT_NOTICE}", style="dim"))
                self._announced = True
            self._console.print(_block(alert))
            self._console.file.flush()
        except (OSError, ValueError) as error:
            raise DeliveryError(f"cannot write to the console: {error}", retryable=False) from error


def _block(alert: Alert) -> Panel:
    record = alert.record
    colour = _COLOURS.get(record.state, "white")
    title = Text()
    if alert.banner:
        title.append(f" {alert.banner} ", style="black on bright_yellow")
        title.append(" ")
    title.append(_rounds(record), style="bold")
    title.append(f" · {record.state}, revision {record.revision}")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    for label, value in _facts(record):
        rows.add_row(label, Text(value))
    return Panel(
        Group(rows, Text(_SHORT_NOTICE, style="dim italic")), title=title, title_align="left", border_style=colour
    )


def _facts(record: IncidentRecord) -> list[tuple[str, str]]:
    ellipse = record.ellipse95
    used = {arrival.node for shot in record.shots for arrival in shot.arrivals if arrival.used}
    given = {arrival.node for shot in record.shots for arrival in shot.arrivals}
    heard = f"{len(used)} node{'' if len(used) == 1 else 's'}: {', '.join(sorted(used))}"
    if given - used:
        heard += f" (not used: {', '.join(sorted(given - used))})"
    error = (
        f"95 % within {record.cep95_m:.1f} m; ellipse {2 * ellipse.semi_major_m:.1f} x "
        f"{2 * ellipse.semi_minor_m:.1f} m, long axis {ellipse.orientation_deg:.0f}° from north"
    )
    facts = [
        ("time", _clock(record.time_utc)),
        ("position", _position(record)),
        ("error", error),
        ("gunfire", f"probability {record.probability:.0%}"),
        ("heard by", heard),
        ("incident", record.id + (f" in {record.scene}" if record.scene else "")),
    ]
    told = []
    if record.cadence_rounds_per_min is not None:
        mode = _MODES.get(record.fire_mode or "", "")
        cadence = f"{record.cadence_rounds_per_min:.0f} rounds/min, last {_clock(record.last_time_utc)}"
        told.append(("cadence", f"{mode}, {cadence}" if mode else cadence))
    if record.places:
        told.append(("places", _places(record)))
    if record.movement is not None:
        movement = record.movement
        told.append(("moving", f"{movement.speed_mps:.0f} m/s, heading {movement.heading_deg:.0f}° from north"))
    return [facts[0], *told, *facts[1:]]


def _rounds(record: IncidentRecord) -> str:
    shots = "1 shot" if record.rounds == 1 else f"{record.rounds} shots"
    low, high = record.rounds_low, record.rounds_high
    if low is None or high is None or low == high:
        return shots
    return f"{shots} ({low} to {high})"


def _places(record: IncidentRecord) -> str:
    parts = [f"{len(place.rounds)} from x {place.x_m:.0f} m, y {place.y_m:.0f} m" for place in record.places]
    least = f"; at least {record.shooters_least} shooters" if record.shooters_least > 1 else ""
    return f"{len(parts)}: {', '.join(parts)}{least}"


def _position(record: IncidentRecord) -> str:
    metres = f"x {record.x_m:.1f} m, y {record.y_m:.1f} m"
    if record.lat_deg is None or record.lon_deg is None:
        return metres
    return f"{record.lat_deg:.6f}, {record.lon_deg:.6f}  ({metres})"


def _clock(time_utc: str) -> str:
    day, _, clock = time_utc.removesuffix("Z").partition("T")
    seconds, _, fraction = clock.partition(".")
    return f"{day} {seconds}.{(fraction + '000')[:3]} UTC"
