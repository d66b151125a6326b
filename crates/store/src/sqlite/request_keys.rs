//! Keys of requests: the rows, what the writer makes of them at a create, and the port's verbs.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::records;
use super::writer::Weight;
use crate::{CreateRefused, Created, Repeat, RequestKey, RequestKeys, StoreError};

/// A row.
struct Kept {
    asked: [u8; 32],
    command: CommandId,
    status: Status,
    until: Timestamp,
}

fn kept(sql: &Connection, app: AppKey, key: &str) -> Result<Option<Kept>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT asked, command, status, until FROM request_key WHERE app = ?1 AND key = ?2",
    )?;
    let row = statement.query_row(params![app.0, key], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let Some((asked, command, status, until)) = row.optional()? else {
        return Ok(None);
    };
    Ok(Some(Kept {
        asked,
        command: CommandId::from_bytes(command),
        status: Status::from_code(status).ok_or_else(|| Failure::corrupt("a status that is none"))?,
        until: Timestamp::from_millis(until),
    }))
}

impl Batch {
    /// The answer to a create call whose key was used before; refused if the application may have no more keys.
    pub(super) fn answered_before(
        &mut self,
        app: AppKey,
        key: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<Result<Created, CreateRefused>>, Failure> {
        if let Some(kept) = kept(&self.sql, app, &key.text)? {
            if kept.until > now {
                return self.answer_again(key, &kept).map(Some);
            }
            self.forget_key(app, &key.text)?;
        }
        let room = self.tallies.request_keys(&self.sql, app)?.cast_unsigned() < key.limit;
        Ok((!room).then_some(Err(CreateRefused::TooManyKeys)))
    }

    fn answer_again(
        &mut self,
        key: &RequestKey,
        kept: &Kept,
    ) -> Result<Result<Created, CreateRefused>, Failure> {
        if kept.asked != key.asked {
            return Ok(Err(CreateRefused::KeyTaken));
        }
        let created = self.created_before(kept.command)?;
        Ok(created
            .map(|created| Created {
                repeats: Some(kept.status),
                ..created
            })
            .ok_or(CreateRefused::AnswerGone))
    }

    /// Keeps the key of a command that this batch creates.
    pub(super) fn keep_key(
        &mut self,
        app: AppKey,
        key: &RequestKey,
        command: CommandId,
        status: Status,
    ) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "INSERT INTO request_key (app, key, asked, command, status, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                app.0,
                key.text,
                key.asked,
                command.to_bytes(),
                status.code(),
                key.until.as_millis(),
            ])?;
        self.tallies.add_request_keys(app, 1);
        Ok(())
    }

    fn forget_key(&mut self, app: AppKey, key: &str) -> Result<(), Failure> {
        let mut delete = self
            .sql
            .prepare_cached("DELETE FROM request_key WHERE app = ?1 AND key = ?2")?;
        let gone = delete.execute(params![app.0, key])?;
        self.tallies.add_request_keys(app, -(gone as i64));
        Ok(())
    }

    fn prune_request_keys(&mut self, now: Timestamp, limit: u32) -> Result<u64, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT app, key FROM request_key WHERE until <= ?1 ORDER BY until LIMIT ?2")?;
        let rows = statement.query_map(params![now.as_millis(), limit], |row| {
            Ok((AppKey(row.get(0)?), row.get(1)?))
        })?;
        let ended = rows.collect::<Result<Vec<(AppKey, String)>, _>>()?;
        drop(statement);
        for (app, key) in &ended {
            self.forget_key(*app, key)?;
        }
        Ok(ended.len() as u64)
    }
}

#[async_trait]
impl RequestKeys for SqliteStore {
    async fn repeat(
        &self,
        app: AppKey,
        key: Arc<str>,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Result<Repeat, CreateRefused>>, StoreError> {
        self.read(move |sql| repeat(sql, app, &key, asked, now)).await
    }

    async fn prune_request_keys(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let lazy = Weight {
            changes: 1,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, lazy, move |batch| {
            batch.prune_request_keys(now, limit)
        })
        .await
    }
}

fn repeat(
    sql: &Connection,
    app: AppKey,
    key: &str,
    asked: [u8; 32],
    now: Timestamp,
) -> Result<Option<Result<Repeat, CreateRefused>>, Failure> {
    let Some(kept) = kept(sql, app, key)?.filter(|kept| kept.until > now) else {
        return Ok(None);
    };
    if kept.asked != asked {
        return Ok(Some(Err(CreateRefused::KeyTaken)));
    }
    let repeat = records::load(sql, kept.command)?.map(|record| Repeat {
        record,
        status: kept.status,
    });
    Ok(Some(repeat.ok_or(CreateRefused::AnswerGone)))
}
