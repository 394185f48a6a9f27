"""The sound panel and the why panel in a real browser, over real FLAC clips."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alert_samples import detection_of, incident
from argon2 import PasswordHasher
from chromium_pipe import Browser
from sound_samples import SoundServer, explained, keep, recorded_shots, serve, town

from fusion_server.accounts import Accounts
from fusion_server.api import AccessRules, Gate
from fusion_server.casebook import Casebook
from fusion_server.clips import RefusedClip
from fusion_server.history import History, Receipt
from fusion_server.review import Outcome
from fusion_server.roles import Role
from shotline.domain import DetectionId
from shotline.records import IncidentRecord

pytestmark = pytest.mark.processes

LIVE_FIRE = Path(__file__).parents[2].parent / "shared" / "data" / "pittsburgh"
EVIL = "<img src=x onerror=document.title='owned'>"
PASSWORD = "a long walk home"
ROWS = """Object.fromEntries([...document.querySelectorAll('#sound [role=option]')].map(
  (row) => [row.dataset.node,
    [row.dataset.state, row.querySelector('.row-says').title, row.ariaLabel]]))"""
ROUND = "Number(document.querySelector('.timeline').getAttribute('aria-valuenow'))"
LOUD = """(() => {
  const far = (y, height) => Math.abs(y + 0.5 - height / 2) > height / 5;
  return Object.fromEntries([...document.querySelectorAll('#sound [role=option]')].map((row) => {
    const canvas = row.querySelector('canvas');
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const isWave = (at) => data[at + 3] > 64 && data[at + 2] > data[at] + 50;
    for (let x = 0; x < width; x += 1)
      for (let y = 0; y < height; y += 1)
        if (far(y, height) && isWave(4 * (y * width + x))) return [row.dataset.node, 50 * (x / width - 0.2)];
    return [row.dataset.node, null];
  }));
})()"""
"""When the wave of each row first leaves its middle, in ms after the predicted arrival, with 50 ms shown. In light
colours the wave is blue, and what is drawn over it is not."""
FILL_WINDOW = """Object.assign(document.getElementById('sound').style,
  { position: 'fixed', inset: '0 0 0 40%', maxHeight: 'none', zIndex: 2000 })"""
"""Rows that nobody sees are not drawn: most tests give the panel room for all of them."""
STARTS = """(() => {
  window.started = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when, offset, duration) {
    window.started.push([when, offset, duration, this.buffer.duration]);
    return start.call(this, when, offset, duration);
  };
})()"""


@pytest.fixture
def served(browser: Browser) -> Iterator[SoundServer]:
    made = serve()
    yield made
    leave(browser, made)


def leave(browser: Browser, served: SoundServer) -> None:
    """Leave the page before its server goes, so that the next test is not told that it went."""
    browser.open("about:blank")
    browser.wait_for("location.href == 'about:blank'")
    served.stop()


def show(
    browser: Browser,
    served: SoundServer,
    record: IncidentRecord,
    *,
    dark: bool = False,
    drawn: int = 5,
    whole: bool = True,
) -> None:
    browser.problems.clear()
    browser.open(f"{served.server.url}#incident={record.id}", dark=dark)
    browser.wait_for("document.querySelectorAll('#sound [role=option]').length > 0")
    if whole:
        browser.evaluate(FILL_WINDOW)
    browser.wait_for(f"document.querySelectorAll('#sound [data-state=drawn]').length >= {drawn}")
    browser.wait_for("document.querySelectorAll('.timeline canvas').length > 0")


def text(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def press(browser: Browser, key: str, *, shift: bool = False) -> None:
    parts: dict[str, Any] = {"key": key, "code": "Space" if key == " " else key, "modifiers": 8 if shift else 0}
    said = {"text": key} if len(key) == 1 else {}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **parts, **said)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **parts)


def focus(browser: Browser, selector: str) -> None:
    browser.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")


def residuals_ms(record: IncidentRecord, round_index: int) -> dict[str, float]:
    shot = record.shots[round_index]
    return {item.node: 1000 * item.residual_s for item in shot.arrivals if item.residual_s is not None}


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_the_round_is_one_choice_of_timeline_and_why_panel(browser: Browser, served: SoundServer) -> None:
    record = explained(incident(1, rounds=5))
    keep(served.history, record)
    show(browser, served, record)
    slider = "document.querySelector('.timeline')"
    assert browser.evaluate(f"{slider}.getAttribute('aria-valuemax')") == "5"
    assert browser.evaluate(ROUND) == 1
    focus(browser, ".timeline")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.evaluate(ROUND) == 3
    assert text(browser, ".chooser [aria-pressed=true]") == "3"
    words = browser.evaluate(f"{slider}.getAttribute('aria-valuetext')")
    assert words == "round 3 of 5, 00:50:28.773 UTC, 95 % within 6.2 m, 6 arrivals used, 1 left out"
    assert "0.115 s after the one before" in text(browser, ".readout")
    browser.evaluate("document.querySelectorAll('.chooser button')[4].click()")
    assert browser.evaluate(ROUND) == 5
    assert browser.evaluate("document.activeElement.tagName") == "DIV"
    browser.press("Home")
    assert browser.evaluate(ROUND) == 1
    assert browser.problems == []


def test_a_click_chooses_the_round_of_the_nearest_mark(browser: Browser, served: SoundServer) -> None:
    record = incident(1, rounds=5)
    keep(served.history, record)
    show(browser, served, record)
    # The last round's arrival at the last node is the rightmost mark that was used: 4 % of the width from the edge.
    box = browser.evaluate(
        "(() => { const b = document.querySelectorAll('.timeline .u-over')[1].getBoundingClientRect(); "
        "return [b.left, b.top, b.width, b.height]; })()"
    )
    x, y = box[0] + box[2] * 0.96, box[1] + box[3] * 0.9
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert browser.evaluate(ROUND) == 5


def test_rounds_are_a_table_too(browser: Browser, served: SoundServer) -> None:
    record = incident(1, rounds=3)
    keep(served.history, record)
    show(browser, served, record)
    rows = browser.evaluate(
        "[...document.querySelectorAll('.as-table tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert rows == [
        ["1", "00:50:28.543", "–", "6.2 m", "6", "1"],
        ["2", "00:50:28.658", "0.115", "6.2 m", "6", "1"],
        ["3", "00:50:28.773", "0.115", "6.2 m", "6", "1"],
    ]


# --- the sound of all nodes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_index", [0, 2])
def test_waves_begin_at_their_residuals_after_the_zero_line(
    browser: Browser, served: SoundServer, round_index: int
) -> None:
    record = incident(1, rounds=3)
    keep(served.history, record, refused="")
    show(browser, served, record, drawn=6)
    focus(browser, ".waves")
    for _ in range(round_index):
        browser.press("ArrowRight")
    for _ in range(3):
        browser.press("+")
    assert text(browser, ".zoom") == "50 ms"
    browser.wait_for("document.querySelectorAll('#sound [data-state=drawn]').length >= 6")
    seen = browser.evaluate(LOUD)
    expected = residuals_ms(record, round_index)
    assert seen.pop("roof-04") is None
    assert sorted(seen) == [node for node in sorted(expected) if node != "roof-04"]
    for node, at_ms in seen.items():
        # A pixel is 0.1 ms and the blast takes a sample of 0.06 ms to rise; the pick's triangle covers 5 pixels of it.
        assert -0.2 < at_ms - expected[node] < 0.7, node
    assert browser.problems == []


@pytest.mark.skipif(not LIVE_FIRE.is_dir(), reason="no live-fire recordings in ../shared/data/pittsburgh")
def test_real_shots_begin_where_their_picks_are(browser: Browser) -> None:
    """Three rounds of live fire: picks are the data set's, waves its recordings, the place is solved here."""
    record, clips, sites = recorded_shots(LIVE_FIRE)
    served = serve(sites=sites)
    try:
        served.history.append_incident(record)
        for shot in record.shots:
            served.history.store([detection_of(arrival) for arrival in shot.arrivals])
        served.history.append_clips(clips)
        show(browser, served, record, drawn=6)
        focus(browser, ".waves")
        for _ in range(3):
            browser.press("+")
        browser.wait_for("document.querySelectorAll('#sound [data-state=drawn]').length >= 6")
        seen = {node: at_ms for node, at_ms in browser.evaluate(LOUD).items() if at_ms is not None}
        expected = residuals_ms(record, 0)
        assert set(seen) == {clip.uid.node for clip in clips}
        for node, at_ms in seen.items():
            # Picks are rounded to 1 ms; a real wave takes up to 2 ms to leave what noise may fill.
            assert -1.0 < at_ms - expected[node] < 3.0, node
        press(browser, " ", shift=True)
        browser.wait_for("document.getElementById('sound').dataset.playing == 'all'")
        press(browser, " ", shift=True)
        assert browser.problems == []
    finally:
        leave(browser, served)


