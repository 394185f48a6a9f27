"""``shotline node``: run a configured node, replay one file, check that everything is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensor_node.init_cli import init
from shotline_models.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    from sensor_node.profile import Summary

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Hear impulses in sound, and tell the server. Runs on the board.")
app.command()(init)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]
_ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The node's TOML file; see docs/node.md.")]


@app.command()
def run(
    config: _ConfigFile,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when every source is heard and every detection acknowledged.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Run the node until it is told to stop (Ctrl-C, SIGTERM)."""
    from sensor_node.app import run_node, stop_on_signals
    from sensor_node.config import load_node_config

    loaded = load_node_config(config)
    with stop_on_signals() as stopping:
        summary = run_node(loaded, until_done=until_done, stopping=stopping)
    _report(summary, as_json=as_json)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="WAV or FLAC file.")],
    node: Annotated[str, typer.Option(help="Node id that the detections carry.")] = "node-1",
    start_utc: Annotated[
        str | None, typer.Option(help="UTC of the first sample, like 2018-12-19T00:49:26.000Z; else untimed.")
    ] = None,
    clock_state: Annotated[str, typer.Option(help="What dated the file: ntp, pps, pps_audio, holdover.")] = "ntp",
    sigma_ms: Annotated[float, typer.Option(min=0.0, help="1-sigma of the start time, milliseconds.")] = 1.0,
    channel: Annotated[int | None, typer.Option(min=1, help="Channel of the file, 1 for the first.")] = None,
    full_scale_db_spl: Annotated[
        float | None, typer.Option(help="Peak level of digital full scale, dB SPL; else levels are dBFS.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="The classifier; impulse-rules-1, a shipped network, or an ONNX file.")
    ] = DEFAULT_CLASSIFIER,
    out: Annotated[Path | None, typer.Option(help="Write a file of detections.")] = None,
    server: Annotated[str | None, typer.Option(help="Send to a server, like tcp://127.0.0.1:5570.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Secret key file of the node, for a server that wants keys. With --server-key."),
    ] = None,
    server_key: Annotated[str | None, typer.Option(help="Public key of that server.")] = None,
    pace: Annotated[
        float | None, typer.Option(help="Recorded seconds per second; else as fast as possible. With --server.")
    ] = None,
    event_clock: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="EVENT_UTC WALL_UTC", help="One instant on both clocks; else the start of the file is now."
        ),
    ] = None,
    patience_s: Annotated[
        float, typer.Option(min=0.1, help="Give up when the server acknowledges nothing for so long, seconds.")
    ] = 30.0,
    as_json: _Json = False,
) -> None:
    """Hear one file, into a file of detections (--out) or to a server (--server)."""
    import time

    from sensor_node.app import replay_to_file, replay_to_server, stop_on_signals
    from sensor_node.connection import CurveClientKeys
    from sensor_node.player import FilePlayer, FileSource
    from sensor_node.profile import NodeProfile
    from shotline.domain import ClockState
    from shotline.errors import InputError
    from shotline.keyfiles import is_public_key, load_key_pair
    from shotline.timebase import EventClock, parse_utc
    from shotline.units import ns_from_seconds

    if (out is None) == (server is None):
        raise InputError("say where detections go: either --out FILE or --server ENDPOINT")
    if (key_file is None) != (server_key is None):
        raise InputError("--key-file and --server-key go together; give both or neither")
    if server_key is not None and not is_public_key(server_key):
        raise InputError(f"{server_key} is not the z85 text of a key; see `shotline keys show`", field="--server-key")
    if out is not None and (pace is not None or event_clock is not None):
        raise InputError("--pace and --event-clock are for --server; a file is written as fast as possible")
    if event_clock is not None and pace is None:
        raise InputError("--event-clock needs --pace; give --pace 1 for the recorded pace")
    if event_clock is not None and start_utc is None:
        raise InputError("--event-clock needs --start-utc, the UTC of the first sample")
    states = [state.value for state in ClockState if state is not ClockState.UNTIMED]
    if clock_state not in states:
        raise InputError(f"clock state '{clock_state}', expected one of {', '.join(states)}", field="--clock-state")
    start_time_ns = None if start_utc is None else parse_utc(start_utc, field="--start-utc")
    source = FileSource(
        path=file,
        start_time_ns=start_time_ns,
        channel=channel,
        clock_state=ClockState(clock_state),
        sigma_ns=ns_from_seconds(sigma_ms / 1000.0),
    )
    player = FilePlayer(NodeProfile(node=node, full_scale_db_spl=full_scale_db_spl, model=model), [source])
    if out is not None:
        summary = replay_to_file(player, out)
    else:
        assert server is not None
        curve = None
        if key_file is not None and server_key is not None:
            curve = CurveClientKeys(load_key_pair(key_file), server_key)
        clock = None
        if pace is not None and event_clock is not None:
            event_ns, wall_ns = (parse_utc(text, field="--event-clock") for text in event_clock)
            clock = EventClock(event_ns, wall_ns, pace)
        elif pace is not None:
            clock = EventClock(player.start_time_ns, time.time_ns(), pace)
        with stop_on_signals() as stopping:
            summary = replay_to_server(
                player, server, clock=clock, stopping=stopping, patience_s=patience_s, curve=curve
            )
    _report(summary, as_json=as_json)


