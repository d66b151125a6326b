//! The file: as SQLite sees it, and its schema.

use rusqlite::Connection;

use super::{Findings, Invariant};
use crate::sqlite::failure::Failure;
use crate::sqlite::migrate::{self, APPLICATION_ID, KNOWN};

/// What SQLite says of the file.
pub(super) static SOUND: Invariant = Invariant {
    name: "file-sound",
    promise: "SQLite finds its file sound",
};
static OURS: Invariant = Invariant {
    name: "file-ours",
    promise: "the file is marked as this program's",
};
static SCHEMA: Invariant = Invariant {
    name: "schema",
    promise: "the file has this program's schema; an older one is brought up to date when the server starts",
};

pub(super) const ALL: &[&Invariant] = &[&SOUND, &OURS, &SCHEMA];

pub(super) fn look(sql: &Connection, schema: u32, found: &mut Findings) {
    let looked = sound(sql, found);
    found.unreadable(&SOUND, looked);
    let looked = ours(sql, found);
    found.unreadable(&OURS, looked);
    let looked = tables(sql, schema, found);
    found.unreadable(&SCHEMA, looked);
}

fn sound(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mut statement = sql.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let verdict: String = row.get(0)?;
        if verdict != "ok" {
            found.note(&SOUND, verdict);
        }
    }
    Ok(())
}

fn ours(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mark: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if mark != APPLICATION_ID {
        found.note(&OURS, format!("application_id is {mark:#x}"));
    }
    Ok(())
}

/// Compares tables and indexes with those of a new store.
fn tables(sql: &Connection, schema: u32, found: &mut Findings) -> Result<(), Failure> {
    if schema != KNOWN {
        found.note(&SCHEMA, format!("schema {schema}, not {KNOWN}"));
        return Ok(());
    }
    let (has, should) = (migrate::declared(sql)?, migrate::known()?);
    for one in should.iter().filter(|one| !has.contains(one)) {
        found.note(&SCHEMA, format!("{} is missing, or another", one.0));
    }
    for one in has.iter().filter(|one| !should.contains(one)) {
        found.note(&SCHEMA, format!("{} is not this program's", one.0));
    }
    Ok(())
}
