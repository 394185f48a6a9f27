"""Muzzle blast and N-wave of the simulator beside pygunshot's, for the five handguns of its reference file.

    python benchmarks/simulator_sources.py [--reference ../shared/data/reference/pygunshot.json]
        [--out benchmarks/results/simulator_sources]

Twice: with pygunshot's own inputs (its chamber pressure in place of a muzzle pressure, its scale of the length), which
compares the formulas; and with the table of weapons, which compares the sounds. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from results_files import write_results

from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.bullet import Flight
from shotline_recordings.simulate.weapons import weapon
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT.parent / "shared" / "data" / "reference" / "pygunshot.json"
RESULTS = ROOT / "benchmarks" / "results" / "simulator_sources"

PRESSURE_PA = 101e3
"""pygunshot's."""
IDS = {
    "300 Short Magnum": "short-magnum-300",
    "Browning BDA 380": "browning-bda-380",
    "Glock 19c": "glock-19",
    "Glock 21": "glock-21",
    "Rossi Magnum R971": "rossi-r971",
}
TO_A_MILLIONTH = 16.555
"""Positive phases until (u - 1) exp(-u) is 1e-6: where the reference lets a muzzle blast end."""

EXPLANATIONS = """\
- **Same inputs.** The reference read its figures off samples some microseconds apart. It misses the peak of a jump by
  up to twice a step over the positive phase (0.2 to 0.7 % of a blast, 1 to 2 % of an N-wave) and finds the arrival late
  by up to one step; the trough, which is no jump, agrees to 1e-4. Its total duration ends where the wave has fallen to
  1e-6 of the peak, at 16.56 positive phases. Nothing else differs: the formulas are the same.
- **pygunshot's inputs.** What it calls muzzle pressure is a maximum chamber pressure (Glock 19: 2460 kg/cm², 241 MPa;
  a 9 mm pistol has some 30 MPa at the muzzle). Its scaling length divides by the ambient pressure twice and multiplies
  by a constant of 10: 0.0315 of the length of Fansler's equations 2 and 3. Together the two come out near measured
  levels: one metre beside a Glock 19 at 161.4 dB.
- **Our table.** Muzzle pressure from the charge by a balance of energy, sonic outflow, and the scale from levels
  measured one metre beside the muzzle (0.085 of Fansler's length where none is known). At the same level beside the
  muzzle, our blast is louder ahead of it, where the reference microphone stands: its momentum index is that of the gas
  as it leaves (0.75 to 0.79), not of a chamber pressure (0.54 to 0.67). The stronger wave is longer, and earlier.
- **N-wave of our table.** The bullet slows down on the few metres before it sends what the microphone hears, and its
  rays spread; at Mach 1.06 that takes 16 % off the peak, at Mach 1.14 4 %. pygunshot keeps the muzzle velocity.
"""


def as_pygunshot(gun: dict[str, float], sound_mps: float, barrel: tuple[float, float, float]) -> MuzzleBlast:
    """Return the blast by pygunshot's inputs."""
    share, mach = gun["pexit"] * 98_066.5 / PRESSURE_PA, gun["velocity"] / sound_mps
    flux = 1.24 / 0.24 * share * gun["velocity"] * (1.0 + 0.12 * mach**2) * math.pi * gun["bulletDiam"] ** 2 / 4.0
    return MuzzleBlast(
        scaling_length_m=10.0 * math.sqrt(flux / (PRESSURE_PA * sound_mps)),
        momentum_index=0.83 - 0.0063 * mach * math.sqrt(0.62 * share),
        barrel_length_m=gun["barrelLen"],
        muzzle_velocity_mps=gun["velocity"],
        barrel_enu=barrel,
        speed_of_sound_mps=sound_mps,
        ambient_pressure_pa=PRESSURE_PA,
    )


def blast_figures(blast: MuzzleBlast, ray_m: np.ndarray) -> dict[str, float]:
    """Return what the reference states of a blast, at the end of a ray."""
    distance_m = np.array([np.linalg.norm(ray_m)])
    direction = (ray_m / distance_m)[None]
    peak_pa = float(blast.peak_pa(distance_m, direction)[0])
    phase_s = float(blast.positive_phase_s(distance_m, direction)[0])
    early_s = float(blast.early_s(distance_m, direction)[0])
    return {
        "arrival_s": float(distance_m[0]) / blast.speed_of_sound_mps - early_s,
        "peak_pa": peak_pa,
        "trough_pa": -peak_pa * math.exp(-2.0),
        "positive_phase_s": phase_s,
        "total_duration_s": TO_A_MILLIONTH * phase_s,
    }


