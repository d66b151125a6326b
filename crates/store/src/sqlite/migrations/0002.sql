-- The newest commands are kept by device in memory and come into these tables many at once, in order of the device: a
-- create then dirties no page of its own in an index as wide as the fleet.

-- The commands of a device, for lists.
CREATE TABLE of_device (
    device INTEGER NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (device, id)
) STRICT, WITHOUT ROWID;
INSERT INTO of_device (device, id) SELECT device, id FROM command ORDER BY device, id;
DROP INDEX command_device;

-- A device's queue: what waits to be sent, or holds its slot.
CREATE TABLE queued (
    device INTEGER NOT NULL,
    ord INTEGER NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (device, ord)
) STRICT, WITHOUT ROWID;
INSERT INTO queued (device, ord, id) SELECT device, ord, id FROM work WHERE queued = 1 ORDER BY device, ord;
DROP INDEX work_queue;

-- Every command whose id sorts before `begin` is in these tables; of the others some are.
CREATE TABLE tail (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    begin BLOB NOT NULL
) STRICT;
-- One byte longer than the highest id: after it, and before all that come.
INSERT INTO tail (only, begin) SELECT 1, coalesce(CAST(max(id) || x'00' AS BLOB), x'') FROM command;
