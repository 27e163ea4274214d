-- The log of one origin. Positions are the only key: a record is its index and its bytes.
CREATE TABLE record (
    idx  INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL,   -- RFC 6962 leaf hash of json
    json BLOB NOT NULL    -- the exact bytes
) STRICT;

-- One row: the tree's right edge, written in the transaction of the records that it covers.
CREATE TABLE log (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    origin  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    peaks   BLOB NOT NULL,    -- 32 bytes each, widest subtree first
    stopped INTEGER NOT NULL  -- 1 between an orderly stop and the next start
) STRICT;

CREATE TABLE checkpoint (
    seq     INTEGER PRIMARY KEY,
    size    INTEGER NOT NULL,
    root    BLOB NOT NULL,
    note    TEXT NOT NULL,     -- C2SP signed note, with the TPM's evidence in it
    at      INTEGER NOT NULL,  -- milliseconds since the Unix epoch
    counter INTEGER            -- the certified value; NULL for one that is only signed
) STRICT;

-- The body that is to be certified next, from before the certification until its evidence is stored.
CREATE TABLE pending (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    root BLOB NOT NULL
) STRICT;
