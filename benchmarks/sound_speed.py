"""Speed of sound and wind from impulses: how near, how honest; on made-up networks, and on the live-fire set.

    python benchmarks/sound_speed.py [--networks 60] [--out benchmarks/results/sound_speed]

Made-up networks are those of tests/unit/calibration/survey_samples.py: 12 nodes on a square kilometre, 2 ms of scatter
per path, 3 % of arrivals late by a detour. Each row changes how well nodes and clocks are known, and how many of the
impulses are control shots at known places. NEES is the squared error of speed and wind together in units of the claimed
covariance, per figure: 1 is honest. On the Pittsburgh set every firing position is one place with 13 to 21 nodes; its
36 shots are merged into one impulse, since their paths err alike. No wind or temperature was measured at the nodes: the
weather is that of the nearest airport. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from live_impulses import DATA, load_live, shots_of
from results_files import write_results
from scipy.stats import chi2

from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.prepare import (
    VAGUE_SPEED_SIGMA_MPS,
    VAGUE_WIND_SIGMA_MPS,
    PrepareSettings,
    prepare,
)
from shotline_calibration.self_survey.problem import AirPrior, SurveySettings
from shotline_calibration.sound_speed.solve import heard_air
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "calibration"))

from survey_samples import made_up  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "sound_speed"
PPS = {"clock_sigma_s": 1e-4, "survey_sigma_m": 0.3}
CASES: dict[str, dict[str, Any]] = {
    "3 control shots, PPS, nodes to 0.3 m": {**PPS, "impulses": 3, "known": 3},
    "10 control shots": {**PPS, "impulses": 10, "known": 10},
    "40 control shots": {**PPS, "impulses": 40, "known": 40},
    "10 bangs": {**PPS, "impulses": 10},
    "40 bangs": {**PPS, "impulses": 40},
    "10 control shots and 30 bangs": {**PPS, "impulses": 40, "known": 10},
    "40 bangs, nodes to 3 m": {"clock_sigma_s": 1e-4, "impulses": 40},
    "10 control shots, nodes to 3 m, clocks to 5 ms": {"impulses": 10, "known": 10},
}
LIVE = PrepareSettings(clock_sigma_s=1e-4, vague_air=True, air_span_s=86_400.0, temperature_sigma_c=1.0)
LIVE_SURVEY = SurveySettings(path_sigma_s=0.005, path_freedom=4.0)


def one(seed: int, case: dict[str, Any]) -> dict[str, float]:
    """Solve one network with its air left open; return squares."""
    truth = made_up(seed, **case)
    (air,) = truth.airs
    vague = AirPrior(air.speed_mps, VAGUE_SPEED_SIGMA_MPS, air.wind_mps, VAGUE_WIND_SIGMA_MPS)
    found = self_survey(truth.nodes, truth.impulses, [vague])
    off = np.array([found.speed_mps[0], *found.wind_mps[0]]) - np.array([truth.speed_mps, *truth.wind_mps])
    covariance = found.air_covariance_m2ps2[0]
    return {
        "speed": float(off[0] ** 2),
        "wind": float(off[1] ** 2 + off[2] ** 2) / 2.0,
        "speed_claimed": float(covariance[0, 0]),
        "wind_claimed": float(covariance[1, 1] + covariance[2, 2]) / 2.0,
        "nees": float(off @ np.linalg.solve(covariance, off)),
    }


def made_up_row(name: str, case: dict[str, Any], networks: int) -> dict[str, Any]:
    """Put the networks of a case together."""
    each = []
    for seed in range(networks):
        each.append(one(seed, case))
        if seed % 20 == 19:
            sys.stderr.write(f"{name}: {seed + 1} of {networks}\n")

    def rms(key: str) -> float:
        return math.sqrt(float(np.mean([item[key] for item in each])))

    figures = 3 * networks
    return {
        "case": name,
        "networks": networks,
        "speed_error_mps": rms("speed"),
        "speed_claimed_mps": rms("speed_claimed"),
        "wind_error_mps": rms("wind"),
        "wind_claimed_mps": rms("wind_claimed"),
        "nees": float(np.sum([item["nees"] for item in each])) / figures,
        "nees_expected_95": [float(chi2.ppf(q, figures)) / figures for q in (0.025, 0.975)],
        "in_95_percent": 100.0 * float(np.mean([item["nees"] <= chi2.ppf(0.95, 3) for item in each])),
    }


def live_rows() -> list[dict[str, Any]]:
    """Return what each firing position says."""
    rows = []
    for scene in load_live().scenes:
        prepared = prepare(scene.sites, shots_of(scene, known=True), scene.weather, LIVE)
        found, _ = heard_air(prepared, LIVE, LIVE_SURVEY)
        temperatures_c = [weather.temperature_c for _, weather in scene.weather.observations]
        rows.append(
            {
                "scene": scene.name,
                "shots": len(scene.pulse_sets),
                "weather_from_c": min(temperatures_c),
                "weather_until_c": max(temperatures_c),
                **{name: getattr(found.airs[0], name) for name in found.airs[0].__struct_fields__},
                "path_sigma_s": found.path_sigma_s,
                "median_path_m": found.median_path_m,
            }
        )
    return rows


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Speed of sound and wind from sound",
        "",
        f"Commit {document['commit']}. `python benchmarks/sound_speed.py`, about five minutes.",
        "",
        "## Made-up networks",
        "",
        "| case | networks | speed, m/s: error (claimed) | each wind component, m/s | NEES (if honest) | in 95 % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for item in document["rows"]:
        low, high = item["nees_expected_95"]
        lines.append(
            f"| {item['case']} | {item['networks']} "
            f"| {item['speed_error_mps']:.2f} ({item['speed_claimed_mps']:.2f}) "
            f"| {item['wind_error_mps']:.2f} ({item['wind_claimed_mps']:.2f}) "
            f"| {item['nees']:.2f} ({low:.2f} to {high:.2f}) | {item['in_95_percent']:.0f} % |"
        )
    lines += ["", "1 °C is 0.6 m/s, and 0.85 m over 500 m.", ""]
    if not document["live"]:
        return "\n".join(lines) + "The live-fire set is not here.\n"
    lines += [
        "## Pittsburgh live-fire set",
        "",
        "| place | nodes | sound: effective °C | weather °C | wind east, north m/s | weather | paths, ms | p |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for item in document["live"]:
        lines.append(
            f"| {item['scene']} | {item['arrivals']} | {item['temperature_c']:.1f} ± {item['temperature_sigma_c']:.1f} "
            f"| {item['weather_from_c']:.1f} to {item['weather_until_c']:.1f} "
            f"| {item['wind_east_mps']:+.1f} ± {item['wind_east_sigma_mps']:.1f}, "
            f"{item['wind_north_mps']:+.1f} ± {item['wind_north_sigma_mps']:.1f} "
            f"| {item['weather_wind_east_mps']:+.1f}, {item['weather_wind_north_mps']:+.1f} "
            f"| {1e3 * item['path_sigma_s']:.1f} | {item['p_value']:.2f} |"
        )
    off_c = [item["temperature_c"] - item["weather_temperature_c"] for item in document["live"]]
    z_sq = [
        (item["temperature_c"] - item["weather_temperature_c"]) ** 2
        / (item["temperature_sigma_c"] ** 2 + item["weather_temperature_sigma_c"] ** 2)
        for item in document["live"]
    ]
    lines += [
        "",
        (
            f"Sound less weather: {np.mean(off_c):+.1f} °C in the mean, "
            f"{math.sqrt(float(np.mean(np.square(off_c)))):.1f} °C rms, {math.sqrt(float(np.mean(z_sq))):.2f} in units "
            "of the two errors together (weather taken as good to 1 °C)."
        ),
        "The first observation of a place is compared. Axes of a place's frame are taken as east and north.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    live = live_rows() if DATA.is_dir() else []
    document = {
        "benchmark": "sound_speed",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "rows": [made_up_row(name, case, arguments.networks) for name, case in CASES.items()],
        "live": live,
    }
    write_results(arguments.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
