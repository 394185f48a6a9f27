"""The locator: noise-free in, noise-free out; every root, every refusal, every reason."""

from __future__ import annotations

import dataclasses
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from locate_samples import EXACT_M, ORIGIN_NS, SQUARE, STILL, heard, random_array
from simulated import AIR, anywhere, simulate

import fusion_server.locate
from fusion_server.locate import Height, LocateSettings, locate, locate_batch
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, NoLocation, NoLocationReason, Root
from shotline.propagation import travel_time_s

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
SEEDS = st.integers(0, 2**32 - 1)
OCTAGON = np.array([(450.0 * math.cos(a), 450.0 * math.sin(a)) for a in np.arange(8) * math.pi / 4 + 0.2])
WINDY = Weather(temperature_c=22.0, wind_speed_mps=5.0, wind_from_deg=230.0)


def fix(arrivals: list[Arrival], *, weather: Weather = STILL, **changes: object) -> Location:
    found = locate(arrivals, weather=weather, settings=LocateSettings(**changes))
    assert isinstance(found, Location), found
    return found


def refusal(arrivals: list[Arrival], *, weather: Weather = STILL, **changes: object) -> NoLocation:
    found = locate(arrivals, weather=weather, settings=LocateSettings(**changes))
    assert isinstance(found, NoLocation), found
    return found


def place(found: Location | Root) -> tuple[float, float]:
    return found.x_m, found.y_m


def explains(root: Root, arrivals: list[Arrival], weather: Weather = STILL) -> float:
    """Return the worst disagreement of a root with the arrivals, in metres."""
    sites = np.array([(arrival.site.x_m, arrival.site.y_m) for arrival in arrivals])
    speed = weather.speed_of_sound_mps
    travel_s = travel_time_s(
        np.array(place(root)), sites, speed_of_sound_mps=speed, wind_mps=np.array(weather.wind_enu_mps)
    )
    observed_s = np.array([arrival.time_ns - root.origin_time_ns for arrival in arrivals]) / 1e9
    return float(np.abs(observed_s - travel_s).max()) * speed


def test_public_names_exist() -> None:
    assert all(hasattr(fusion_server.locate, name) for name in fusion_server.locate.__all__)


