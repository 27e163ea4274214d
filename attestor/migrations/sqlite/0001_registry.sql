-- The registry of hosts and what was decided about them. Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE host (
    id             TEXT PRIMARY KEY,
    revision       INTEGER NOT NULL,
    name           TEXT NOT NULL,
    grade          TEXT NOT NULL,
    ek_trust       TEXT NOT NULL,
    ek_fingerprint TEXT NOT NULL UNIQUE,
    ek             BLOB NOT NULL,
    ak             BLOB NOT NULL,
    checkpoint_key BLOB NOT NULL,
    audit_counter  BLOB NOT NULL,
    anchor         TEXT NOT NULL,
    last           TEXT NOT NULL,
    revoked_at     INTEGER,
    revoked_why    TEXT,
    CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
) STRICT;

CREATE TABLE reference_pcr (
    host       TEXT NOT NULL REFERENCES host (id),
    bank       INTEGER NOT NULL,
    pcr        INTEGER NOT NULL,
    value      BLOB NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (host, bank, pcr)
) STRICT, WITHOUT ROWID;

-- A nonce that is not here was never ours, has expired, or was used.
CREATE TABLE nonce (
    value      BLOB PRIMARY KEY,
    host       TEXT NOT NULL REFERENCES host (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nonce_by_host ON nonce (host, expires_at);

-- SHA-256 of the secret, never the secret.
CREATE TABLE token (
    hash       BLOB PRIMARY KEY,
    host_name  TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    used_by    TEXT REFERENCES host (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE pending_enrollment (
    id         BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE svid (
    id         INTEGER PRIMARY KEY,
    host       TEXT NOT NULL REFERENCES host (id),
    spiffe_id  TEXT NOT NULL,
    kind       TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX svid_by_end ON svid (expires_at);
CREATE INDEX svid_by_host ON svid (host, issued_at);

CREATE TABLE verdict (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    host    TEXT REFERENCES host (id),
    outcome TEXT NOT NULL,
    judged  TEXT NOT NULL
) STRICT;
CREATE INDEX verdict_by_host ON verdict (host, id);
