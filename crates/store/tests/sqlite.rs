//! What is particular to the embedded store: its files, its restarts, its group commit.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves two test programs, neither of which needs all of it.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::lifecycle::Input;
use downlink_core::{Mid, Status};
use downlink_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use downlink_store::{Apps, Commands, DeviceName, Devices, StoreError, Told};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

fn options(dir: &Path) -> SqliteOptions {
    let mut options = SqliteOptions::new(dir.join("data"), policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    options
}

fn open(dir: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(options(dir)).unwrap())
}

fn database(dir: &Path) -> std::path::PathBuf {
    dir.join("data/downlink.db")
}

/// Another connection to the database, as an operator's tool might have.
fn beside(dir: &Path) -> Connection {
    Connection::open(database(dir)).unwrap()
}

/// Leaves a store with one device that has a PENDING and a SENT command.
async fn leave_some(dir: &Path) -> [downlink_core::CommandId; 2] {
    let store = open(dir);
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let ids = [world.pending(&device, T0).await, world.pending(&device, T0).await];
    assert_eq!(
        world
            .send_next(device.key, mid_offer(1), at(1))
            .await
            .unwrap()
            .command,
        ids[0]
    );
    store.close().await;
    ids
}

#[tokio::test]
async fn a_restart_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let ids = leave_some(dir.path()).await;
    for _ in 0..2 {
        // Dropped without a close each time.
        let store = open(dir.path());
        let device = store.device(DeviceName::Node("node-d")).await.unwrap().unwrap();
        assert_eq!(store.queue(device.key, 9).await.unwrap(), ids);
        assert_eq!(store.last_id().await.unwrap(), Some(ids[1]));
        assert_eq!(store.count_open().await.unwrap(), 2);
        let duty = store.load_push(ids[0]).await.unwrap().unwrap();
        assert_eq!(duty.events[0].status, Status::Sent);
    }
}

/// What an answer needs is read again where it is not in memory any more.
#[tokio::test]
async fn a_create_repeated_after_a_restart_gives_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let id = world.create(submission.clone()).await.record.id;
    let done = world.must(id, ok_reply(), at(1)).await;
    let record = world.record(id).await;
    store.close().await;
    let again = open(dir.path()).create(submission).await.unwrap().unwrap();
    assert!(again.existed && done.push.is_some());
    assert_eq!((again.record, again.applied.push), (record, done.push));
}

/// The files as a crash leaves them: copied while the store is open.
#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    fs::create_dir(copy.path().join("data")).unwrap();
    for _ in 0..3 {
        let id = world.pending(&device, T0).await;
        world.must(id, Input::Cancel("x".into()), at(1)).await;
        for name in ["downlink.db", "downlink.db-wal"] {
            fs::copy(
                dir.path().join("data").join(name),
                copy.path().join("data").join(name),
            )
            .unwrap();
        }
        let _ = fs::remove_file(copy.path().join("data/downlink.db-shm"));
        let copied = open(copy.path());
        let expected = world.record(id).await;
        assert_eq!(copied.load(world.app.key, id).await.unwrap(), Some(expected));
        copied.close().await;
    }
}

#[tokio::test]
async fn numbers_and_places_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    leave_some(dir.path()).await;
    let store = open(dir.path());
    let device = store.device(DeviceName::Node("node-d")).await.unwrap().unwrap();
    let app = store.apps(0, 1).await.unwrap().remove(0);
    let world = World {
        store: store.clone(),
        app,
        mint: downlink_core::IdMint::after(store.last_id().await.unwrap()).into(),
    };
    let before = store.queue(device.key, 9).await.unwrap();
    // Asked for by a clock that stepped back, yet after those that were there.
    let late = world
        .pending(&device, T0 - downlink_core::Span::from_secs(99))
        .await;
    assert_eq!(
        store.queue(device.key, 9).await.unwrap(),
        [before[0], before[1], late]
    );
    let mid = world
        .create(world.immediate(&device, T0, mid_offer(2)))
        .await
        .send
        .unwrap()
        .mid
        .unwrap();
    assert_ne!(mid, Mid::FIRST, "the one from before does not come again");
}

