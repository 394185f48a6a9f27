"""Sound that is strange to the nodes' network: what fusion makes of it with each node's word as it is, and bounded.

    shotline models train benchmarks/classifier_without_live_fire.toml ... --out made
    python benchmarks/strange_sound.py --network made/without-live-fire.onnx

Live fire is heard by the rule, by the released network, which has learned it, and by a network that has not; scenes
over open ground and in towns, and bangs that are no shots, by the released one. Each is heard once and fused twice:
without the bounds (`class_least_log_odds` of minus infinity, `least_probability` of 0), and with them. Writes OUT.json
and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
from results_files import write_results

from fusion_server.engine import FusionSettings
from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_recordings.dataset import Dataset, open_dataset
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.score import score_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_replay.episodes import sound_episodes
from shotline_replay.replay import RETRACTED, fuse, hear, latest_revisions
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "strange_sound"
RULE = "impulse-rules-1"
SCENES = ("open-field", "airport-wind", "outside-the-array", "city-block", "downtown-canyon", "hilly-valley")
COUNTS = ("events", "events_found", "shots_fired", "shots_found", "shots_false", "incidents_false")
BANGS = ("firework_salute", "firework_shell", "vehicle_backfire", "nail_gun", "hammer", "dropped_container")


def fusions() -> dict[str, FusionSettings]:
    """Return fusion with and without the bounds."""
    now = FusionSettings()
    before = replace(
        now,
        associate=replace(now.associate, class_least_log_odds=-math.inf),
        incidents=replace(now.incidents, least_probability=0.0),
    )
    return {"before": before, "now": now}


def judged(dataset: Dataset, model: str) -> dict[str, Counter[str]]:
    """Hear a dataset once and fuse it each way."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in fusions()}
    for scene in dataset.scenes:
        episodes = []
        for episode in sound_episodes(scene):
            heard = [item for recording in episode.recordings for item in hear(recording, model=model)]
            heard.sort(key=lambda item: (item.available_ns, item.detection.uid))
            episodes.append((episode.scene, heard))
        for name, settings in fusions().items():
            runs = [fuse(part, heard, settings=settings) for part, heard in episodes]
            told = latest_revisions([record for run in runs for record in run.revisions])
            made = score_scene(scene, [record for record in told if record.state != RETRACTED]).counts
            counts[name].update({key: getattr(made, key) for key in COUNTS})
            counts[name]["held_back"] += sum(run.held_back or 0 for run in runs)
    return counts


def bangs_on_grass(folder: Path) -> Path:
    """Write the scene `open-field` with 24 bangs in place of its shots; return its file."""
    text = shipped_scene("open-field").read_text(encoding="utf-8").partition("[[shots]]")[0]
    text = text.replace('name = "open-field"', 'name = "bangs-on-grass"').replace(
        "duration_s = 30.0", "duration_s = 150.0"
    )
    text += f"""[[scatter]]
event = "bang"
kinds = {json.dumps(BANGS)}
count = 24
west_m = -200.0
east_m = 200.0
south_m = -200.0
north_m = 200.0
from_s = 4.0
until_s = 145.0
apart_s = 4.0
"""
    path = folder / "bangs-on-grass.toml"
    path.write_text(text, encoding="utf-8")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, required=True, help="ONNX file of a network that learned no live fire")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Counter[str]]] = {}

    def note(what: str, counts: dict[str, Counter[str]]) -> None:
        rows[what] = counts
        sys.stderr.write(f"{what}: { ({name: dict(value) for name, value in counts.items()}) }\n")

    live_fire = open_dataset(arguments.data, loader="pittsburgh")
    note("live fire, a network that learned none", judged(live_fire, str(arguments.network)))
    note(f"live fire, {DEFAULT_CLASSIFIER}, which learned it", judged(live_fire, DEFAULT_CLASSIFIER))
    note(f"live fire, {RULE}", judged(live_fire, RULE))
    with tempfile.TemporaryDirectory() as name:
        for scene in (*map(shipped_scene, SCENES), bangs_on_grass(Path(name))):
            chosen = load_scene(scene)
            folder = Path(name) / chosen.name
            made = simulate_dataset(chosen, folder, seed=chosen.seed, picture=False)
            note(f"{chosen.name}, {DEFAULT_CLASSIFIER}", judged(made.dataset, DEFAULT_CLASSIFIER))
    software = describe_software()
    lines = [
        "# Sound that is strange to the nodes' network",
        "",
        f"Commit {(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}.",
        "Made by `python benchmarks/strange_sound.py --network FILE`; its docstring says what each is.",
        "Before: each node's word as it is. Now: bounded, and what is hardly gunfire held back.",
        "",
        "| heard | events | found: before | now | shots: before | now | incidents false: before | now | held back |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for what, counts in rows.items():
        before, now = counts["before"], counts["now"]
        pairs = (f"{before[key]} | {now[key]}" for key in ("events_found", "shots_found", "incidents_false"))
        lines.append(f"| {what} | {now['events']} | {' | '.join(pairs)} | {now['held_back']} |")
    text = "\n".join(lines) + "\n"
    document = {"benchmark": "strange_sound", "software": msgspec.to_builtins(software)}
    document |= {"rows": {what: {key: dict(value) for key, value in counts.items()} for what, counts in rows.items()}}
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
