//! What can go wrong inside, before it is told to a caller.

use rusqlite::ErrorCode;

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
        match self {
            Self::Corrupt(_) => true,
            Self::Sql(error) => means_damage(error) && error.sqlite_error_code().is_none(),
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
