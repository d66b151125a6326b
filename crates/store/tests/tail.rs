//! The embedded store's tail: whatever is in memory and whatever in the tables, lists and queues are the same, also after a
//! crash in the middle of a round, and in a store that an earlier version wrote.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, IdMint, Timestamp};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{App, Apps, CommandFilter, Commands, Device, Submission};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

fn open(dir: &Path, tail: usize) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    options.tail = tail;
    Arc::new(SqliteStore::open(options).unwrap())
}

/// A copy of a running store's files: what a crash at this instant leaves.
fn crash(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["downlink.db", "downlink.db-wal"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn count(dir: &Path, table: &str) -> u32 {
    let sql = Connection::open(dir.join("downlink.db")).unwrap();
    sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap()
}

/// What the store should hold of one device.
#[derive(Default, Clone)]
struct Expected {
    /// Oldest first.
    ids: Vec<CommandId>,
    queue: Vec<CommandId>,
}

struct Fleet {
    world: World,
    devices: Vec<(Device, Expected)>,
    dice: Dice,
    now: Timestamp,
    /// Minted, not created yet: it comes to the store after later ids.
    late: Option<(usize, Submission)>,
}

impl Fleet {
    async fn new(store: Arc<SqliteStore>, devices: usize) -> Self {
        let world = World::new(store).await;
        let mut fleet = Vec::new();
        for n in 0..devices {
            fleet.push((world.device(&format!("d{n}")).await, Expected::default()));
        }
        Self {
            world,
            devices: fleet,
            dice: Dice::new(),
            now: T0,
            late: None,
        }
    }

    /// The same fleet on another store, minting on from what that has.
    async fn moved_to(self, store: Arc<SqliteStore>) -> Self {
        let app: App = store.apps(0, 1).await.unwrap().remove(0);
        let mint = IdMint::after(store.last_id().await.unwrap()).into();
        let world = World { store, app, mint };
        Self { world, ..self }
    }

    async fn step(&mut self) {
        self.now = self.now + downlink_core::Span::from_millis(1);
        let at = self.dice.roll(self.devices.len());
        let mut submission = self.world.cached(&self.devices[at].0, self.now);
        submission.queue_limit = 1000;
        let roll = self.dice.roll(6);
        if roll <= 2 {
            submission.offer = (roll == 2).then(|| offer(1));
            // Now and then one waits for a later one, so that ids do not come in their order.
            match self.dice.roll(4) {
                0 if self.late.is_none() => self.late = Some((at, submission)),
                1 => {
                    self.create(at, submission).await;
                    if let Some((at, late)) = self.late.take() {
                        self.create(at, late).await;
                    }
                }
                _ => self.create(at, submission).await,
            }
            return;
        }
        let (device, expected) = &mut self.devices[at];
        match roll {
            3 => {
                self.world.send_next(device.key, offer(1), self.now).await;
            }
            4 => {
                if let Some(head) = expected.queue.first().copied() {
                    let changed = self.world.apply(change(head, Input::Acked, self.now)).await;
                    if matches!(changed.outcome, Some(Ok(_))) {
                        expected.queue.remove(0);
                    }
                }
            }
            _ => {
                if !expected.queue.is_empty() {
                    let id = self.dice.pick(&expected.queue);
                    let changed = self
                        .world
                        .apply(change(id, Input::Cancel("x".into()), self.now))
                        .await;
                    if matches!(changed.outcome, Some(Ok(_))) {
                        expected.queue.retain(|queued| *queued != id);
                    }
                }
            }
        }
    }

    async fn create(&mut self, at: usize, submission: Submission) {
        let id = self.world.create(submission).await.record.id;
        let expected = &mut self.devices[at].1;
        let place = expected.ids.partition_point(|known| *known < id);
        expected.ids.insert(place, id);
        expected.queue.push(id);
    }

    /// Whether the store holds what it should.
    async fn check(&mut self) {
        let mut queued = Vec::new();
        for (device, expected) in &self.devices {
            let queue = self.world.store.queue(device.key, 10_000).await.unwrap();
            assert_eq!(queue, expected.queue, "queue of {}", device.id);
            queued.extend((!queue.is_empty()).then_some(device.key));
            let all: Vec<_> = expected.ids.iter().rev().copied().collect();
            let (skip, limit) = (self.dice.roll(all.len() + 2), self.dice.roll(20));
            self.check_list(device, CommandFilter::default(), &all, skip, limit)
                .await;
            if let Some(before) = expected.ids.get(self.dice.roll(expected.ids.len().max(1))) {
                let older: Vec<_> = all.iter().filter(|id| *id < before).copied().collect();
                let filter = CommandFilter {
                    before: Some(*before),
                    ..CommandFilter::default()
                };
                self.check_list(device, filter, &older, skip / 2, limit).await;
            }
        }
        let keys = self.devices.iter().map(|(device, _)| device.key).collect();
        let mut named = self.world.store.with_queue(keys).await.unwrap();
        named.sort_unstable();
        queued.sort_unstable();
        assert_eq!(named, queued);
        let since_ever = CommandFilter {
            from: Some(T0),
            ..CommandFilter::default()
        };
        let (app, store) = (self.world.app.key, &self.world.store);
        let counted = store.list(app, since_ever, 0, 1).await.unwrap().total;
        let all = self.devices.iter().map(|(_, expected)| expected.ids.len() as u64);
        assert_eq!(counted, all.sum());
    }

    async fn check_list(
        &self,
        device: &Device,
        filter: CommandFilter,
        all: &[CommandId],
        skip: usize,
        limit: usize,
    ) {
        let filter = CommandFilter {
            device: Some(device.key),
            ..filter
        };
        let (app, store) = (self.world.app.key, &self.world.store);
        let page = store.list(app, filter, skip as u64, limit as u32).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|record| record.id).collect();
        let expected: Vec<_> = all.iter().skip(skip).take(limit).copied().collect();
        assert_eq!(
            (ids, page.total),
            (expected, all.len() as u64),
            "list of {}",
            device.id
        );
    }
}

#[tokio::test]
async fn lists_and_queues_are_the_same_wherever_a_command_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::new(open(&dir.path().join("0"), 20), 7).await;
    for n in 0..12 {
        for _ in 0..60 {
            fleet.step().await;
        }
        fleet.check().await;
        // The tail is read anew, with another length, from what a crash left.
        let (here, next) = (
            dir.path().join(format!("{n}")),
            dir.path().join(format!("{}", n + 1)),
        );
        crash(&here, &next);
        fleet = fleet.moved_to(open(&next, 1 + n % 3 * 15)).await;
        fleet.check().await;
    }
}

