"""Where an ellipse does not tell: the region outside the array, and two places at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
from locate_samples import SQUARE, STILL, heard
from scipy.optimize import brentq
from simulated import AIR, anywhere, around, simulate

from fusion_server.locate import LocateSettings, locate, locate_batch
from fusion_server.locate.kernel import _roots
from fusion_server.locate.region import rings_of
from shotline.domain import Location, Root

CHI2_95 = -2.0 * math.log(0.05)
TRIANGLE = np.array([(0.0, 0.0), (400.0, 0.0), (100.0, 300.0)])
SOURCE = (-150.0, -60.0)
"""Behind a node of the triangle a second place has the same time differences."""


def located(sites_m: np.ndarray, source_m: tuple[float, float] | np.ndarray, **changes: object) -> Location:
    found = locate(heard(sites_m, source_m, **changes), weather=STILL)  # type: ignore[arg-type]
    assert isinstance(found, Location), found
    return found


def polygon(found: Location) -> shapely.Geometry:
    return shapely.union_all([shapely.Polygon(ring) for ring in found.region95])


class TestOutsideTheArray:
    def test_far_out_there_is_a_region_along_the_line_of_sight(self) -> None:
        found = located(SQUARE, (900.0, 800.0))
        assert len(found.region95) == 1
        assert polygon(found).contains(shapely.Point(900.0, 800.0))
        sight_deg = math.degrees(math.atan2(900.0 - 200.0, 800.0 - 150.0))
        assert found.ellipse95.orientation_deg == pytest.approx(sight_deg, abs=5.0)
        assert found.ellipse95.semi_major_m > 5.0 * found.ellipse95.semi_minor_m

    def test_inside_there_is_none(self) -> None:
        assert located(SQUARE, (180.0, 160.0)).region95 == ()

    @pytest.mark.parametrize(
        ("n_nodes", "path_sigma_s", "half_m"),
        [(4, 0.007, 300.0), (6, 0.007, 300.0), (8, 0.007, 300.0), (6, 0.003, 750.0), (10, 0.003, 750.0)],
    )
    def test_the_truth_is_inside_as_often_as_said(self, n_nodes: int, path_sigma_s: float, half_m: float) -> None:
        """Of wide arrays with good paths regions once held half: the air of their cells was not at its best."""
        n_shots, known = 150, LocateSettings(path_sigma_s=path_sigma_s)
        rng = np.random.default_rng(50 + n_nodes)
        ring = around(1.7 * half_m, 2.3 * half_m)
        shots = simulate(rng, n_shots, n_nodes, source=ring, half_m=half_m, settings=known)
        fixes = locate_batch(shots.batch, weather=AIR, settings=known)
        assert len(fixes.cells) > 0.8 * n_shots
        in_region = in_ellipse = 0
        for shot in fixes.cells:
            ring = shapely.union_all([shapely.Polygon(ring).buffer(0.0) for ring in rings_of(fixes.cells[shot])])
            in_region += bool(ring.covers(shapely.Point(shots.source_m[shot])))
            offset_m = shots.source_m[shot] - fixes.place_m[shot]
            in_ellipse += float(offset_m @ np.linalg.solve(fixes.covariance_m2[shot], offset_m)) <= CHI2_95
        # Binomial standard error of 150 shots is 1.8 %: two of them, and 1.5 % for outlines drawn around whole cells.
        assert 0.95 - 0.05 <= in_region / len(fixes.cells) <= 1.0
        # An ellipse there is never overconfident; it may be too large, as it holds what is no ellipse.
        assert 0.95 - 0.036 <= in_ellipse / len(fixes.cells) <= 1.0

    def test_cells_are_a_posterior_the_likeliest_first(self) -> None:
        shots = simulate(np.random.default_rng(7), 20, 5, source=around(600.0, 900.0), half_m=300.0)
        for cells in locate_batch(shots.batch, weather=AIR).cells.values():
            assert cells.mass.sum() == pytest.approx(1.0, abs=1e-12)
            assert (cells.mass >= 0.0).all()
            area_m2 = shapely.area(shapely.polygons(cells.corners_m))
            density = cells.mass / area_m2
            # Straight sides for arcs: a cell of 10 degrees is 0.5 % smaller, and cells are no larger.
            assert (density[1:] <= density[:-1] * 1.02 + 1e-12).all()

    def test_without_regions_places_are_the_same(self) -> None:
        shots = simulate(np.random.default_rng(8), 20, 6, source=around(600.0, 900.0), half_m=300.0)
        with_them, without = (locate_batch(shots.batch, weather=AIR, regions=on) for on in (True, False))
        assert without.bent.sum() > 10
        assert np.array_equal(with_them.bent, without.bent)
        assert np.array_equal(with_them.place_m, without.place_m)
        assert without.cells == {}


def undecided_m() -> np.ndarray:
    """Return four nodes: three that leave two places, and one that hears both alike, to a metre."""
    out = np.empty((2, 3))
    rho = np.hypot(*(TRIANGLE - SOURCE).T)
    assert _roots(np.column_stack([TRIANGLE, np.zeros(3)]), rho, 0, 1, 2, 1e-6, out) == 2

    def contradiction_m(y_m: float) -> float:
        one, two = (math.dist((200.0, y_m), root[:2]) + root[2] for root in out)
        return float(one - two)

    return np.vstack([TRIANGLE, (200.0, brentq(contradiction_m, 400.0, 600.0) + 2.0)])


class TestTwoPlaces:
    def test_both_are_told_with_their_weights(self) -> None:
        found = located(undecided_m(), SOURCE)
        assert len(found.alternatives) == 1
        other = found.alternatives[0]
        assert found.weight + other.weight == pytest.approx(1.0, abs=1e-12)
        assert found.weight >= other.weight > 0.05
        places = [(found.x_m, found.y_m), (other.x_m, other.y_m)]
        # The truth is one of them, and exact, as noise-free arrivals are: half a nanosecond, diluted some ten times.
        assert min(math.dist(place, SOURCE) for place in places) < 1e-4
        assert math.dist(*places) > 20.0
        assert all(polygon(found).contains(shapely.Point(place)) for place in places)

    def test_a_weight_is_how_often_that_place_is_the_true_one(self) -> None:
        shots = simulate(np.random.default_rng(2), 3000, 4, source=anywhere(400.0))
        fixes = locate_batch(shots.batch, weather=AIR, regions=False)
        right, expected, said = 0, 0.0, 0
        for shot in np.flatnonzero(fixes.located & (fixes.roots[:, 1, 3] > 0.0)).tolist():
            roots = fixes.roots[shot][~np.isnan(fixes.roots[shot, :, 3])]
            away_m = np.hypot(*(roots[:, :2] - shots.source_m[shot]).T)
            right += int(np.argmin(away_m)) == 0
            expected += roots[0, 3] / roots[:, 3].sum()
            said += 1
            # What is left out weighs less than a hundredth, and there are at most four.
            assert 0.97 < roots[:, 3].sum() <= 1.0 + 1e-12
            assert roots[:, 3].tolist() == sorted(roots[:, 3], reverse=True)
        assert said > 60
        # Three binomial standard errors.
        assert right / said == pytest.approx(expected / said, abs=3.0 * math.sqrt(0.25 / said))

    def test_levels_choose(self) -> None:
        """The weight of a place rises with how well peak levels fall with distance from it."""
        arrivals = heard(TRIANGLE, SOURCE)
        bare = locate(arrivals, weather=STILL)
        levels_db = [-30.0 * math.log10(math.dist(SOURCE, (item.site.x_m, item.site.y_m))) for item in arrivals]
        told = locate(
            [replace(item, level_db=level) for item, level in zip(arrivals, levels_db, strict=True)], weather=STILL
        )
        assert not isinstance(bare, Location)
        assert not isinstance(told, Location)

        def weight_of_truth(roots: tuple[Root, ...]) -> float:
            return min(roots, key=lambda root: math.dist((root.x_m, root.y_m), SOURCE)).weight

        assert sum(root.weight for root in told.roots) == pytest.approx(1.0, abs=1e-12)
        assert weight_of_truth(told.roots) > weight_of_truth(bare.roots)


@pytest.mark.parametrize("seed", range(6))
def test_a_region_moves_with_the_array(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, late_s, shift_m = (
        (500.0, 450.0 + rng.uniform(-50, 50)),
        rng.normal(0, 0.003, 4),
        rng.uniform(-5000, 5000, 2),
    )
    angle = rng.uniform(-math.pi, math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    before = located(SQUARE, source, late_s=late_s)
    after = located(SQUARE @ turn.T + shift_m, turn @ source + shift_m, late_s=late_s, names=list("dbca"))
    assert before.region95
    # Steps of a fix end at 1e-4 m, and far out along the line of sight a thousandth of a sigma is a hundred times more.
    assert (after.x_m, after.y_m) == pytest.approx(tuple(turn @ (before.x_m, before.y_m) + shift_m), abs=1e-2)
    # Cells are laid out from the bearing of the fix and turn with it; the air of each is climbed to within 1e-3 m.
    assert after.cep95_m == pytest.approx(before.cep95_m, rel=1e-6)
    np.testing.assert_allclose(after.covariance_m2, turn @ before.covariance_m2 @ turn.T, atol=1e-6 * before.cep95_m**2)
    moved = shapely.transform(polygon(before), lambda xy: xy @ turn.T + shift_m)
    # Outlines are rounded off to a fifth of a cell and simplified from wherever they begin: some per cent of the area.
    # When cells were measured along the axes, not their sides, it was 14 %.
    assert polygon(after).symmetric_difference(moved).area < 0.06 * moved.area
