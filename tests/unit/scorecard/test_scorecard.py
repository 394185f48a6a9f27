"""The scorecard with exact numbers, and what must hold of any."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scorecard_samples import DAY_NS, SINCE_NS, SQUARE, UNTIL_NS, case, decision, heard, made, miss

from fusion_server.review import Decision, Outcome, standing
from fusion_server.scorecard import (
    Case,
    Evidence,
    Scorecard,
    parse_areas,
    public_form,
    scorecard,
    scorecard_csv,
    scorecard_html,
    scorecard_tables,
)
from fusion_server.scorecard.charts import week_chart
from fusion_server.scorecard.coverage import CoverageRules
from fusion_server.scorecard.make import ScorecardSettings
from fusion_server.scorecard.words import share_text, small_numbers
from shotline.errors import InputError
from shotline_models.metrics import share_of, wilson_interval

MONTH_H = 730.5
HALVES = """{"type": "FeatureCollection", "features": [
{"type": "Feature", "properties": {"name": "left <b>"}, "geometry": {"type": "Polygon",
 "coordinates": [[[-3000, -3000], [100, -3000], [100, 3000], [-3000, 3000], [-3000, -3000]]]}},
{"type": "Feature", "properties": {"name": "right"}, "geometry": {"type": "Polygon",
 "coordinates": [[[100, -3000], [3000, -3000], [3000, 3000], [100, 3000], [100, -3000]]]}}]}"""


def ten() -> list[Case]:
    """Five confirmed, two dismissed, one undetermined, two undecided of which one was retracted."""
    outcomes = ["confirmed"] * 5 + ["dismissed"] * 2 + ["undetermined"]
    cases = [
        case(f"i{index}", decision(outcome, after_s=3600 * index + 60), at_s=3600 * index)
        for index, outcome in enumerate(outcomes)
    ]
    return [*cases, case("i8", at_s=8 * 86_400), case("i9", at_s=9 * 86_400, retracted=True, place=(5000.0, 0.0))]


def counts(card: Scorecard) -> dict[str, int]:
    return {row.outcome: row.count for row in card.outcomes.rows}


def test_outcomes_are_shares_of_all_and_of_those_decided() -> None:
    card = made(*ten())
    assert counts(card) == {"confirmed": 5, "dismissed": 2, "undetermined": 1, "undecided": 2}
    confirmed, dismissed, _, undecided = card.outcomes.rows
    assert confirmed.of_all == share_of(5, 10)
    assert (confirmed.of_all.low95, confirmed.of_all.high95) == wilson_interval(5, 10)
    assert (confirmed.of_decided, dismissed.of_decided) == (share_of(5, 8), share_of(2, 8))
    assert undecided.of_decided is None
    assert (card.outcomes.incidents, card.outcomes.decided, card.outcomes.retracted_undecided) == (10, 8, 1)
    assert [(row.outcome, row.reason, row.count) for row in card.outcomes.reasons] == [
        ("confirmed", "casings", 5),
        ("dismissed", "fireworks", 2),
        ("undetermined", "nothing_found", 1),
    ]


def test_with_two_persons_one_is_not_enough() -> None:
    alone = case("a", decision("confirmed"))
    agreed = case("b", decision("confirmed"), decision("confirmed", person="bo", number=2, after_s=90.0))
    apart = case("c", decision("confirmed"), decision("dismissed", person="bo", number=2))
    card = made(alone, agreed, apart, two_persons=True)
    assert counts(card) == {"confirmed": 1, "dismissed": 0, "undetermined": 0, "undecided": 2}
    assert (card.outcomes.second_awaited, card.outcomes.disputed) == (2, 1)
    assert (card.latencies[-1].came_about, card.latencies[-1].percentiles[0].value_s) == (1, None)
    assert made(agreed, two_persons=True).latencies[-1].percentiles[0].value_s == 90.0


def test_latencies_count_what_never_came_about_as_later_than_all() -> None:
    cases = [
        case(
            f"i{index}",
            at_s=1000.0 * index,
            fixed_after_s=2.0 + index,
            acknowledged_after_s=None if index > 5 else 30.0,
            delivered_after_s={"web": 4.0 + index if index < 8 else None} if index < 9 else {"web": None, "log": 1.0},
        )
        for index in range(10)
    ]
    found = {row.until: row for row in made(*cases).latencies}
    assert list(found) == ["first fix", "delivery to log", "delivery to web", "acknowledgement", "decision"]
    assert [part.value_s for part in found["first fix"].percentiles] == [6.0, 10.0, 11.0]
    web = found["delivery to web"]
    assert (web.incidents, web.came_about) == (10, 8)
    assert [part.value_s for part in web.percentiles] == [8.0, None, None]
    assert (found["delivery to log"].incidents, found["delivery to log"].came_about) == (1, 1)
    assert found["acknowledgement"].came_about == 6
    assert [part.value_s for part in found["acknowledgement"].percentiles] == [30.0, None, None]
    assert found["decision"].came_about == 0


def test_a_correction_days_later_changes_the_outcome_and_not_the_latency() -> None:
    corrected = case("i", decision("dismissed", after_s=60.0), decision("confirmed", after_s=3 * 86_400.0, number=2))
    card = made(corrected)
    assert counts(card)["confirmed"] == 1
    assert card.latencies[-1].percentiles[0].value_s == 60.0
    # Who decides at once has taken it on.
    assert card.latencies[-2].percentiles[0].value_s == 60.0


def test_misses_are_held_against_what_was_told_near_them() -> None:
    cases = [
        case("told", decision("confirmed"), at_s=1000.0, place=(100.0, 100.0)),
        case("taken back", at_s=5000.0, retracted=True),
    ]
    misses = [
        miss(1, at_s=1290.0, place=(500.0, 100.0)),  # 400 m and 290 s away
        miss(2, at_s=1301.0),  # a second too late
        miss(3, at_s=1000.0, place=(601.0, 100.0)),  # a metre too far
        miss(4, at_s=5000.0),
        miss(5, at_s=90_000.0, place=(9000.0, 0.0)),
        miss(6, at_s=15 * 86_400.0),  # after the period
    ]
    found = made(*cases, misses=misses, hours=heard("abcd", hours=2)).misses
    assert [(row.number, row.status, row.incident) for row in found.rows] == [
        (1, "told", "told"),
        (2, "missed", None),
        (3, "missed", None),
        (4, "retracted", "taken back"),
        (5, "missed", None),
    ]
    assert (found.rows[0].apart_m, found.rows[0].apart_s) == (400.0, -290.0)
    assert [row.nodes_in_range for row in found.rows] == [4, 4, 4, 4, None]
    assert (found.reported, found.missed, found.missed_where_covered) == (5, 4, 3)
    assert found.share == share_of(4, 5)  # of the one that was confirmed and the four missed


def test_an_incident_just_outside_the_period_answers_a_miss_and_is_not_counted() -> None:
    card = made(case("before", at_s=-10.0), misses=[miss(1, at_s=5.0)])
    assert card.misses.rows[0].incident == "before"
    assert card.outcomes.incidents == 0


def test_areas_have_counts_over_coverage() -> None:
    """14 days of four nodes; the border of the halves goes through the middle of their square."""
    areas = parse_areas(HALVES, frame=None)
    left = [
        case(f"l{index}", decision(outcome), at_s=3600.0 * index, place=(0.0, 0.0))
        for index, outcome in enumerate(["confirmed", "dismissed", "dismissed", "undetermined"])
    ]
    card = made(
        *left, case("r", place=(200.0, 0.0)), case("far", place=(9000.0, 0.0)), areas=areas, hours=heard("abcd")
    )
    here, right, elsewhere, everywhere = card.areas
    assert [row.area for row in card.areas] == ["left <b>", "right", "(in none of these)", "(everywhere)"]
    assert (here.confirmed, here.dismissed, here.undetermined, here.undecided) == (1, 2, 1, 0)
    assert here.confirmed_of_decided == here.confirmed_of_all == share_of(1, 4)
    assert here.km2 == pytest.approx(18.6, abs=1e-12)
    months = here.covered_km2_hours / MONTH_H
    assert here.dismissed_rate.per_km2_month == pytest.approx(2 / months, rel=1e-12)
    assert here.unconfirmed_rate.per_km2_month == pytest.approx(3 / months, rel=1e-12)
    assert everywhere.covered_km2_mean == pytest.approx(everywhere.covered_km2_hours / 336, rel=1e-12)
    assert (everywhere.incidents, right.incidents, elsewhere.incidents) == (6, 1, 1)
    assert elsewhere.dismissed_rate.per_km2_month is None
    assert everywhere.covered_km2_hours == pytest.approx(here.covered_km2_hours + right.covered_km2_hours, rel=1e-12)


def test_rates_leave_out_what_was_told_while_nothing_was_on_record() -> None:
    cases = [case(f"i{index}", decision("dismissed"), at_s=3600.0 * 24 * index) for index in range(4)]
    (row,) = made(*cases, hours=heard("abcd", hours=48)).areas
    assert (row.dismissed, row.incidents_on_record, row.dismissed_rate.count) == (4, 2, 2)


def test_hours_are_those_on_record() -> None:
    card = made(hours=[*heard("abc", hours=10), *heard("z", hours=5, minutes=(1 << 30) - 1)])
    assert (card.hours.period, card.hours.server, card.hours.nodes_surveyed) == (336.0, 10.0, 4)
    assert (card.hours.node_hours_median, card.hours.node_hours_least) == (10.0, 0.0)
    assert [(node.node, node.hours, node.surveyed) for node in card.nodes] == [
        ("a", 10.0, True), ("b", 10.0, True), ("c", 10.0, True), ("d", 0.0, True), ("z", 2.5, False),
    ]  # fmt: skip
    assert public_form(card).nodes == ()
    assert "Nodes" not in [table.title for table in scorecard_tables(public_form(card))]


def test_weeks_begin_on_monday_and_empty_ones_are_there() -> None:
    weeks = made(*ten()).weeks
    assert [(week.week_utc, week.incidents, week.undecided) for week in weeks] == [
        ("2026-03-02", 8, 0),
        ("2026-03-09", 2, 2),
    ]
    assert weeks[1].confirmed_of_decided.share is None
    sunday = scorecard(
        Evidence(cases=[]),
        sites=SQUARE,
        settings=ScorecardSettings(coverage=CoverageRules(min_nodes=4, hearing_range_m=500.0)),
        since_ns=SINCE_NS - 1,
        until_ns=SINCE_NS + 1,
        made_ns=0,
    )
    assert [week.week_utc for week in sunday.weeks] == ["2026-02-23", "2026-03-02"]


def test_a_period_without_length_is_refused() -> None:
    with pytest.raises(InputError, match="no time at all"):
        scorecard(
            Evidence(cases=[]),
            sites=(),
            settings=ScorecardSettings(coverage=CoverageRules(min_nodes=4, hearing_range_m=500.0)),
            since_ns=UNTIL_NS,
            until_ns=UNTIL_NS,
            made_ns=0,
        )


def test_nothing_at_all_is_a_scorecard_too() -> None:
    card = made()
    assert counts(card) == {"confirmed": 0, "dismissed": 0, "undetermined": 0, "undecided": 0}
    assert (card.outcomes.rows[0].of_all.share, card.outcomes.rows[0].of_all.low95) == (None, 0.0)
    page = scorecard_html(card)
    assert "none to count" in page
    assert "no coverage on record" in page


def test_small_numbers_are_said_to_be_small() -> None:
    assert share_text(share_of(5, 10)) == "50 % (24 to 76, of 10 only)"
    assert share_text(share_of(50, 100)) == "50 % (40 to 60)"
    assert small_numbers(made(*ten())).startswith("8 decided incidents are few")
    many = [case(f"i{index}", decision("confirmed"), at_s=index) for index in range(30)]
    assert small_numbers(made(*many)) == ""


@st.composite
def reviewed(draw: st.DrawFn) -> list[Case]:
    cases = []
    for index in range(draw(st.integers(0, 12))):
        decisions = [
            decision(
                draw(st.sampled_from(list(Outcome))),
                person=draw(st.sampled_from(["ann", "bo", "cy"])),
                number=number,
                after_s=float(3600 * index + 60 * number),
            )
            for number in range(1, draw(st.integers(0, 4)) + 1)
        ]
        place = (draw(st.floats(-4000, 4000)), draw(st.floats(-2500, 2500)))
        cases.append(case(f"i{index}", *decisions, at_s=3600.0 * index, place=place, retracted=draw(st.booleans())))
    return cases


@settings(deadline=None)
@given(cases=reviewed(), two_persons=st.booleans(), order=st.randoms())
def test_counts_add_up_and_intervals_hold_their_shares(cases: Sequence[Case], two_persons: bool, order: object) -> None:
    card = made(*cases, areas=parse_areas(HALVES, frame=None), hours=heard("abcd", hours=3), two_persons=two_persons)
    rows = card.outcomes.rows
    assert sum(row.count for row in rows) == len(cases) == sum(week.incidents for week in card.weeks)
    assert (
        sum(row.count for row in rows[:3]) == card.outcomes.decided == sum(row.count for row in card.outcomes.reasons)
    )
    assert card.outcomes.retracted_undecided <= rows[3].count
    for row in (*card.areas, *card.weeks):
        assert row.confirmed + row.dismissed + row.undetermined + row.undecided == row.incidents
    # The halves share a border; a place drawn exactly on it would be in both.
    *apart, everywhere = card.areas
    assert sum(row.incidents for row in apart) >= everywhere.incidents == len(cases)
    for share in [row.of_all for row in rows] + [week.confirmed_of_decided for week in card.weeks]:
        assert share.low95 <= (share.low95 if share.share is None else share.share) <= share.high95
    for latency in card.latencies:
        assert latency.came_about <= latency.incidents
        for part in latency.percentiles:
            if part.value_s is not None and part.low95_s is not None:
                assert part.low95_s <= part.value_s
    shuffled = list(cases)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    again = made(
        *shuffled, areas=parse_areas(HALVES, frame=None), hours=heard("abcd", hours=3), two_persons=two_persons
    )
    assert again == card


@settings(deadline=None)
@given(
    decisions=st.permutations([decision("confirmed"), decision("dismissed", person="bo"), decision("confirmed")]),
    two_persons=st.booleans(),
)
def test_the_order_of_decisions_matters_only_as_far_as_what_stands(
    decisions: list[Decision], two_persons: bool
) -> None:
    card = made(case("i", *decisions), two_persons=two_persons)
    stands = standing(decisions, two_persons=two_persons).outcome
    assert counts(card)[stands or "undecided"] == 1


def test_json_gives_the_same_scorecard_again() -> None:
    card = made(*ten(), misses=[miss()], hours=heard("abcd"), areas=parse_areas(HALVES, frame=None))
    assert msgspec.json.decode(msgspec.json.encode(card), type=Scorecard) == card


def test_csv_has_one_figure_a_row_and_all_that_is_in_the_scorecard() -> None:
    card = made(*ten(), misses=[miss(at_s=13 * 86_400.0)], hours=heard("abcd"), areas=parse_areas(HALVES, frame=None))
    rows = list(csv.DictReader(io.StringIO(scorecard_csv(card))))
    assert all(None not in row and None not in row.values() for row in rows)
    found = {(row["table"], row["row"], row["figure"]): row for row in rows}
    assert len(found) == len(rows)
    of_all = found["outcomes", "confirmed", "of all"]
    assert (float(of_all["value"]), float(of_all["low95"]), of_all["of"]) == (0.5, wilson_interval(5, 10)[0], "10")
    assert found["misses", "all", "missed"]["value"] == "1"
    assert found["areas", "left <b>", "dismissed"]["value"] == "2"
    assert found["weeks", "2026-03-09", "incidents"]["value"] == "2"
    assert found["latency", "decision", "90 %"]["value"] == ""
    assert {row["table"] for row in rows} == {
        "period", "outcomes", "reasons", "latency", "misses", "hours", "areas", "weeks",
    }  # fmt: skip


class _Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[int]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)
        if tag == "table":
            self.cells.append([])
        if tag == "tr":
            self.cells[-1].append(0)
        if tag in ("td", "th"):
            self.cells[-1][-1] += int(dict(attrs).get("colspan") or 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_whole_needs_nothing_and_can_be_listened_to() -> None:
    card = made(*ten(), misses=[miss()], hours=heard("abcd"), areas=parse_areas(HALVES, frame=None))
    text = scorecard_html(card, title="Shots & misses")
    page = _Page(text)
    assert page.open == []
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "onclick", "style")]
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in page.tags)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for _, attrs in page.tags:
        for name in [*(attrs.get("aria-labelledby") or "").split(), (attrs.get("href") or "#")[1:]]:
            assert name in ["", *ids]
    assert names.count("table") == names.count("caption") == names.count("section") == len(scorecard_tables(card)) == 8
    for table in page.cells:
        assert len(set(table)) == 1, "rows of one table have as many cells as its heading"
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")
    assert all(attrs.get("role") == "img" or attrs.get("aria-hidden") for tag, attrs in page.tags if tag == "svg")
    assert names.count("h1") == 1
    assert "left <b>" in page.texts
    assert "Shots & misses" in page.texts
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    for table in scorecard_tables(card):
        assert table.how in "".join(page.texts)
        assert table.limits in "".join(page.texts)
    assert "not grounds for a stop, search or arrest" in "".join(page.texts)


def test_bars_of_outcomes_are_as_long_as_their_shares() -> None:
    card = made(*ten())
    page = _Page(scorecard_html(card))
    bars = [attrs for tag, attrs in page.tags if tag == "rect" and "x" in attrs][:4]
    whiskers = [attrs for tag, attrs in page.tags if tag == "line" and attrs["class"] == "whisker"]
    left, whole = 110, 760 - 110 - 24
    for bar, whisker, row in zip(bars, whiskers, card.outcomes.rows, strict=True):
        assert bar["class"] == row.outcome
        drawn = [bar["width"], whisker["x1"], whisker["x2"]]
        share = row.of_all
        assert share.share is not None
        expected = [whole * share.share, left + whole * share.low95, left + whole * share.high95]
        assert [float(text or 0) for text in drawn] == pytest.approx(expected, abs=0.05)  # written to a tenth of a unit


def test_bars_of_a_week_are_as_high_as_its_counts() -> None:
    page = _Page(week_chart(made(*ten()).weeks))
    bars = [(attrs["class"], float(attrs["height"] or 0)) for tag, attrs in page.tags if tag == "rect" and "x" in attrs]
    height = 220 - 10 - 34
    # To a tenth of a unit, as they are written.
    assert bars == [
        ("confirmed", pytest.approx(height * 5 / 8, abs=0.05)),
        ("undetermined", pytest.approx(height / 8, abs=0.05)),
        ("dismissed", pytest.approx(height * 2 / 8, abs=0.05)),
        ("undecided", pytest.approx(height * 2 / 8, abs=0.05)),
    ]


@pytest.mark.parametrize(("scene", "test", "words"), [("FP1", False, "REPLAY of FP1"), ("", True, "TEST: nothing")])
def test_replays_and_tests_say_so(scene: str, test: bool, words: str) -> None:
    card = msgspec.structs.replace(made(), scene=scene)
    assert words in scorecard_html(card, test=test)
    assert "banner" not in [attrs.get("class") for _, attrs in _Page(scorecard_html(made())).tags]


def test_what_people_said_of_a_miss_is_not_published() -> None:
    card = made(misses=[miss()])
    assert b"hospital" not in msgspec.json.encode(card)
    assert "hospital" not in scorecard_html(card) + scorecard_csv(card)


def test_the_period_is_half_open() -> None:
    day_s = DAY_NS / 1e9
    card = made(case("first", at_s=0.0), case("last", at_s=14 * day_s - 0.001), case("after", at_s=14 * day_s))
    assert card.outcomes.incidents == 2
