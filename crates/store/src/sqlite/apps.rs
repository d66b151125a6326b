//! Applications and their tokens: the rows, and the port's verbs on them.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppId, AppKey, DeviceKey, Span, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::products::{mode_columns, mode_of};
use crate::{
    App, AppSettings, AppSettingsChange, Apps, NewApp, NewToken, PushFilter, Pushes, StoreError, Token,
    TokenKind,
};

/// Stored pushes that a removal drops in one transaction, and how many such transactions it makes at the most.
const DROPPED_AT_ONCE: u32 = 500;
const DROP_STEPS: u32 = 100_000;

macro_rules! app_columns {
    () => {
        "a.key, a.id, a.name, a.secret_hash, a.push_documented_only, a.push_sent_immediate, a.feed, a.created_at, \
         a.push_max_age_ms, a.work_mode, a.cycle_secs"
    };
}
pub(super) use app_columns;

#[async_trait]
impl Apps for SqliteStore {
    async fn create_app(&self, app: NewApp) -> Result<Option<App>, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.create_app(&app))
            .await
    }

    async fn app(&self, id: &AppId) -> Result<Option<App>, StoreError> {
        let id = id.clone();
        self.read(move |sql| {
            let query = concat!(
                "SELECT ",
                app_columns!(),
                " FROM app a WHERE a.id = ?1 AND removed_at IS NULL"
            );
            Ok(sql
                .prepare_cached(query)?
                .query_row([id.as_str()], read)
                .optional()?)
        })
        .await
    }

    async fn app_by_key(&self, app: AppKey) -> Result<Option<App>, StoreError> {
        self.read(move |sql| by_key(sql, app)).await
    }

    async fn apps(&self, skip: u64, limit: u32) -> Result<Vec<App>, StoreError> {
        self.read(move |sql| list(sql, skip, limit)).await
    }

    async fn set_app_settings(
        &self,
        app: AppKey,
        change: AppSettingsChange,
    ) -> Result<Option<App>, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.set_app_settings(app, change))
            .await
    }

    async fn set_app_secret(&self, app: AppKey, secret_hash: String) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.set_app_secret(app, &secret_hash)
        })
        .await
    }

    async fn remove_app(&self, app: AppKey, now: Timestamp) -> Result<bool, StoreError> {
        self.drop_many_pushes(app, now).await?;
        self.write(WhenFull::Wait, move |batch| batch.remove_app(app, now))
            .await
    }

    async fn remove_left_devices(&self, now: Timestamp, limit: u32) -> Result<Vec<DeviceKey>, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.remove_left_devices(now, limit))
            .await
    }

    async fn add_token(&self, token: NewToken, limit: u32) -> Result<(), StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.add_token(&token, limit))
            .await
    }

    async fn token(
        &self,
        hash: [u8; 32],
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError> {
        self.read(move |sql| token(sql, hash, kind, now)).await
    }

    async fn revoke_token(&self, hash: [u8; 32], kind: TokenKind) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            let query = match kind {
                TokenKind::Access => "DELETE FROM token WHERE access = ?1",
                TokenKind::Refresh => "DELETE FROM token WHERE refresh = ?1",
            };
            Ok(batch.sql.prepare_cached(query)?.execute([hash])? > 0)
        })
        .await
    }

    async fn prune_tokens(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            let mut statement = batch
                .sql
                .prepare_cached("DELETE FROM token WHERE refresh_until <= ?1")?;
            Ok(statement.execute([now.as_millis()])? as u64)
        })
        .await
    }
}

impl SqliteStore {
    /// Drops the stored pushes of an application that is there, in steps: others have the store between them. What comes
    /// meanwhile goes with the application.
    async fn drop_many_pushes(&self, app: AppKey, now: Timestamp) -> Result<(), StoreError> {
        // Those that were made after its removal are still to be told.
        if self.app_by_key(app).await?.is_none() {
            return Ok(());
        }
        let all = PushFilter {
            app: Some(app),
            ..PushFilter::default()
        };
        for _ in 0..DROP_STEPS {
            let dropped = self.drop_pushes(all.clone(), now, DROPPED_AT_ONCE).await?;
            if dropped < u64::from(DROPPED_AT_ONCE) {
                break;
            }
        }
        Ok(())
    }
}

