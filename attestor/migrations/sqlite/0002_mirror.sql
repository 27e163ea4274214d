-- The audit logs of hosts, as they sent them. Positions are the only key; times are milliseconds since the Unix epoch, UTC.

-- One log of one host: it changes only with a new checkpoint key, which gives it a new name.
CREATE TABLE mirrored_log (
    id             INTEGER PRIMARY KEY,
    host           TEXT NOT NULL REFERENCES host (id),
    origin         TEXT NOT NULL UNIQUE,
    revision       INTEGER NOT NULL,
    checkpoint_key BLOB NOT NULL,
    ak             BLOB NOT NULL,
    audit_counter  BLOB NOT NULL,
    enrolled_value INTEGER NOT NULL, -- of the counter, when the host was enrolled
    size           INTEGER NOT NULL,
    peaks          BLOB NOT NULL,    -- the tree's right edge: 32 bytes each, widest subtree first
    bytes          INTEGER NOT NULL, -- of all records together
    grown_at       INTEGER,
    cosigned       INTEGER NOT NULL, -- the largest size that was cosigned
    last_value     INTEGER           -- of the counter, in the newest evidence
) STRICT;
CREATE INDEX mirrored_log_by_host ON mirrored_log (host);

-- The records of one upload, each behind its 16-bit length (C2SP tlog-tiles entry bundle).
CREATE TABLE mirrored_bundle (
    id      INTEGER PRIMARY KEY,
    log     INTEGER NOT NULL REFERENCES mirrored_log (id),
    first   INTEGER NOT NULL,
    entries BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX mirrored_bundle_by_place ON mirrored_bundle (log, first);

CREATE TABLE mirrored_checkpoint (
    id          INTEGER PRIMARY KEY,
    log         INTEGER NOT NULL REFERENCES mirrored_log (id),
    size        INTEGER NOT NULL,
    peaks       BLOB NOT NULL,    -- the right edge at this size
    note        TEXT NOT NULL,    -- as the host sent it
    counter     INTEGER,          -- the certified value; NULL for one that is only signed
    cosignature TEXT NOT NULL,    -- our line
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX mirrored_checkpoint_by_size ON mirrored_checkpoint (log, size);

-- A log that forked: what contradicted it first. Nothing more of that log is taken.
CREATE TABLE mirrored_fork (
    log      INTEGER PRIMARY KEY REFERENCES mirrored_log (id),
    at       INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    evidence BLOB NOT NULL -- the record, or the signed note, that does not fit
) STRICT;
