//! Lists of commands, newest first: one range of one table, the application's or the device's.

use downlink_core::{AppKey, CommandId, DeviceKey, Span};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::failure::Failure;
use super::records::load;
use super::stretches;
use crate::{CommandFilter, Page, Record};

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) skip: u64,
    pub(super) limit: u32,
}

/// The commands of an application that match. Times are those in the ids. `newest` is what the tail has of the device that
/// is asked for, in order.
pub(super) fn list(
    sql: &Connection,
    app: AppKey,
    filter: &CommandFilter,
    newest: &[CommandId],
    part: Part,
) -> Result<Page<Record>, Failure> {
    let range = Range::of(filter);
    let (total, ids) = match filter.device {
        None => of_app(sql, app, &range, part)?,
        Some(device) if owns(sql, app, device)? => of_device(sql, device, &range, newest, part)?,
        Some(_) => (0, Vec::new()),
    };
    let items = ids.into_iter().map(|id| load(sql, id));
    let items = items.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// From one id on and up to another.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Option<CommandId>,
    below: Option<CommandId>,
}

impl Range {
    fn of(filter: &CommandFilter) -> Self {
        let after_to = filter.to.map(|to| CommandId::first_at(to + Span::from_millis(1)));
        Self {
            from: filter.from.map(CommandId::first_at),
            below: after_to.into_iter().chain(filter.before).min(),
        }
    }

    fn is_all(&self) -> bool {
        self.from.is_none() && self.below.is_none()
    }

    fn holds(&self, id: CommandId) -> bool {
        self.from.is_none_or(|from| id >= from) && self.below.is_none_or(|below| id < below)
    }
}

/// A range of the table that `begins` with a condition on one key.
struct Rows<'a> {
    sql: &'a Connection,
    condition: String,
    values: Vec<Value>,
}

impl<'a> Rows<'a> {
    fn new(sql: &'a Connection, table: &str, key: &str, value: i64, range: &Range) -> Self {
        let (mut condition, mut values) = (format!("{table} WHERE {key} = ?"), vec![Value::Integer(value)]);
        let bounds = [(" AND id >= ?", range.from), (" AND id < ?", range.below)];
        for (text, id) in bounds {
            if let Some(id) = id {
                condition.push_str(text);
                values.push(Value::Blob(id.to_bytes().to_vec()));
            }
        }
        Self {
            sql,
            condition,
            values,
        }
    }

