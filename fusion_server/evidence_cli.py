"""``shotline evidence``: bundles that can be checked and located again. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError, StorageError

if TYPE_CHECKING:
    from fusion_server.evidence.bundle import Bundle
    from fusion_server.evidence.case import Case

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Evidence: an incident with all that it rests on, signed; located again offline (docs/evidence.md).",
)

_Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="As `shotline evidence export` writes it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]
_SignWith = Annotated[Path | None, typer.Option("--sign-with", help="Key file, made by `shotline evidence key`.")]
_Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="Fingerprint of the key that must have signed; may be repeated. Without, any key does."),
]


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="File for the key; must not be there yet.")], as_json: _Json = False
) -> None:
    """Make a signing key (Ed25519), mode 0600, and print the fingerprint of its public half.

    Publish the fingerprint where others can find it without asking you. With --json, the public key as well.
    """
    from fusion_server.evidence.signing import SigningKey, fingerprint

    made = SigningKey.new(file)
    if as_json:
        said = {"file": str(file), "public": made.public, "fingerprint": fingerprint(made.public)}
        typer.echo(json.dumps(said))
        return
    typer.echo(f"signing key  {file}  (mode 0600; it stays on this machine)")
    typer.echo(f"fingerprint  {fingerprint(made.public)}  (hand this out)")


@app.command()
def export(
    incident: Annotated[str, typer.Argument(metavar="ID", help="The incident.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML.")] = Path(
        "server.toml"
    ),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.zip", help="Must not be there; evidence-ID.zip when absent.")
    ] = None,
    sign_with: _SignWith = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FOLDER", help="What `shotline replay` wrote, in place of a server."),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="With --replay: what was replayed; where the nodes stood.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Write all that one incident rests on into a signed bundle.

    Exit code 1 when a revision cannot be located again byte for byte from what is in it: the bundle is written, and
    says so.
    """
    import time

    from fusion_server.evidence.bundle import Bundle
    from fusion_server.evidence.container import pack, unpack
    from fusion_server.evidence.contents import case_files, case_head
    from fusion_server.evidence.signing import SigningKey
    from fusion_server.evidence.software import describe_software

    if dataset is not None and replay is None:
        raise InputError("goes with --replay only", field="--dataset")
    if replay is not None:
        case, key_file = _replay_case(replay, dataset, incident), sign_with
    else:
        case, key_file = _server_case(config, incident, sign_with)
    if key_file is None:
        raise InputError("missing; name a key that `shotline evidence key` made", field="--sign-with")
    data = pack(
        case_files(case, describe_software()),
        case_head(case),
        key=SigningKey.load(key_file),
        time_ns=time.time_ns(),
    )
    bundle = Bundle(unpack(data))
    target = out or Path(f"evidence-{bundle.manifest.incident}.zip")
    _write(target, data)
    unlike = [check for check in bundle.checks if not check.identical]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "file": str(target),
                    "digest": bundle.digest,
                    "fingerprint": bundle.signature.fingerprint,
                    "revisions": len(bundle.checks),
                    "not_identical": [{"revision": check.revision, "reason": check.reason} for check in unlike],
                }
            )
        )
    else:
        typer.echo(f"bundle       {target}  ({len(data)} bytes, {len(bundle.container.files)} files)")
        typer.echo(f"digest       {bundle.digest}")
        typer.echo(f"signed by    {bundle.signature.fingerprint}")
        typer.echo(f"located again: {len(bundle.checks) - len(unlike)} of {len(bundle.checks)} revisions identical")
        for check in unlike:
            typer.echo(f"  revision {check.revision}: {check.reason}")
    raise typer.Exit(1 if unlike else 0)


@app.command()
def verify(file: _Bundle, keys: _Keys = None, as_json: _Json = False) -> None:
    """Say whether a bundle is what was signed, to the last byte, and by whom; exit code 1 if not."""
    from fusion_server.evidence.signing import is_fingerprint

    if wrong := [item for item in keys or () if not is_fingerprint(item)]:
        raise InputError(f"'{wrong[0]}' is no fingerprint: 64 hexadecimal digits", field="--key")
    bundle, problems = _checked(file, keys or ())
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "problems": problems, **(_said(bundle) if bundle else {})}))
    elif problems or bundle is None:
        for problem in problems:
            typer.echo(problem)
        typer.echo("the bundle is NOT what was signed")
    else:
        typer.echo(f"whole: {len(bundle.container.files)} files, incident {bundle.manifest.incident}")
        typer.echo(f"digest     {bundle.digest}")
        typer.echo(f"signed by  {bundle.signature.fingerprint}, {bundle.signature.signed_utc}")
        if not keys:
            typer.echo("compare the fingerprint with what its owner publishes, or give it with --key")
    raise typer.Exit(1 if problems else 0)


