-- Holds what the file is grown by, for a moment; its pages are the log's own room from then on.
CREATE TABLE room (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes BLOB NOT NULL
) STRICT;