def test_each_row_says_residual_sigma_and_why_there_is_no_clip(browser: Browser, served: SoundServer) -> None:
    record = incident(1, rounds=2)
    keep(served.history, record)
    show(browser, served, record)
    rows = browser.evaluate(ROWS)
    residual = residuals_ms(record, 0)["roof-05"]
    assert rows["roof-05"][0] == "drawn"
    # 0.4 ms of the clock and 0.1 ms of picking.
    assert rows["roof-05"][1].startswith(f"{residual:+.1f} ± 0.4 ms, used; peak −".replace("-", "−"))
    assert rows["roof-05"][2].startswith("roof-05, ")
    assert rows["roof-06"][0] == "missing"
    assert "no clip: sound was lost around the shot" in rows["roof-06"][1]
    assert rows["roof-04"][1] == "+41.2 ± 0.4 ms, left out; no clip: only nodes that a fix used are asked"
    assert "not the sound announced" in rows["roof-03"][1]


def test_what_a_node_did_not_report_is_due_by_the_air_of_the_fix(browser: Browser, served: SoundServer) -> None:
    record = explained(incident(1, rounds=2))
    second = record.shots[1]
    second = msgspec.structs.replace(
        second, arrivals=tuple(item for item in second.arrivals if item.node != "roof-05"), passed_over=()
    )
    record = msgspec.structs.replace(record, shots=(record.shots[0], second))
    keep(served.history, record)
    show(browser, served, record)
    focus(browser, ".waves")
    browser.press("ArrowRight")
    rows = browser.evaluate(ROWS)
    assert rows["roof-05"][1].startswith("reported nothing when it was due; peak")


