-- Devices by what applications ask for: whether they are there, behind which gateway, what was said of them.
ALTER TABLE device ADD COLUMN gateway INTEGER;      -- key of the device that it is connected by; null: connected directly
ALTER TABLE device ADD COLUMN link INTEGER;         -- null: not there; 0: it sleeps, heard_at tells; else the run of the server it is connected to
ALTER TABLE device ADD COLUMN heard_at INTEGER;     -- about when it was last heard
-- Of `info`, to be found by.
ALTER TABLE device ADD COLUMN name TEXT;
ALTER TABLE device ADD COLUMN location TEXT;
ALTER TABLE device ADD COLUMN device_type TEXT;
UPDATE device SET
    name = CASE WHEN json_valid(info) THEN info ->> '$.name' END,
    location = CASE WHEN json_valid(info) THEN info ->> '$.location' END,
    device_type = CASE WHEN json_valid(info) THEN info ->> '$.deviceType' END;

-- What is counted and skipped is in the index, so that neither totals nor far pages read rows.
DROP INDEX device_list;
CREATE INDEX device_list ON device (app, created_at, link, heard_at, activated_at, gateway) WHERE removed_at IS NULL;
CREATE INDEX device_by_type ON device (app, device_type, created_at, link, heard_at, activated_at, gateway)
    WHERE removed_at IS NULL AND device_type IS NOT NULL;
CREATE INDEX device_by_name ON device (app, name, created_at) WHERE removed_at IS NULL AND name IS NOT NULL;
CREATE INDEX device_by_location ON device (app, location, created_at)
    WHERE removed_at IS NULL AND location IS NOT NULL;
CREATE INDEX device_by_gateway ON device (gateway) WHERE removed_at IS NULL AND gateway IS NOT NULL;

-- 1: a later notice of whether the device is there takes its place while it waits.
ALTER TABLE push ADD COLUMN replaceable INTEGER;

-- What devices reported, bounded by age and by rows of a device.
CREATE TABLE device_data (
    device INTEGER NOT NULL,
    n INTEGER NOT NULL,                 -- rises with each row of the device
    at INTEGER NOT NULL,                -- as the device said
    arrived_at INTEGER NOT NULL,
    service TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (device, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_data_age ON device_data (arrived_at);
