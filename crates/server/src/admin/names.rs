//! The public ids of applications, of which rows of the store know the keys only.

use std::collections::HashMap;
use std::sync::Arc;

use downlink_core::AppKey;
use downlink_store::StoreError;

use super::Admin;

/// Looks each one up once.
pub(super) struct Names<'a> {
    admin: &'a Admin,
    known: HashMap<AppKey, Option<Arc<str>>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(admin: &'a Admin) -> Self {
        Self {
            admin,
            known: HashMap::new(),
        }
    }

    /// The id of this application; none: it was removed.
    pub(super) async fn of(&mut self, app: AppKey) -> Result<Option<Arc<str>>, StoreError> {
        if let Some(known) = self.known.get(&app) {
            return Ok(known.clone());
        }
        let found = self.admin.store().app_by_key(app).await?;
        let id = found.map(|app| Arc::from(app.id.as_str()));
        self.known.insert(app, id.clone());
        Ok(id)
    }
}
