-- What operators order about hosts. A ban ends; a revocation does not.

ALTER TABLE host ADD COLUMN banned_at INTEGER;
ALTER TABLE host ADD COLUMN banned_why TEXT;

-- When a new attestation was last asked for.
ALTER TABLE host ADD COLUMN reattest_at INTEGER;

-- Whose orders changed, in turn, so that a server learns of what another process wrote. Only the newest are kept.
CREATE TABLE host_order (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL REFERENCES host (id)
) STRICT;
