//! Feeds: numbers without a gap, each change once.

use super::{Query, query};

pub(super) const QUERIES: &[Query] = &[
    query(
        "feed-numbers",
        "a feed's numbers are without a gap from where it begins",
        "SELECT a.id FROM app a JOIN (SELECT f.app, min(f.n) AS low, max(f.n) AS high, count(*) AS n, \
         coalesce(b.n, 0) AS begin FROM feed f LEFT JOIN feed_begin b ON b.app = f.app \
         WHERE f.n > coalesce(b.n, 0) GROUP BY f.app) s ON s.app = a.key \
         WHERE s.low <> s.begin + 1 OR s.high - s.low + 1 <> s.n",
    ),
    query(
        "feed-once",
        "a feed tells each change of a command once",
        "SELECT lower(hex(command)) FROM feed GROUP BY app, command, seq HAVING count(*) > 1",
    ),
];