class TestNoiseFree:
    @pytest.mark.parametrize("source", [(130.0, 90.0), (200.0, 150.0), (-250.0, 380.0), (0.5, 0.5), (390.0, 700.0)])
    @pytest.mark.parametrize("weather", [STILL, WINDY, Weather(temperature_c=-20.0, wind_speed_mps=12.0)])
    def test_the_answer_is_exact(self, source: tuple[float, float], weather: Weather) -> None:
        arrivals = heard(SQUARE, source, weather=weather)
        found = fix(arrivals, weather=weather)
        # The dilution multiplies half a nanosecond of range; inside the array it is about 1.
        assert place(found) == pytest.approx(source, abs=EXACT_M * max(1.0, found.gdop))
        # EXACT_M of sound is 3 ns.
        assert found.origin_time_ns == pytest.approx(ORIGIN_NS, abs=3 * max(1.0, found.gdop))
        assert found.rms_residual_s < 3e-9
        assert found.z_m is None
        assert all(verdict.used and verdict.reason == "" for verdict in found.verdicts)
        assert [verdict.arrival for verdict in found.verdicts] == sorted(arrivals, key=lambda item: item.time_ns)

    def test_on_top_of_a_node(self) -> None:
        assert place(fix(heard(SQUARE, (0.0, 0.0)))) == pytest.approx((0.0, 0.0), abs=EXACT_M)

    @QUIET
    @given(SEEDS, st.integers(5, 10))
    def test_random_arrays(self, seed: int, n_nodes: int) -> None:
        rng = np.random.default_rng(seed)
        sites, source = random_array(rng, n_nodes), rng.uniform(-500, 500, 2)
        found = fix(heard(sites, source, weather=WINDY), weather=WINDY)
        # Half a nanosecond of range times the dilution of this array; 1 at least.
        assert place(found) == pytest.approx(tuple(source), abs=EXACT_M * max(1.0, found.gdop))

    def test_known_height_uses_slant_ranges(self) -> None:
        sites = np.column_stack([SQUARE, [10.0, 25.0, 4.0, 18.0]])
        source = (130.0, 90.0, 60.0)
        arrivals = heard(sites, source, weather=WINDY)
        found = fix(arrivals, weather=WINDY, height=Height.KNOWN, height_m=60.0)
        assert place(found) == pytest.approx(source[:2], abs=EXACT_M)
        assert found.z_m == 60.0
        assert found.rms_residual_s < 3e-9
        # The same arrivals taken as planar are metres off: the option is used.
        assert math.dist(place(fix(arrivals, weather=WINDY)), source[:2]) > 0.5

    def test_free_height_finds_it_on_an_array_that_is_not_flat(self) -> None:
        sites = np.column_stack([OCTAGON, [0.0, 120.0, 10.0, 150.0, 5.0, 90.0, 0.0, 60.0]])
        source = (80.0, -60.0, 31.0)
        # The prior holds height, so a wide one and the exact centre of none: it pulls by sigma_z² / height_sigma².
        found = fix(heard(sites, source), height=Height.FREE, height_m=30.0, height_sigma_m=1e5)
        assert found.z_m is not None
        assert (*place(found), found.z_m) == pytest.approx(source, abs=1e-5)

    def test_free_height_with_the_prior_at_the_truth_is_exact(self) -> None:
        sites = np.column_stack([OCTAGON, [0.0, 12.0, 10.0, 15.0, 5.0, 9.0, 0.0, 6.0]])
        found = fix(heard(sites, (80.0, -60.0, 31.0)), height=Height.FREE, height_m=31.0)
        assert found.z_m == pytest.approx(31.0, abs=1e-5)
        assert place(found) == pytest.approx((80.0, -60.0), abs=EXACT_M)

    def test_free_height_on_a_flat_array_stays_with_the_prior(self) -> None:
        sites = np.column_stack([OCTAGON, np.zeros(8)])
        found = fix(heard(sites, (80.0, -60.0, 12.0)), height=Height.FREE, height_m=10.0, height_sigma_m=5.0)
        assert found.z_m is not None
        assert abs(found.z_m - 10.0) < 5.0
        assert math.dist(place(found), (80.0, -60.0)) < 0.5


class TestWind:
    def test_ignored_costs_metres_and_used_costs_nothing(self) -> None:
        windy = Weather(wind_speed_mps=5.0, wind_from_deg=270.0)
        source = (900.0, 150.0)
        arrivals = heard(SQUARE, source, weather=windy)
        assert place(fix(arrivals, weather=windy)) == pytest.approx(source, abs=2e-5)
        assert math.dist(place(fix(arrivals, weather=Weather())), source) > 3.0

    def test_the_sign_counts(self) -> None:
        arrivals = heard(OCTAGON, (100.0, 30.0), weather=Weather(wind_speed_mps=5.0, wind_from_deg=270.0))
        opposite = fix(arrivals, weather=Weather(wind_speed_mps=5.0, wind_from_deg=90.0))
        ignored = fix(arrivals, weather=Weather())
        wrong_m, none_m = (math.dist(place(found), (100.0, 30.0)) for found in (opposite, ignored))
        # Air that moves by w during the flight shifts the fix by about w t: the wrong sign shifts it twice as far.
        assert wrong_m == pytest.approx(2.0 * none_m, rel=0.05)