def shock_figures(flight: Flight, microphone_m: np.ndarray) -> dict[str, float] | None:
    """Return what the reference states of an N-wave at a microphone."""
    shock = flight.shocks(microphone_m[None])
    if not shock.heard[0]:
        return None
    return {
        "arrival_s": float(shock.arrival_time_s[0]),
        "peak_pa": float(shock.peak_pa[0]),
        "trough_pa": -float(shock.peak_pa[0]),
        "positive_phase_s": 0.5 * float(shock.duration_s[0]),
        "total_duration_s": float(shock.duration_s[0]),
    }


def beside(ours: dict[str, float] | None, theirs: dict[str, float] | None) -> dict[str, Any] | None:
    """Return our figures, and over theirs; of arrivals the difference."""
    if ours is None or theirs is None:
        return None if ours is None and theirs is None else {"ours": ours, "reference": theirs}
    ratios = {name: round(ours[name] / theirs[name], 4) for name in ours if name != "arrival_s"}
    late_us = round((ours["arrival_s"] - theirs["arrival_s"]) * 1e6, 1)
    return {"ours": {name: float(f"{value:.6g}") for name, value in ours.items()}, "ratio": ratios, "late_us": late_us}


def compare(entry: dict[str, Any]) -> dict[str, Any]:
    """Return both comparisons of one gun."""
    gun, geometry, sound_mps = entry["gun"], entry["geometry"], entry["csnd"]
    muzzle_m, microphone_m = np.array(geometry["xgun"]), np.array(geometry["xmic"])
    barrel = tuple(float(value) for value in np.array(geometry["ngun"]) / np.linalg.norm(geometry["ngun"]))
    arm = weapon(IDS[gun["gunlabel"]])
    azimuth_deg = math.degrees(math.atan2(barrel[0], barrel[1]))
    ours = MuzzleBlast.of(arm, azimuth_deg=azimuth_deg, speed_of_sound_mps=sound_mps, ambient_pressure_pa=PRESSURE_PA)
    place = {"muzzle_enu_m": tuple(muzzle_m.tolist()), "barrel_enu": barrel, "ambient_pressure_pa": PRESSURE_PA}
    steady = Flight(
        calibre_m=gun["bulletDiam"],
        length_m=gun["bulletLen"],
        muzzle_velocity_mps=gun["velocity"],
        ballistic_coefficient_kg_m2=math.inf,
        speed_of_sound_mps=sound_mps,
        **place,
    )
    slowing = Flight.of(arm, speed_of_sound_mps=sound_mps, **place)
    ray_m = microphone_m - muzzle_m
    return {
        "gun": gun["gunlabel"],
        "weapon": arm.id,
        "muzzle_blast": {
            "reference": entry["muzzle_blast"],
            "same_inputs": beside(blast_figures(as_pygunshot(gun, sound_mps, barrel), ray_m), entry["muzzle_blast"]),
            "our_table": beside(blast_figures(ours, ray_m), entry["muzzle_blast"]),
        },
        "n_wave": {
            "reference": entry["n_wave"],
            "same_inputs": beside(shock_figures(steady, microphone_m), entry["n_wave"]),
            "our_table": beside(shock_figures(slowing, microphone_m), entry["n_wave"]),
        },
    }


def table(rows: list[dict[str, Any]], wave: str, inputs: str) -> str:
    """Return one comparison as a table of ratios."""
    lines = [
        "| gun | reference peak | peak | trough | positive phase | total duration | arrival |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        found = row[wave][inputs]
        if found is None:
            lines.append(f"| {row['gun']} | none | none in both: slower than sound | | | | |")
            continue
        ratio = found["ratio"]
        lines.append(
            f"| {row['gun']} | {row[wave]['reference']['peak_pa']:.1f} Pa | {ratio['peak_pa']:.3f} "
            f"| {ratio['trough_pa']:.3f} | {ratio['positive_phase_s']:.3f} | {ratio['total_duration_s']:.3f} "
            f"| {found['late_us']:+.1f} us |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not arguments.reference.is_file():
        raise SystemExit(f"pygunshot's figures are not at {arguments.reference}; say where with --reference")
    rows = [compare(entry) for entry in json.loads(arguments.reference.read_text(encoding="utf-8"))]
    software = describe_software()
    commit = f"{(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}"
    heading = f"""Commit {commit}. Made by `python benchmarks/simulator_sources.py`.
Ratios are ours over the reference; arrivals ours minus the reference, positive is late. One microphone, 19.4 m away,
11 degrees off the barrel."""
    text = "\n\n".join(
        [
            "# Sources of the simulator beside pygunshot",
            heading,
            "## Muzzle blast, same inputs",
            table(rows, "muzzle_blast", "same_inputs"),
            "## Muzzle blast, our table of weapons",
            table(rows, "muzzle_blast", "our_table"),
            "## N-wave, same inputs",
            table(rows, "n_wave", "same_inputs"),
            "## N-wave, our table of weapons",
            table(rows, "n_wave", "our_table"),
            "## Why they differ",
            EXPLANATIONS,
        ]
    )
    document = {
        "benchmark": "simulator_sources",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "rows": rows,
    }
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
