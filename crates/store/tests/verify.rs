//! Each rule of the tables has a store that was damaged on purpose, and `verify` names the rule.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_store::sqlite::verify::{self, Target, verify};
use downlink_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use downlink_store::{AppSettingsChange, Apps as _, Diverted, Pushes as _};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

/// What no verb of the port is needed for: rows that agree with each other.
const REST: &str = "
    INSERT INTO app (key, id, name, secret_hash, push_documented_only, push_sent_immediate, created_at)
        VALUES (50, 'other', '', '', 0, 0, 0);
    INSERT INTO app (key, id, name, secret_hash, push_documented_only, push_sent_immediate, created_at, removed_at)
        VALUES (51, 'gone', '', '', 0, 0, 0, 1);
    INSERT INTO device (key, app, id, node_id, secret, verify_code, info, created_at, modified_at, removed_at)
        VALUES (90, 1, 'left', 'left', x'00', '', '{}', 0, 0, 1);
    INSERT INTO device (key, app, id, node_id, secret, verify_code, info, created_at, modified_at)
        VALUES (91, 50, 'its', 'its', x'00', '', '{}', 0, 0);
    INSERT INTO tally (app, devices, commands, open) VALUES (50, 1, 0, 0);
    INSERT INTO app_grant (owner, app) VALUES (1, 50);
    INSERT INTO registration (device, ends_at, kept) VALUES (91, 9, x'00');
    INSERT INTO signing_key (app, id, sealed, created_at, ends_at) VALUES (1, 'a', x'00', 0, 5), (1, 'b', x'00', 0, NULL);
    INSERT INTO push_tls (app, check_name, certificate, sealed_key) VALUES (1, 1, 'c', x'00');
    INSERT INTO cancel_task (id, app, device, state, upto, total, canceled, created_at, ended_at, commands)
        VALUES ('task', 1, 1, 2, 5, 2, 2, 0, 1, x'');
    INSERT INTO batch_task (key, id, app, name, kind, targets, service, method, paras, minutes, created_at, timeout_at,
        upto, total, tried, fail) VALUES (7, 'batch', 1, 'n', 0, 'a', 's', 'm', '{}', 5, 0, 9, 1, 3, 2, 1);
    INSERT INTO batch_subtask (task, n, device, state, command, error)
        VALUES (7, 0, 'a', 1, x'01', NULL), (7, 1, 'b', 3, NULL, 'e'), (7, 2, 'c', 0, NULL, NULL);
    INSERT INTO request_key (app, key, asked, command, status, until) VALUES (1, 'k', x'00', x'00', 0, 9);
    UPDATE tally SET request_keys = 1 WHERE app = 1;
    INSERT INTO device_group (key, id, app, name, max_devices, devices, created_at) VALUES (3, 'group', 50, 'g', 0, 1, 0);
    INSERT INTO group_member (grp, device) VALUES (3, 91);
";

