"""Decisions of people as layers: what stands, what waits for a second person, what is overdue, what comes first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_samples import EPOCH_NS, SECOND_NS, incident

from fusion_server.review import (
    REASONS,
    Acknowledgement,
    Decision,
    Outcome,
    ReviewRules,
    check_decision,
    moved_m,
    review_status,
    standing,
    worst_first,
)
from shotline.errors import InputError
from shotline.records import IncidentRecord
from shotline.timebase import format_utc

CONFIRMED, DISMISSED, UNDETERMINED = Outcome.CONFIRMED, Outcome.DISMISSED, Outcome.UNDETERMINED


def said(*words: tuple[str, Outcome], revision: int = 1) -> list[Decision]:
    return [
        Decision(
            number=number,
            incident_id="i",
            revision=revision,
            outcome=outcome,
            reason="other",
            note="so",
            person=person,
            time_ns=EPOCH_NS + number * SECOND_NS,
        )
        for number, (person, outcome) in enumerate(words, start=1)
    ]


def told(*, revision: int = 1, x_m: float = 0.0, state: str = "provisional", after_s: float = 0.0) -> IncidentRecord:
    as_of_utc = format_utc(EPOCH_NS + round(after_s * SECOND_NS))
    return msgspec.structs.replace(incident(), revision=revision, x_m=x_m, y_m=0.0, state=state, as_of_utc=as_of_utc)


class TestStanding:
    def test_nobody(self) -> None:
        assert standing([], two_persons=False).outcome is None

    def test_one_person_may_think_again(self) -> None:
        decisions = said(("ann", CONFIRMED), ("ann", DISMISSED))
        stands = standing(decisions, two_persons=False)
        assert (stands.outcome, stands.decision, stands.disputed) == (DISMISSED, decisions[1], False)

    def test_with_two_persons_one_is_not_enough(self) -> None:
        decisions = said(("ann", CONFIRMED), ("ann", CONFIRMED))
        stands = standing(decisions, two_persons=True)
        assert (stands.outcome, stands.waits_for_second) == (None, decisions[1])

    def test_a_second_person_makes_it_stand(self) -> None:
        decisions = said(("ann", CONFIRMED), ("bo", CONFIRMED))
        stands = standing(decisions, two_persons=True)
        assert (stands.outcome, stands.decision, stands.waits_for_second) == (CONFIRMED, decisions[1], None)

    def test_two_who_differ(self) -> None:
        stands = standing(said(("ann", CONFIRMED), ("bo", DISMISSED)), two_persons=True)
        assert (stands.outcome, stands.disputed) == (None, True)
        assert standing(said(("ann", CONFIRMED), ("bo", DISMISSED)), two_persons=False).disputed

    def test_what_stood_stands_until_two_say_otherwise(self) -> None:
        first = said(("ann", CONFIRMED), ("bo", CONFIRMED), ("ann", DISMISSED))
        stands = standing(first, two_persons=True)
        assert (stands.outcome, stands.waits_for_second) == (CONFIRMED, first[2])
        both = said(("ann", CONFIRMED), ("bo", CONFIRMED), ("ann", DISMISSED), ("bo", DISMISSED))
        assert standing(both, two_persons=True).outcome is DISMISSED

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(list(Outcome))), min_size=1, max_size=8),
    )
    def test_with_two_persons_what_stands_was_said_by_two(self, words: list[tuple[str, Outcome]]) -> None:
        outcome = standing(said(*words), two_persons=True).outcome
        if outcome is not None:
            assert len({person for person, word in words if word is outcome}) >= 2
        # With one it is the last word.
        assert standing(said(*words), two_persons=False).outcome is words[-1][1]


class TestCheckDecision:
    def test_every_reason_is_one(self) -> None:
        for outcome, codes in REASONS.items():
            for code in codes:
                assert check_decision(outcome, code, "why", "ann") is outcome

    @pytest.mark.parametrize(
        ("outcome", "reason", "note", "person", "field"),
        [
            ("maybe", "other", "x", "ann", "outcome"),
            ("confirmed", "fireworks", "", "ann", "reason"),
            ("confirmed", "other", "  ", "ann", "note"),
            ("confirmed", "casings", "x" * 2_001, "ann", "note"),
            ("confirmed", "casings", "", "", "person"),
        ],
    )
    def test_mistakes_are_named(self, outcome: str, reason: str, note: str, person: str, field: str) -> None:
        with pytest.raises(InputError) as caught:
            check_decision(outcome, reason, note, person)
        assert caught.value.problems[0].field == field


class TestReviewStatus:
    RULES = ReviewRules(acknowledge_within_s=30.0, decide_within_s=180.0)

    def after(self, seconds: float) -> int:
        return EPOCH_NS + round(seconds * SECOND_NS)

    @pytest.mark.parametrize(
        ("age_s", "due", "overdue"), [(0.0, 0, False), (29.9, 0, False), (95.0, 3, False), (181.0, 6, True)]
    )
    def test_an_alert_that_nobody_takes_is_repeated(self, age_s: float, due: int, overdue: bool) -> None:
        status = review_status([told()], [], [], rules=self.RULES, now_ns=self.after(age_s))
        assert (status.reminders_due, status.overdue, status.open) == (due, overdue, True)
        assert status.age_s == pytest.approx(age_s)

    def test_who_takes_it_stops_the_repeats_and_not_the_timer(self) -> None:
        taken = Acknowledgement(incident_id="i", person="ann", time_ns=self.after(5.0))
        status = review_status([told()], [], [taken], rules=self.RULES, now_ns=self.after(200.0))
        assert (status.reminders_due, status.overdue, status.acknowledged) == (0, True, taken)

    def test_a_decision_ends_both(self) -> None:
        status = review_status([told()], said(("ann", CONFIRMED)), [], rules=self.RULES, now_ns=self.after(200.0))
        assert (status.reminders_due, status.overdue, status.open) == (0, False, False)

    def test_what_was_taken_back_is_not_repeated(self) -> None:
        revisions = [told(), told(revision=2, state="retracted", after_s=3.0)]
        assert review_status(revisions, [], [], rules=self.RULES, now_ns=self.after(100.0)).reminders_due == 0

    def test_how_far_the_result_moved_since_it_was_decided_on(self) -> None:
        revisions = [told(), told(revision=2, x_m=3.0), told(revision=3, x_m=10.0)]
        assert moved_m(revisions[0], revisions[2]) == 10.0
        status = review_status(
            revisions, said(("ann", CONFIRMED), revision=2), [], rules=self.RULES, now_ns=self.after(9.0)
        )
        assert status.changed_since_decision_m == 7.0
        undecided = review_status(revisions, [], [], rules=self.RULES, now_ns=self.after(9.0))
        assert undecided.changed_since_decision_m is None

    def test_worst_first_and_nothing_lost(self) -> None:
        def queued(name: str, probability: float, rounds: int, state: str = "revised") -> IncidentRecord:
            return msgspec.structs.replace(told(state=state), id=name, probability=probability, rounds=rounds)

        decided = review_status([told()], said(("ann", CONFIRMED)), [], rules=self.RULES, now_ns=self.after(1.0))
        waiting = review_status([told()], [], [], rules=self.RULES, now_ns=self.after(1.0))
        queue = [
            (queued("decided", 0.9, 30), decided),
            (queued("one", 0.9, 1), waiting),
            (queued("gone", 0.9, 9, "retracted"), waiting),
            (queued("ten", 0.9, 10), waiting),
            (queued("doubtful ten", 0.2, 10), waiting),
        ]
        queue.sort(key=lambda item: worst_first(*item))
        assert [record.id for record, _ in queue] == ["ten", "doubtful ten", "one", "gone", "decided"]
