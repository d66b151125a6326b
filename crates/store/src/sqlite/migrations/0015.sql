-- Device groups.
CREATE TABLE device_group (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    app INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    max_devices INTEGER NOT NULL,       -- 0: no limit of its own
    devices INTEGER NOT NULL DEFAULT 0, -- how many are in it
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX device_group_name ON device_group (app, name);
CREATE INDEX device_group_app ON device_group (app);    -- and key

-- Which devices are in which group.
CREATE TABLE group_member (
    grp INTEGER NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (grp, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_device ON group_member (device);

-- What was told of a device that sleeps and is silent: 0 nothing, 1 that it is abnormal, 2 that it is offline.
ALTER TABLE device ADD COLUMN silence INTEGER NOT NULL DEFAULT 0;
CREATE INDEX device_silent ON device (silence, heard_at) WHERE link = 0 AND removed_at IS NULL;
