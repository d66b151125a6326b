-- The feeds: an application's changes of commands in the order of their commits. Only of applications that asked for it.
ALTER TABLE app ADD COLUMN feed INTEGER NOT NULL DEFAULT 0;

CREATE TABLE feed (
    app INTEGER NOT NULL,
    n INTEGER NOT NULL,                 -- rises by one per application
    command BLOB NOT NULL,
    seq INTEGER NOT NULL,
    status INTEGER NOT NULL,
    device INTEGER NOT NULL,            -- this and the status are here too, so that a change outlives its command's record
    with_result INTEGER NOT NULL,       -- the command's result goes with it
    at INTEGER NOT NULL,
    PRIMARY KEY (app, n)
) STRICT, WITHOUT ROWID;

-- From where a feed is whole: whatever is up to `n` was pruned, or is from before the feed was switched on the last time.
CREATE TABLE feed_begin (
    app INTEGER PRIMARY KEY,
    n INTEGER NOT NULL
) STRICT;