def test_one_scale_or_each_its_own(browser: Browser, served: SoundServer) -> None:
    record = incident(1)
    keep(served.history, record, refused="")
    show(browser, served, record, drawn=6)
    height = """Math.min(...[...document.querySelectorAll('#sound [data-state=drawn] canvas')].map((canvas) => {
      const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let most = 0;
      for (let x = Math.round(width / 4); x < width; x += 1) {
        let high = 0;
        for (let y = 0; y < height; y += 1) high += data[4 * (y * width + x) + 3] > 0;
        most = Math.max(most, high);
      }
      return most;
    }))"""
    own = browser.evaluate(height)
    browser.evaluate("document.querySelector('[data-do=scale]').click()")
    assert browser.evaluate("document.querySelector('[data-do=scale]').getAttribute('aria-pressed')") == "true"
    browser.wait_for(f"{height} < {own}")


def test_the_spectrogram_has_words_and_follows_the_chosen_node(browser: Browser, served: SoundServer) -> None:
    record = incident(1)
    keep(served.history, record)
    show(browser, served, record)
    focus(browser, ".waves")
    browser.press("3")
    assert browser.evaluate("document.querySelector('#sound [aria-selected=true]').dataset.node") == "roof-02"
    assert browser.evaluate("document.querySelector('.waves').getAttribute('aria-activedescendant')") == "wave-2"
    browser.evaluate("document.querySelector('.spectrogram').scrollIntoView()")
    browser.wait_for("document.querySelector('.spectrogram h3')?.textContent == 'Spectrogram of roof-02'")
    words = browser.evaluate("document.querySelector('canvas.spectrum').ariaLabel")
    assert words.startswith("Spectrogram of roof-02, 2.0 s up to 8 kHz: strongest at ")
    browser.press("ArrowDown")
    assert browser.evaluate("document.querySelector('#sound [aria-selected=true]').dataset.node") == "roof-03"


