"""Version 2: detections by incident, legal holds, receipts of deletion; text in binary order on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "2"
down_revision = "1"

_TEXT_COLUMNS: dict[str, dict[str, int | None]] = {
    "shotline_meta": {"key": 64, "value": 256},
    "detections": {"node": 64},
    "dispositions": {"node": 64, "disposition": 32},
    "rejects": {"reason": 64, "detail": None},
    "incidents": {"id": 64, "state": 32},
    "receipts": {"incident_id": 64, "sink": 128, "detail": None},
    "clips": {"node": 64, "incident_id": 64},
    "clip_refusals": {"node": 64, "incident_id": 64, "reason": 64, "detail": None},
    "node_status": {"node": 64, "software_version": 64, "model_id": 64, "clock_state": 32},
    "decisions": {"incident_id": 64, "outcome": 16, "reason": 32, "note": None, "person": 128},
    "acknowledgements": {"incident_id": 64, "person": 128},
    "audit": {"actor": 128, "action": 64, "subject": 128, "previous": 64, "digest": 64},
    "audit_roots": {"digest": 64, "key": 64, "signature": 128},
}
_DETECTION = re.compile(r"([^/]+)/([0-9a-f]{1,16})/([0-9]{1,19})")
_FILL_ON_POSTGRESQL = """
INSERT INTO incident_detections (incident_id, node, boot, sequence)
SELECT DISTINCT incidents.id,
       split_part(uid, '/', 1),
       ('x' || lpad(split_part(uid, '/', 2), 16, '0'))::bit(64)::bigint,
       split_part(uid, '/', 3)::bigint
FROM incidents
CROSS JOIN LATERAL jsonb_array_elements(convert_from(record, 'UTF8')::jsonb -> 'shots') AS shot
CROSS JOIN LATERAL jsonb_array_elements((shot -> 'arrivals') || coalesce(shot -> 'passed_over', '[]')) AS arrival
CROSS JOIN LATERAL (SELECT arrival ->> 'detection') AS named (uid)
WHERE uid ~ '^[^/]+/[0-9a-f]{1,16}/[0-9]{1,19}$'
"""


def upgrade() -> None:
    """Make the new tables, and fill the first from the incidents that are there."""
    on_postgresql = op.get_context().dialect.name == "postgresql"
    if on_postgresql:
        for table, columns in _TEXT_COLUMNS.items():
            for name, most in columns.items():
                op.alter_column(table, name, type_=_text(most, on_postgresql))
    op.create_table(
        "incident_detections",
        sa.Column("node", _text(64, on_postgresql), primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("incident_id", _text(64, on_postgresql), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident_id", _text(64, on_postgresql)),
        sa.Column("from_ns", sa.BigInteger),
        sa.Column("until_ns", sa.BigInteger),
        sa.Column("reason", _text(None, on_postgresql), nullable=False),
        sa.Column("person", _text(128, on_postgresql), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hold_releases",
        sa.Column("hold_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("reason", _text(None, on_postgresql), nullable=False),
        sa.Column("person", _text(128, on_postgresql), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deletion_receipts",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("kind", _text(16, on_postgresql), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("digest", _text(64, on_postgresql), nullable=False),
        sa.Column("oldest_ns", sa.BigInteger, nullable=False),
        sa.Column("newest_ns", sa.BigInteger, nullable=False),
        sa.Column("policy", _text(None, on_postgresql), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
    )
    if on_postgresql:
        op.execute(_FILL_ON_POSTGRESQL)
    else:
        _fill(op.get_bind())
    op.execute("UPDATE shotline_meta SET value = '2' WHERE key = 'schema_version'")


def _text(most_characters: int | None, on_postgresql: bool) -> sa.String:
    collation = "C" if on_postgresql else None
    return sa.Text(collation=collation) if most_characters is None else sa.String(most_characters, collation=collation)


def _fill(db: sa.Connection) -> None:
    insert = sa.text("INSERT OR IGNORE INTO incident_detections VALUES (:node, :boot, :sequence, :incident_id)")
    for incident_id, record in db.execute(sa.text("SELECT id, record FROM incidents")):
        if rows := [{**uid, "incident_id": incident_id} for uid in _detections(json.loads(record))]:
            db.execute(insert, rows)


def _detections(record: dict[str, list[dict[str, list[dict[str, str]]]]]) -> Iterator[dict[str, str | int]]:
    for shot in record["shots"]:
        for arrival in [*shot["arrivals"], *shot.get("passed_over", [])]:
            if found := _DETECTION.fullmatch(arrival["detection"]):
                yield {"node": found[1], "boot": int(found[2], 16), "sequence": int(found[3])}
