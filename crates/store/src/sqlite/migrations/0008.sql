-- Registrations of devices over LwM2M. A row goes with its device.
CREATE TABLE registration (
    device INTEGER PRIMARY KEY,
    ends_at INTEGER NOT NULL,
    kept BLOB NOT NULL                  -- the gateway's
) STRICT;
