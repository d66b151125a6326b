//! The schema's history: numbered steps, forward only. `user_version` holds the number of the last one applied.

use std::sync::OnceLock;

use rusqlite::Connection;

/// Marks the file as this program's: "DLNK".
pub(super) const APPLICATION_ID: i32 = 0x444c_4e4b;

/// Never change one that was released; add another.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
    include_str!("migrations/0011.sql"),
    include_str!("migrations/0012.sql"),
    include_str!("migrations/0013.sql"),
    include_str!("migrations/0014.sql"),
    include_str!("migrations/0015.sql"),
];

/// The schema that this program works on.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// The schema that the file has.
pub(super) fn version(sql: &Connection) -> rusqlite::Result<u32> {
    sql.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the file from its schema to the known one, step by step, each a transaction.
pub(super) fn migrate(sql: &mut Connection) -> rusqlite::Result<()> {
    let have = version(sql)?;
    for (step, number) in MIGRATIONS.iter().zip(1u32..).skip(have as usize) {
        let transaction = sql.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A table's or index's name, and its text.
pub(super) type Declared = (String, String);

/// What a file declares, by name; not what SQLite keeps for itself.
pub(super) fn declared(sql: &Connection) -> rusqlite::Result<Vec<Declared>> {
    let mut statement = sql.prepare(
        "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// What a file of the known schema declares. Made once.
pub(super) fn known() -> rusqlite::Result<&'static [Declared]> {
    static MADE: OnceLock<Vec<Declared>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let mut new = Connection::open_in_memory()?;
    migrate(&mut new)?;
    let made = declared(&new)?;
    Ok(MADE.get_or_init(|| made))
}

/// The first table or index that a file of the known schema should have and has not, or has in another form.
pub(super) fn lacking(sql: &Connection) -> rusqlite::Result<Option<&'static str>> {
    let has = declared(sql)?;
    let lacking = known()?.iter().find(|one| !has.contains(one));
    Ok(lacking.map(|(name, _)| name.as_str()))
}
