-- Device shadows: the last value of each property that a device reported, and what is desired of it.
CREATE TABLE shadow (
    device INTEGER NOT NULL,
    side INTEGER NOT NULL,              -- 0 reported, 1 desired
    service TEXT NOT NULL,
    property TEXT NOT NULL,
    value TEXT NOT NULL,                -- JSON
    at INTEGER NOT NULL,                -- when, as the device said; of what is desired: when it was asked for
    PRIMARY KEY (device, side, service, property)
) STRICT, WITHOUT ROWID;

-- What was desired of devices before, and what became of it.
CREATE TABLE desired_change (
    device INTEGER NOT NULL,
    n INTEGER NOT NULL,                 -- the order of a device's changes
    command BLOB NOT NULL,              -- which tells the device
    service TEXT NOT NULL,
    properties TEXT NOT NULL,           -- a JSON object
    status INTEGER NOT NULL,            -- 0 under way, 1 delivered, 2 failed
    at INTEGER NOT NULL,
    PRIMARY KEY (device, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX desired_change_open ON desired_change (command) WHERE status = 0;

-- Devices that are gone, whose shadow is not dropped yet.
CREATE TABLE shadow_left (
    device INTEGER PRIMARY KEY
) STRICT;
