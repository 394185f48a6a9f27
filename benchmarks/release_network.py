"""Put a trained network into the package, with its card and the figures that it was judged by.

    shotline models train impulse-cnn-nc --manifest CSV --root DIR --pittsburgh DIR --out made
    python benchmarks/release_network.py made

Copies the weights and their twin to ``models/shotline_models/weights``, figures and curves to
``benchmarks/results/classifier``, and writes ``models/cards/NAME.md``. What a card says from "Known failures" on is
written by people: it stays as it is, and is asked for where there is none.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from shotline_models.twin import Twin, read_twin

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "models" / "shotline_models" / "weights"
CARDS = ROOT / "models" / "cards"
RESULTS = ROOT / "benchmarks" / "results" / "classifier"
TAIL = "## Known failures"
CONFUSERS = ("firework", "thunder", "door", "hammer", "other_impulse: gun handling", "clap")

FREE = "Trained only on data whose licence allows any use."
NOT_FREE = "Trained also on clips that allow **non-commercial use only** (ESC-50): so may these weights be used."
TEMPLATE = """# {name}

A committee of small convolutional networks that names the sound around one onset. {learned}
Its probability is soft evidence for the fusion of many nodes.

| | |
|---|---|
| weights | `models/shotline_models/weights/{name}.onnx`, {parameters} parameters, SHA-256 `{sha256}` |
| twin | `{name}.json` beside it: input, kinds, temperature, thresholds, data |
| oldest code version | {oldest} |
| input | `shotline.features.log_mel`: {mel.bands} bands, {mel.low_hz:g} to {mel.high_hz:g} Hz, {mel.before_s:g} s \
before to {mel.after_s:g} s after the onset; sound of any rate from 7.2 kHz |
| output | six logits, `shotline.domain.ImpulseKind`; no kind for speech or people |
| made by | `shotline models train {plan} --manifest CSV --root DIR --pittsburgh DIR --out DIR`, seed {seed} |
| cost | [figures](../../benchmarks/results/classifier_cost.md) |

## Data

| source | licence | clips | onsets learned from |
|---|---|---:|---:|
{data}

A twelfth of the families is held back to stop by and not learned from.

## Held-out figures

Six folds; each holds out one firing position of the live fire and a sixth of the families of clips, and is judged by a
committee that learned from none of them. Thresholds are set on {hours} h of clips without gunshots ({onsets} onsets).
At one false alarm an hour of a node that is {alarms} alarm; **one a day cannot be shown on so little sound**: the right
column lies above every one of them. In brackets 95 % (Wilson). All figures:
[held out](../../benchmarks/results/classifier/{name}.json).

| gunshots found | one an hour | above all |
|---|---:|---:|
{recall}

Called a gunshot at one an hour:

| | onsets |
|---|---:|
{confusers}

The area under the ROC curve is {area}; that of live fire beside the same sensors' own sounds ({own_onsets} onsets in
{own_hours} hours) {own_area}. What the kinds are called (rows: what it was):

| | {heads} |
|---|{rules}
{confusion}

The probability of a gunshot is stated for even odds: half gunshots. There its calibration error is {even}; on the
corpus's own mix, of which nine in ten are none, {mix}.

