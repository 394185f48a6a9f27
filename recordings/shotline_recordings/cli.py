"""``shotline simulate``: a dataset with exact truth out of a scene file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    scene: Annotated[
        Path | None, typer.Argument(metavar="[SCENE.toml]", help="Scene to simulate; the shipped city block if none.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the dataset; made if need be.")],
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the scene's own seed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")] = False,
) -> None:
    """Simulate the sound of a scene and write it as a dataset: FLAC, dataset.toml with exact truth, overview.png."""
    from shotline.errors import StorageError
    from shotline_recordings import scene as scenes
    from shotline_recordings import simulate as simulator

    chosen = scenes.load_scene(scene or scenes.demo_scene_path())
    simulation = simulator.simulate(chosen, seed=chosen.seed if seed is None else seed)
    try:
        dataset = simulator.write_simulation(simulation, out)
    except OSError as error:
        raise StorageError(f"cannot write the dataset to {out}: {error}; choose another folder with --out") from error
    made = dataset.scenes[0]
    shots = [event for event in made.truth if event.kind == "gunshot"]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "dataset": str(out),
                    "scene": made.name,
                    "seed": simulation.seed,
                    "nodes": len(made.sites),
                    "duration_s": chosen.duration_s,
                    "events": len(shots),
                    "rounds": sum(event.rounds for event in shots),
                    "confusers": len(made.truth) - len(shots),
                }
            )
        )
        return
    Console(highlight=False).print(
        f"{made.name}: {len(made.sites)} nodes, {chosen.duration_s:g} s, {len(shots)} shooting events with "
        f"{sum(event.rounds for event in shots)} rounds, {len(made.truth) - len(shots)} other bangs, "
        f"seed {simulation.seed}. Written to {out} (see overview.png).",
        soft_wrap=True,
    )
