//! Limits that are decided on counts the writer keeps in memory: they are right after a restart, too.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, IdMint};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{Apps, Commands, CreateRefused, Device};

#[path = "conformance/support.rs"]
mod support;

use support::*;

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir.join("data"), policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    Arc::new(SqliteStore::open(options).unwrap())
}

/// Leaves a store with one device that has a PENDING and a SENT command.
async fn leave_two(dir: &Path) -> (Device, [CommandId; 2]) {
    let store = open(dir);
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let ids = [world.pending(&device, T0).await, world.pending(&device, T0).await];
    world.send_next(device.key, offer(1), at(1)).await.unwrap();
    store.close().await;
    (device, ids)
}

/// The same store after a restart.
async fn again(dir: &Path, device: &Device) -> World {
    let store = open(dir);
    let last = store.last_id().await.unwrap();
    World {
        app: store.app_by_key(device.app).await.unwrap().unwrap(),
        store,
        mint: Mutex::new(IdMint::after(last)),
    }
}

#[tokio::test]
async fn the_limit_of_open_commands_knows_those_from_before_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (device, _) = leave_two(dir.path()).await;
    let world = again(dir.path(), &device).await;
    let limited = |world: &World| {
        let mut submission = world.cached(&device, at(1));
        submission.open_limit = Some(3);
        submission
    };
    let third = world.create(limited(&world)).await.record.id;
    let refused = world.try_create(limited(&world)).await.unwrap_err();
    assert_eq!(refused, CreateRefused::TooManyOpen);
    world.must(third, Input::Cancel("x".into()), at(2)).await;
    world.create(limited(&world)).await;
}

#[tokio::test]
async fn the_limit_of_a_queue_knows_those_from_before_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (device, ids) = leave_two(dir.path()).await;
    let world = again(dir.path(), &device).await;
    let limited = || {
        let mut submission = world.cached(&device, at(1));
        submission.queue_limit = 2;
        submission
    };
    // One of the two is sent and does not count.
    world.create(limited()).await;
    let refused = world.try_create(limited()).await.unwrap_err();
    assert_eq!(refused, CreateRefused::QueueFull);
    world.must(ids[1], Input::Cancel("x".into()), at(2)).await;
    world.create(limited()).await;
    let refused = world.try_create(limited()).await.unwrap_err();
    assert_eq!(refused, CreateRefused::QueueFull);
}
