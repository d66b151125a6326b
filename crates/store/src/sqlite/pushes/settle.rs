//! The ends of attempts at stored pushes.

use rusqlite::{OptionalExtension, params};

use super::attempts;
use super::receivers;
use crate::sqlite::batch::Batch;
use crate::sqlite::failure::Failure;
use crate::{Fate, OrderKey, ReceiverKey, Settled};

/// What a settled row was.
struct Head {
    receiver: ReceiverKey,
    key: OrderKey,
    seq: u32,
    attempts: Option<Vec<u8>>,
}

impl Batch {
    /// Records the end of one attempt. A row that is not ready (any more) is left as it is.
    pub(super) fn settle_push(&mut self, settled: &Settled) -> Result<(), Failure> {
        let Some(head) = self.head(settled)? else {
            return Ok(());
        };
        match &settled.fate {
            Fate::Accepted => {
                self.sql
                    .prepare_cached("DELETE FROM push WHERE id = ?1")?
                    .execute([settled.id.0])?;
                receivers::count(&self.sql, head.receiver, -1, 0)?;
                self.promote_after(head.key, head.seq, settled.now)
            }
            Fate::Again(at) => {
                let attempts = attempts::append(head.attempts.as_deref(), &settled.attempt);
                self.sql
                    .prepare_cached(
                        "UPDATE push SET tries = tries + 1, attempts = ?2, next_at = ?3 WHERE id = ?1",
                    )?
                    .execute(params![settled.id.0, attempts, at.as_millis()])?;
                Ok(())
            }
            Fate::Dead(why) => {
                let attempts = attempts::append(head.attempts.as_deref(), &settled.attempt);
                self.sql
                    .prepare_cached(
                        "UPDATE push SET state = 2, tries = tries + 1, attempts = ?2, next_at = ?3, \
                         dead_because = ?4 WHERE id = ?1",
                    )?
                    .execute(params![settled.id.0, attempts, settled.now.as_millis(), why])?;
                receivers::count(&self.sql, head.receiver, -1, 1)?;
                self.promote_after(head.key, head.seq, settled.now)
            }
        }
    }

    fn head(&self, settled: &Settled) -> Result<Option<Head>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT receiver, order_key, seq, attempts FROM push WHERE id = ?1 AND state = 0",
        )?;
        let head = statement.query_row([settled.id.0], |row| {
            Ok(Head {
                receiver: ReceiverKey(row.get(0)?),
                key: OrderKey::from_bytes(row.get(1)?),
                seq: row.get(2)?,
                attempts: row.get(3)?,
            })
        });
        Ok(head.optional()?)
    }
}
