//! The port's verbs on commands: each handed to the writer or to a reader.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceKey, Offer, Policy, Timestamp};

use super::gate::WhenFull;
use super::list::{self, Part};
use super::writer::Weight;
use super::{SqliteStore, records};
use crate::{
    Applied, Change, Changed, CommandFilter, Commands, CreateRefused, Created, Dispatch, Figures,
    OpenCommand, Page, PushDuty, Record, StoreError, Submission, Told,
};

#[async_trait]
impl Commands for SqliteStore {
    async fn create(&self, submission: Submission) -> Result<Result<Created, CreateRefused>, StoreError> {
        self.disk.check()?;
        let submission = Arc::new(submission);
        self.write(WhenFull::Refuse, move |batch| batch.create(&submission))
            .await
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let weight = Weight {
            changes: changes.len(),
            urgent: true,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            changes.iter().map(|change| batch.apply(change)).collect()
        })
        .await
    }

    async fn apply_and_load(
        &self,
        app: AppKey,
        change: Change,
    ) -> Result<(Changed, Option<Record>), StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.apply_and_load(app, &change))
            .await
    }

    async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<(Applied, Dispatch)>, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.send_next(device, offer, now))
            .await
    }

    async fn told(&self, told: Vec<Told>) -> Result<(), StoreError> {
        if told.is_empty() {
            return Ok(());
        }
        let weight = Weight {
            changes: told.len(),
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            told.iter().try_for_each(|told| batch.told(*told))
        })
        .await
    }

    async fn load(&self, app: AppKey, command: CommandId) -> Result<Option<Record>, StoreError> {
        let record = self.read(move |sql| records::load(sql, command)).await?;
        Ok(record.filter(|record| record.app == app))
    }

    async fn load_push(&self, command: CommandId) -> Result<Option<PushDuty>, StoreError> {
        self.read(move |sql| records::load_push(sql, command)).await
    }

    async fn list(
        &self,
        app: AppKey,
        filter: CommandFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Record>, StoreError> {
        // Before the snapshot begins: see the tail.
        let newest = filter
            .device
            .map_or_else(Vec::new, |device| self.tail.lock().ids(device).to_vec());
        let part = Part { skip, limit };
        self.read(move |sql| list::list(sql, app, &filter, &newest, part))
            .await
    }

    async fn take_expiring(&self, now: Timestamp, limit: u32) -> Result<Vec<CommandId>, StoreError> {
        let policy = self.policy;
        self.read(move |sql| records::expiring(sql, &policy, now, limit))
            .await
    }

    async fn queue(&self, device: DeviceKey, limit: u32) -> Result<Vec<CommandId>, StoreError> {
        let newest = self.tail.lock().queue(device).to_vec();
        self.read(move |sql| records::queue(sql, device, newest, limit))
            .await
    }

    async fn with_queue(&self, devices: Vec<DeviceKey>) -> Result<Vec<DeviceKey>, StoreError> {
        let (mut found, others) = {
            let newest = self.tail.lock();
            devices
                .into_iter()
                .partition(|device| !newest.queue(*device).is_empty())
        };
        let in_table: Vec<_> = self.read(move |sql| records::with_queue(sql, others)).await?;
        found.extend(in_table);
        Ok(found)
    }

    async fn left_queues(&self, limit: u32) -> Result<Vec<DeviceKey>, StoreError> {
        let newest = self.tail.lock().with_queue();
        self.read(move |sql| records::left_queues(sql, &newest, limit))
            .await
    }

    async fn sweep_open(
        &self,
        after: Option<CommandId>,
        limit: u32,
    ) -> Result<(Vec<OpenCommand>, Option<CommandId>), StoreError> {
        let (policy, stats) = (self.policy, Arc::clone(&self.stats));
        self.read(move |sql| records::sweep(sql, &stats.damage, &policy, after, limit))
            .await
    }

    async fn prune(&self, now: Timestamp, keep_from: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let lazy = Weight {
            changes: 1,
            urgent: false,
        };
        let waited = self
            .write_weighing(WhenFull::Wait, lazy, move |batch| batch.drop_waited(now, limit))
            .await?;
        let outdated = self
            .read(move |sql| records::outdated(sql, keep_from, limit))
            .await?;
        if outdated.is_empty() {
            return Ok(waited);
        }
        let dropped = self
            .write_weighing(WhenFull::Wait, lazy, move |batch| batch.drop_records(&outdated))
            .await?;
        Ok(waited + dropped)
    }

    async fn last_id(&self) -> Result<Option<CommandId>, StoreError> {
        self.read(records::last_id).await
    }

    async fn count_open(&self) -> Result<u64, StoreError> {
        self.read(records::count_open).await
    }

    fn figures(&self) -> Figures {
        let stats = self.stats();
        Figures {
            commits: stats.commits,
            changes: stats.changes,
            waiting: stats.write_queue,
            tail: self.tail.lock().len() as u64,
            damaged_rows: stats.damaged_rows,
            damaged_file: stats.damaged_file,
        }
    }

    fn policy(&self) -> Policy {
        self.policy
    }
}
