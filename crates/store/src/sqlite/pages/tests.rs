//! Every page above the leaves, and every page of the list of free ones, damaged on its own in a copy.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::*;

/// A database of trees three pages high, with free pages; the roots of its trees; number and kind of each page in a tree.
fn made(file: &Path) -> (Vec<u32>, Vec<(u32, String)>) {
    let sql = Connection::open(file).unwrap();
    sql.execute_batch(
        "PRAGMA page_size = 512; CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t (v); \
         CREATE TABLE w (k BLOB PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE gone (v);",
    )
    .unwrap();
    sql.execute_batch(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
         INSERT INTO t SELECT i, printf('%060d', i * 7919 % 3001) FROM n; \
         INSERT INTO w SELECT randomblob(40), k FROM t; INSERT INTO gone SELECT randomblob(200) FROM t; \
         INSERT INTO t VALUES (9999, printf('%05000d', 1)); DELETE FROM gone;",
    )
    .unwrap();
    let mut roots = sql
        .prepare("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0 UNION SELECT 1")
        .unwrap();
    let roots = roots.query_map([], |row| row.get(0)).unwrap();
    let mut kinds = sql.prepare("SELECT pageno, pagetype FROM dbstat").unwrap();
    let kinds = kinds.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (
        roots.map(Result::unwrap).collect(),
        kinds.map(Result::unwrap).collect(),
    )
}

fn found(bytes: &[u8], roots: &[u32]) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    look(file.as_file(), roots).unwrap()
}

#[test]
fn a_sound_file_is_sound_and_no_leaf_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("d");
    let (roots, kinds) = made(&file);
    let mut bytes = fs::read(&file).unwrap();
    assert_eq!(found(&bytes, &roots), None);
    let leaves = kinds
        .iter()
        .filter(|(page, kind)| kind != "internal" && !roots.contains(page));
    for (page, _) in leaves {
        // The one at the right edge says how high its tree is: only its kind matters.
        let at = (*page as usize - 1) * 512;
        bytes[at + 20..at + 512].fill(0xa5);
    }
    assert_eq!(found(&bytes, &roots), None);
}

#[test]
fn each_page_above_the_leaves_and_each_of_the_free_list_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("d");
    let (roots, kinds) = made(&file);
    let sound = fs::read(&file).unwrap();
    let mut trunks = Vec::new();
    let mut next = word(&sound, 32);
    while next != 0 {
        trunks.push(next);
        next = word(&sound, (next as usize - 1) * 512);
    }
    let above = kinds
        .iter()
        .filter(|(_, kind)| kind == "internal")
        .map(|(page, _)| *page);
    let above: Vec<u32> = above.filter(|page| *page != 1).collect();
    assert!(above.len() > 20 && trunks.len() > 2, "{above:?} {trunks:?}");
    for page in above
        .iter()
        .chain(&trunks)
        .chain(roots.iter().filter(|root| **root != 1))
    {
        let at = (*page as usize - 1) * 512;
        for fill in [0, 0xa5, 0xff] {
            let mut bytes = sound.clone();
            bytes[at..at + 512].fill(fill);
            assert!(found(&bytes, &roots).is_some(), "page {page} of {fill:#x}");
        }
    }
}

#[test]
fn a_page_with_two_places_is_found_and_no_ring_is_walked_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("d");
    let (roots, kinds) = made(&file);
    let sound = fs::read(&file).unwrap();
    for (page, _) in kinds
        .iter()
        .filter(|(page, kind)| kind == "internal" && *page != 1)
    {
        let at = (*page as usize - 1) * 512;
        for child in [*page, word(&sound, 32), roots[1], 0, u32::MAX] {
            let mut bytes = sound.clone();
            bytes[at + 8..at + 12].copy_from_slice(&child.to_be_bytes());
            assert!(found(&bytes, &roots).is_some(), "page {page} names {child}");
        }
    }
}
