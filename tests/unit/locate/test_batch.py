"""Many shots at once: each has the bits that it has alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locate_samples import ORIGIN_NS, SQUARE, STILL, heard, random_array
from simulated import AIR, anywhere, simulate

from fusion_server.locate import ArrivalBatch, LocateSettings, locate, locate_batch
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, NoLocationReason

WINDY = Weather(temperature_c=3.0, wind_speed_mps=6.0, wind_from_deg=120.0, temperature_sigma_c=1.0, wind_sigma_mps=2.0)


def _pool() -> list[list[Arrival]]:
    """Return shots of every kind: plain, bent, two places, an echo, and each refusal."""
    rng = np.random.default_rng(17)
    plain = [
        heard(sites, rng.uniform(-400, 400, 2), late_s=rng.normal(0, 0.006, n_nodes))
        for n_nodes in (4, 5, 6, 8, 12, 20)
        for sites in [random_array(rng, n_nodes)]
    ]
    echo = heard(random_array(rng, 8), (50.0, 20.0), late_s={1: 0.2})
    again = replace(echo[0], uid=DetectionId("n00", 1, 2), time_ns=echo[0].time_ns + 10**8)
    outside = [heard(SQUARE, source, late_s={0: 0.004}) for source in ((600.0, 500.0), (-500.0, 900.0))]
    triangle = [heard(np.array([(0.0, 0.0), (400.0, 0.0), (100.0, 300.0)]), at) for at in ((160.0, 100.0), (-150, -60))]
    broken = heard(SQUARE, (130.0, 90.0))
    broken[1] = replace(broken[1], sigma_s=math.nan)
    late = heard(SQUARE, (130.0, 90.0), late_s={2: 500.0})
    line = heard(np.linspace(0.0, 900.0, 5)[:, None] * [0.6, 0.8], (100.0, 500.0))
    crowd = heard(np.array([(0.0, 0.0), (3.0, 3.0), (400.0, 0.0), (400.0, 4.0)]), (130.0, 90.0))
    apart = heard(SQUARE, (130.0, 90.0), late_s={0: 0.9, 2: 1.4})
    return [*plain, echo, [again, *echo], *outside, *triangle, broken, late, line, crowd, apart, line[:2], []]


POOL = _pool()
ALONE = {weather: [repr(locate(shot, weather=weather)) for shot in POOL] for weather in (STILL, WINDY)}


def test_the_pool_has_every_kind() -> None:
    found = [locate(shot, weather=STILL) for shot in POOL]
    reasons = {item.reason for item in found if not isinstance(item, Location)}
    assert reasons >= {
        NoLocationReason.TOO_FEW_NODES,
        NoLocationReason.BAD_INPUT,
        NoLocationReason.DEGENERATE_GEOMETRY,
        NoLocationReason.TWO_ROOTS,
    }
    assert any(isinstance(item, Location) and item.region95 for item in found)
    assert any(isinstance(item, Location) and not all(verdict.used for verdict in item.verdicts) for item in found)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(POOL) - 1), max_size=30), st.sampled_from([STILL, WINDY]), st.randoms())
def test_a_shot_has_the_same_bits_in_any_company(which: list[int], weather: Weather, random: object) -> None:
    shots = [random.sample(POOL[index], len(POOL[index])) for index in which]  # type: ignore[attr-defined]
    fixes = locate_batch(ArrivalBatch.of(shots), weather=weather)
    assert len(fixes.batch) == len(which)
    assert [repr(fixes.result(shot)) for shot in range(len(which))] == [ALONE[weather][index] for index in which]


def test_columns_agree_with_the_words() -> None:
    batch = ArrivalBatch.of(POOL)
    fixes = locate_batch(batch, weather=STILL)
    for shot in range(len(batch)):
        found = fixes.result(shot)
        assert fixes.located[shot] == isinstance(found, Location)
        assert (shot in fixes.cells) == bool(isinstance(found, Location) and found.region95)
        if isinstance(found, Location):
            assert tuple(fixes.place_m[shot]) == (found.x_m, found.y_m)
            assert fixes.covariance_m2[shot].tolist() == [list(row) for row in found.covariance_m2]
            assert math.isfinite(fixes.log_evidence[shot])
            rows = slice(batch.first[shot], batch.first[shot + 1])
            residuals = [verdict.residual_s for verdict in found.verdicts]
            np.testing.assert_array_equal(fixes.residual_s[rows], residuals)
        else:
            assert np.isnan(fixes.place_m[shot]).all()


def test_columns_that_were_never_arrivals_have_the_same_bits() -> None:
    batch = ArrivalBatch.of(POOL)
    bare = replace(batch, arrivals=())
    one, two = (locate_batch(each, weather=STILL) for each in (batch, bare))
    for name in ("status", "detail", "figures", "roots", "residual_s", "standardised", "bent"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_a_bad_row_of_columns_is_named_by_its_number() -> None:
    shots = simulate(np.random.default_rng(1), 2, 5, source=anywhere(200.0)).batch
    shots.sigma_s[5 + 2] = -1.0
    fixes = locate_batch(shots, weather=AIR)
    assert fixes.located.tolist() == [True, False]
    assert fixes.result(1).detail.startswith("arrival number 2 has a value that is not finite (site ")  # type: ignore[union-attr]


def test_what_the_columns_hold() -> None:
    arrivals = heard(np.column_stack([SQUARE, [1.0, 2.0, 3.0, 4.0]]), (130.0, 90.0, 0.0))
    arrivals[0] = replace(arrivals[0], snr_db=31.0, level_db=-12.0, sigma_s=0.002)
    batch = ArrivalBatch.of([[], arrivals, arrivals[:1]])
    assert batch.first.tolist() == [0, 0, 4, 5]
    assert len(batch) == 3
    ordered = sorted(arrivals, key=lambda item: item.time_ns)
    assert batch.arrivals == ((), tuple(ordered), tuple(arrivals[:1]))
    assert batch.time_ns[:4].tolist() == [item.time_ns for item in ordered]
    assert batch.time_ns.min() >= ORIGIN_NS
    assert batch.site_m[4].tolist() == [0.0, 0.0, 1.0]
    assert (batch.snr_db[4], batch.level_db[4], batch.sigma_s[4], batch.site_sigma_m[4]) == (31.0, -12.0, 0.002, 1.0)
    assert batch.node[4] == batch.node[ordered.index(arrivals[0])]


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "location.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(example, "docs/location.md", "exec"), {})
    said = capsys.readouterr().out
    # Its times are to the millisecond, 0.3 m of range.
    assert said.startswith("[[130.  90.]\n [300. 180.]]\nEllipse(semi_major_m=")


def test_no_shots_at_all() -> None:
    fixes = locate_batch(ArrivalBatch.of([]), weather=STILL)
    assert len(fixes.batch) == 0
    assert fixes.place_m.shape == (0, 2)
    assert fixes.cells == {}


def test_inputs_are_left_as_they_were() -> None:
    batch = simulate(np.random.default_rng(1), 3, 5, source=anywhere(200.0)).batch
    batch.site_m[:, 2] = 9.0
    before = {name: getattr(batch, name).copy() for name in ("site_m", "time_ns", "sigma_s", "node")}
    locate_batch(batch, weather=AIR, settings=LocateSettings())
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(batch, name), value, err_msg=name)


@pytest.mark.parametrize("n_nodes", [6, 9])
def test_evidence_falls_when_arrivals_contradict_each_other(n_nodes: int) -> None:
    sites = random_array(np.random.default_rng(n_nodes), n_nodes)
    late_s = np.where(np.arange(n_nodes) % 2, 0.012, -0.012)
    agreeing, quarrelling = (heard(sites, (30.0, 20.0), late_s=late_s * scale) for scale in (0.0, 1.0))
    fixes = locate_batch(ArrivalBatch.of([agreeing, quarrelling]), weather=STILL)
    assert fixes.log_evidence[0] > fixes.log_evidence[1] + 0.1
