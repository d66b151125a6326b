//! What pages of a long list of commands cost: 1,000,000 commands, 100,000 devices, one of which has 100,000 of them. And what
//! a cancel task over a queue of 100,000 costs.
//!
//! Not run by default, since figures say something of a release build only:
//! `cargo test --release -p downlink-store --test queries -- --ignored --nocapture`
//! With `QUERIES_DIR` the store is made there once and used again.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use downlink_core::{AppId, DeviceId, Span, Timestamp};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{
    Apps, CancelTasks, CommandFilter, Commands, Device, DeviceName, Devices, NewCancelTask,
};

#[path = "conformance/support.rs"]
mod support;

use support::*;

const COMMANDS: u32 = 1_000_000;
const DEVICES: u32 = 100_000;
/// Every tenth command is for the first device.
const OF_ONE: u32 = 10;
/// Between two commands, in milliseconds: all of them take 17 hours.
const STEP: u32 = 61;
const LONG_QUEUE: u32 = 100_000;

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    Arc::new(SqliteStore::open(options).unwrap())
}

fn after(n: u32) -> Timestamp {
    T0 + Span::from_millis(STEP).times(n)
}

async fn fill(store: &Arc<SqliteStore>) {
    let world = World::new(store.clone()).await;
    let mut devices = Vec::new();
    for some in (0..DEVICES).collect::<Vec<_>>().chunks(500) {
        let registered = some.iter().map(|n| {
            let (store, device) = (store.clone(), new_device(world.app.key, &n.to_string()));
            let one: Boxed<Device> =
                Box::pin(async move { store.register(device, u64::MAX).await.unwrap().unwrap() });
            one
        });
        devices.extend(all_at_once(registered.collect()).await);
    }
    for some in (0..COMMANDS).collect::<Vec<_>>().chunks(500) {
        let creates = some.iter().map(|n| {
            let of = if n % OF_ONE == 0 { 0 } else { n * 7 % DEVICES };
            let mut submission = world.cached(&devices[of as usize], after(*n));
            submission.queue_limit = u32::MAX;
            let store = store.clone();
            let one: Boxed<()> =
                Box::pin(async move { drop(store.create(submission).await.unwrap().unwrap()) });
            one
        });
        all_at_once(creates.collect()).await;
    }
}

/// The slowest and the mean of some pages, in milliseconds.
async fn measure(store: &SqliteStore, name: &str, filter: &CommandFilter, size: u32, pages: &[u64]) {
    let app = store.app(&AppId::new("app")).await.unwrap().unwrap().key;
    let (mut slowest, mut sum, mut total) = (0.0_f64, 0.0, 0);
    for page in pages {
        let began = Instant::now();
        let found = store
            .list(app, filter.clone(), page * u64::from(size), size)
            .await
            .unwrap();
        let took = began.elapsed().as_secs_f64() * 1000.0;
        (slowest, sum, total) = (slowest.max(took), sum + took, found.total);
    }
    let mean = sum / pages.len() as f64;
    println!("{name:44} {size:5} a page: mean {mean:7.2} ms, slowest {slowest:7.2} ms, total {total}");
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "a measurement, for release builds"]
async fn pages_of_a_long_list() {
    let kept = std::env::var("QUERIES_DIR").ok();
    let temporary = tempfile::tempdir().unwrap();
    let dir = kept.as_deref().map_or(temporary.path(), Path::new);
    let store = open(dir);
    if store.last_id().await.unwrap().is_none() {
        let began = Instant::now();
        fill(&store).await;
        println!("filled in {:.0} s", began.elapsed().as_secs_f64());
    }
    let of = |name: &str| DeviceId::new(format!("id-{name}"));
    let key = async |name: &str| {
        store
            .device(DeviceName::Id(&of(name)))
            .await
            .unwrap()
            .unwrap()
            .key
    };
    let all = CommandFilter::default();
    let window = |from: Option<u32>, to: Option<u32>| CommandFilter {
        from: from.map(after),
        to: to.map(after),
        ..CommandFilter::default()
    };
    let device = async |name: &str| CommandFilter {
        device: Some(key(name).await),
        ..CommandFilter::default()
    };
    let first: Vec<u64> = (0..100).collect();
    let filters = [
        ("all", all),
        ("a window of nearly all", window(Some(1), Some(COMMANDS - 2))),
        (
            "a window of half",
            window(Some(COMMANDS / 4), Some(COMMANDS / 4 * 3)),
        ),
        (
            "a window of a minute",
            window(Some(COMMANDS / 2), Some(COMMANDS / 2 + 1000)),
        ),
        ("a device with 100,000", device("0").await),
        ("a device with few", device("7").await),
    ];
    for (name, filter) in &filters {
        for size in [20, 100, 1000] {
            measure(&store, &format!("{name}, first 100 pages"), filter, size, &first).await;
        }
        for size in [100, 1000] {
            let last = u64::from(COMMANDS / size);
            let deep: Vec<u64> = (1..=20).map(|n| last * n / 20 - 1).collect();
            measure(&store, &format!("{name}, deeper pages"), filter, size, &deep).await;
        }
    }
    store.close().await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "a measurement, for release builds"]
async fn a_cancel_task_over_a_long_queue() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("a").await;
    for some in (0..LONG_QUEUE).collect::<Vec<_>>().chunks(500) {
        let creates = some.iter().map(|n| {
            let mut submission = world.cached(&device, after(*n));
            submission.queue_limit = u32::MAX;
            let store = world.store.clone();
            let one: Boxed<()> =
                Box::pin(async move { drop(store.create(submission).await.unwrap().unwrap()) });
            one
        });
        all_at_once(creates.collect()).await;
    }
    let new = |id: &str| NewCancelTask {
        id: id.into(),
        app: world.app.key,
        device: device.key,
        created_at: after(LONG_QUEUE),
        limit: 10,
    };
    let began = Instant::now();
    let made = world.store.create_cancel_task(new("a")).await.unwrap().unwrap();
    println!("made over {} in {:.1} ms", made.total, millis(began));
    store.close().await;
    drop(store);
    let store = open(dir.path());
    let began = Instant::now();
    let task = store.create_cancel_task(new("b")).await.unwrap().unwrap();
    println!(
        "made over {} after a start in {:.1} ms",
        task.total,
        millis(began)
    );
    let (began, mut steps, mut slowest) = (Instant::now(), 0, 0.0_f64);
    loop {
        let step_began = Instant::now();
        let step = store
            .step_cancel_task(task.key, 256, after(LONG_QUEUE))
            .await
            .unwrap();
        slowest = slowest.max(millis(step_began));
        steps += 1;
        if step.is_over {
            break;
        }
    }
    println!(
        "{steps} steps of 256 in {:.0} ms, slowest {slowest:.1} ms",
        millis(began)
    );
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
