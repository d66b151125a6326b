//! Why a store call failed, by what the caller can do.

/// A failed call has changed nothing, except as `Unavailable` says.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's queue is full: try again later, or tell the client so.
    #[error("the store's queue is full")]
    Busy,
    /// Free disk space is below the configured reserve: creates are refused, transitions go on.
    #[error("free disk space is below the reserve")]
    DiskLow,
    /// The store is closing or broken (disk full, I/O error). Whether the change was kept is not known: read again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A row that cannot be: the data directory is damaged, or written by something else.
    #[error("the store holds a row that cannot be: {0}")]
    Corrupt(String),
}
