-- What pushes are signed and secured with, per application. Secrets are sealed by the caller. The rows stay when their
-- application is removed: its last pushes are signed too.

CREATE TABLE signing_key (
    key INTEGER PRIMARY KEY,            -- rises with each: the order of age
    app INTEGER NOT NULL,
    id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER,                    -- null: the newest one
    UNIQUE (app, id)
) STRICT;

CREATE TABLE push_tls (
    app INTEGER PRIMARY KEY,
    ca TEXT,                            -- PEM
    check_name INTEGER NOT NULL,
    certificate TEXT,                   -- PEM
    sealed_key BLOB
) STRICT;
