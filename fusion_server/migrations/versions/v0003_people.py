"""Version 3: accounts and their tokens, hours on the air, misses that people report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "3"
down_revision = "2"

_TEXT_COLUMNS: dict[str, dict[str, int | None]] = {
    "heard_hours": {"node": 64},
    "misses": {"said_by": None, "reason": None, "person": 128},
    "accounts": {"name": 64, "password_hash": None, "roles": 128},
    "tokens": {"digest": 64, "kind": 16, "account": 64, "name": 64, "roles": 128},
}


def upgrade() -> None:
    """Make the tables that are not there: they were once made without a version of their own."""
    on_postgresql = op.get_context().dialect.name == "postgresql"

    def text(table: str, name: str) -> sa.String:
        most, collation = _TEXT_COLUMNS[table][name], "C" if on_postgresql else None
        return sa.Text(collation=collation) if most is None else sa.String(most, collation=collation)

    op.create_table(
        "heard_hours",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hour_ns", sa.BigInteger, nullable=False),
        sa.Column("node", text("heard_hours", "node"), nullable=False),
        sa.Column("minutes", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_heard_hours_hour_ns", "heard_hours", ["hour_ns"], if_not_exists=True)
    op.create_table(
        "misses",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("x_m", sa.Float, nullable=False),
        sa.Column("y_m", sa.Float, nullable=False),
        sa.Column("said_by", text("misses", "said_by"), nullable=False),
        sa.Column("reason", text("misses", "reason"), nullable=False),
        sa.Column("person", text("misses", "person"), nullable=False),
        sa.Column("entered_ns", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_misses_time_ns", "misses", ["time_ns"], if_not_exists=True)
    op.create_table(
        "accounts",
        sa.Column("name", text("accounts", "name"), primary_key=True),
        sa.Column("password_hash", text("accounts", "password_hash"), nullable=False),
        sa.Column("roles", text("accounts", "roles"), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("disabled_ns", sa.BigInteger),
        if_not_exists=True,
    )
    op.create_table(
        "tokens",
        sa.Column("digest", text("tokens", "digest"), primary_key=True),
        sa.Column("kind", text("tokens", "kind"), nullable=False),
        sa.Column("account", text("tokens", "account"), nullable=False),
        sa.Column("name", text("tokens", "name"), nullable=False),
        sa.Column("roles", text("tokens", "roles"), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("revoked_ns", sa.BigInteger),
        if_not_exists=True,
    )
    op.create_index("ix_tokens_account", "tokens", ["account"], if_not_exists=True)
    if on_postgresql:
        # Tables that were there already sort by the language of the cluster.
        for table, columns in _TEXT_COLUMNS.items():
            for name in columns:
                op.alter_column(table, name, type_=text(table, name))
    op.execute("UPDATE shotline_meta SET value = '3' WHERE key = 'schema_version'")