#[tokio::test]
async fn a_command_that_comes_after_its_place_was_passed_is_found_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (data, left) = (dir.path().join("s"), dir.path().join("left"));
    let mut fleet = Fleet::new(open(&data, 4), 1).await;
    let mut late = fleet.world.cached(&fleet.devices[0].0, T0);
    late.queue_limit = 1000;
    for n in 1..30 {
        let mut submission = fleet.world.cached(&fleet.devices[0].0, at(n));
        submission.queue_limit = 1000;
        fleet.create(0, submission).await;
    }
    fleet.create(0, late).await;
    fleet.check().await;
    crash(&data, &left);
    let mut fleet = fleet.moved_to(open(&left, 4)).await;
    fleet.check().await;
}

#[tokio::test]
async fn commands_that_are_over_soon_never_enter_the_table_of_queues() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("s"), 1000);
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    for n in 0..50 {
        let mut submission = world.cached(&device, at(n));
        submission.offer = Some(offer(1));
        let id = world.create(submission).await.record.id;
        world.must(id, ok_reply(), at(n)).await;
    }
    store.close().await;
    let tables = ["of_device", "queued"].map(|table| count(&dir.path().join("s"), table));
    assert_eq!(tables, [0, 0]);
}

#[tokio::test]
async fn the_tail_does_not_grow_beyond_its_length_and_a_quarter() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("s"), 100);
    let world = World::new(store.clone()).await;
    let mut devices = Vec::new();
    for n in 0..10 {
        devices.push(world.device(&format!("d{n}")).await);
    }
    for n in 0..1000 {
        let mut submission = world.cached(&devices[n % 10], at(n as u32));
        submission.queue_limit = 1000;
        world.create(submission).await;
    }
    store.close().await;
    for table in ["of_device", "queued"] {
        let rows = count(&dir.path().join("s"), table);
        assert!((1000u32 - 126..=1000).contains(&rows), "{table}: {rows}");
    }
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("s");
    let mut fleet = Fleet::new(open(&data, 16), 3).await;
    for _ in 0..200 {
        fleet.step().await;
    }
    let store = fleet.world.store.clone();
    // As the first version has it: two indexes, none of the tables.
    let sql = Connection::open(data.join("downlink.db")).unwrap();
    sql.execute_batch(
        "DROP TABLE of_device; DROP TABLE queued; DROP TABLE tail; \
         DROP TABLE push; DROP TABLE receiver; ALTER TABLE work DROP COLUMN outbox; \
         ALTER TABLE app DROP COLUMN push_max_age_ms; DROP TABLE subscription; \
         CREATE INDEX command_device ON command (device); \
         CREATE INDEX work_queue ON work (device, ord) WHERE queued = 1; PRAGMA user_version = 1;",
    )
    .unwrap();
    // Nor what came after the second.
    sql.execute_batch(
        "DROP INDEX device_silent; ALTER TABLE device DROP COLUMN silence; DROP TABLE device_group; DROP TABLE group_member; DROP TABLE app_grant; DROP TABLE batch_task; DROP TABLE batch_subtask; DROP TABLE signing_key; DROP TABLE push_tls; DROP TABLE feed; DROP TABLE feed_begin; \
         ALTER TABLE app DROP COLUMN feed; DROP TABLE product; DROP TABLE registration; \
         ALTER TABLE app DROP COLUMN work_mode; ALTER TABLE app DROP COLUMN cycle_secs; \
         ALTER TABLE device DROP COLUMN work_mode; ALTER TABLE device DROP COLUMN cycle_secs; \
         DROP INDEX device_list; DROP INDEX device_by_type; DROP INDEX device_by_name; \
         DROP INDEX device_by_location; DROP INDEX device_by_gateway; \
         CREATE INDEX device_list ON device (app, created_at) WHERE removed_at IS NULL; \
         ALTER TABLE device DROP COLUMN gateway; ALTER TABLE device DROP COLUMN link; \
         ALTER TABLE device DROP COLUMN heard_at; ALTER TABLE device DROP COLUMN name; \
         ALTER TABLE device DROP COLUMN location; ALTER TABLE device DROP COLUMN device_type; \
         DROP TABLE device_data; DROP TABLE shadow; DROP TABLE desired_change; DROP TABLE shadow_left; \
         DROP TABLE cancel_task; DROP TABLE command_count; DROP TABLE request_key; ALTER TABLE tally DROP COLUMN request_keys; \
         ALTER TABLE command DROP COLUMN call_id;",
    )
    .unwrap();
    let old = dir.path().join("old");
    crash(&data, &old);
    drop((sql, store));
    let mut fleet = fleet.moved_to(open(&old, 16)).await;
    fleet.check().await;
    for _ in 0..200 {
        fleet.step().await;
    }
    fleet.check().await;
}
