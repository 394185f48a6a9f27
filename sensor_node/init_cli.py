"""``shotline node init``: ask, or take flags; write the node's file and its keys; say what comes next."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import ConfigError, EdgeError, InputError, StorageError

if TYPE_CHECKING:
    from sensor_node.init import Answers
    from sensor_node.surroundings import Surroundings

__all__ = ["init"]

_SYSTEM_FILE = Path("/etc/shotline/node.toml")
"""The file that the unit in deploy/ runs a node with; its folder is for configuration, so the spool is elsewhere."""
_SYSTEM_SPOOL = "/var/lib/shotline/spool.db"
_SPOOL = "spool.db"
_STAND_IN = "x"
"""Where nothing was answered yet, so that the answers there are can be judged."""


_Out = Annotated[Path, typer.Option("--out", help="The file to write; keys go to the folder `keys` beside it.")]


def init(
    out: Annotated[
        Path, typer.Option("--out", help="The file to write; keys go to the folder `keys` beside it.")
    ] = Path("node.toml"),
    node: Annotated[str | None, typer.Option("--id", help="Node id; else the name of this host.")] = None,
    server: Annotated[str | None, typer.Option(help="The server, like tcp://server.example:5570.")] = None,
    server_key: Annotated[
        str | None, typer.Option(help="Public key of the server: `shotline keys show server.key` there.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Send in the clear, on a network that you trust.")] = False,
    device: Annotated[
        str | None, typer.Option(help="Name of the sound card, see `shotline node devices`; else the only one.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="A sound file in place of a card, for a trial; relative to --out.")
    ] = None,
    start_utc: Annotated[str | None, typer.Option(help="UTC of the first sample of --file.")] = None,
    channel: Annotated[int | None, typer.Option(help="Channel of the microphone, 1 for the first.")] = None,
    pps_channel: Annotated[int | None, typer.Option(help="Channel with the receiver's pulses, if recorded.")] = None,
    gpsd: Annotated[bool | None, typer.Option(help="Listen to gpsd here; else when it answers.")] = None,
    lat: Annotated[float | None, typer.Option(help="Surveyed latitude of the GPS antenna, degrees.")] = None,
    lon: Annotated[float | None, typer.Option(help="Its longitude, degrees.")] = None,
    height: Annotated[float | None, typer.Option(help="Its height above the WGS-84 ellipsoid, metres.")] = None,
    spool: Annotated[
        str | None, typer.Option(help="File for what the server has not got yet; relative to --out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: flags, and defaults for the rest.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there. Keys stay.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; asks nothing.")] = False,
) -> None:
    """Write a node's configuration and make its keys: asks in a terminal, else takes flags."""
    from sensor_node.init import Answers, config_text, problems
    from sensor_node.surroundings import look_around
    from shotline import __version__
    from shotline.keyfiles import key_files

    if out.exists() and not force:
        raise InputError("is there already and is not overwritten; give --force, or another --out", source=out)
    _refuse_halves(device, file, start_utc, pps_channel, gpsd, (lat, lon, height))
    if plain and server_key is not None:
        raise InputError("--plain is without keys; take it out, or --server-key")
    place = None if lat is None or lon is None or height is None else (lat, lon, height)
    answers = Answers(
        id=node or "",
        server=server or "",
        server_key=server_key,
        spool=spool or (_SYSTEM_SPOOL if out.absolute().parent == _SYSTEM_FILE.parent else _SPOOL),
        device=device,
        file=file,
        start_utc=start_utc,
        channel=channel,
        pps_channel=pps_channel,
        gpsd=bool(gpsd),
        place_deg_m=place,
    )
    asks = not yes and not as_json and _in_a_terminal()
    wrong = problems(_with_stand_ins(answers))
    if wrong:
        raise ConfigError.from_problems(wrong)
    found = look_around(live=file is None)
    if file is None and gpsd is None:
        answers = replace(answers, gpsd=found.has_gpsd)
    answers = _asked(answers, found, plain=plain) if asks else _by_default(answers, found)
    missing = list(_missing(answers, plain=plain))
    if missing and not asks:
        how = "" if yes or as_json else "; or run it in a terminal, and it asks"
        raise InputError(f"not given: {'; '.join(missing)}{how}")
    public, key_file = "", key_files(answers.id, out.parent / "keys")[1]
    if answers.server_key is not None:
        answers = replace(answers, key_file=str(key_file.relative_to(out.parent)))
    text = config_text(answers, version=__version__)
    _make_folder(out.parent)
    if answers.server_key is not None:
        public = _public_key(answers.id, key_file)
    _write(out, text)
    _hand_over(out.parent, [out, key_file.parent, *key_files(answers.id, key_file.parent)])
    _say(out, answers, public, list(_notes(answers, found)), as_json=as_json)


