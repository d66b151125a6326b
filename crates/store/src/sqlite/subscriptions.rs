//! Subscriptions: the rows, all of them in the writer's memory too, and the port's verbs on them.
//!
//! Only the writer changes them, so what it has in memory is exact; a batch that is undone puts back what it changed.
//! What others see of them ([`Wanted`]) changes with the commit.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use downlink_core::{AppKey, DeviceKey, Timestamp};
use foldhash::{HashMap, HashSet};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::notices;
use super::writer::Weight;
use crate::subscription::MAX_SUBSCRIPTIONS;
use crate::{
    NotifyType, Page, ReceiverKey, Report, Silence, StoreError, SubscribeRefused, Subscription,
    SubscriptionFilter, Subscriptions,
};

/// What applications are subscribed to, for those who only need to know whether.
#[derive(Debug, Default)]
pub(super) struct Wanted(RwLock<HashMap<AppKey, u32>>);

impl Wanted {
    fn set(&self, app: AppKey, bits: u32) {
        let mut wanted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match bits {
            0 => drop(wanted.remove(&app)),
            bits => drop(wanted.insert(app, bits)),
        }
    }

    fn has(&self, app: AppKey, bits: u32) -> bool {
        let wanted = self.0.read().unwrap_or_else(PoisonError::into_inner);
        wanted.get(&app).is_some_and(|wanted| wanted & bits != 0)
    }
}

/// All subscriptions, by application, as this transaction has them.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: HashMap<AppKey, Vec<Arc<Subscription>>>,
    /// What this transaction changed, as it was before; an application may be named twice, the first counts.
    before: Vec<(AppKey, Vec<Arc<Subscription>>)>,
    wanted: Arc<Wanted>,
}

impl Subscribers {
    /// Those on disk.
    pub(super) fn read(sql: &Connection) -> Result<Self, Failure> {
        let mut all: HashMap<AppKey, Vec<Arc<Subscription>>> = HashMap::default();
        let mut statement = sql.prepare(
            "SELECT id, app, notify_type, callback, origin, channel, created_at FROM subscription ORDER BY key",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let one = read(row)?;
            all.entry(one.app).or_default().push(Arc::new(one));
        }
        let wanted = Arc::new(Wanted::default());
        for (app, of) in &all {
            wanted.set(*app, bits(of));
        }
        Ok(Self {
            all,
            before: Vec::new(),
            wanted,
        })
    }

    /// What others see.
    pub(super) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// The application's subscription to this.
    pub(super) fn to(&self, app: AppKey, kind: NotifyType) -> Option<Arc<Subscription>> {
        self.of(app).iter().find(|one| one.notify_type == kind).cloned()
    }

    fn of(&self, app: AppKey) -> &[Arc<Subscription>] {
        self.all.get(&app).map_or(&[], Vec::as_slice)
    }

    fn replace(&mut self, app: AppKey, with: Vec<Arc<Subscription>>) {
        let before = self.all.insert(app, with).unwrap_or_default();
        self.before.push((app, before));
    }

    /// The transaction is kept.
    pub(super) fn committed(&mut self) {
        for (app, _) in std::mem::take(&mut self.before) {
            self.wanted.set(app, bits(self.of(app)));
            if self.of(app).is_empty() {
                self.all.remove(&app);
            }
        }
    }

    /// The transaction is undone.
    pub(super) fn undone(&mut self) {
        while let Some((app, before)) = self.before.pop() {
            self.all.insert(app, before);
        }
    }
}

fn bits(of: &[Arc<Subscription>]) -> u32 {
    of.iter().fold(0, |bits, one| bits | one.notify_type.bit())
}

#[async_trait]
impl Subscriptions for SqliteStore {
    async fn subscribe(
        &self,
        new: Subscription,
    ) -> Result<Result<Subscription, SubscribeRefused>, StoreError> {
        self.disk.check()?;
        self.write(WhenFull::Refuse, move |batch| batch.subscribe(&new))
            .await
    }

    async fn subscription(&self, app: AppKey, id: &str) -> Result<Option<Subscription>, StoreError> {
        let found = self.subscriptions_of(app).await?;
        Ok(found.into_iter().find(|one| &*one.id == id))
    }

