"""The picture of an explanation: what is drawn, where, and with which words."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explain_samples import NAMES, REGION, SITES_M, SOURCE_M, crowded, located, refused, spans, words
from locate_samples import ORIGIN_NS, STILL, heard

from fusion_server.explain import Explanation, Notation
from fusion_server.explain.picture import FORMATS, check_picture_path, draw, save
from shotline.atmosphere import Weather
from shotline.domain import ArrivalVerdict, Location, NoLocation, NoLocationReason, Root
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.propagation import travel_time_s
from shotline.records import ALERT_NOTICE

WINDY = Weather(temperature_c=5.0, wind_speed_mps=9.0, wind_from_deg=230.0)
ONE, TWO = Root(-60.0, -40.0, ORIGIN_NS, 0.62), Root(90.0, 10.0, ORIGIN_NS, 0.38)


@functools.cache
def drawn_located() -> Any:
    """Return the picture of a plain place, for tests that only look."""
    return draw(located())


@functools.cache
def drawn_crowded() -> Any:
    return draw(crowded())


def axes_of(figure: Any) -> list[Any]:
    """Return map, then bars, then the rest."""
    return list(figure.axes)


def by_gid(axes: Any, prefix: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for artist in axes.get_children():
        if (artist.get_gid() or "").startswith(prefix):
            found.setdefault(artist.get_gid(), []).append(artist)
    return found


def corners(patch: Any) -> np.ndarray:
    return np.asarray(patch.get_xy())


class TestMap:
    def test_every_node_is_there_once_and_looks_like_what_became_of_it(self) -> None:
        ground = axes_of(drawn_crowded())[0]
        nodes = by_gid(ground, "node:")
        assert sorted(nodes) == sorted(f"node:{name}" for name in [*NAMES, "mute", "far", "spare"])
        assert all(len(artists) == 1 for artists in nodes.values())
        for name, place in zip(NAMES, SITES_M, strict=True):
            assert nodes[f"node:{name}"][0].get_xydata()[0] == pytest.approx(place)
        looks = {
            name: (nodes[f"node:{name}"][0].get_marker(), nodes[f"node:{name}"][0].get_markerfacecolor())
            for name in ("park", "depot", "mute", "spare", "far")
        }
        assert len(set(looks.values())) == 5, "each fate has a look of its own"
        assert nodes["node:school"][0].get_marker() == looks["park"][0]

    def test_every_node_that_counts_is_named_inside_the_map(self) -> None:
        figure = draw(crowded())
        ground = axes_of(figure)[0]
        names = by_gid(ground, "name:")
        assert set(names) >= {f"name:{name}" for name in [*NAMES, "mute", "spare"]}
        figure.canvas.draw()
        paper = ground.get_window_extent()
        boxes = [names[f"name:{name}"][0].get_window_extent() for name in [*NAMES, "mute", "spare"]]
        for box in boxes:
            assert paper.x0 <= box.x0
            assert box.x1 <= paper.x1
        assert not any(box.overlaps(other) for index, box in enumerate(boxes) for other in boxes[:index])

    @pytest.mark.parametrize("weather", [STILL, WINDY], ids=["still", "windy"])
    def test_curves_hear_the_difference_that_was_heard_and_meet_at_the_source(self, weather: Weather) -> None:
        explanation = located(weather=weather)
        ground = axes_of(draw(explanation))[0]
        curves = by_gid(ground, "isochrone:")
        first = min(explanation.arrivals, key=lambda item: item.time_ns)
        later = [item for item in explanation.arrivals if item is not first]
        assert sorted(curves) == sorted(f"isochrone:{item.site.node}" for item in later)
        for arrival in later:
            points = curves[f"isochrone:{arrival.site.node}"][0].get_xydata()
            sites = np.array([(item.site.x_m, item.site.y_m) for item in (first, arrival)])
            times_s = travel_time_s(
                points[:, None, :],
                sites,
                speed_of_sound_mps=weather.speed_of_sound_mps,
                wind_mps=np.array(weather.wind_enu_mps),
            )
            heard_s = (arrival.time_ns - first.time_ns) / 1e9
            # The curve ends 50 km away, where rounding is a thousand times that near the nodes.
            assert times_s[:, 1] - times_s[:, 0] == pytest.approx(heard_s, abs=1e-8)
            to_source = np.hypot(*(points - SOURCE_M).T).min()
            # Drawn points are up to a few metres apart there; an echo of 0.2 s is tens of metres off.
            assert (to_source < 6.0) == (arrival.site.node != "depot")

    def test_a_curve_of_a_node_set_aside_is_dashed(self) -> None:
        curves = by_gid(axes_of(drawn_located())[0], "isochrone:")
        assert curves["isochrone:depot"][0].get_linestyle() == "--"
        assert curves["isochrone:market"][0].get_linestyle() == "-"

    def test_an_echo_of_a_node_that_is_used_changes_nothing_on_the_map(self) -> None:
        plain = located(aside=frozenset())
        found = plain.found
        assert isinstance(found, Location)
        (echo,) = heard(SITES_M[:1], SOURCE_M, late_s={0: 0.3}, names=["school"])
        echo = dataclasses.replace(echo, uid=echo.uid._replace(sequence=9))
        later = ArrivalVerdict(echo, math.nan, False, "later arrival of a node already heard")
        again = dataclasses.replace(plain, found=dataclasses.replace(found, verdicts=(*found.verdicts, later)))
        one, two = (axes_of(draw(item)) for item in (plain, again))
        assert set(by_gid(one[0], "isochrone:")) == set(by_gid(two[0], "isochrone:"))
        (school,) = by_gid(two[0], "node:school")["node:school"]
        assert school.get_markerfacecolor() == by_gid(two[0], "node:park")["node:park"][0].get_markerfacecolor()
        assert "later arrival of a node already heard" in words(two[1].get_figure())
        assert f"residual:{echo.uid}" not in by_gid(two[1], "residual:"), "a residual that is not known is no bar"

    def test_fix_ellipses_region_roots_and_lost_hypotheses_are_where_they_are(self) -> None:
        explanation = crowded()
        found = explanation.found
        assert isinstance(found, Location)
        ground = axes_of(drawn_crowded())[0]
        (fix,) = by_gid(ground, "fix")["fix"]
        assert fix.get_xydata()[0] == pytest.approx(SOURCE_M)
        for name in ("50", "90", "95"):
            (outline,) = by_gid(ground, f"ellipse{name}")[f"ellipse{name}"]
            ellipse = getattr(found, f"ellipse{name}")
            assert spans(corners(outline)) == pytest.approx(2 * ellipse.semi_major_m, rel=1e-3)
            assert corners(outline)[:-1].mean(axis=0) == pytest.approx(SOURCE_M, abs=0.1)
        for region in by_gid(ground, "region95")["region95"]:
            assert corners(region)[:-1] == pytest.approx(np.array(REGION))
        roots = [artist.get_xydata()[0].tolist() for artist in by_gid(ground, "root")["root"]]
        assert roots == [[-400.0, -200.0], [-500.0, 100.0]]
        (lost,) = by_gid(ground, "lost")["lost"]
        assert lost.get_xydata()[0].tolist() == [300.0, -50.0]

    def test_the_map_is_to_scale_and_shows_all_that_counts_and_no_far_node(self) -> None:
        ground = axes_of(drawn_crowded())[0]
        (west, east), (south, north) = ground.get_xlim(), ground.get_ylim()
        assert west < -500.0
        assert 800.0 < east < 2_000.0, "the region is in, the node 5 km away is not"
        assert (south < -300.0, north > 350.0) == (True, True)
        box = ground.get_window_extent()
        assert (east - west) / box.width == pytest.approx((north - south) / box.height, rel=1e-6)

    def test_the_wind_arrow_points_where_the_air_goes(self) -> None:
        ground = axes_of(draw(located(weather=WINDY)))[0]
        (arrow,) = [item for item in ground.texts if getattr(item, "arrow_patch", None) is not None]
        (tip_x, tip_y), (tail_x, tail_y) = arrow.xy, arrow.xyann
        east, north = WINDY.wind_enu_mps
        assert math.atan2(tip_x - tail_x, tip_y - tail_y) == pytest.approx(math.atan2(east, north))
        assert "wind 9 m/s" in words(ground.get_figure())
        assert "wind" not in words(drawn_located())

    def test_degrees_are_in_the_caption(self) -> None:
        explanation = dataclasses.replace(located(), notation=Notation(LocalFrame(40.44, -79.99), True))
        assert "0, 0 is 40.440000, -79.990000" in words(draw(explanation))

    def test_the_legend_names_what_is_there_and_nothing_else(self) -> None:
        def legend(explanation: Explanation) -> set[str]:
            (shown,) = (legend for part in draw(explanation).subfigs[0].subfigs for legend in part.legends)
            return {item.get_text() for item in shown.get_texts()}

        plain = legend(located(aside=frozenset()))
        assert plain == {"used", "equal difference", "place", "error ellipse"}
        more = {"set aside", "passed over", "silent, should have heard", "no arrival", "same, set aside"}
        assert legend(crowded()) == plain - {"error ellipse"} | more | {
            "95 % region",
            "could also be",
            "hypothesis that lost",
        }


class TestCloseUp:
    def test_is_centred_on_the_place_and_holds_the_ellipse(self) -> None:
        explanation = located()
        close_up = axes_of(draw(explanation))[2]
        (fix,) = by_gid(close_up, "fix")["fix"]
        assert fix.get_xydata()[0].tolist() == [0.0, 0.0]
        (outline,) = by_gid(close_up, "ellipse95")["ellipse95"]
        (west, east), (south, north) = close_up.get_xlim(), close_up.get_ylim()
        assert corners(outline)[:, 0].min() > west
        assert corners(outline)[:, 0].max() < east
        assert corners(outline)[:, 1].min() > south
        assert corners(outline)[:, 1].max() < north
        assert east - west < 60.0, "the ellipse is 25 m long"

    def test_holds_the_region_when_there_is_one(self) -> None:
        close_up = axes_of(drawn_crowded())[2]
        assert close_up.get_xlim()[1] > 800.0 - SOURCE_M[0]
        assert "95 % region" in close_up.get_title(loc="left")


class TestResiduals:
    def test_a_bar_and_a_mark_for_each_arrival_in_the_order_of_hearing(self) -> None:
        explanation = located()
        found = explanation.found
        assert isinstance(found, Location)
        bars = axes_of(draw(explanation))[1]
        labels = [item.get_text() for item in bars.get_yticklabels()]
        assert labels == [item.arrival.site.node for item in found.verdicts]
        limit_ms = bars.get_xlim()[1]
        for row, verdict in enumerate(found.verdicts):
            (bar,) = by_gid(bars, f"residual:{verdict.arrival.uid}")[f"residual:{verdict.arrival.uid}"]
            assert abs(bar.get_y() + bar.get_height() / 2 - row) < 0.2
            drawn_ms = bar.get_width()
            if verdict.used:
                assert drawn_ms == pytest.approx(1e3 * verdict.residual_s)
            else:
                assert 0.9 * limit_ms < drawn_ms <= limit_ms, "cut off at the edge, its value beside it"
            (mark,) = by_gid(bars, f"sigma:{verdict.arrival.uid}")[f"sigma:{verdict.arrival.uid}"]
            assert mark.get_xdata() == pytest.approx([-8.0, 8.0])

    def test_values_and_reasons_are_written(self) -> None:
        text = words(drawn_located())
        assert "+200.0 ms" in text
        assert "200 ms later, likely an echo" in text

    def test_colours_tell_used_from_set_aside_and_hatching_from_weighted_down(self) -> None:
        explanation = located()
        found = explanation.found
        assert isinstance(found, Location)
        verdicts = list(found.verdicts)
        verdicts[0] = dataclasses.replace(verdicts[0], reason="2.2 sigma late, weighted down", residual_s=-0.009)
        changed = dataclasses.replace(found, verdicts=tuple(verdicts))
        bars = axes_of(draw(dataclasses.replace(explanation, found=changed)))[1]
        patch = {
            verdict.arrival.site.node: by_gid(bars, f"residual:{verdict.arrival.uid}").popitem()[1][0]
            for verdict in verdicts
        }
        down, aside = patch[verdicts[0].arrival.site.node], patch["depot"]
        plain = patch[verdicts[1].arrival.site.node]
        assert plain.get_facecolor() == down.get_facecolor() != aside.get_facecolor()
        assert (plain.get_hatch(), bool(down.get_hatch()), aside.get_hatch()) == (None, True, None)
        assert down.get_width() == pytest.approx(-9.0)

    def test_one_wild_residual_does_not_hide_the_others(self) -> None:
        explanation = located(aside=frozenset())
        found = explanation.found
        assert isinstance(found, Location)
        verdicts = (dataclasses.replace(found.verdicts[0], residual_s=-0.5), *found.verdicts[1:])
        wild = dataclasses.replace(explanation, found=dataclasses.replace(found, verdicts=verdicts))
        for sigma_s in (explanation.sigma_s, {}):
            figure = draw(dataclasses.replace(wild, sigma_s=sigma_s))
            assert axes_of(figure)[1].get_xlim()[1] < 60.0
            assert "-500.0 ms" in words(figure)

    def test_of_very_many_those_that_tell_most_are_drawn(self) -> None:
        explanation = located(aside=frozenset())
        found = explanation.found
        assert isinstance(found, Location)
        one = found.verdicts[0]
        many = [
            dataclasses.replace(
                one,
                arrival=dataclasses.replace(one.arrival, uid=one.arrival.uid._replace(sequence=number)),
                residual_s=1e-4 * number,
                reason="weighted down" if number == 3 else "",
            )
            for number in range(30)
        ]
        changed = dataclasses.replace(found, verdicts=tuple(many))
        bars = axes_of(draw(dataclasses.replace(explanation, found=changed, sigma_s={})))[1]
        drawn = [many[number].arrival.uid for number in range(30) if number == 3 or number >= 7]
        assert list(by_gid(bars, "residual:")) == [f"residual:{uid}" for uid in drawn]
        assert "6 more not drawn" in bars.get_title(loc="left")

    def test_without_sigmas_there_are_no_marks_and_no_word_of_them(self) -> None:
        figure = draw(dataclasses.replace(located(), sigma_s={}))
        assert not by_gid(axes_of(figure)[1], "sigma:")
        assert "sigma" not in axes_of(figure)[1].get_title(loc="left")

    def test_residuals_of_nothing_at_all_still_make_a_picture(self) -> None:
        explanation = located(aside=frozenset())
        found = explanation.found
        assert isinstance(found, Location)
        exact = tuple(dataclasses.replace(verdict, residual_s=0.0) for verdict in found.verdicts)
        figure = draw(dataclasses.replace(explanation, found=dataclasses.replace(found, verdicts=exact), sigma_s={}))
        assert axes_of(figure)[1].get_xlim() == (-1.6, 1.6)


class TestWords:
    def test_say_place_error_geometry_air_and_what_it_is_not_good_for(self) -> None:
        text = words(drawn_located())
        for part in (
            "x 60.00 m, y -90.00 m",
            "95 % within 11.0 m",
            "GDOP 1.25",
            "sound travels at 340.3",
            ALERT_NOTICE,
        ):
            assert part in text
        assert ALERT_NOTICE in words(draw(refused()))

    def test_say_what_else_was_considered(self) -> None:
        text = words(drawn_crowded())
        for part in (
            "or A",
            "x -400.00 m, y -200.00 m at 2018-12-19T00:49:26.123457Z, weight 25 %",
            "or B",
            "strip about 40 by 300 m",
            "lost 1",
            "4 nodes, log odds 2.5: explains fewer nodes",
            "-60.0 ms: given to another shot",
            "250 m away, would have reported it with 93 %",
        ):
            assert part in text

    def test_a_long_list_is_cut_and_says_so(self) -> None:
        lost = crowded().lost * 30
        text = words(draw(dataclasses.replace(crowded(), lost=lost)))
        assert "lost 13" in text
        assert "lost 14" not in text
        assert "and 19 more" in text

    def test_names_are_taken_as_they_are(self) -> None:
        """A dollar sign starts no formula."""
        arrivals = heard(SITES_M[:3], SOURCE_M, names=["$x^2$", "b_c$", "$\\d$"])
        figure = draw(dataclasses.replace(refused(), arrivals=tuple(arrivals), sites=(), title="$ of $"))
        figure.canvas.draw()
        assert "$x^2$" in words(figure)


class TestRefusal:
    def test_draws_the_roots_with_their_weights_and_the_reason(self) -> None:
        figure = draw(refused(ONE, TWO))
        ground = axes_of(figure)[0]
        roots = [artist.get_xydata()[0].tolist() for artist in by_gid(ground, "root")["root"]]
        assert roots == [[ONE.x_m, ONE.y_m], [TWO.x_m, TWO.y_m]]
        text = words(figure)
        assert "A: 62 %" in text
        assert "B: 38 %" in text
        assert "three nodes leave 2 places (two_roots)" in text
        assert "could be B" in text
        assert not by_gid(ground, "fix")
        assert len(by_gid(ground, "isochrone:")) == 2

    def test_without_roots_draws_nodes_delays_and_reason(self) -> None:
        explanation = refused(reason=NoLocationReason.INCONSISTENT)
        figure = draw(explanation)
        ground, delays = axes_of(figure)[:2]
        assert set(by_gid(ground, "node:")) == {f"node:{name}" for name in NAMES[:3]}
        assert not by_gid(ground, "root")
        first = min(item.time_ns for item in explanation.arrivals)
        for arrival in explanation.arrivals:
            (bar,) = by_gid(delays, f"delay:{arrival.uid}")[f"delay:{arrival.uid}"]
            assert bar.get_width() == pytest.approx((arrival.time_ns - first) / 1e6)
        assert "(inconsistent)" in words(figure)

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_of_hardly_anything_is_still_a_picture(self, count: int) -> None:
        explanation = refused(reason=NoLocationReason.TOO_FEW_NODES)
        arrivals = explanation.arrivals[:count]
        figure = draw(dataclasses.replace(explanation, arrivals=arrivals, sites=()))
        assert len(by_gid(axes_of(figure)[0], "node:")) == count
        assert "(too_few_nodes)" in words(figure)

    def test_sites_that_are_no_numbers_and_times_a_year_apart_are_no_obstacle(self) -> None:
        arrivals = list(refused().arrivals)
        arrivals[0] = dataclasses.replace(arrivals[0], site=dataclasses.replace(arrivals[0].site, x_m=math.nan))
        arrivals[1] = dataclasses.replace(arrivals[1], time_ns=arrivals[1].time_ns + 365 * 86_400 * 10**9)
        found = NoLocation(NoLocationReason.BAD_INPUT, "a value that is not finite")
        figure = draw(dataclasses.replace(refused(), arrivals=tuple(arrivals), sites=(), found=found))
        ground = axes_of(figure)[0]
        assert len(by_gid(ground, "node:")) == 2
        assert not by_gid(ground, "isochrone:"), "no place hears two nodes a year apart"


class TestFile:
    @pytest.mark.parametrize("ending", FORMATS)
    def test_the_same_explanation_makes_the_same_bytes(self, ending: str, tmp_path: Path) -> None:
        files = [tmp_path / f"{name}{ending}" for name in ("one", "two")]
        for file in files:
            save(draw(located()), file)
        one, two = (file.read_bytes() for file in files)
        assert one == two
        assert one.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])

    def test_a_png_is_1200_pixels_wide_and_small(self, tmp_path: Path) -> None:
        from PIL import Image

        save(draw(crowded()), tmp_path / "x.png")
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.width == 1200
        assert (tmp_path / "x.png").stat().st_size < 150_000

    def test_drawing_logs_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """matplotlib says on its log when limits and scale do not go together."""
        with caplog.at_level(logging.WARNING):
            draw(crowded()).canvas.draw()
        assert not caplog.records

    def test_names_that_no_picture_can_have(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"kind of picture from '\.jpeg'; end the name in \.png, \.svg, \.pdf"):
            check_picture_path(tmp_path / "x.jpeg")
        with pytest.raises(InputError, match="no such folder"):
            check_picture_path(tmp_path / "none" / "x.png")
        check_picture_path(tmp_path / "X.PNG")
