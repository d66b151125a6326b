//! What of a receiver may be attempted: read by the index of what is ready, the one due first before the others.

use std::sync::Arc;

use downlink_core::{DeviceId, Status, Timestamp};
use foldhash::HashSet;
use rusqlite::{Connection, Row, params};

use super::attempts;
use crate::sqlite::damage::DamageMet;
use crate::sqlite::failure::Failure;
use crate::{OrderKey, PushContent, PushId, Ready, ReadyPush, ReceiverKey};

/// What is asked for.
pub(super) struct Wanted {
    pub(super) receiver: ReceiverKey,
    pub(super) except: HashSet<PushId>,
    pub(super) now: Timestamp,
    pub(super) limit: usize,
    pub(super) max_bytes: usize,
}

pub(super) const QUERY: &str = "SELECT p.id, p.next_at, p.order_key, p.seq, p.url, p.tries, p.at, p.status, \
     CASE WHEN p.with_result THEN c.result END, p.notice_id, p.body, d.id, \
     CASE WHEN p.tries > 0 THEN p.attempts END \
     FROM push p LEFT JOIN command c ON p.kind IS NULL AND c.id = p.order_key LEFT JOIN device d ON d.key = c.device \
     WHERE p.receiver = ?1 AND p.state = 0 AND NOT EXISTS \
     (SELECT 1 FROM receiver r WHERE r.key = ?1 AND r.held_at IS NOT NULL) ORDER BY p.next_at";

pub(super) fn ready(sql: &Connection, damage: &DamageMet, wanted: &Wanted) -> Result<Ready, Failure> {
    let mut statement = sql.prepare_cached(QUERY)?;
    let mut rows = statement.query(params![wanted.receiver.0])?;
    let (mut ready, mut bytes) = (Ready::default(), 0usize);
    while let Some(row) = rows.next()? {
        let (id, next_at) = (PushId(row.get(0)?), Timestamp::from_millis(row.get(1)?));
        if wanted.except.contains(&id) {
            continue;
        }
        if next_at > wanted.now {
            ready.next_at = Some(next_at);
            break;
        }
        if ready.pushes.len() >= wanted.limit {
            ready.more = true;
            break;
        }
        let push = match read(row, id, next_at) {
            Ok(push) => push,
            // Left to its age limit: the others do not wait for it.
            Err(failure) if failure.is_of_a_row() => {
                damage.note(&failure);
                tracing::error!(push = id.0, %failure, "a stored push cannot be read");
                continue;
            }
            Err(failure) => return Err(failure),
        };
        bytes = bytes.saturating_add(size(&push));
        if bytes > wanted.max_bytes && !ready.pushes.is_empty() {
            ready.more = true;
            break;
        }
        ready.pushes.push(push);
    }
    Ok(ready)
}

fn read(row: &Row<'_>, id: PushId, next_at: Timestamp) -> Result<ReadyPush, Failure> {
    let attempts: Option<Vec<u8>> = row.get(12)?;
    let last = attempts.and_then(|packed| attempts::unpack(&packed).pop());
    Ok(ReadyPush {
        id,
        key: OrderKey::from_bytes(row.get(2)?),
        seq: row.get(3)?,
        url: row.get(4)?,
        content: content(row, 7)?,
        tries: row.get(5)?,
        at: Timestamp::from_millis(row.get(6)?),
        keeps_until: last.filter(|last| last.asked_for_pause).map(|_| next_at),
    })
}

/// What a push says: from the columns status, result, notice id, body and the device's id, which stand together from
/// `first` on.
pub(super) fn content(row: &Row<'_>, first: usize) -> Result<PushContent, Failure> {
    if let Some(id) = row.get(first + 2)? {
        return Ok(PushContent::Notice {
            id,
            body: row.get(first + 3)?,
        });
    }
    let device_id: Arc<str> = row.get(first + 4)?;
    let status = Status::from_code(row.get(first)?);
    Ok(PushContent::Change {
        device_id: DeviceId::new(device_id),
        status: status.ok_or_else(|| Failure::corrupt("a push of an unknown status"))?,
        result: row.get(first + 1)?,
    })
}

fn size(push: &ReadyPush) -> usize {
    push.url.len() + push.content.size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::migrate;

    /// Rows of other receivers, and those that are not ready, are never looked at.
    #[test]
    fn it_reads_by_the_index_of_what_is_ready() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut sql).unwrap();
        let mut statement = sql.prepare(&format!("EXPLAIN QUERY PLAN {QUERY}")).unwrap();
        let plan = statement.query_map([1], |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<_> = plan.map(Result::unwrap).collect();
        assert!(
            plan.iter()
                .any(|step| step.contains("SEARCH p USING INDEX push_ready (receiver=?)")),
            "{plan:?}"
        );
        assert!(
            plan.iter()
                .all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")
                    || step.contains("SUBQUERY")),
            "{plan:?}"
        );
    }
}
