//! All sealed secrets given to their owner to be sealed anew, in one transaction: all or none.

use std::path::Path;

use downlink_core::{Policy, Timestamp};
use rusqlite::{Connection, params};

use super::failure::Failure;
use super::open::{self, DataDir};
use super::options::{OpenError, SqliteOptions};
use super::sealed::Place;

/// Why nothing was sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret could not be sealed anew.
    #[error("what is sealed for {0:?} cannot be opened")]
    Unsealable(Place),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
    /// A key file cannot be read or written.
    #[error("the key files: {0}")]
    Keys(#[from] std::io::Error),
}

impl From<Failure> for ResealError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.to_string())
    }
}

impl From<rusqlite::Error> for ResealError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Who seals. All is called under the lock of the directory.
pub trait Resealing {
    /// Called before the first secret is sealed.
    ///
    /// # Errors
    /// It cannot: nothing is changed.
    fn begin(&mut self) -> std::io::Result<()>;

    /// The new of an old one, empty if it is given up; none: it cannot be opened, and nothing is changed.
    fn seal(&mut self, place: &Place, old: &[u8]) -> Option<Vec<u8>>;

    /// Called when it has begun, and nothing is changed after all.
    fn abandon(&mut self);

    /// Called when all is on disk.
    ///
    /// # Errors
    /// What is sealed anew stays so.
    fn end(&mut self) -> std::io::Result<()>;
}

/// Has all secrets sealed anew. Gives how many there were.
///
/// # Errors
/// A server has the directory, a secret cannot be sealed anew, or the store or a key file failed.
pub fn reseal(dir: &Path, with: &mut dyn Resealing) -> Result<u64, ResealError> {
    open::must_be_there(&open::database_of(dir))?;
    let options = SqliteOptions::new(dir.to_owned(), Policy::standard(Timestamp::from_millis(0)));
    let opened = DataDir::open(&options)?;
    let mut sql = opened.writer()?;
    // The old ones are to be gone, not only forgotten.
    sql.pragma_update(None, "secure_delete", true)?;
    with.begin()?;
    let transaction = sql.transaction()?;
    let mut sealed = 0;
    for (key, place, old) in secrets(&transaction)? {
        let Some(new) = with.seal(&place, &old) else {
            transaction.rollback()?;
            with.abandon();
            return Err(ResealError::Unsealable(place));
        };
        write(&transaction, &place, key, &new)?;
        sealed += 1;
    }
    transaction.commit()?;
    with.end()?;
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(sealed)
}

/// A row's key, the place of its secret, the secret.
type Secret = (i64, Place, Vec<u8>);

fn secrets(sql: &Connection) -> Result<Vec<Secret>, Failure> {
    let mut found = Vec::new();
    let mut devices = sql.prepare("SELECT key, id, secret FROM device")?;
    let rows = devices.query_map([], |row| {
        Ok((row.get(0)?, Place::Device { id: row.get(1)? }, row.get(2)?))
    })?;
    found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    let mut keys = sql.prepare("SELECT key, app, id, sealed FROM signing_key")?;
    let rows = keys.query_map([], |row| {
        let (app, id) = (row.get(1)?, row.get(2)?);
        Ok((row.get(0)?, Place::SigningKey { app, id }, row.get(3)?))
    })?;
    found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    let mut tls = sql.prepare("SELECT app, sealed_key FROM push_tls WHERE sealed_key IS NOT NULL")?;
    let rows = tls.query_map([], |row| {
        Ok((row.get(0)?, Place::PushTls { app: row.get(0)? }, row.get(1)?))
    })?;
    found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    Ok(found)
}

fn write(sql: &Connection, place: &Place, key: i64, new: &[u8]) -> Result<(), Failure> {
    let query = match place {
        Place::Device { .. } => "UPDATE device SET secret = ?2 WHERE key = ?1",
        Place::SigningKey { .. } => "UPDATE signing_key SET sealed = ?2 WHERE key = ?1",
        Place::PushTls { .. } => "UPDATE push_tls SET sealed_key = ?2 WHERE app = ?1",
    };
    sql.prepare_cached(query)?.execute(params![key, new])?;
    Ok(())
}
