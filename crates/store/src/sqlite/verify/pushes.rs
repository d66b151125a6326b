//! Stored pushes: which is ready, and who knows of them.

use super::{Query, query};

pub(super) const QUERIES: &[Query] = &[
    query(
        "push-order",
        "of each order the first push that waits is ready, and the others are behind it",
        "SELECT 'push ' || p.id FROM push p WHERE p.state < 2 AND (p.state = 0) = EXISTS (SELECT 1 FROM push q \
         WHERE q.order_key = p.order_key AND q.seq < p.seq AND q.state < 2)",
    ),
    query(
        "push-receiver",
        "a stored push has a receiver of its application",
        "SELECT 'push ' || p.id FROM push p \
         WHERE NOT EXISTS (SELECT 1 FROM receiver r WHERE r.key = p.receiver AND r.app = p.app)",
    ),
    query(
        "push-shape",
        "a stored push is a change of a command or a notice of a device, and says why if it was given up",
        "SELECT 'push ' || id FROM push WHERE state NOT BETWEEN 0 AND 2 OR length(order_key) <> 16 \
         OR (kind IS NULL) <> (substr(order_key, 9, 1) >= x'80') OR (kind IS NULL) <> (status IS NOT NULL) \
         OR (kind IS NULL) <> (notice_id IS NULL) OR (kind IS NULL) <> (body IS NULL) \
         OR (state = 2) <> (dead_because IS NOT NULL)",
    ),
    query(
        "notice-id",
        "no two notices have the same id",
        "SELECT notice_id FROM push WHERE notice_id IS NOT NULL GROUP BY notice_id HAVING count(*) > 1",
    ),
    query(
        "outbox",
        "an open command knows the receiver of its pushes exactly while some wait",
        // The receivers of an application go with it; its commands are withdrawn after that.
        "SELECT lower(hex(w.id)) FROM work w JOIN app a ON a.key = w.app AND a.removed_at IS NULL \
         WHERE w.outbox IS NOT (SELECT receiver FROM push p WHERE p.order_key = w.id AND p.state < 2 LIMIT 1) \
         OR EXISTS (SELECT 1 FROM push p WHERE p.order_key = w.id AND p.state < 2 AND p.receiver <> w.outbox)",
    ),
];
