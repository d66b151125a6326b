//! The data directory: made, locked, and looked at before anything is believed.
//!
//! A new database is made under another name and moved in place when it is whole, so that a file that stands there
//! empty or cut off was damaged, and is never taken for a new store.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::means_damage;
use super::log;
use super::migrate::{self, APPLICATION_ID, KNOWN};
use super::options::{OpenError, SqliteOptions};
use super::pages;

const NAME: &str = "downlink.db";
/// Databases up to this size are read through at the start; larger ones would delay it. A million commands are 190 MB, and
/// took 0.4 s where the file was in memory.
const CHECKED_BYTES: u64 = 256 * 1024 * 1024;

/// An opened data directory. Holds the lock as long as a copy lives.
#[derive(Debug, Clone)]
pub(super) struct DataDir {
    path: PathBuf,
    cache_kib: u32,
    _lock: Arc<File>,
}

impl DataDir {
    /// Makes and locks the directory, checks the database, and brings its schema up to date.
    pub(super) fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let path = options.data_dir.clone();
        make_private(&path).map_err(io_error(&path))?;
        let lock = lock(&path)?;
        let dir = Self {
            path,
            cache_kib: options.cache_kib,
            _lock: Arc::new(lock),
        };
        if !dir.database().exists() {
            dir.make_database()?;
        }
        dir.check_header()?;
        dir.check_log()?;
        dir.check_and_migrate().map_err(|error| dir.open_error(error))?;
        Ok(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn database(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// A connection that may write.
    pub(super) fn writer(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = Connection::open_with_flags(self.database(), flags)?;
        sql.pragma_update(None, "synchronous", "FULL")?;
        sql.pragma_update(None, "wal_autocheckpoint", 0)?;
        sql.pragma_update(None, "journal_size_limit", 256 * 1024 * 1024)?;
        prepare(sql, self.cache_kib)
    }

    /// A connection that reads. Its cache is smaller: a miss is a copy from the system's own.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        prepare(
            Connection::open_with_flags(self.database(), flags)?,
            self.cache_kib / 4,
        )
    }

    fn make_database(&self) -> Result<(), OpenError> {
        for suffix in ["-wal", "-journal"] {
            let beside = self.path.join(format!("{NAME}{suffix}"));
            if beside.exists() {
                return Err(self.damaged(format!("{NAME} is gone, but {NAME}{suffix} is there")));
            }
        }
        let draft = self.path.join(format!("{NAME}.new"));
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let left = self.path.join(format!("{NAME}.new{suffix}"));
            match fs::remove_file(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&left)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        write_database(&draft).map_err(|error| self.open_error(error))?;
        let put = |from: &Path, to: &Path| {
            File::open(from)?.sync_all()?;
            fs::rename(from, to)?;
            File::open(&self.path)?.sync_all()
        };
        put(&draft, &self.database()).map_err(io_error(&draft))
    }

    fn check_header(&self) -> Result<(), OpenError> {
        let path = self.database();
        let mut head = [0; 16];
        match File::open(&path).and_then(|mut file| file.read_exact(&mut head)) {
            Ok(()) if &head == b"SQLite format 3\0" => Ok(()),
            Ok(()) => Err(self.damaged(format!("{NAME} is not a database"))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(format!("{NAME} is cut off")))
            }
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Before SQLite looks at the log: it would pass over what is damaged in it, and all after that, without a word.
    fn check_log(&self) -> Result<(), OpenError> {
        let beside = |suffix: &str| {
            let path = self.path.join(format!("{NAME}{suffix}"));
            match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                read => read.map_err(io_error(&path)),
            }
        };
        match log::loss(&beside("-wal")?, &beside("-shm")?) {
            None => Ok(()),
            Some(loss) => Err(self.damaged(format!("{NAME}-wal: {loss}"))),
        }
    }

