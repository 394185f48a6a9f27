"""The figures of the README, quoted from the files in benchmarks/results and from nowhere else.

python benchmarks/readme_figures.py             # write them into README.md, between the two marks
python benchmarks/readme_figures.py --check     # exit 1 when README.md says something else
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shotline_replay.report import Report
from shotline_replay.summary import summary_rows

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: begin; written by benchmarks/readme_figures.py -->\n", "<!-- figures: end -->"
QUOTED = {
    "tuples": ("shots located, of given", "shot error, median", "shots within 5/10/15/25 m"),
    "pulses": ("events found within 25 m", "incidents duplicate / false", "shots found", "incident error, median"),
    "audio": ("events found within 25 m", "incidents duplicate / false", "shots found", "incident error, median"),
}
SOURCES = {
    "tuples": "given pulses of each shot",
    "pulses": "all pulses, no grouping",
    "audio": "raw sound",
}


def figures(results: Path = RESULTS) -> str:
    """Return the section: a table for the live-fire set, a table for speed; what was not measured is not there."""
    parts = [part for part in (_live_fire(results / "pittsburgh.json"), _speed(results)) if part]
    return "\n".join(parts) if parts else "Nothing measured yet: `make bench`.\n"


def _live_fire(file: Path) -> str:
    document = _read(file)
    if document is None:
        return ""
    lines, commit, note = [], "", ""
    for source, prefixes in QUOTED.items():
        report = _report(document["reports"][source])
        commit = (report.software.git_commit or "unknown")[:12]
        note = report.published.note if report.published else note
        commit += " with changes" if report.software.git_dirty else ""
        for row in summary_rows(report):
            if row.what.startswith(prefixes) or (source == "tuples" and "random sensors" in row.what):
                lines.append(f"| {SOURCES[source]} | {row.what} | {row.value} | {row.published} |")
    head = [
        "Live-fire recordings of Pittsburgh, six of the nine firing positions; truth is good to about 2.5 m. From",
        f"[pittsburgh.md](benchmarks/results/pittsburgh.md), commit {commit}:",
        "",
        "| fed with | | here | published |",
        "|---|---|---:|---:|",
    ]
    return "\n".join([*head, *lines, "", note]) + "\n"


def _report(document: dict[str, Any]) -> Report:
    # The benchmark leaves the long lists out; the rows do not need them.
    for scene in (document.get("score") or {}).get("scenes", []):
        scene |= {"events": [], "shot_checks": []}
    return msgspec.convert(document, Report)


def _speed(results: Path) -> str:
    lines = [*_throughput(results), *_locating(results), *_onsets(results), *_simulator(results)]
    return "\n".join(["| speed and hearing | | file |", "|---|---:|---|", *lines]) + "\n" if lines else ""


def _throughput(results: Path) -> Iterator[str]:
    if (document := _read(results / "throughput.json")) is None:
        return
    where, found = _link("throughput.json", document), document["results"]
    for name, what in (
        ("commit_only_loopback", "detections through ZeroMQ, committed and acknowledged, one core"),
        ("loopback", "the same, associated, located and kept as incidents, with 30 % clutter"),
    ):
        yield f"| {what} | {found[name]['detections_per_s']:,} /s | {where} |"


def _locating(results: Path) -> Iterator[str]:
    if (document := _read(results / "locate_speed.json")) is None:
        return
    where = _link("locate_speed.json", document)
    for row in document["rows"]:
        if row["nodes"] in (4, 6, 10):
            what = f"one fix from {row['nodes']} arrivals, with its covariance and verdicts"
            yield f"| {what} | {row['locate_us']:.0f} µs | {where} |"


def _onsets(results: Path) -> Iterator[str]:
    if (document := _read(results / "node_onsets.json")) is None:
        return
    where, heard = _link("node_onsets.json", document), document["confirmed_on"]
    share = heard["share_within"]["20_ms"]
    what = "pulses of the vendor's sensors that our node hears, within 20 ms"
    yield f"| {what} | {100 * share:.1f} % of {heard['pulses']} | {where} |"
    yield f"| seconds of sound a second, one node on one core | {heard['real_time_factor']:.0f} | {where} |"


def _simulator(results: Path) -> Iterator[str]:
    if (document := _read(results / "simulator_speed.json")) is None:
        return
    where, rows = _link("simulator_speed.json", document), document["sound"]
    slowest = min(rows, key=lambda row: row["node_seconds_per_s"])
    fastest = max(rows, key=lambda row: row["node_seconds_per_s"])
    span = f"{slowest['node_seconds_per_s']:.0f} to {fastest['node_seconds_per_s']:.0f}"
    yield f"| seconds of 48 kHz sound of one node simulated a second, two cores, by scene | {span} | {where} |"


def _link(name: str, document: dict[str, Any]) -> str:
    return f"[{name}](benchmarks/results/{name}), {(document['commit'] or 'unknown')[:12]}"


def _read(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def refreshed(readme: str) -> str:
    """Return the README with the figures of today."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README} has no marks {BEGIN.strip()} and {END}; put them back")
    return f"{before}{BEGIN}\n{figures()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the README is not up to date")
    arguments = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = refreshed(old)
    if arguments.check:
        if new != old:
            sys.stderr.write("README.md quotes other figures; run python benchmarks/readme_figures.py\n")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
