"""``shotline replay`` and ``shotline demo``. Heavy imports happen inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from shotline_models.registry import DEFAULT_CLASSIFIER

__all__ = ["demo_app", "replay_app"]

replay_app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
demo_app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_EXAMPLES = """
Examples:

    shotline replay ../shared/data/pittsburgh --from tuples --sensors 4,6,8 --out results

    shotline replay ../shared/data/pittsburgh --from pulses --only FP1 --out results

    shotline replay my-recordings --from audio --out results --json

    shotline replay results --from detections --out again

    shotline replay ../shared/data/pittsburgh --from pulses --only FP1/test_001 --live --out results
"""


@replay_app.command(epilog=_EXAMPLES)
def replay(
    dataset: Annotated[Path, typer.Argument(help="Folder with a dataset.toml, or the Pittsburgh set.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results; made if need be.")],
    loader: Annotated[
        Literal["auto", "shotline", "pittsburgh"], typer.Option(help="How to read the dataset; auto looks at it.")
    ] = "auto",
    source: Annotated[
        Literal["audio", "pulses", "tuples", "detections"],
        typer.Option(
            "--from",
            help="audio: sound through the node's code, then fusion. pulses: recorded detections by time, through "
            "fusion. detections: the same in the order of their file. tuples: given pulse sets, to the locator alone.",
        ),
    ] = "audio",
    only: Annotated[
        str | None, typer.Option(metavar="FP1,FP2", help="Only these scenes (or tests, like FP1/test_008).")
    ] = None,
    sensors: Annotated[
        str | None,
        typer.Option(metavar="K[,K...]", help="With tuples: locate each shot from random subsets of K sensors too."),
    ] = None,
    subsets: Annotated[int, typer.Option(min=1, help="Random subsets of each size per shot.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the random subsets.")] = 0,
    model: Annotated[
        str,
        typer.Option(help="With audio: the nodes' classifier; impulse-rules-1, a shipped network, or an ONNX file."),
    ] = DEFAULT_CLASSIFIER,
    live: Annotated[
        bool, typer.Option("--live", help="Through a real server and real node processes, at recorded pace.")
    ] = False,
    pace: Annotated[float, typer.Option(min=0.01, max=100.0, help="With --live: recorded seconds per second.")] = 1.0,
    jobs: Annotated[int, typer.Option(min=0, help="Processes to use, 0 for one per core. Changes no result.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json and nothing else on stdout.")] = False,
) -> None:
    """Run a recorded dataset through Shotline and say how well it did.

    Writes `incidents.jsonl` (one incident per line), `revisions.jsonl`, `report.json` and `report.html` (maps, error
    curve, residuals, why each arrival counted). Two runs give identical bytes, whatever `--jobs` is; how long it took
    is in `timing.json`. docs/replay.md says what each means.
    """
    import os

    import msgspec
    from rich.console import Console

    from shotline_recordings.work import progress_bars
    from shotline_replay.replay import Source
    from shotline_replay.run import Request, replay_to_folder
    from shotline_replay.summary import show

    request = Request(
        dataset=dataset,
        out=out,
        loader=loader,
        source=Source(source),
        only=_names(only),
        sensors=_sizes(sensors),
        subsets=subsets,
        seed=seed,
        model=model,
        jobs=jobs or os.cpu_count() or 1,
    )
    with progress_bars(_WHAT) as progress:
        if live:
            from shotline_replay.live import replay_live

            report = replay_live(request, pace=pace, progress=progress)
        else:
            report = replay_to_folder(request, progress=progress)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        return
    console = Console(highlight=False)
    show(report, console)
    console.print(f"Written to {out}: incidents.jsonl, report.json, report.html", soft_wrap=True, markup=False)


@demo_app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End by itself: exit 0 only if every shot was found within its CEP95.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Other noise and echoes than the scene's own.")] = None,
    pace: Annotated[float, typer.Option(min=0.1, max=10.0, help="Recorded seconds per second.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the live page; 0 for any free port.")] = 0,
    model: Annotated[
        str, typer.Option(help="The nodes' classifier; impulse-rules-1, a shipped network, or an ONNX file.")
    ] = DEFAULT_CLASSIFIER,
) -> None:
    """A simulated city block, real node processes, a real server: hear shots and see them located within a minute.

    Ten microphones on roofs and poles, a single shot, a burst of three, traffic, and two bangs that are no shots. Each
    alert is printed beside the truth as it comes. The live page stays open until Ctrl-C.
    """
    from shotline_replay.demo import run_demo

    raise typer.Exit(run_demo(once=once, seed=seed, pace=pace, port=port, model=model))


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _sizes(text: str | None) -> tuple[int, ...]:
    from shotline.errors import InputError

    parts = _names(text) or ()
    if bad := [part for part in parts if not part.isdecimal()]:
        raise InputError(f"'{bad[0]}' is not a number of sensors; write it like 4,5,6", field="--sensors")
    return tuple(dict.fromkeys(int(part) for part in parts))


_WHAT = {"hear": "listening", "fuse": "fusing", "locate": "locating", "live": "playing"}