@app.command()
def relocate(file: _Bundle, as_json: _Json = False) -> None:
    """Locate every revision and edited pick again, from nothing but the bundle; exit code 1 if any byte differs."""
    from fusion_server.evidence.amend import amendment_differs

    bundle = _whole(file)
    results = bundle.relocate()
    edited = {item.number: amendment_differs(bundle, item) for item in bundle.amendments}
    same = all(item.identical for item in results) and not any(edited.values())
    if as_json:
        revisions = [
            {"revision": item.revision, "identical": item.identical, "apart_m": item.apart_m, "reason": item.reason}
            for item in results
        ]
        amendments = [{"number": number, "identical": not text, "differs": text} for number, text in edited.items()]
        typer.echo(json.dumps({"identical": same, "revisions": revisions, "amendments": amendments}))
        raise typer.Exit(0 if same else 1)
    for item in results:
        record = next(found for found in bundle.revisions if found.revision == item.revision)
        place = (
            f"x {record.x_m:.3f} m, y {record.y_m:.3f} m, 95 % within {record.cep95_m:.1f} m, {record.rounds} rounds"
        )
        said = "identical" if item.identical else f"DIFFERS: {item.reason}"
        if item.apart_m:
            said += f"; {item.apart_m:.3f} m apart at most"
        typer.echo(f"revision {item.revision}: {place}: {said}")
    for number, text in edited.items():
        typer.echo(f"amendment {number}: {'DIFFERS in ' + text if text else 'identical'}")
    raise typer.Exit(0 if same else 1)


@app.command()
def amend(
    file: _Bundle,
    *,
    pick: Annotated[list[str], typer.Option("--pick", metavar="NODE=+0.004", help="Seconds to add; may be repeated.")],
    by: Annotated[str, typer.Option("--by", help="Who changes it.")],
    why: Annotated[str, typer.Option("--why", help="For what reason.")],
    sign_with: Annotated[Path, typer.Option("--sign-with", help="Key file of who changes it.")],
    shot: Annotated[int, typer.Option("--shot", min=1, help="Which shot of the newest revision.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.zip", help="Must not be there; BUNDLE-amended-N.zip when absent."),
    ] = None,
) -> None:
    """Write a new bundle with edited picks as a signed layer; the automatic result and its signature stay in it."""
    import time

    from fusion_server.evidence.amend import amend as amended
    from fusion_server.evidence.signing import SigningKey

    bundle = _whole(file)
    data, change = amended(
        bundle, _shifts(pick), shot=shot, by=by, why=why, key=SigningKey.load(sign_with), time_ns=time.time_ns()
    )
    target = out or file.with_name(f"{file.stem}-amended-{change.number}.zip")
    _write(target, data)
    typer.echo(f"bundle     {target}")
    typer.echo(f"amends     {change.base}")
    if change.located is None:
        typer.echo(f"shot {shot} has no place with these picks: {change.detail}")
    else:
        typer.echo(
            f"shot {shot} moves {change.moved_m:.3f} m (east {change.east_m:+.3f} m, north {change.north_m:+.3f} m); "
            "the automatic result stays"
        )


@app.command()
def report(
    file: _Bundle,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.pdf", help="BUNDLE with .pdf when absent; overwritten.")
    ] = None,
) -> None:
    """Draw a bundle as a PDF: map, sound, residuals, decisions, method and limits."""
    from fusion_server.evidence.report import report_pdf

    target = out or file.with_suffix(".pdf")
    data = report_pdf(_whole(file))
    try:
        target.write_bytes(data)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from error
    typer.echo(f"report  {target}")


def _server_case(config: Path, incident: str, sign_with: Path | None) -> tuple[Case, Path | None]:
    from fusion_server.biasfile import site_bias_of
    from fusion_server.config import load_server_config
    from fusion_server.evidence.case import server_case
    from fusion_server.evidence.network import NetworkRecord
    from fusion_server.history import History

    loaded = load_server_config(config)
    key_file = sign_with or (None if loaded.audit.key_file is None else Path(loaded.audit.key_file))
    registry = loaded.to_registry()
    bias = site_bias_of(loaded.fusion.site_bias_file, registry)
    network = NetworkRecord.of(registry, loaded.to_frame(), loaded.to_fusion(), bias)
    database = loaded.server.database
    if "://" not in database and not Path(database).is_file():
        raise InputError(
            f"no such file {database}; the server makes it when it starts", source=config, field="database"
        )
    with History.open(database) as history:
        return server_case(history, network, incident), key_file


def _replay_case(folder: Path, dataset: Path | None, incident: str) -> Case:
    from fusion_server.evidence.replayed import ReplayFolder

    replayed = ReplayFolder(folder, dataset)
    return replayed.case(*replayed.find(incident))


def _checked(file: Path, keys: list[str] | tuple[str, ...]) -> tuple[Bundle | None, list[str]]:
    from fusion_server.evidence.bundle import open_bundle, verify

    if not file.is_file():
        raise InputError("no such file", source=file)
    try:
        bundle, data = open_bundle(file)
        return bundle, verify(bundle, data, trusted=keys)
    except InputError as error:
        return None, [str(problem) for problem in error.problems]


def _whole(file: Path) -> Bundle:
    bundle, problems = _checked(file, ())
    if problems or bundle is None:
        raise InputError(f"is not what was signed ({problems[0]}); see shotline evidence verify", source=file)
    return bundle


def _said(bundle: Bundle) -> dict[str, object]:
    try:
        return {
            "incident": bundle.manifest.incident,
            "digest": bundle.digest,
            "fingerprint": bundle.signature.fingerprint,
            "signed_utc": bundle.signature.signed_utc,
            "amendments": len(bundle.amendments),
        }
    except InputError:
        return {}


def _shifts(picks: list[str]) -> dict[str, float]:
    shifts: dict[str, float] = {}
    for text in picks:
        node, _, seconds = text.rpartition("=")
        try:
            shift_s = float(seconds)
        except ValueError:
            shift_s = 0.0
        if not node or not shift_s or node in shifts:
            raise InputError(
                f"'{text}', expected a node and seconds, each node once, like roof-03=+0.004", field="--pick"
            )
        shifts[node] = shift_s
    return shifts


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from error