# --- to hear ---------------------------------------------------------------------------------------------------------


def test_space_plays_one_node_and_stops(browser: Browser, served: SoundServer) -> None:
    record = incident(1)
    keep(served.history, record)
    show(browser, served, record)
    browser.evaluate(STARTS)
    focus(browser, ".waves")
    press(browser, " ")
    browser.wait_for("document.getElementById('sound').dataset.playing == 'roof-05'")
    browser.wait_for("!document.querySelector('.spectrogram .playhead').hidden")
    assert text(browser, "[data-do=one]") == "■ Stop"
    press(browser, " ")
    browser.wait_for("document.getElementById('sound').dataset.playing === undefined")
    assert text(browser, "[data-do=one]") == "▶ roof-05"
    ((_, offset_s, duration_s, whole_s),) = browser.evaluate("window.started")
    assert (offset_s, duration_s, whole_s) == (0, 2, 2)
    press(browser, " ")
    browser.wait_for("document.getElementById('sound').dataset.playing == 'roof-05'")
    browser.wait_for("document.getElementById('sound').dataset.playing === undefined")
    assert browser.problems == []


def test_all_nodes_play_with_their_predicted_arrivals_at_one_instant(browser: Browser, served: SoundServer) -> None:
    record = incident(1)
    keep(served.history, record, refused="")
    show(browser, served, record, drawn=6)
    browser.evaluate(STARTS)
    focus(browser, ".waves")
    press(browser, " ", shift=True)
    browser.wait_for("document.getElementById('sound').dataset.playing == 'all'")
    started = browser.evaluate("window.started")
    # A clip begins 0.5 s before its pick, so its predicted arrival is 0.5 s less the residual into it.
    due_s = sorted(0.5 - residual / 1000 for node, residual in residuals_ms(record, 0).items() if node != "roof-04")
    assert len({when_s for when_s, *_ in started}) == 1
    offsets_s = sorted(offset_s for _, offset_s, *_ in started)
    first = due_s[0]
    assert offsets_s == pytest.approx([item - first for item in due_s], abs=1e-6)
    assert len({round(duration_s, 6) for _, _, duration_s, _ in started}) == 1
    press(browser, " ", shift=True)
    browser.wait_for("document.getElementById('sound').dataset.playing === undefined")


# --- who may know ----------------------------------------------------------------------------------------------------


def signed_in(browser: Browser, served: SoundServer, role: Role) -> None:
    browser.open(served.server.url)
    browser.wait_for("document.readyState == 'complete'")
    body = json.dumps({"name": role.value, "password": PASSWORD})
    status = browser.evaluate(
        "fetch('/access/login', { method: 'POST', body: " + json.dumps(body) + ", headers: "
        "{ 'Content-Type': 'application/json', 'X-Shotline-Request': '1' } }).then((answer) => answer.status)"
    )
    assert status in (200, 204)
    browser.open("about:blank")
    browser.wait_for("location.href == 'about:blank'")


