CREATE TABLE accounts (
    name VARCHAR(64) NOT NULL,
    password_hash TEXT NOT NULL,
    roles VARCHAR(128) NOT NULL,
    created_ns BIGINT NOT NULL,
    disabled_ns BIGINT,
    PRIMARY KEY (name)
);
CREATE TABLE acknowledgements (
    id INTEGER NOT NULL,
    incident_id VARCHAR(64) NOT NULL,
    person VARCHAR(128) NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_acknowledgements_incident_id ON acknowledgements (incident_id);
CREATE TABLE audit (
    number BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    actor VARCHAR(128) NOT NULL,
    action VARCHAR(64) NOT NULL,
    subject VARCHAR(128) NOT NULL,
    detail BLOB NOT NULL,
    previous VARCHAR(64) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX ix_audit_subject ON audit (subject);
CREATE TABLE audit_roots (
    number BIGINT NOT NULL,
    digest VARCHAR(64) NOT NULL,
    time_ns BIGINT NOT NULL,
    "key" VARCHAR(64) NOT NULL,
    signature VARCHAR(128) NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE clip_refusals (
    id INTEGER NOT NULL,
    node VARCHAR(64) NOT NULL,
    boot BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    incident_id VARCHAR(64) NOT NULL,
    received_ns BIGINT NOT NULL,
    reason VARCHAR(64) NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_clip_refusals_incident_id ON clip_refusals (incident_id);
CREATE TABLE clips (
    node VARCHAR(64) NOT NULL,
    boot BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    incident_id VARCHAR(64) NOT NULL,
    received_ns BIGINT NOT NULL,
    start_time_ns BIGINT NOT NULL,
    sample_rate_hz INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    digest_ok BOOLEAN,
    flac BLOB NOT NULL,
    PRIMARY KEY (node, boot, sequence)
);
CREATE INDEX ix_clips_incident_id ON clips (incident_id);
CREATE TABLE decisions (
    incident_id VARCHAR(64) NOT NULL,
    number INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    outcome VARCHAR(16) NOT NULL,
    reason VARCHAR(32) NOT NULL,
    note TEXT NOT NULL,
    person VARCHAR(128) NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (incident_id, number)
);
CREATE TABLE detections (
    node VARCHAR(64) NOT NULL,
    boot BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    arrival_time_ns BIGINT NOT NULL,
    received_ns BIGINT NOT NULL,
    raw BLOB NOT NULL,
    PRIMARY KEY (node, boot, sequence)
)
 WITHOUT ROWID;
CREATE INDEX ix_detections_arrival_time_ns ON detections (arrival_time_ns);
CREATE TABLE dispositions (
    node VARCHAR(64) NOT NULL,
    boot BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    disposition VARCHAR(32) NOT NULL,
    PRIMARY KEY (node, boot, sequence)
)
 WITHOUT ROWID;
CREATE TABLE heard_hours (
    id INTEGER NOT NULL,
    hour_ns BIGINT NOT NULL,
    node VARCHAR(64) NOT NULL,
    minutes BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_heard_hours_hour_ns ON heard_hours (hour_ns);
CREATE TABLE incidents (
    id VARCHAR(64) NOT NULL,
    revision INTEGER NOT NULL,
    state VARCHAR(32) NOT NULL,
    time_ns BIGINT NOT NULL,
    as_of_ns BIGINT NOT NULL,
    rounds INTEGER NOT NULL,
    x_m FLOAT NOT NULL,
    y_m FLOAT NOT NULL,
    cep95_m FLOAT NOT NULL,
    probability FLOAT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (id, revision)
);
CREATE INDEX ix_incidents_time_ns ON incidents (time_ns);
CREATE TABLE misses (
    number INTEGER NOT NULL,
    time_ns BIGINT NOT NULL,
    x_m FLOAT NOT NULL,
    y_m FLOAT NOT NULL,
    said_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    person VARCHAR(128) NOT NULL,
    entered_ns BIGINT NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX ix_misses_time_ns ON misses (time_ns);
CREATE TABLE node_status (
    node VARCHAR(64) NOT NULL,
    boot BIGINT NOT NULL,
    last_heard_ns BIGINT NOT NULL,
    hello_ns BIGINT,
    heartbeat_ns BIGINT,
    software_version VARCHAR(64) NOT NULL,
    model_id VARCHAR(64) NOT NULL,
    sample_rate_hz INTEGER,
    clock_state VARCHAR(32),
    clock_sigma_ns BIGINT,
    next_sequence BIGINT,
    unacked BIGINT,
    gap_samples BIGINT,
    noise_level_db FLOAT,
    PRIMARY KEY (node)
);
CREATE TABLE receipts (
    id INTEGER NOT NULL,
    incident_id VARCHAR(64) NOT NULL,
    revision INTEGER NOT NULL,
    sink VARCHAR(128) NOT NULL,
    attempt INTEGER NOT NULL,
    ok BOOLEAN NOT NULL,
    detail TEXT NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX receipts_by_incident ON receipts (incident_id, revision, sink);
CREATE TABLE rejects (
    id INTEGER NOT NULL,
    reason VARCHAR(64) NOT NULL,
    detail TEXT NOT NULL,
    raw BLOB NOT NULL,
    first_ns BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (reason, detail, raw)
);
CREATE TABLE shotline_meta (
    "key" VARCHAR(64) NOT NULL,
    value VARCHAR(256) NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE tokens (
    digest VARCHAR(64) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    account VARCHAR(64) NOT NULL,
    name VARCHAR(64) NOT NULL,
    roles VARCHAR(128) NOT NULL,
    created_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    revoked_ns BIGINT,
    PRIMARY KEY (digest)
);
CREATE INDEX ix_tokens_account ON tokens (account);
INSERT INTO shotline_meta (key, value) VALUES ('schema_version', '1');
