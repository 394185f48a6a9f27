"""Speed of sound and wind from impulses: exact without noise, within its sigma with it, beside the weather."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from survey_files import START_NS, known_text, write_survey
from survey_samples import Truth, made_up
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey
from shotline.atmosphere import Weather, WeatherTimeline, speed_of_sound_mps
from shotline.domain import Site
from shotline.errors import InputError
from shotline_calibration.cli import app
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse, KnownPlace
from shotline_calibration.recordbook import RecordBook
from shotline_calibration.self_survey.prepare import Prepared, PrepareSettings, prepare
from shotline_calibration.self_survey.problem import SelfSurvey
from shotline_calibration.sound_speed.result import SoundSpeedResult
from shotline_calibration.sound_speed.solve import effective_temperature_c, heard_air, paths_of

RUN = CliRunner()
RIGHT_CLOCKS = PrepareSettings(clock_sigma_s=1e-6, shared_delay_s=0.0, vague_air=True)


def heard_of(truth: Truth) -> list[HeardImpulse]:
    """Return what the made-up network heard, with the places that are known."""
    found = []
    for impulse in truth.impulses:
        arrivals = sorted(
            (START_NS + round(time_s * 1e9), truth.nodes[node].node, sigma_s)
            for node, time_s, sigma_s in zip(impulse.nodes, impulse.arrival_s, impulse.sigma_s, strict=True)
        )
        place = None
        if impulse.place_m is not None:
            place = KnownPlace(impulse.name, *impulse.place_m, impulse.place_sigma_m[0], impulse.place_sigma_m[2])
        heard = tuple(HeardArrival(node, time_ns, sigma_s) for time_ns, node, sigma_s in arrivals)
        found.append(HeardImpulse(impulse.name, heard, place))
    return found


def solved(truth: Truth, weather: Weather, settings: PrepareSettings) -> tuple[SoundSpeedResult, Prepared, SelfSurvey]:
    sites = [Site(node.node, node.x_m, node.y_m, node.z_m, node.sigma_m) for node in truth.nodes]
    prepared = prepare(sites, heard_of(truth), WeatherTimeline.constant(weather), settings)
    found, survey = heard_air(prepared, settings)
    return found, prepared, survey


def test_the_effective_temperature_undoes_the_speed_of_sound() -> None:
    for temperature_c in (-30.0, 0.0, 19.5, 45.0):
        assert effective_temperature_c(speed_of_sound_mps(temperature_c)) == pytest.approx(temperature_c, abs=1e-9)


def test_without_errors_the_air_is_exact() -> None:
    truth = made_up(2, known=30, impulses=30, path_sigma_s=1e-9, detours=0.0, clock_sigma_s=1e-9, survey_sigma_m=1e-4)
    exact = [
        replace(impulse, place_m=tuple(float(v) for v in place), place_sigma_m=(0.001, 0.001, 0.001))
        for impulse, place in zip(truth.impulses, truth.place_m, strict=True)
    ]
    found, _, survey = solved(replace(truth, impulses=exact), Weather(temperature_c=5.0), RIGHT_CLOCKS)
    # Picks of 0.3 ms over some 250 paths of half a kilometre: 0.3 ms / 1.5 s / sqrt(250) of 343 m/s is 4 mm/s.
    assert survey.speed_mps[0] == pytest.approx(truth.speed_mps, abs=0.03)
    air = found.airs[0]
    assert air.speed_of_sound_sigma_mps < 0.05
    assert air.speed_told
    assert air.wind_told


def test_the_weather_that_was_agrees_and_another_does_not() -> None:
    truth = made_up(5, known=20, survey_sigma_m=0.05, clock_sigma_s=1e-5)
    was = Weather(
        temperature_c=effective_temperature_c(truth.speed_mps),
        wind_speed_mps=math.hypot(2.0, 1.0),
        wind_from_deg=math.degrees(math.atan2(-2.0, 1.0)) % 360.0,
        temperature_sigma_c=0.5,
        wind_sigma_mps=1.0,
    )
    found, prepared, survey = solved(truth, was, RIGHT_CLOCKS)
    assert found.airs[0].agrees
    assert abs(found.airs[0].temperature_c - was.temperature_c) < 4.0 * found.airs[0].temperature_sigma_c < 2.0
    assert found.degree_costs_m == pytest.approx(0.85, abs=0.02)
    cold = replace(was, temperature_c=was.temperature_c - 8.0)
    off, _, _ = solved(truth, cold, RIGHT_CLOCKS)
    assert not off.airs[0].agrees
    assert "does NOT agree" in " ".join(off.sentences())
    assert off.weather_costs_m == pytest.approx(8.0 * off.degree_costs_m, rel=0.15)
    paths = paths_of(prepared, survey)
    assert len(paths.distance_m) == sum(int(used.sum()) for used in survey.used)
    # The air as found leaves less than the weather does.
    colder = paths_of(replace(prepared, weathers=(cold,)), survey)
    assert np.std(colder.residual_s) < 0.5 * np.std(colder.off_weather_s)
    # Cold air is slow: sound comes earlier than it would have it.
    assert colder.off_weather_s.mean() < -0.005


def test_unknown_bangs_tell_the_air_as_well() -> None:
    off_sigma = []
    for seed in range(4):
        truth = made_up(seed, survey_sigma_m=0.3, clock_sigma_s=1e-4)
        found, _, survey = solved(
            truth, Weather(temperature_c=15.0), PrepareSettings(clock_sigma_s=1e-4, vague_air=True)
        )
        off_sigma.append((survey.speed_mps[0] - truth.speed_mps) / found.airs[0].speed_of_sound_sigma_mps)
        assert found.airs[0].speed_of_sound_sigma_mps < 1.0
        assert found.airs[0].impulses_known == 0
    # Four draws of a normal distribution: beyond 3.5 only once in 500 runs; the seeds are fixed.
    assert max(abs(each) for each in off_sigma) < 3.5


def test_when_the_sound_tells_nothing_it_says_so() -> None:
    truth = made_up(1, impulses=3)
    found, _, _ = solved(truth, Weather(), PrepareSettings(clock_sigma_s=0.05, vague_air=True))
    assert not found.airs[0].wind_told
    assert "hardly tells it" in " ".join(found.sentences())


def test_hours_apart_are_airs_of_their_own() -> None:
    truth = made_up(4, impulses=24, survey_sigma_m=0.3, clock_sigma_s=1e-4)
    sites = [Site(node.node, node.x_m, node.y_m, node.z_m, node.sigma_m) for node in truth.nodes]
    hour_ns = 3_600_000_000_000
    heard = [
        replace(each, arrivals=tuple(replace(a, time_ns=a.time_ns + (number % 2) * 3 * hour_ns) for a in each.arrivals))
        for number, each in enumerate(heard_of(truth))
    ]
    weather = WeatherTimeline(
        [(START_NS, Weather(temperature_c=19.5)), (START_NS + 2 * hour_ns, Weather(temperature_c=9.0))]
    )
    settings = PrepareSettings(clock_sigma_s=1e-4, vague_air=True)
    found, _ = heard_air(prepare(sites, heard, weather, settings), settings)
    assert [air.weather_temperature_c for air in found.airs] == [19.5, 9.0]
    assert sum(air.impulses for air in found.airs) <= 24
    assert found.airs[0].from_utc.startswith("2026-12-01T00:")
    assert found.airs[1].from_utc.startswith("2026-12-01T03:")


def run(*words: object) -> str:
    done = RUN.invoke(app, ["sound-speed", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_files_to_a_record_and_a_plot(tmp_path: Path) -> None:
    truth = made_up(1, impulses=20, known=10)
    network, heard, known = write_survey(tmp_path, truth)
    SigningKey.new(tmp_path / "k")
    keep = ["--by", "Ann", "--sign-with", tmp_path / "k", "--records", tmp_path / "records"]
    plot = tmp_path / "plot.svg"
    words = ["--network", network, "--heard", heard, "--known", known, "--clock-sigma-ms", 5]
    text = run(*words, "--plot", plot, *keep)
    assert "the weather says 19.5 ± 2.0 °C" in text
    assert "1 °C wrong   is 0.85 m over 500 m" in text
    picture = plot.read_text(encoding="utf-8")
    assert 'id="paths"' in picture
    assert 'id="residuals"' in picture
    (signed,) = RecordBook.read(tmp_path / "records").records
    assert (signed.record.node, signed.record.kind, signed.record.procedure) == ("", "sound-speed", "sound speed 1")
    assert signed.record.result.site_settings("roof-01") == {}
    said = json.loads(run(*words, "--json"))
    air = said["result"]["airs"][0]
    assert air["impulses_known"] == known_text(truth).count("\n") - 1
    assert abs(air["speed_of_sound_mps"] - truth.speed_mps) < 4.0 * air["speed_of_sound_sigma_mps"]
    assert (said["record"], said["weather_is_assumed"]) == (None, False)
    assert "is not measured" not in text
    told_none = re.sub(r"\[weather\]\n(?:\w.*\n)+", "", network.read_text(encoding="utf-8"))
    network.write_text(told_none, encoding="utf-8")
    assert "weather      is not measured: it is what a server assumes that was told none" in run(*words)
    with pytest.raises(InputError, match="expected --heard FILE or --database URL"):
        run("--network", network)
