//! How long pages of devices take where there are many. Timed generously: the machine may be busy.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use downlink_core::{AppId, AppKey, Policy, Timestamp};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::*;
use rusqlite::{Connection, params};

const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DEVICES: i64 = 100_000;

fn open(dir: &std::path::Path) -> SqliteStore {
    let mut options = SqliteOptions::new(dir, Policy::standard(T0));
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    SqliteStore::open(options).unwrap()
}

/// A store with an application of many devices, put there past the store: every tenth never connected, the others
/// sleep, each heard a second after the one before.
async fn crowded(dir: &std::path::Path) -> (SqliteStore, AppKey) {
    let store = open(dir);
    let new = NewApp {
        id: AppId::new("app"),
        name: String::new(),
        secret_hash: String::new(),
        settings: AppSettings::default(),
        created_at: T0,
    };
    let app = store.create_app(new).await.unwrap().unwrap().key;
    store.close().await;
    drop(store);
    let mut sql = Connection::open(dir.join("downlink.db")).unwrap();
    let transaction = sql.transaction().unwrap();
    let mut insert = transaction
        .prepare(
            "INSERT INTO device (app, id, node_id, secret, verify_code, info, created_at, modified_at, \
             activated_at, link, heard_at, name, device_type) \
             VALUES (?1, 'id-' || ?2, 'node-' || ?2, zeroblob(60), '', ?3, ?4, ?4, ?5, ?6, ?7, ?8, 'Lamp')",
        )
        .unwrap();
    for n in 0..DEVICES {
        let at = T0.as_millis() + n * 1000;
        let (seen, name) = (n % 10 != 0, format!("device {}", n % 1000));
        let info = format!(
            r#"{{"name":"{name}","deviceType":"Lamp","description":"{}"}}"#,
            "x".repeat(200)
        );
        let seen_at = seen.then_some(at);
        insert
            .execute(params![
                app.0,
                n,
                info,
                at,
                seen_at,
                seen.then_some(0),
                seen_at,
                name
            ])
            .unwrap();
    }
    drop(insert);
    transaction
        .execute(
            "INSERT INTO tally (app, devices, commands, open) VALUES (?1, ?2, 0, 0)",
            params![app.0, DEVICES],
        )
        .unwrap();
    transaction.commit().unwrap();
    drop(sql);
    (open(dir), app)
}

#[tokio::test]
async fn pages_over_many_devices_are_quick() {
    let dir = tempfile::tempdir().unwrap();
    let (store, app) = crowded(dir.path()).await;
    let silence = Silence {
        abnormal: Timestamp::from_millis(T0.as_millis() + 50_000_000),
        offline: Timestamp::from_millis(T0.as_millis() + 25_000_000),
    };
    let lamps = || DeviceFilter {
        device_type: Some("Lamp".to_owned()),
        ..DeviceFilter::default()
    };
    let standing = |standing, filter| DeviceFilter {
        standing: Some((standing, silence)),
        ..filter
    };
    let named = || DeviceFilter {
        name: Some("device 7".to_owned()),
        ..DeviceFilter::default()
    };
    let cases = [
        ("all", DeviceFilter::default(), 100_000),
        (
            "since",
            DeviceFilter {
                from: Some(T0),
                ..DeviceFilter::default()
            },
            100_000,
        ),
        ("lamps", lamps(), 100_000),
        ("named", named(), 100),
        (
            "named lamps",
            DeviceFilter {
                name: named().name,
                ..lamps()
            },
            100,
        ),
        (
            "online",
            standing(Standing::Online, DeviceFilter::default()),
            45_000,
        ),
        ("offline lamps", standing(Standing::Offline, lamps()), 32_500),
        (
            "inactive",
            standing(Standing::Inactive, DeviceFilter::default()),
            10_000,
        ),
        (
            "direct",
            DeviceFilter {
                direct: Some(true),
                ..DeviceFilter::default()
            },
            100_000,
        ),
    ];
    // Measured: the first pages 0.1 to 5 ms, the last ones up to 30 ms, without optimization.
    for (what, filter, total) in cases {
        for (skip, most) in [(0, 20), (2_500, 20), (total - 25, 200)] {
            let mut best = Duration::MAX;
            for _ in 0..5 {
                let began = Instant::now();
                let page = store.devices(app, filter.clone(), skip, 25).await.unwrap();
                best = best.min(began.elapsed());
                let expected = total.saturating_sub(skip).min(25);
                assert_eq!((page.total, page.items.len() as u64), (total, expected), "{what}");
            }
            println!("{what}, {skip} skipped: {best:?}");
            assert!(
                best < Duration::from_millis(most),
                "{what}, {skip} skipped: {best:?}"
            );
        }
    }
}
