"""Heights: planar, known, on the ground, free; and the ground under a network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from locate_samples import EXACT_M, STILL, heard

from fusion_server.locate import Ground, Height, LocateSettings, ground_of_sites, locate
from shotline.domain import Location, Site
from shotline.errors import GeometryError

OCTAGON = np.array([(450.0 * math.cos(a), 450.0 * math.sin(a)) for a in np.arange(8) * math.pi / 4 + 0.2])
MASTS = np.column_stack([OCTAGON, [0.0, 120.0, 10.0, 150.0, 5.0, 90.0, 0.0, 60.0]])


def slope_m(x_m: float, y_m: float) -> float:
    """Return the height of a plane hillside: 1 in 10 eastwards, 1 in 20 northwards."""
    return 30.0 + 0.1 * x_m + 0.05 * y_m


HILLSIDE = Ground(
    -1000.0,
    -1000.0,
    100.0,
    np.array([[slope_m(x, y) for y in np.arange(-1000.0, 1001.0, 100.0)] for x in np.arange(-1000.0, 1001.0, 100.0)]),
)


def fix(
    source_m: tuple[float, float, float], sites_m: np.ndarray = MASTS, ground: Ground | None = None, **changes: object
) -> Location:
    settings = LocateSettings(**changes)  # type: ignore[arg-type]
    found = locate(heard(sites_m, source_m), weather=STILL, settings=settings, ground=ground)
    assert isinstance(found, Location), found
    return found


class TestKnown:
    def test_the_given_height_counts_and_no_ground(self) -> None:
        found = fix((80.0, -60.0, 40.0), height=Height.KNOWN, height_m=40.0, ground=HILLSIDE)
        assert (found.x_m, found.y_m) == pytest.approx((80.0, -60.0), abs=EXACT_M)
        assert (found.z_m, found.z_sigma_m) == (40.0, None)

    def test_a_wrong_height_costs_metres(self) -> None:
        found = fix((80.0, -60.0, 40.0), height=Height.KNOWN, height_m=0.0)
        assert math.dist((found.x_m, found.y_m), (80.0, -60.0)) > 1.0


class TestGround:
    @pytest.mark.parametrize("place", [(80.0, -60.0), (-200.0, 150.0), (0.0, 0.0)])
    def test_a_source_on_a_hillside_is_found_with_its_height(self, place: tuple[float, float]) -> None:
        found = fix((*place, slope_m(*place)), height=Height.GROUND, ground=HILLSIDE)
        # The height follows the place in a few rounds, each of which leaves about a hundredth of the error before: the
        # slope, 0.11, times that of the slant ranges.
        assert (found.x_m, found.y_m) == pytest.approx(place, abs=EXACT_M)
        assert found.z_m == pytest.approx(slope_m(*place), abs=1e-5)
        assert found.z_sigma_m is None

    def test_it_beats_the_plane(self) -> None:
        source = (80.0, -60.0, slope_m(80.0, -60.0))
        flat = fix(source)
        assert flat.z_m is None
        assert math.dist((flat.x_m, flat.y_m), source[:2]) > 1.0

    def test_without_a_ground_it_is_level_at_the_given_height(self) -> None:
        found = fix((80.0, -60.0, 25.0), height=Height.GROUND, height_m=25.0)
        assert (found.x_m, found.y_m) == pytest.approx((80.0, -60.0), abs=EXACT_M)
        assert found.z_m == 25.0

    def test_planar_takes_no_notice(self) -> None:
        source = (80.0, -60.0, 20.0)
        assert fix(source, ground=HILLSIDE) == fix(source)


class TestFree:
    def test_it_is_solved_for_with_its_error(self) -> None:
        found = fix((80.0, -60.0, 45.0), height=Height.FREE, height_m=30.0, height_sigma_m=1e5)
        assert found.z_m is not None
        # Exact but for a prior of 100 km.
        assert (found.x_m, found.y_m, found.z_m) == pytest.approx((80.0, -60.0, 45.0), abs=1e-4)
        assert found.z_sigma_m is not None
        assert 1.0 < found.z_sigma_m < 100.0

    def test_the_prior_is_about_the_ground(self) -> None:
        """On a flat array the arrivals say next to nothing of the height, so that the prior decides."""
        sites = np.column_stack([OCTAGON, np.full(8, 30.0)])
        found = fix((80.0, -60.0, slope_m(80.0, -60.0)), sites, HILLSIDE, height=Height.FREE, height_sigma_m=5.0)
        assert found.z_m == pytest.approx(slope_m(80.0, -60.0), abs=5.0)
        assert found.z_sigma_m is not None
        assert found.z_sigma_m <= 5.0

    def test_a_narrow_prior_is_a_known_height(self) -> None:
        free = fix((80.0, -60.0, 40.0), height=Height.FREE, height_m=40.0, height_sigma_m=1e-3)
        known = fix((80.0, -60.0, 40.0), height=Height.KNOWN, height_m=40.0)
        assert (free.x_m, free.y_m) == pytest.approx((known.x_m, known.y_m), abs=1e-4)
        # Four unknowns of eight residuals in place of three: the same fit, spread over one less to spare.
        assert free.cep95_m == pytest.approx(known.cep95_m, rel=0.1)

    def test_a_free_height_is_known_no_better(self) -> None:
        free = fix((80.0, -60.0, 40.0), height=Height.FREE, height_m=40.0)
        known = fix((80.0, -60.0, 40.0), height=Height.KNOWN, height_m=40.0)
        assert free.cep95_m > known.cep95_m * 0.999


class TestGroundOfSites:
    def test_sites_at_one_height_say_nothing_of_the_ground(self) -> None:
        ground = ground_of_sites([Site("a", 0.0, 0.0, 12.0), Site("b", 900.0, 0.0, 12.0)], mast_m=8.0)
        assert ground.height_m.tolist() == [[12.0]]

    def test_a_single_site(self) -> None:
        assert ground_of_sites([Site("a", 5.0, 5.0, 12.0)], mast_m=2.0).height_m.tolist() == [[12.0]]

    def test_weights_are_those_of_the_docstring(self) -> None:
        sites = [Site("a", 0.0, 0.0, 10.0), Site("b", 600.0, 0.0, 50.0), Site("c", 0.0, 400.0, 90.0)]
        ground = ground_of_sites(sites, mast_m=8.0)
        xs = ground.x_m + ground.cell_m * np.arange(ground.height_m.shape[0])
        ys = ground.y_m + ground.cell_m * np.arange(ground.height_m.shape[1])
        for i, j in ((0, 0), (20, 20), (25, 20), (len(xs) - 1, len(ys) - 1)):
            weight = [((xs[i] - s.x_m) ** 2 + (ys[j] - s.y_m) ** 2 + 50.0**2) ** -1.5 for s in sites]
            twin = sum(w * s.z_m for w, s in zip(weight, sites, strict=True)) / sum(weight) - 8.0
            assert ground.height_m[i, j] == pytest.approx(twin, rel=1e-12)
        assert (xs[0], ys[0]) == (-1000.0, -1000.0)
        assert xs[-1] >= 1600.0
        assert ys[-1] >= 1400.0

    def test_it_stays_between_its_sites(self) -> None:
        rows = np.random.default_rng(2).uniform((-3000, -3000, 0), (3000, 3000, 80), (30, 3)).tolist()
        sites = [Site(f"n{i}", x_m, y_m, z_m) for i, (x_m, y_m, z_m) in enumerate(rows)]
        ground = ground_of_sites(sites, mast_m=8.0)
        heights = [site.z_m - 8.0 for site in sites]
        assert min(heights) <= ground.height_m.min() < ground.height_m.max() <= max(heights)
        # A wide network has coarser cells, not more of them.
        assert max(ground.height_m.shape) <= 402


@pytest.mark.parametrize(
    ("height_m", "cell_m", "seen"),
    [
        (np.zeros(3), 10.0, r"saw shape \(3,\), spacing 10 m, 0 heights that are not finite"),
        (np.zeros((0, 3)), 10.0, r"saw shape \(0, 3\)"),
        (np.array([[0.0, math.nan]]), 10.0, "1 heights that are not finite"),
        (np.zeros((2, 2)), 0.0, "spacing 0 m"),
        (np.zeros((2, 2)), math.nan, "spacing nan m"),
    ],
)
def test_what_is_no_ground(height_m: np.ndarray, cell_m: float, seen: str) -> None:
    with pytest.raises(GeometryError, match=seen):
        Ground(0.0, 0.0, cell_m, height_m)
