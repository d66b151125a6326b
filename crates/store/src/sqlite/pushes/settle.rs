//! The ends of attempts at stored pushes.

use downlink_core::AppKey;
use rusqlite::{OptionalExtension, params};

use super::attempts;
use super::receivers;
use crate::sqlite::batch::Batch;
use crate::sqlite::failure::Failure;
use crate::{Fate, OrderKey, ReceiverKey, Settled};

/// What a settled row was.
struct Head {
    app: AppKey,
    receiver: ReceiverKey,
    key: OrderKey,
    seq: u32,
    attempts: Option<Vec<u8>>,
    is_dead: bool,
}

impl Batch {
    /// Records the end of one attempt. A row that is not ready (any more) is left as it is, unless it was accepted while it was given up:
    /// then it was told after all. Gives the receiver if another push
    /// became ready by it.
    pub(super) fn settle_push(&mut self, settled: &Settled) -> Result<Option<ReceiverKey>, Failure> {
        let Some(head) = self.head(settled)? else {
            return Ok(None);
        };
        let kept = head.attempts.as_deref();
        let attempts = settled
            .attempt
            .as_ref()
            .map(|attempt| attempts::append(kept, attempt));
        match &settled.fate {
            Fate::Accepted => {
                self.sql
                    .prepare_cached("DELETE FROM push WHERE id = ?1")?
                    .execute([settled.id.0])?;
                if head.is_dead {
                    receivers::count(&self.sql, head.receiver, 0, -1)?;
                    return Ok(None);
                }
                receivers::count(&self.sql, head.receiver, -1, 0)?;
                let next = self.promote_after(head.key, head.seq, settled.now)?;
                Ok(next.then_some(head.receiver))
            }
            Fate::Again(at) => {
                self.sql
                    .prepare_cached(
                        "UPDATE push SET tries = tries + 1, attempts = coalesce(?2, attempts), next_at = ?3 WHERE id = ?1",
                    )?
                    .execute(params![settled.id.0, attempts, at.as_millis()])?;
                Ok(None)
            }
            Fate::Dead(why) => {
                self.sql
                    .prepare_cached(
                        "UPDATE push SET state = 2, tries = tries + 1, attempts = coalesce(?2, attempts), next_at = ?3, \
                         dead_because = ?4 WHERE id = ?1",
                    )?
                    .execute(params![settled.id.0, attempts, settled.now.as_millis(), why])?;
                receivers::count(&self.sql, head.receiver, -1, 1)?;
                let next = self.promote_after(head.key, head.seq, settled.now)?;
                self.tell_given_up(head.app, head.key, head.seq, settled.now)?;
                Ok(next.then_some(head.receiver))
            }
        }
    }

    fn head(&self, settled: &Settled) -> Result<Option<Head>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT app, receiver, order_key, seq, attempts, state = 2 FROM push \
             WHERE id = ?1 AND (state = 0 OR (state = 2 AND ?2))",
        )?;
        let accepted = matches!(settled.fate, Fate::Accepted);
        let head = statement.query_row(params![settled.id.0, accepted], |row| {
            Ok(Head {
                app: AppKey(row.get(0)?),
                receiver: ReceiverKey(row.get(1)?),
                key: OrderKey::from_bytes(row.get(2)?),
                seq: row.get(3)?,
                attempts: row.get(4)?,
                is_dead: row.get(5)?,
            })
        });
        Ok(head.optional()?)
    }
}
