//! Grants between applications: the rows, and the port's verbs on them.

use async_trait::async_trait;
use downlink_core::{AppId, AppKey};
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::apps::{app_columns, read};
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use crate::{App, Grants, StoreError};

#[async_trait]
impl Grants for SqliteStore {
    async fn grant(&self, owner: AppKey, app: AppKey) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.grant(owner, app))
            .await
    }

    async fn withdraw(&self, owner: AppKey, app: AppKey) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            let mut statement = batch
                .sql
                .prepare_cached("DELETE FROM app_grant WHERE owner = ?1 AND app = ?2")?;
            Ok(statement.execute(params![owner.0, app.0])? > 0)
        })
        .await
    }

    async fn granted(&self, app: AppKey, owner: &AppId) -> Result<Option<App>, StoreError> {
        let owner = owner.clone();
        self.read(move |sql| {
            let query = concat!(
                "SELECT ",
                app_columns!(),
                " FROM app a JOIN app_grant g ON g.owner = a.key \
                 WHERE a.id = ?1 AND g.app = ?2 AND a.removed_at IS NULL"
            );
            let mut statement = sql.prepare_cached(query)?;
            Ok(statement
                .query_row(params![owner.as_str(), app.0], read)
                .optional()?)
        })
        .await
    }

    async fn grants(&self, owner: AppKey, limit: u32) -> Result<Vec<App>, StoreError> {
        self.read(move |sql| {
            let query = concat!(
                "SELECT ",
                app_columns!(),
                " FROM app_grant g JOIN app a ON a.key = g.app WHERE g.owner = ?1 ORDER BY a.id LIMIT ?2"
            );
            let mut statement = sql.prepare_cached(query)?;
            Ok(statement
                .query_map(params![owner.0, limit], read)?
                .collect::<Result<_, _>>()?)
        })
        .await
    }
}

impl Batch {
    fn grant(&mut self, owner: AppKey, app: AppKey) -> Result<bool, Failure> {
        if owner == app || !self.is_app(owner)? || !self.is_app(app)? {
            return Ok(false);
        }
        self.sql
            .prepare_cached("INSERT INTO app_grant (owner, app) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![owner.0, app.0])?;
        Ok(true)
    }

    /// Ends the grants that an application gave, and those it had.
    pub(super) fn remove_grants(&self, app: AppKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM app_grant WHERE owner = ?1 OR app = ?1")?
            .execute([app.0])?;
        Ok(())
    }
}
