-- Updates that are accepted ahead for a whole group, by its canaries first: the rollout, its hosts with what is known of
-- each since it began, and the values that each will show. A host is in one rollout that is under way, at the most.

CREATE TABLE rollout (
    id            INTEGER PRIMARY KEY,
    revision      INTEGER NOT NULL DEFAULT 0,
    host_group    TEXT NOT NULL,
    canary_group  TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    needed        INTEGER NOT NULL,
    hold_ms       INTEGER NOT NULL,
    canary_limit  INTEGER NOT NULL,
    general_limit INTEGER NOT NULL,
    general_at    INTEGER,
    braked_at     INTEGER,
    done_at       INTEGER,
    cancelled_at  INTEGER
) STRICT;

CREATE TABLE rollout_host (
    rollout     INTEGER NOT NULL REFERENCES rollout (id),
    host        TEXT NOT NULL REFERENCES host (id),
    part        TEXT NOT NULL,
    under_way   INTEGER NOT NULL DEFAULT 1,
    shown_since INTEGER,
    shown_last  INTEGER,
    refused_at  INTEGER,
    refused_why TEXT,
    heard_until INTEGER NOT NULL,
    pardoned    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout, host)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX rollout_host_under_way ON rollout_host (host) WHERE under_way = 1;

CREATE TABLE rollout_value (
    rollout INTEGER NOT NULL REFERENCES rollout (id),
    host    TEXT NOT NULL REFERENCES host (id),
    bank    INTEGER NOT NULL,
    pcr     INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (rollout, host, bank, pcr)
) STRICT, WITHOUT ROWID;
