//! The port's part on what one application allows another: to call in its name.

use async_trait::async_trait;
use downlink_core::{AppId, AppKey};

use crate::{App, StoreError};

/// Grants between applications. A removed application's go with it, those it gave and those it had.
#[async_trait]
pub trait Grants {
    /// Allows `app` to call in the name of `owner`; again is nothing new. False if one of them is not there, or both are the
    /// same.
    async fn grant(&self, owner: AppKey, app: AppKey) -> Result<bool, StoreError>;

    /// Takes it back. False if it was not given.
    async fn withdraw(&self, owner: AppKey, app: AppKey) -> Result<bool, StoreError>;

    /// The application with the id `owner`, if `app` may call in its name.
    async fn granted(&self, app: AppKey, owner: &AppId) -> Result<Option<App>, StoreError>;

    /// Who may call in the name of `owner`, by id, at most `limit`.
    async fn grants(&self, owner: AppKey, limit: u32) -> Result<Vec<App>, StoreError>;
}