@app.command()
def check(
    config: _ConfigFile,
    bundle: Annotated[
        Path | None, typer.Option(help="Also write a support file: a zip of all that helps, without any secret.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Look at everything the node needs, and say in plain words what is wrong. Exit 1 when something is."""
    from sensor_node.config import load_node_config
    from sensor_node.nodecheck import check_node
    from shotline.errors import ConfigError
    from shotline.health import Check, CheckStatus, worst_status

    loaded = None
    try:
        loaded = load_node_config(config)
        checks = check_node(loaded)
    except ConfigError as error:
        checks = [Check("config", CheckStatus.FAIL, str(problem)) for problem in error.problems]
    worst = worst_status(checks)
    said: dict[str, object] = {"status": worst.value, "checks": [item.as_json() for item in checks]}
    if not as_json:
        for item in checks:
            typer.echo(f"{item.status.value:4}  {item.name:12} {item.message}")
    if bundle is not None:
        from sensor_node.bundle import write_bundle

        written = write_bundle(bundle, loaded, checks)
        said["bundle"] = {"file": str(written.path), "holds": written.holds}
        if not as_json:
            typer.echo(f"Support file: {written.path}, readable by you only. It holds {', '.join(written.holds)}.")
            typer.echo(
                "No sound, no keys, no passwords; the node's position, where it is known. Look before you send it."
            )
    if as_json:
        typer.echo(json.dumps(said, indent=2))
    raise typer.Exit(1 if worst is CheckStatus.FAIL else 0)


@app.command()
def devices(*, as_json: _Json = False) -> None:
    """List the sound cards that can be recorded from. Exit 1 when there is none."""
    from dataclasses import asdict

    from sensor_node.capture import list_inputs

    found = list_inputs()
    if as_json:
        typer.echo(json.dumps({"devices": [asdict(item) for item in found]}))
    else:
        for item in found:
            typer.echo(f"{item.name}  ({item.host_api}, {item.channels} channels, {item.default_rate_hz:g} Hz)")
        if not found:
            typer.echo("No sound card can be recorded from; is one plugged in, and may this user use it?", err=True)
    raise typer.Exit(0 if found else 1)


@app.command()
def swarm(
    nodes: Annotated[int, typer.Argument(min=1, max=10_000, help="How many nodes.")],
    keys: Annotated[Path, typer.Option(help="Folder of the swarm's keys; what is missing in it is made.")],
    server: Annotated[str, typer.Option(help="Endpoint of the server.")] = "tcp://127.0.0.1:5570",
    server_key: Annotated[
        str | None, typer.Option(help="The server's .key file, or its public key; else server.key in the folder.")
    ] = None,
    write_config: Annotated[
        Path | None, typer.Option(help="Write the configuration and the allow-list of a server for it, and end.")
    ] = None,
    write_allow_list: Annotated[
        Path | None, typer.Option(help="Write the allow-list to this file, and end; else with the configuration.")
    ] = None,
    spacing_m: Annotated[
        float, typer.Option(min=1.0, help="Between the nodes, which stand in a grid, metres.")
    ] = 250.0,
    detections_per_hour: Annotated[
        float, typer.Option(min=0.0, help="Bangs of each node in the mean, which no other node hears.")
    ] = 100.0,
    shots_per_minute: Annotated[
        float, typer.Option(min=0.0, help="Shots in the whole swarm in the mean, heard within 700 m.")
    ] = 0.0,
    burst: Annotated[int, typer.Option(min=1, help="Shots at the same instant, each somewhere else.")] = 1,
    in_flight: Annotated[
        int, typer.Option(min=0, help="Send as fast as the server acknowledges: so many on their way at all times.")
    ] = 0,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long, from when all are connected.")] = 60.0,
    patience_s: Annotated[
        float, typer.Option(min=0.1, help="Give up when no node comes in, or nothing is acknowledged, for so long.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="What is heard follows from it.")] = 1,
    own_server: Annotated[
        bool, typer.Option("--i-own-this-server", help="Load a server that is not on this machine.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Load a server with many simulated nodes. Exit 1 when something they heard was not acknowledged."""
    import time

    from sensor_node.app import stop_on_signals
    from sensor_node.swarm import Swarm, SwarmStatus, require_own_server, run_swarm
    from sensor_node.swarmfiles import (
        load_or_make_pair,
        member_name,
        read_server_key,
        write_server_config,
        write_swarm_allow_list,
    )
    from sensor_node.swarmplan import SwarmLoad, SwarmPlan, grid_m

    names = [member_name(member) for member in range(nodes)]
    pairs = [(name, load_or_make_pair(name, keys)) for name in names]
    sites_m = grid_m(nodes, spacing_m)
    if write_config is not None or write_allow_list is not None:
        allow_list = write_allow_list or keys / "nodes.keys.toml"
        write_swarm_allow_list(allow_list, pairs, now_ns=time.time_ns())
        if write_config is not None:
            load_or_make_pair("server", keys)
            secret_file = keys / "server.key_secret"
            write_server_config(
                write_config, bind=server, secret_file=secret_file, allow_list=allow_list, sites_m=sites_m
            )
        typer.echo(f"written: {' and '.join(str(file) for file in (write_config, allow_list) if file is not None)}")
        return
    require_own_server(server, is_own=own_server)

    def tell(time_s: float, status: SwarmStatus) -> None:
        typer.echo(f"{time_s:.0f} s: {status.sentence()}", err=True)

    with (
        stop_on_signals() as stopping,
        Swarm(
            server, pairs, read_server_key(server_key, keys), monotonic_s=time.monotonic, now_ns=time.time_ns
        ) as running,
    ):
        report = run_swarm(
            running,
            SwarmPlan(sites_m, SwarmLoad(detections_per_hour, shots_per_minute, burst), seconds=seconds, seed=seed),
            seconds=seconds,
            in_flight=in_flight,
            patience_s=patience_s,
            progress_s=5.0,
            monotonic_s=time.monotonic,
            now_ns=time.time_ns,
            stopping=stopping,
            tell=tell,
        )
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        typer.echo(report.sentence())
    if report.problem:
        typer.echo(report.problem, err=True)
        raise typer.Exit(1)


def _report(summary: Summary, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps(asdict(summary)))
    else:
        typer.echo(
            f"{summary.node}: {summary.seconds:.1f} s of sound "
            + (f"from {summary.device}" if summary.device else f"in {summary.files} files")
            + f", {summary.onsets} onsets, "
            f"{summary.detections} detections"
            + (f", {summary.gaps} gaps of {summary.gap_samples} samples in all" if summary.gaps else "")
        )
        if summary.clock_state == "untimed" and summary.device and summary.detections:
            typer.echo("The clock was not set when the last impulse was heard; `shotline node check` says why.")
        elif summary.clock_state == "untimed" and summary.files:
            typer.echo(
                "The clock is not set: nobody knows when this was recorded, so the detections are marked untimed and "
                "cannot be located. Give the start time."
            )
        if summary.problem:
            typer.echo(summary.problem, err=True)
    if summary.problem:
        raise typer.Exit(1)