    fn count(&self) -> Result<u64, Failure> {
        let mut statement = self
            .sql
            .prepare_cached(&format!("SELECT count(*) FROM {}", self.condition))?;
        let count: i64 = statement.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    fn page(&self, part: Part) -> Result<Vec<CommandId>, Failure> {
        let page = format!(
            "SELECT id FROM {} ORDER BY id DESC LIMIT ? OFFSET ?",
            self.condition
        );
        let mut values = self.values.clone();
        values.push(Value::Integer(part.limit.into()));
        values.push(Value::Integer(i64::try_from(part.skip).unwrap_or(i64::MAX)));
        let mut statement = self.sql.prepare_cached(&page)?;
        let ids = statement.query_map(params_from_iter(&values), |row| row.get(0))?;
        ids.map(|id| Ok(CommandId::from_bytes(id?))).collect()
    }
}

fn of_app(
    sql: &Connection,
    app: AppKey,
    range: &Range,
    part: Part,
) -> Result<(u64, Vec<CommandId>), Failure> {
    let total = match range.is_all() {
        true => tally(sql, app)?,
        false => count_of_app(sql, app, range)?,
    };
    let (range, part) = past_stretches(sql, app, *range, part)?;
    let rows = Rows::new(sql, "command", "app", app.0, &range);
    Ok((total, rows.page(part)?))
}

/// The same page of a shorter range: without the stretches that are skipped as a whole, so that a deep page costs no more
/// than one within its stretch.
fn past_stretches(sql: &Connection, app: AppKey, range: Range, part: Part) -> Result<(Range, Part), Failure> {
    let mut skip = part.skip;
    if skip == 0 {
        return Ok((range, part));
    }
    if let Some(below) = range.below {
        let last = Range {
            from: range.from.max(Some(stretches::begin(stretches::of(below)))),
            ..range
        };
        let count = Rows::new(sql, "command", "app", app.0, &last).count()?;
        if skip < count {
            return Ok((range, part));
        }
        skip -= count;
    }
    let (first, last) = (range.from.map(stretches::of), range.below.map(stretches::of));
    let (below, skip) = match stretches::past(sql, app, first, last, skip)? {
        Some((stretch, left)) => (stretches::end(stretch), left),
        // All is skipped.
        None => (Some(stretches::begin([0; 4])), 0),
    };
    Ok((Range { below, ..range }, Part { skip, ..part }))
}

/// How many commands an application has in a range: by stretches, and one by one where it begins and ends.
fn count_of_app(sql: &Connection, app: AppKey, range: &Range) -> Result<u64, Failure> {
    let count = |from, below| Rows::new(sql, "command", "app", app.0, &Range { from, below }).count();
    let (first, last) = (range.from.map(stretches::of), range.below.map(stretches::of));
    if let (Some(first), Some(last)) = (first, last)
        && first >= last
    {
        return count(range.from, range.below);
    }
    let mut total = stretches::between(sql, app, first, last)?;
    if let Some(first) = first {
        total += count(range.from, stretches::end(first))?;
    }
    if let Some(last) = last {
        total += count(Some(stretches::begin(last)), range.below)?;
    }
    Ok(total)
}

/// First what is newer than all that the table alone has, then the table.
fn of_device(
    sql: &Connection,
    device: DeviceKey,
    range: &Range,
    newest: &[CommandId],
    part: Part,
) -> Result<(u64, Vec<CommandId>), Failure> {
    let rows = |range: &Range| Rows::new(sql, "of_device", "device", device.0, range);
    let mut head: Vec<_> = newest.iter().copied().filter(|id| range.holds(*id)).collect();
    let mut rest = *range;
    if let Some(oldest) = head.first().copied() {
        let newer = Range {
            from: Some(oldest),
            ..*range
        };
        let all = Part {
            skip: 0,
            limit: u32::MAX,
        };
        head.extend(rows(&newer).page(all)?);
        rest.below = Some(oldest);
    }
    head.sort_unstable_by(|a, b| b.cmp(a));
    // One that was moved between the two looks is seen twice.
    head.dedup();
    let count = rows(&rest).count()? + head.len() as u64;
    let skip = usize::try_from(part.skip).unwrap_or(usize::MAX);
    let mut ids: Vec<_> = head
        .iter()
        .skip(skip)
        .take(part.limit as usize)
        .copied()
        .collect();
    let left = Part {
        skip: part.skip.saturating_sub(head.len() as u64),
        limit: part.limit - ids.len() as u32,
    };
    ids.extend(rows(&rest).page(left)?);
    Ok((count, ids))
}

fn owns(sql: &Connection, app: AppKey, device: DeviceKey) -> Result<bool, Failure> {
    let mut statement = sql.prepare_cached("SELECT 1 FROM device WHERE key = ?1 AND app = ?2")?;
    Ok(statement.exists([device.0, app.0])?)
}

fn tally(sql: &Connection, app: AppKey) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT commands FROM tally WHERE app = ?1")?;
    let commands: Option<i64> = statement.query_row([app.0], |row| row.get(0)).optional()?;
    Ok(commands.unwrap_or(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{merge, migrate};

    fn id(n: u32) -> CommandId {
        CommandId::from_parts(1, 0, n, 0)
    }

    #[test]
    fn what_was_moved_between_the_two_looks_is_listed_once() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut sql).unwrap();
        for n in [1, 2, 3, 5] {
            merge::list(&sql, DeviceKey(1), id(n)).unwrap();
        }
        let range = Range {
            from: None,
            below: None,
        };
        let newest = [id(3), id(4), id(5), id(6)];
        let all = [6, 5, 4, 3, 2, 1].map(id);
        for skip in 0..8 {
            for limit in 0..8 {
                let part = Part {
                    skip: skip as u64,
                    limit,
                };
                let expected: Vec<_> = all.into_iter().skip(skip).take(limit as usize).collect();
                let found = of_device(&sql, DeviceKey(1), &range, &newest, part).unwrap();
                assert_eq!(found, (6, expected), "skip {skip}, limit {limit}");
            }
        }
    }
}
