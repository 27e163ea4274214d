-- Updates that are accepted ahead for a whole group, by its canaries first: the rollout, its hosts with what is known of
-- each since it began, and the values that each will show. A host is in one rollout that is under way, at the most.

CREATE TABLE rollout (
    id            BIGINT PRIMARY KEY,
    revision      BIGINT NOT NULL DEFAULT 0,
    host_group    TEXT NOT NULL,
    canary_group  TEXT NOT NULL,
    started_at    BIGINT NOT NULL,
    needed        BIGINT NOT NULL,
    hold_ms       BIGINT NOT NULL,
    canary_limit  BIGINT NOT NULL,
    general_limit BIGINT NOT NULL,
    general_at    BIGINT,
    braked_at     BIGINT,
    done_at       BIGINT,
    cancelled_at  BIGINT
);

CREATE TABLE rollout_host (
    rollout     BIGINT NOT NULL REFERENCES rollout (id),
    host        TEXT NOT NULL REFERENCES host (id),
    part        TEXT NOT NULL,
    under_way   BIGINT NOT NULL DEFAULT 1,
    shown_since BIGINT,
    shown_last  BIGINT,
    refused_at  BIGINT,
    refused_why TEXT,
    heard_until BIGINT NOT NULL,
    pardoned    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout, host)
);

CREATE UNIQUE INDEX rollout_host_under_way ON rollout_host (host) WHERE under_way = 1;

CREATE TABLE rollout_value (
    rollout BIGINT NOT NULL REFERENCES rollout (id),
    host    TEXT NOT NULL REFERENCES host (id),
    bank    BIGINT NOT NULL,
    pcr     BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (rollout, host, bank, pcr)
);
