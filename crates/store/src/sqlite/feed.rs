//! The feeds: what the writer appends in the transaction of each change, and the port's verbs on them.
//!
//! The writer knows which applications have a feed, and each one's last number. That is exact: nobody else writes, a
//! change of settings and a rollback forget it. So an application without a feed costs no statement.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Status, Timestamp};
use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{Feed, FeedItem, FeedPage, StoreError};

/// A change that a batch made, for the feed of its application.
pub(super) struct FeedRow {
    pub(super) app: AppKey,
    pub(super) command: CommandId,
    pub(super) device: DeviceKey,
    pub(super) seq: u16,
    pub(super) status: Status,
    pub(super) with_result: bool,
    pub(super) at: Timestamp,
}

/// What the writer knows of the feeds, and what the batch has for them.
#[derive(Default)]
pub(super) struct Feeds {
    /// The applications that have one; none: not known at the moment.
    on: Option<HashMap<AppKey, OfApp>>,
    rows: Vec<FeedRow>,
}

/// A feed as the writer goes on with it.
struct OfApp {
    documented_only: bool,
    last: i64,
}

impl Feeds {
    /// Notes a change, if its application may have a feed.
    pub(super) fn note(&mut self, row: FeedRow) {
        if self.on.as_ref().is_none_or(|on| on.contains_key(&row.app)) {
            self.rows.push(row);
        }
    }

    /// The settings of an application changed, or may have.
    pub(super) fn forget_settings(&mut self) {
        self.on = None;
    }

    /// The transaction was undone.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Appends what was noted.
    pub(super) fn write(&mut self, sql: &Connection) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let on = match &mut self.on {
            Some(on) => on,
            unknown @ None => unknown.insert(load(sql)?),
        };
        for row in self.rows.drain(..) {
            let Some(feed) = on.get_mut(&row.app) else {
                continue;
            };
            if feed.documented_only && !downlink_core::StatusSet::DOCUMENTED.contains(row.status) {
                continue;
            }
            feed.last += 1;
            row.insert(sql, feed.last)?;
        }
        Ok(())
    }
}

impl FeedRow {
    fn insert(&self, sql: &Connection, n: i64) -> Result<(), Failure> {
        sql.prepare_cached(
            "INSERT INTO feed (app, n, command, seq, status, device, with_result, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.app.0,
            n,
            self.command.to_bytes(),
            self.seq,
            self.status.code(),
            self.device.0,
            self.with_result,
            self.at.as_millis(),
        ])?;
        Ok(())
    }
}

/// The applications that have a feed, and each one's last number.
fn load(sql: &Connection) -> Result<HashMap<AppKey, OfApp>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT a.key, a.push_documented_only, max(coalesce((SELECT max(n) FROM feed WHERE app = a.key), 0), \
         coalesce((SELECT n FROM feed_begin WHERE app = a.key), 0)) \
         FROM app a WHERE a.feed = 1 AND a.removed_at IS NULL",
    )?;
    let rows = statement.query_map([], |row| {
        let feed = OfApp {
            documented_only: row.get(1)?,
            last: row.get(2)?,
        };
        Ok((AppKey(row.get(0)?), feed))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Batch {
    /// Begins a feed behind all that it ever had: who read it before it was switched off has missed something, and must be
    /// told so. Hence a number is left out.
    pub(super) fn begin_feed(&mut self, app: AppKey) -> Result<(), Failure> {
        let last = last(&self.sql, app)?;
        self.raise_begin(app, last.saturating_add(1))
    }

    fn raise_begin(&self, app: AppKey, n: i64) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "INSERT INTO feed_begin (app, n) VALUES (?1, ?2) \
                 ON CONFLICT (app) DO UPDATE SET n = max(n, excluded.n)",
            )?
            .execute(params![app.0, n])?;
        Ok(())
    }

    fn prune_feed(&mut self, before: Timestamp, limit: u32) -> Result<u64, Failure> {
        let (mut app, mut pruned) = (None, 0);
        while pruned < u64::from(limit) {
            app = next_app(&self.sql, app)?;
            let Some(of) = app else { break };
            let room = u64::from(limit) - pruned;
            let Some(upto) = outdated(&self.sql, of, before, room)? else {
                continue;
            };
            self.raise_begin(of, upto)?;
            let mut delete = self
                .sql
                .prepare_cached("DELETE FROM feed WHERE app = ?1 AND n <= ?2")?;
            pruned += delete.execute(params![of.0, upto])? as u64;
        }
        Ok(pruned)
    }
}

/// The first application after `app` that has rows.
fn next_app(sql: &Connection, app: Option<AppKey>) -> Result<Option<AppKey>, Failure> {
    let mut statement = sql.prepare_cached("SELECT app FROM feed WHERE app > ?1 ORDER BY app LIMIT 1")?;
    let after = app.map_or(i64::MIN, |app| app.0);
    Ok(statement
        .query_row([after], |row| row.get(0).map(AppKey))
        .optional()?)
}

