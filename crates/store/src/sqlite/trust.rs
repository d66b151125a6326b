//! Signing keys and TLS of applications: the rows, and the port's verbs on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, Timestamp};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use crate::{AddKeyRefused, AppTrust, PushTls, SigningKey, StoreError, Trust};

#[async_trait]
impl Trust for SqliteStore {
    async fn trusts(&self) -> Result<Vec<(AppKey, AppTrust)>, StoreError> {
        self.read(|sql| Ok(read(sql, None)?.into_iter().collect())).await
    }

    async fn trust(&self, app: AppKey) -> Result<AppTrust, StoreError> {
        self.read(move |sql| Ok(read(sql, Some(app))?.remove(&app).unwrap_or_default()))
            .await
    }

    async fn add_signing_key(
        &self,
        app: AppKey,
        key: SigningKey,
        others_end: Timestamp,
        most: u32,
    ) -> Result<Result<(), AddKeyRefused>, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.add_signing_key(app, &key, others_end, most)
        })
        .await
    }

    async fn remove_signing_key(
        &self,
        app: AppKey,
        id: Arc<str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.remove_signing_key(app, &id, now)
        })
        .await
    }

    async fn set_push_tls(&self, app: AppKey, tls: Option<PushTls>) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.set_push_tls(app, tls.as_ref()))
            .await
    }
}

impl Batch {
    fn add_signing_key(
        &mut self,
        app: AppKey,
        key: &SigningKey,
        others_end: Timestamp,
        most: u32,
    ) -> Result<Result<(), AddKeyRefused>, Failure> {
        if !self.is_app(app)? {
            return Ok(Err(AddKeyRefused::NoApp));
        }
        self.forget_ended_keys(app, key.created_at)?;
        let live: u32 = self
            .sql
            .prepare_cached("SELECT count(*) FROM signing_key WHERE app = ?1")?
            .query_row([app.0], |row| row.get(0))?;
        if live >= most {
            return Ok(Err(AddKeyRefused::TooMany));
        }
        self.sql
            .prepare_cached(
                "UPDATE signing_key SET ends_at = ?2 WHERE app = ?1 AND (ends_at IS NULL OR ends_at > ?2)",
            )?
            .execute(params![app.0, others_end.as_millis()])?;
        self.sql
            .prepare_cached(
                "INSERT INTO signing_key (app, id, sealed, created_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                app.0,
                key.id,
                key.sealed,
                key.created_at.as_millis(),
                key.ends_at.map(Timestamp::as_millis),
            ])?;
        Ok(Ok(()))
    }

    fn remove_signing_key(&mut self, app: AppKey, id: &str, now: Timestamp) -> Result<bool, Failure> {
        self.forget_ended_keys(app, now)?;
        let removed = self
            .sql
            .prepare_cached("DELETE FROM signing_key WHERE app = ?1 AND id = ?2")?
            .execute(params![app.0, id])?;
        // Whoever takes the newest back goes on with the one before.
        self.sql
            .prepare_cached(
                "UPDATE signing_key SET ends_at = NULL \
                 WHERE key = (SELECT max(key) FROM signing_key WHERE app = ?1)",
            )?
            .execute([app.0])?;
        Ok(removed > 0)
    }

    fn forget_ended_keys(&self, app: AppKey, now: Timestamp) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM signing_key WHERE app = ?1 AND ends_at <= ?2")?
            .execute(params![app.0, now.as_millis()])?;
        Ok(())
    }

    fn set_push_tls(&mut self, app: AppKey, tls: Option<&PushTls>) -> Result<bool, Failure> {
        if !self.is_app(app)? {
            return Ok(false);
        }
        self.sql
            .prepare_cached("DELETE FROM push_tls WHERE app = ?1")?
            .execute([app.0])?;
        if let Some(tls) = tls {
            self.sql
                .prepare_cached(
                    "INSERT INTO push_tls (app, ca, check_name, certificate, sealed_key) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    app.0,
                    tls.ca,
                    tls.check_name,
                    tls.certificate,
                    tls.sealed_key,
                ])?;
        }
        Ok(true)
    }
}

/// What there is, of one application or of all.
fn read(sql: &Connection, app: Option<AppKey>) -> Result<BTreeMap<AppKey, AppTrust>, Failure> {
    let mut found: BTreeMap<AppKey, AppTrust> = BTreeMap::new();
    let app = app.map(|app| app.0);
    let mut keys = sql.prepare_cached(
        "SELECT app, id, sealed, created_at, ends_at FROM signing_key \
         WHERE ?1 IS NULL OR app = ?1 ORDER BY key DESC",
    )?;
    for key in keys.query_map([app], signing_key)? {
        let (app, key) = key?;
        found.entry(app).or_default().keys.push(key);
    }
    let mut tls = sql.prepare_cached(
        "SELECT app, ca, check_name, certificate, sealed_key FROM push_tls WHERE ?1 IS NULL OR app = ?1",
    )?;
    for tls in tls.query_map([app], push_tls)? {
        let (app, tls) = tls?;
        found.entry(app).or_default().tls = Some(tls);
    }
    Ok(found)
}

fn signing_key(row: &Row<'_>) -> rusqlite::Result<(AppKey, SigningKey)> {
    let key = SigningKey {
        id: row.get(1)?,
        sealed: row.get(2)?,
        created_at: Timestamp::from_millis(row.get(3)?),
        ends_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
    };
    Ok((AppKey(row.get(0)?), key))
}

fn push_tls(row: &Row<'_>) -> rusqlite::Result<(AppKey, PushTls)> {
    let tls = PushTls {
        ca: row.get(1)?,
        check_name: row.get(2)?,
        certificate: row.get(3)?,
        sealed_key: row.get(4)?,
    };
    Ok((AppKey(row.get(0)?), tls))
}
