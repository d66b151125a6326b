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

-- The application's own id of the call that made a command; null: it gave none.
ALTER TABLE command ADD COLUMN call_id TEXT;

-- How many commands an application has, by the first four bytes of their ids: 65.5 seconds of time.
CREATE TABLE command_count (
    app INTEGER NOT NULL,
    stretch BLOB NOT NULL,
    commands INTEGER NOT NULL,
    PRIMARY KEY (app, stretch)
) STRICT, WITHOUT ROWID;
INSERT INTO command_count (app, stretch, commands)
    SELECT app, substr(id, 1, 4), count(*) FROM command GROUP BY app, substr(id, 1, 4);

-- Cancel tasks. What is still to be done is what waits in the device's queue up to `upto`.
CREATE TABLE cancel_task (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    app INTEGER NOT NULL,
    device INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- 0 waiting, 1 running, 2 success, 3 part success, 4 failed
    upto INTEGER NOT NULL,              -- the place in queues that was last given when it was made
    total INTEGER NOT NULL,             -- PENDING then
    canceled INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,                   -- null: not over
    commands BLOB NOT NULL              -- ids of the first ones, 16 bytes each
) STRICT;
CREATE INDEX cancel_task_app ON cancel_task (app);  -- and key
CREATE INDEX cancel_task_open ON cancel_task (key) WHERE ended_at IS NULL;
CREATE INDEX cancel_task_end ON cancel_task (ended_at) WHERE ended_at IS NOT NULL;
