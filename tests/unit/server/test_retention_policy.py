"""What may go: the rules alone."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_server.config import ServerConfig
from fusion_server.retention import (
    NS_PER_DAY,
    Case,
    Hold,
    Kind,
    RetentionPolicy,
    Row,
    Tie,
    check_hold,
    expired,
    is_held,
    keys_digest,
    ties_of,
)
from fusion_server.retentionconfig import RetentionSection
from fusion_server.review import Decision, Outcome
from shotline.config import parse_config
from shotline.errors import ConfigError, InputError

DAYS = RetentionPolicy(
    {
        Kind.DETECTIONS: {Tie.ALONE: 10, Tie.CONFIRMED: None, Tie.DISMISSED: 20, Tie.UNDECIDED: 30},
        Kind.CLIPS: {tie: 5 * (number + 1) for number, tie in enumerate(Tie)},
        Kind.REJECTS: {Tie.ALONE: 7},
        Kind.RECEIPTS: {},
    }
)
INSTANTS = st.integers(0, 60)
IDS = st.sampled_from(["i1", "i2", "i3", "unknown"])


def decision(number: int, person: str, outcome: Outcome) -> Decision:
    return Decision(
        number=number,
        incident_id="i1",
        revision=1,
        outcome=outcome,
        reason="other",
        note="why",
        person=person,
        time_ns=number,
    )


def hold(**on: object) -> Hold:
    return Hold(id=1, reason="case 5", person="ann", time_ns=0, **on)  # type: ignore[arg-type]


def row(kind: Kind = Kind.DETECTIONS, *, since_ns: int = 0, incidents: tuple[str, ...] = (), **more: object) -> Row:
    return Row(kind=kind, key="k", since_ns=since_ns, instants_ns=(since_ns,), incidents=incidents, **more)  # type: ignore[arg-type]


def gone(item: Row, now_ns: int, *holds: Hold, **cases: Case) -> bool:
    return bool(expired([item], cases=cases, policy=DAYS, holds=holds, now_ns=now_ns))


def test_a_row_goes_when_it_is_as_old_as_its_term_and_not_before() -> None:
    assert not gone(row(since_ns=100), 109)
    assert gone(row(since_ns=100), 110)
    dismissed = Case(frozenset({Tie.DISMISSED}), 0, 0)
    assert not gone(row(since_ns=100, incidents=("i1",)), 119, i1=dismissed)
    assert gone(row(since_ns=100, incidents=("i1",)), 120, i1=dismissed)


def test_what_no_term_is_given_for_stays() -> None:
    assert not gone(row(incidents=("i1",)), 10**18, i1=Case(frozenset({Tie.CONFIRMED}), 0, 0))
    assert not gone(row(incidents=("i1",)), 10**18, i1=Case(frozenset({Tie.UNDETERMINED}), 0, 0))
    assert not gone(row(Kind.RECEIPTS, incidents=("i1",)), 10**18)
    assert DAYS.shortest_ns(Kind.RECEIPTS) is None
    assert DAYS.shortest_ns(Kind.DETECTIONS) == 10


def test_of_several_incidents_the_longest_term_counts() -> None:
    cases = {"i1": Case(frozenset({Tie.DISMISSED}), 0, 0), "i2": Case(frozenset({Tie.UNDECIDED}), 0, 0)}
    assert not gone(row(incidents=("i1", "i2")), 29, **cases)
    assert gone(row(incidents=("i1", "i2")), 30, **cases)
    assert not gone(row(incidents=("i1", "nobody knows")), 29, **cases)
    assert gone(row(incidents=("i1", "nobody knows")), 30, **cases)


def test_a_hold_covers_by_incident_by_instant_and_by_the_span_of_the_incident() -> None:
    case = Case(frozenset({Tie.DISMISSED}), 1_000, 1_010)
    item = row(since_ns=50, incidents=("i1",))
    assert gone(item, 1_000, i1=case)
    assert not gone(item, 1_000, hold(incident_id="i1"), i1=case)
    assert gone(item, 1_000, hold(incident_id="i2"), i1=case)
    for from_ns, until_ns, held in ((50, 51, True), (51, 60, False), (40, 50, False)):
        assert gone(item, 1_000, hold(from_ns=from_ns, until_ns=until_ns), i1=case) is not held
    for from_ns, until_ns, held in (
        (1_010, 1_020, True),
        (990, 1_001, True),
        (1_011, 1_020, False),
        (990, 1_000, False),
    ):
        assert gone(item, 1_000, hold(from_ns=from_ns, until_ns=until_ns), i1=case) is not held


def test_what_is_needed_stays() -> None:
    assert not gone(row(needed=True), 1_000)


@given(
    rows=st.lists(
        st.builds(
            Row,
            kind=st.sampled_from(Kind),
            key=st.text(max_size=3),
            since_ns=INSTANTS,
            instants_ns=st.tuples(INSTANTS, INSTANTS),
            incidents=st.lists(IDS, max_size=2, unique=True).map(tuple),
            needed=st.booleans(),
        ),
        max_size=8,
    ),
    cases=st.dictionaries(
        st.sampled_from(["i1", "i2", "i3"]),
        st.tuples(st.frozensets(st.sampled_from(Tie), min_size=1), INSTANTS, st.integers(0, 9)).map(
            lambda item: Case(item[0], item[1], item[1] + item[2])
        ),
    ),
    holds=st.lists(
        IDS.map(lambda name: hold(incident_id=name))
        | st.tuples(INSTANTS, st.integers(1, 5)).map(lambda item: hold(from_ns=item[0], until_ns=sum(item))),
        max_size=2,
    ),
    now_ns=st.integers(0, 90),
)
def test_nothing_young_or_held_goes_and_everything_else_does(
    rows: list[Row], cases: dict[str, Case], holds: list[Hold], now_ns: int
) -> None:
    result = expired(rows, cases=cases, policy=DAYS, holds=holds, now_ns=now_ns)
    slow = []
    for item in rows:
        stays = item.needed
        ties = [tie for name in item.incidents for tie in (cases[name].ties if name in cases else [Tie.UNDECIDED])]
        for tie in ties or [Tie.ALONE]:
            term_ns = DAYS.terms_ns[item.kind].get(tie)
            stays |= term_ns is None or item.since_ns > now_ns - term_ns
        for each in holds:
            held_instants = set() if each.from_ns is None else set(range(each.from_ns, each.until_ns or 0))
            about = set(item.instants_ns)
            for name in item.incidents:
                stays |= each.incident_id == name
                if name in cases:
                    about |= set(range(cases[name].first_ns, cases[name].last_ns + 1))
            stays |= bool(held_instants & about)
        if not stays:
            slow.append(item)
    assert result == slow
    assert not any(is_held(item, cases, holds) for item in result)


def test_ties_are_what_stands_and_where_persons_disagree_all_they_said() -> None:
    ann, bo = decision(1, "ann", Outcome.CONFIRMED), decision(2, "bo", Outcome.DISMISSED)
    assert ties_of([], two_persons=False) == {Tie.UNDECIDED}
    assert ties_of([ann], two_persons=False) == {Tie.CONFIRMED}
    assert ties_of([ann], two_persons=True) == {Tie.UNDECIDED, Tie.CONFIRMED}
    assert ties_of([ann, bo], two_persons=False) == {Tie.UNDECIDED, Tie.CONFIRMED, Tie.DISMISSED}
    assert ties_of([ann, bo, decision(3, "ann", Outcome.DISMISSED)], two_persons=True) == {Tie.DISMISSED}


def test_the_terms_in_words() -> None:
    policy = RetentionPolicy({Kind.CLIPS: {Tie.DISMISSED: 30 * NS_PER_DAY, Tie.CONFIRMED: None}})
    assert policy.says(Kind.CLIPS) == "confirmed kept, dismissed 30 days"
    assert policy.says(Kind.REJECTS) == ""


def test_the_digest_is_of_the_sorted_identities() -> None:
    assert keys_digest(["b/1/2", "a/1/2"]) == hashlib.sha256(b"a/1/2\nb/1/2\n").hexdigest()


@pytest.mark.parametrize(
    ("on", "says"),
    [
        ({}, "on an incident, or on a span"),
        ({"incident_id": "i1", "from_ns": 1, "until_ns": 2}, "on an incident, or on a span"),
        ({"from_ns": 1}, "on an incident, or on a span"),
        ({"incident_id": "i1", "until_ns": 1}, "on an incident, or on a span"),
        ({"from_ns": 2, "until_ns": 2}, "ends before it begins; give a later end"),
        ({"incident_id": "i1", "reason": " "}, "reason: 1 characters, expected 1 to 2000"),
        ({"incident_id": "i1", "reason": "x" * 2_001}, "reason: 2001 characters, expected 1 to 2000"),
        ({"incident_id": "i1", "person": ""}, "person: 0 characters, expected 1 to 128"),
    ],
)
def test_a_hold_that_cannot_be_placed_says_why(on: dict[str, object], says: str) -> None:
    words = {"incident_id": None, "from_ns": None, "until_ns": None, "reason": "case 5", "person": "ann", **on}
    with pytest.raises(InputError, match=says):
        check_hold(**words)  # type: ignore[arg-type]


def test_the_configuration_gives_a_term_to_every_kind_and_tie() -> None:
    config = parse_config('[retention]\nclips_dismissed = 3\nrejects = "keep"\n', ServerConfig, source="t")
    policy = config.retention.to_policy()
    tied = set(Tie) - {Tie.ALONE}
    assert {kind: set(terms) for kind, terms in policy.terms_ns.items()} == {
        Kind.DETECTIONS: set(Tie),
        Kind.CLIPS: tied,
        Kind.RECEIPTS: tied,
        Kind.REJECTS: {Tie.ALONE},
    }
    assert policy.terms_ns[Kind.CLIPS][Tie.DISMISSED] == 3 * NS_PER_DAY
    assert policy.shortest_ns(Kind.REJECTS) is None
    assert RetentionSection().enabled is False


@pytest.mark.parametrize("value", ["0", "0.5", '"never"', "36501", "true"])
def test_a_term_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[retention]\nclips_dismissed = {value}\n", ServerConfig, source="server.toml")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("server.toml:2: retention.clips_dismissed: expected a whole number of days, 1 to 36500, or")
