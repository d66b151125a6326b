//! Cancel tasks and batch tasks: their sums, and whether they are over.

use super::{Query, query};

pub(super) const QUERIES: &[Query] = &[
    query(
        "cancel-task",
        "a cancel task withdrew no more than it found, and is over exactly if it has an end",
        "SELECT id FROM cancel_task WHERE canceled NOT BETWEEN 0 AND total OR state NOT BETWEEN 0 AND 4 \
         OR (state < 2) <> (ended_at IS NULL) OR length(commands) % 16 <> 0",
    ),
    query(
        "batch-subtasks",
        "a batch task that is not over has so many sub-tasks as it says, without a gap",
        "SELECT t.id FROM batch_task t LEFT JOIN (SELECT task, count(*) AS n, max(n) AS last FROM batch_subtask \
         GROUP BY task) s ON s.task = t.key \
         WHERE t.ended_at IS NULL AND (coalesce(s.n, 0) <> t.total OR coalesce(s.last, -1) <> t.total - 1)",
    ),
    query(
        "batch-turns",
        "of a batch task those sub-tasks had their turn whose turn it was",
        "SELECT t.id || ' number ' || s.n FROM batch_task t JOIN batch_subtask s ON s.task = t.key \
         WHERE (s.n < t.tried) = (s.state = 0)",
    ),
    query(
        "batch-sums",
        "how many sub-tasks of a batch task ended, and how, is what counting them gives",
        "SELECT t.id FROM batch_task t LEFT JOIN (SELECT task, count(*) AS n, count(*) FILTER (WHERE state = 2) AS success, \
         count(*) FILTER (WHERE state = 3) AS fail, count(*) FILTER (WHERE state = 4) AS timeout, \
         count(*) FILTER (WHERE state = 5) AS expired FROM batch_subtask GROUP BY task) s ON s.task = t.key \
         WHERE (t.ended_at IS NULL OR coalesce(s.n, 0) = t.total) AND (t.success <> coalesce(s.success, 0) \
         OR t.fail <> coalesce(s.fail, 0) OR t.timeout <> coalesce(s.timeout, 0) \
         OR t.expired <> coalesce(s.expired, 0))",
    ),
    query(
        "batch-over",
        "a batch task is over exactly if all its devices are gathered and ended",
        "SELECT id FROM batch_task \
         WHERE (ended_at IS NOT NULL) <> (place >= upto AND success + fail + timeout + expired >= total)",
    ),
    query(
        "batch-commands",
        "a sub-task that waits for its command has one, of its task's application, and no two have the same",
        "SELECT t.id || ' number ' || s.n FROM batch_subtask s JOIN batch_task t ON t.key = s.task \
         WHERE s.state = 1 AND s.command IS NULL \
         OR EXISTS (SELECT 1 FROM command c WHERE c.id = s.command AND c.app <> t.app) \
         UNION ALL SELECT lower(hex(command)) FROM batch_subtask WHERE command IS NOT NULL \
         GROUP BY command HAVING count(*) > 1",
    ),
];
