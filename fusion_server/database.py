"""The database: SQLite in one file by default, PostgreSQL by URL. Any thread may use it; one writes at a time.

A commit is durable when `Database.writing` ends (SQLite runs with ``synchronous=FULL``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from fusion_server.tables import META, METADATA
from shotline.errors import StorageError

__all__ = ["SCHEMA_VERSION", "Database"]

SCHEMA_VERSION = 1
"""Of the tables. A database written by a newer Shotline is refused, not guessed at."""

_BUSY_TIMEOUT_S = 5.0


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
        """Open a database, or make a new one where there is none.

        Parameters
        ----------
        url_or_path : str | Path
            A path of a SQLite file, or a URL: ``sqlite:///path``, ``sqlite://`` (in memory), ``postgresql+...``.

        Raises
        ------
        StorageError
            It cannot be opened or written, is damaged, is something else, or was written by a newer Shotline.
        """
        engine, name = _engine(url_or_path)
        database = cls(engine, name)
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

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

    def _prepare(self) -> None:
        with self.writing() as db:
            tables = set(sa.inspect(db).get_table_names())
            if tables and META.name not in tables:
                raise StorageError(
                    f"{self.name} is a database of something else (it has the table '{min(tables)}' and no "
                    f"'{META.name}'); give the history a file or database of its own"
                )
            METADATA.create_all(db)
            db.execute(
                self.insert(META).on_conflict_do_nothing(), {"key": "schema_version", "value": str(SCHEMA_VERSION)}
            )
            version = db.execute(sa.select(META.c.value).where(META.c.key == "schema_version")).scalar_one()
            if version != str(SCHEMA_VERSION):
                raise StorageError(
                    f"{self.name} has tables of version {version}, this Shotline knows {SCHEMA_VERSION}; "
                    "run the Shotline that wrote it, or one that is newer"
                )


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
            return sa.create_engine(url), name
        except ModuleNotFoundError as error:
            raise StorageError(f"{name} needs the driver '{error.name}'; install it with pip") from error
        except sa.exc.NoSuchModuleError as error:
            raise StorageError(f"{name}: no such driver; write postgresql+psycopg://user@host/name") from error
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
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("shotline_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


_ADVICE = (
    (
        "full",
        "the disk is full; free space on it: what was acknowledged is kept, nodes send the rest again",
    ),
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