/// A rule, and what breaks it.
const DAMAGE: &[(&str, &str)] = &[
    ("file-ours", "PRAGMA application_id = 7"),
    ("schema", "DROP INDEX work_prune"),
    ("schema", "CREATE TABLE strange (a)"),
    ("schema", "PRAGMA user_version = 3"),
    ("application-of-row", "UPDATE receiver SET app = 77"),
    (
        "application-of-row",
        "INSERT INTO feed_begin (app, n) VALUES (77, 1)",
    ),
    (
        "nothing-of-removed-application",
        "INSERT INTO token (app, access, access_until, refresh, refresh_until, issued_at) VALUES (51, x'01', 9, x'02', 9, 0)",
    ),
    ("device-of-row", "DELETE FROM device WHERE key = 1"),
    ("device-of-application", "UPDATE cancel_task SET device = 91"),
    (
        "gateway-of-device",
        "UPDATE device SET gateway = 91 WHERE key = 1",
    ),
    ("registration-of-device", "UPDATE registration SET device = 90"),
    ("device-found-by", "UPDATE device SET name = 'n' WHERE key = 1"),
    ("newest-signing-key", "UPDATE signing_key SET ends_at = NULL"),
    ("certificate-with-key", "UPDATE push_tls SET sealed_key = NULL"),
    ("task-of-subtask", "DELETE FROM batch_task"),
    ("grant-of-another", "UPDATE app_grant SET owner = 50"),
    ("working-row", "UPDATE work SET events = x'0109' WHERE state = 0"),
    ("working-row", "UPDATE work SET queued = 0 WHERE state = 0"),
    ("working-row", "UPDATE work SET lapse_at = 1 WHERE state = 0"),
    ("working-row", "UPDATE work SET seq = 9 WHERE state = 0"),
    ("told", "UPDATE work SET acked = 0 WHERE state = 0"),
    (
        "life",
        "UPDATE command SET events = substr(events, 1, 1) WHERE state IS NOT NULL",
    ),
    // The first event becomes another one.
    (
        "life",
        "UPDATE command SET events = CAST(x'01' || x'06' || substr(events, 3) AS BLOB) WHERE state = 12",
    ),
    ("life", "UPDATE command SET state = 11 WHERE state = 12"),
    ("told-is-recorded", "UPDATE push SET status = 7 WHERE state = 0"),
    ("told-is-recorded", "UPDATE feed SET seq = 99"),
    (
        "command-id",
        "INSERT INTO command (id, app, device, service, method, paras, expire_time, created_at) VALUES (x'00', 1, 1, '', '', '', 0, 0)",
    ),
    ("open-has-work", "DELETE FROM work WHERE state = 0"),
    ("work-has-command", "DELETE FROM command WHERE state IS NULL"),
    (
        "work-agrees",
        "UPDATE work SET receiver = 'http://elsewhere/' WHERE state = 0",
    ),
    (
        "work-agrees",
        "UPDATE command SET state = 5, events = x'01', sends = 1 WHERE state IS NULL",
    ),
    ("end-is-whole", "UPDATE command SET events = NULL"),
    ("queue-of-open", "UPDATE queued SET ord = ord + 1"),
    ("queue-is-whole", "DELETE FROM queued"),
    ("listed-by-device", "DELETE FROM of_device"),
    ("list-of-commands", "UPDATE of_device SET device = 91"),
    ("places-differ", "UPDATE work SET ord = 1 WHERE state = 0"),
    ("tail-begin", "DELETE FROM tail"),
    ("group-counts", "UPDATE device_group SET devices = 2"),
    ("tally-commands", "UPDATE tally SET commands = commands + 1"),
    ("tally-open", "UPDATE tally SET open = open - 1"),
    ("tally-devices", "DELETE FROM tally WHERE app = 50"),
    ("tally-request-keys", "DELETE FROM request_key"),
    ("stretches", "UPDATE command_count SET commands = 99"),
    (
        "stretches",
        "INSERT INTO command_count (app, stretch, commands) VALUES (1, x'00000000', 1)",
    ),
    ("receiver-counts", "UPDATE receiver SET waiting = waiting + 1"),
    ("push-order", "UPDATE push SET state = 1 WHERE state = 0"),
    ("push-order", "UPDATE push SET state = 0 WHERE state = 1"),
    ("push-receiver", "DELETE FROM receiver"),
    ("push-shape", "UPDATE push SET state = 2"),
    ("push-shape", "UPDATE push SET kind = 'k'"),
    ("notice-id", "UPDATE push SET notice_id = 'same'"),
    ("outbox", "UPDATE work SET outbox = NULL"),
    ("outbox", "DELETE FROM push"),
    (
        "feed-numbers",
        "UPDATE feed SET n = n + 100 WHERE n = (SELECT max(n) FROM feed)",
    ),
    (
        "feed-once",
        "UPDATE feed SET seq = 2, command = (SELECT min(command) FROM feed)",
    ),
    ("cancel-task", "UPDATE cancel_task SET canceled = 3"),
    ("cancel-task", "UPDATE cancel_task SET ended_at = NULL"),
    ("batch-subtasks", "DELETE FROM batch_subtask WHERE n = 2"),
    ("batch-turns", "UPDATE batch_task SET tried = 3"),
    ("batch-sums", "UPDATE batch_subtask SET state = 4 WHERE n = 1"),
    ("batch-over", "UPDATE batch_task SET ended_at = 5"),
    ("batch-commands", "UPDATE batch_subtask SET command = NULL"),
];

