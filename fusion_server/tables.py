"""The tables of the database, in SQLAlchemy's words: the one place where columns are named."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

__all__ = [
    "ACCOUNTS",
    "ACKNOWLEDGEMENTS",
    "AUDIT",
    "AUDIT_ROOTS",
    "CLIPS",
    "CLIP_REFUSALS",
    "DECISIONS",
    "DELETION_RECEIPTS",
    "DETECTIONS",
    "DISPOSITIONS",
    "HEARD_HOURS",
    "HOLD_RELEASES",
    "INCIDENTS",
    "INCIDENT_DETECTIONS",
    "LEGAL_HOLDS",
    "META",
    "METADATA",
    "MISSES",
    "NODE_STATUS",
    "RECEIPTS",
    "REJECTS",
    "TOKENS",
    "PlainText",
]


class PlainText(sa.types.TypeDecorator[str]):
    """Text that both databases take, and sort by its code points.

    PostgreSQL stores no NUL, and sorts by the language of the cluster unless told otherwise. A NUL becomes its symbol,
    and half a surrogate pair a question mark, on both.

    Parameters
    ----------
    most_characters : int | None
        None for any number.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, most_characters: int | None = None) -> None:
        super().__init__()
        self.most_characters = most_characters

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type of a database."""
        collation = "C" if dialect.name == "postgresql" else None
        if self.most_characters is None:
            return sa.Text(collation=collation)
        return sa.String(self.most_characters, collation=collation)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - its signature
        """Return what is stored, or compared with what is stored."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")


