-- The audit logs of hosts, as they sent them. Positions are the only key; times are milliseconds since the Unix epoch, UTC.

-- One log of one host: it changes only with a new checkpoint key, which gives it a new name.
CREATE TABLE mirrored_log (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host           TEXT NOT NULL REFERENCES host (id),
    origin         TEXT NOT NULL UNIQUE,
    revision       BIGINT NOT NULL,
    checkpoint_key BYTEA NOT NULL,
    ak             BYTEA NOT NULL,
    audit_counter  BYTEA NOT NULL,
    enrolled_value BIGINT NOT NULL, -- of the counter, when the host was enrolled
    size           BIGINT NOT NULL,
    peaks          BYTEA NOT NULL,    -- the tree's right edge: 32 bytes each, widest subtree first
    bytes          BIGINT NOT NULL, -- of all records together
    grown_at       BIGINT,
    cosigned       BIGINT NOT NULL, -- the largest size that was cosigned
    last_value     BIGINT           -- of the counter, in the newest evidence
);
CREATE INDEX mirrored_log_by_host ON mirrored_log (host);

-- The records of one upload, each behind its 16-bit length (C2SP tlog-tiles entry bundle).
CREATE TABLE mirrored_bundle (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log     BIGINT NOT NULL REFERENCES mirrored_log (id),
    first   BIGINT NOT NULL,
    entries BYTEA NOT NULL
);
CREATE UNIQUE INDEX mirrored_bundle_by_place ON mirrored_bundle (log, first);

CREATE TABLE mirrored_checkpoint (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log         BIGINT NOT NULL REFERENCES mirrored_log (id),
    size        BIGINT NOT NULL,
    peaks       BYTEA NOT NULL,    -- the right edge at this size
    note        TEXT NOT NULL,    -- as the host sent it
    counter     BIGINT,          -- the certified value; NULL for one that is only signed
    cosignature TEXT NOT NULL,    -- our line
    at          BIGINT NOT NULL
);
CREATE INDEX mirrored_checkpoint_by_size ON mirrored_checkpoint (log, size);

-- A log that forked: what contradicted it first. Nothing more of that log is taken.
CREATE TABLE mirrored_fork (
    log      BIGINT PRIMARY KEY REFERENCES mirrored_log (id),
    at       BIGINT NOT NULL,
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    evidence BYTEA NOT NULL -- the record, or the signed note, that does not fit
);