class TestSymmetry:
    """Shift, rotate, relabel or mirror the array: the answer moves with it."""

    @QUIET
    @given(SEEDS, st.integers(4, 9), st.floats(-math.pi, math.pi), st.booleans())
    def test_noisy_answer_moves_with_the_array(self, seed: int, n_nodes: int, angle: float, mirrored: bool) -> None:
        rng = np.random.default_rng(seed)
        sites, source = random_array(rng, n_nodes), rng.uniform(-300, 300, 2)
        late_s = rng.normal(0.0, 0.003, n_nodes)
        before = locate(heard(sites, source, late_s=late_s), weather=STILL)
        assume(isinstance(before, Location) and not before.alternatives and before.gdop < 4.0)
        assert isinstance(before, Location)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turn = turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
        shift = rng.uniform(-5000, 5000, 2)
        names = [f"x{index}" for index in rng.permutation(n_nodes)]
        after = locate(heard(sites @ turn.T + shift, turn @ source + shift, late_s=late_s, names=names), weather=STILL)
        assert isinstance(after, Location)
        # Steps stop below 1e-6 m; reweighting converges at a fixed rate, which leaves a few of the last steps.
        assert place(after) == pytest.approx(tuple(turn @ place(before) + shift), abs=1e-4)
        assert after.cep95_m == pytest.approx(before.cep95_m, rel=1e-5)
        assert after.gdop == pytest.approx(before.gdop, rel=1e-5)
        np.testing.assert_allclose(
            after.covariance_m2, turn @ before.covariance_m2 @ turn.T, atol=1e-4 * before.cep95_m**2
        )
        assert abs(after.origin_time_ns - before.origin_time_ns) < 300

    def test_wind_turns_with_it(self) -> None:
        late_s = [0.002, -0.003, 0.001, 0.004, 0.0, -0.002, 0.003, -0.001]
        before = fix(heard(OCTAGON, (120.0, -40.0), weather=WINDY, late_s=np.array(late_s)), weather=WINDY)
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        turned = dataclasses.replace(WINDY, wind_from_deg=WINDY.wind_from_deg - 90.0)
        arrivals = heard(OCTAGON @ quarter.T, (40.0, 120.0), weather=turned, late_s=np.array(late_s))
        assert place(fix(arrivals, weather=turned)) == pytest.approx(tuple(quarter @ place(before)), abs=1e-4)

    def test_another_instant_changes_the_instant_only(self) -> None:
        arrivals = heard(OCTAGON, (120.0, -40.0), late_s=np.linspace(-0.004, 0.004, 8))
        later = [dataclasses.replace(item, time_ns=item.time_ns + 10**17 + 7) for item in arrivals]
        before, after = fix(arrivals), fix(later)
        assert place(after) == place(before)
        assert after.origin_time_ns == before.origin_time_ns + 10**17 + 7

    @pytest.mark.parametrize("n_nodes", [3, 4])
    def test_every_order_of_the_arrivals_gives_the_same_bits(self, n_nodes: int) -> None:
        arrivals = heard(SQUARE[:n_nodes], (150.0, 120.0), late_s=np.array([0.004, -0.002, 0.001, 0.003])[:n_nodes])
        answers = {repr(locate(order, weather=STILL)) for order in permutations(arrivals)}
        assert len(answers) == 1

    @QUIET
    @given(SEEDS, st.permutations(range(8)))
    def test_any_order_of_eight_gives_the_same_bits(self, seed: int, order: list[int]) -> None:
        rng = np.random.default_rng(seed)
        arrivals = heard(OCTAGON, rng.uniform(-400, 400, 2), late_s=rng.normal(0, 0.01, 8))
        assert repr(locate([arrivals[i] for i in order], weather=STILL)) == repr(locate(arrivals, weather=STILL))