    fn check_and_migrate(&self) -> Result<(), Refused> {
        // Opened before and closed after SQLite's own: closing it would take the locks of those that are open.
        let file = File::open(self.database()).map_err(unreadable)?;
        let mut sql = self.writer()?;
        let mark: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if mark != APPLICATION_ID {
            return Err(Refused::Damaged(format!("{NAME} is not this program's")));
        }
        let found = migrate::version(&sql)?;
        if found > KNOWN {
            return Err(Refused::Newer(found));
        }
        // All of the log goes into the file, so that the file alone can be judged.
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let pages: u32 = sql.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let page_size: u32 = sql.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let size = fs::metadata(self.database()).map_or(0, |meta| meta.len());
        let whole = u64::from(pages) * u64::from(page_size);
        if size < whole {
            return Err(Refused::Damaged(format!(
                "{NAME} is cut off: {size} of {whole} bytes"
            )));
        }
        check_pages(&file, &sql, size)?;
        migrate::migrate(&mut sql).map_err(|error| match error.sqlite_error_code() {
            // A statement that does not fit what is there: the file does not have the schema that it says.
            Some(rusqlite::ErrorCode::Unknown) => {
                Refused::Damaged(format!("it does not have schema {found}: {error}"))
            }
            _ => Refused::Sql(error),
        })?;
        match migrate::lacking(&sql)? {
            None => Ok(()),
            Some(name) => Err(Refused::Damaged(format!(
                "{name} is missing from its schema, or another"
            ))),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged {
            dir: self.path.clone(),
            what: what.into(),
        }
    }

    pub(super) fn open_error(&self, refused: impl Into<Refused>) -> OpenError {
        refusal(&self.path, refused)
    }
}

/// All pages of a file that is not large; of a larger one those that much depends on.
fn check_pages(file: &File, sql: &Connection, size: u64) -> Result<(), Refused> {
    if size <= CHECKED_BYTES {
        let verdict: String = sql.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        return match verdict == "ok" {
            true => Ok(()),
            false => Err(Refused::Damaged(verdict)),
        };
    }
    let mut roots = sql.prepare("SELECT 1 UNION SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")?;
    let roots = roots.query_map([], |row| row.get(0))?;
    let roots = roots.collect::<Result<Vec<u32>, _>>()?;
    match pages::look(file, &roots).map_err(unreadable)? {
        None => Ok(()),
        Some(what) => Err(Refused::Damaged(what)),
    }
}

fn unreadable(error: io::Error) -> Refused {
    Refused::Damaged(format!("{NAME} cannot be read: {error}"))
}

/// Why what is at `path` is not used, as told.
pub(super) fn refusal(path: &Path, refused: impl Into<Refused>) -> OpenError {
    let damaged = |what| OpenError::Damaged {
        dir: path.to_owned(),
        what,
    };
    match refused.into() {
        Refused::Sql(error) if means_damage(&error) => damaged(error.to_string()),
        Refused::Sql(error) => OpenError::Sqlite(format!("{}: {error}", path.display())),
        Refused::Damaged(what) => damaged(what),
        Refused::Newer(found) => OpenError::Newer { found, known: KNOWN },
    }
}

/// Why a database is not used.
pub(super) enum Refused {
    Sql(rusqlite::Error),
    Damaged(String),
    Newer(u32),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<super::failure::Failure> for Refused {
    fn from(failure: super::failure::Failure) -> Self {
        match failure {
            super::failure::Failure::Sql(error) => Self::Sql(error),
            super::failure::Failure::Corrupt(what) => Self::Damaged(what),
        }
    }
}

fn prepare(sql: Connection, cache_kib: u32) -> rusqlite::Result<Connection> {
    sql.busy_timeout(Duration::from_secs(2))?;
    sql.pragma_update(None, "foreign_keys", false)?;
    sql.pragma_update(None, "temp_store", "MEMORY")?;
    sql.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    // Plans never depend on bound values; else some statements would be compiled again and again.
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    sql.set_prepared_statement_cache_capacity(128);
    Ok(sql)
}

fn write_database(path: &Path) -> Result<(), Refused> {
    let mut sql = Connection::open(path)?;
    sql.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    migrate::migrate(&mut sql)?;
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    sql.close().map_err(|(_, error)| Refused::Sql(error))
}

/// The database of a data directory.
pub(super) fn database_of(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Refuses what is not a file.
pub(super) fn must_be_there(file: &Path) -> Result<(), OpenError> {
    match fs::metadata(file) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(io_error(file)(io::ErrorKind::IsADirectory.into())),
        Err(error) => Err(io_error(file)(error)),
    }
}

/// A connection for who only looks at a file that nobody else has: nothing of it is changed, its log included.
pub(super) fn looking(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = Connection::open_with_flags(file, flags)?;
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    sql.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(sql)
}

/// Takes the lock of a data directory, for as long as what this gives is kept.
pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes the directory readable for its owner alone; one that is there already is made so.
#[cfg(unix)]
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(0o700)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(dir = %path.display(), "the data directory belongs to another user and is open to others");
            Ok(())
        }
        done => done,
    }
}

#[cfg(not(unix))]
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes an empty file that its owner alone can read.
pub(super) fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use downlink_core::{Policy, Timestamp};

    use super::*;

    /// Whatever the size, the pages that others hang on are looked at.
    #[test]
    fn a_damaged_root_is_found_in_a_file_of_any_size() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(dir.path(), Policy::standard(Timestamp::from_millis(0)));
        let data = DataDir::open(&options).unwrap();
        let file = File::options()
            .read(true)
            .write(true)
            .open(data.database())
            .unwrap();
        let sql = data.writer().unwrap();
        for size in [0, CHECKED_BYTES + 1] {
            assert!(check_pages(&file, &sql, size).is_ok(), "{size}");
        }
        let root: u32 = sql
            .query_row(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'command'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        file.write_all_at(&[0xa5; 4096], u64::from(root - 1) * 4096)
            .unwrap();
        for size in [0, CHECKED_BYTES + 1] {
            let fresh = data.writer().unwrap();
            let found = check_pages(&file, &fresh, size);
            assert!(
                matches!(found, Err(Refused::Damaged(_) | Refused::Sql(_))),
                "{size}"
            );
        }
    }
}