def _refuse_halves(
    device: str | None,
    file: str | None,
    start_utc: str | None,
    pps_channel: int | None,
    gpsd: bool | None,
    place: tuple[float | None, float | None, float | None],
) -> None:
    """Refuse flags that exclude each other, or are but half of something."""
    if device is not None and file is not None:
        raise InputError("--device is a sound card, --file a sound file; give one of them")
    if start_utc is not None and file is None:
        raise InputError("--start-utc dates the first sample of a file; give --file too")
    if file is not None and (pps_channel is not None or gpsd or any(part is not None for part in place)):
        raise InputError("--pps-channel, --gpsd, --lat, --lon and --height are for a sound card, not for --file")
    if any(part is None for part in place) and any(part is not None for part in place):
        raise InputError("--lat, --lon and --height go together; give all three or none")


def _missing(answers: Answers, *, plain: bool) -> Iterator[str]:
    """Yield which flags are needed still."""
    from shotline.config import is_this_machine

    if not answers.id:
        yield "--id (the name of this host is one that many have)"
    if not answers.server:
        yield "--server"
    elif answers.server_key is None and not plain and not is_this_machine(answers.server):
        yield "--server-key, or --plain on a network that you trust"
    if answers.device is None and answers.file is None:
        yield "--device, or --file for a trial"


def _with_stand_ins(answers: Answers) -> Answers:
    """Return answers that are complete; what was answered is unchanged."""
    return replace(
        answers,
        id=answers.id or _STAND_IN,
        server=answers.server or "tcp://127.0.0.1:5570",
        key_file=_STAND_IN if answers.server_key is not None else None,
        device=answers.device or (_STAND_IN if answers.file is None else None),
    )


def _by_default(answers: Answers, found: Surroundings) -> Answers:
    """Return answers with what can be taken without asking."""
    from sensor_node.surroundings import device_name, id_from_hostname

    answers = replace(answers, id=answers.id or id_from_hostname(found.hostname) or "")
    if answers.device is None and answers.file is None and len(found.hardware) == 1:
        answers = replace(answers, device=device_name(found.hardware[0], found.inputs))
    return answers


def _asked(answers: Answers, found: Surroundings, *, plain: bool) -> Answers:
    """Ask for what no flag gave, each until the answer is one."""
    from sensor_node.surroundings import id_from_hostname
    from shotline.config import is_this_machine

    live = answers.file is None
    if live:
        _show(found)
    if not answers.id:
        default = id_from_hostname(found.hostname)
        answers = _ask("Node id, as the server is to know it", answers, _set_id, default=default)
    if not answers.server:
        answers = _ask("Server, like tcp://server.example:5570", answers, _set_server)
    if answers.server_key is None and not plain and not is_this_machine(answers.server):
        typer.echo("On the server, `shotline keys show server.key` prints its public key.")
        answers = _ask(
            "The server's public key (empty: in the clear, everybody can read)", answers, _set_key, default=""
        )
    if not live:
        return answers
    if answers.device is None:
        default = str(found.inputs.index(found.hardware[0]) + 1) if len(found.hardware) == 1 else None
        question = "Sound card, number or name" if found.inputs else "Name of the sound card"
        answers = _ask(question, answers, lambda so_far, text: _set_device(so_far, text, found), default=default)
    if answers.channel is None:
        answers = _ask("Channel of the microphone", answers, _set_channel, default="1")
    if answers.pps_channel is None:
        answers = _ask("Channel with the receiver's pulses (empty: none)", answers, _set_pps_channel, default="")
    if answers.place_deg_m is None:
        question = "Surveyed latitude, longitude, height of the antenna (empty: later)"
        answers = _ask(question, answers, _set_place, default="")
    return answers


def _show(found: Surroundings) -> None:
    typer.echo("Sound cards:")
    for number, device in enumerate(found.inputs, start=1):
        soft = "" if device.is_hardware else "; a name of ALSA's, not a card: docs/capture.md"
        typer.echo(f"  {number}  {device.name}  ({device.host_api}, {device.channels} channels{soft})")
    if not found.inputs:
        typer.echo(f"  {found.inputs_problem or 'none; is one plugged in, and is this user in the group audio?'}")
    typer.echo(f"Time: {found.chrony}")
    typer.echo(f"Position: {found.gpsd}")


