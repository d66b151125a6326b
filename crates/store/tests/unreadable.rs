//! A row of the embedded store that cannot be read.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_store::Commands;
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    Arc::new(SqliteStore::open(options).unwrap())
}

/// One row that cannot be read concerns its own command only.
#[tokio::test]
async fn an_unreadable_command_stops_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let ids = [world.pending(&device, T0).await, world.pending(&device, T0).await];
    store.close().await;
    let broken = Connection::open(dir.path().join("downlink.db"))
        .unwrap()
        .execute(
            "UPDATE work SET events = x'0109' WHERE id = ?1",
            [ids[0].to_bytes()],
        )
        .unwrap();
    assert_eq!(broken, 1);
    let store = open(dir.path());
    let (found, rest) = store.sweep_open(None, 9).await.unwrap();
    assert!(found.iter().all(|open| open.command != ids[0]) && rest.is_none());
    let changes = ids.map(|id| change(id, Input::Cancel("x".into()), at(2)));
    let changed = store.apply(changes.to_vec()).await.unwrap();
    assert!(changed[0].outcome.is_none(), "{changed:?}");
    assert!(matches!(changed[1].outcome, Some(Ok(_))), "{changed:?}");
}

/// A record that cannot be read keeps its command from nothing, and its neighbours in the batch from nothing either.
#[tokio::test]
async fn a_command_whose_record_cannot_be_read_is_cancelled_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let id = world.pending(&device, T0).await;
    let app = world.app.key;
    store.close().await;
    let broken = Connection::open(dir.path().join("downlink.db"))
        .unwrap()
        .execute(
            "UPDATE command SET max_retransmit = 4711 WHERE id = ?1",
            [id.to_bytes()],
        )
        .unwrap();
    assert_eq!(broken, 1);
    let store = open(dir.path());
    let cancel = change(id, Input::Cancel("x".into()), at(2));
    let (changed, record) = store.apply_and_load(app, cancel).await.unwrap();
    assert!(matches!(changed.outcome, Some(Ok(_))), "{changed:?}");
    assert!(record.is_none(), "{record:?}");
    assert!(store.load(app, id).await.is_err(), "whoever reads it is told");
}