fn open(dir: &Path) -> Arc<SqliteStore> {
    let mut options = SqliteOptions::new(dir, policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    options.tail = 1;
    Arc::new(SqliteStore::open(options).unwrap())
}

/// A store with something of everything.
async fn rich(dir: &Path) {
    let store = open(dir);
    let world = World::new(store.clone()).await;
    let feed = AppSettingsChange {
        feed: Some(true),
        ..AppSettingsChange::default()
    };
    store.set_app_settings(world.app.key, feed).await.unwrap();
    let device = world.device("d").await;
    for n in 0..12 {
        let id = world.pending(&device, at(n)).await;
        if n < 3 {
            world.must(id, Input::Cancel("x".into()), at(20)).await;
        }
    }
    let under_way = world
        .send_next(device.key, offer(1), at(21))
        .await
        .unwrap()
        .command;
    let diverted = Diverted {
        command: under_way,
        origin: "http://r".into(),
        accepted: 0,
        failed: None,
        now: at(22),
    };
    store.divert(vec![diverted]).await.unwrap();
    world.must(under_way, Input::Acked, at(23)).await;
    store.close().await;
    drop(world);
    Connection::open(dir.join("downlink.db"))
        .unwrap()
        .execute_batch(REST)
        .unwrap();
}

#[tokio::test]
async fn every_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    rich(dir.path()).await;
    let file = dir.path().join("downlink.db");
    let report = verify(&Target::DataDir(dir.path().to_owned())).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    let mut unnamed = Vec::new();
    for (name, damage) in DAMAGE {
        let copy = dir.path().join("copy.db");
        std::fs::copy(&file, &copy).unwrap();
        let sql = Connection::open(&copy).unwrap();
        sql.execute_batch(damage).unwrap();
        drop(sql);
        let report = verify(&Target::File(copy.clone())).unwrap();
        let named: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.invariant.name)
            .collect();
        if !named.contains(name) {
            unnamed.push((name, damage, named));
        }
        assert!(
            report
                .findings
                .iter()
                .all(|finding| !finding.ids.is_empty() && finding.ids.len() <= 20)
        );
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

/// No rule is added without a damage that breaks it. Damaged files are the last test's.
#[test]
fn every_rule_is_broken_once() {
    let broken: BTreeSet<_> = DAMAGE
        .iter()
        .map(|(name, _)| *name)
        .chain(["file-sound"])
        .collect();
    let all: Vec<_> = verify::invariants()
        .iter()
        .map(|invariant| invariant.name)
        .collect();
    let rules: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(all.len(), rules.len(), "names differ");
    assert_eq!(broken, rules);
}

#[tokio::test]
async fn a_file_that_is_no_database_or_in_pieces_is_named() {
    let dir = tempfile::tempdir().unwrap();
    rich(dir.path()).await;
    let file = dir.path().join("downlink.db");
    let whole = std::fs::read(&file).unwrap();
    let mut garbled = whole.clone();
    garbled[whole.len() / 2..][..5000].fill(0xa5);
    for bytes in [&b"not a database at all"[..], &whole[..whole.len() / 2], &garbled] {
        std::fs::write(&file, bytes).unwrap();
        let report = verify(&Target::File(file.clone())).unwrap();
        let named: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.invariant.name)
            .collect();
        assert!(named.contains(&"file-sound"), "{named:?}");
    }
}

#[tokio::test]
async fn what_is_in_use_or_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::DataDir(dir.path().to_owned());
    assert!(matches!(verify(&target), Err(OpenError::Io { .. })));
    let store = open(dir.path());
    assert!(matches!(verify(&target), Err(OpenError::Locked(_))));
    store.close().await;
    assert!(verify(&target).unwrap().is_sound());
}
