//! A wall clock that is set back, across a restart too: the numbers of commands do not come again soon.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use downlink_core::{IdMint, Mid, Policy};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{Apps, Commands, Device, DeviceName, Devices};

#[path = "conformance/support.rs"]
mod support;

use support::*;

/// A process that is up since so many seconds by the wall clock, on the data of those before.
async fn life(dir: &Path, up_since: u32) -> (World, Device) {
    let mut options = SqliteOptions::new(dir.join("data"), Policy::standard(at(up_since)));
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    let store = Arc::new(SqliteStore::open(options).unwrap());
    let Some(app) = store.apps(0, 1).await.unwrap().pop() else {
        let world = World::new(store).await;
        let device = world.device("d").await;
        return (world, device);
    };
    let device = store.device(DeviceName::Node("node-d")).await.unwrap().unwrap();
    let mint = IdMint::after(store.last_id().await.unwrap()).into();
    (World { store, app, mint }, device)
}

/// Sends a command and has it answered; gives its number.
async fn number(world: &World, device: &Device, secs: u32) -> Mid {
    let created = world
        .create(world.immediate(device, at(secs), mid_offer(1)))
        .await;
    let done = world.must(created.record.id, ok_reply(), at(secs)).await;
    world.told(created.record.id, done.seq).await;
    created.send.unwrap().mid.unwrap()
}

/// Found by seed 6339 of the simulation: newest ids stand still after a clock is set back, and the numbers go on, further than what
/// is passed by at the next start.
#[tokio::test]
async fn numbers_of_after_a_set_back_do_not_come_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (world, device) = life(dir.path(), 0).await;
    number(&world, &device, 0).await;
    drop(world);

    let (world, device) = life(dir.path(), 99).await;
    number(&world, &world.device("other").await, 100).await;
    // Set back to 20: the numbers stay at 100, and are at 170 when it shows 90.
    let third = world.device("third").await;
    number(&world, &third, 20).await;
    let before = number(&world, &device, 90).await;
    drop(world);

    // They begin at a minute after 100, and are at 170 again when it shows 101.
    let (world, device) = life(dir.path(), 91).await;
    let after = number(&world, &device, 101).await;
    assert_ne!(before, after);
}
