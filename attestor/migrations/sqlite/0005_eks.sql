-- Endorsement keys that an operator lets in, and what their hosts have to call themselves where the list says it.
CREATE TABLE listed_ek (
    fingerprint TEXT PRIMARY KEY,
    host_name   TEXT,
    listed_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The only endorsement key that may use the token, if it was made for one.
ALTER TABLE token ADD COLUMN ek_fingerprint TEXT;
