"""The database: SQLite in one file by default, PostgreSQL by URL. Any thread may use it; one writes at a time.

One of all processes, too: SQLite has one writer, and on PostgreSQL a lock of the database makes it so. What is read
within `Database.writing` still holds when it commits.

A commit is durable when `Database.writing` ends (SQLite runs with ``synchronous=FULL``, and PostgreSQL's
``synchronous_commit`` is turned on where it is off). What is deleted from SQLite is overwritten with zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from fusion_server.schema import SCHEMA_VERSION, bring_up_to_date
from shotline.errors import StorageError

__all__ = ["SCHEMA_VERSION", "Database", "ManyRows"]

_BUSY_TIMEOUT_S = 5.0
_CACHE_KIB = 24_000
_CHECKPOINT_PAGES = 4_000
_WRITER_KEY = 0x53484F54
"""Of PostgreSQL's advisory lock, which holds within one database."""


class Database:
    """An open database with its tables. Open it with `Database.open`, close it with `close`."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        """Where it is, without a password."""
        self._writer = engine.execution_options(shotline_write=True)
        self._lock = threading.RLock()
        self._in_memory = isinstance(engine.pool, sa.StaticPool)
        self.insert: Any = _insert_of(engine.dialect.name)
        """The dialect's insert, which knows what to do on a conflict."""

    @classmethod
    def open(cls, url_or_path: str | Path) -> Database:
        """Open a database, or make a new one where there is none; its tables are brought up to date.

        Parameters
        ----------
        url_or_path : str | Path
            A path of a SQLite file, or a URL: ``sqlite:///path``, ``sqlite://`` (in memory), ``postgresql+...``.

        Raises
        ------
        StorageError
            It cannot be opened or written, is damaged, is something else, or was written by a newer Shotline.
        """
        database = cls.connect(url_or_path)
        try:
            with database.writing() as db:
                bring_up_to_date(db, database.name)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def connect(cls, url_or_path: str | Path) -> Database:
        """Return a database as it is, for a look at its tables; `open` is for everything else.

        Raises
        ------
        StorageError
            It is no database that Shotline can use.
        """
        return cls(*_engine(url_or_path))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that writes; committed when the block ends well. One at a time.

        Raises
        ------
        StorageError
            The database refuses; nothing of the block is kept.
        """
        with self._lock, self._storage_errors(), self._writer.begin() as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that reads.

        Raises
        ------
        StorageError
            The database refuses.
        """
        if self._in_memory:
            with self._lock, self._storage_errors(), self.engine.begin() as db:
                yield db
        else:
            with self._storage_errors(), self.engine.begin() as db:
                yield db

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise StorageError(f"{self.name}: {_advice(str(error.orig))}") from error


class ManyRows:
    """A statement put into the driver's words once, for many rows at a time: their columns are not looked up each.

    Parameters
    ----------
    database : Database
    statement : Any
        An insert, perhaps with what to do on a conflict.
    columns : sequence of str
        Of the values in each row, in their order.
    """

    def __init__(self, database: Database, statement: Any, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=database.engine.dialect, column_keys=list(columns))
        self._sql = str(compiled)
        self._columns = tuple(columns)
        # Drivers with `?` want the values in the order in which the statement names them.
        order = compiled.positiontup
        self._positions = None if order is None else tuple(self._columns.index(name) for name in order)

    def execute(self, db: sa.Connection, rows: Sequence[tuple[object, ...]]) -> int:
        """Execute it for every row; return how many rows of the table were written."""
        parameters: list[Any]
        if self._positions is None:
            parameters = [dict(zip(self._columns, row, strict=True)) for row in rows]
        elif self._positions == tuple(range(len(self._columns))):
            parameters = list(rows)
        else:
            parameters = [tuple(row[position] for position in self._positions) for row in rows]
        # Only when asked to does SQLAlchemy say how many, on every database.
        return db.exec_driver_sql(self._sql, parameters, execution_options={"preserve_rowcount": True}).rowcount


def _insert_of(dialect: str) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    return sqlite.insert


def _engine(url_or_path: str | Path) -> tuple[sa.Engine, str]:
    text = str(url_or_path)
    try:
        url = sa.make_url(text) if "://" in text else sa.URL.create("sqlite", database=text)
    except sa.exc.ArgumentError as error:
        raise StorageError(f"'{text}' is not a path or a database URL such as sqlite:///history.db") from error
    name = url.render_as_string(hide_password=True) if "://" in text else text
    if url.get_backend_name() == "postgresql":
        try:
            engine = sa.create_engine(url, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise StorageError(f"{name} needs the driver '{error.name}'; install it with pip") from error
        except sa.exc.NoSuchModuleError as error:
            raise StorageError(f"{name}: no such driver; write postgresql+psycopg://user@host/name") from error
        sa.event.listen(engine, "connect", _on_postgresql_connect)
        sa.event.listen(engine, "begin", _on_postgresql_begin)
        return engine, name
    if url.get_backend_name() != "sqlite":
        raise StorageError(f"{name}: Shotline keeps its history in sqlite or postgresql; use one of them")
    if url.database in (None, "", ":memory:"):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False})
    sa.event.listen(engine, "connect", _on_sqlite_connect)
    sa.event.listen(engine, "begin", _on_sqlite_begin)
    return engine, name


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    # In a flood every node has a page of its own that is written again and again: keep them all, and copy them from the
    # WAL into the file less often.
    cursor.execute(f"PRAGMA cache_size={-_CACHE_KIB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("shotline_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _on_postgresql_connect(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = {round(_BUSY_TIMEOUT_S * 1000)}")
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()


def _on_postgresql_begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("shotline_write", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_KEY})")


_ADVICE = (
    (
        "full",
        "the disk is full; free space on it: what was acknowledged is kept, nodes send the rest again",
    ),
    (
        "no space left",
        "the disk is full; free space on it: what was acknowledged is kept, nodes send the rest again",
    ),
    ("lock timeout", "another process holds the database; stop it (a second server, a migration or a shell)"),
    ("refused", "PostgreSQL does not answer; start it, or correct the host and port in the URL"),
    ("no such file", "PostgreSQL does not answer; start it, or correct the host and port in the URL"),
    ("authentication failed", "PostgreSQL does not know this user by this password; correct the URL, or pg_hba.conf"),
    ("permission denied", "this user may not do that; make it the owner of the database"),
    ("relation", "a table is missing or of another kind; look with: shotline server migrate --check"),
    ("does not exist", "there is no such database or user; make them with createuser and createdb"),
    ("locked", "another process holds the database; stop it (a second server, a backup or a shell) and start again"),
    ("readonly", "the database cannot be written; give this user write permission on the file and its folder"),
    ("not a database", "the file is not a history; name another file, or restore this one from a backup"),
    ("malformed", "the database is damaged; move it aside and restore a backup, nodes keep what is not acknowledged"),
    ("unable to open", "the file cannot be opened; create its folder and give this user write permission there"),
    ("disk i/o", "the disk fails to read or write; check it (dmesg), then restore a backup if the database is damaged"),
)


def _advice(seen: str) -> str:
    for words, advice in _ADVICE:
        if words in seen.lower():
            return f"{advice} [{seen}]"
    return f"the database refuses: {seen}"
