//! The end of removed applications: their devices go in steps, and with each its session and what waits for it; and of what
//! still waits for devices that are gone.
//!
//! The application itself is gone before, so nothing is added. Whoever removes it goes through the steps; the retention
//! sweep goes on with them if the server ended in between.

use std::sync::atomic::Ordering;

use downlink_store::StoreError;

use super::{Engine, Outdated};
use crate::clock;

/// Devices removed in one transaction: others have the store in between.
const AT_ONCE: u32 = 200;

/// Queues that are looked for at once; the next ones in the sweep's next round.
const QUEUES_AT_ONCE: u32 = 10_000;

impl Engine {
    /// One step: removes some of the devices that are left of removed applications. False: there are none any more.
    pub(crate) async fn remove_left_devices(&self) -> Result<bool, StoreError> {
        let removed = self.store.remove_left_devices(clock::now(), AT_ONCE).await?;
        for device in &removed {
            self.outdate(Outdated::Removed(*device));
        }
        let more = removed.len() >= AT_ONCE as usize;
        for device in self.store.with_queue(removed).await? {
            if let Err(error) = self.cancel_queue(device, "the application was removed").await {
                // The device is gone all the same, and the sweep tries again.
                tracing::error!(%error, "the queue of a removed application's device was not cancelled");
            }
        }
        Ok(more)
    }

    /// Cancels what waits for devices that were removed without it: the server ended in between, or the store refused.
    pub(crate) async fn cancel_left_queues(&self) -> Result<(), StoreError> {
        if !self.queues_left.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let cancelled = self.cancel_some_left().await;
        if !matches!(cancelled, Ok(true)) {
            self.queues_left.store(true, Ordering::Relaxed);
        }
        cancelled.map(|_| ())
    }

    /// True: those were all.
    async fn cancel_some_left(&self) -> Result<bool, StoreError> {
        let left = self.store.left_queues(QUEUES_AT_ONCE).await?;
        for device in &left {
            self.cancel_queue(*device, "the device was removed").await?;
        }
        Ok(left.len() < QUEUES_AT_ONCE as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use downlink_core::{AppId, AppKey, DeviceId, Status, Timestamp};
    use downlink_store::sqlite::SqliteStore;
    use downlink_store::{AppSettings, DeviceName, Devices, NewApp, NewDevice, Store};

    use super::*;
    use crate::config::{self, Config};
    use crate::http::tests::world::World;
    use crate::run;
    use crate::telemetry::Metrics;

    fn config(dir: &tempfile::TempDir) -> Config {
        let path = dir.path().display().to_string();
        let overrides = vec![
            ("server", "data_dir", path.into()),
            ("store", "min_free_bytes", 0.into()),
            ("store", "min_free_percent", 0.into()),
        ];
        config::load(None, Vec::new(), overrides).unwrap()
    }

    fn open(config: &Config) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(run::store_options(config)).unwrap())
    }

    async fn app_with_devices(store: &dyn Store, id: &str, count: u32) -> AppKey {
        let app = NewApp {
            id: AppId::new(id),
            name: String::new(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: Timestamp::default(),
        };
        let app = store.create_app(app).await.unwrap().unwrap().key;
        for n in 0..count {
            let device = NewDevice {
                app,
                id: name(id, n),
                node_id: format!("{id}-{n}"),
                secret: Vec::new(),
                verify_code: String::new(),
                info: "{}".to_owned(),
                created_at: clock::now(),
                bind_until: None,
                gateway: None,
            };
            store.register(device, 9999).await.unwrap().unwrap();
        }
        app
    }

    fn name(app: &str, n: u32) -> DeviceId {
        DeviceId::new(format!("{app}-{n}"))
    }

    async fn left(store: &dyn Store, app: &str, count: u32) -> u32 {
        let mut left = 0;
        for n in 0..count {
            let found = store.device(DeviceName::Id(&name(app, n))).await.unwrap();
            left += u32::from(found.is_some());
        }
        left
    }

    /// The server ended after an application was removed and before its devices were.
    #[tokio::test]
    async fn what_a_removal_left_goes_in_steps_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (config, count) = (config(&dir), AT_ONCE + 5);
        let store = open(&config);
        let gone = app_with_devices(&*store, "gone", count).await;
        app_with_devices(&*store, "kept", 2).await;
        assert!(store.remove_app(gone, clock::now()).await.unwrap());
        drop(store);

        let store = open(&config);
        let (engine, _inboxes) = run::engine(&store, &config, &Arc::new(Metrics::new()))
            .await
            .unwrap();
        assert_eq!(left(&*store, "gone", count).await, count);
        assert!(engine.remove_left_devices().await.unwrap());
        assert_eq!(left(&*store, "gone", count).await, 5);
        assert!(!engine.remove_left_devices().await.unwrap());
        assert_eq!(left(&*store, "gone", count).await, 0);
        assert_eq!(left(&*store, "kept", 2).await, 2);
    }

    /// The server ended after a device was removed and before what waits for it was cancelled.
    #[tokio::test]
    async fn what_waits_for_a_device_that_is_gone_is_cancelled_after_a_restart() {
        let world = World::start().await;
        let na = world.na().await;
        let (gone, kept) = (na.device("n1").await, na.device("n2").await);
        let (left, other) = (na.command(&gone).await, na.command(&kept).await);
        let (left, other) = (left.at("/commandId"), other.at("/commandId"));
        let gone = DeviceId::new(gone);
        let device = world
            .store()
            .device(DeviceName::Id(&gone))
            .await
            .unwrap()
            .unwrap();
        world
            .store()
            .remove(device.key, false, clock::now())
            .await
            .unwrap();
        drop(na);
        let dir = world.stop().await;

        let config = config(&dir);
        let store = open(&config);
        let (engine, _inboxes) = run::engine(&store, &config, &Arc::new(Metrics::new()))
            .await
            .unwrap();
        let status = async |id: &str| {
            let record = store.load(device.app, id.parse().unwrap()).await.unwrap();
            record.unwrap().status
        };
        assert_eq!(status(&left).await, Status::Pending);
        engine.cancel_left_queues().await.unwrap();
        assert_eq!(
            (status(&left).await, status(&other).await),
            (Status::Canceled, Status::Pending)
        );
    }
}
