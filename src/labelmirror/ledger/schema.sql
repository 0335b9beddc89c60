-- One row: the salt of account names, made with the file, so that names from two files cannot be compared.
CREATE TABLE salt (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    salt BLOB NOT NULL
) STRICT;

-- One row for each (server origin, key): its salted hash, and the book as JSON.
CREATE TABLE book (
    account TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
