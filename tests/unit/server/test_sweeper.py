"""What goes, and what is left of it, in a real database."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from server_samples import detection, heard_shot, incident, stored
from typer.testing import CliRunner

import fusion_server.sweeper as sweeper_module
from fusion_server.app import ServerApp
from fusion_server.casebook import Casebook
from fusion_server.cli import app
from fusion_server.clips import CollectedClip, RefusedClip
from fusion_server.config import ServerConfig
from fusion_server.database import Database
from fusion_server.history import History, Receipt, RejectedMessage
from fusion_server.holds import Holds
from fusion_server.retention import NS_PER_DAY, Kind, RetentionPolicy, Tie, keys_digest
from fusion_server.sweeper import Sweeper, deletion_receipts
from fusion_server.tables import CLIPS, DETECTIONS, DISPOSITIONS, METADATA, RECEIPTS, REJECTS
from shotline.auditchain import Root, verify_chain
from shotline.config import parse_config
from shotline.domain import DetectionId
from shotline.errors import InputError, StorageError
from shotline.health import CheckStatus
from shotline.records import IncidentRecord
from shotline.timebase import format_utc

DAY_0 = 1_700_000_000_000_000_000
POLICY = RetentionPolicy(
    {
        Kind.DETECTIONS: {
            Tie.ALONE: 5 * NS_PER_DAY,
            Tie.UNDECIDED: 20 * NS_PER_DAY,
            Tie.CONFIRMED: None,
            Tie.DISMISSED: 10 * NS_PER_DAY,
            Tie.UNDETERMINED: 15 * NS_PER_DAY,
        },
        Kind.CLIPS: {
            Tie.UNDECIDED: 6 * NS_PER_DAY,
            Tie.CONFIRMED: 12 * NS_PER_DAY,
            Tie.DISMISSED: 2 * NS_PER_DAY,
            Tie.UNDETERMINED: 6 * NS_PER_DAY,
        },
        Kind.REJECTS: {Tie.ALONE: 4 * NS_PER_DAY},
        Kind.RECEIPTS: dict.fromkeys(Tie, 8 * NS_PER_DAY),
    }
)


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    with History.open(database_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper_module, "_ROWS", {Kind.DETECTIONS: 7, Kind.CLIPS: 3, Kind.REJECTS: 4, Kind.RECEIPTS: 5})


def day(number: float) -> int:
    return DAY_0 + round(number * NS_PER_DAY)


def an_incident(name: str, at_ns: int, uids: list[DetectionId], *, revision: int = 1) -> IncidentRecord:
    return incident(
        name,
        revision,
        time_utc=format_utc(at_ns),
        as_of_utc=format_utc(at_ns + 10**10),
        shots=(heard_shot(uids, at_ns),),
    )


def a_detection(history: History, uid: DetectionId, at_ns: int, *, received_ns: int | None = None) -> None:
    item = detection(uid.sequence, node=uid.node, boot=uid.boot, arrival_time_ns=at_ns)
    history.store([stored(item, received_ns=at_ns if received_ns is None else received_ns)])


def a_clip(uid: DetectionId, incident_id: str, at_ns: int, *, flac: bytes = b"flac") -> CollectedClip:
    return CollectedClip(
        uid=uid,
        incident_id=incident_id,
        received_ns=at_ns,
        start_time_ns=at_ns - 10**9,
        sample_rate_hz=48_000,
        sha256=bytes(32),
        digest_ok=True,
        flac=flac,
    )


def decide(history: History, incident_id: str, outcome: str, person: str = "ann") -> None:
    Casebook(history.database).decide(
        incident_id, revision=1, outcome=outcome, reason="other", note="why", person=person, time_ns=DAY_0
    )


def keys(history: History, table: sa.Table) -> set[str]:
    with history.database.reading() as db:
        if "boot" in table.c:
            rows = db.execute(sa.select(table.c.node, table.c.boot, table.c.sequence))
            return {str(DetectionId(*row)) for row in rows}
        return {str(number) for number in db.execute(sa.select(table.c.id)).scalars()}


def counts(history: History) -> dict[str, int]:
    with history.database.reading() as db:
        return {
            name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in METADATA.tables.items()
        }


TABLE_OF = {Kind.DETECTIONS: DETECTIONS, Kind.CLIPS: CLIPS, Kind.REJECTS: REJECTS, Kind.RECEIPTS: RECEIPTS}
NEVER = (
    METADATA.tables.keys()
    - {"detections", "dispositions", "clips", "rejects", "receipts"}
    - {"audit", "deletion_receipts"}
)
"""Tables that a sweep neither takes from nor adds to."""


@pytest.mark.parametrize("seed", range(4))
def test_nothing_young_or_held_is_deleted_and_everything_else_is(history: History, seed: int) -> None:
    """Beside a slow and obvious account of what each row is about."""
    rng = random.Random(seed)
    outcome_of: dict[str, str | None] = {}
    span_of: dict[str, tuple[int, int]] = {}
    uids = [DetectionId(f"n{index % 4}", 2**62 + index % 3, index) for index in range(60)]
    when = {uid: day(rng.uniform(0, 25)) for uid in uids}
    of_incidents: dict[DetectionId, set[str]] = {uid: set() for uid in uids}
    for number in range(8):
        name, first_ns = f"i{number}", day(rng.uniform(0, 25))
        named = rng.sample(uids, 5)
        history.append_incident(an_incident(name, first_ns, named[:4]))
        history.append_incident(an_incident(name, first_ns + 5, named[1:], revision=2))
        span_of[name] = (first_ns, first_ns + 5 + 10**10)
        for uid in named:
            of_incidents[uid].add(name)
        outcome_of[name] = rng.choice([None, "confirmed", "dismissed", "undetermined"])
        if outcome_of[name]:
            decide(history, name, rng.choice(["confirmed", "dismissed"]))
            decide(history, name, str(outcome_of[name]))
    for uid in uids:
        a_detection(history, uid, when[uid], received_ns=when[uid] + rng.choice([0, NS_PER_DAY, -NS_PER_DAY]))
    history.note_dispositions([(uid, "too_late") for uid in uids[::3]])
    clips = {uid: (f"i{rng.randrange(9)}", day(rng.uniform(0, 25))) for uid in rng.sample(uids, 25)}
    history.append_clips([a_clip(uid, *about) for uid, about in clips.items()])
    refused = RefusedClip(uid=uids[0], incident_id="i1", received_ns=DAY_0, reason="no_answer", detail="")
    history.append_clips([refused])
    rejects = {f"{number}": day(rng.uniform(0, 25)) for number in range(1, 20)}
    for number, at_ns in rejects.items():
        history.count_reject("malformed", number, b"", time_ns=at_ns)
    receipts = {f"{number}": (f"i{rng.randrange(8)}", day(rng.uniform(0, 25))) for number in range(1, 25)}
    for name, at_ns in receipts.values():
        history.append_receipt(Receipt(name, 1, "hook", 1, True, "", at_ns))
    now_ns = day(25)
    holds = Holds(history.database)
    holds.place(incident_id="i1", reason="case 5", person="ann", time_ns=now_ns)
    holds.place(from_ns=day(8), until_ns=day(11), reason="case 6", person="ann", time_ns=now_ns)
    ended = holds.place(from_ns=day(0), until_ns=day(25), reason="case 7", person="ann", time_ns=now_ns)
    holds.release(ended.id, reason="over", person="bo", time_ns=now_ns)

    def stays(kind: Kind, age_ns: int, instants_ns: list[int], names: set[str]) -> bool:
        ties = {Tie(outcome_of.get(name) or "undecided") for name in names} or {Tie.ALONE}
        for tie in ties:
            term_ns = POLICY.terms_ns[kind].get(tie)
            if term_ns is None or age_ns < term_ns:
                return True
        spans = [(at_ns, at_ns) for at_ns in instants_ns] + [span_of[name] for name in names if name in span_of]
        return "i1" in names or any(first < day(11) and last >= day(8) for first, last in spans)

    with history.database.reading() as db:
        received = {
            DetectionId(*row[:3]): row[3]
            for row in db.execute(sa.select(*[DETECTIONS.c[n] for n in (*DetectionId._fields, "received_ns")]))
        }
    newest_ns = max(first for first, _ in span_of.values()) + 5
    expected = {
        Kind.DETECTIONS: {
            str(uid)
            for uid in uids
            if stays(
                Kind.DETECTIONS,
                now_ns - max(when[uid], received[uid]),
                [when[uid], received[uid]],
                of_incidents[uid],
            )
        },
        Kind.CLIPS: {
            str(uid)
            for uid, (name, at_ns) in clips.items()
            if stays(Kind.CLIPS, now_ns - at_ns, [at_ns, at_ns - 10**9], {name, *of_incidents[uid]})
        },
        Kind.REJECTS: {
            number for number, at_ns in rejects.items() if stays(Kind.REJECTS, now_ns - at_ns, [at_ns], set())
        },
        Kind.RECEIPTS: {
            number
            for number, (name, at_ns) in receipts.items()
            if stays(Kind.RECEIPTS, now_ns - at_ns, [at_ns], {name})
            or span_of[name][1] >= newest_ns - 2 * NS_PER_DAY
            or number == str(len(receipts))
        },
    }
    Casebook(history.database).add_root(Root(number=1, digest="ab", time_ns=DAY_0, key="cd", signature="ef"))
    log_before, roots_before = list(Casebook(history.database).audit()), Casebook(history.database).roots()
    before, rows_before = {kind: keys(history, table) for kind, table in TABLE_OF.items()}, counts(history)
    sweeper = Sweeper(history, POLICY)
    forecast = {item.kind: item for item in sweeper.forecast(now_ns)}
    assert counts(history) == rows_before

    told = [receipt for receipt in sweeper.sweep(now_ns) if receipt is not None]
    for kind, table in TABLE_OF.items():
        assert keys(history, table) == expected[kind]
        gone = before[kind] - expected[kind]
        assert sum(receipt.count for receipt in told if receipt.kind is kind) == len(gone) == forecast[kind].goes > 0
    assert keys(history, DISPOSITIONS) == {str(uid) for uid in uids[::3]} & expected[Kind.DETECTIONS]
    assert any(item.held for item in forecast.values())

    assert deletion_receipts(history.database) == told
    entries = [entry for entry in Casebook(history.database).audit() if entry.action == "delete"]
    assert [entry.detail["digest"] for entry in entries] == [receipt.digest for receipt in told]
    assert [entry.detail["count"] for entry in entries] == [receipt.count for receipt in told]
    log = list(Casebook(history.database).audit())
    assert log[: len(log_before)] == log_before
    assert log[len(log_before) :] == entries
    assert verify_chain(log) == []
    assert Casebook(history.database).roots() == roots_before
    after = counts(history)
    assert {name: after[name] for name in NEVER} == {name: rows_before[name] for name in NEVER}
    assert list(filter(None, sweeper.sweep(now_ns))) == []


def test_the_receipt_says_what_went(history: History) -> None:
    uids = [DetectionId("a", 7, number) for number in range(3)]
    for uid in uids:
        a_detection(history, uid, day(uid.sequence))
    (receipt,) = filter(None, Sweeper(history, POLICY).sweep(day(6)))
    assert (receipt.kind, receipt.count, receipt.time_ns) == (Kind.DETECTIONS, 2, day(6))
    assert (receipt.oldest_ns, receipt.newest_ns) == (day(0), day(1))
    assert receipt.digest == keys_digest(["a/7/0", "a/7/1"])
    assert receipt.policy == POLICY.says(Kind.DETECTIONS)
    assert deletion_receipts(history.database, after=receipt.number) == []


def test_the_audit_log_names_the_incidents_whose_sound_went(history: History) -> None:
    history.append_clips([a_clip(DetectionId("a", 7, number), f"i{number}", day(0)) for number in range(2)])
    assert list(filter(None, Sweeper(history, POLICY).sweep(day(6))))
    entry = Casebook(history.database).last_entry()
    assert entry is not None
    assert (entry.actor, entry.action, entry.detail["incidents"]) == ("server", "delete", ["i0", "i1"])


def test_a_hold_placed_at_the_last_moment_holds(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the page was looked at, before anything of it is deleted."""
    a_detection(history, DetectionId("a", 7, 0), day(0))
    sweeper = Sweeper(history, POLICY)
    delete: Callable[..., object] = sweeper._delete

    def held_first(*which: object) -> object:
        Holds(history.database).place(from_ns=day(0), until_ns=day(1), reason="case 5", person="ann", time_ns=day(9))
        return delete(*which)

    monkeypatch.setattr(sweeper, "_delete", held_first)
    assert list(filter(None, sweeper.sweep(day(9)))) == []
    assert keys(history, DETECTIONS) == {"a/7/0"}
    assert deletion_receipts(history.database) == []


