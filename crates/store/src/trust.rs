//! The port's part on what an application's pushes are signed and secured with: its signing keys, and its own TLS.
//!
//! Whatever is secret comes here sealed, and is opaque. What is kept stays when its application is removed: the last
//! pushes of a removed application are signed like those before.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, Timestamp};

use crate::StoreError;

/// A key that an application's pushes are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// What it is called; unique within its application.
    pub id: Arc<str>,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none: it is the newest.
    pub ends_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether pushes are signed with it at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| end > now)
    }
}

/// What an application has of its own for pushes over TLS. Each part may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTls {
    /// Certificates that are trusted besides the platform's, as PEM.
    pub ca: Option<Arc<str>>,
    /// The receiver's certificate must bear the name in the URL.
    pub check_name: bool,
    /// The certificate, with what leads up to its authority, that is shown to receivers, as PEM.
    pub certificate: Option<Arc<str>>,
    /// Its key, sealed.
    pub sealed_key: Option<Vec<u8>>,
}

/// All of an application's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppTrust {
    /// Its keys, newest first; also those that ended and were not deleted yet.
    pub keys: Vec<SigningKey>,
    /// Its own TLS.
    pub tls: Option<PushTls>,
}

/// Why a signing key was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddKeyRefused {
    /// There is no such application.
    NoApp,
    /// So many are live already.
    TooMany,
}

/// Signing keys and TLS of applications.
#[async_trait]
pub trait Trust {
    /// All applications that have any of it.
    async fn trusts(&self) -> Result<Vec<(AppKey, AppTrust)>, StoreError>;

    /// An application's.
    async fn trust(&self, app: AppKey) -> Result<AppTrust, StoreError>;

    /// Makes `key` the newest of its application; the others end at `others_end` unless they end before. Those that have
    /// ended are deleted. Refused if `most` others are live at the new one's `created_at`.
    async fn add_signing_key(
        &self,
        app: AppKey,
        key: SigningKey,
        others_end: Timestamp,
        most: u32,
    ) -> Result<Result<(), AddKeyRefused>, StoreError>;

    /// Deletes a key: nothing is signed with it any more. If it was the newest, the one before lives on without end, if it
    /// is still live at `now`. False if there is no such key.
    async fn remove_signing_key(&self, app: AppKey, id: Arc<str>, now: Timestamp)
    -> Result<bool, StoreError>;

    /// Gives an application its own TLS, or takes it away. False if there is no such application.
    async fn set_push_tls(&self, app: AppKey, tls: Option<PushTls>) -> Result<bool, StoreError>;
}
