"""What a dispatcher does at the page's desk: sign in, take on, decide, search, look back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_samples import incident
from chromium_pipe import Browser
from desk_bench import ROWS, Desk

from fusion_server.api import Mode
from fusion_server.review import Outcome, ReviewRules
from fusion_server.reviewdesk import QueueFilter, ReviewDesk, Show
from fusion_server.roles import Role
from shotline.records import IncidentRecord

pytestmark = pytest.mark.processes

PATIENT = ReviewRules(acknowledge_within_s=1e6, decide_within_s=1e6)
SHEET_OPEN = "document.getElementById('sign-in').open"
ANSWERABLE = "!('rests' in document.querySelector('.decision .main').dataset)"
TALLY = "document.getElementById('sound-switch').dataset"


@pytest.fixture
def make(browser: Browser) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def start(**settings: Any) -> Desk:
        made.append(Desk(browser, **{"review": PATIENT} | settings))
        return made[-1]

    yield start
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    return make()


def shot(number: int, *, seconds_ago: float = 5.0, **more: Any) -> IncidentRecord:
    return incident(number, time_ns=time.time_ns() - round(seconds_ago * 1e9), **more)


def later(record: IncidentRecord, **more: Any) -> IncidentRecord:
    number = int(record.id, 16)
    return shot(number, revision=record.revision + 1, **more)


def decided(desk: Desk, record: IncidentRecord) -> list[tuple[str, str, str, str, int]]:
    return [(d.person, d.outcome.value, d.reason, d.note, d.revision) for d in desk.decisions(record)]


# --- signing in -----------------------------------------------------------------------------------------------------


def test_nothing_is_shown_before_somebody_signed_in(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.member("ann")
    desk.open()
    desk.wait(SHEET_OPEN)
    assert desk.listed() == []
    desk.sign_in("ann", "not her password")
    desk.wait("document.querySelector('#sign-in .says').textContent.includes('no account has this name and password')")
    desk.press("Escape", "Escape")
    desk.wait(SHEET_OPEN)
    desk.sign_in("ann")
    desk.wait_selected(record)
    assert desk.text(".who") == "ann dispatcher"
    desk.click("#sign-out")
    desk.wait("document.getElementById('sign-in')?.open && document.querySelectorAll('#incidents li').length == 0")
    assert record.id not in desk.text("body")


def test_a_session_that_ends_takes_no_word_away(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("d", "9")
    desk.wait("document.activeElement.id == 'decision-note'")
    desk.type("half a sen")
    desk.people.disable("ann", time_ns=time.time_ns(), actor="shell:test")
    desk.wait(SHEET_OPEN)
    assert "The session of ann has ended." in desk.text("#sign-in")
    assert "SIGNED OUT" in desk.text("#lost")
    desk.people.enable("ann", time_ns=time.time_ns(), actor="shell:test")
    desk.sign_in("ann")
    desk.wait("document.getElementById('lost').hidden")
    assert desk.browser.evaluate("document.getElementById('decision-note').value") == "half a sen"
    desk.browser.evaluate("document.getElementById('decision-note').focus()")
    desk.type("tence")
    desk.press("Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'dismissed'")
    assert decided(desk, record) == [("ann", "dismissed", "other", "half a sentence", 1)]


def test_what_was_decided_meanwhile_is_known_after_a_pause(desk: Desk) -> None:
    first, second, third = shot(1), shot(2), shot(3, rounds=4)
    desk.add(first, second)
    desk.enter()
    desk.wait_selected(first)
    desk.people.disable("ann", time_ns=time.time_ns(), actor="shell:test")
    desk.wait(SHEET_OPEN)
    desk.casebook.decide(
        second.id, revision=1, outcome="dismissed", reason="thunder", note="", person="bob", time_ns=time.time_ns()
    )
    desk.add(third, told=False)
    desk.people.enable("ann", time_ns=time.time_ns(), actor="shell:test")
    desk.sign_in("ann")
    desk.wait(f"JSON.stringify({ROWS}) == '{json.dumps([third.id, first.id], separators=(',', ':'))}'")
    assert desk.text("#count") == "2"
    desk.wait_selected(first)


def test_another_person_starts_afresh(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.member("bob")
    desk.enter()
    desk.wait_selected(record)
    desk.press("d", "9")
    desk.type("ann's thoughts")
    desk.people.disable("ann", time_ns=time.time_ns(), actor="shell:test")
    desk.sign_in("bob")
    desk.wait("document.querySelector('.who')?.textContent == 'bob dispatcher'")
    desk.wait_selected(record)
    assert desk.browser.evaluate("document.getElementById('decision-note').value") == ""


def test_what_a_role_may_not_do_is_not_offered(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter("eve", Role.ANALYST)
    desk.wait_selected(record)
    desk.say("bob", record, outcome="undetermined", reason="unclear")
    desk.wait("document.getElementById('desk').dataset.stands == 'undetermined'")
    for act in ("acknowledge", "confirmed", "dismissed", "undetermined", "undo"):
        assert not desk.shown(f"[data-act={act}]")
    assert desk.shown("[data-act=playback]")
    assert "eve (analyst) may not do this; dispatchers and reviewers may." in desk.text("#desk")
    desk.press("c", "1", "Enter", "a")
    desk.wait("document.getElementById('say').textContent.includes('eve (analyst) may not do this')")
    assert [decision.person for decision in desk.decisions(record)] == ["bob"]
    assert desk.casebook.acknowledgements([record.id]) == {}
    assert desk.browser.evaluate(f"{TALLY}.waiting") == "0"


def test_a_right_that_is_taken_away_is_gone_from_the_page(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    assert desk.shown("[data-act=acknowledge]")
    desk.people.set_roles("ann", [Role.ANALYST], time_ns=time.time_ns(), actor="shell:test")
    desk.press("a")
    desk.wait("document.querySelector('.who')?.textContent == 'ann analyst'")
    assert not desk.shown("[data-act=acknowledge]")
    assert desk.casebook.acknowledgements([record.id]) == {}


def test_the_public_is_told_why_nothing_is_here(desk: Desk) -> None:
    desk.add(shot(1))
    desk.member("web", Role.PUBLIC)
    desk.open()
    desk.sign_in("web")
    desk.wait("document.getElementById('none').textContent.includes('web (public) may not do this')")
    assert desk.listed() == []


# --- from the alert to the decision ---------------------------------------------------------------------------------


def test_three_keys_from_the_alert_to_the_decision(desk: Desk) -> None:
    desk.enter()
    record = shot(1)
    desk.add(record)
    desk.wait_selected(record)
    desk.press("c", "1", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    assert decided(desk, record) == [("ann", "confirmed", "casings", "", 1)]
    desk.wait("document.getElementById('say').textContent == 'confirmed: casings or projectiles found.'")
    assert "confirmed by ann" in desk.text("#incidents [aria-current]")
    assert desk.text("#count") == "0"
    assert desk.browser.problems == []


def test_keys_that_come_faster_than_frames_are_for_the_incident_just_chosen(desk: Desk) -> None:
    first, second = shot(1, rounds=3), shot(2)
    desk.add(first, second)
    desk.enter()
    desk.wait_selected(first)
    keys = "['n', 'c', '1', 'Enter'].map((key) => document.dispatchEvent(new KeyboardEvent('keydown', {key})))"
    desk.browser.evaluate(keys)
    desk.wait("document.getElementById('say').textContent.startsWith('confirmed')")
    assert (decided(desk, first), len(decided(desk, second))) == ([], 1)


def test_the_mouse_is_enough(desk: Desk) -> None:
    first, second = shot(1), shot(2)
    desk.add(first, second)
    desk.enter()
    desk.wait_selected(first)
    desk.click(f"[data-incident='{second.id}']")
    desk.wait_selected(second)
    desk.click("[data-act=acknowledge]")
    desk.wait("document.getElementById('desk').dataset.stands == 'taken'")
    desk.click("[data-act=dismissed]")
    desk.click(".reasons label:nth-child(2)")
    desk.click(".decision button.main")
    desk.wait("document.getElementById('desk').dataset.stands == 'dismissed'")
    assert decided(desk, second) == [("ann", "dismissed", "vehicle", "", 1)]
    assert desk.decisions(first) == []


def test_the_reason_other_wants_a_note_and_keys_rest_while_typing(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("u", "Enter")
    assert desk.text(".problem") == "Choose a reason: press its digit."
    desk.press("5", "Enter")
    assert desk.text(".problem") == "Say in the note what the other reason is."
    desk.press("c", "a", "m", "?", "1")
    assert desk.browser.evaluate("document.getElementById('decision-note').value") == "cam?1"
    assert desk.text(".decision legend") == "Undetermined: why?"
    assert not desk.shown("#keys")
    desk.press("Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'undetermined'")
    assert decided(desk, record) == [("ann", "undetermined", "other", "cam?1", 1)]
    assert desk.casebook.acknowledgements([record.id]) == {}


def test_a_note_waits_for_whoever_comes_back(desk: Desk) -> None:
    first, second = shot(1), shot(2)
    desk.add(first, second)
    desk.enter()
    desk.wait_selected(first)
    desk.press("d", "9")
    desk.type("a bang from")
    desk.press("Escape")
    assert not desk.shown(".decision")
    desk.press("j")
    desk.wait_selected(second)
    desk.press("d")
    assert desk.browser.evaluate("document.getElementById('decision-note').value") == ""
    desk.press("Escape", "k")
    desk.wait_selected(first)
    desk.press("d")
    assert desk.browser.evaluate("document.getElementById('decision-note').value") == "a bang from"
    assert desk.browser.evaluate("document.querySelector('.reasons :checked').value") == "other"


def test_a_revision_that_the_page_did_not_hear_of_is_shown_and_asked_about(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("c", "2")
    desk.add(later(record, x_m=93.0, y_m=44.0, rounds=2), told=False)
    desk.press("Enter")
    desk.wait("document.querySelector('.change').textContent.includes('Press Enter once more')")
    assert "Revision 2 came while you decide: moved 5.0 m, 1 shot → 2 shots" in desk.text(".change")
    desk.press("Enter")
    desk.wait(ANSWERABLE)
    desk.browser.press("Enter", held=True)
    assert desk.decisions(record) == []
    desk.press("Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    assert decided(desk, record) == [("ann", "confirmed", "victim", "", 2)]


def test_a_revision_that_comes_while_one_decides_is_asked_about_without_the_server(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("d", "1")
    desk.add(later(record, x_m=93.0, y_m=44.0))
    desk.wait("!document.querySelector('.change').hidden")
    desk.press("Enter")
    assert "Dismiss all the same? Press Enter once more." in desk.text(".change")
    assert desk.decisions(record) == []
    desk.wait(ANSWERABLE)
    desk.press("Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'dismissed'")
    assert decided(desk, record) == [("ann", "dismissed", "fireworks", "", 2)]
    assert desk.browser.problems == []


def test_an_undo_is_one_more_decision(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("c", "1", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    desk.press("z", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'undetermined'")
    desk.press("z", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    withdrawn = "withdrawn: decided by mistake"
    assert decided(desk, record) == [
        ("ann", "confirmed", "casings", "", 1),
        ("ann", "undetermined", "other", f"decision 1 {withdrawn}", 1),
        ("ann", "confirmed", "casings", f"as decision 1; decision 2 {withdrawn}", 1),
    ]
    assert desk.browser.evaluate("document.querySelectorAll('.said li').length") == 3


def test_two_persons(make: Callable[..., Desk]) -> None:
    desk = make(review=ReviewRules(two_persons=True, acknowledge_within_s=1e6, decide_within_s=1e6))
    record = shot(1)
    desk.add(record)
    desk.casebook.decide(
        record.id, revision=1, outcome="confirmed", reason="video", note="", person="bob", time_ns=time.time_ns()
    )
    desk.enter()
    desk.wait_selected(record)
    assert "bob says confirmed: waits for a second person" in desk.text("#desk .stands")
    assert "it stands once somebody else agrees" in desk.text("#desk .hint:not([hidden])")
    desk.press("d", "1", "Enter")
    desk.wait("document.querySelector('#desk .stands').textContent.includes('ann says dismissed')")
    assert "A second person must agree; you cannot be both. The last words of two persons differ." in desk.text("#desk")
    desk.press("c", "5", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")


def test_what_others_do_is_seen_at_once(desk: Desk) -> None:
    record = shot(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.say("bob", record, outcome="dismissed", reason="thunder")
    desk.wait("document.getElementById('desk').dataset.stands == 'dismissed'")
    assert "dismissed by bob: thunder" in desk.text("#incidents [aria-current]")
    assert desk.text("#count") == "0"


# --- the queue ------------------------------------------------------------------------------------------------------


def test_a_new_one_never_takes_away_what_somebody_works_on(desk: Desk) -> None:
    record, worse = shot(1), shot(2, rounds=5)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("c", "1")
    desk.add(worse)
    desk.wait("document.getElementById('news').textContent == '1 new: show the worst'")
    desk.wait_selected(record)
    assert desk.shown(".decision")
    desk.press("Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    assert decided(desk, record) == [("ann", "confirmed", "casings", "", 1)]
    desk.click("#news")
    desk.wait_selected(worse)
    desk.wait("document.getElementById('news').hidden")


def test_after_a_decision_the_next_alert_opens_by_itself(desk: Desk) -> None:
    record, following, third = shot(1), shot(2), shot(4)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    desk.press("c", "1", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    desk.add(following)
    desk.wait_selected(following)
    desk.click("#follow")
    desk.press("c", "1", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    desk.add(third)
    desk.wait("document.getElementById('news').textContent == '1 new: show the worst'")
    desk.wait_selected(following)
    desk.press("n")
    desk.wait_selected(third)


def test_an_alert_is_drawn_from_its_event_alone(desk: Desk) -> None:
    """It is told to the page and to nobody else, so whatever the page would ask about it, the answer is 404."""
    desk.enter()
    record = shot(1, rounds=2)
    desk.live.publish(record)
    desk.wait(f"document.querySelector('#incidents [aria-current]')?.dataset.incident == '{record.id}'")
    assert "2 shots" in desk.text("#desk-title")
    assert desk.browser.evaluate("document.querySelectorAll('[data-round]').length") == 2
    assert desk.browser.evaluate("document.querySelectorAll('[data-arrival]').length") == 7


def test_each_list_is_the_servers(desk: Desk) -> None:
    records = [shot(number, rounds=1 + number % 4, seconds_ago=60 + number) for number in range(1, 13)]
    desk.add(*records)
    now_ns = time.time_ns()
    for record, outcome in zip(records[:4], ["confirmed", "dismissed", "undetermined", "confirmed"], strict=True):
        desk.casebook.decide(
            record.id, revision=1, outcome=outcome, reason="other", note="n", person="bob", time_ns=now_ns
        )
    desk.casebook.decide(
        records[3].id, revision=1, outcome="dismissed", reason="thunder", note="", person="cid", time_ns=now_ns
    )
    desk.casebook.acknowledge(records[5].id, person="bob", time_ns=now_ns)
    desk.enter()
    desk.wait("document.querySelectorAll('#incidents li').length == 8")
    reviewing = ReviewDesk(desk.history.database, desk.casebook, PATIENT)
    desk.browser.evaluate("document.getElementById('follow').click()")
    for show in Show:
        wanted = [e.incident_id for e in reviewing.queue(QueueFilter(show=show), now_ns=time.time_ns())]
        desk.browser.evaluate(
            f"""(() => {{ const list = document.getElementById('show'); list.value = '{show.value}';
            list.dispatchEvent(new Event('change')); }})()"""
        )
        # The one on the desk stays in the list, wanted or not.
        listed = f"({ROWS}).filter((id) => {json.dumps(wanted)}.includes(id) || id != location.hash.split('=')[1])"
        desk.wait(f"JSON.stringify({listed}) == '{json.dumps(wanted, separators=(',', ':'))}'")
        desk.wait(f"document.getElementById('count').textContent == '{len(wanted)}'")


def test_only_the_rows_that_are_seen_exist(desk: Desk) -> None:
    records = [shot(number, seconds_ago=number) for number in range(1, 301)]
    desk.add(*records, told=False)
    desk.enter()
    desk.wait("document.getElementById('count').textContent == '300'")
    assert 5 < desk.browser.evaluate("document.querySelectorAll('#incidents li').length") < 40
    assert desk.browser.evaluate("document.querySelector('#incidents li').ariaSetSize") == "300"
    worst = ReviewDesk(desk.history.database, desk.casebook, PATIENT).queue(QueueFilter(), now_ns=time.time_ns())
    desk.browser.evaluate("document.getElementById('rows').scrollTop = 1e9")
    desk.wait(f"document.querySelector('#incidents [data-incident=\"{worst[-1].incident_id}\"]') !== null")
    assert desk.listed()[-1] == worst[-1].incident_id
    assert desk.browser.evaluate("document.querySelectorAll('#incidents li').length") < 40


def test_five_thousand_in_the_queue_are_in_order_whatever_comes(desk: Desk) -> None:
    """Placed one by one and sorted at once must be the same; none is lost, and few keep their shots."""
    desk.enter()
    assert desk.browser.evaluate(
        """(async () => {
          const { Queue } = await import('/console/queue.js');
          const time = { ticks: true, now_ms: 0, rules: { decide_within_s: 180 } };
          const [one, all] = [new Queue(time), new Queue(time)];
          let seed = 1;
          const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
          const whole = (below) => Math.floor(below * random());
          const made = (id, revision) => ({
            id, revision, state: random() < 0.1 ? 'retracted' : 'revised', rounds: 1 + whole(3),
            probability: whole(10) / 10, time_utc: `2026-01-01T00:00:${10 + whole(40)}Z`,
            as_of_utc: '2026-01-01T00:01:00Z', shots: [1] });
          for (let number = 0; number < 5000; number += 1) {
            const incident = made(`id-${number}`, 1);
            one.take(incident); one.settle(); all.take(incident);
          }
          for (let number = 0; number < 2000; number += 1) {
            const incident = made(`id-${whole(5000)}`, 2 + number);
            one.take(incident); one.settle(); all.take(incident);
            const id = `id-${whole(5000)}`;
            const review = { outcome: random() < 0.7 ? 'confirmed' : null, decisions: [], acknowledgements: [] };
            one.setReview(id, review); one.settle(); all.setReview(id, review);
          }
          all.settle();
          const ids = (queue) => queue.order.map(({ id }) => id).join();
          const same = (show) => { one.setShow(show); all.setShow(show); return ids(one) === ids(all); };
          const shown = [ids(one) === ids(all), same('all')];
          return [shown, all.order.length, all.full.size, all.get('id-0').incident.shots === undefined].flat();
        })()"""
    ) == [True, True, 5000, 200, True]


# --- the alert sound ------------------------------------------------------------------------------------------------


def test_the_alert_sound_begins_with_a_tone_and_goes_on_until_somebody_takes_it_on(make: Callable[..., Desk]) -> None:
    desk = make(review=ReviewRules(acknowledge_within_s=0.5, decide_within_s=1e6))
    desk.enter()
    assert desk.text("#sound-switch") == "Turn sound on"
    assert "before somebody presses a key" in desk.browser.evaluate("document.getElementById('sound-switch').title")
    desk.click("#sound-switch")
    desk.wait(f"{TALLY}.state == 'on'")
    record = shot(1, seconds_ago=0)
    desk.add(record)
    desk.wait(f"{TALLY}.first == '1'")
    desk.wait(f"{TALLY}.waiting == '1' && Number({TALLY}.urgent) >= 2")
    assert desk.text("#sound-switch") == "sound on · 1 to take on"
    desk.press("a")
    desk.wait(f"{TALLY}.waiting == '0'")
    assert [item.person for item in desk.casebook.acknowledgements([record.id])[record.id]] == ["ann"]
    assert desk.text("#sound-switch") == "sound on"


def test_a_reminder_rings_where_the_pages_clock_does_not_run(make: Callable[..., Desk]) -> None:
    desk = make(mode=Mode.REPLAY, review=ReviewRules(acknowledge_within_s=0.5, decide_within_s=0.5))
    record = incident(1)
    desk.add(record)
    desk.enter()
    desk.wait_selected(record)
    assert desk.browser.evaluate(f"{TALLY}.waiting") == "0"
    assert desk.text("#desk .left") == ""
    review = desk.browser.evaluate(f"fetch('/incidents/{record.id}').then((a) => a.json()).then((d) => d.review)")
    desk.live.announce("reminder", f"{record.id}/reminder/1", {"incident": record.id, "revision": 1, "review": review})
    desk.wait(f"{TALLY}.waiting == '1'")


def test_sound_off_is_remembered_and_seen(desk: Desk) -> None:
    desk.enter()
    desk.press("m")
    desk.wait(f"{TALLY}.state == 'muted'")
    desk.add(shot(1))
    desk.wait("document.querySelectorAll('#incidents li').length == 1")
    assert desk.browser.evaluate(f"{TALLY}.first") == "0"
    desk.browser.call("Page.reload")
    desk.wait("document.getElementById('sound-switch')?.textContent == 'SOUND OFF'")
    desk.press("m")
    desk.wait(f"{TALLY}.state != 'muted'")


def test_the_two_stages_sound_as_they_should(desk: Desk) -> None:
    """The second is longer, louder and changes its pitch; zero crossings tell frequency to within one of them."""
    desk.open()
    heard = desk.wait(
        """(async () => {
          const { sound } = await import('/console/siren.js');
          const hear = async (stage) => {
            const context = new OfflineAudioContext(1, 48000, 48000);
            sound(context, stage, 0);
            const samples = (await context.startRendering()).getChannelData(0);
            const hertz = (from_s, to_s) => { let crossings = 0;
              for (let i = from_s * 48000; i < to_s * 48000; i += 1) crossings += samples[i] < 0 !== samples[i + 1] < 0;
              return Math.round(crossings / 2 / (to_s - from_s)); };
            const last = samples.findLastIndex((value) => value !== 0) / 48000;
            const pitch = [hertz(0.05, 0.15), hertz(0.27, 0.37)];
            return { last, peak: Math.max(...samples), hertz: pitch, quiet: Math.abs(samples[0]) };
          };
          return { first: await hear('first'), urgent: await hear('urgent') };
        })()"""
    )
    first, urgent = heard["first"], heard["urgent"]
    assert first["last"] < 0.25 < 0.85 < urgent["last"]
    assert first["peak"] < 0.3 < 0.45 < urgent["peak"] < 0.6
    assert abs(first["hertz"][0] - 880) <= 10
    assert first["hertz"][1] == 0
    assert [abs(a - b) <= 10 for a, b in zip(urgent["hertz"], [988, 1320], strict=True)] == [True, True]
    assert first["quiet"] == urgent["quiet"] == 0


def test_an_overdue_one_is_marked_and_the_time_to_decide_runs(make: Callable[..., Desk]) -> None:
    desk = make(review=ReviewRules(acknowledge_within_s=1e6, decide_within_s=60))
    late, early = shot(1, seconds_ago=100), shot(2, seconds_ago=10)
    desk.add(late, early)
    desk.enter()
    desk.wait_selected(late)
    assert "overdue, nobody took it on" in desk.text(f"[data-incident='{late.id}']")
    assert desk.text("#desk .left").startswith("late by 0:")
    desk.press("j")
    desk.wait_selected(early)
    before = desk.text("#desk .left")
    assert before.endswith(" to decide")
    desk.wait(f"document.querySelector('#desk .left').textContent != '{before}'")


# --- history, the past ----------------------------------------------------------------------------------------------


def test_search_by_time_outcome_probability_place_and_words(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    old = incident(1, scene="north field", x_m=2000.0)
    confirmed, unsure = incident(2, rounds=3), incident(3)
    desk.add(old, confirmed, unsure)
    desk.casebook.decide(
        confirmed.id, revision=1, outcome="confirmed", reason="victim", note="", person="bob", time_ns=time.time_ns()
    )
    desk.open()
    desk.wait(
        "document.querySelectorAll('.node').length >= 9 && document.querySelectorAll('#incidents li').length == 2"
    )
    desk.press("/")
    desk.wait("document.activeElement.id == 'search-text'")

    def found(**fields: str | bool) -> list[str]:
        values = {"text": "", "since": "", "until": "", "outcome": "all", "least": "0", "here": False} | fields
        for name, value in values.items():
            field = "checked" if isinstance(value, bool) else "value"
            literal = str(value).lower() if isinstance(value, bool) else f"'{value}'"
            desk.browser.evaluate(f"document.getElementById('search-{name}').{field} = {literal}")
        desk.browser.evaluate("document.querySelector('#search [role=status]').textContent = ''")
        desk.browser.evaluate("document.querySelector('#search form').requestSubmit()")
        desk.wait("document.querySelector('#search [role=status]').textContent")
        links = "[...document.querySelectorAll('.results a')].map((a) => a.hash.split('=')[1])"
        return list(desk.browser.evaluate(f"new Promise((done) => setTimeout(() => done({links})))"))

    assert found() == [old.id, unsure.id, confirmed.id]
    assert found(text="North") == [old.id]
    assert found(text=unsure.id) == [unsure.id]
    assert found(outcome="confirmed") == [confirmed.id]
    assert found(least="90") == [old.id, confirmed.id]
    assert found(since=confirmed.time_utc[:19]) == [unsure.id, confirmed.id]
    assert found(until=confirmed.time_utc[:19]) == [old.id]
    desk.browser.evaluate("document.getElementById('zoom-incident').click()")
    assert found(here=True) == [old.id]
    found(outcome="confirmed")
    desk.click(".results a")
    desk.wait(
        f"location.hash == '#incident={confirmed.id}' && document.getElementById('desk').dataset.stands == 'confirmed'"
    )
    desk.press("Escape")
    assert desk.shown("#queue")


def test_a_link_opens_an_incident_that_is_long_decided(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    record, other = incident(1), shot(2)
    desk.add(record, other)
    desk.casebook.decide(
        record.id, revision=1, outcome="dismissed", reason="thunder", note="", person="bob", time_ns=time.time_ns()
    )
    desk.open(path=f"#incident={record.id}")
    desk.wait_selected(record)
    assert desk.text("#desk .stands .says") == "dismissed by bob: thunder"


def test_the_past_is_played_in_its_own_time(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    first = incident(1, rounds=2)
    desk.add(first, incident(1, revision=2, rounds=3, x_m=93.0, y_m=44.0))
    desk.casebook.acknowledge(first.id, person="bob", time_ns=time.time_ns())
    desk.open()
    desk.wait_selected(first)
    desk.press("p")
    desk.wait("!document.getElementById('playback').hidden")
    desk.wait("document.querySelector('.moment').textContent.startsWith('4 of 6: revision 1, provisional: 2 shots')")
    assert "THE PAST: 00:50:30.54 UTC, 2.00 s after the first shot. Revision 1." in desk.text(".strip.past")
    assert desk.browser.evaluate("document.querySelectorAll('[data-round]').length") == 2
    assert "revision 1" in desk.text(".headline")
    desk.wait("document.querySelector('.moment').textContent.startsWith('6 of 6: bob took it on')")
    assert "revision 2" in desk.text(".headline")
    assert desk.text(".controls .main") == "Play"
    desk.browser.evaluate(
        """(() => { const scrub = document.querySelector('.controls input'); scrub.value = 0;
        scrub.dispatchEvent(new Event('input')); })()"""
    )
    desk.wait("document.querySelectorAll('[data-round]').length == 1")
    assert desk.text(".moment") == "1 of 6: round 1 of 3 was fired"
    assert "No result yet" in desk.text(".strip.past")
    desk.press("Escape")
    desk.wait("document.getElementById('playback').hidden && document.querySelectorAll('[data-round]').length == 3")
    assert not desk.browser.evaluate("document.body.classList.contains('past')")


def test_deciding_ends_the_past(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    record = incident(1)
    desk.add(record, incident(1, revision=2, x_m=93.0))
    desk.open()
    desk.wait_selected(record)
    desk.press("p")
    desk.wait("document.body.classList.contains('past')")
    desk.press("c", "1", "Enter")
    desk.wait("document.getElementById('desk').dataset.stands == 'confirmed'")
    assert not desk.browser.evaluate("document.body.classList.contains('past')")
    assert [(d.outcome, d.revision) for d in desk.decisions(record)] == [(Outcome.CONFIRMED, 2)]


# --- keys, colours, sizes -------------------------------------------------------------------------------------------


def test_every_key_is_listed_and_single_keys_can_rest(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    record = shot(1)
    desk.add(record)
    desk.open()
    desk.wait_selected(record)
    desk.press("?")
    desk.wait("document.getElementById('keys').open")
    listed = desk.browser.evaluate("[...document.querySelectorAll('#keys kbd')].map((key) => key.textContent)")
    acts = "import('/console/keys.js').then(({ KEYS }) => KEYS.flatMap(({ keys }) => keys))"
    assert listed == desk.browser.evaluate(acts)
    page = (Path(__file__).parents[2] / "docs" / "console.md").read_text()
    assert [key for key in listed if f"`{key}`" not in page] == []
    assert {"c", "d", "u", "a", "z", "n", "p", "m", "t", "/", "?"} <= set(listed)
    desk.press("c")
    desk.click("#keys [type=checkbox]")
    desk.click("#keys .main")
    desk.press("c")
    assert not desk.shown(".decision")
    desk.press("?")
    desk.wait("document.getElementById('keys').open")
    desk.click("#keys [type=checkbox]")
    desk.click("#keys .main")
    desk.press("c")
    assert desk.shown(".decision")


def test_colours_follow_the_system_until_somebody_chooses(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    ground = "getComputedStyle(document.body).backgroundColor"
    desk.open(dark=True)
    desk.wait("document.documentElement.dataset.theme == 'dark'")
    dark = desk.browser.evaluate(ground)
    desk.press("t")
    desk.wait("document.documentElement.dataset.theme == 'light'")
    light = desk.browser.evaluate(ground)
    assert light != dark
    desk.browser.call("Page.reload")
    desk.wait(f"document.getElementById('theme')?.textContent == 'light' && {ground} == '{light}'")
    desk.press("t")
    assert desk.browser.evaluate(ground) == dark
    desk.press("t")
    assert desk.text("#theme") == "auto"


@pytest.mark.parametrize("dark", [False, True])
def test_the_desk_is_readable(make: Callable[..., Desk], *, dark: bool) -> None:
    """Contrast of text against its ground is at least 4.5, as WCAG 2.1 AA asks."""
    desk = make(accounts=False, review=ReviewRules(two_persons=True, acknowledge_within_s=1e6, decide_within_s=60))
    records = [shot(number, seconds_ago=20 * number) for number in range(1, 9)]
    desk.add(*records)
    now_ns = time.time_ns()
    desk.casebook.acknowledge(records[1].id, person="bob", time_ns=now_ns)
    desk.casebook.decide(
        records[0].id, revision=1, outcome="confirmed", reason="other", note="n", person="bob", time_ns=now_ns
    )
    desk.open(dark=dark)
    desk.wait("document.querySelectorAll('#incidents li').length == 8")
    desk.browser.evaluate(f"document.querySelector('#incidents [data-incident=\"{records[0].id}\"]').click()")
    desk.wait_selected(records[0])
    desk.press("c", "Enter")
    desk.add(later(records[0], x_m=93.0), shot(20))
    desk.wait("!document.querySelector('.change').hidden && !document.getElementById('news').hidden")
    stands = "[...new Set([...document.querySelectorAll('#incidents button')].map((row) => row.dataset.stands))]"
    assert set(desk.browser.evaluate(stands)) == {"new", "overdue", "taken", "waits"}
    assert desk.browser.least_contrast("header *, .list *, #desk *, .toast") >= (4.5, "")
    desk.press("Escape", "?")
    desk.wait("document.getElementById('keys').open")
    assert desk.browser.least_contrast("#keys *") >= (4.5, "")


def test_shapes_tell_where_an_incident_stands_without_colour(make: Callable[..., Desk]) -> None:
    desk = make(accounts=False)
    desk.open()
    desk.wait("document.getElementById('connection')?.dataset.status == 'ok'")
    marks = desk.browser.evaluate(
        """import('/console/standing.js').then(({ NO_REVIEW, standing }) => {
          const time = { ticks: true, now_ms: 1e6, rules: { decide_within_s: 60 } };
          const said = { person: 'bob', outcome: 'confirmed', reason_says: 'r' };
          const at = (review, state = 'revised', told_ms = 1e6) =>
            standing({ incident: { state }, told_ms, review: { ...NO_REVIEW, ...review } }, time);
          return [at({}), at({}, 'revised', 0), at({}, 'retracted'), at({ acknowledgements: [said] }),
            at({ waits_for_second: said }), at({ outcome: 'confirmed', disputed: true }),
            ...['confirmed', 'dismissed', 'undetermined'].map((outcome) => at({ outcome, decisions: [said] }))];
        })"""
    )
    kinds = ["new", "overdue", "retracted", "taken", "waits", "disputed", "confirmed", "dismissed", "undetermined"]
    assert [mark["kind"] for mark in marks] == kinds
    assert len({mark["mark"] for mark in marks}) == len(kinds)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (3840, 2160), (390, 844)])
def test_it_fits_the_screen(make: Callable[..., Desk], width: int, height: int) -> None:
    """From a phone to a wall: nothing is wider than the screen, and the way to a decision is in reach."""
    desk = make(accounts=False)
    desk.add(*[shot(number) for number in range(1, 20)])
    sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    desk.browser.call("Emulation.setDeviceMetricsOverride", **sizes)
    try:
        desk.open()
        desk.wait("document.querySelectorAll('.log').length >= 2")
        assert desk.browser.evaluate("document.documentElement.scrollWidth") <= width
        desk.press("c")
        assert desk.shown(".decision")
        inside = "document.querySelector('.decision .main').getBoundingClientRect()"
        assert desk.browser.evaluate(f"{inside}.right") <= width
        if width > 1000:
            assert desk.browser.evaluate(f"{inside}.bottom") <= height
            assert desk.browser.evaluate("document.documentElement.scrollHeight") <= height
    finally:
        desk.browser.call("Emulation.clearDeviceMetricsOverride")
