//! What can go wrong inside, before it is told to a caller.

use rusqlite::{ErrorCode, ffi};

use super::damage::Damage;
use crate::StoreError;

/// A statement failed, or a row makes no sense. Undoes the transaction it happened in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Corrupt(String),
}

impl Failure {
    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// Whether one row makes no sense, and the file is sound as far as this tells.
    pub(super) fn is_of_a_row(&self) -> bool {
        self.damage() == Some(Damage::Row)
    }

    /// What it says of the file; none: nothing.
    pub(super) fn damage(&self) -> Option<Damage> {
        match self {
            Self::Corrupt(_) => Some(Damage::Row),
            Self::Sql(error) if means_damage(error) => match error.sqlite_error_code() {
                None => Some(Damage::Row),
                Some(_) => Some(Damage::File),
            },
            Self::Sql(error) => cannot_be_read(error).then_some(Damage::File),
        }
    }

    /// As told to the callers; made anew for each, since one failure may concern many.
    pub(super) fn to_store_error(&self) -> StoreError {
        match self {
            Self::Corrupt(what) => StoreError::Corrupt(what.clone()),
            Self::Sql(error) if means_damage(error) => StoreError::Corrupt(error.to_string()),
            Self::Sql(error) => StoreError::Unavailable(error.to_string()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.to_store_error()
    }
}

/// Whether the disk did not give back a page.
fn cannot_be_read(error: &rusqlite::Error) -> bool {
    let read = [
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_CORRUPTFS,
    ];
    error
        .sqlite_error()
        .is_some_and(|error| read.contains(&error.extended_code))
}

/// Whether the file or a row in it is not what was written there.
pub(super) fn means_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    ) || matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
