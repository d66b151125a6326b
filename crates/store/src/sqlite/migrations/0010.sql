-- Calls that are made once however often they are repeated: by the key that the application gave.
CREATE TABLE request_key (
    app INTEGER NOT NULL,
    key TEXT NOT NULL,
    asked BLOB NOT NULL,                -- a hash of what was asked for
    command BLOB NOT NULL,              -- what came of it
    status INTEGER NOT NULL,            -- the status that was answered
    until INTEGER NOT NULL,
    PRIMARY KEY (app, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_key_end ON request_key (until);
ALTER TABLE tally ADD COLUMN request_keys INTEGER NOT NULL DEFAULT 0;