impl Batch {
    fn create_app(&mut self, new: &NewApp) -> Result<Option<App>, Failure> {
        let (work_mode, cycle_secs) = mode_columns(new.settings.work_mode);
        let key = self
            .sql
            .prepare_cached(
                "INSERT INTO app (id, name, secret_hash, push_documented_only, push_sent_immediate, created_at, feed, \
                 push_max_age_ms, work_mode, cycle_secs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                 ON CONFLICT (id) DO NOTHING RETURNING key",
            )?
            .query_row(
                params![
                    new.id.as_str(),
                    new.name,
                    new.secret_hash,
                    new.settings.push_documented_only,
                    new.settings.push_sent_immediate,
                    new.created_at.as_millis(),
                    new.settings.feed,
                    new.settings.push_max_age.map(Span::as_millis),
                    work_mode,
                    cycle_secs,
                ],
                |row| row.get(0).map(AppKey),
            )
            .optional()?;
        self.feeds.forget_settings();
        Ok(key.map(|key| App {
            key,
            id: new.id.clone(),
            name: new.name.clone(),
            secret_hash: new.secret_hash.clone(),
            settings: new.settings,
            created_at: new.created_at,
        }))
    }

    /// Whether there is such an application, not removed.
    pub(super) fn is_app(&self, app: AppKey) -> Result<bool, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT 1 FROM app WHERE key = ?1 AND removed_at IS NULL")?;
        Ok(statement.exists([app.0])?)
    }

    fn set_app_settings(&mut self, app: AppKey, change: AppSettingsChange) -> Result<Option<App>, Failure> {
        let Some(before) = by_key(&self.sql, app)? else {
            return Ok(None);
        };
        let (work_mode, cycle_secs) = mode_columns(change.work_mode.flatten());
        self.sql
            .prepare_cached(
                "UPDATE app SET push_documented_only = coalesce(?2, push_documented_only), \
                 push_sent_immediate = coalesce(?3, push_sent_immediate), feed = coalesce(?4, feed), \
                 push_max_age_ms = iif(?5, ?6, push_max_age_ms), \
                 work_mode = iif(?7, ?8, work_mode), cycle_secs = iif(?7, ?9, cycle_secs) WHERE key = ?1",
            )?
            .execute(params![
                app.0,
                change.push_documented_only,
                change.push_sent_immediate,
                change.feed,
                change.push_max_age.is_some(),
                change.push_max_age.flatten().map(Span::as_millis),
                change.work_mode.is_some(),
                work_mode,
                cycle_secs,
            ])?;
        if change.feed == Some(true) && !before.settings.feed {
            self.begin_feed(app)?;
        }
        self.feeds.forget_settings();
        by_key(&self.sql, app)
    }

    fn set_app_secret(&mut self, app: AppKey, secret_hash: &str) -> Result<bool, Failure> {
        let set = self
            .sql
            .prepare_cached("UPDATE app SET secret_hash = ?2 WHERE key = ?1 AND removed_at IS NULL")?
            .execute(params![app.0, secret_hash])?;
        if set > 0 {
            self.revoke_tokens(app)?;
        }
        Ok(set > 0)
    }

    fn remove_app(&mut self, app: AppKey, now: Timestamp) -> Result<bool, Failure> {
        let removed = self
            .sql
            .prepare_cached("UPDATE app SET removed_at = ?2 WHERE key = ?1 AND removed_at IS NULL")?
            .execute(params![app.0, now.as_millis()])?;
        if removed == 0 {
            return Ok(false);
        }
        self.feeds.forget_settings();
        self.revoke_tokens(app)?;
        self.unsubscribe(app, |_| true)?;
        self.remove_grants(app)?;
        for query in [
            "DELETE FROM push WHERE app = ?1",
            "DELETE FROM receiver WHERE app = ?1",
        ] {
            self.sql.prepare_cached(query)?.execute([app.0])?;
        }
        self.remove_products(app)?;
        self.remove_groups(app)?;
        Ok(true)
    }

    fn revoke_tokens(&self, app: AppKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM token WHERE app = ?1")?
            .execute([app.0])?;
        Ok(())
    }

    fn add_token(&mut self, new: &NewToken, limit: u32) -> Result<(), Failure> {
        if !self.is_app(new.app)? {
            return Ok(());
        }
        self.sql
            .prepare_cached(
                "INSERT INTO token (app, access, access_until, refresh, refresh_until, issued_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                new.app.0,
                new.access,
                new.access_until.as_millis(),
                new.refresh,
                new.refresh_until.as_millis(),
                new.issued_at.as_millis(),
            ])?;
        self.sql
            .prepare_cached(
                "DELETE FROM token WHERE key IN \
                 (SELECT key FROM token WHERE app = ?1 ORDER BY key DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![new.app.0, limit])?;
        Ok(())
    }
}