class TestThreeNodes:
    sites = np.array([(0.0, 0.0), (400.0, 0.0), (100.0, 300.0)])

    def test_one_root_is_located(self) -> None:
        found = fix(heard(self.sites, (160.0, 100.0)))
        assert place(found) == pytest.approx((160.0, 100.0), abs=EXACT_M)
        assert found.alternatives == ()

    @pytest.mark.parametrize("weather", [STILL, WINDY])
    def test_two_roots_are_both_reported_and_both_explain_the_arrivals(self, weather: Weather) -> None:
        # Behind a node a second place has the same time differences.
        source = (-150.0, -60.0)
        arrivals = heard(self.sites, source, weather=weather)
        found = refusal(arrivals, weather=weather)
        assert found.reason is NoLocationReason.TWO_ROOTS
        assert found.detail == "three nodes leave 2 places that explain them exactly; a fourth node decides"
        assert len(found.roots) == 2
        assert sum(root.weight for root in found.roots) == pytest.approx(1.0, abs=1e-12)
        assert found.roots[0].weight >= found.roots[1].weight > 0.0
        assert min(math.dist(place(root), source) for root in found.roots) < 1e-5
        assert math.dist(place(found.roots[0]), place(found.roots[1])) > 20.0
        # Whole nanoseconds again.
        assert all(explains(root, arrivals, weather) < EXACT_M for root in found.roots)

    def test_a_fourth_node_decides(self) -> None:
        source = (-150.0, -60.0)
        found = fix(heard(np.vstack([self.sites, (-300.0, 250.0)]), source))
        assert place(found) == pytest.approx(source, abs=1e-5)
        assert found.alternatives == ()

    def test_times_that_no_place_explains_are_refused(self) -> None:
        # 300 m between two nodes cannot give 1.0 s of delay.
        arrivals = heard(self.sites, (160.0, 100.0), late_s={2: 1.5})
        found = refusal(arrivals)
        assert found.reason is NoLocationReason.NO_ROOT
        assert found.detail == (
            "no place explains the arrival times of these 3 nodes; a time, a site or an echo is wrong"
        )

    @QUIET
    @given(SEEDS)
    def test_the_truth_is_the_fix_or_among_the_roots(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sites, source = random_array(rng, 3), rng.uniform(-600, 600, 2)
        arrivals = heard(sites, source)
        found = locate(arrivals, weather=STILL)
        if isinstance(found, NoLocation) and found.reason is NoLocationReason.DEGENERATE_GEOMETRY:
            return
        roots = found.roots if isinstance(found, NoLocation) else (Root(*place(found), found.origin_time_ns),)
        assert roots, found
        near_m = min(math.dist(place(root), source) for root in roots)
        # A double root turns the error of the times into its square root: sqrt(1e-7 m * 1 km) = 1 cm.
        assert near_m < 0.05, found
        assert all(explains(root, arrivals) < 1e-4 for root in roots)


class TestRefused:
    @pytest.mark.parametrize("n_nodes", [0, 1, 2])
    def test_too_few_nodes(self, n_nodes: int) -> None:
        found = refusal(heard(SQUARE, (130.0, 90.0))[:n_nodes])
        assert found == NoLocation(
            NoLocationReason.TOO_FEW_NODES, f"{n_nodes} node(s) heard it; a fix in the plane needs 3"
        )

    def test_one_node_over_and_over(self) -> None:
        first = heard(SQUARE, (130.0, 90.0))[0]
        again = [
            dataclasses.replace(first, uid=DetectionId("n00", 1, index), time_ns=first.time_ns + index * 10**7)
            for index in range(5)
        ]
        assert refusal(again).detail == "1 node(s) heard it; a fix in the plane needs 3"

    @pytest.mark.parametrize("n_nodes", [3, 4, 6])
    @pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2])
    def test_nodes_on_a_line(self, n_nodes: int, angle: float) -> None:
        along = np.linspace(0.0, 900.0, n_nodes)[:, None] * [math.cos(angle), math.sin(angle)]
        found = refusal(heard(along + 1000.0, (1200.0, 900.0)))
        assert found == NoLocation(
            NoLocationReason.DEGENERATE_GEOMETRY,
            f"the {n_nodes} nodes stand on a line; both sides of it explain the sound equally well",
        )

    def test_nodes_in_the_same_place_count_once(self) -> None:
        sites = np.array([(0.0, 0.0), (3.0, 3.0), (400.0, 0.0), (400.0, 4.0)])
        assert refusal(heard(sites, (130.0, 90.0))) == NoLocation(
            NoLocationReason.DEGENERATE_GEOMETRY,
            "4 nodes stand at 2 place(s); nodes within 5 m count once, and 3 places are needed",
        )

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("field", ["x_m", "y_m", "z_m", "sigma_m", "sigma_s"])
    def test_a_value_that_is_not_finite(self, field: str, bad: float) -> None:
        arrivals = heard(SQUARE, (130.0, 90.0))
        victim = arrivals[2]
        arrivals[2] = (
            dataclasses.replace(victim, sigma_s=bad)
            if field == "sigma_s"
            else dataclasses.replace(victim, site=dataclasses.replace(victim.site, **{field: bad}))
        )
        found = refusal(arrivals)
        assert found.reason is NoLocationReason.BAD_INPUT
        assert found.detail.startswith("arrival n02/1/1 has a value that is not finite (site ")
        assert found.detail.endswith("; correct it or leave it out")
        assert f"{bad}" in found.detail

    def test_times_a_year_apart(self) -> None:
        arrivals = heard(SQUARE, (130.0, 90.0))
        arrivals[1] = dataclasses.replace(arrivals[1], time_ns=arrivals[1].time_ns + 365 * 86_400 * 10**9)
        found = refusal(arrivals)
        assert found.reason is NoLocationReason.BAD_INPUT
        assert found.detail == (
            "arrivals span 3.15e+07 s, but one sound is heard everywhere within 7.05 s; "
            "these are not one shot, or a clock is wrong"
        )

    def test_the_best_place_out_of_hearing(self) -> None:
        arrivals = heard(SQUARE, (900.0, 900.0))
        found = refusal(arrivals, hearing_range_m=500.0)
        assert found == NoLocation(
            NoLocationReason.INCONSISTENT, "the best place is more than 500 m from the nodes that heard it"
        )

    def test_arrivals_of_nothing_in_common(self) -> None:
        late_s = np.array([0.0, 0.9, 0.05, 1.1, 0.4, 0.0, 1.3, 0.7])
        # Three unknowns let four agree by chance; half of all is no majority, and their place is not told.
        assert refusal(heard(OCTAGON, (30.0, 20.0), late_s=late_s)) == NoLocation(
            NoLocationReason.INCONSISTENT, "only 4 of 8 arrivals agree on one place; they are not one shot"
        )

    def test_nodes_that_all_see_it_in_one_direction(self) -> None:
        """A cluster of nodes 20 m across knows the bearing of a far source, and nothing of its distance."""
        cluster = 10.0 * np.array([(math.cos(a), math.sin(a)) for a in (0.3, 2.4, 4.5)])
        found = refusal(heard(cluster, (1200.0, 1500.0)))
        assert found.reason is NoLocationReason.DEGENERATE_GEOMETRY
        assert found.detail == (
            "seen from the best place, the 3 nodes that agree on it do not fix it; a node in another direction would"
        )

    @pytest.mark.parametrize("field", ["sigma_m", "sigma_s"])
    def test_a_negative_sigma(self, field: str) -> None:
        arrivals = heard(SQUARE, (130.0, 90.0))
        wrong = (
            dataclasses.replace(arrivals[2], sigma_s=-0.001)
            if field == "sigma_s"
            else dataclasses.replace(arrivals[2], site=dataclasses.replace(arrivals[2].site, sigma_m=-1.0))
        )
        found = refusal([*arrivals[:2], wrong, *arrivals[3:]])
        assert found.reason is NoLocationReason.BAD_INPUT
        sigmas = "sigma 1.0 m; time sigma -0.001 s" if field == "sigma_s" else "sigma -1.0 m; time sigma 0.001 s"
        assert found.detail == (
            f"arrival n02/1/1 has a value that is not finite (site 400.0, 300.0, 0.0 m, {sigmas}), "
            "or a negative sigma; correct it or leave it out"
        )


