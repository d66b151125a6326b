//! Where sealed secrets are kept, and a few of them to try a master key on.

use std::path::Path;

use rusqlite::Connection;

use super::failure::Failure;
use super::open;
use super::options::OpenError;

/// Of each kind so many of the oldest and of the newest are tried: one that is damaged must not make the key look wrong.
const TRIED: u32 = 4;

/// Where a sealed secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A device's own; removed devices keep theirs.
    Device {
        /// Its public id.
        id: String,
    },
    /// A key that pushes are signed with.
    SigningKey {
        /// The store's key of the application.
        app: i64,
        /// The key's id.
        id: String,
    },
    /// The key of the certificate that pushes are made with.
    PushTls {
        /// The store's key of the application.
        app: i64,
    },
}

impl Place {
    /// What is kept there, in words.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Device { .. } => "secrets of devices",
            Self::SigningKey { .. } => "signing keys",
            Self::PushTls { .. } => "keys of client certificates",
        }
    }
}

/// A few of the secrets that are sealed in a data directory, of each kind that there is; none: nothing is sealed. Those that
/// were given up are passed over. A server may run on it.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn samples(dir: &Path) -> Result<Vec<(Place, Vec<u8>)>, OpenError> {
    let file = open::database_of(dir);
    open::must_be_there(&file)?;
    let refused = |error: rusqlite::Error| open::refusal(&file, error);
    let sql = open::looking(&file).map_err(refused)?;
    read(&sql).map_err(|failure| open::refusal(&file, failure))
}

fn read(sql: &Connection) -> Result<Vec<(Place, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    for order in ["ASC", "DESC"] {
        for (columns, place) in KINDS {
            let query = format!("{columns} ORDER BY key {order} LIMIT {TRIED}");
            let mut statement = sql.prepare(&query)?;
            let rows = statement.query_map([], |row| Ok((place(row)?, row.get(0)?)))?;
            found.extend(rows.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(found)
}

type ReadPlace = fn(&rusqlite::Row<'_>) -> rusqlite::Result<Place>;

const KINDS: [(&str, ReadPlace); 3] = [
    (
        "SELECT secret, id, key FROM device WHERE length(secret) > 0",
        |row| Ok(Place::Device { id: row.get(1)? }),
    ),
    (
        "SELECT sealed, app, id, key FROM signing_key WHERE length(sealed) > 0",
        |row| {
            let (app, id) = (row.get(1)?, row.get(2)?);
            Ok(Place::SigningKey { app, id })
        },
    ),
    (
        "SELECT sealed_key, app, app AS key FROM push_tls WHERE length(sealed_key) > 0",
        |row| Ok(Place::PushTls { app: row.get(1)? }),
    ),
];
