//! A copy of the store in one file, made while a server runs, and a data directory made from such a copy.
//!
//! A backup is the store as one commit left it: the pages are read in one transaction. Writers go on meanwhile; only the
//! write-ahead log is not begun anew until it is over. What lies beside the database, the master key above all, is not
//! in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::migrate;
use super::open::{self, Refused};
use super::options::OpenError;
use super::verify::{self, Report, Target};

/// How far the feeds of a restored store jump. More than any feed gave after the backup was made: so no cursor that was
/// given then is taken for one of the changes to come.
const FEED_JUMP: i64 = 1 << 40;

/// Why nothing was backed up or restored. What was begun is removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store, or the backup, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is there already that would be lost.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The copy is not what a store must be.
    #[error("the copy is not sound: {}", names(.0))]
    Unsound(Report),
}

fn names(report: &Report) -> String {
    let names: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.invariant.name)
        .collect();
    names.join(", ")
}

/// Copies the store of a data directory into a new file, readable for its owner alone. A server may run on it.
///
/// # Errors
/// There is no store, it cannot be read, or the file is there already.
pub fn backup(dir: &Path, to: &Path) -> Result<(), BackupError> {
    let from = open::database_of(dir);
    open::must_be_there(&from)?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let draft = beside(to);
    let made = copy(&from, &draft).and_then(|()| put(&draft, to).map_err(open::io_error(to)));
    made.map_err(|error| {
        // Half a copy is of no use; whether it goes changes nothing.
        let _ = fs::remove_file(&draft);
        error.into()
    })
}

/// Makes a data directory of a backup: looked at by every rule, brought up to date, and its feeds taken past all cursors
/// that were ever given. The directory may hold keys and certificates, but no store.
///
/// # Errors
/// The directory is in use or has a store; the backup cannot be read or is not sound.
pub fn restore(from: &Path, dir: &Path) -> Result<(), BackupError> {
    open::must_be_there(from)?;
    open::make_private(dir).map_err(open::io_error(dir))?;
    let _lock = open::lock(dir)?;
    let file = open::database_of(dir);
    for suffix in ["", "-wal", "-journal"] {
        let there = with_suffix(&file, suffix);
        if there.exists() {
            return Err(BackupError::Exists(there));
        }
    }
    let draft = beside(&file);
    let made = fill(from, &draft).and_then(|()| Ok(put(&draft, &file).map_err(open::io_error(&file))?));
    made.inspect_err(|_| {
        // As above.
        let _ = fs::remove_file(&draft);
    })
}

fn fill(from: &Path, draft: &Path) -> Result<(), BackupError> {
    copy(from, draft)?;
    bring_up_to_date(draft).map_err(|refused| open::refusal(from, refused))?;
    let report = verify::verify(&Target::File(draft.to_owned()))?;
    if !report.is_sound() {
        return Err(BackupError::Unsound(report));
    }
    Ok(set_journal(draft, "WAL").map_err(|refused| open::refusal(from, refused))?)
}

fn bring_up_to_date(draft: &Path) -> Result<(), Refused> {
    let mut sql = Connection::open(draft)?;
    if migrate::version(&sql)? > migrate::KNOWN {
        return Err(Refused::Newer(migrate::version(&sql)?));
    }
    if migrate::version(&sql)? == 0 {
        return Err(Refused::Damaged("it is not this program's".to_owned()));
    }
    migrate::migrate(&mut sql)?;
    sql.execute(
        "INSERT INTO feed_begin (app, n) SELECT a.key, max(coalesce((SELECT max(n) FROM feed f WHERE f.app = a.key), 0), \
         coalesce((SELECT n FROM feed_begin b WHERE b.app = a.key), 0)) + ?1 FROM app a WHERE a.feed = 1 \
         OR EXISTS (SELECT 1 FROM feed_begin b WHERE b.app = a.key) \
         ON CONFLICT (app) DO UPDATE SET n = excluded.n",
        [FEED_JUMP],
    )?;
    sql.close().map_err(|(_, error)| Refused::Sql(error))
}

/// A store is written to by a log beside it; a backup is one file, whoever looks at it.
fn set_journal(file: &Path, mode: &str) -> Result<(), Refused> {
    let sql = Connection::open(file)?;
    sql.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
    sql.close().map_err(|(_, error)| Refused::Sql(error))
}

/// Copies all pages as one transaction sees them.
fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let damaged = |error: rusqlite::Error| open::refusal(from, error);
    let _ = fs::remove_file(to);
    open::make_private_file(to).map_err(open::io_error(to))?;
    let source = open::looking(from).map_err(damaged)?;
    let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(damaged)?;
    let step = Backup::new(&source, &mut target).and_then(|backup| backup.step(-1));
    if step.map_err(damaged)? != StepResult::Done {
        return Err(OpenError::Sqlite("the store was busy; try again".to_owned()));
    }
    drop(target);
    set_journal(to, "DELETE").map_err(|refused| open::refusal(from, refused))
}

/// Moves a finished file in place; on disk when this returns.
fn put(draft: &Path, to: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    fs::rename(draft, to)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(file: &Path) -> PathBuf {
    with_suffix(file, ".new")
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
