-- Hosts that nothing vouches for and that wait for an operator, under the name that they gave last.
CREATE TABLE waiting_host (
    ek_fingerprint TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    grade          TEXT NOT NULL,
    remote         TEXT NOT NULL,
    why            TEXT NOT NULL,
    first_at       BIGINT NOT NULL,
    last_at        BIGINT NOT NULL
);
