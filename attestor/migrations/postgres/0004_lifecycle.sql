-- What operators order about hosts. A ban ends; a revocation does not. Servers hear of orders by NOTIFY.

ALTER TABLE host ADD COLUMN banned_at BIGINT;
ALTER TABLE host ADD COLUMN banned_why TEXT;

-- When a new attestation was last asked for.
ALTER TABLE host ADD COLUMN reattest_at BIGINT;
