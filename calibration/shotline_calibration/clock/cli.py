"""``shotline calibrate clock``. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Keys,
    Notes,
    Plot,
    RecordOptions,
    Records,
    SignWith,
    checked_options,
    keep_result,
    say_kept,
)

if TYPE_CHECKING:
    from shotline_calibration.clock.latency import Latency
    from shotline_calibration.clock.result import LatencyResult

__all__ = ["app"]

_STABILITY_PROCEDURE = "clock stability 1"
_PULSES_PROCEDURE = "delay by pulses 1"
_SOUND_PROCEDURE = "delay by sound 1"

app = typer.Typer(
    no_args_is_help=True,
    help="How good a node's clock is, with and without its pulse (calibration/procedures/clock.md).",
)

_Node = Annotated[str, typer.Option("--node", help="Id of the node.")]
_Hardware = Annotated[
    str, typer.Option("--hardware", metavar="NAME", help="Kind of its sound card: `shotline calibrate clock hardware`.")
]


@app.command()
def listen(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="New file: a line of JSON for each block, reading, pulse.")
    ],
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="The node's configuration; it must have pps_channel.")],
    minutes: Annotated[float, typer.Option(min=1.0, help="How long. A day tells most; 12 MB an hour.")] = 60.0,
    hardware: _Hardware = "",
) -> None:
    """Open the node's sound card and log what its sample clock gets. Stop the node first: it has the sound card."""
    from sensor_node.config import load_node_config
    from shotline_calibration.clock.listen import write_clock_log

    node_config = load_node_config(config)
    counts = write_clock_log(
        node_config, log, minutes=minutes, hardware=hardware, say=lambda text: typer.echo(text, err=True)
    )
    typer.echo(f"{log}: {counts.text()}")
    if not counts.pulses:
        raise InputError("no pulse was heard; is it wired to pps_channel, and its polarity right?", source=log)


@app.command()
def stability(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...", help="Of `listen`; or tracking.log, refclocks.log, statistics.log of chronyd."
        ),
    ],
    *,
    node: _Node,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of refclocks.log and statistics.log: the source, such as PPS.")
    ] = None,
    ramp_ppm: Annotated[
        float,
        typer.Option("--ramp-ppm", min=0.0, help="Change in 10 minutes, ppm, to allow for when temperature changes."),
    ] = 1.0,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Pulse residuals, Allan deviation and holdover: how long the node may be without its pulse."""
    from shotline_calibration.clock.describe import clock_result
    from shotline_calibration.clock.holdover import holdover_of
    from shotline_calibration.clock.phase import clean
    from shotline_calibration.clock.reading import read_clock
    from shotline_calibration.clock.stability import deviations, residuals_of

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    read = read_clock(logs, reference=reference)
    cleaned = clean(read.series)
    residuals, rows = residuals_of(cleaned.series), deviations(cleaned.series)
    holdover = holdover_of(cleaned.series, ramp_per_s=ramp_ppm * 1e-6 / 600.0) if cleaned.series.free else None
    result = clock_result(cleaned, residuals, rows, holdover, read.temperatures_c)
    if plot is not None:
        from shotline_calibration.clock.picture import draw_clock
        from shotline_calibration.plots import save

        title = f"{node}: {cleaned.series.what}, {cleaned.series.duration_s / 3600.0:.2f} h"
        save(draw_clock(title, residuals, cleaned.series.step_s, rows, holdover), plot)
    kept = keep_result(result, options, kind="clock", node=node, procedure=_STABILITY_PROCEDURE, inputs=logs)
    if as_json:
        import msgspec

        said = {"result": msgspec.to_builtins(result), "skipped_lines": read.skipped, "record": kept}
        typer.echo(json.dumps(said))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    if read.skipped:
        typer.echo(f"not taken    {read.skipped} lines of a clock that was not synchronised, or of filtered samples")
    say_kept(kept, node="")


@app.command()
def latency(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Of `listen`, while chronyd follows the same pulse.")],
    *,
    node: _Node,
    hardware: _Hardware = "",
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """From the edge of the pulse to the time of its sample: how late this hardware's times are."""
    from shotline_calibration.clock.describe import latency_result
    from shotline_calibration.clock.latency import NoLatency, latency_by_pulses
    from shotline_calibration.clock.reading import read_clock_log

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    read = read_clock_log(log)
    found = latency_by_pulses(read)
    if isinstance(found, NoLatency):
        raise InputError(f"no delay, {found.reason.value}: {found.detail}", source=log)
    result = latency_result(found, found.late_s, how="pulses", hardware=hardware or read.hardware)
    _finish(result, found, options, node, [log], plot, _PULSES_PROCEDURE, as_json)