    async fn subscriptions(
        &self,
        app: AppKey,
        filter: SubscriptionFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Subscription>, StoreError> {
        let mut found = self.subscriptions_of(app).await?;
        found.retain(|one| filter.fits(one));
        let total = found.len() as u64;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let items = found.into_iter().skip(skip).take(limit as usize).collect();
        Ok(Page { items, total })
    }

    async fn unsubscribe(&self, app: AppKey, id: &str) -> Result<bool, StoreError> {
        let id: Arc<str> = id.into();
        let gone = self
            .write(WhenFull::Wait, move |batch| {
                batch.unsubscribe(app, |one| one.id == id)
            })
            .await?;
        Ok(gone > 0)
    }

    async fn unsubscribe_many(&self, app: AppKey, filter: SubscriptionFilter) -> Result<u64, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.unsubscribe(app, |one| filter.fits(one))
        })
        .await
    }

    fn wants(&self, app: AppKey, kinds: &[NotifyType]) -> bool {
        self.wanted
            .has(app, kinds.iter().fold(0, |bits, kind| bits | kind.bit()))
    }

    async fn presence(&self, device: DeviceKey, online: bool, now: Timestamp) -> Result<(), StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.presence(device, online, now))
            .await
    }

    async fn tell_silent(&self, silence: Silence, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        let found = self.read(move |sql| notices::silent(sql, silence, limit)).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let weight = Weight {
            changes: found.len(),
            urgent: false,
        };
        let told = found.len() as u64;
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            batch.tell_silent(&found, now)
        })
        .await?;
        Ok(told)
    }

    async fn report(
        &self,
        device: DeviceKey,
        reports: Vec<Report>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.disk.check()?;
        self.write(WhenFull::Wait, move |batch| batch.report(device, &reports, now))
            .await
    }

    fn set_crowded(&self, apps: HashSet<AppKey>) -> Vec<(AppKey, u64)> {
        self.crowded.set(apps)
    }

    fn is_crowded(&self, app: AppKey) -> bool {
        self.crowded.has(app)
    }

    fn take_stirred(&self) -> Vec<ReceiverKey> {
        self.stirred.take()
    }

    async fn stirred(&self) {
        self.stirred.wait().await;
    }
}

impl SqliteStore {
    async fn subscriptions_of(&self, app: AppKey) -> Result<Vec<Subscription>, StoreError> {
        self.read(move |sql| {
            let mut statement = sql.prepare_cached(
                "SELECT id, app, notify_type, callback, origin, channel, created_at FROM subscription \
                 WHERE app = ?1 ORDER BY key",
            )?;
            let mut rows = statement.query([app.0])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(found)
        })
        .await
    }
}

impl Batch {
    fn subscribe(&mut self, new: &Subscription) -> Result<Result<Subscription, SubscribeRefused>, Failure> {
        if !self.is_app(new.app)? {
            return Ok(Err(SubscribeRefused::NoApp));
        }
        let mut of = self.subscribers.of(new.app).to_vec();
        if let Some(there) = of.iter().find(|one| one.notify_type == new.notify_type) {
            let same = there.callback == new.callback;
            return Ok(same
                .then(|| there.as_ref().clone())
                .ok_or(SubscribeRefused::Conflict));
        }
        if of.len() >= MAX_SUBSCRIPTIONS {
            return Ok(Err(SubscribeRefused::TooMany));
        }
        self.sql
            .prepare_cached(
                "INSERT INTO subscription (id, app, notify_type, callback, origin, channel, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                new.id,
                new.app.0,
                new.notify_type.as_str(),
                new.callback,
                new.origin,
                new.channel,
                new.created_at.as_millis(),
            ])?;
        of.push(Arc::new(new.clone()));
        self.subscribers.replace(new.app, of);
        Ok(Ok(new.clone()))
    }

    /// Ends an application's subscriptions that `which` names.
    pub(super) fn unsubscribe(
        &mut self,
        app: AppKey,
        which: impl Fn(&Subscription) -> bool,
    ) -> Result<u64, Failure> {
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .subscribers
            .of(app)
            .iter()
            .cloned()
            .partition(|one| which(one));
        for one in &gone {
            self.sql
                .prepare_cached("DELETE FROM subscription WHERE id = ?1")?
                .execute([&one.id])?;
        }
        if !gone.is_empty() {
            self.subscribers.replace(app, kept);
        }
        Ok(gone.len() as u64)
    }
}

fn read(row: &Row<'_>) -> Result<Subscription, Failure> {
    let kind: String = row.get(2)?;
    Ok(Subscription {
        id: row.get(0)?,
        app: AppKey(row.get(1)?),
        notify_type: NotifyType::of(&kind)
            .ok_or_else(|| Failure::corrupt(format!("a subscription to {kind}")))?,
        callback: row.get(3)?,
        origin: row.get(4)?,
        channel: row.get(5)?,
        created_at: Timestamp::from_millis(row.get(6)?),
    })
}
