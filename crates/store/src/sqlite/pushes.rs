//! Stored pushes: the port's verbs, each handed to the writer or to a reader.
//!
//! What is written goes to the tables at once, within the batch's transaction; of a command's row only `acked` and
//! `outbox` are touched, through the batch's entry. Three rules hold between members of a batch and after each: of each
//! key the lowest waiting place is ready and the others are behind; a receiver's `waiting` and `dead` are what counting
//! its rows would give; an open command has an outbox exactly while rows of its key wait.

mod attempts;
mod divert;
mod filter;
mod given_up;
mod list;
#[cfg(test)]
mod reads;
mod ready;
mod receivers;
mod removal;
mod replay;
mod rows;
mod settle;

pub(super) use self::receivers::Clock;

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, Timestamp};

use super::SqliteStore;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{
    Diverted, GivenUp, PushFilter, PushId, PushLimits, PushTotals, Pushes, Ready, ReceiverKey, Settled,
    StoreError, StoredPush, StoredReceiver, Stowed,
};

/// So many changes, none of which is waited for.
fn lazy(changes: usize) -> Weight {
    Weight {
        changes,
        urgent: false,
    }
}

#[async_trait]
impl Pushes for SqliteStore {
    async fn divert(&self, diverted: Vec<Diverted>) -> Result<Vec<Option<Stowed>>, StoreError> {
        if diverted.is_empty() {
            return Ok(Vec::new());
        }
        self.write_weighing(WhenFull::Wait, lazy(diverted.len()), move |batch| {
            diverted.iter().map(|diverted| batch.divert(diverted)).collect()
        })
        .await
    }

    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<ReceiverKey>, StoreError> {
        if settled.is_empty() {
            return Ok(Vec::new());
        }
        self.write_weighing(WhenFull::Wait, lazy(settled.len()), move |batch| {
            let mut stirred = Vec::new();
            for one in &settled {
                stirred.extend(batch.settle_push(one)?);
            }
            stirred.sort_unstable();
            stirred.dedup();
            Ok(stirred)
        })
        .await
    }

    async fn ready(
        &self,
        receiver: ReceiverKey,
        except: Vec<PushId>,
        now: Timestamp,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Ready, StoreError> {
        let wanted = ready::Wanted {
            receiver,
            except: except.into_iter().collect(),
            now,
            limit: limit as usize,
            max_bytes,
        };
        let stats = Arc::clone(&self.stats);
        self.read(move |sql| ready::ready(sql, &stats.damage, &wanted))
            .await
    }

    async fn receiver(&self, key: ReceiverKey) -> Result<Option<StoredReceiver>, StoreError> {
        self.read(move |sql| receivers::receiver(sql, key)).await
    }

    async fn receivers(
        &self,
        after: Option<ReceiverKey>,
        busy: bool,
        limit: u32,
    ) -> Result<Vec<StoredReceiver>, StoreError> {
        self.read(move |sql| receivers::receivers(sql, after, busy, limit))
            .await
    }

    async fn set_held(
        &self,
        app: AppKey,
        origin: Arc<str>,
        held: bool,
        now: Timestamp,
    ) -> Result<StoredReceiver, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            receivers::set_held(&batch.sql, app, &origin, held, now)
        })
        .await
    }

    async fn set_rate(
        &self,
        app: AppKey,
        origin: Arc<str>,
        rate: Option<u32>,
    ) -> Result<StoredReceiver, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            receivers::set_rate(&batch.sql, app, &origin, rate)
        })
        .await
    }

    async fn stored_pushes(
        &self,
        filter: PushFilter,
        after: Option<PushId>,
        limit: u32,
    ) -> Result<Vec<StoredPush>, StoreError> {
        let stats = Arc::clone(&self.stats);
        self.read(move |sql| list::stored_pushes(sql, &stats.damage, &filter, after, limit))
            .await
    }

    async fn replay(
        &self,
        filter: PushFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<(u64, Vec<ReceiverKey>), StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.replay(&filter, now, limit))
            .await
    }

    async fn drop_pushes(&self, filter: PushFilter, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.drop_pushes(&filter, now, limit)
        })
        .await
    }

    async fn give_up_old(
        &self,
        limits: PushLimits,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GivenUp>, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(1), move |batch| {
            batch.give_up_old(limits, now, limit)
        })
        .await
    }

    async fn prune_pushes(&self, limits: PushLimits, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(1), move |batch| {
            batch.prune_pushes(limits.keep_dead, now, limit)
        })
        .await
    }

    async fn forget_dead(&self, receiver: ReceiverKey, limit: u32) -> Result<u64, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(1), move |batch| {
            batch.forget_dead(receiver, None, limit)
        })
        .await
    }

    async fn push_totals(&self, now: Timestamp) -> Result<PushTotals, StoreError> {
        self.read(move |sql| list::totals(sql, now)).await
    }
}
