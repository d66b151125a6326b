//! How many commands an application has of each stretch of time, so that those of a window are counted without a look at each.
//!
//! A stretch is all ids that share their first four bytes: 65.5 seconds. The writer counts; only the stretches in which a
//! window begins and ends are looked into.

use downlink_core::{AppKey, CommandId};
use rusqlite::{Connection, params};

use super::failure::Failure;

/// The bytes that the ids of a stretch share.
pub(super) type Stretch = [u8; 4];

/// The stretch of an id.
pub(super) fn of(id: CommandId) -> Stretch {
    let [a, b, c, d, ..] = id.to_bytes();
    [a, b, c, d]
}

/// Sorts before all ids of a stretch, or is the first of them.
pub(super) fn begin(stretch: Stretch) -> CommandId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&stretch);
    CommandId::from_bytes(bytes)
}

/// Where the next stretch begins, if there is one.
pub(super) fn end(stretch: Stretch) -> Option<CommandId> {
    let next = u32::from_be_bytes(stretch).checked_add(1)?;
    Some(begin(next.to_be_bytes()))
}

/// How many commands are in the stretches after one and before another.
pub(super) fn between(
    sql: &Connection,
    app: AppKey,
    after: Option<Stretch>,
    before: Option<Stretch>,
) -> Result<u64, Failure> {
    // No text bounds a blob: it sorts before all of them.
    let mut statement = sql.prepare_cached(
        "SELECT coalesce(sum(commands), 0) FROM command_count WHERE app = ?1 \
         AND stretch > coalesce(?2, '') AND (?3 IS NULL OR stretch < ?3)",
    )?;
    let sum: i64 = statement.query_row(params![app.0, after, before], |row| row.get(0))?;
    Ok(sum.cast_unsigned())
}

/// Goes back over so many commands, from before a stretch and no further than another. Gives the stretch in which that ends,
/// and how many are still to be left out there; none: there are not so many.
pub(super) fn past(
    sql: &Connection,
    app: AppKey,
    first: Option<Stretch>,
    before: Option<Stretch>,
    mut skip: u64,
) -> Result<Option<(Stretch, u64)>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT stretch, commands FROM command_count WHERE app = ?1 \
         AND stretch >= coalesce(?2, '') AND (?3 IS NULL OR stretch < ?3) ORDER BY stretch DESC",
    )?;
    let mut rows = statement.query(params![app.0, first, before])?;
    while let Some(row) = rows.next()? {
        let commands = row.get::<_, i64>(1)?.cast_unsigned();
        if skip < commands {
            return Ok(Some((row.get(0)?, skip)));
        }
        skip -= commands;
    }
    Ok(None)
}

/// So many more in a stretch.
pub(super) fn add(sql: &Connection, app: AppKey, stretch: Stretch, more: i64) -> Result<(), Failure> {
    sql.prepare_cached(
        "INSERT INTO command_count (app, stretch, commands) VALUES (?1, ?2, ?3) \
         ON CONFLICT (app, stretch) DO UPDATE SET commands = commands + ?3",
    )?
    .execute(params![app.0, stretch, more])?;
    if more < 0 {
        sql.prepare_cached("DELETE FROM command_count WHERE app = ?1 AND stretch = ?2 AND commands <= 0")?
            .execute(params![app.0, stretch])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other_without_a_gap() {
        let id = CommandId::from_parts(0x0199_1234_5678, 0xabc, 5, 7);
        let stretch = of(id);
        assert!(begin(stretch) <= id && Some(id) < end(stretch));
        assert_eq!(end(stretch).map(of), Some([0x01, 0x99, 0x12, 0x35]));
        assert_eq!(end([0xff; 4]), None);
    }
}