METADATA = sa.MetaData()
META = sa.Table(
    "shotline_meta",
    METADATA,
    sa.Column("key", PlainText(64), primary_key=True),
    sa.Column("value", PlainText(256), nullable=False),
)
DETECTIONS = sa.Table(
    "detections",
    METADATA,
    sa.Column("node", PlainText(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("arrival_time_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("received_ns", sa.BigInteger, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
DISPOSITIONS = sa.Table(
    "dispositions",
    METADATA,
    sa.Column("node", PlainText(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("disposition", PlainText(32), nullable=False),
    sqlite_with_rowid=False,
)
REJECTS = sa.Table(
    "rejects",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reason", PlainText(64), nullable=False),
    sa.Column("detail", PlainText, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("first_ns", sa.BigInteger, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("reason", "detail", "raw"),
)
INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("id", PlainText(64), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", PlainText(32), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("as_of_ns", sa.BigInteger, nullable=False),
    sa.Column("rounds", sa.Integer, nullable=False),
    sa.Column("x_m", sa.Float, nullable=False),
    sa.Column("y_m", sa.Float, nullable=False),
    sa.Column("cep95_m", sa.Float, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)
INCIDENT_DETECTIONS = sa.Table(
    "incident_detections",
    METADATA,
    sa.Column("node", PlainText(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident_id", PlainText(64), primary_key=True),
    sqlite_with_rowid=False,
)
RECEIPTS = sa.Table(
    "receipts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", PlainText(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("sink", PlainText(128), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("detail", PlainText, nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Index("receipts_by_incident", "incident_id", "revision", "sink"),
)
CLIPS = sa.Table(
    "clips",
    METADATA,
    sa.Column("node", PlainText(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident_id", PlainText(64), nullable=False, index=True),
    sa.Column("received_ns", sa.BigInteger, nullable=False),
    sa.Column("start_time_ns", sa.BigInteger, nullable=False),
    sa.Column("sample_rate_hz", sa.Integer, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("digest_ok", sa.Boolean),
    sa.Column("flac", sa.LargeBinary, nullable=False),
)
CLIP_REFUSALS = sa.Table(
    "clip_refusals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("node", PlainText(64), nullable=False),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("incident_id", PlainText(64), nullable=False, index=True),
    sa.Column("received_ns", sa.BigInteger, nullable=False),
    sa.Column("reason", PlainText(64), nullable=False),
    sa.Column("detail", PlainText, nullable=False),
)
NODE_STATUS = sa.Table(
    "node_status",
    METADATA,
    sa.Column("node", PlainText(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("last_heard_ns", sa.BigInteger, nullable=False),
    sa.Column("hello_ns", sa.BigInteger),
    sa.Column("heartbeat_ns", sa.BigInteger),
    sa.Column("software_version", PlainText(64), nullable=False),
    sa.Column("model_id", PlainText(64), nullable=False),
    sa.Column("sample_rate_hz", sa.Integer),
    sa.Column("clock_state", PlainText(32)),
    sa.Column("clock_sigma_ns", sa.BigInteger),
    sa.Column("next_sequence", sa.BigInteger),
    sa.Column("unacked", sa.BigInteger),
    sa.Column("gap_samples", sa.BigInteger),
    sa.Column("noise_level_db", sa.Float),
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("incident_id", PlainText(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("outcome", PlainText(16), nullable=False),
    sa.Column("reason", PlainText(32), nullable=False),
    sa.Column("note", PlainText, nullable=False),
    sa.Column("person", PlainText(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
ACKNOWLEDGEMENTS = sa.Table(
    "acknowledgements",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", PlainText(64), nullable=False, index=True),
    sa.Column("person", PlainText(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("actor", PlainText(128), nullable=False),
    sa.Column("action", PlainText(64), nullable=False),
    sa.Column("subject", PlainText(128), nullable=False, index=True),
    sa.Column("detail", sa.LargeBinary, nullable=False),
    sa.Column("previous", PlainText(64), nullable=False),
    sa.Column("digest", PlainText(64), nullable=False),
)
AUDIT_ROOTS = sa.Table(
    "audit_roots",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", PlainText(64), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("key", PlainText(64), nullable=False),
    sa.Column("signature", PlainText(128), nullable=False),
)
LEGAL_HOLDS = sa.Table(
    "legal_holds",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", PlainText(64)),
    sa.Column("from_ns", sa.BigInteger),
    sa.Column("until_ns", sa.BigInteger),
    sa.Column("reason", PlainText, nullable=False),
    sa.Column("person", PlainText(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
HOLD_RELEASES = sa.Table(
    "hold_releases",
    METADATA,
    sa.Column("hold_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("reason", PlainText, nullable=False),
    sa.Column("person", PlainText(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
DELETION_RECEIPTS = sa.Table(
    "deletion_receipts",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", PlainText(16), nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("digest", PlainText(64), nullable=False),
    sa.Column("oldest_ns", sa.BigInteger, nullable=False),
    sa.Column("newest_ns", sa.BigInteger, nullable=False),
    sa.Column("policy", PlainText, nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
HEARD_HOURS = sa.Table(
    "heard_hours",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("hour_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("node", PlainText(64), nullable=False),
    sa.Column("minutes", sa.BigInteger, nullable=False),
)
MISSES = sa.Table(
    "misses",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("x_m", sa.Float, nullable=False),
    sa.Column("y_m", sa.Float, nullable=False),
    sa.Column("said_by", PlainText, nullable=False),
    sa.Column("reason", PlainText, nullable=False),
    sa.Column("person", PlainText(128), nullable=False),
    sa.Column("entered_ns", sa.BigInteger, nullable=False),
)
ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("name", PlainText(64), primary_key=True),
    sa.Column("password_hash", PlainText, nullable=False),
    sa.Column("roles", PlainText(128), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("disabled_ns", sa.BigInteger),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    sa.Column("digest", PlainText(64), primary_key=True),
    sa.Column("kind", PlainText(16), nullable=False),
    sa.Column("account", PlainText(64), nullable=False, index=True),
    sa.Column("name", PlainText(64), nullable=False),
    sa.Column("roles", PlainText(128), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("revoked_ns", sa.BigInteger),
)
