-- What an application asked to be told of: each kind of notice once, each to one URL.
CREATE TABLE subscription (
    key INTEGER PRIMARY KEY,            -- rises with each one: lists are in this order
    id TEXT NOT NULL UNIQUE,
    app INTEGER NOT NULL,
    notify_type TEXT NOT NULL,
    callback TEXT NOT NULL,
    origin TEXT NOT NULL,               -- scheme, host and port of the callback: with the application, the receiver
    channel TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (app, notify_type)
) STRICT;
