//! The devices of batch tasks: gathered in steps, each of which keeps how far it came with what it found.
//!
//! A step looks at a bounded number of ids or keys, so that it is short however few of them match.

use std::collections::BTreeSet;

use downlink_core::{AppKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::Batch;
use super::device_groups::{Naming, key_of, members_after};
use super::failure::Failure;
use crate::{BatchTargets, BatchTaskKey, GroupNaming};

/// Codes of `kind`. Never change one.
const LIST: u8 = 0;
const TYPE: u8 = 1;
const AREA: u8 = 2;
const ALL: u8 = 3;
const GROUPS: u8 = 4;
const GROUPS_BY_ID: u8 = 5;

/// As it is stored: a kind, and texts, one a line; the name of a group that is not there, if one is not. Of a group its key
/// stands before what it was named by, so that it stays the same group.
pub(super) fn encode(
    sql: &Connection,
    app: AppKey,
    targets: &BatchTargets,
) -> Result<Result<(u8, String), String>, Failure> {
    Ok(Ok(match targets {
        BatchTargets::List(ids) => (LIST, ids.join("\n")),
        BatchTargets::Type {
            device_type,
            manufacturer_id,
            model,
        } => (
            TYPE,
            [device_type, manufacturer_id, model]
                .map(String::as_str)
                .join("\n"),
        ),
        BatchTargets::Area(location) => (AREA, location.clone()),
        BatchTargets::Groups { naming, groups } => {
            let mut lines = Vec::with_capacity(groups.len());
            for group in groups {
                match group_key(sql, app, *naming, group)? {
                    Some(key) => lines.push(format!("{key} {group}")),
                    None => return Ok(Err(group.clone())),
                }
            }
            let kind = match naming {
                GroupNaming::IdOrName => GROUPS,
                GroupNaming::Id => GROUPS_BY_ID,
            };
            (kind, lines.join("\n"))
        }
        BatchTargets::All => (ALL, String::new()),
    }))
}

fn group_key(sql: &Connection, app: AppKey, naming: GroupNaming, text: &str) -> Result<Option<i64>, Failure> {
    match (key_of(sql, app, text, Naming::Id)?, naming) {
        (None, GroupNaming::IdOrName) => key_of(sql, app, text, Naming::Name),
        (found, GroupNaming::Id | GroupNaming::IdOrName) => Ok(found),
    }
}

/// What it was; a list is left empty.
pub(super) fn decode(kind: u8, texts: &str) -> Result<BatchTargets, Failure> {
    match kind {
        LIST => Ok(BatchTargets::List(Vec::new())),
        TYPE => {
            let mut names = texts.split('\n').map(str::to_owned);
            let mut name = || names.next().unwrap_or_default();
            Ok(BatchTargets::Type {
                device_type: name(),
                manufacturer_id: name(),
                model: name(),
            })
        }
        AREA => Ok(BatchTargets::Area(texts.to_owned())),
        ALL => Ok(BatchTargets::All),
        GROUPS | GROUPS_BY_ID => Ok(BatchTargets::Groups {
            naming: match kind {
                GROUPS => GroupNaming::IdOrName,
                _ => GroupNaming::Id,
            },
            groups: group_lines(texts).map(|(_, name)| name.to_owned()).collect(),
        }),
        _ => Err(Failure::corrupt(format!("a batch task of kind {kind}"))),
    }
}

/// The keys of groups, as texts, and what each was named by.
fn group_lines(texts: &str) -> impl Iterator<Item = (&str, &str)> {
    texts.split('\n').filter_map(|line| line.split_once(' '))
}

/// A task whose devices are not all gathered.
struct Gathering {
    app: i64,
    kind: u8,
    targets: String,
    place: i64,
    upto: i64,
    total: i64,
}

impl Batch {
    /// See the port.
    pub(super) fn gather_batch(
        &mut self,
        task: BatchTaskKey,
        limit: u32,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let Some(at) = self.gathering(task)? else {
            return Ok(true);
        };
        let (ids, place) = match at.kind {
            LIST => listed(&at, limit),
            GROUPS | GROUPS_BY_ID => self.grouped(&at, limit)?,
            _ => self.matching(&at, limit)?,
        };
        let mut insert = self
            .sql
            .prepare_cached("INSERT INTO batch_subtask (task, n, device, state) VALUES (?1, ?2, ?3, 0)")?;
        for (id, n) in ids.iter().zip(at.total..) {
            insert.execute(params![task.0, n, id])?;
        }
        drop(insert);
        self.sql
            .prepare_cached("UPDATE batch_task SET place = ?2, total = total + ?3 WHERE key = ?1")?
            .execute(params![task.0, place, ids.len() as i64])?;
        self.end_batch_if_over(task, now)?;
        Ok(place >= at.upto)
    }

    fn gathering(&self, task: BatchTaskKey) -> Result<Option<Gathering>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT app, kind, targets, place, upto, total FROM batch_task \
             WHERE key = ?1 AND ended_at IS NULL AND place < upto",
        )?;
        let found = statement.query_row([task.0], |row| {
            Ok(Gathering {
                app: row.get(0)?,
                kind: row.get(1)?,
                targets: row.get(2)?,
                place: row.get(3)?,
                upto: row.get(4)?,
                total: row.get(5)?,
            })
        });
        Ok(found.optional()?)
    }

    /// The ids of the next `limit` devices in the groups, each once, and the key reached.
    fn grouped(&self, at: &Gathering, limit: u32) -> Result<(Vec<String>, i64), Failure> {
        let limit = limit.max(1);
        let mut keys = BTreeSet::new();
        for (group, _) in group_lines(&at.targets) {
            let group = group
                .parse()
                .map_err(|_| Failure::corrupt("a batch task of no group"))?;
            keys.extend(members_after(&self.sql, group, at.place, at.upto, limit)?);
            // What comes after the first `limit` is a later step's.
            while keys.len() > limit as usize {
                keys.pop_last();
            }
        }
        let place = match (keys.len() < limit as usize, keys.last()) {
            (false, Some(last)) => *last,
            (true, _) | (_, None) => at.upto,
        };
        let mut find = self
            .sql
            .prepare_cached("SELECT id FROM device WHERE key = ?1 AND app = ?2 AND removed_at IS NULL")?;
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            ids.extend(
                find.query_row(params![key, at.app], |row| row.get(0))
                    .optional()?,
            );
        }
        Ok((ids, place))
    }

    /// The ids of devices that match among the next `limit` keys, and the key reached.
    fn matching(&self, at: &Gathering, limit: u32) -> Result<(Vec<String>, i64), Failure> {
        let place = at.place.saturating_add(i64::from(limit.max(1))).min(at.upto);
        let mut statement = self.sql.prepare_cached(
            "SELECT id FROM device WHERE key > ?1 AND key <= ?2 AND app = ?3 AND removed_at IS NULL \
             AND CASE ?4 \
               WHEN 1 THEN device_type = ?5 AND json_valid(info) \
                 AND info ->> '$.manufacturerId' = ?6 AND info ->> '$.model' = ?7 \
               WHEN 2 THEN location = ?5 \
               ELSE 1 END \
             ORDER BY key",
        )?;
        let mut names = at.targets.split('\n');
        let mut name = || names.next().unwrap_or_default();
        let values = params![at.place, place, at.app, at.kind, name(), name(), name()];
        let ids = statement.query_map(values, |row| row.get(0))?;
        Ok((ids.collect::<Result<_, _>>()?, place))
    }
}

/// The next `limit` ids of a list, and the place behind them.
fn listed(at: &Gathering, limit: u32) -> (Vec<String>, i64) {
    let from = usize::try_from(at.place).unwrap_or(usize::MAX);
    let rest = at.targets.get(from..).unwrap_or_default();
    let (mut ids, mut taken) = (Vec::new(), 0);
    for id in rest.split('\n').take(limit.max(1) as usize) {
        taken += id.len() + 1;
        ids.push(id.to_owned());
    }
    let place = at.place.saturating_add(taken as i64);
    // Behind the last one there is no line's end.
    (ids, place.min(at.upto))
}