class TestOutliers:
    source = (100.0, 30.0)
    noise_s = np.array([0.004, -0.006, 0.002, 0.005, -0.003, 0.001, -0.004, 0.003])

    @pytest.mark.parametrize("victim", range(8))
    def test_an_echo_at_one_of_eight_nodes_is_set_aside_with_a_reason(self, victim: int) -> None:
        late_s = self.noise_s.copy()
        late_s[victim] += 0.080
        arrivals = heard(OCTAGON, self.source, late_s=late_s)
        found = fix(arrivals)
        verdict = next(item for item in found.verdicts if item.arrival.uid.node == f"n{victim:02d}")
        assert not verdict.used
        # 80 ms, the noise of 6 ms, and some metres that seven noisy nodes put the fix and the instant off.
        assert verdict.residual_s == pytest.approx(0.080, abs=0.020)
        # Path, clock, onset at 20 dB, and survey.
        sigma_s = math.hypot(0.007, 0.001, 0.001, 1.0 / STILL.speed_of_sound_mps)
        assert verdict.reason == (
            f"{verdict.residual_s * 1e3:.0f} ms ({verdict.residual_s / sigma_s:.1f} sigma) later, "
            "likely an echo or a blocked path"
        )
        assert sum(item.used for item in found.verdicts) == 7
        without = fix([item for item in arrivals if item.uid.node != f"n{victim:02d}"])
        assert math.dist(place(found), place(without)) < 1.0

    @pytest.mark.parametrize(("delayed", "share"), [(1, 0.99), (2, 0.97)])
    def test_delayed_arrivals_of_eight_are_set_aside_and_the_place_stays(self, delayed: int, share: float) -> None:
        shots = simulate(
            np.random.default_rng(delayed), 400, 8, source=anywhere(300.0), site_m=OCTAGON, delayed=delayed
        )
        fixes = locate_batch(shots.batch, weather=AIR)
        error_m = np.hypot(*(fixes.place_m - shots.source_m).T)
        aside = np.abs(fixes.standardised.reshape(400, 8)) > LocateSettings().outlier_sigma
        # With two, a delay of 50 ms may look like the noise of another place: a few in a hundred.
        assert (error_m < 15.0).mean() >= share
        assert (aside | ~shots.delayed).all(axis=1).mean() >= share - 0.02
        # The noise of 8 ms in the five or six that are left is some metres.
        assert np.nanmedian(error_m) < 4.0
        # Of those that came straight, one in 60 is beyond 4 sigma: a Student-t of five degrees of freedom has 1 %.
        assert (aside & ~shots.delayed).mean() < 0.02

    def test_an_early_one_is_called_another_sound(self) -> None:
        found = fix(heard(OCTAGON, self.source, late_s={3: -0.2}))
        verdict = next(item for item in found.verdicts if not item.used)
        assert verdict.arrival.uid.node == "n03"
        assert verdict.reason.endswith(" sigma) earlier, likely another sound or a wrong clock")
        assert verdict.reason.startswith(f"{-verdict.residual_s * 1e3:.0f} ms (")

    def test_residual_is_observed_minus_predicted(self) -> None:
        found = fix(heard(OCTAGON, self.source, late_s={5: 0.005}))
        residuals = {item.arrival.uid.node: item.residual_s for item in found.verdicts}
        assert max(residuals, key=lambda node: residuals[node]) == "n05"
        assert residuals["n05"] > 0.0

    def test_a_second_arrival_of_a_node_is_set_aside(self) -> None:
        arrivals = heard(OCTAGON, self.source)
        echo = dataclasses.replace(arrivals[0], uid=DetectionId("n00", 1, 2), time_ns=arrivals[0].time_ns + 300_000_000)
        found = fix([echo, *arrivals])
        assert place(found) == place(fix(arrivals))
        verdict = next(item for item in found.verdicts if item.arrival == echo)
        assert not verdict.used
        assert verdict.reason == "later arrival of a node already heard"
        assert math.isnan(verdict.residual_s)

    def test_what_is_set_aside_adds_no_confidence(self) -> None:
        """The covariance once counted rejected arrivals as if the fix rested on them."""
        sites = np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 300.0), (0.0, 300.0), (900.0, 150.0)])
        arrivals = heard(sites, (150.0, 100.0), late_s={4: 5.0})
        found, without = fix(arrivals), fix(arrivals[:4])
        assert sum(item.used for item in found.verdicts) == 4
        # 5 s late weighs (nu + 1) / (nu + z²) = 2e-5 of a good arrival, and pulls as little.
        assert place(found) == pytest.approx(place(without), abs=0.05)
        assert found.cep95_m == pytest.approx(without.cep95_m, rel=1e-3)
        assert found.origin_sigma_s == pytest.approx(without.origin_sigma_s, rel=1e-3)
        assert found.gdop == pytest.approx(without.gdop, rel=1e-3)

    def test_a_node_that_knows_the_time_badly_does_not_pull(self) -> None:
        arrivals = heard(OCTAGON, self.source)
        wrong = dataclasses.replace(arrivals[2], time_ns=arrivals[2].time_ns + 300_000_000)
        loud = fix([*arrivals[:2], dataclasses.replace(wrong, sigma_s=1e4), *arrivals[3:]])
        # 300 ms of 10^4 s: weight 1e-12 of the others.
        assert place(loud) == pytest.approx(self.source, abs=EXACT_M)
        assert all(item.used for item in loud.verdicts)

    def test_a_badly_surveyed_node_pulls_less(self) -> None:
        arrivals = heard(OCTAGON, self.source, late_s={2: 0.015})
        vague = dataclasses.replace(arrivals[2], site=dataclasses.replace(arrivals[2].site, sigma_m=50.0))
        pulled, held = fix(arrivals), fix([*arrivals[:2], vague, *arrivals[3:]])
        assert math.dist(place(held), self.source) < 0.2 * math.dist(place(pulled), self.source)


