"""The tables of the database, in SQLAlchemy's words: the one place where columns are named."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "ACCOUNTS",
    "ACKNOWLEDGEMENTS",
    "AUDIT",
    "AUDIT_ROOTS",
    "CLIPS",
    "CLIP_REFUSALS",
    "DECISIONS",
    "DETECTIONS",
    "DISPOSITIONS",
    "HEARD_HOURS",
    "INCIDENTS",
    "META",
    "METADATA",
    "MISSES",
    "NODE_STATUS",
    "RECEIPTS",
    "REJECTS",
    "TOKENS",
]

METADATA = sa.MetaData()
META = sa.Table(
    "shotline_meta",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)
DETECTIONS = sa.Table(
    "detections",
    METADATA,
    sa.Column("node", sa.String(64), primary_key=True),
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
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("disposition", sa.String(32), nullable=False),
    sqlite_with_rowid=False,
)
REJECTS = sa.Table(
    "rejects",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("first_ns", sa.BigInteger, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("reason", "detail", "raw"),
)
INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("as_of_ns", sa.BigInteger, nullable=False),
    sa.Column("rounds", sa.Integer, nullable=False),
    sa.Column("x_m", sa.Float, nullable=False),
    sa.Column("y_m", sa.Float, nullable=False),
    sa.Column("cep95_m", sa.Float, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)
RECEIPTS = sa.Table(
    "receipts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", sa.String(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("sink", sa.String(128), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Index("receipts_by_incident", "incident_id", "revision", "sink"),
)
CLIPS = sa.Table(
    "clips",
    METADATA,
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident_id", sa.String(64), nullable=False, index=True),
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
    sa.Column("node", sa.String(64), nullable=False),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("incident_id", sa.String(64), nullable=False, index=True),
    sa.Column("received_ns", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
NODE_STATUS = sa.Table(
    "node_status",
    METADATA,
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("last_heard_ns", sa.BigInteger, nullable=False),
    sa.Column("hello_ns", sa.BigInteger),
    sa.Column("heartbeat_ns", sa.BigInteger),
    sa.Column("software_version", sa.String(64), nullable=False),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("sample_rate_hz", sa.Integer),
    sa.Column("clock_state", sa.String(32)),
    sa.Column("clock_sigma_ns", sa.BigInteger),
    sa.Column("next_sequence", sa.BigInteger),
    sa.Column("unacked", sa.BigInteger),
    sa.Column("gap_samples", sa.BigInteger),
    sa.Column("noise_level_db", sa.Float),
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("incident_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
ACKNOWLEDGEMENTS = sa.Table(
    "acknowledgements",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", sa.String(64), nullable=False, index=True),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("detail", sa.LargeBinary, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
AUDIT_ROOTS = sa.Table(
    "audit_roots",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("signature", sa.String(128), nullable=False),
)
HEARD_HOURS = sa.Table(
    "heard_hours",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("hour_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("node", sa.String(64), nullable=False),
    sa.Column("minutes", sa.BigInteger, nullable=False),
)
MISSES = sa.Table(
    "misses",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("x_m", sa.Float, nullable=False),
    sa.Column("y_m", sa.Float, nullable=False),
    sa.Column("said_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("entered_ns", sa.BigInteger, nullable=False),
)
ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("roles", sa.String(128), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("disabled_ns", sa.BigInteger),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("account", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("roles", sa.String(128), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("revoked_ns", sa.BigInteger),
)