#[tokio::test]
async fn mids_of_before_a_restart_do_not_come_again_soon() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    // Few, then many; and few again when the clock has gone so far round that what is kept seems to be ahead of it.
    let starts = [
        (0, 5),
        (1, 200),
        (2, 90),
        (3, 20),
        (3000, 5),
        (3001, 5),
        (3002, 70),
        (3003, 5),
    ];
    for (start, (secs, commands)) in starts.into_iter().enumerate() {
        let store = open(dir.path());
        let (app, device) = match start {
            0 => {
                let world = World::new(store.clone()).await;
                let device = world.device("d").await;
                (world.app, device)
            }
            _ => {
                let device = store.device(DeviceName::Node("node-d")).await.unwrap();
                (store.apps(0, 1).await.unwrap().remove(0), device.unwrap())
            }
        };
        let mint = downlink_core::IdMint::after(store.last_id().await.unwrap()).into();
        let world = World {
            store: store.clone(),
            app,
            mint,
        };
        for _ in 0..commands {
            let created = world
                .create(world.immediate(&device, at(secs), mid_offer(1)))
                .await;
            let mid = created.send.unwrap().mid.unwrap();
            assert!(seen.insert(mid), "{mid:?} came again after {start} restarts");
            let done = world.must(created.record.id, ok_reply(), at(secs)).await;
            world.told(created.record.id, done.seq).await;
        }
        store.close().await;
    }
}

#[tokio::test]
async fn one_process_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = SqliteStore::open(options(dir.path())).unwrap_err();
    assert!(matches!(refused, OpenError::Locked(_)), "{refused}");
    store.close().await;
    SqliteStore::open(options(dir.path())).unwrap();
}

#[tokio::test]
async fn a_later_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    leave_some(dir.path()).await;
    beside(dir.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let refused = SqliteStore::open(options(dir.path())).unwrap_err();
    assert!(
        matches!(refused, OpenError::Newer { found: 99, known: 15 }),
        "{refused}"
    );
    assert!(refused.to_string().contains("later version"), "{refused}");
}

/// Does something to a database file.
type Damage<'a> = &'a dyn Fn(&Path);

#[tokio::test]
async fn a_damaged_directory_is_refused() {
    let cut = |file: &Path, to: u64| {
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(to)
            .unwrap()
    };
    let damages: [(&str, Damage<'_>); 7] = [
        ("empty", &|file| cut(file, 0)),
        ("cut off in the header", &|file| cut(file, 50)),
        ("cut off", &|file| cut(file, 4096 * 3)),
        ("garbage", &|file| fs::write(file, vec![7; 8192]).unwrap()),
        ("garbage inside", &|file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096 + 8..].iter_mut().for_each(|byte| *byte ^= 0x55);
            fs::write(file, bytes).unwrap();
        }),
        ("of another program", &|file| {
            fs::remove_file(file).unwrap();
            Connection::open(file)
                .unwrap()
                .execute_batch("CREATE TABLE t (x)")
                .unwrap();
        }),
        ("gone, its log left", &|file| {
            fs::rename(file, file.with_file_name("downlink.db-wal")).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        leave_some(dir.path()).await;
        damage(&database(dir.path()));
        let refused = SqliteStore::open(options(dir.path())).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{what}: {refused}");
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("data/downlink.db.new"), b"half").unwrap();
    leave_some(dir.path()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mode = || fs::metadata(&data).unwrap().permissions().mode() & 0o777;
    drop(open(dir.path()));
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(dir.path()));
    assert_eq!(mode(), 0o700);
}

#[tokio::test]
async fn only_the_culprit_of_a_batch_fails() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    beside(dir.path())
        .execute_batch(
            "CREATE TRIGGER boom BEFORE INSERT ON command WHEN NEW.service = 'boom' \
             BEGIN SELECT raise(ABORT, 'boom'); END",
        )
        .unwrap();
    let submissions: Vec<_> = (0..20)
        .map(|n| {
            let mut submission = world.cached(&device, T0);
            if n == 13 {
                let body = Arc::make_mut(&mut submission.command.body);
                body.service = "boom".into();
            }
            submission
        })
        .collect();
    let ids: Vec<_> = submissions
        .iter()
        .map(|submission| submission.command.id)
        .collect();
    let creates = submissions.into_iter().map(|submission| {
        let store = store.clone();
        let create: Boxed<_> = Box::pin(async move { store.create(submission).await });
        create
    });
    let outcomes = all_at_once(creates.collect()).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(created) => assert!(created.is_ok() && n != 13),
            Err(error) => assert!(
                matches!(error, StoreError::Unavailable(_)) && n == 13,
                "{n}: {error}"
            ),
        }
    }
    assert!(store.stats().replays >= 1);
    let queue = store.queue(device.key, 99).await.unwrap();
    let expected: Vec<_> = ids
        .into_iter()
        .enumerate()
        .filter(|(n, _)| *n != 13)
        .map(|(_, id)| id)
        .collect();
    assert_eq!(queue, expected, "in the order asked");
    assert_eq!(store.count_open().await.unwrap(), 19);
}