@app.command()
def sound(
    history: Annotated[str, typer.Argument(metavar="DATABASE", help="Of the server: its file or URL.")],
    *,
    node: _Node,
    beside: Annotated[
        str | None, typer.Option("--beside", metavar="NODE", help="A node next to it that heard the same claps.")
    ] = None,
    since: Annotated[str, typer.Option("--from", metavar="UTC", help="When it began: 2026-12-01T10:00:00Z.")],
    until: Annotated[str, typer.Option("--to", metavar="UTC", help="When it ended.")],
    farther_m: Annotated[
        float, typer.Option("--farther-m", help="How much farther from the sound this node is than the other one.")
    ] = 0.0,
    distance_m: Annotated[
        float | None, typer.Option("--distance-m", min=0.0, help="Without --beside: from what clicks at each second.")
    ] = None,
    sigma_m: Annotated[float, typer.Option("--sigma-m", min=0.0, help="1-sigma of that length.")] = 0.02,
    emitted_late_us: Annotated[
        float, typer.Option("--emitted-late-us", help="Without --beside: how long after the second it clicks.")
    ] = 0.0,
    temperature_c: Annotated[float, typer.Option("--temperature-c", help="Of the air.")] = 15.0,
    late_bias_us: Annotated[
        float, typer.Option("--late-bias-us", min=0.0, help="What [capture] late_bias_us of this node was meanwhile.")
    ] = 0.0,
    hardware: _Hardware = "",
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """By sounds that were heard: claps between two nodes side by side, or a click at each second of UTC."""
    from shotline.atmosphere import speed_of_sound_mps
    from shotline.timebase import parse_utc
    from shotline_calibration.clock.describe import latency_result
    from shotline_calibration.clock.heardsounds import lateness
    from shotline_calibration.clock.latency import NoLatency, latency_by_sound

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    if (beside is None) == (distance_m is None):
        raise InputError("expected --beside NODE, or --distance-m to what clicks: one of them", field="--beside")
    length_m = farther_m if distance_m is None else distance_m
    speed_mps = speed_of_sound_mps(temperature_c)
    emitted_s = 0.0 if beside is not None else 1e-6 * emitted_late_us
    at_s, late_s = lateness(
        history,
        node,
        beside,
        since_ns=parse_utc(since, field="--from"),
        until_ns=parse_utc(until, field="--to"),
        travel_s=length_m / speed_mps + emitted_s,
    )
    found = latency_by_sound(late_s, at_s, systematic_sigma_s=sigma_m / speed_mps)
    if isinstance(found, NoLatency):
        raise InputError(f"no delay, {found.reason.value}: {found.detail}", source=history)
    result = latency_result(
        found,
        found.late_s + 1e-6 * late_bias_us,
        how="seconds" if beside is None else "beside",
        hardware=hardware,
        relative_to=beside,
        difference_us=1e6 * found.late_s,
    )
    _finish(result, found, options, node, [], plot, _SOUND_PROCEDURE, as_json)


@app.command()
def hardware(*, records: Records = DEFAULT_RECORDS, keys: Keys = None, as_json: AsJson = False) -> None:
    """Print kinds of hardware and their delays: those shipped, and what the records that stand add up to."""
    from shotline_calibration.clock.hardware import delays_by_kind, shipped_hardware
    from shotline_calibration.clock.result import LatencyResult
    from shotline_calibration.recordbook import RecordBook
    from shotline_calibration.records import trusted_keys

    shipped = shipped_hardware()
    measured: list[tuple[str, LatencyResult]] = []
    if records.exists():
        for signed in RecordBook.read(records, trusted=trusted_keys(keys or ())).heads():
            found = signed.record.result
            if isinstance(found, LatencyResult) and found.hardware and found.relative_to is None:
                measured.append((signed.record.node, found))
    own = delays_by_kind(measured) if measured else []
    if as_json:
        import dataclasses

        import msgspec

        ours = [dataclasses.asdict(kind) | {"spread_us": None if kind.nodes == 1 else kind.spread_us} for kind in own]
        typer.echo(json.dumps({"shipped": msgspec.to_builtins(shipped), "records": ours}))
        return
    for kind in shipped:
        figure = kind.source
        if kind.late_bias_us is not None:
            figure = f"{kind.late_bias_us:g} us ± {kind.late_bias_sigma_us:g} us, {kind.source}"
        typer.echo(f"{kind.name:12} {figure}: {kind.what}")
    for delay in own:
        spread = "" if delay.nodes == 1 else f"; another node of this kind ± {delay.for_another_us:.1f} us"
        typer.echo(
            f"{delay.name:12} {delay.late_bias_us:.1f} us ± {delay.sigma_us:.1f} us by records of {delay.nodes} "
            f"{'node' if delay.nodes == 1 else 'nodes'}{spread}"
        )


def _finish(
    result: LatencyResult,
    found: Latency,
    options: RecordOptions,
    node: str,
    inputs: list[Path],
    plot: Path | None,
    procedure: str,
    as_json: bool,
) -> None:
    if plot is not None:
        from shotline_calibration.clock.picture import draw_latency
        from shotline_calibration.plots import save

        save(draw_latency(node, found), plot)
    kept = keep_result(result, options, kind="clock-delay", node=node, procedure=procedure, inputs=inputs)
    if as_json:
        import msgspec

        typer.echo(json.dumps({"result": msgspec.to_builtins(result), "record": kept}))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    say_kept(kept, node=node)
