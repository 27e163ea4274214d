-- The registry of hosts and what was decided about them. Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE host (
    id             TEXT PRIMARY KEY,
    revision       BIGINT NOT NULL,
    name           TEXT NOT NULL,
    grade          TEXT NOT NULL,
    ek_trust       TEXT NOT NULL,
    ek_fingerprint TEXT NOT NULL UNIQUE,
    ek             BYTEA NOT NULL,
    ak             BYTEA NOT NULL,
    checkpoint_key BYTEA NOT NULL,
    audit_counter  BYTEA NOT NULL,
    anchor         TEXT NOT NULL,
    last           TEXT NOT NULL,
    revoked_at     BIGINT,
    revoked_why    TEXT,
    CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
);

CREATE TABLE reference_pcr (
    host       TEXT NOT NULL REFERENCES host (id),
    bank       BIGINT NOT NULL,
    pcr        BIGINT NOT NULL,
    value      BYTEA NOT NULL,
    learned_at BIGINT NOT NULL,
    PRIMARY KEY (host, bank, pcr)
);

-- A nonce that is not here was never ours, has expired, or was used.
CREATE TABLE nonce (
    value      BYTEA PRIMARY KEY,
    host       TEXT NOT NULL REFERENCES host (id),
    expires_at BIGINT NOT NULL
);
CREATE INDEX nonce_by_host ON nonce (host, expires_at);

-- SHA-256 of the secret, never the secret.
CREATE TABLE token (
    hash       BYTEA PRIMARY KEY,
    host_name  TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    used_by    TEXT REFERENCES host (id)
);

CREATE TABLE pending_enrollment (
    id         BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    body       TEXT NOT NULL
);

CREATE TABLE svid (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host       TEXT NOT NULL REFERENCES host (id),
    spiffe_id  TEXT NOT NULL,
    kind       TEXT NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX svid_by_end ON svid (expires_at);
CREATE INDEX svid_by_host ON svid (host, issued_at);

CREATE TABLE verdict (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    host    TEXT REFERENCES host (id),
    outcome TEXT NOT NULL,
    judged  TEXT NOT NULL
);
CREATE INDEX verdict_by_host ON verdict (host, id);
