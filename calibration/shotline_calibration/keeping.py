"""What the commands of all procedures share: the options of a record, and how it is made and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline import __version__
from shotline.errors import InputError
from shotline.timebase import format_utc

if TYPE_CHECKING:
    from shotline_calibration.records import Instrument
    from shotline_calibration.result import Result

__all__ = [
    "DEFAULT_RECORDS",
    "AsJson",
    "By",
    "Instruments",
    "Keys",
    "Notes",
    "Plot",
    "RecordOptions",
    "Records",
    "SignWith",
    "checked_options",
    "keep_result",
    "say_kept",
    "superseded",
]

Records = Annotated[Path, typer.Option("--records", metavar="FOLDER", help="Where records are kept.")]
By = Annotated[str | None, typer.Option("--by", help="Who did it: your name. Without it no record is made.")]
SignWith = Annotated[
    Path | None, typer.Option("--sign-with", metavar="FILE", help="Key file, made by `shotline evidence key`.")
]
Notes = Annotated[str, typer.Option("--notes", help="What else one should know later.")]
Instruments = Annotated[
    list[str] | None,
    typer.Option(
        "--instrument", metavar="NAME[;SERIAL[;DATE]]", help="What was measured with; when last calibrated. Repeat it."
    ),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png or .svg; overwritten.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="FINGERPRINT", help="A key that may sign; repeat it. Without, any key may."),
]
DEFAULT_RECORDS = Path("calibration/records")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What a person says about a record.

    Parameters
    ----------
    by : str | None
        None: no record is wanted, the result is only printed.
    sign_with : Path | None
        Key file.
    records : Path
        Folder.
    notes : str
    instruments : sequence of str
        ``NAME[;SERIAL[;DATE]]`` each.
    """

    by: str | None
    sign_with: Path | None
    records: Path = DEFAULT_RECORDS
    notes: str = ""
    instruments: Sequence[str] = ()

    def check(self) -> None:
        """Refuse at once what would be refused when the work is done.

        Raises
        ------
        InputError
            One of ``--by`` and ``--sign-with`` is missing, or the key cannot be used.
        """
        from fusion_server.evidence.signing import SigningKey

        if self.by is None and self.sign_with is None:
            return
        if self.by is None or self.sign_with is None:
            raise InputError("--by and --sign-with go together; give both to keep a record, or neither", field="--by")
        SigningKey.load(self.sign_with)


def checked_options(
    *,
    by: str | None,
    sign_with: Path | None,
    records: Path,
    notes: str,
    instruments: Sequence[str] | None = None,
    plots: Sequence[Path | None] = (),
) -> RecordOptions:
    """Return what a command was told about its record, checked with where its plots go, before the work is done.

    Raises
    ------
    InputError
        As `RecordOptions.check`, or a plot cannot be written there.
    """
    for plot in plots:
        if plot is not None:
            from shotline_calibration.plots import check_plot_path

            check_plot_path(plot)
    options = RecordOptions(by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments or ())
    options.check()
    return options


def keep_result(
    result: Result,
    options: RecordOptions,
    *,
    kind: str,
    node: str,
    procedure: str,
    inputs: Sequence[Path] = (),
    now_ns: int | None = None,
) -> dict[str, object] | None:
    """Make and keep the record of a result, where the person asks for one.

    Parameters
    ----------
    result : Result
    options : RecordOptions
    kind : str
    node : str
        "" for one of the whole network.
    procedure : str
        Name and version of what computed it, such as ``gnss average 1``.
    inputs : sequence of Path
        Files that it was computed from.
    now_ns : int | None
        UTC nanoseconds; None: now.

    Returns
    -------
    dict or None
        ``id`` and ``file`` of the record, the id that it ``supersedes`` or None, and what has ``changed`` since that,
        in words; None when there is no record.

    Raises
    ------
    InputError, StorageError
        As `shotline_calibration.recordbook.write_record`.
    """
    from fusion_server.evidence.signing import SigningKey
    from shotline_calibration.recordbook import RecordBook, input_file, write_record
    from shotline_calibration.records import Record

    options.check()
    if options.by is None or options.sign_with is None:
        return None
    record = Record(
        kind=kind,
        node=node,
        made_utc=format_utc(time.time_ns() if now_ns is None else now_ns, digits=3),
        by=options.by,
        procedure=procedure,
        software=f"shotline {__version__}",
        result=result,
        instruments=tuple(_instrument(text) for text in options.instruments),
        inputs=tuple(input_file(path) for path in inputs),
        notes=options.notes,
    )
    path, signed = write_record(options.records, record, SigningKey.load(options.sign_with))
    before, changed = signed.record.supersedes, ""
    if before is not None:
        changed = result.changed_from(RecordBook.read(options.records).find(before).record.result)
    return {"id": signed.id, "file": str(path), "supersedes": before, "changed": changed}


def say_kept(kept: dict[str, object] | None, *, node: str) -> None:
    """Print what became of the record."""
    if kept is None:
        typer.echo("no record was made; give --by and --sign-with for one")
        return
    typer.echo(f"record       {kept['id']}  {kept['file']}")
    if kept["supersedes"]:
        typer.echo(f"supersedes   {superseded(kept)}")
    if node:
        typer.echo(f"then run     shotline calibrate apply {node}")


def superseded(kept: dict[str, object]) -> str:
    """Return the id of the record that one supersedes, and what has changed since."""
    return f"{kept['supersedes']}" + (f", {kept['changed']}" if kept["changed"] else "")


def _instrument(text: str) -> Instrument:
    from shotline_calibration.records import Instrument

    name, serial, calibrated, *more = [part.strip() for part in f"{text};;".split(";")]
    if not name or any(more):
        raise InputError(f"'{text}', expected NAME;SERIAL;DATE, the last two may be left out", field="--instrument")
    return Instrument(name=name, serial=serial, calibrated=calibrated)
