-- Keys are small integers of this store; public ids stand beside them. Times are milliseconds since the epoch, UTC.

CREATE TABLE app (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,            -- also of removed ones: an id is never given twice
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    push_documented_only INTEGER NOT NULL,
    push_sent_immediate INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;

-- What an application has, so that limits and totals need no counting.
CREATE TABLE tally (
    app INTEGER PRIMARY KEY,
    devices INTEGER NOT NULL,           -- not removed
    commands INTEGER NOT NULL,          -- rows of `command`
    open INTEGER NOT NULL               -- of these, not final
) STRICT;

CREATE TABLE token (
    key INTEGER PRIMARY KEY,            -- rises with each pair handed out
    app INTEGER NOT NULL,
    access BLOB NOT NULL UNIQUE,
    access_until INTEGER NOT NULL,
    refresh BLOB NOT NULL UNIQUE,
    refresh_until INTEGER NOT NULL,
    issued_at INTEGER NOT NULL
) STRICT;
CREATE INDEX token_app ON token (app);
CREATE INDEX token_end ON token (refresh_until);

-- Rows stay when a device is removed: records go on showing its id, and neither key nor id is given twice.
CREATE TABLE device (
    key INTEGER PRIMARY KEY,
    app INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    node_id TEXT NOT NULL,
    secret BLOB NOT NULL,
    verify_code TEXT NOT NULL,
    info TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    activated_at INTEGER,
    bind_until INTEGER,
    family INTEGER,
    mid INTEGER NOT NULL DEFAULT 0,     -- the highest one reserved so far; 0: none
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX device_node ON device (node_id) WHERE removed_at IS NULL;
CREATE INDEX device_list ON device (app, created_at) WHERE removed_at IS NULL;
CREATE INDEX device_unbound ON device (bind_until)
    WHERE removed_at IS NULL AND activated_at IS NULL AND bind_until IS NOT NULL;

-- The record. Written at creation and when a final status is reached; in between `work` says where it stands.
CREATE TABLE command (
    id BLOB NOT NULL PRIMARY KEY,
    app INTEGER NOT NULL,
    device INTEGER NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    paras TEXT NOT NULL,
    callback TEXT,
    expire_time INTEGER NOT NULL,
    max_retransmit INTEGER,
    created_at INTEGER NOT NULL,
    state INTEGER,                      -- from here on: null until final
    sends INTEGER,
    delivered_at INTEGER,
    events BLOB,
    result TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX command_device ON command (device);    -- and id: the primary key is part of every index
CREATE INDEX command_app ON command (app);

-- What is open, or final but not fully told, or may still be amended by a late result.
CREATE TABLE work (
    id BLOB NOT NULL PRIMARY KEY,
    app INTEGER NOT NULL,
    device INTEGER NOT NULL,
    ord INTEGER NOT NULL,               -- place in the device's queue, given at acceptance
    queued INTEGER NOT NULL,            -- waits to be sent, or holds the device's slot
    expires_at INTEGER,                 -- null: immediate
    lapse_at INTEGER,                   -- when the end of its lifetime ends it; null: something else comes first
    response INTEGER,                   -- how long a result is awaited; null: none is expected
    state INTEGER NOT NULL,
    sends INTEGER NOT NULL,
    session INTEGER,
    due INTEGER,                        -- ack or response deadline, or the end of the late window
    slot_until INTEGER,
    mid INTEGER,
    push INTEGER NOT NULL,
    receiver TEXT,
    acked INTEGER NOT NULL,             -- events up to here are told or not to be told
    seq INTEGER NOT NULL,
    delivered_at INTEGER,
    prune_at INTEGER,                   -- final and told: when the row may go
    events BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX work_queue ON work (device, ord) WHERE queued = 1;
CREATE INDEX work_lapse ON work (lapse_at) WHERE lapse_at IS NOT NULL;
CREATE UNIQUE INDEX work_mid ON work (device, mid) WHERE mid IS NOT NULL;
CREATE INDEX work_prune ON work (prune_at) WHERE prune_at IS NOT NULL;
