//! What a full cycle costs the embedded store (create and Send, Acked and Replied, told three times), and a row of the pass over
//! open commands.
//!
//! Not run by default, since figures say something of a release build only:
//! `cargo test --release -p downlink-store --test cost -- --ignored --nocapture`

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use downlink_core::lifecycle::Input;
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{Device, Told};

#[path = "conformance/support.rs"]
mod support;

use support::*;

const DEVICES: usize = 1_000;

/// CPU microseconds of the threads whose name begins so.
fn cpu_micros(name: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().path());
    let named =
        tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    let nanos = named.map(|task| {
        let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|nanos| nanos.parse::<u64>().ok())
            .unwrap_or(0)
    });
    nanos.sum::<u64>() / 1000
}

fn bytes_written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .unwrap();
    line.parse().unwrap()
}

/// One cycle, as a server makes it.
async fn cycle(world: &World, device: &Device) {
    let mut submission = world.cached(device, T0);
    submission.offer = Some(offer(1));
    let id = world.create(submission).await.record.id;
    let changes = vec![change(id, Input::Acked, at(1)), change(id, ok_reply(), at(1))];
    assert!(
        world
            .store
            .apply(changes)
            .await
            .unwrap()
            .iter()
            .all(|changed| matches!(changed.outcome, Some(Ok(_))))
    );
    for seq in 2..=4 {
        world.store.told(vec![Told { command: id, seq }]).await.unwrap();
    }
}

async fn measure(in_flight: usize, cycles: usize, queued: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(dir.path(), policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    let store = Arc::new(SqliteStore::open(options).unwrap());
    let world = Arc::new(World::new(store.clone()).await);
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        devices.push(world.device(&format!("{n}")).await);
    }
    fill(&world, queued).await;
    let devices = Arc::new(devices);
    let (began, cpu, written, before) = (
        Instant::now(),
        cpu_micros("store-"),
        bytes_written(),
        store.stats(),
    );
    let writer = cpu_micros("store-write");
    let next = Arc::new(AtomicUsize::new(0));
    let tasks = (0..in_flight).map(|_| {
        let (world, devices, next) = (world.clone(), devices.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Relaxed);
                if n >= cycles {
                    break;
                }
                cycle(&world, &devices[n * 7 % DEVICES]).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (elapsed, after) = (began.elapsed(), store.stats());
    let per = |micros: u64| micros as f64 / cycles as f64;
    println!(
        "{in_flight:4} in flight, {queued} queued: writer {:.1} us CPU/cycle, all store threads {:.1}, {:.0} bytes/cycle, \
         {:.0} cycles/s, {:.1} requests/commit, {:.2} commits/cycle, {} checkpoints, {} us/commit",
        per(cpu_micros("store-write") - writer),
        per(cpu_micros("store-") - cpu),
        per(bytes_written() - written),
        cycles as f64 / elapsed.as_secs_f64(),
        (after.requests - before.requests) as f64 / (after.commits - before.commits) as f64,
        (after.commits - before.commits) as f64 / cycles as f64,
        after.checkpoints - before.checkpoints,
        (after.commit_micros - before.commit_micros) / (after.commits - before.commits),
    );
}

/// Leaves commands queued, 20 for each of so many other devices.
async fn fill(world: &Arc<World>, queued: usize) {
    for n in 0..queued / 20 {
        let device = world.device(&format!("q{n}")).await;
        let creates = (0..20).map(|_| {
            let (store, submission) = (world.store.clone(), world.cached(&device, T0));
            let create: Boxed<()> =
                Box::pin(async move { drop(store.create(submission).await.unwrap().unwrap()) });
            create
        });
        all_at_once(creates.collect()).await;
    }
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "a measurement, for release builds"]
async fn a_full_cycle() {
    let queued = std::env::var("QUEUED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    for in_flight in [64, 256, 64, 256] {
        measure(in_flight, 40_000, queued).await;
    }
}

/// What the server rests for each row after a round goes by this figure.
#[tokio::test(flavor = "current_thread")]
#[ignore = "a measurement, for release builds"]
async fn a_row_of_the_pass_over_open_commands() {
    const ROWS: usize = 100_000;
    const ROUNDS: u64 = 5;
    let dir = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(dir.path(), policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    let world = Arc::new(World::new(Arc::new(SqliteStore::open(options).unwrap())).await);
    fill(&world, ROWS).await;
    for page in [100, 1000] {
        let (mut after, mut rounds, cpu) = (None, 0, cpu_micros("store-"));
        while rounds < ROUNDS {
            let (found, next) = world.store.sweep_open(after, page).await.unwrap();
            assert!(found.len() <= page as usize);
            rounds += u64::from(next.is_none());
            after = next;
        }
        let each = (cpu_micros("store-") - cpu) as f64 / (ROUNDS * ROWS as u64) as f64;
        println!("pages of {page}: {each:.2} us CPU for each of {ROWS} rows");
    }
}
