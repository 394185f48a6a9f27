"""``shotline calibrate microphone collect|relative``: night noise. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
)
from shotline_calibration.microphone.options import FullScale, calibrated, finish, full_scale_of

__all__ = ["collect", "relative"]

_RELATIVE_PROCEDURE = "night noise 1"


def collect(
    history: Annotated[str, typer.Argument(metavar="DATABASE", help="Of the server: its file or URL. Only read.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="New file: utc, node, noise_level_db.")],
    *,
    hours: Annotated[float, typer.Option(min=0.01, help="How long.")] = 12.0,
    every_s: Annotated[float, typer.Option("--every-s", min=5.0, help="Seconds between looks.")] = 60.0,
) -> None:
    """Note the noise level in every node's heartbeats, through a night. The server keeps only the last of each."""
    from shotline_calibration.microphone.noisefiles import collect_noise

    count = collect_noise(history, table, hours=hours, every_s=every_s, say=lambda text: typer.echo(text, err=True))
    typer.echo(f"{table}: {count} readings")


def relative(
    tables: Annotated[
        list[Path] | None, typer.Argument(metavar="[TABLE]...", help="Of `collect`; or any with its columns.")
    ] = None,
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="The server's configuration: where nodes stand.")],
    history: Annotated[
        str | None, typer.Option("--history", metavar="DATABASE", help="Of the server, in place of tables.")
    ] = None,
    since: Annotated[str, typer.Option("--from", metavar="UTC", help="With --history: 2026-11-01T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="UTC", help="With --history.")] = "",
    before: Annotated[
        list[Path] | None,
        typer.Option("--before", metavar="TABLE", help="Of earlier nights, when all was well: tells what changed."),
    ] = None,
    before_since: Annotated[str, typer.Option("--before-from", metavar="UTC", help="The same, with --history.")] = "",
    before_until: Annotated[str, typer.Option("--before-to", metavar="UTC", help="The same, with --history.")] = "",
    from_hour: Annotated[float, typer.Option("--from-hour", min=0.0, max=24.0, help="Of the night, local.")] = 0.0,
    to_hour: Annotated[float, typer.Option("--to-hour", min=0.0, max=24.0, help="Its end, local.")] = 4.0,
    offset_h: Annotated[float, typer.Option("--utc-offset-h", help="Local time minus UTC.")] = 0.0,
    sound_sigma_db: Annotated[
        float, typer.Option("--sound-sigma-db", min=0.05, help="1-sigma of sound microphones of the kind.")
    ] = 1.0,
    node: Annotated[str | None, typer.Option("--node", help="Keep a record of this one.")] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="With --node: its full scale is to be corrected by what was found.")
    ] = False,
    full_scale_db_spl: FullScale = None,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Which microphones are quieter, louder or deaf, by the noise of nights; and where that cannot be told."""
    from fusion_server.config import load_server_config
    from shotline_calibration.microphone.describe import relative_result
    from shotline_calibration.microphone.nightnoise import NightLevel, level_changes, night_levels
    from shotline_calibration.microphone.noisefiles import noise_of
    from shotline_calibration.microphone.relative import OF_CHANGES, RelativeSettings, relative_gains

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    if bool(tables) == (history is not None):
        raise InputError("expected tables, or --history DATABASE: one of them", field="TABLE")
    if by is not None and node is None:
        raise InputError("a record is of one node; name it", field="--node")
    sites = {site.node: (site.x_m, site.y_m) for site in load_server_config(config).to_registry()}

    def levels_of(files: list[Path], first: str, last: str) -> list[NightLevel]:
        readings = noise_of(files, history, first, last)
        return night_levels(readings, from_hour=from_hour, to_hour=to_hour, offset_h=offset_h)

    levels, is_change = levels_of(list(tables or ()), since, until), bool(before or before_since)
    if is_change:
        levels = level_changes(levels_of(list(before or ()), before_since, before_until), levels)
        gains = relative_gains(levels, sites, OF_CHANGES)
    else:
        settings = RelativeSettings(sound_sigma_db=sound_sigma_db)
        gains = relative_gains(levels, sites, settings, known_sigma_db=calibrated(records))
    if plot is not None:
        from shotline_calibration.microphone.picture import draw_relative
        from shotline_calibration.plots import save

        title = f"night noise of {len(gains)} nodes{', since earlier nights' if is_change else ''}"
        save(draw_relative(title, gains), plot)
    if node is not None:
        chosen = next((gain for gain in gains if gain.node == node), None)
        if chosen is None:
            raise InputError(f"'{node}' was not heard often enough at night", field="--node")
        full_scale = full_scale_db_spl if full_scale_db_spl is not None else full_scale_of(records, node)[0]
        result = relative_result(chosen, full_scale_db_spl=full_scale, corrected=correct, is_change=is_change)
        inputs = [*(tables or ()), *(before or ())]
        finish(result, options, "microphone-relative", node, _RELATIVE_PROCEDURE, inputs, as_json, node)
        return
    if as_json:
        import dataclasses

        typer.echo(json.dumps({"nodes": [dataclasses.asdict(gain) for gain in gains]}))
        return
    for gain in gains:
        typer.echo(
            f"{gain.node:20} {gain.gain_db:+6.1f} dB ± {gain.sigma_db:4.1f} dB   {gain.verdict.value}: {gain.why}"
        )
