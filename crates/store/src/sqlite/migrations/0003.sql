-- What did not reach its receiver at the first attempt, or never goes without a row: each push a row of its own.

-- A receiver: an application's scheme, host and port.
CREATE TABLE receiver (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    app INTEGER NOT NULL,
    origin TEXT NOT NULL,
    held_at INTEGER,                    -- null: not held
    held_ms INTEGER NOT NULL DEFAULT 0, -- how long it was held in all, before this time
    rate INTEGER,                       -- pushes a second; null: no limit of its own
    waiting INTEGER NOT NULL DEFAULT 0, -- rows of `push` that are ready or behind
    dead INTEGER NOT NULL DEFAULT 0,    -- rows of `push` that were given up
    UNIQUE (app, origin)
) STRICT;

CREATE TABLE push (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app INTEGER NOT NULL,
    receiver INTEGER NOT NULL,
    order_key BLOB NOT NULL,
    seq INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- 0 ready, 1 behind another of its key, 2 given up
    url TEXT NOT NULL,
    kind TEXT,                          -- of a notice: its notifyType; null: a change of a command
    status INTEGER,                     -- of a change: the status it tells
    with_result INTEGER NOT NULL DEFAULT 0, -- of a change: the command's result goes with it
    notice_id TEXT,                     -- of a notice: its webhook-id
    body TEXT,                          -- of a notice
    tries INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,                -- when what it tells happened
    born INTEGER NOT NULL,              -- the same by the receiver's own clock, which stands still while it is held: at - held_ms
    next_at INTEGER NOT NULL,           -- when it is due; given up: since when
    dead_because TEXT,
    attempts BLOB                       -- the last few, packed; null: none
) STRICT;
CREATE UNIQUE INDEX push_order ON push (order_key, seq);
CREATE INDEX push_ready ON push (receiver, next_at) WHERE state = 0;
CREATE INDEX push_age ON push (receiver, born) WHERE state < 2;
CREATE INDEX push_dead ON push (receiver, next_at) WHERE state = 2;
CREATE INDEX push_receiver ON push (receiver);     -- and id, for lists
CREATE INDEX push_app ON push (app);

-- The receiver under which a command has stored pushes that wait; its later changes join them. Null: it has none.
ALTER TABLE work ADD COLUMN outbox INTEGER;

-- How old the application's pushes become before they are given up; null: as the configuration says.
ALTER TABLE app ADD COLUMN push_max_age_ms INTEGER;