#[tokio::test]
async fn many_creates_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let mut devices = Vec::new();
    for n in 0..25 {
        devices.push(world.device(&format!("{n}")).await);
    }
    let before = store.stats();
    let creates = (0..500).map(|n| {
        let (store, submission) = (store.clone(), world.cached(&devices[n % 25], T0));
        tokio::spawn(async move { store.create(submission).await.unwrap().unwrap() })
    });
    for create in creates.collect::<Vec<_>>() {
        create.await.unwrap();
    }
    let after = store.stats();
    let commits = after.commits - before.commits;
    assert_eq!(after.changes - before.changes, 500);
    assert!(commits <= 100, "{commits} commits");
    assert_eq!(after.write_queue, 0);
}

#[tokio::test]
async fn what_is_not_urgent_shares_a_commit_and_delays_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut patient = options(dir.path());
    patient.lazy_wait = Duration::from_secs(3600);
    let store = Arc::new(SqliteStore::open(patient).unwrap());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let id = world.create(submission).await.record.id;
    let before = store.stats().commits;
    let (teller, creator) = (store.clone(), store.clone());
    let submission = world.cached(&device, T0);
    all_at_once(vec![
        Box::pin(async move { teller.told(vec![Told { command: id, seq: 2 }]).await.unwrap() }) as Boxed<()>,
        Box::pin(async move { drop(creator.create(submission).await.unwrap().unwrap()) }),
    ])
    .await;
    assert_eq!(store.stats().commits - before, 1);
    assert_eq!(store.load_push(id).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_queue_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut narrow = options(dir.path());
    narrow.write_queue = 2;
    let store = Arc::new(SqliteStore::open(narrow).unwrap());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let other = beside(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (store, submission) = (store.clone(), world.cached(&device, T0));
            tokio::spawn(async move { store.create(submission).await.map(Result::unwrap) })
        })
        .collect();
    // All have asked, and the queue lets no more than its places wait.
    while waiting.iter().filter(|task| task.is_finished()).count() < 5 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    let (mut made, mut busy) = (0, 0);
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(StoreError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(made >= 2 && busy >= 5, "{made} made, {busy} told");
    assert_eq!(store.queue(device.key, 99).await.unwrap().len(), made);
}

#[tokio::test]
async fn little_space_refuses_creates_but_no_changes() {
    let dir = tempfile::tempdir().unwrap();
    let ids = leave_some(dir.path()).await;
    let mut full = options(dir.path());
    full.min_free_percent = 100;
    let store = Arc::new(SqliteStore::open(full).unwrap());
    let device = store.device(DeviceName::Node("node-d")).await.unwrap().unwrap();
    let app = store.apps(0, 1).await.unwrap().remove(0);
    let world = World {
        store: store.clone(),
        app,
        mint: downlink_core::IdMint::after(Some(ids[1])).into(),
    };
    let refused = store.create(world.cached(&device, T0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::DiskLow));
    let refused = store.register(new_device(device.app, "e"), 9).await.unwrap_err();
    assert!(matches!(refused, StoreError::DiskLow));
    assert_eq!(
        world.must(ids[0], Input::Acked, at(2)).await.status,
        Status::Delivered
    );
}

#[tokio::test]
async fn closing_finishes_what_was_asked_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    let submissions: Vec<_> = (0..15).map(|_| world.cached(&device, T0)).collect();
    let last = submissions[14].command.id;
    let mut asked: Vec<Boxed<bool>> = Vec::new();
    for submission in submissions {
        let store = store.clone();
        asked.push(Box::pin(async move {
            store.create(submission).await.unwrap().is_ok()
        }));
    }
    let closing = store.clone();
    asked.push(Box::pin(async move {
        closing.close().await;
        true
    }));
    assert_eq!(all_at_once(asked).await, vec![true; 16]);
    store.close().await;
    let refused = store.create(world.cached(&device, T0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)));
    assert!(matches!(
        store.last_id().await.unwrap_err(),
        StoreError::Unavailable(_)
    ));
    let log = fs::metadata(dir.path().join("data/downlink.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(log, 0, "all of the log is in the file");
    drop((world, store));
    assert_eq!(open(dir.path()).last_id().await.unwrap(), Some(last));
}

#[tokio::test]
async fn the_log_does_not_grow_without_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.checkpoint_pages = 32;
    small.lazy_wait = Duration::ZERO;
    let store = Arc::new(SqliteStore::open(small).unwrap());
    let world = World::new(store.clone()).await;
    let device = world.device("d").await;
    for _ in 0..200 {
        let id = world.pending(&device, T0).await;
        world.must(id, Input::Cancel("x".into()), at(1)).await;
        world.told(id, 2).await;
    }
    assert!(store.stats().checkpoints > 3, "{:?}", store.stats());
    let log = fs::metadata(dir.path().join("data/downlink.db-wal"))
        .unwrap()
        .len();
    assert!(log < 32 * 4096 * 10, "{log} bytes");
}
