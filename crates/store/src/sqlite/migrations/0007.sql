-- Products: what devices of a make and model can do. A device says which is its own in its `info`, so that a change of a
-- product is a change of one row.
CREATE TABLE product (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    app INTEGER NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,          -- rises with each put
    manufacturer_id TEXT NOT NULL,
    model TEXT NOT NULL,
    device_type TEXT NOT NULL,
    protocol_type TEXT NOT NULL,
    manufacturer_name TEXT NOT NULL,
    check_paras INTEGER NOT NULL,       -- 0 off, 1 warn, 2 reject
    work_mode INTEGER,                  -- 0 PSM, 1 DRX, 2 eDRX; null: not said
    cycle_secs INTEGER,                 -- of eDRX
    response_wait_secs INTEGER,         -- null: not said
    secure INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    codec_kind TEXT,                    -- null: it has no codec
    codec_matches INTEGER,              -- whether its answers are matched to commands
    codec TEXT,
    profile TEXT NOT NULL,              -- JSON
    UNIQUE (app, manufacturer_id, model, device_type),
    UNIQUE (app, id)
) STRICT;
