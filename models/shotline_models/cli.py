"""``shotline models``: train, judge, check and listen to what the node's network is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from shotline_models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from shotline.features import MelDefinition
    from shotline_models.architecture import Committee
    from shotline_models.dataset import Corpus
    from shotline_models.evaluate import Evaluation

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Networks that name impulses: train, judge, check.",
)
_JSON = typer.Option("--json", help="Say it as JSON.")
_WORDS = {
    "clips": "listening to clips",
    "positions": "listening to live fire",
    "variants": "augmenting",
}


@app.command("list")
def list_models(*, as_json: Annotated[bool, _JSON] = False) -> None:
    """List the networks that are shipped."""
    from shotline_models.registry import find_weights, shipped_models
    from shotline_models.twin import read_twin

    twins = [read_twin(find_weights(name)) for name in shipped_models()]
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "model": twin.model_id,
                        "default": twin.model_id == DEFAULT_MODEL,
                        "parameters": twin.parameters,
                        "licence": twin.licence,
                        "sha256": twin.sha256,
                    }
                    for twin in twins
                ]
            )
        )
        return
    table = Table("model", "parameters", "licence", "sha256")
    for twin in twins:
        name = f"{twin.model_id} (default)" if twin.model_id == DEFAULT_MODEL else twin.model_id
        table.add_row(name, f"{twin.parameters:,}", twin.licence, twin.sha256[:12])
    Console().print(table)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="Name of a shipped network, or the path of an ONNX file.")],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Check that a network is the one its twin speaks of, runs here, and says what it said when it was made."""
    import numpy as np

    from shotline.errors import InputError
    from shotline_models.registry import find_weights
    from shotline_models.runtime import open_network
    from shotline_models.twin import check_picture

    path = find_weights(model)
    network = open_network(path)
    seen = network.logits(check_picture(network.twin.input)[None])[0]
    difference = float(np.abs(seen - np.array(network.twin.check_logits)).max())
    # Other machines add in another order: a thousand products of order 1 in 32-bit floats.
    if not difference <= 1e-4:
        raise InputError(
            f"its logits differ by {difference:.2g} from those noted when it was made, expected at most 0.0001; "
            "ONNX Runtime does not run it rightly on this machine",
            source=str(path),
        )
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "model": network.twin.model_id,
                    "sha256": network.twin.sha256,
                    "parameters": network.twin.parameters,
                    "largest_difference": difference,
                    "ok": True,
                }
            )
        )
        return
    typer.echo(
        f"{network.twin.model_id}: sha256 {network.twin.sha256[:12]}… is its twin's, "
        f"{network.twin.parameters:,} parameters, logits agree to {difference:.1g}"
    )