def test_with_two_persons_the_word_of_one_is_not_enough(history: History) -> None:
    history.append_incident(an_incident("i1", day(0), []))
    decide(history, "i1", "dismissed")
    history.append_clips([a_clip(DetectionId("a", 7, 0), "i1", day(0))])
    assert list(filter(None, Sweeper(history, POLICY, two_persons=True).sweep(day(3)))) == []
    assert list(filter(None, Sweeper(history, POLICY).sweep(day(3))))


def test_alerts_are_not_sent_again_because_their_receipts_are_gone(history: History) -> None:
    """The dispatcher asks about the last day before the newest incident, however long ago that was."""
    for number, at in enumerate((0, 20, 21)):
        history.append_incident(an_incident(f"i{number}", day(at), []))
        history.append_receipt(Receipt(f"i{number}", 1, "hook", 1, True, "", day(at)))
    assert [item.count for item in Sweeper(history, POLICY).sweep(day(500)) if item] == [1]
    assert history.receipts("i0") == []
    assert history.undelivered("hook", since_ns=day(20)) == []


def test_the_number_of_a_receipt_is_never_given_again(history: History) -> None:
    """The audit log says through which receipt alerts are noted: a later one with that number would not be noted."""
    for number, at in enumerate((0, 20)):
        history.append_incident(an_incident(f"i{number}", day(at), []))
        history.append_receipt(Receipt(f"i{1 - number}", 1, "hook", 1, True, "", day(at)))
    (last, _) = history.receipts_after(0, limit=9)[-1]
    assert list(filter(None, Sweeper(history, POLICY).sweep(day(500)))) == []
    history.append_incident(an_incident("i2", day(400), []))
    assert [item.count for item in Sweeper(history, POLICY).sweep(day(500)) if item] == [1]
    history.append_receipt(Receipt("i2", 1, "hook", 1, True, "", day(500)))
    assert [receipt.incident_id for _, receipt in history.receipts_after(last, limit=9)] == ["i2"]


