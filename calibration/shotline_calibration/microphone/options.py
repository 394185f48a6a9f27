"""What the commands of a microphone share: options, how a result is told and kept, and what earlier records say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline_calibration.keeping import RecordOptions, keep_result, say_kept

if TYPE_CHECKING:
    from shotline_calibration.result import Result

__all__ = ["Channel", "FullScale", "Node", "calibrated", "finish", "full_scale_of"]

Node = Annotated[str, typer.Option("--node", help="Id of the node.")]
Channel = Annotated[
    int | None, typer.Option("--channel", min=1, help="Of the microphone; needed when files have several.")
]
FullScale = Annotated[
    float | None,
    typer.Option("--full-scale-db-spl", help="Of the node; without it, as the record of its level says."),
]


def finish(
    result: Result,
    options: RecordOptions,
    kind: str,
    node: str,
    procedure: str,
    inputs: list[Path],
    as_json: bool,
    apply: str,
) -> None:
    """Keep the record of a result where one is wanted, and print it; ``apply`` is the node whose settings follow."""
    kept = keep_result(result, options, kind=kind, node=node, procedure=procedure, inputs=inputs)
    if as_json:
        import msgspec

        typer.echo(json.dumps({"result": msgspec.to_builtins(result), "record": kept}))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    say_kept(kept, node=apply)


def full_scale_of(records: Path, node: str) -> tuple[float | None, float | None]:
    """Return the level of full scale and its sigma by the node's standing record; None where there is none."""
    from shotline_calibration.microphone.result import LevelResult
    from shotline_calibration.recordbook import RecordBook

    standing = RecordBook.read(records).current(node, "microphone-level") if records.exists() else None
    if standing is None:
        return None, None
    found = standing.record.result
    assert isinstance(found, LevelResult)
    return found.full_scale_db_spl, found.sigma_db


def calibrated(records: Path) -> dict[str, float]:
    """Return the sigma of the gain of nodes that were calibrated, dB."""
    from shotline_calibration.microphone.result import LevelResult
    from shotline_calibration.recordbook import RecordBook

    if not records.exists():
        return {}
    heads = RecordBook.read(records).heads(kind="microphone-level")
    return {
        signed.record.node: found.sigma_db for signed in heads if isinstance(found := signed.record.result, LevelResult)
    }
