//! A batch task over 100,000 devices whose server is killed while it gathers, and again at half of its commands: no device twice,
//! none missing. And what its steps cost.
//!
//! Not run by default, since it takes a minute:
//! `cargo test --release -p downlink-store --test batches -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use downlink_core::CommandBody;
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{
    BatchTargets, BatchTask, BatchTaskKey, BatchTasks, Commands, Device, DeviceName, Devices, NewBatchTask,
    SubtaskFilter, Turn,
};

#[path = "conformance/support.rs"]
mod support;

use support::*;

const DEVICES: u32 = 100_000;
const GATHER: u32 = 1000;
const STEP: u32 = 32;

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    Arc::new(SqliteStore::open(options).unwrap())
}

/// A store on what a crash at this instant leaves; the old one goes on in vain.
fn crash(from: &Path, to: &Path) -> Arc<SqliteStore> {
    std::fs::create_dir(to).unwrap();
    for name in ["downlink.db", "downlink.db-wal"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    open(to)
}

async fn register(world: &World) {
    for some in (0..DEVICES).collect::<Vec<_>>().chunks(500) {
        let registered = some.iter().map(|n| {
            let (store, device) = (world.store.clone(), new_device(world.app.key, &n.to_string()));
            let one: Boxed<Device> =
                Box::pin(async move { store.register(device, u64::MAX).await.unwrap().unwrap() });
            one
        });
        all_at_once(registered.collect()).await;
    }
}

fn broadcast(world: &World) -> NewBatchTask {
    NewBatchTask {
        id: "batch".into(),
        app: world.app.key,
        name: "batch".into(),
        targets: BatchTargets::All,
        body: CommandBody {
            service: "s".into(),
            method: "m".into(),
            paras: "{}".into(),
        },
        callback: None,
        max_retransmit: None,
        tags: None,
        minutes: 2880,
        created_at: at(0),
        open_limit: 10,
        kept_limit: 10,
    }
}

async fn task(store: &SqliteStore, world: &World) -> BatchTask {
    store
        .batch_task(world.app.key, "batch".into())
        .await
        .unwrap()
        .unwrap()
}

async fn step(store: &SqliteStore, world: &World, key: BatchTaskKey, first: u64) -> u64 {
    let mut turns: Vec<Turn> = Vec::new();
    for id in store.batch_turns(key, STEP).await.unwrap() {
        let device = store.device(DeviceName::Id(&id)).await.unwrap().unwrap();
        turns.push(Ok(world.cached(&device, at(1))));
    }
    let text = Arc::new(|refused: downlink_store::CreateRefused| refused.to_string());
    let step = store.step_batch(key, first, turns, text, at(1)).await.unwrap();
    step.created.len() as u64
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "takes a minute"]
async fn a_batch_over_100_000_devices_and_two_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
    let mut store = open(&paths[0]);
    let world = World::new(store.clone()).await;
    register(&world).await;
    let key = store.create_batch_task(broadcast(&world)).await.unwrap().unwrap();
    let (mut steps, mut slowest) = (0, 0.0_f64);
    loop {
        let began = Instant::now();
        let over = store.gather_batch(key, GATHER, at(0)).await.unwrap();
        (steps, slowest) = (steps + 1, slowest.max(millis(began)));
        if over {
            break;
        }
        if steps == 50 {
            store = crash(&paths[0], &paths[1]);
        }
    }
    println!("{steps} steps of {GATHER} to gather, slowest {slowest:.1} ms");
    let (began, mut steps, mut slowest) = (Instant::now(), 0, 0.0_f64);
    let mut first = 0;
    while first < u64::from(DEVICES) {
        let step_began = Instant::now();
        assert!(step(&store, &world, key, first).await > 0);
        (steps, slowest) = (steps + 1, slowest.max(millis(step_began)));
        if steps == DEVICES / STEP / 2 {
            store = crash(&paths[1], &paths[2]);
        }
        first = task(&store, &world).await.tried;
    }
    println!(
        "{steps} steps of {STEP} in {:.0} ms, slowest {slowest:.1} ms",
        millis(began)
    );
    check(&store, &world, key).await;
    store.close().await;
}

async fn check(store: &SqliteStore, world: &World, key: BatchTaskKey) {
    let all = store
        .subtasks(key, SubtaskFilter::default(), 0, u32::MAX)
        .await
        .unwrap();
    let devices: HashSet<_> = all.items.iter().map(|one| one.device_id.as_str()).collect();
    let commands: HashSet<_> = all.items.iter().filter_map(|one| one.command).collect();
    let many = DEVICES as usize;
    assert_eq!(
        (all.items.len(), devices.len(), commands.len()),
        (many, many, many)
    );
    let (mut seen, mut skip) = (HashSet::new(), 0);
    while skip < u64::from(DEVICES) {
        let page = store
            .list(world.app.key, Default::default(), skip, 1000)
            .await
            .unwrap();
        assert_eq!(page.total, u64::from(DEVICES));
        seen.extend(page.items.iter().map(|record| record.device));
        assert!(page.items.iter().all(|record| commands.contains(&record.id)));
        skip += 1000;
    }
    assert_eq!(seen.len(), many);
    let began = Instant::now();
    let mut from = Some(0);
    while let Some(place) = from {
        from = store.settle_batch(key, place, 256, at(2)).await.unwrap();
    }
    println!("a pass over {DEVICES} that wait: {:.0} ms", millis(began));
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