/// The last of up to `room` rows at the front of a feed that are too old or out of reach; none: the first is neither.
fn outdated(sql: &Connection, app: AppKey, before: Timestamp, room: u64) -> Result<Option<i64>, Failure> {
    let begin = begin(sql, app)?;
    let mut statement = sql.prepare_cached("SELECT n, at FROM feed WHERE app = ?1 ORDER BY n")?;
    let mut rows = statement.query([app.0])?;
    let (mut upto, mut seen) = (None, 0);
    while seen < room
        && let Some(row) = rows.next()?
    {
        let (n, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        if n > begin && at >= before.as_millis() {
            break;
        }
        (upto, seen) = (Some(n), seen + 1);
    }
    Ok(upto)
}

fn begin(sql: &Connection, app: AppKey) -> Result<i64, Failure> {
    let mut statement = sql.prepare_cached("SELECT n FROM feed_begin WHERE app = ?1")?;
    let begin = statement.query_row([app.0], |row| row.get(0)).optional()?;
    Ok(begin.unwrap_or(0))
}

fn last(sql: &Connection, app: AppKey) -> Result<i64, Failure> {
    let mut statement = sql.prepare_cached("SELECT max(n) FROM feed WHERE app = ?1")?;
    let last: Option<i64> = statement.query_row([app.0], |row| row.get(0))?;
    Ok(last.unwrap_or(0).max(begin(sql, app)?))
}

fn is_on(sql: &Connection, app: AppKey) -> Result<bool, Failure> {
    let mut statement =
        sql.prepare_cached("SELECT 1 FROM app WHERE key = ?1 AND feed = 1 AND removed_at IS NULL")?;
    Ok(statement.exists([app.0])?)
}

#[async_trait]
impl Feed for SqliteStore {
    async fn read_feed(
        &self,
        app: AppKey,
        after: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> Result<FeedPage, StoreError> {
        self.read(move |sql| read(sql, app, after, limit, max_bytes))
            .await
    }

    async fn feed_head(&self, app: AppKey) -> Result<Option<u64>, StoreError> {
        self.read(move |sql| match is_on(sql, app)? {
            true => Ok(Some(last(sql, app)?.cast_unsigned())),
            false => Ok(None),
        })
        .await
    }

    async fn prune_feed(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let lazy = Weight {
            changes: 1,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, lazy, move |batch| batch.prune_feed(before, limit))
            .await
    }
}

fn read(
    sql: &Connection,
    app: AppKey,
    after: Option<u64>,
    limit: u32,
    max_bytes: usize,
) -> Result<FeedPage, Failure> {
    if !is_on(sql, app)? {
        return Ok(FeedPage::Off);
    }
    let begin = begin(sql, app)?;
    let after = after.map_or(begin, |n| i64::try_from(n).unwrap_or(i64::MAX));
    // A number that was never given comes from a store that was put back to an earlier day.
    if after < begin || after > last(sql, app)? {
        return Ok(FeedPage::Expired);
    }
    let mut statement = sql.prepare_cached(
        "SELECT f.n, f.command, d.id, f.seq, f.status, f.at, CASE WHEN f.with_result THEN \
         (SELECT c.result FROM command c WHERE c.id = f.command) END \
         FROM feed f JOIN device d ON d.key = f.device WHERE f.app = ?1 AND f.n > ?2 ORDER BY f.n",
    )?;
    let mut rows = statement.query(params![app.0, after])?;
    let (mut items, mut bytes, mut upto, mut more) = (Vec::new(), 0, after, false);
    while let Some(row) = rows.next()? {
        if items.len() >= limit as usize || bytes > max_bytes {
            more = true;
            break;
        }
        let item = item(row)?;
        bytes += item.result.as_ref().map_or(0, |result| result.len());
        upto = item.n.cast_signed();
        items.push(item);
    }
    Ok(FeedPage::Read {
        items,
        upto: upto.cast_unsigned(),
        more,
    })
}

fn item(row: &Row<'_>) -> Result<FeedItem, Failure> {
    let device_id: Arc<str> = row.get(2)?;
    let status = Status::from_code(row.get(4)?).ok_or_else(|| Failure::corrupt("a status that is none"))?;
    Ok(FeedItem {
        n: row.get::<_, i64>(0)?.cast_unsigned(),
        command: CommandId::from_bytes(row.get(1)?),
        device_id: DeviceId::new(device_id),
        seq: row.get(3)?,
        status,
        at: Timestamp::from_millis(row.get(5)?),
        result: row.get(6)?,
    })
}
