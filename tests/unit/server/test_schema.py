"""The versions of the tables: what they make, what they take over, what they refuse."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from pgcluster import Cluster
from server_samples import EPOCH_NS, detection, incident, stored
from typer.testing import CliRunner

from fusion_server.casebook import Casebook
from fusion_server.cli import app
from fusion_server.database import Database
from fusion_server.history import History
from fusion_server.schema import SCHEMA_VERSION, bring_up_to_date, differences, upgrade_sql
from fusion_server.tables import INCIDENT_DETECTIONS, METADATA
from shotline.errors import StorageError
from shotline.records import IncidentRecord

GOLDEN = Path(__file__).parents[2] / "golden"
RECORD = {
    "id": "i1",
    "shots": [
        {"arrivals": [{"detection": "a/7/0"}, {"detection": "b/ffffffffffffff/9"}]},
        {"arrivals": [{"detection": "a/7/0"}], "passed_over": [{"detection": "c.1:2/0/3"}, {"detection": "odd"}]},
    ],
}
RESTS_ON = [("a", 7, 0, "i1"), ("b", 0xFFFFFFFFFFFFFF, 9, "i1"), ("c.1:2", 0, 3, "i1")]


OLD_ROWS = (
    "INSERT INTO accounts VALUES ('ann', '$argon2id$', 'dispatcher', 5, NULL)",
    "INSERT INTO tokens VALUES ('ab', 'token', 'ann', 'radio', 'dispatcher', 5, 6, NULL)",
    "INSERT INTO heard_hours VALUES (1, 3600000000000, 'a', 7)",
    "INSERT INTO misses VALUES (1, 9, 1.5, -2.5, 'a caller', 'nothing heard', 'ann', 10)",
    "INSERT INTO decisions VALUES ('i1', 1, 1, 'confirmed', 'casings', '', 'ann', 11)",
    "INSERT INTO acknowledgements VALUES (1, 'i1', 'ann', 11)",
    "INSERT INTO receipts VALUES (1, 'i1', 1, 'hook', 1, {true}, '', 12)",
    "INSERT INTO rejects VALUES (1, 'malformed', 'short', {raw}, 13, 2)",
    "INSERT INTO clips VALUES ('a', 7, 0, 'i1', 14, 15, 48000, {raw}, NULL, {raw})",
    "INSERT INTO dispositions VALUES ('a', 7, 0, 'used')",
    "INSERT INTO clip_refusals VALUES (1, 'a', 7, 1, 'i1', 17, 'no_answer', '')",
    "INSERT INTO node_status VALUES ('a', 7, 18, NULL, NULL, '0.1.0', 'm', 48000, 'locked', 1000, 1, 0, 0, -60.5)",
    "INSERT INTO audit VALUES (1, 16, 'server', 'start', 'server', {raw}, '', 'ab')",
    "INSERT INTO audit_roots VALUES (1, 'ab', 16, 'cd', 'ef')",
)


def version_1(url: str, *, without: tuple[str, ...] = ()) -> Database:
    """Return a database as the last Shotline before all versions made it; the statements with these words left out."""
    database = Database.connect(url)
    on_sqlite = database.engine.dialect.name == "sqlite"
    words = {"true": "1", "raw": "x'00ff'"} if on_sqlite else {"true": "true", "raw": r"'\x00ff'"}
    text = (GOLDEN / f"tables_v1_{database.engine.dialect.name}.sql").read_text()
    statements = text.removesuffix(";\n").split(";\n") + [row.format(**words) for row in OLD_ROWS]
    with database.writing() as db:
        for statement in statements:
            if not any(word in statement for word in without):
                db.exec_driver_sql(statement)
        item = stored(detection(0))
        db.execute(
            sa.text("INSERT INTO detections VALUES ('a', 7, 0, :arrival_ns, :arrival_ns, :raw)"),
            {"arrival_ns": EPOCH_NS, "raw": item.raw},
        )
        db.execute(
            sa.text("INSERT INTO incidents VALUES ('i1', 1, 'provisional', 1, 2, 1, 0, 0, 1, 0.5, :record)"),
            {"record": json.dumps(RECORD).encode()},
        )
    return database


def all_rows(database: Database, tables: Iterable[str]) -> dict[str, list[dict[str, object]]]:
    with database.reading() as db:
        return {
            name: [dict(row) for row in db.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2").mappings()]
            for name in sorted(tables)
            if name not in ("shotline_meta", "alembic_version")
        }


def rests_on(database: Database) -> list[tuple[object, ...]]:
    table = INCIDENT_DETECTIONS.c
    query = sa.select(table.node, table.boot, table.sequence, table.incident_id).order_by(*table)
    with database.reading() as db:
        return [tuple(row) for row in db.execute(query)]


def test_the_versions_make_the_tables_of_the_code(database_url: str) -> None:
    with closing(Database.open(database_url)) as database, database.reading() as db:
        assert differences(db) == []
        assert set(sa.inspect(db).get_table_names()) == {*METADATA.tables, "alembic_version"}
        noted = db.exec_driver_sql("SELECT value, version_num FROM shotline_meta, alembic_version").all()
    assert [tuple(row) for row in noted] == [(str(SCHEMA_VERSION), str(SCHEMA_VERSION))]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DROP TABLE legal_holds", "add_table legal_holds"),
        ("DROP INDEX ix_incidents_time_ns", "add_index ix_incidents_time_ns"),
        ("ALTER TABLE clips ADD COLUMN colour INTEGER", "remove_column clips colour"),
        ("CREATE TABLE other (id INTEGER PRIMARY KEY)", "remove_table other"),
    ],
)
def test_a_difference_is_found(database_url: str, change: str, says: str) -> None:
    with closing(Database.open(database_url)) as database:
        with database.writing() as db:
            db.exec_driver_sql(change)
        with database.reading() as db:
            assert differences(db) == [says]


def test_text_is_in_binary_order_on_postgresql(postgresql: Cluster) -> None:
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'"
    )
    with closing(version_1(postgresql.new_database())) as database:
        with database.reading() as db:
            assert len(db.exec_driver_sql(query).all()) > 20
        with database.writing() as db:
            bring_up_to_date(db, database.name)
            assert [tuple(row) for row in db.exec_driver_sql(query)] == [("alembic_version", "version_num")]


@pytest.mark.parametrize(
    "without",
    [(), ("accounts", "tokens", "heard_hours", "misses"), ("decisions",), ("ix_clips_incident_id",)],
    ids=["the last", "before accounts", "before decisions", "an index lost"],
)
def test_what_was_made_before_there_were_versions_is_taken_over(
    shared_database_url: str, without: tuple[str, ...]
) -> None:
    with closing(version_1(shared_database_url, without=without)) as database:
        with database.reading() as db:
            tables = sa.inspect(db).get_table_names()
        before = all_rows(database, tables)
    assert all(before.values())
    with History.open(shared_database_url) as history:
        with history.database.reading() as db:
            assert differences(db) == []
        assert all_rows(history.database, tables) == before
        assert list(history.detections(0)) == [detection(0)]
        assert rests_on(history.database) == RESTS_ON
    with History.open(shared_database_url) as history:
        assert all_rows(history.database, tables) == before
        assert rests_on(history.database) == RESTS_ON


def test_new_incidents_say_what_they_rest_on_as_old_ones_do(database_url: str, small_city: IncidentRecord) -> None:
    with History.open(database_url) as history:
        assert history.append_incident(small_city)
        assert not history.append_incident(small_city)
        named = {arrival.detection for shot in small_city.shots for arrival in (*shot.arrivals, *shot.passed_over)}
        found = rests_on(history.database)
    assert len(named) > 4
    assert {f"{node}/{boot:x}/{sequence}" for node, boot, sequence, _ in found} == named  # type: ignore[str-format]


@pytest.fixture
def small_city() -> IncidentRecord:
    import msgspec

    line = (GOLDEN / "small-city.incidents.jsonl").read_text().splitlines()[0]
    return msgspec.json.decode(line, type=IncidentRecord)


def test_tables_that_are_not_as_they_should_be_are_left_alone(shared_database_url: str) -> None:
    with closing(version_1(shared_database_url)) as database, database.writing() as db:
        db.exec_driver_sql("ALTER TABLE clips ADD COLUMN colour INTEGER")
    with pytest.raises(
        StorageError, match="are not those of any version of Shotline: remove_column clips colour; rest"
    ):
        Database.open(shared_database_url)
    with closing(Database.connect(shared_database_url)) as database, database.reading() as db:
        tables = sa.inspect(db).get_table_names()
        assert "alembic_version" not in tables
        assert "legal_holds" not in tables
        assert db.exec_driver_sql("SELECT value FROM shotline_meta").scalar_one() == "1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE shotline_meta SET value = '99'",
            f"has tables of version 99, this Shotline knows {SCHEMA_VERSION}; run",
        ),
        ("UPDATE shotline_meta SET value = 'new'", "has tables of version new, this Shotline knows"),
        ("DROP TABLE shotline_meta", "is a database of something else (it has the table 'accounts' and no 'shotline_m"),
        (
            "DELETE FROM shotline_meta",
            f"version is none in 'shotline_meta', and 'alembic_version' says {SCHEMA_VERSION}",
        ),
        (
            "UPDATE shotline_meta SET value = '1'",
            f"is 1 in 'shotline_meta', and 'alembic_version' says {SCHEMA_VERSION}",
        ),
        (
            "UPDATE alembic_version SET version_num = 'f00d'",
            f"is {SCHEMA_VERSION} in 'shotline_meta', and 'alembic_ver",
        ),
        ("DELETE FROM alembic_version", "and 'alembic_version' says none; restore a backup"),
        (
            "DROP TABLE alembic_version",
            f"is {SCHEMA_VERSION} in 'shotline_meta', and there is no table 'alembic_version'",
        ),
    ],
)
def test_a_database_that_is_newer_or_foreign_or_contradicts_itself_is_refused(
    shared_database_url: str, change: str, says: str
) -> None:
    with closing(Database.open(shared_database_url)) as database, database.writing() as db:
        db.exec_driver_sql("INSERT INTO misses VALUES (1, 9, 1.5, -2.5, 'a caller', 'nothing heard', 'ann', 10)")
        db.exec_driver_sql(change)
        tables = sa.inspect(db).get_table_names()
    with closing(Database.connect(shared_database_url)) as database:
        before = all_rows(database, tables)
        for look in (lambda: Database.open(shared_database_url), lambda: upgrade_to(database)):
            with pytest.raises(StorageError, match=re.escape(says)):
                look()
        assert all_rows(database, tables) == before
        with database.reading() as db:
            assert sa.inspect(db).get_table_names() == tables


def upgrade_to(database: Database) -> None:
    with database.writing() as db:
        bring_up_to_date(db, database.name)


def test_the_tables_of_another_program_are_left_alone(shared_database_url: str) -> None:
    """One that uses Alembic too."""
    with closing(Database.connect(shared_database_url)) as database:
        with database.writing() as db:
            db.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            db.exec_driver_sql("INSERT INTO alembic_version VALUES ('3')")
        with pytest.raises(StorageError, match=r"something else \(it has the table 'alembic_version' and no 'shotline"):
            Database.open(shared_database_url)
        with database.reading() as db:
            assert sa.inspect(db).get_table_names() == ["alembic_version"]


def test_servers_that_start_at_once_make_one_database(shared_database_url: str) -> None:
    begin = threading.Barrier(4)
    problems: list[BaseException] = []

    def start() -> None:
        begin.wait()
        try:
            Database.open(shared_database_url).close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with closing(Database.connect(shared_database_url)) as database, database.reading() as db:
        assert differences(db) == []


@pytest.mark.parametrize("empty", [True, False])
def test_the_sql_to_run_by_hand_does_the_same(postgresql: Cluster, empty: bool) -> None:
    url = postgresql.new_database()
    database = Database.connect(url) if empty else version_1(url)
    with closing(database):
        with database.reading() as db:
            text = upgrade_sql(db, database.name)
        with postgresql.connect(database.engine.url.database or "") as by_hand:
            by_hand.execute(text.encode())
        with database.reading() as db:
            assert differences(db) == []
            assert upgrade_sql(db, database.name) == ""
        assert rests_on(database) == ([] if empty else RESTS_ON)
    Database.open(url).close()


def written(folder: Path, database: str) -> str:
    path = folder / "server.toml"
    path.write_text(f'[server]\ndatabase = "{database}"\n')
    return str(path)


def test_migrate_says_what_is_to_be_done_and_does_it(tmp_path: Path, shared_database_url: str) -> None:
    version_1(shared_database_url).close()
    config = written(tmp_path, shared_database_url)
    before = CliRunner().invoke(app, ["migrate", "--check", "--config", config])
    assert before.exit_code == 1
    assert f"version 1, this Shotline wants {SCHEMA_VERSION}; run: shotline server migrate\n" in before.stdout
    assert "  add_table legal_holds\n" in before.stdout
    done = CliRunner().invoke(app, ["migrate", "--config", config])
    assert (done.exit_code, done.stdout.endswith(f": version {SCHEMA_VERSION}, up to date\n")) == (0, True)
    after = CliRunner().invoke(app, ["migrate", "--check", "--config", config])
    assert (after.exit_code, after.stdout) == (0, done.stdout)


def test_migrate_prints_sql_for_postgresql_only(tmp_path: Path, postgresql: Cluster) -> None:
    config = written(tmp_path, postgresql.new_database())
    printed = CliRunner().invoke(app, ["migrate", "--sql", "--config", config])
    assert printed.exit_code == 0
    assert "CREATE TABLE IF NOT EXISTS detections (" in printed.stdout
    CliRunner().invoke(app, ["migrate", "--config", config], catch_exceptions=False)
    printed = CliRunner().invoke(app, ["migrate", "--sql", "--config", config])
    assert printed.stdout == f"-- version {SCHEMA_VERSION}, up to date\n"
    Database.open(tmp_path / "history.db").close()
    with pytest.raises(StorageError, match="is SQLite, which is brought up to date when it is opened"):
        CliRunner().invoke(
            app, ["migrate", "--sql", "--config", written(tmp_path, "history.db")], catch_exceptions=False
        )


@pytest.mark.parametrize(
    "words",
    [
        ("migrate", "--check"),
        ("migrate", "--sql"),
        ("retention", "--dry-run"),
        ("hold", "list"),
        ("hold", "add", "--incident", "i1", "--reason", "case 5"),
        ("hold", "release", "1", "--reason", "over"),
    ],
)
def test_a_look_makes_no_database(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--config", written(tmp_path, "new.db")])
    assert "there is no database" in str(result.exception)
    assert not (tmp_path / "new.db").exists()


def test_the_record_of_an_incident_is_told_from_its_identity(database_url: str) -> None:
    with History.open(database_url) as history:
        assert history.append_incident(incident())
        assert rests_on(history.database) == []


def test_what_postgresql_refuses_is_said_with_what_to_do(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    for other, says in (
        (
            url.replace("postgres@", "nobody@"),
            "there is no such database or user; make them with createuser and createdb",
        ),
        (url.replace("/test", "/no_test"), "there is no such database or user; make them with createuser and createdb"),
    ):
        with pytest.raises(StorageError, match=says):
            Database.open(other)
    with postgresql.connect("postgres") as db:
        db.execute("DROP ROLE IF EXISTS guest")
        db.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(StorageError, match="this user may not do that; make it the owner of the database"):
        Database.open(url.replace("postgres@", "guest@"))
    with closing(Database.open(url)) as database:
        book = Casebook(database)
        with database.writing() as changing:
            changing.exec_driver_sql("DROP TABLE decisions")
        with pytest.raises(StorageError, match="a table is missing or of another kind; look with: shotline server mig"):
            book.decisions()


def test_a_database_that_another_holds_is_not_waited_for_without_end(
    postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusion_server.database._BUSY_TIMEOUT_S", 0.05)
    url = postgresql.new_database()
    with (
        closing(Database.open(url)) as first,
        closing(Database.open(url)) as second,
        first.writing(),
        pytest.raises(StorageError, match="another process holds the database; stop it"),
        second.writing(),
    ):
        pass
