//! Products: the rows, and the port's verbs on them.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use downlink_core::product::{CheckParas, WorkMode};
use downlink_core::{AppKey, ProductNames, ProductRef, ProductSettings, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use crate::{
    Codec, NewProduct, Page, Product, ProductHead, ProductKey, Products, Put, PutRefused, StoreError,
};

macro_rules! select_head {
    ($rest:literal) => {
        concat!(
            "SELECT key, app, id, revision, manufacturer_id, model, device_type, protocol_type, \
             manufacturer_name, check_paras, work_mode, cycle_secs, response_wait_secs, secure, created_at, \
             modified_at, codec_kind FROM product WHERE ",
            $rest
        )
    };
}

macro_rules! select_product {
    ($rest:literal) => {
        concat!(
            "SELECT key, app, id, revision, manufacturer_id, model, device_type, protocol_type, \
             manufacturer_name, check_paras, work_mode, cycle_secs, response_wait_secs, secure, created_at, \
             modified_at, codec_kind, codec_matches, codec, profile FROM product WHERE ",
            $rest
        )
    };
}

#[async_trait]
impl Products for SqliteStore {
    fn product_changes(&self) -> u64 {
        self.product_changes.load(Ordering::Acquire)
    }

    async fn put_product(
        &self,
        product: NewProduct,
        limit: u32,
    ) -> Result<Result<Put, PutRefused>, StoreError> {
        self.disk.check()?;
        self.write(WhenFull::Refuse, move |batch| batch.put_product(&product, limit))
            .await
    }

    async fn product(&self, app: AppKey, id: &str) -> Result<Option<Product>, StoreError> {
        let id = id.to_owned();
        self.read(move |sql| one(sql, select_product!("app = ?1 AND id = ?2"), params![app.0, id]))
            .await
    }

    async fn products(&self, app: AppKey, skip: u64, limit: u32) -> Result<Page<ProductHead>, StoreError> {
        self.read(move |sql| list(sql, app, skip, limit)).await
    }

    async fn remove_product(&self, app: AppKey, id: &str) -> Result<Option<ProductHead>, StoreError> {
        let id = id.to_owned();
        self.write(WhenFull::Wait, move |batch| batch.remove_product(app, &id))
            .await
    }

    async fn product_of(&self, app: AppKey, means: &ProductRef) -> Result<Option<Product>, StoreError> {
        let means = means.clone();
        self.read(move |sql| meant(sql, app, &means)).await
    }
}

impl Batch {
    fn put_product(&mut self, new: &NewProduct, limit: u32) -> Result<Result<Put, PutRefused>, Failure> {
        if !self.is_app(new.app)? {
            return Ok(Err(PutRefused::NoApp));
        }
        let before = head(
            &self.sql,
            select_head!("app = ?1 AND manufacturer_id = ?2 AND model = ?3 AND device_type = ?4"),
            params![
                new.app.0,
                new.names.manufacturer_id,
                new.names.model,
                new.names.device_type
            ],
        )?;
        let kept = before.as_ref().map(|before| &before.id);
        let id = new.id.as_ref().or(kept).unwrap_or(&new.fresh_id);
        let owner = head(
            &self.sql,
            select_head!("app = ?1 AND id = ?2"),
            params![new.app.0, id],
        )?;
        if owner.is_some_and(|owner| before.as_ref().is_none_or(|before| before.key != owner.key)) {
            return Ok(Err(PutRefused::IdTaken));
        }
        if before.is_none() && count(&self.sql, new.app)? >= u64::from(limit) {
            return Ok(Err(PutRefused::TooMany));
        }
        self.products_changed = true;
        let made = before.is_none();
        let product = self.write_product(new, id, before.as_ref())?;
        Ok(Ok(Put { product, made }))
    }

    fn write_product(
        &self,
        new: &NewProduct,
        id: &str,
        before: Option<&ProductHead>,
    ) -> Result<ProductHead, Failure> {
        let (work_mode, cycle_secs) = mode_columns(new.settings.work_mode);
        let mut statement = self.sql.prepare_cached(
            "INSERT OR REPLACE INTO product (key, app, id, revision, manufacturer_id, model, device_type, \
             protocol_type, manufacturer_name, check_paras, work_mode, cycle_secs, response_wait_secs, secure, \
             created_at, modified_at, codec_kind, codec_matches, codec, profile) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?;
        let revision = before.map_or(1, |before| before.revision + 1);
        let created_at = before.map_or(new.at, |before| before.created_at);
        let key = statement.insert(params![
            before.map(|before| before.key.0),
            new.app.0,
            id,
            revision.cast_signed(),
            new.names.manufacturer_id,
            new.names.model,
            new.names.device_type,
            new.names.protocol_type,
            new.manufacturer_name,
            check_code(new.settings.check_paras),
            work_mode,
            cycle_secs,
            new.settings.response_wait_secs,
            new.settings.secure,
            created_at.as_millis(),
            new.at.as_millis(),
            new.codec.as_ref().map(|codec| &codec.kind),
            new.codec.as_ref().map(|codec| codec.matches_answers),
            new.codec.as_ref().map(|codec| &codec.text),
            new.profile,
        ])?;
        Ok(ProductHead {
            key: ProductKey(key),
            app: new.app,
            id: id.to_owned(),
            revision,
            names: new.names.clone(),
            manufacturer_name: new.manufacturer_name.clone(),
            settings: new.settings,
            codec_kind: new.codec.as_ref().map(|codec| codec.kind.clone()),
            created_at,
            modified_at: new.at,
        })
    }

    fn remove_product(&mut self, app: AppKey, id: &str) -> Result<Option<ProductHead>, Failure> {
        let found = head(
            &self.sql,
            select_head!("app = ?1 AND id = ?2"),
            params![app.0, id],
        )?;
        if let Some(found) = &found {
            self.products_changed = true;
            self.sql
                .prepare_cached("DELETE FROM product WHERE key = ?1")?
                .execute([found.key.0])?;
        }
        Ok(found)
    }

    /// Removes all products of an application.
    pub(super) fn remove_products(&mut self, app: AppKey) -> Result<(), Failure> {
        self.products_changed = true;
        self.sql
            .prepare_cached("DELETE FROM product WHERE app = ?1")?
            .execute([app.0])?;
        Ok(())
    }
}

fn meant(sql: &Connection, app: AppKey, means: &ProductRef) -> Result<Option<Product>, Failure> {
    if let Some(id) = &means.id
        && let Some(found) = one(sql, select_product!("app = ?1 AND id = ?2"), params![app.0, id])?
    {
        return Ok(Some(found));
    }
    let Some((maker, model)) = &means.names else {
        return Ok(None);
    };
    match &means.device_type {
        Some(kind) => one(
            sql,
            select_product!("app = ?1 AND manufacturer_id = ?2 AND model = ?3 AND device_type = ?4"),
            params![app.0, maker, model, kind],
        ),
        None => one(
            sql,
            select_product!(
                "app = ?1 AND manufacturer_id = ?2 AND model = ?3 AND 1 = \
                 (SELECT count(*) FROM product WHERE app = ?1 AND manufacturer_id = ?2 AND model = ?3)"
            ),
            params![app.0, maker, model],
        ),
    }
}

fn one(sql: &Connection, query: &str, with: impl Params) -> Result<Option<Product>, Failure> {
    let found = sql.prepare_cached(query)?.query_row(with, |row| {
        let matches: Option<bool> = row.get(17)?;
        let (kind, text): (Option<String>, Option<String>) = (row.get(16)?, row.get(18)?);
        Ok(Product {
            head: read(row)?,
            profile: row.get(19)?,
            codec: kind.zip(text).map(|(kind, text)| Codec {
                kind,
                text,
                matches_answers: matches.unwrap_or(true),
            }),
        })
    });
    Ok(found.optional()?)
}

fn head(sql: &Connection, query: &str, with: impl Params) -> Result<Option<ProductHead>, Failure> {
    Ok(sql.prepare_cached(query)?.query_row(with, read).optional()?)
}

fn list(sql: &Connection, app: AppKey, skip: u64, limit: u32) -> Result<Page<ProductHead>, Failure> {
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let mut statement = sql.prepare_cached(select_head!(
        "app = ?1 ORDER BY manufacturer_id, model, device_type LIMIT ?2 OFFSET ?3"
    ))?;
    let items = statement
        .query_map(params![app.0, limit, skip], read)?
        .collect::<Result<_, _>>()?;
    Ok(Page {
        items,
        total: count(sql, app)?,
    })
}

fn count(sql: &Connection, app: AppKey) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT count(*) FROM product WHERE app = ?1")?;
    let count: i64 = statement.query_row([app.0], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

fn read(row: &Row<'_>) -> rusqlite::Result<ProductHead> {
    Ok(ProductHead {
        key: ProductKey(row.get(0)?),
        app: AppKey(row.get(1)?),
        id: row.get(2)?,
        revision: row.get::<_, i64>(3)?.cast_unsigned(),
        names: ProductNames {
            manufacturer_id: row.get(4)?,
            model: row.get(5)?,
            device_type: row.get(6)?,
            protocol_type: row.get(7)?,
        },
        manufacturer_name: row.get(8)?,
        settings: ProductSettings {
            check_paras: check_of(row.get(9)?),
            work_mode: mode_of(row.get(10)?, row.get(11)?),
            response_wait_secs: row.get(12)?,
            secure: row.get(13)?,
        },
        codec_kind: row.get(16)?,
        created_at: Timestamp::from_millis(row.get(14)?),
        modified_at: Timestamp::from_millis(row.get(15)?),
    })
}

fn check_code(check: CheckParas) -> u8 {
    match check {
        CheckParas::Off => 0,
        CheckParas::Warn => 1,
        CheckParas::Reject => 2,
    }
}

fn check_of(code: u8) -> CheckParas {
    [CheckParas::Off, CheckParas::Warn, CheckParas::Reject]
        .into_iter()
        .find(|check| check_code(*check) == code)
        .unwrap_or_default()
}

/// A work mode as its two columns.
pub(super) fn mode_columns(mode: Option<WorkMode>) -> (Option<u8>, Option<u32>) {
    match mode {
        None => (None, None),
        Some(WorkMode::Psm) => (Some(0), None),
        Some(WorkMode::Drx) => (Some(1), None),
        Some(WorkMode::Edrx { cycle_secs }) => (Some(2), Some(cycle_secs)),
    }
}

/// The work mode of two columns.
pub(super) fn mode_of(code: Option<u8>, cycle_secs: Option<u32>) -> Option<WorkMode> {
    let cycle_secs = cycle_secs.unwrap_or(0);
    [WorkMode::Psm, WorkMode::Drx, WorkMode::Edrx { cycle_secs }]
        .into_iter()
        .find(|mode| code.is_some() && mode_columns(Some(*mode)).0 == code)
}