def _ask(
    question: str, answers: Answers, put: Callable[[Answers, str], Answers], *, default: str | None = None
) -> Answers:
    """Ask until the model takes the answer; what is wrong with it is said."""
    from sensor_node.init import problems

    while True:
        said = typer.prompt(question, default=default, show_default=bool(default)).strip()
        try:
            new = put(answers, said)
        except ValueError:
            typer.echo(f"  {said!r} is not a number", err=True)
            continue
        wrong = problems(_with_stand_ins(new))
        if not wrong:
            return new
        for problem in wrong:
            typer.echo(f"  {problem.message}", err=True)


def _set_id(answers: Answers, text: str) -> Answers:
    return replace(answers, id=text)


def _set_server(answers: Answers, text: str) -> Answers:
    return replace(answers, server=text)


def _set_key(answers: Answers, text: str) -> Answers:
    return replace(answers, server_key=text or None)


def _set_device(answers: Answers, text: str, found: Surroundings) -> Answers:
    from sensor_node.surroundings import device_name

    if text.isdecimal() and 1 <= int(text) <= len(found.inputs):
        text = device_name(found.inputs[int(text) - 1], found.inputs)
    return replace(answers, device=text)


def _set_channel(answers: Answers, text: str) -> Answers:
    return replace(answers, channel=int(text))


def _set_pps_channel(answers: Answers, text: str) -> Answers:
    return replace(answers, pps_channel=int(text) if text else None)


def _set_place(answers: Answers, text: str) -> Answers:
    if not text:
        return answers
    lat_deg, lon_deg, height_m = (float(part) for part in text.replace(",", " ").split())
    return replace(answers, place_deg_m=(lat_deg, lon_deg, height_m))


def _public_key(name: str, key_file: Path) -> str:
    """Return the public key of the pair that is there, or of a new one."""
    from shotline.keyfiles import load_key_pair, new_key_pair

    return load_key_pair(key_file).public if key_file.exists() else new_key_pair(name, key_file.parent)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write(out: Path, text: str) -> None:
    """Write the file in one step, once the node's own reader has taken it."""
    from sensor_node.config import load_node_config

    part = out.with_name(f".{out.name}.new")
    try:
        part.write_text(text, encoding="utf-8")
        load_node_config(part)
        part.replace(out)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}; check the folder and its permissions") from error
    finally:
        part.unlink(missing_ok=True)


def _hand_over(folder: Path, paths: list[Path]) -> None:
    """Give root's files to the owner of the folder: a node that runs as another user must read its key."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in paths:
            if path.exists():
                os.chown(path, owner.st_uid, owner.st_gid)


def _notes(answers: Answers, found: Surroundings) -> Iterator[str]:
    """Yield what is written as it was said, and does not fit what is there now."""
    from sensor_node.capture import find_input

    if answers.device is None:
        return
    try:
        device = find_input(found.inputs, answers.device)
    except EdgeError as error:
        yield found.inputs_problem or str(error)
    else:
        if not device.is_hardware:
            yield f"{device} is a name of ALSA's; unless it is of `type hw` it may convert the rate: docs/capture.md"
    if answers.gpsd and not found.has_gpsd:
        yield found.gpsd


def _say(out: Path, answers: Answers, public: str, notes: list[str], *, as_json: bool) -> None:
    config = shlex.quote(str(out))
    enrol = f"shotline keys enrol {answers.id} {shlex.quote(public)} --list nodes.keys.toml" if public else None
    start = f"shotline node run --config {config}"
    if out.absolute() == _SYSTEM_FILE:
        start = "systemctl enable --now shotline-node"
    check = f"shotline node check --config {config}"
    if as_json:
        said = {"config": str(out), "node": answers.id, "public": public or None, "enrol": enrol, "notes": notes}
        typer.echo(json.dumps(said | {"check": check, "start": start}))
        return
    typer.echo(f"written: {out}")
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if public:
        typer.echo(f"public key of this node: {public}")
    steps = [
        *([f"on the server:  {enrol}"] if enrol else []),
        f"the node needs a site: its surveyed position, in [[nodes]] of the server's file, as '{answers.id}'",
        f"here:           {check}",
        f"then:           {start}",
    ]
    typer.echo("\n".join(["Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, start=1))]))


def _in_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