{tail}"""


def share(item: dict[str, Any]) -> str:
    """Return a share with its count and interval, for a table."""
    if item["share"] is None:
        return "-"
    low, high = round(100.0 * item["low95"]), round(100.0 * item["high95"])
    return f"{100.0 * item['share']:.1f} % of {item['of']} ({low} to {high})"


def recall_rows(found: dict[str, Any]) -> list[str]:
    """Return the rows of the table of gunshots found, one column for each operating point."""
    points = found["operating_points"]
    rows: dict[str, list[str]] = {"all": [share(point["recall"]) for point in points]}
    for point in points:
        for item in point["recall_by_source"]:
            rows.setdefault(item["name"], []).append(share(item["share"]))
    for key, what, unit in (("recall_by_distance", "live fire,", "m"), ("recall_by_snr", "SNR", "dB")):
        for point in points:
            for item in point[key]:
                low, high = item["low"], item["high"]
                if low is None:
                    name = f"{what} below {high:g} {unit}"
                else:
                    name = f"{what} {low:g} {unit} and more" if high is None else f"{what} {low:g} to {high:g} {unit}"
                rows.setdefault(name, []).append(share(item["share"]))
    return [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]


def confuser_rows(found: dict[str, Any]) -> list[str]:
    """Return how much of each confuser is called a gunshot at the first operating point."""
    rows = []
    for name in CONFUSERS:
        items = [
            item["called_gunshot"] for item in found["operating_points"][0]["called_by_label"] if item["label"] == name
        ]
        count, of = sum(item["count"] for item in items), sum(item["of"] for item in items)
        rows.append(f"| {name} | {count} of {of} ({100.0 * count / max(of, 1):.1f} %) |")
    return rows


def card(twin: Twin, found: dict[str, Any], own: dict[str, Any], *, plan: str, tail: str) -> str:
    """Return the card of a network."""
    free = twin.licence.startswith("any use")
    heads = " | ".join(found["kinds"])
    return TEMPLATE.format(
        name=twin.model_id,
        learned=FREE if free else NOT_FREE,
        parameters=f"{twin.parameters:,}",
        sha256=twin.sha256,
        oldest=twin.oldest_code_version,
        mel=twin.input,
        plan=plan,
        seed=twin.seed,
        data="\n".join(f"| {item.source} | {item.licence} | {item.clips} | {item.examples} |" for item in twin.data),
        hours=f"{found['negative_hours']:.2f}",
        onsets=found["negative_onsets"],
        alarms=found["operating_points"][0]["alarm"]["alarms"],
        recall="\n".join(recall_rows(found)),
        confusers="\n".join(confuser_rows(found)),
        area=f"{found['roc_area']:.4f}",
        own_onsets=own["negative_onsets"],
        own_hours=f"{own['negative_hours']:.2f}",
        own_area=f"{own['roc_area']:.4f}",
        heads=heads,
        rules="---:|" * len(found["kinds"]),
        confusion="\n".join(
            f"| {kind} | {' | '.join(map(str, row))} |"
            for kind, row in zip(found["kinds"], found["confusion"], strict=True)
        ),
        even=f"{found['gunshot_calibration']['error']:.3f}",
        mix=f"{found['gunshot_calibration_error_in_corpus_mix']:.3f}",
        tail=tail,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `shotline models train` wrote")
    parser.add_argument("--plan", default=None, help="name of the shipped plan; by the licence if none")
    arguments = parser.parse_args()
    weights = next(arguments.folder.glob("*.onnx"))
    twin = read_twin(weights)
    name = twin.model_id
    found = json.loads((arguments.folder / "held-out.json").read_text())
    own = json.loads((arguments.folder / "held-out-own-sounds.json").read_text())
    path = CARDS / f"{name}.md"
    if not path.is_file():
        sys.stderr.write(f"no {path}; begin it with '{TAIL}' and what is known of them\n")
        return 2
    text = path.read_text(encoding="utf-8")
    plan = arguments.plan or ("impulse-cnn" if twin.licence.startswith("any use") else "impulse-cnn-nc")
    tail = text[text.index(TAIL) :]
    path.write_text(card(twin, found, own, plan=plan, tail=tail), encoding="utf-8")
    shutil.copy(weights, WEIGHTS)
    shutil.copy(weights.with_suffix(".json"), WEIGHTS)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for source, suffix in (
        ("held-out.json", ".json"),
        ("held-out-own-sounds.json", "-own-sounds.json"),
        ("curves.csv", ".curves.csv"),
    ):
        shutil.copy(arguments.folder / source, RESULTS / f"{name}{suffix}")
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
