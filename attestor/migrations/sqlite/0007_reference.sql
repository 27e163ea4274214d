-- Sets of PCR values of a host: the one that it is held to (current), the one before (previous), one that waits for an
-- operator (proposed), values that are accepted once they are seen (ahead). Of a rejected one only its name is kept.

CREATE TABLE reference_set (
    host     TEXT NOT NULL REFERENCES host (id),
    role     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    proposal TEXT,
    events   TEXT,
    PRIMARY KEY (host, role)
) STRICT;

CREATE TABLE reference_value (
    host  TEXT NOT NULL REFERENCES host (id),
    role  TEXT NOT NULL,
    bank  INTEGER NOT NULL,
    pcr   INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (host, role, bank, pcr)
) STRICT, WITHOUT ROWID;

INSERT INTO reference_set (host, role, at) SELECT host, 'current', max(learned_at) FROM reference_pcr GROUP BY host;
INSERT INTO reference_value (host, role, bank, pcr, value) SELECT host, 'current', bank, pcr, value FROM reference_pcr;
DROP TABLE reference_pcr;
