//! What is counted, against what counting gives.

use super::{Query, query};

pub(super) const QUERIES: &[Query] = &[
    query(
        "tally-commands",
        "an application's number of commands is what counting them gives",
        "SELECT a.id FROM app a WHERE coalesce((SELECT commands FROM tally WHERE app = a.key), 0) \
         <> (SELECT count(*) FROM command WHERE app = a.key)",
    ),
    query(
        "tally-open",
        "an application's number of open commands is what counting them gives",
        "WITH n AS (SELECT app, count(*) AS n FROM work WHERE NOT (state >= 5 OR state = 4 AND due IS NULL) GROUP BY app) \
         SELECT a.id FROM app a LEFT JOIN n ON n.app = a.key LEFT JOIN tally t ON t.app = a.key \
         WHERE coalesce(t.open, 0) <> coalesce(n.n, 0)",
    ),
    query(
        "tally-devices",
        "an application's number of devices is what counting those that are there gives",
        "WITH n AS (SELECT app, count(*) AS n FROM device WHERE removed_at IS NULL GROUP BY app) \
         SELECT a.id FROM app a LEFT JOIN n ON n.app = a.key LEFT JOIN tally t ON t.app = a.key \
         WHERE coalesce(t.devices, 0) <> coalesce(n.n, 0)",
    ),
    query(
        "tally-request-keys",
        "an application's number of request keys is what counting them gives",
        "SELECT a.id FROM app a WHERE coalesce((SELECT request_keys FROM tally WHERE app = a.key), 0) \
         <> (SELECT count(*) FROM request_key WHERE app = a.key)",
    ),
    query(
        "stretches",
        "how many commands an application has of each stretch of time is what counting them gives",
        "WITH n AS MATERIALIZED (SELECT app, substr(id, 1, 4) AS stretch, count(*) AS n FROM command \
         GROUP BY app, substr(id, 1, 4)) \
         SELECT 'app ' || n.app || ' stretch ' || lower(hex(n.stretch)) FROM n LEFT JOIN command_count c \
         ON c.app = n.app AND c.stretch = n.stretch WHERE c.commands IS NOT n.n \
         UNION ALL SELECT 'app ' || c.app || ' stretch ' || lower(hex(c.stretch)) FROM command_count c \
         WHERE (c.app, c.stretch) NOT IN (SELECT app, stretch FROM n)",
    ),
    query(
        "group-counts",
        "how many devices a group has is what counting them gives",
        "SELECT 'group ' || g.id FROM device_group g \
         WHERE g.devices <> (SELECT count(*) FROM group_member m WHERE m.grp = g.key)",
    ),
    query(
        "receiver-counts",
        "how many pushes wait for a receiver, and were given up, is what counting them gives",
        "WITH n AS (SELECT receiver, count(*) FILTER (WHERE state < 2) AS waiting, \
         count(*) FILTER (WHERE state = 2) AS dead FROM push GROUP BY receiver) \
         SELECT 'receiver ' || r.key FROM receiver r LEFT JOIN n ON n.receiver = r.key \
         WHERE r.waiting <> coalesce(n.waiting, 0) OR r.dead <> coalesce(n.dead, 0)",
    ),
];
