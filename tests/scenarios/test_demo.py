"""``shotline demo --once``: simulated sound, ten real node processes, a real server, every shot within its CEP95."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.records import ALERT_NOTICE, EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc
from shotline.units import NS_PER_S
from shotline_recordings.dataset import Scene, TruthEvent
from shotline_replay.demo import verdict

MAIN = "from shotline.cli import main; main()"
EPOCH_NS = 1_800_000_000 * NS_PER_S


@pytest.mark.processes
def test_demo_once_ends_by_itself_and_well(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "demo", "--once", "--pace", "1.5"],
        capture_output=True,
        text=True,
        timeout=140.0,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every shot found within its CEP95; no alert for anything else." in done.stdout
    assert re.search(r"Live page: http://127\.0\.0\.1:\d+/", done.stdout)
    assert "10 node processes connected" in done.stdout
    assert not list(tmp_path.iterdir())


def event(name: str, rounds: int, x_m: float, after_s: int, kind: str = "gunshot") -> TruthEvent:
    times_ns = tuple(EPOCH_NS + (after_s * 10 + 5 * number) * NS_PER_S // 10 for number in range(rounds))
    return TruthEvent(name, x_m, 0.0, 0.0, 0.0, rounds, times_ns, (times_ns[0], times_ns[-1] + 5 * NS_PER_S), kind)


def answer(truth: TruthEvent, *, off_m: float = 2.0, identity: str = "", state: str = "revised") -> IncidentRecord:
    covariance, ellipse = ((4.0, 0.0), (0.0, 4.0)), EllipseRecord(semi_major_m=5.0, semi_minor_m=5.0, orientation_deg=0)
    shots = tuple(
        ShotRecord(
            time_utc=format_utc(time_ns),
            x_m=truth.x_m + off_m,
            y_m=0.0,
            covariance_m2=covariance,
            ellipse95=ellipse,
            cep50_m=2.4,
            cep95_m=5.0,
            gdop=1.0,
            rms_residual_s=0.001,
            probability=0.9,
            arrivals=(),
        )
        for time_ns in truth.shot_times_ns
    )
    return IncidentRecord(
        id=identity or truth.event,
        revision=1,
        state=state,
        time_utc=shots[0].time_utc,
        last_time_utc=shots[-1].time_utc,
        as_of_utc=shots[-1].time_utc,
        rounds=len(shots),
        x_m=truth.x_m + off_m,
        y_m=0.0,
        covariance_m2=covariance,
        ellipse95=ellipse,
        cep50_m=2.4,
        cep95_m=5.0,
        probability=0.9,
        shots=shots,
        notice=ALERT_NOTICE,
    )


ONE, THREE = event("one", 1, 0.0, 5), event("three", 3, 200.0, 30)
BANG = event("bang", 0 + 1, 400.0, 50, kind="impact")
SCENE = Scene("block", None, (Site("n", 0.0, 0.0),), WeatherTimeline.constant(Weather()), truth=(ONE, THREE, BANG))


def test_verdict_on_a_run_that_did_what_it_must() -> None:
    assert verdict(SCENE, [answer(ONE), answer(THREE)]) == []


@pytest.mark.parametrize(
    ("revisions", "problem"),
    [
        ([answer(ONE)], "three: 3 rounds fired, nothing reported"),
        ([answer(ONE, off_m=6.0), answer(THREE)], "one: 6.0 m off, outside its CEP95"),
        ([answer(ONE), answer(replace(THREE, shot_times_ns=THREE.shot_times_ns[:2]))], "three: 2 of 3 rounds found"),
        ([answer(ONE), answer(THREE), answer(BANG)], "an alert for something else at x 402 m"),
        ([answer(ONE), answer(THREE), answer(BANG, state="retracted")], "an alert for something else at x 402 m"),
    ],
)
def test_verdict_names_what_is_not_as_it_should_be(revisions: list[IncidentRecord], problem: str) -> None:
    assert any(item.startswith(problem) for item in verdict(SCENE, revisions)), verdict(SCENE, revisions)


def test_a_first_guess_that_was_taken_back_is_forgiven() -> None:
    guess = answer(ONE, off_m=300.0, identity="guess", state="retracted")
    assert verdict(SCENE, [guess, answer(ONE), answer(THREE)]) == []
    standing = msgspec.structs.replace(guess, state="provisional")
    assert verdict(SCENE, [standing, answer(ONE), answer(THREE)]) != []


def test_an_incident_that_was_taken_back_is_missing() -> None:
    back = msgspec.structs.replace(answer(ONE), revision=2, state="retracted")
    assert "one: 1 round fired, nothing reported" in verdict(SCENE, [answer(ONE), back, answer(THREE)])