class TestError:
    def test_systematic_error_is_added_to_both_axes(self) -> None:
        arrivals = heard(OCTAGON, (100.0, 30.0))
        bare = np.array(fix(arrivals, systematic_sigma_m=0.0).covariance_m2)
        full = np.array(fix(arrivals, systematic_sigma_m=3.0).covariance_m2)
        np.testing.assert_allclose(full - bare, 9.0 * np.eye(2), atol=1e-12)

    def test_ellipse_and_cep_belong_to_the_covariance(self) -> None:
        found = fix(heard(SQUARE, (390.0, 290.0), late_s={0: 0.004}))
        assert found.region95 == ()
        values = np.linalg.eigvalsh(found.covariance_m2)
        assert found.ellipse95.semi_minor_m == pytest.approx(math.sqrt(5.991464547107979 * values[0]), rel=1e-12)
        assert found.ellipse95.semi_major_m == pytest.approx(math.sqrt(5.991464547107979 * values[1]), rel=1e-12)
        assert found.ellipse95.semi_minor_m < found.cep95_m < found.ellipse95.semi_major_m
        assert found.cep50_m < found.cep95_m

    def test_dilution_in_the_middle_of_a_ring_of_eight(self) -> None:
        found = fix(heard(OCTAGON, (0.0, 0.0)))
        # Directions evenly around: normal matrix diag(4, 4, 8), so sqrt(1/4 + 1/4).
        assert found.gdop == pytest.approx(math.sqrt(0.5), rel=1e-9)

    def test_residuals_larger_than_expected_widen_the_ellipse(self) -> None:
        pattern = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
        widths = [fix(heard(OCTAGON, (20.0, 10.0), late_s=pattern * scale)).cep95_m for scale in (0.0, 0.008, 0.02)]
        assert widths == sorted(widths)
        assert widths[2] > 1.2 * widths[0]

    def test_a_wrong_clock_sigma_widens_it_too(self) -> None:
        sharp = fix(heard(OCTAGON, (20.0, 10.0), sigma_s=0.0001))
        vague = fix(heard(OCTAGON, (20.0, 10.0), sigma_s=0.05))
        assert vague.cep95_m > 2.0 * sharp.cep95_m
        assert vague.origin_sigma_s > 2.0 * sharp.origin_sigma_s
