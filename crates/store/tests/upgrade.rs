//! Data directories of earlier schemas, made by their own migrations: opened, they hold all they held, and go on.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use downlink_core::lifecycle::Input;
use downlink_core::{AppId, AppKey, CommandId, DeviceId, DeviceKey, IdMint, Status};
use downlink_store::sqlite::verify::{Target, verify};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{Apps as _, Commands as _};
use rusqlite::{Connection, params};

#[path = "conformance/support.rs"]
mod support;

use support::*;

const STEPS: &[&str] = &[
    include_str!("../src/sqlite/migrations/0001.sql"),
    include_str!("../src/sqlite/migrations/0002.sql"),
    include_str!("../src/sqlite/migrations/0003.sql"),
    include_str!("../src/sqlite/migrations/0004.sql"),
    include_str!("../src/sqlite/migrations/0005.sql"),
    include_str!("../src/sqlite/migrations/0006.sql"),
    include_str!("../src/sqlite/migrations/0007.sql"),
    include_str!("../src/sqlite/migrations/0008.sql"),
    include_str!("../src/sqlite/migrations/0009.sql"),
    include_str!("../src/sqlite/migrations/0010.sql"),
    include_str!("../src/sqlite/migrations/0011.sql"),
    include_str!("../src/sqlite/migrations/0012.sql"),
    include_str!("../src/sqlite/migrations/0013.sql"),
    include_str!("../src/sqlite/migrations/0014.sql"),
    include_str!("../src/sqlite/migrations/0015.sql"),
];

const WAITING: u32 = 5;

fn id(n: u32) -> CommandId {
    CommandId::from_parts(T0.as_millis() as u64, 0, n, 0)
}

/// Events as they are packed: a version, then for each its status, its instant, and no detail.
fn events(statuses: &[Status]) -> Vec<u8> {
    let one = |status: &Status| {
        let mut packed = vec![status.code()];
        packed.extend_from_slice(&T0.as_millis().to_be_bytes());
        packed.push(0);
        packed
    };
    std::iter::once(1).chain(statuses.iter().flat_map(one)).collect()
}

/// A store of this schema: a device with commands that wait, and one that was withdrawn.
fn make(dir: &Path, schema: usize) {
    let sql = Connection::open(dir.join("downlink.db")).unwrap();
    sql.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    sql.execute_batch(&STEPS[..schema].join("\n")).unwrap();
    sql.pragma_update(None, "application_id", 0x444c_4e4b).unwrap();
    sql.pragma_update(None, "user_version", schema as i64).unwrap();
    sql.execute_batch(
        "INSERT INTO app (key, id, name, secret_hash, push_documented_only, push_sent_immediate, created_at)
             VALUES (1, 'a', 'n', 'h', 0, 1, 0);
         INSERT INTO device (key, app, id, node_id, secret, verify_code, info, created_at, modified_at)
             VALUES (1, 1, 'd', 'node', x'01', 'c', '{}', 0, 0);
         INSERT INTO tally (app, devices, commands, open) VALUES (1, 1, 6, 5);",
    )
    .unwrap();
    for n in 0..=WAITING {
        command(&sql, n);
        if n > 0 {
            work(&sql, n);
        }
        if schema >= 2 {
            place(&sql, n);
        }
        if schema >= 11 {
            let count = "INSERT INTO command_count (app, stretch, commands) VALUES (1, ?1, 1) \
                         ON CONFLICT DO UPDATE SET commands = commands + 1";
            sql.execute(count, [&id(n).to_bytes()[..4]]).unwrap();
        }
    }
}

/// The first one was withdrawn.
fn command(sql: &Connection, n: u32) {
    let ended = (n == 0).then(|| events(&[Status::Pending, Status::Canceled]));
    sql.execute(
        "INSERT INTO command (id, app, device, service, method, paras, expire_time, created_at, state, sends, events) \
         VALUES (?1, 1, 1, 's', 'm', '{}', 600, ?2, ?3, ?4, ?5)",
        params![
            id(n).to_bytes(),
            T0.as_millis(),
            ended.as_ref().map(|_| 12),
            ended.as_ref().map(|_| 0),
            ended
        ],
    )
    .unwrap();
}

fn work(sql: &Connection, n: u32) {
    let end = at(600).as_millis();
    sql.execute(
        "INSERT INTO work (id, app, device, ord, queued, expires_at, lapse_at, state, sends, push, acked, seq, events) \
         VALUES (?1, 1, 1, ?2, 1, ?3, ?3, 0, 0, 0, 1, 1, ?4)",
        params![id(n).to_bytes(), n, end, events(&[Status::Pending])],
    )
    .unwrap();
}

/// From the second schema on: lists and queues by device.
fn place(sql: &Connection, n: u32) {
    let id = id(n).to_bytes();
    sql.execute("INSERT INTO of_device (device, id) VALUES (1, ?1)", [id])
        .unwrap();
    if n > 0 {
        sql.execute(
            "INSERT INTO queued (device, ord, id) VALUES (1, ?1, ?2)",
            params![n, id],
        )
        .unwrap();
    }
}

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    Arc::new(SqliteStore::open(options).unwrap())
}

#[tokio::test]
async fn every_schema_that_there_was_is_brought_up_to_date() {
    for schema in 1..=STEPS.len() {
        println!("schema {schema}");
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), schema);
        if schema < STEPS.len() {
            let report = verify(&Target::DataDir(dir.path().to_owned())).unwrap();
            let named: Vec<_> = report
                .findings
                .iter()
                .map(|finding| finding.invariant.name)
                .collect();
            assert_eq!((report.schema as usize, named), (schema, vec!["schema"]));
        }
        goes_on(dir.path()).await;
        let report = verify(&Target::DataDir(dir.path().to_owned())).unwrap();
        assert!(report.is_sound(), "{:#?}", report.findings);
    }
}

async fn goes_on(dir: &Path) {
    let store = open(dir);
    let app = store.app(&AppId::new("a")).await.unwrap().unwrap();
    let device = DeviceKey(1);
    let waiting: Vec<_> = (1..=WAITING).map(id).collect();
    assert_eq!(store.queue(device, 9).await.unwrap(), waiting);
    let ended = store.load(AppKey(1), id(0)).await.unwrap().unwrap();
    assert_eq!(
        (ended.status, ended.device_id),
        (Status::Canceled, DeviceId::new("d"))
    );
    let world = World {
        mint: Mutex::new(IdMint::after(store.last_id().await.unwrap())),
        store: store.clone(),
        app,
    };
    for expected in &waiting[..2] {
        let sent = world.send_next(device, offer(1), at(5)).await.unwrap();
        assert_eq!(sent.command, *expected);
        world.must(sent.command, Input::Acked, at(6)).await;
    }
    store.close().await;
}
