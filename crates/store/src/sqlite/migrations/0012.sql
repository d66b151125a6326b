-- Batch tasks: one command for many devices.
CREATE TABLE batch_task (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    app INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,              -- 0 a list, 1 a type, 2 an area, 3 all
    targets TEXT NOT NULL,              -- one a line: the ids of a list, the names of a type or an area
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    paras TEXT NOT NULL,
    callback TEXT,
    max_retransmit INTEGER,
    tags TEXT,                          -- a JSON array, as it came
    minutes INTEGER NOT NULL,           -- how long it may take
    created_at INTEGER NOT NULL,
    timeout_at INTEGER NOT NULL,
    ended_at INTEGER,                   -- null: not over
    place INTEGER NOT NULL DEFAULT 0,   -- how far it is gathered: bytes of `targets`, or a key of devices
    upto INTEGER NOT NULL,              -- gathered up to here
    total INTEGER NOT NULL DEFAULT 0,   -- devices gathered so far
    tried INTEGER NOT NULL DEFAULT 0,   -- of these, how many had their turn
    success INTEGER NOT NULL DEFAULT 0,
    fail INTEGER NOT NULL DEFAULT 0,
    timeout INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX batch_task_name ON batch_task (app, name);
CREATE INDEX batch_task_open ON batch_task (app) WHERE ended_at IS NULL;
CREATE INDEX batch_task_end ON batch_task (ended_at) WHERE ended_at IS NOT NULL;

-- The devices of batch tasks.
CREATE TABLE batch_subtask (
    task INTEGER NOT NULL,
    n INTEGER NOT NULL,                 -- its place in the task, from 0
    device TEXT NOT NULL,               -- the device's public id
    state INTEGER NOT NULL,             -- 0 pending, 1 its command is not over, 2 success, 3 fail, 4 timeout, 5 expired
    command BLOB,                       -- once it is made
    error TEXT,                         -- why it failed, as the application is told
    PRIMARY KEY (task, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_subtask_state ON batch_subtask (task, state);    -- and n
