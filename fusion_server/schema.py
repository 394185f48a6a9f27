"""Brings the tables of a database to the version that this Shotline knows, or says what a person is to run.

The versions are those of `fusion_server.migrations`. A database notes its own twice: in the table of Alembic, and in
`shotline_meta`, where every Shotline ever released finds it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from fusion_server.tables import META, METADATA
from shotline.errors import StorageError

__all__ = ["SCHEMA_VERSION", "bring_up_to_date", "differences", "upgrade_sql", "version_of"]

SCHEMA_VERSION = 3
"""Of the tables. A database written by a newer Shotline is refused, not guessed at."""

_VERSIONS = "alembic_version"
_FOLDER = Path(__file__).parent / "migrations"
_MOST_NAMED = 5


def version_of(db: sa.Connection, name: str) -> int | None:
    """Return the version of a database's tables; None of one that has none.

    Parameters
    ----------
    db : Connection
    name : str
        What to call the database in an error.

    Raises
    ------
    StorageError
        It is a database of something else, was written by a newer Shotline, or contradicts itself.
    """
    tables = set(sa.inspect(db).get_table_names())
    if not tables:
        return None
    if META.name not in tables:
        raise StorageError(
            f"{name} is a database of something else (it has the table '{min(tables)}' and no "
            f"'{META.name}'); give the history a file or database of its own"
        )
    noted = db.execute(sa.select(META.c.value).where(META.c.key == "schema_version")).scalar_one_or_none()
    if noted is not None and not (noted.isdecimal() and int(noted) <= SCHEMA_VERSION):
        raise StorageError(
            f"{name} has tables of version {noted}, this Shotline knows {SCHEMA_VERSION}; "
            "run the Shotline that wrote it, or one that is newer"
        )
    if _VERSIONS in tables:
        stamped = ", ".join(db.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalars().all()) or "none"
        alike, says = noted == stamped, f"'{_VERSIONS}' says {stamped}"
    else:
        # Before Alembic kept a table of its own there was one version.
        alike, says = noted == "1", f"there is no table '{_VERSIONS}'"
    if noted is None or not alike:
        raise StorageError(
            f"{name} contradicts itself: its version is {noted or 'none'} in '{META.name}', and {says}; restore a "
            "backup, or move the database aside and begin a new one"
        )
    return int(noted)


def bring_up_to_date(db: sa.Connection, name: str) -> None:
    """Bring the tables to `SCHEMA_VERSION`, within the transaction of the caller.

    Tables that were made before versions were noted in Alembic's table are compared with what they should be.

    Raises
    ------
    StorageError
        See `version_of`; or the tables are not what their version says.
    """
    if version_of(db, name) == SCHEMA_VERSION and sa.inspect(db).has_table(_VERSIONS):
        return
    adopted = sa.inspect(db).has_table(META.name) and not sa.inspect(db).has_table(_VERSIONS)
    _run(connection=db)
    found = differences(db) if adopted else []
    if found:
        raise StorageError(
            f"the tables of {name} are not those of any version of Shotline: {'; '.join(found[:_MOST_NAMED])}; "
            "restore a backup, or move the database aside and begin a new one"
        )


def differences(db: sa.Connection) -> list[str]:
    """Return in which respects the tables are not those of `fusion_server.tables`, a line each."""
    context = MigrationContext.configure(db, opts={"compare_type": True})
    # A list holds what differs within one column.
    return [_words(item) for item in compare_metadata(context, METADATA)]


def upgrade_sql(db: sa.Connection, name: str) -> str:
    """Return the SQL that brings a database to `SCHEMA_VERSION`, for a person to run; "" where nothing is to be done.

    Raises
    ------
    StorageError
        See `version_of`; or it is SQLite, whose data cannot be moved by SQL alone.
    """
    if db.dialect.name != "postgresql":
        raise StorageError(f"{name} is SQLite, which is brought up to date when it is opened; there is no SQL to run")
    version = version_of(db, name)
    noted = sa.inspect(db).has_table(_VERSIONS)
    if version == SCHEMA_VERSION and noted:
        return ""
    into = io.StringIO()
    _run(dialect_name="postgresql", as_sql=True, output_buffer=into, starting_rev=str(version) if noted else None)
    return into.getvalue()


def _run(**options: Any) -> None:
    # Alembic's own words for a folder of versions; there is no file of settings, and no code of ours that it runs.
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def upgrade(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs(str(SCHEMA_VERSION), revision)

    with EnvironmentContext(config, script, fn=upgrade) as environment:
        environment.configure(target_metadata=METADATA, **options)
        with environment.begin_transaction():
            environment.run_migrations()


def _words(difference: Any) -> str:
    step = difference[0] if isinstance(difference, list) else difference
    words = [str(getattr(part, "name", part)) for part in step if part is not None and not isinstance(part, dict)]
    return " ".join(words)
