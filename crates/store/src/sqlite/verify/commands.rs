//! Records, working rows, and where both stand by device.

use super::{Query, query};

/// See the module. `w.state >= 5`, and 4 without `due`, are the ends.
pub(super) const QUERIES: &[Query] = &[
    query(
        "command-id",
        "a command's id is one that this program gives",
        "SELECT lower(hex(id)) FROM command WHERE length(id) <> 16 OR substr(hex(id), 13, 1) <> '7' \
         OR substr(hex(id), 17, 1) NOT IN ('8', '9', 'A', 'B')",
    ),
    query(
        "open-has-work",
        "a command without an end has a working row",
        "SELECT lower(hex(id)) FROM command c WHERE state IS NULL \
         AND NOT EXISTS (SELECT 1 FROM work w WHERE w.id = c.id)",
    ),
    query(
        "work-has-command",
        "a working row has its command",
        "SELECT lower(hex(id)) FROM work w WHERE NOT EXISTS (SELECT 1 FROM command c WHERE c.id = w.id)",
    ),
    query(
        "work-agrees",
        "a working row and its command name the same application, device, callback and end",
        "SELECT lower(hex(w.id)) FROM work w JOIN command c ON c.id = w.id WHERE w.app <> c.app \
         OR w.device <> c.device OR w.receiver IS NOT c.callback \
         OR (c.state IS NULL) = (w.state >= 5 OR w.state = 4 AND w.due IS NULL) \
         OR c.state IS NOT NULL AND (c.state <> w.state OR c.events IS NOT w.events OR c.sends IS NOT w.sends \
         OR c.delivered_at IS NOT w.delivered_at)",
    ),
    query(
        "end-is-whole",
        "a command that ended has its events and its number of sends, one that did not has neither",
        "SELECT lower(hex(id)) FROM command WHERE (state IS NULL) <> (events IS NULL) \
         OR (state IS NULL) <> (sends IS NULL)",
    ),
    query(
        "queue-of-open",
        "what stands in a queue is an open command of that device that is to be there, at its place",
        "SELECT lower(hex(q.id)) FROM queued q LEFT JOIN work w ON w.id = q.id \
         WHERE w.id IS NULL OR w.device <> q.device OR w.ord <> q.ord OR w.queued <> 1",
    ),
    query(
        "queue-is-whole",
        "an open command that is to be in its device's queue stands there, once it is listed by device",
        "SELECT lower(hex(w.id)) FROM work w WHERE w.queued = 1 \
         AND EXISTS (SELECT 1 FROM of_device o WHERE o.device = w.device AND o.id = w.id) \
         AND NOT EXISTS (SELECT 1 FROM queued q WHERE q.device = w.device AND q.ord = w.ord AND q.id = w.id)",
    ),
    query(
        "listed-by-device",
        "a command from before the tail is listed by its device",
        "SELECT lower(hex(c.id)) FROM command c WHERE c.id < (SELECT max(begin) FROM tail) \
         AND NOT EXISTS (SELECT 1 FROM of_device o WHERE o.device = c.device AND o.id = c.id)",
    ),
    query(
        "list-of-commands",
        "what is listed by device is a command of that device",
        "SELECT lower(hex(o.id)) FROM of_device o \
         WHERE NOT EXISTS (SELECT 1 FROM command c WHERE c.id = o.id AND c.device = o.device)",
    ),
    query(
        "places-differ",
        "no two commands have the same place in a device's queue",
        "SELECT lower(hex(min(id))) || ' and ' || lower(hex(max(id))) FROM work WHERE queued = 1 \
         GROUP BY device, ord HAVING count(*) > 1",
    ),
    query(
        "tail-begin",
        "where the tail begins is marked once",
        "SELECT 'tail: ' || count(*) || ' rows' FROM tail HAVING count(*) <> 1",
    ),
];
