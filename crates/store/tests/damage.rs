//! Every page of a small store, damaged on its own in a copy: the start refuses it or `verify` names it, but for what nobody
//! can tell.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_store::sqlite::verify::{Target, verify};
use downlink_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use downlink_store::{Apps as _, CommandFilter, Commands, StoreError};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

const PAGE: usize = 4096;

fn options(dir: &Path) -> SqliteOptions {
    let mut options = SqliteOptions::new(dir, policy());
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    options
}

/// A store with commands open and over, large ones among them, and free pages. Gives its file's bytes.
async fn made(dir: &Path) -> Vec<u8> {
    let store = Arc::new(SqliteStore::open(options(dir)).unwrap());
    let world = World::new(store.clone()).await;
    for n in 0..12 {
        let device = world.device(&format!("device-{n}")).await;
        for _ in 0..20 {
            let id = world.pending(&device, T0).await;
            if n % 3 == 0 {
                let changes = vec![change(id, Input::Cancel("x".into()), at(2))];
                store.apply(changes).await.unwrap();
            }
        }
    }
    store.close().await;
    let file = dir.join("downlink.db");
    let sql = Connection::open(&file).unwrap();
    sql.execute_batch(
        "UPDATE command SET paras = '{\"v\":\"' || printf('%9000d', 1) || '\"}' WHERE id IN (SELECT id FROM command ORDER BY id LIMIT 5); \
         CREATE TABLE once (v); INSERT INTO once SELECT randomblob(3000) FROM command LIMIT 20; DROP TABLE once;",
    )
    .unwrap();
    drop(sql);
    fs::read(&file).unwrap()
}

/// What each page is, by SQLite's own account; those it does not name are free.
fn kinds(file: &Path) -> Vec<&'static str> {
    let sql = Connection::open(file).unwrap();
    let pages: u32 = sql.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let mut kinds = vec!["free"; pages as usize + 1];
    let mut statement = sql.prepare("SELECT pageno, pagetype FROM dbstat").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let kind: String = row.get(1).unwrap();
        kinds[row.get::<_, u32>(0).unwrap() as usize] = match kind.as_str() {
            "internal" => "above leaves",
            "leaf" => "leaf",
            "overflow" => "overflow",
            other => panic!("a page that is {other}"),
        };
    }
    kinds
}

fn leaves_of_commands(file: &Path) -> Vec<u32> {
    let sql = Connection::open(file).unwrap();
    let mut pages = sql
        .prepare("SELECT pageno FROM dbstat WHERE name = 'command' AND pagetype = 'leaf'")
        .unwrap();
    let pages = pages.query_map([], |row| row.get(0)).unwrap();
    pages.map(Result::unwrap).collect()
}

fn noise(page: usize) -> Vec<u8> {
    let mut state = page as u64 + 1;
    let next = std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    next.take(PAGE).collect()
}

#[tokio::test]
async fn each_damaged_page_is_refused_at_the_start_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let sound = made(dir.path()).await;
    let kinds = kinds(&dir.path().join("downlink.db"));
    for kind in ["above leaves", "leaf", "overflow", "free"] {
        assert!(kinds[1..].contains(&kind), "no page is {kind}");
    }
    let (mut refused, mut named, mut missed) = (0, Vec::new(), Vec::new());
    for page in 1..kinds.len() {
        for (how, damage) in [("noise", noise(page)), ("zeros", vec![0; PAGE])] {
            let copy = tempfile::tempdir().unwrap();
            let mut bytes = sound.clone();
            bytes[(page - 1) * PAGE..page * PAGE].copy_from_slice(&damage);
            fs::write(copy.path().join("downlink.db"), bytes).unwrap();
            match SqliteStore::open(options(copy.path())) {
                Err(OpenError::Damaged { .. }) => refused += 1,
                Err(other) => panic!("page {page}, {how}: {other}"),
                Ok(store) => {
                    store.close().await;
                    match verify(&Target::DataDir(copy.path().to_owned()))
                        .unwrap()
                        .is_sound()
                    {
                        false => named.push((page, kinds[page], how)),
                        true => missed.push((page, kinds[page], how)),
                    }
                }
            }
        }
    }
    println!(
        "{} pages: {refused} refused at the start, named by verify: {named:?}, missed: {missed:?}",
        kinds.len() - 1
    );
    // The end of a long value names no other page, so that its structure says nothing.
    for (page, kind, how) in named {
        assert_eq!(
            (kind, how),
            ("overflow", "zeros"),
            "page {page}: the start let it pass"
        );
    }
    for (page, kind, how) in missed {
        assert_eq!(kind, "free", "page {page}, {how}: nobody noticed");
    }
}

/// What SQLite does not look at: a table or an index that the schema does not name any more.
#[tokio::test]
async fn a_schema_without_one_of_its_parts_is_refused_at_the_start() {
    for loss in [
        "DROP INDEX work_prune",
        "DROP TABLE feed_begin",
        "ALTER TABLE shadow_left RENAME TO other",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(options(dir.path())).unwrap();
        store.close().await;
        let sql = Connection::open(dir.path().join("downlink.db")).unwrap();
        sql.execute_batch(loss).unwrap();
        drop(sql);
        let refused = SqliteStore::open(options(dir.path())).unwrap_err().to_string();
        assert!(refused.contains("missing from its schema"), "{loss}: {refused}");
    }
}

/// Damage that is met while it runs is counted: a row by itself, a page as damage of the file.
#[tokio::test]
async fn damage_that_is_met_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path()).await;
    let file = dir.path().join("downlink.db");
    let sql = Connection::open(&file).unwrap();
    let broken = "UPDATE work SET events = x'0109' WHERE id = (SELECT min(id) FROM work WHERE acked < seq)";
    assert_eq!(sql.execute(broken, []).unwrap(), 1);
    drop(sql);
    let leaves = leaves_of_commands(&file);
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let met = || (store.figures().damaged_rows, store.figures().damaged_file);
    assert_eq!(met(), (0, 0));
    store.sweep_open(None, 1000).await.unwrap();
    assert_eq!(met(), (1, 0));

    let file = fs::OpenOptions::new().write(true).open(&file).unwrap();
    for page in leaves {
        let at = u64::from(page - 1) * PAGE as u64;
        file.write_all_at(&noise(page as usize), at).unwrap();
    }
    let app = downlink_core::AppKey(1);
    let listed = store.list(app, CommandFilter::default(), 0, 1000).await;
    assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{listed:?}");
    assert_eq!(met(), (1, 1));
    assert!(store.apps(0, 1).await.is_ok(), "what is sound is read");
}