@pytest.fixture
def guarded(browser: Browser) -> Iterator[SoundServer]:
    history = History.open("sqlite://")
    accounts = Accounts(history.database, hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for role in (Role.DISPATCHER, Role.ENGINEER):
        accounts.add(role.value, roles=[role], password=PASSWORD, time_ns=time.time_ns(), actor="shell:test")
    gate = Gate(AccessRules(accounts=True), Casebook(history.database), accounts=accounts, now_ns=time.time_ns)
    made = serve(gate=gate, history=history)
    yield made
    leave(browser, made)


def test_a_dispatcher_hears_clips_that_are_not_aligned(browser: Browser, guarded: SoundServer) -> None:
    record = incident(1, rounds=2)
    keep(guarded.history, record)
    signed_in(browser, guarded, Role.DISPATCHER)
    show(browser, guarded, record)
    assert "This role may not know where sensors are, so times are cut" in text(browser, ".note")
    assert browser.evaluate("document.querySelector('.lanes').hidden") is True
    assert browser.evaluate("document.querySelector('[data-do=all]').disabled") is True
    rows = browser.evaluate(ROWS)
    assert rows["roof-05"][1].startswith("peak −")
    assert rows["roof-06"][1] == "no clip: sound was lost around the shot"
    focus(browser, ".waves")
    press(browser, " ")
    browser.wait_for("document.getElementById('sound').dataset.playing == 'roof-01'")
    assert browser.problems == []


def test_who_may_not_listen_is_told_so(browser: Browser, guarded: SoundServer) -> None:
    record = incident(1, rounds=2)
    keep(guarded.history, record)
    signed_in(browser, guarded, Role.ENGINEER)
    browser.open(f"{guarded.server.url}#incident={record.id}")
    browser.wait_for("document.querySelector('#sound .note')?.textContent == 'This role may not listen to sound.'")
    browser.wait_for("document.querySelectorAll('.lanes canvas').length == 1")
    assert browser.evaluate("document.querySelectorAll('#sound [role=option]').length") == 0


# --- quick -----------------------------------------------------------------------------------------------------------


def test_sixty_nodes_and_eight_rounds_fetch_only_what_is_seen(browser: Browser) -> None:
    record, sites = town(60, 8)
    served = serve(sites=sites)
    try:
        keep(served.history, record, refused="pole-001")
        show(browser, served, record, drawn=0, whole=False)
        browser.evaluate("document.querySelector('.waves').scrollIntoView()")
        browser.wait_for("document.querySelectorAll('#sound [data-state=drawn]').length >= 3")
        fetched = "performance.getEntriesByType('resource').filter(({ name }) => /clips\\/pole/.test(name)).length"
        assert browser.evaluate("document.querySelectorAll('#sound [role=option]').length") == 60
        assert browser.evaluate(fetched) < 40
        focus(browser, ".waves")
        browser.press("End")
        browser.wait_for("document.querySelector('#sound [role=option]:last-child').dataset.state == 'drawn'")
        browser.press("ArrowRight")
        assert browser.evaluate(ROUND) == 2
        assert browser.problems == []
    finally:
        leave(browser, served)


def test_a_hurried_eye_costs_no_sound(browser: Browser, served: SoundServer) -> None:
    """Incidents that are stepped over are neither listed nor fetched; what was asked for the one before is given up."""
    records = [incident(number) for number in range(1, 7)]
    for record in records:
        keep(served.history, record, seed=int(record.id, 16))
    show(browser, served, records[0])
    ids = json.dumps([record.id for record in records[1:]])
    browser.evaluate(f"{ids}.forEach((id) => document.querySelector(`[data-incident='${{id}}']`).click())")
    listed = (
        "performance.getEntriesByType('resource')"
        ".map(({ name }) => name.match(/incidents.(\\w+).clips$/)?.[1]).filter(Boolean)"
    )
    browser.wait_for(f"{listed}.includes('{records[5].id}')")
    browser.wait_for("document.querySelectorAll('#sound [data-state=drawn]').length >= 5")
    assert set(browser.evaluate(listed)) == {records[0].id, records[5].id}


# --- why -------------------------------------------------------------------------------------------------------------


def test_why_says_what_the_incident_rests_on(browser: Browser, served: SoundServer) -> None:
    record = explained(incident(1, rounds=2))
    keep(served.history, record)
    served.history.append_incident(
        msgspec.structs.replace(explained(incident(1, revision=2, rounds=2, x_m=93.0, y_m=44.0)))
    )
    served.history.append_receipt(Receipt(record.id, 1, "webhook", 2, False, "answered 503", time.time_ns()))
    Casebook(served.history.database).decide(
        record.id,
        revision=1,
        outcome=Outcome.CONFIRMED,
        reason="witness",
        note="two callers",
        person="dana",
        time_ns=time.time_ns(),
    )
    show(browser, served, record)
    browser.wait_for("document.querySelector('[data-part=sound]') !== null")
    parts = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#detail [data-part]')]"
        ".map((part) => [part.dataset.part, part.textContent]))"
    )
    assert "Together: 97 %. 1 said nothing of the kind of sound." in parts["probability"]
    assert "roof-04: late by 41 ms: an echo" in parts["left-out"]
    assert "another arrival at +161.2 ms: echo: 120 ms after the arrival used" in parts["left-out"]
    assert "roof-08, 252 m away: would have heard it with 74 %" in parts["missed"]
    assert "weight 93 %: the place shown" in parts["others"]
    assert "weight 7 %" in parts["others"]
    assert "50.0 m away" in parts["others"]
    assert "fewer nodes explain it (log evidence 12.3 against 31.4)" in parts["others"]
    assert "14.0 °C ± 1.0 °C" in parts["air"]
    assert "3.5 m/s from 240°" in parts["air"]
    assert "2 revised: 2 shots, 95 % within 6.2 m, moved 5.0 m" in parts["revisions"]
    assert "dana: confirmed, witnesses, calls" in parts["decisions"]
    assert "“two callers”" in parts["decisions"]
    assert "The place moved 5.0 m since that decision." in parts["decisions"]
    assert "✗ webhook, revision 1, attempt 2: answered 503" in parts["alerts"]
    assert "3 clips as announced with the detection" in parts["sound"]
    assert "1 clip not as announced: roof-03" in parts["sound"]
    assert "1 clip with nothing announced to compare with" in parts["sound"]
    assert "1 clip refused or lost" in parts["sound"]
    assert f"shotline evidence export {record.id}" in parts["evidence"]


