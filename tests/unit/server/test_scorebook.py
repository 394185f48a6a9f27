"""The scorecard over a real history, filled with what people and sinks did; and its command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from server_samples import incident
from typer.testing import CliRunner

from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.history import History, Receipt
from fusion_server.review import Outcome
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import HeardHour, Scorecard
from fusion_server.scorecard_cli import app
from shotline.auditchain import verify_chain
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.timebase import EventClock, format_utc, parse_utc
from shotline_models.metrics import share_of

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
MONDAY_NS = parse_utc("2026-03-02T00:00:00Z")
FRAME = LocalFrame(40.44, -79.99, 200.0)
CONFIG = """
[server]
database = "history.db"
[frame]
lat_deg = 40.44
lon_deg = -79.99
height_m = 200.0
[fusion]
hearing_range_m = 800.0
""" + "".join(
    f'[[nodes]]\nid = "{node}"\nx_m = {x_m}\ny_m = {y_m}\n'
    for node, x_m, y_m in (("a", 0, 0), ("b", 300, 0), ("c", 300, 300), ("d", 0, 300))
)
DECIDED = (("casings", "confirmed", 6), ("fireworks", "dismissed", 3), ("unclear", "undetermined", 1))


def told(history: History, name: str, at_ns: int, *, revisions: int = 2, **changes: Any) -> None:
    """Append an incident: the first fix 3 s after the sound, another each 2 s."""
    for revision in range(1, revisions + 1):
        record = incident(
            name,
            revision,
            time_utc=format_utc(at_ns + revision * 1_000_000),
            as_of_utc=format_utc(at_ns + (1 + 2 * revision) * SECOND_NS),
            **{"x_m": 100.0, "y_m": 100.0} | changes,
        )
        assert history.append_incident(record)


@pytest.fixture
def folder(tmp_path: Path, shared_database_url: str) -> Path:
    """A configuration and a history of two weeks: twelve incidents, ten of them decided."""
    (tmp_path / "server.toml").write_text(CONFIG.replace("history.db", shared_database_url), encoding="utf-8")
    with History.open(shared_database_url) as history:
        book, scores = Casebook(history.database), Scorebook(history.database)
        outcomes = [(reason, outcome) for reason, outcome, count in DECIDED for _ in range(count)]
        for index in range(12):
            at_ns = MONDAY_NS + index * 24 * HOUR_NS
            told(history, f"i{index}", at_ns)
            delivered_ns = at_ns + 4 * SECOND_NS
            history.append_receipt(Receipt(f"i{index}", 1, "web", 1, index % 3 > 0, "", delivered_ns))
            history.append_receipt(Receipt(f"i{index}", 2, "web", 2, index != 0, "", delivered_ns + 6 * SECOND_NS))
            if index < len(outcomes):
                reason, outcome = outcomes[index]
                book.acknowledge(f"i{index}", person="ann", time_ns=at_ns + 20 * SECOND_NS)
                book.decide(
                    f"i{index}",
                    revision=2,
                    outcome=outcome,
                    reason=reason,
                    note="",
                    person="ann",
                    time_ns=at_ns + 600 * SECOND_NS,
                )
        told(history, "replayed", MONDAY_NS + HOUR_NS, scene="FP1")
        told(history, "later", MONDAY_NS + 20 * 24 * HOUR_NS)
        scores.add_heard(
            [
                HeardHour(MONDAY_NS + hour * HOUR_NS, node, (1 << 60) - 1)
                for hour in range(14 * 24)
                for node in ("", "a", "b", "c", "d")
            ]
        )
    return tmp_path


@pytest.fixture
def url(folder: Path, shared_database_url: str) -> str:  # noqa: ARG001 - the history is made first
    """Where the history of two weeks is."""
    return shared_database_url


@pytest.fixture
def shotline(folder: Path) -> Callable[..., str]:
    """Run the command over two weeks; return what it prints."""

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(words))
        if done.exit_code != code or (done.exception and not isinstance(done.exception, SystemExit)):
            raise done.exception or AssertionError(done.output)
        return done.output

    def command(*words: str, code: int = 0) -> str:
        config = ["--config", str(folder / "server.toml")]
        if words[:1] == ("miss",):
            return run(*words, *config, code=code)
        return run(*config, "--from", "2026-03-02", "--to", "2026-03-16", *words, code=code)

    return command


def test_evidence_has_the_first_and_the_latest_of_each_incident(url: str) -> None:
    with closing(Database.open(url)) as database:
        found = Scorebook(database).evidence(MONDAY_NS, MONDAY_NS + 14 * 24 * HOUR_NS)
        assert (len(found.cases), found.other_scenes, len(found.heard)) == (12, 1, 14 * 24 * 5)
        first = found.cases[1]
        at_ns = MONDAY_NS + 24 * HOUR_NS
        assert (first.incident_id, first.sound_ns, first.time_ns) == ("i1", at_ns + 1_000_000, at_ns + 2_000_000)
        assert first.fixed_ns == at_ns + 3 * SECOND_NS
        assert first.delivered_ns == {"web": at_ns + 4 * SECOND_NS}
        assert found.cases[0].delivered_ns == {"web": None}
        assert found.cases[3].delivered_ns == {"web": at_ns + 2 * 24 * HOUR_NS + 10 * SECOND_NS}
        assert [item.outcome for item in first.decisions] == [Outcome.CONFIRMED]
        assert Scorebook(database).begin_ns() == MONDAY_NS


def test_a_replay_is_counted_in_recorded_time_and_by_itself(url: str) -> None:
    clock = EventClock(event_epoch_ns=MONDAY_NS, wall_epoch_ns=MONDAY_NS + 1000 * HOUR_NS, factor=2.0)
    with History.open(url) as history:
        wall_ns = MONDAY_NS + 1000 * HOUR_NS + HOUR_NS // 2 + 5 * SECOND_NS
        history.append_receipt(Receipt("replayed", 1, "web", 1, True, "", wall_ns))
        Casebook(history.database).acknowledge("replayed", person="ann", time_ns=wall_ns)
        found = Scorebook(history.database).evidence(
            MONDAY_NS, MONDAY_NS + 14 * 24 * HOUR_NS, scene="FP1", event_ns=clock.event_ns
        )
    (case,) = found.cases
    assert found.other_scenes == 12
    assert case.delivered_ns == {"web": MONDAY_NS + HOUR_NS + 10 * SECOND_NS}
    assert case.acknowledgements[0].time_ns == MONDAY_NS + HOUR_NS + 10 * SECOND_NS


def test_an_empty_history_has_no_begin(tmp_path: Path) -> None:
    with closing(Database.open(tmp_path / "new.db")) as database:
        assert Scorebook(database).begin_ns() is None
        Scorebook(database).add_heard([])
        assert Scorebook(database).heard(0, 2**62) == []


def test_more_incidents_than_one_query_takes(tmp_path: Path) -> None:
    with History.open(tmp_path / "many.db") as history:
        for index in range(1001):
            told(history, f"i{index:04}", MONDAY_NS + index * SECOND_NS, revisions=1)
        found = Scorebook(history.database).evidence(MONDAY_NS, MONDAY_NS + HOUR_NS)
        assert [case.incident_id for case in found.cases] == [f"i{index:04}" for index in range(1001)]


def test_a_miss_and_its_audit_entry_are_kept_together(url: str) -> None:
    with closing(Database.open(url)) as database:
        book = Scorebook(database)
        miss = book.add_miss(
            time_ns=MONDAY_NS, x_m=1.5, y_m=-2.5, said_by="hospital", reason="a patient", person="bo", now_ns=MONDAY_NS
        )
        assert book.misses() == [miss]
        assert book.misses(MONDAY_NS + 1) == book.misses(None, MONDAY_NS) == []
        entry = Casebook(database).last_entry()
        assert entry is not None
        assert (entry.actor, entry.action, entry.subject) == ("bo", "miss", "miss 1")
        assert entry.detail == {
            "number": 1,
            "time_utc": "2026-03-02T00:00:00.000000000Z",
            "x_m": 1.5,
            "y_m": -2.5,
            "said_by": "hospital",
            "reason": "a patient",
        }
        assert verify_chain(Casebook(database).audit()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"said_by": " "}, "said_by: 1 characters"),
        ({"reason": "a\x00"}, "reason: has a NUL"),
        ({"reason": "a" * 1001}, "reason: 1001 characters, expected 1 to 1000"),
        ({"person": "a" * 129}, "person: 129 characters, expected 1 to 128"),
        ({"x_m": float("nan")}, "place: x nan m"),
        ({"time_ns": MONDAY_NS + 1}, "time: 2026-03-02T00:00:00Z is after now"),
    ],
)
def test_a_miss_that_cannot_be_leaves_nothing(url: str, changes: dict[str, Any], field: str) -> None:
    values = {"time_ns": MONDAY_NS, "x_m": 0.0, "y_m": 0.0, "said_by": "a", "reason": "b", "person": "c"}
    with closing(Database.open(url)) as database:
        before = Casebook(database).last_entry()
        with pytest.raises(InputError, match=field):
            Scorebook(database).add_miss(**values | changes, now_ns=MONDAY_NS)
        assert Scorebook(database).misses() == []
        assert Casebook(database).last_entry() == before


def test_the_command_counts_writes_and_prints(shotline: Callable[..., str], folder: Path) -> None:
    areas = {
        "type": "Feature",
        "properties": {"name": "centre"},
        "geometry": {"type": "Polygon", "coordinates": [ring(-100, 200)]},
    }
    (folder / "areas.geojson").write_text(json.dumps(areas), encoding="utf-8")
    output = shotline(
        "--json",
        "--areas", str(folder / "areas.geojson"),
        "--csv", str(folder / "card.csv"),
        "--html", str(folder / "card.html"),
    )  # fmt: skip
    card = msgspec.json.decode(output, type=Scorecard)
    assert {row.outcome: row.count for row in card.outcomes.rows} == {
        "confirmed": 6, "dismissed": 3, "undetermined": 1, "undecided": 2,
    }  # fmt: skip
    assert card.outcomes.rows[0].of_decided == share_of(6, 10)
    assert card.outcomes.other_scenes == 1
    medians = {row.until: row.percentiles[0].value_s for row in card.latencies}
    # From the sound of the first revision, a millisecond after the whole second.
    assert medians == pytest.approx(
        {"first fix": 2.999, "delivery to web": 3.999, "acknowledgement": 19.999, "decision": 599.999}, abs=1e-9
    )
    assert [row.came_about for row in card.latencies] == [12, 11, 10, 10]
    assert (card.hours.server, card.hours.node_hours_least) == (336.0, 336.0)
    assert (card.settings.hearing_range_m, card.settings.min_nodes) == (800.0, 4)
    centre = card.areas[0]
    assert (centre.area, centre.incidents, centre.incidents_on_record) == ("centre", 12, 12)
    # 300 m square of the plane, all of it within 800 m of each of the four; cells on its border are in or out.
    assert centre.km2 == pytest.approx(0.09, rel=1e-6)
    assert centre.covered_km2_mean == pytest.approx(0.09, abs=4 * 0.3 * card.settings.cell_m / 2000)
    with (folder / "card.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows if (row["table"], row["row"]) == ("reasons", "confirmed: casings")] == ["6"]
    page = (folder / "card.html").read_text(encoding="utf-8")
    assert "60 % (31 to 83, of 10 only)" in page
    assert "12 incidents were told" in page


def test_areas_and_two_persons_of_the_configuration_are_the_commands(
    shotline: Callable[..., str], folder: Path
) -> None:
    areas = {"type": "Polygon", "coordinates": [ring(-100, 200)]}
    document = {"type": "Feature", "properties": {"name": "centre"}, "geometry": areas}
    (folder / "areas.geojson").write_text(json.dumps(document), encoding="utf-8")
    config = (folder / "server.toml").read_text(encoding="utf-8")
    more = '[scorecard]\nareas_file = "areas.geojson"\n[access]\nmode = "accounts"\n[review]\ntwo_persons = true\n'
    (folder / "server.toml").write_text(more + config, encoding="utf-8")
    card = msgspec.json.decode(shotline("--json"), type=Scorecard)
    assert [item.area for item in card.areas] == ["centre", "(in none of these)", "(everywhere)"]
    assert (card.settings.two_persons, card.outcomes.decided, card.outcomes.second_awaited) == (True, 0, 10)


def ring(low_m: float, high_m: float) -> list[tuple[float, float]]:
    """A square in degrees, longitude first."""
    corners = [(low_m, low_m), (high_m, low_m), (high_m, high_m), (low_m, high_m), (low_m, low_m)]
    return [(lon, lat) for lat, lon, _ in (FRAME.to_geodetic(x_m, y_m) for x_m, y_m in corners)]


def test_people_get_tables_and_a_word_on_small_numbers(shotline: Callable[..., str]) -> None:
    output = " ".join(shotline().split())
    assert "10 decided incidents are few" in output
    for title in ("What became of the incidents", "How fast", "Misses reported", "Hours", "Areas and coverage"):
        assert title in output
    assert "1 incidents of replayed recordings are left out" in output


def test_public_leaves_out_single_nodes_and_misses(shotline: Callable[..., str]) -> None:
    assert len(json.loads(shotline("--json"))["nodes"]) == 4
    who = ("--said-by", "911 call", "--reason", "two shots heard", "--by", "bo")
    shotline("miss", "add", "--time", "2026-03-05T12:00:00Z", "--x-m", "1", "--y-m", "2", *who)
    public = json.loads(shotline("--json", "--public"))
    assert (public["nodes"], public["misses"]["rows"], public["misses"]["missed"]) == ([], [], 1)


def test_misses_by_command(shotline: Callable[..., str]) -> None:
    who = ("--said-by", "911 call", "--reason", "two shots heard", "--by", "bo")
    assert "no misses" in shotline("miss", "list")
    near = shotline("miss", "add", "--time", "2026-03-03T00:04:00Z", "--x-m", "300", "--y-m", "100", *who)
    assert near.startswith("miss 1 is kept")
    lat_deg, lon_deg, _ = FRAME.to_geodetic(-900.0, 50.0)
    added = shotline(
        "miss", "add", "--time", "2026-03-05T12:00:00Z", "--lat", f"{lat_deg}", "--lon", f"{lon_deg}", *who, "--json"
    )
    # Given at the height of the ellipsoid, which falls 6 cm below the plane of the frame there: 10 um in 900 m.
    assert (json.loads(added)["x_m"], json.loads(added)["y_m"]) == pytest.approx((-900.0, 50.0), abs=2e-5)
    listed = json.loads(shotline("miss", "list", "--json"))
    assert [(item["number"], item["said_by"], item["time_utc"]) for item in listed] == [
        (1, "911 call", "2026-03-03T00:04:00.000000Z"),
        (2, "911 call", "2026-03-05T12:00:00.000000Z"),
    ]
    assert "2026-03-05T12:00:00.000000Z  x -900 m, y 50 m: 911 call: two shots heard" in shotline("miss", "list")
    found = json.loads(shotline("--json"))["misses"]
    assert [(row["status"], row["incident"], row["nodes_in_range"]) for row in found["rows"]] == [
        ("told", "i1", 4),
        ("missed", None, 0),
    ]
    assert (found["missed"], found["share"]["of"]) == (1, 7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "2026-03-20"), "is no time at all"),
        (("--from", "yesterday"), "--from: 'yesterday' is not a UTC time"),
        (("--areas", "not-there.geojson"), "not-there.geojson: cannot read the file"),
        (("--csv", "no/such/folder.csv"), "no/such/folder.csv: cannot write the file"),
        (("miss", "add", "--time", "2026-03-05T12:00:00Z", "--x-m", "1"), "one pair, whole"),
        (("miss", "add", "--time", "now", "--x-m", "1", "--y-m", "2"), "--time: 'now' is not a UTC time"),
    ],
)
def test_what_cannot_be_is_said(shotline: Callable[..., str], words: tuple[str, ...], message: str) -> None:
    who = ("--said-by", "a", "--reason", "b", "--by", "c") if words[0] == "miss" else ()
    with pytest.raises(InputError, match=message):
        shotline(*words, *who)


def test_no_history_is_made_by_asking(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(CONFIG, encoding="utf-8")
    done = CliRunner().invoke(app, ["--config", str(tmp_path / "server.toml")])
    assert isinstance(done.exception, InputError)
    assert "no history is there" in str(done.exception)
    assert not (tmp_path / "history.db").exists()
    Database.open(tmp_path / "history.db").close()
    done = CliRunner().invoke(app, ["--config", str(tmp_path / "server.toml")])
    assert "so there is nothing to count" in str(done.exception)