fn by_key(sql: &Connection, app: AppKey) -> Result<Option<App>, Failure> {
    let query = concat!(
        "SELECT ",
        app_columns!(),
        " FROM app a WHERE a.key = ?1 AND removed_at IS NULL"
    );
    let mut statement = sql.prepare_cached(query)?;
    Ok(statement.query_row([app.0], read).optional()?)
}

fn list(sql: &Connection, skip: u64, limit: u32) -> Result<Vec<App>, Failure> {
    let query = concat!(
        "SELECT ",
        app_columns!(),
        " FROM app a WHERE removed_at IS NULL ORDER BY a.id LIMIT ?1 OFFSET ?2"
    );
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let mut statement = sql.prepare_cached(query)?;
    Ok(statement
        .query_map(params![limit, skip], read)?
        .collect::<Result<_, _>>()?)
}

fn token(
    sql: &Connection,
    hash: [u8; 32],
    kind: TokenKind,
    now: Timestamp,
) -> Result<Option<Token>, Failure> {
    let query = match kind {
        TokenKind::Access => concat!(
            "SELECT ",
            app_columns!(),
            ", t.access_until FROM token t JOIN app a ON a.key = t.app \
             WHERE t.access = ?1 AND t.access_until > ?2 AND a.removed_at IS NULL"
        ),
        TokenKind::Refresh => concat!(
            "SELECT ",
            app_columns!(),
            ", t.refresh_until FROM token t JOIN app a ON a.key = t.app \
             WHERE t.refresh = ?1 AND t.refresh_until > ?2 AND a.removed_at IS NULL"
        ),
    };
    let mut statement = sql.prepare_cached(query)?;
    let found = statement.query_row(params![hash, now.as_millis()], |row| {
        Ok(Token {
            app: read(row)?,
            until: Timestamp::from_millis(row.get(11)?),
        })
    });
    Ok(found.optional()?)
}

/// The application of a row that begins with `app_columns!`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<App> {
    let id: Arc<str> = row.get(1)?;
    Ok(App {
        key: AppKey(row.get(0)?),
        id: AppId::new(id),
        name: row.get(2)?,
        secret_hash: row.get(3)?,
        settings: AppSettings {
            push_documented_only: row.get(4)?,
            push_sent_immediate: row.get(5)?,
            feed: row.get(6)?,
            push_max_age: row.get::<_, Option<i64>>(8)?.map(span),
            work_mode: mode_of(row.get(9)?, row.get(10)?),
        },
        created_at: Timestamp::from_millis(row.get(7)?),
    })
}

/// A stored span; what is out of bounds is taken to the nearest bound.
fn span(ms: i64) -> Span {
    Span::from_millis(u32::try_from(ms.max(0)).unwrap_or(u32::MAX))
}
