"""``shotline simulate``: a dataset with exact truth out of a scene file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from shotline_recordings.simulate.run import Simulated

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_EXAMPLES = """
Examples:

    shotline simulate --out block                                 # the shipped city block

    shotline simulate --scenes                                    # what else is shipped

    shotline simulate downtown-canyon --out canyon --seed 7

    shotline simulate new-years-eve --out eve --excerpt 600 660   # a minute of sound out of the hour

    shotline simulate new-years-eve --out eve --detections        # the whole hour, without sound

    shotline simulate my-scene.toml --out mine --json
"""


_WHAT = {"nodes": "making sound", "events": "following sound"}


@app.command(epilog=_EXAMPLES)
def simulate(
    scene: Annotated[
        str | None,
        typer.Argument(metavar="SCENE", help="A scene file, or the name of a shipped scene; the city block if none."),
    ] = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the dataset; made if need be.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the scene's own seed.")] = None,
    detections: Annotated[
        bool, typer.Option("--detections", help="No sound: what the nodes would report, by the same paths. Fast.")
    ] = False,
    excerpt: Annotated[
        tuple[float, float] | None,
        typer.Option("--excerpt", metavar="FROM UNTIL", help="A part of the scene only, in seconds."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Processes; they change nothing about the result.")
    ] = os.cpu_count() or 1,
    picture: Annotated[bool, typer.Option("--picture/--no-picture", help="Draw overview.png.")] = True,
    list_scenes: Annotated[bool, typer.Option("--scenes", help="List the shipped scenes, and end.")] = False,
    list_weapons: Annotated[bool, typer.Option("--weapons", help="List the weapons, and end.")] = False,
    list_bangs: Annotated[bool, typer.Option("--bangs", help="List the other bangs, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written (or listed) as JSON.")] = False,
) -> None:
    """Simulate what a network of microphones hears, and write it as a dataset.

    Written are FLAC files (or detections), dataset.toml with exact truth, arrivals.csv with the exact arrival of each
    round at each node, nodes.csv with what is wrong with each node, and overview.png.
    """
    if list_scenes + list_weapons + list_bangs > 1:
        raise typer.BadParameter("list one thing at a time", param_hint="--scenes, --weapons, --bangs")
    if list_scenes or list_weapons or list_bangs:
        _list(scenes=list_scenes, weapons=list_weapons, bangs=list_bangs, as_json=as_json)
        return
    if out is None:
        raise typer.BadParameter("name the folder of the dataset", param_hint="--out")
    from shotline.errors import InputError, StorageError
    from shotline_recordings.scene import load_scene, shipped_scene
    from shotline_recordings.simulate import simulate_dataset
    from shotline_recordings.work import progress_bars

    path = Path(scene or "")
    if not (path.is_file() or path.suffix == ".toml"):
        path = shipped_scene(scene) if scene else shipped_scene()
    chosen = load_scene(path)
    with progress_bars(_WHAT) as progress:
        try:
            made = simulate_dataset(
                chosen,
                out,
                seed=chosen.seed if seed is None else seed,
                detections_only=detections,
                excerpt_s=excerpt,
                jobs=jobs,
                picture=picture,
                progress=progress,
            )
        except InputError as error:
            problem = error.problems[0]
            if problem.source:
                raise
            raise InputError(problem.message, source=path, field=problem.field) from error
        except OSError as error:
            raise StorageError(
                f"cannot write the dataset to {out}: {error}; choose another folder with --out"
            ) from error
    _say(made, out, picture=picture, as_json=as_json)


def _say(made: Simulated, out: Path, *, picture: bool, as_json: bool) -> None:
    written = made.dataset.scenes[0]
    shots = [event for event in written.truth if event.kind == "gunshot"]
    rounds, others = sum(event.rounds for event in shots), len(written.truth) - len(shots)
    if as_json:
        about = {
            "dataset": str(out),
            "scene": written.name,
            "seed": made.stage.seed,
            "nodes": len(written.sites),
            "duration_s": made.seconds,
            "events": len(shots),
            "rounds": rounds,
            "confusers": others,
            "detections": made.detections if not written.recordings else None,
        }
        typer.echo(json.dumps(about))
        return
    what = "sound" if written.recordings else f"{made.detections} detections"
    Console(highlight=False).print(
        f"{written.name}: {len(written.sites)} nodes, {made.seconds:g} s, {len(shots)} shooting events with "
        f"{rounds} rounds, {others} other bangs, seed {made.stage.seed}: {what} written to {out}"
        + (" (see overview.png)." if picture else "."),
        soft_wrap=True,
    )


def _list(*, scenes: bool, weapons: bool, bangs: bool, as_json: bool) -> None:
    rows: list[dict[str, object]] = []
    if scenes:
        from shotline_recordings.scene import load_scene, shipped_scenes

        for name, path in shipped_scenes().items():
            scene = load_scene(path)
            rows.append({"scene": name, "nodes": len(scene.nodes), "seconds": scene.duration_s, "about": scene.about})
    elif weapons:
        from shotline_recordings.simulate.weapons import weapons as table

        rows = [
            {
                "weapon": item.id,
                "name": item.name,
                "cartridge": item.cartridge,
                "m/s": round(item.muzzle_velocity_mps),
                "rpm": round(item.rate_rpm) if item.rate_rpm else None,
            }
            for item in table()
        ]
    elif bangs:
        from shotline_recordings.simulate.bangs import BANG_KINDS

        rows = [{"bang": name, "kind": item.kind.value, "about": item.about} for name, item in BANG_KINDS.items()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table_ = Table(*rows[0])
    for row in rows:
        table_.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(highlight=False).print(table_)