def test_a_part_that_is_closed_stays_closed(browser: Browser, served: SoundServer) -> None:
    record = incident(1, rounds=2)
    keep(served.history, record)
    show(browser, served, record)
    is_open = "document.querySelector('[data-part=arrivals]').open"
    assert browser.evaluate(is_open) is True
    focus(browser, "[data-part=arrivals] summary")
    browser.press("Enter")
    browser.wait_for(f"!{is_open}")
    browser.evaluate("document.querySelectorAll('.chooser button')[1].click()")
    assert text(browser, ".chooser [aria-pressed=true]") == "2"
    assert browser.evaluate(is_open) is False


def test_words_from_outside_are_never_markup(browser: Browser, served: SoundServer) -> None:
    record = incident(1)
    (shot,) = record.shots
    arrivals = tuple(msgspec.structs.replace(item, reason=EVIL) for item in shot.arrivals)
    record = msgspec.structs.replace(record, shots=(msgspec.structs.replace(shot, arrivals=arrivals),))
    keep(served.history, record)
    refusal = RefusedClip(
        uid=DetectionId("roof-09", 95, 1), incident_id=record.id, received_ns=0, reason="odd", detail=EVIL
    )
    served.history.append_clips([refusal])
    show(browser, served, record)
    assert EVIL in browser.evaluate(ROWS)["roof-09"][1]
    assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert browser.evaluate("document.title.includes('owned')") is False


def test_every_control_has_a_name_and_light_and_dark_are_readable(browser: Browser, served: SoundServer) -> None:
    """Contrast of text against its ground is at least 4.5, as WCAG 2.1 AA asks."""
    record = explained(incident(1, rounds=3))
    keep(served.history, record)
    places = (
        "#sound h2, #sound p, #sound .row-says span, #sound .name strong, #sound kbd, "
        "#sound button:enabled, #sound a, #detail summary, #detail li, #detail code, #detail p"
    )
    unnamed = """[...document.querySelectorAll(
      '#sound :is(button, a, summary, [role]:not([role=status])), #detail :is(button, summary)')]
      .filter((e) => !(e.ariaLabel || e.textContent.trim())).length"""
    for dark in (False, True):
        show(browser, served, record, dark=dark)
        contrast, where = browser.least_contrast(places)
        assert contrast >= 4.5, f"dark={dark}: {where}"
        browser.evaluate("document.querySelector('.spectrogram').scrollIntoView()")
        browser.wait_for("document.querySelector('.spectrogram h3')?.textContent")
        assert browser.evaluate(unnamed) == 0
