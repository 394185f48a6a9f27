"""Version 1: the history, decisions and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make the tables that are not there: they were once made without a version of their own."""
    op.create_table(
        "shotline_meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(256), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "detections",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("arrival_time_ns", sa.BigInteger, nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_index("ix_detections_arrival_time_ns", "detections", ["arrival_time_ns"], if_not_exists=True)
    op.create_table(
        "dispositions",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("disposition", sa.String(32), nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "rejects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("first_ns", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("reason", "detail", "raw"),
        if_not_exists=True,
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("as_of_ns", sa.BigInteger, nullable=False),
        sa.Column("rounds", sa.Integer, nullable=False),
        sa.Column("x_m", sa.Float, nullable=False),
        sa.Column("y_m", sa.Float, nullable=False),
        sa.Column("cep95_m", sa.Float, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_incidents_time_ns", "incidents", ["time_ns"], if_not_exists=True)
    op.create_table(
        "receipts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident_id", sa.String(64), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("sink", sa.String(128), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("receipts_by_incident", "receipts", ["incident_id", "revision", "sink"], if_not_exists=True)
    op.create_table(
        "clips",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("incident_id", sa.String(64), nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("start_time_ns", sa.BigInteger, nullable=False),
        sa.Column("sample_rate_hz", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("digest_ok", sa.Boolean),
        sa.Column("flac", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_clips_incident_id", "clips", ["incident_id"], if_not_exists=True)
    op.create_table(
        "clip_refusals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("incident_id", sa.String(64), nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_clip_refusals_incident_id", "clip_refusals", ["incident_id"], if_not_exists=True)
    op.create_table(
        "node_status",
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
        if_not_exists=True,
    )
    op.create_table(
        "decisions",
        sa.Column("incident_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "acknowledgements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident_id", sa.String(64), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_acknowledgements_incident_id", "acknowledgements", ["incident_id"], if_not_exists=True)
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], if_not_exists=True)
    op.create_table(
        "audit_roots",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        if_not_exists=True,
    )
    op.execute("INSERT INTO shotline_meta (key, value) VALUES ('schema_version', '1') ON CONFLICT (key) DO NOTHING")