@app.command()
def augment(
    *,
    listen: Annotated[Path, typer.Option("--listen", help="Folder for the examples; made if need be.")],
    sound: Annotated[
        list[Path] | None, typer.Option("--sound", help="WAV or FLAC, one channel; a simulated shot if none.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Write what augmentation makes of a sound, effect by effect: to listen to, and to look at."""
    import librosa
    import soundfile

    from shotline.errors import AudioError
    from shotline_models.augment import AugmentSettings
    from shotline_models.listen import write_examples
    from shotline_models.train import RATE_HZ

    sounds = []
    for path in sound or ():
        try:
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            raise AudioError(f"cannot read it: {error}", source=str(path)) from error
        if samples.shape[1] != 1 or not len(samples):
            raise AudioError(f"sound of shape {samples.shape}, expected one channel with sound in it", source=str(path))
        sounds.append(librosa.resample(samples[:, 0], orig_sr=rate_hz, target_sr=RATE_HZ, res_type="soxr_hq"))
    written = write_examples(listen, sounds, sample_rate_hz=RATE_HZ, settings=AugmentSettings(), seed=seed)
    typer.echo(f"{len(written)} files; open {written[0]}")


@app.command()
def evaluate(
    *,
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV of labelled clips; see docs/evaluation.md.")],
    root: Annotated[Path, typer.Option("--root", help="Folder that its files are relative to.")],
    pittsburgh: Annotated[Path | None, typer.Option("--pittsburgh", help="Live fire with surveyed truth.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Firing positions.")] = None,
    model: Annotated[
        str, typer.Option("--model", help="A shipped network, or the path of an ONNX file.")
    ] = DEFAULT_MODEL,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Folder for a page to read and listen to.")] = None,
) -> None:
    """Judge a network on labelled sound: recall at fixed false alarms, curves, calibration, the worst errors."""
    import numpy as np

    from shotline_models.evaluate import evaluate as judge
    from shotline_models.registry import find_weights
    from shotline_models.report import write_report
    from shotline_models.runtime import open_network

    network = open_network(find_weights(model))
    corpus = _corpus(manifest, root, pittsburgh, only, network.twin.input, margin_s=0.0)
    probabilities = np.array(
        [
            network.probabilities(item.samples, onset_index=item.onset_index, sample_rate_hz=item.clip.sample_rate_hz)
            for item in corpus.examples
        ]
    ).reshape(-1, len(network.twin.kinds))
    found = judge(corpus, probabilities, model_id=network.twin.model_id)
    if json_file is not None:
        _write_figures(found, json_file)
    if report is not None:
        write_report(
            found, report, corpus=corpus, title=f"{network.twin.model_id} on {manifest.parent.name or manifest.name}"
        )
    _say(found)


@app.command()
def train(
    plan_file: Annotated[str, typer.Argument(metavar="PLAN", help="A plan (TOML), or the name of a shipped one.")],
    *,
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV of labelled clips; see docs/evaluation.md.")],
    root: Annotated[Path, typer.Option("--root", help="Folder that its files are relative to.")],
    pittsburgh: Annotated[Path | None, typer.Option("--pittsburgh", help="Live fire with surveyed truth.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the network, its twin, curves and report.")],
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, or auto.")] = "auto",
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Source that is judged but not learned from.")
    ] = None,
    keep_folds: Annotated[
        bool, typer.Option("--keep-folds", help="Write each fold's network too, to replay what it never learned from.")
    ] = False,
) -> None:
    """Train a network by a plan: first a fold at a time, to judge and calibrate it, then on everything.

    Every example is judged by the network of the fold that holds its family or firing position out; thresholds,
    temperature and report come from these. The network that is written learned from all that the plan allows.
    """
    import numpy as np
    import torch

    from shotline.domain import ImpulseKind
    from shotline_models import crossval
    from shotline_models.curves import write_curves
    from shotline_models.dataset import LIVE_FIRE, OWN_SOUNDS
    from shotline_models.evaluate import evaluate as judge
    from shotline_models.export import export, training_data
    from shotline_models.plan import load_plan, shipped_plan
    from shotline_models.report import write_report
    from shotline_models.runtime import calibrated
    from shotline_models.train import MARGIN_S, Epoch, draw_variants, gather_frames, stopping_set, train_committee
    from shotline_recordings.work import progress_bars

    path = Path(plan_file)
    plan = load_plan(path if path.suffix == ".toml" else shipped_plan(plan_file))
    if without:
        plan = plan.model_copy(update={"without": tuple(without)})
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    corpus = _corpus(manifest, root, pittsburgh, None, plan.mel, margin_s=MARGIN_S, own_sounds=True)
    frames = gather_frames(corpus, plan.mel, rng=np.random.default_rng(plan.seed))
    folds, allowed = crossval.folds_of(frames, plan), crossval.may_learn(frames, plan)
    with progress_bars(_WORDS) as bars:
        variants = draw_variants(
            frames, folds, plan, device=where, progress=lambda done, of: bars("variants", done, of)
        )
    runs: dict[str, list[Epoch]] = {}
    console = Console(stderr=True, highlight=False)

    def show(name: str, epoch: Epoch) -> None:
        runs.setdefault(name, []).append(epoch)
        console.print(
            f"{name}: epoch {epoch.number} of {plan.optimiser.epochs}, loss {epoch.loss:.3f}, "
            f"held back {epoch.stopping_loss:.3f}"
        )

    nets: dict[int, Committee] = {}
    logits = crossval.held_out_logits(
        frames,
        variants,
        plan,
        device=where,
        progress=lambda fold, member, epoch: show(f"fold {fold + 1} of {plan.folds}, member {member}", epoch),
        keep=nets.__setitem__,
    )
    temperature, of_others = crossval.temperatures(logits, frames.kind, folds)
    probabilities = calibrated(logits, of_others)
    own = np.array([item.clip.label == OWN_SOUNDS for item in corpus.examples])
    clips = corpus.only(lambda clip: clip.label != OWN_SOUNDS)
    found = judge(clips, probabilities[~own], model_id=plan.name)
    thresholds = crossval.thresholds_of(clips, calibrated(logits, temperature)[~own])
    network = train_committee(
        frames,
        variants,
        allowed,
        plan,
        seed=plan.seed,
        device=where,
        progress=lambda member, epoch: show(f"on everything, member {member}", epoch),
    )
    learned = allowed & ~stopping_set(frames.examples)
    weights = export(
        network,
        plan,
        out,
        temperature=temperature,
        thresholds=thresholds,
        data=training_data([frames.examples[row] for row in np.flatnonzero(learned).tolist()]),
    )
    if keep_folds:
        for fold, net in nets.items():
            mine = np.flatnonzero(learned & (folds != fold)).tolist()
            export(
                net,
                plan.model_copy(update={"name": f"{plan.name}-fold-{fold + 1}"}),
                out / "folds",
                temperature=temperature,
                thresholds=thresholds,
                data=training_data([frames.examples[row] for row in mine]),
            )
    write_curves(out, runs)
    write_report(found, out / "report", corpus=clips, title=f"{plan.name}, held out fold by fold")
    _write_figures(found, out / "held-out.json")
    _say(found)
    if own.any():
        live = np.array([item.clip.source == LIVE_FIRE for item in corpus.examples])
        beside = judge(
            corpus.only(lambda clip: clip.source == LIVE_FIRE), probabilities[live], model_id=f"{plan.name}, live fire"
        )
        _write_figures(beside, out / "held-out-own-sounds.json")
        _say(beside)
    typer.echo(
        f"{weights}: {len(ImpulseKind)} kinds, temperature {temperature:.2f}, learned from {int(learned.sum())} onsets"
    )


def _corpus(
    manifest: Path,
    root: Path,
    pittsburgh: Path | None,
    only: list[str] | None,
    mel: MelDefinition,
    *,
    margin_s: float,
    own_sounds: bool = False,
) -> Corpus:
    from shotline_models.dataset import read_live_fire, read_manifest
    from shotline_recordings.work import progress_bars

    reach = _reach(mel, margin_s)
    with progress_bars(_WORDS) as bars:
        corpus = read_manifest(manifest, root, **reach, progress=lambda done, of: bars("clips", done, of))
        if pittsburgh is not None:
            corpus += read_live_fire(
                pittsburgh,
                only=only,
                own_sounds=own_sounds,
                **reach,
                progress=lambda done, of: bars("positions", done, of),
            )
    return corpus


def _reach(mel: MelDefinition, margin_s: float) -> dict[str, Any]:
    """Return the sound to keep around an onset: as much before it as serves for background."""
    return {"before_s": max(0.35, mel.before_s + margin_s), "after_s": mel.after_s + margin_s}


def _write_figures(found: Evaluation, path: Path) -> None:
    """Write every figure of an evaluation as JSON."""
    import msgspec

    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def _say(found: Evaluation) -> None:
    console = Console(highlight=False)
    stated = found.gunshot_calibration.error
    error = "-" if stated is None else f"{stated:.3f}"
    area = "-" if found.roc_area is None else f"{found.roc_area:.4f}"
    console.print(
        f"{found.model_id}: {found.gunshot_onsets} gunshots, {found.negative_onsets} other onsets in "
        f"{found.negative_hours:.2f} hours without gunshots; ROC area {area}, "
        f"calibration error at even odds {error}",
        soft_wrap=True,
    )
    for point in found.operating_points:
        alarm = point.alarm
        shown = f"{alarm.alarms} in {alarm.hours:.2f} h" + ("" if alarm.resolved else ", too little to tell")
        console.print(f"at {alarm.asked_per_hour:.3g} false alarms an hour (above {alarm.threshold:.4f}; {shown}):")
        rows = [("all", point.recall)]
        rows += [(item.name, item.share) for item in point.recall_by_source]
        for item in point.recall_by_distance:
            until = "and more" if item.high is None else f"to {item.high:g}"
            rows.append((f"{item.low or 0.0:g} {until} m", item.share))
        for what, share in rows:
            if share.share is not None:
                console.print(
                    f"  {what:18} {100 * share.share:5.1f} % of {share.of:5} "
                    f"({100 * share.low95:.0f} to {100 * share.high95:.0f} %)"
                )