def test_deleted_examples_of_rejects_make_room_for_new_ones(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion_server.history._EXAMPLES_PER_REASON", 3)
    history.count_rejects([RejectedMessage("malformed", f"{number}", b"", day(0)) for number in range(5)])
    assert len(history.rejects()) == 4
    assert list(filter(None, Sweeper(history, POLICY).sweep(day(5))))
    history.count_rejects([RejectedMessage("malformed", f"{number}", b"", day(5)) for number in range(3)])
    assert [item.detail for item in history.rejects()] == ["2", "1", "0"]


def test_deleted_sound_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    sound = random.Random(1).randbytes(100_000)
    path = tmp_path / "history.db"
    with History.open(path) as history:
        history.append_clips([a_clip(DetectionId("a", 7, 0), "i1", day(0), flac=sound)])
    pieces = [sound[start : start + 1_000] for start in range(0, 90_000, 1_000)]
    assert sum(piece in path.read_bytes() for piece in pieces) > 50  # others lie across two pages
    with History.open(path) as history:
        assert list(filter(None, Sweeper(history, POLICY).sweep(day(6))))
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(piece in left for piece in pieces)


def test_what_comes_meanwhile_is_kept(shared_database_url: str) -> None:
    """Old rows go while others are stored, by one that knows nothing of the sweep: as two processes would."""
    with History.open(shared_database_url) as history, History.open(shared_database_url) as other:
        history.store([stored(detection(number, arrival_time_ns=day(0)), received_ns=day(0)) for number in range(100)])
        problems: list[BaseException] = []

        def store() -> None:
            try:
                for number in range(100, 150):
                    assert other.store([stored(detection(number, arrival_time_ns=day(6)), received_ns=day(6))]) == [
                        True
                    ]
            except BaseException as error:
                problems.append(error)

        thread = threading.Thread(target=store)
        thread.start()
        told = list(filter(None, Sweeper(history, POLICY).sweep(day(6))))
        thread.join()
        assert problems == []
        assert sum(receipt.count for receipt in told) == 100
        assert keys(history, DETECTIONS) == {f"a/7/{number}" for number in range(100, 150)}
        assert verify_chain(Casebook(history.database).audit()) == []


def test_holds_are_placed_released_once_and_audited(history: History) -> None:
    holds = Holds(history.database)
    first = holds.place(incident_id="i1", reason="case 5", person="ann", time_ns=1)
    second = holds.place(from_ns=DAY_0, until_ns=day(1), reason="case 6", person="bo", time_ns=2)
    with pytest.raises(InputError, match="ends before it begins"):
        holds.place(from_ns=1, until_ns=1, reason="case 5", person="ann", time_ns=3)
    holds.release(first.id, reason="over", person="cy", time_ns=4)
    with pytest.raises(InputError, match="hold 1 is released already; place a new one"):
        holds.release(first.id, reason="over", person="cy", time_ns=5)
    with pytest.raises(InputError, match="there is no hold 9"):
        holds.release(9, reason="over", person="cy", time_ns=5)
    with pytest.raises(InputError, match="reason: 0 characters"):
        holds.release(second.id, reason="", person="cy", time_ns=5)
    assert [(hold.id, None if end is None else end.person) for hold, end in holds.all()] == [(1, "cy"), (2, None)]
    assert holds.all()[1][0] == second
    assert [(entry.actor, entry.action, entry.subject) for entry in Casebook(history.database).audit()] == [
        ("ann", "hold", "i1"),
        ("bo", "hold", "hold 2"),
        ("cy", "hold_release", "i1"),
    ]


# --- in the server --------------------------------------------------------------------------------------------------


def settings(database: str) -> ServerConfig:
    text = (
        f'[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "{database}"\n[http]\nenabled = false\n'
        "[retention]\nenabled = true\nevery_s = 1.0\n"
    )
    return parse_config(text, ServerConfig, source="server.toml")


def test_the_server_deletes_by_itself(shared_database_url: str) -> None:
    with History.open(shared_database_url) as history:
        history.append_clips([a_clip(DetectionId("a", 7, number), "i1", day(0)) for number in range(5)])
    log, deleted = io.StringIO(), False
    config = settings(shared_database_url)
    with ServerApp(config, log_to=log, alerts_to=io.StringIO(), now_ns=lambda: day(200)) as server:
        sweeps = next(thread for thread in threading.enumerate() if thread.name == "sweeps")
        for _ in range(3_000):
            server.step(10)
            (check,) = [item for item in server.health().checks if item.name == "retention"]
            if deleted := check.numbers["deleted"] == 5:
                break
        assert deleted
        assert keys(server.history, CLIPS) == set()
    assert not sweeps.is_alive()
    assert '{"event": "swept", "deleted": 5}' in log.getvalue()


def test_a_sweep_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()

    def full(*_: object) -> Iterator[None]:
        if seen.is_set():
            return
        seen.set()
        raise StorageError("history.db: the disk is full")
        yield

    monkeypatch.setattr(Sweeper, "sweep", full)
    log = io.StringIO()
    with ServerApp(
        settings(str(tmp_path / "history.db")), log_to=log, alerts_to=io.StringIO(), now_ns=lambda: day(200)
    ) as server:
        states = []
        for _ in range(3_000):
            server.step(10)
            (check,) = [item for item in server.health().checks if item.name == "retention"]
            states.append((check.status, check.message))
            if states[-1] == (CheckStatus.OK, "0 rows deleted since the start"):
                break
    assert list(dict.fromkeys(states)) == [
        (CheckStatus.OK, "no sweep has gone through yet since the start"),
        (CheckStatus.WARN, "what has expired cannot be deleted: history.db: the disk is full"),
        (CheckStatus.OK, "0 rows deleted since the start"),
    ]
    assert '{"event": "sweep_failed", "problem": "history.db: the disk is full", "trace": "Trace' in log.getvalue()


def test_a_server_that_is_not_told_to_deletes_nothing(tmp_path: Path) -> None:
    config = settings(str(tmp_path / "history.db"))
    config = config.model_copy(update={"retention": config.retention.model_copy(update={"enabled": False})})
    with ServerApp(config, log_to=io.StringIO(), alerts_to=io.StringIO()) as server:
        assert "sweeps" not in [thread.name for thread in threading.enumerate()]
        assert "retention" not in [check.name for check in server.health().checks]


def test_closing_ends_a_sweep_in_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(*_: object) -> Iterator[None]:
        while True:
            begun.set()
            yield None

    monkeypatch.setattr(Sweeper, "sweep", endless)
    config = settings(str(tmp_path / "history.db"))
    with ServerApp(config, log_to=io.StringIO(), alerts_to=io.StringIO()):
        assert begun.wait(60.0)
        sweeps = next(thread for thread in threading.enumerate() if thread.name == "sweeps")
    assert not sweeps.is_alive()


# --- commands -------------------------------------------------------------------------------------------------------


def invoke(folder: Path, *words: str, retention: str = "enabled = true") -> str:
    path = folder / "server.toml"
    path.write_text(f'[server]\ndatabase = "history.db"\n[retention]\n{retention}\n')
    result = CliRunner().invoke(app, [*words, "--config", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_hold_look_delete_and_release(tmp_path: Path) -> None:
    with History.open(tmp_path / "history.db") as history:
        history.append_incident(an_incident("i1", DAY_0, [DetectionId("a", 7, 0)]))
        decide(history, "i1", "dismissed")
        for number in range(2):
            a_detection(history, DetectionId("a", 7, number), day(0))
    with pytest.raises(InputError, match="there is no incident 'i2' in"):
        invoke(tmp_path, "hold", "add", "--incident", "i2", "--reason", "case 5")
    assert invoke(tmp_path, "hold", "list") == "no holds\n"
    placed = invoke(tmp_path, "hold", "add", "--incident", "i1", "--reason", "case 5", "--person", "ann")
    assert placed == "hold 1 is placed; release it with: shotline server hold release 1 --reason WHY\n"
    span = ("--from", "2000-01-01T00:00:00Z", "--until", "2000-01-02T00:00:00Z")
    invoke(tmp_path, "hold", "add", *span, "--reason", "case 6", "--person", "bo")
    listed = invoke(tmp_path, "hold", "list").splitlines()
    assert listed[0].startswith("1: incident i1, by ann at ")
    assert listed[1].startswith("2: 2000-01-01T00:00:00")
    assert "detections: 1 would be deleted, 1 on hold stay; the oldest from 2023-11-14T22:13:20" in invoke(
        tmp_path, "retention", "--dry-run", retention=""
    )
    with pytest.raises(InputError, match="enabled = false: nothing is to be deleted"):
        invoke(tmp_path, "retention", retention="")
    assert invoke(tmp_path, "retention").endswith("1 rows deleted\n")
    assert "hold 1 is released" in invoke(tmp_path, "hold", "release", "1", "--reason", "over", "--person", "ann")
    done = json.loads(invoke(tmp_path, "retention", "--json"))
    assert [(item["kind"], item["count"]) for item in done["receipts"]] == [("detections", 1)]
    forecast = json.loads(invoke(tmp_path, "retention", "--dry-run", "--json"))
    assert [item["goes"] for item in forecast["kinds"]] == [0, 0, 0, 0]
    everything = json.loads(invoke(tmp_path, "hold", "list", "--released", "--json"))["holds"]
    assert [hold["release"] is None for hold in everything] == [False, True]
    assert "released by ann at " in invoke(tmp_path, "hold", "list", "--released")
    with closing(Database.open(tmp_path / "history.db")) as database:
        assert verify_chain(Casebook(database).audit()) == []
        assert msgspec.json.encode(deletion_receipts(database))


def test_the_command_asks_as_many_persons_as_the_review_does(tmp_path: Path) -> None:
    with History.open(tmp_path / "history.db") as history:
        history.append_incident(an_incident("i1", DAY_0, []))
        decide(history, "i1", "dismissed")
        history.append_clips([a_clip(DetectionId("a", 7, 0), "i1", DAY_0)])
    both = 'clips_undecided = "keep"\n[access]\nmode = "accounts"\n[review]\ntwo_persons = '
    for two_persons, goes in (("true", 0), ("false", 1)):
        told = json.loads(invoke(tmp_path, "retention", "--dry-run", "--json", retention=both + two_persons))
        assert {item["kind"]: item["goes"] for item in told["kinds"]}["clips"] == goes
