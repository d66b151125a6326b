//! The port's part on applications and their tokens.

use async_trait::async_trait;
use downlink_core::product::WorkMode;
use downlink_core::{AppId, AppKey, Span, Timestamp};

use crate::StoreError;

/// What an application may set for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppSettings {
    /// Push only the five statuses that the platform documents, not EXPIRED and CANCELED.
    pub push_documented_only: bool,
    /// Push SENT also where the answer to the create call already said it.
    pub push_sent_immediate: bool,
    /// Keep its changes for its feed.
    pub feed: bool,
    /// How old its pushes become before they are given up; none: as [`PushLimits`](crate::PushLimits) say. Whole
    /// milliseconds, 49 days at the most.
    pub push_max_age: Option<Span>,
    /// How its devices sleep of which neither they themselves nor their product say it; none: as the configuration says.
    pub work_mode: Option<WorkMode>,
}

/// New values of some settings; none: it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppSettingsChange {
    /// See [`AppSettings`].
    pub push_documented_only: Option<bool>,
    /// See [`AppSettings`].
    pub push_sent_immediate: Option<bool>,
    /// See [`AppSettings`]. A feed that is switched on begins with the changes from then on.
    pub feed: Option<bool>,
    /// See [`AppSettings`]; `Some(None)`: none of its own any more. Holds for pushes that wait already, too.
    pub push_max_age: Option<Option<Span>>,
    /// See [`AppSettings`]; `Some(None)`: none of its own any more.
    pub work_mode: Option<Option<WorkMode>>,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            push_documented_only: false,
            push_sent_immediate: true,
            feed: false,
            push_max_age: None,
            work_mode: None,
        }
    }
}

/// An application to be made.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its id.
    pub id: AppId,
    /// Its name, for people.
    pub name: String,
    /// The hash of its secret; opaque here.
    pub secret_hash: String,
    /// What it set.
    pub settings: AppSettings,
    /// When.
    pub created_at: Timestamp,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// The store's key of it.
    pub key: AppKey,
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// The hash of its secret.
    pub secret_hash: String,
    /// What it set.
    pub settings: AppSettings,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Calls.
    Access,
    /// New tokens.
    Refresh,
}

/// A pair of tokens handed out together. Only hashes are kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose.
    pub app: AppKey,
    /// SHA-256 of the access token.
    pub access: [u8; 32],
    /// When the access token ends.
    pub access_until: Timestamp,
    /// SHA-256 of the refresh token.
    pub refresh: [u8; 32],
    /// When the refresh token ends.
    pub refresh_until: Timestamp,
    /// When they were handed out.
    pub issued_at: Timestamp,
}

/// A live token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose.
    pub app: App,
    /// When it ends.
    pub until: Timestamp,
}

/// Applications and their tokens.
#[async_trait]
pub trait Apps {
    /// Makes an application; `None` if the id is taken (also by a removed one).
    async fn create_app(&self, app: NewApp) -> Result<Option<App>, StoreError>;

    /// The application with this id.
    async fn app(&self, id: &AppId) -> Result<Option<App>, StoreError>;

    /// The application with this key, if it was not removed.
    async fn app_by_key(&self, app: AppKey) -> Result<Option<App>, StoreError>;

    /// All applications, by id, `skip` of them left out.
    async fn apps(&self, skip: u64, limit: u32) -> Result<Vec<App>, StoreError>;

    /// Changes settings of an application; they hold for what is created from then on. Gives it as it is then; `None` if
    /// it is not there.
    async fn set_app_settings(
        &self,
        app: AppKey,
        change: AppSettingsChange,
    ) -> Result<Option<App>, StoreError>;

    /// Replaces the hash of an application's secret and revokes its tokens. False if it is not there.
    async fn set_app_secret(&self, app: AppKey, secret_hash: String) -> Result<bool, StoreError>;

    /// Removes an application: its tokens, its products, its groups. Its devices are left to
    /// [`remove_left_devices`](Self::remove_left_devices); they may be many. Its commands and their records stay until retention
    /// ends them; the open ones are the caller's to end. Its stored pushes are dropped before, in several transactions: if it
    /// fails on the way, some of them are gone and the application is there. False if it is not there.
    async fn remove_app(&self, app: AppKey, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes devices of applications that were removed, at the most `limit`, and gives their keys: as many as that until only
    /// the rest is left. What was connected by one of them is connected directly until it goes too. What they reported goes with its age.
    async fn remove_left_devices(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<downlink_core::DeviceKey>, StoreError>;

    /// Keeps a pair of tokens; the oldest pairs of the application beyond `limit` are revoked.
    async fn add_token(&self, token: NewToken, limit: u32) -> Result<(), StoreError>;

    /// The live token with this hash.
    async fn token(
        &self,
        hash: [u8; 32],
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError>;

    /// Revokes the pair that the token with this hash belongs to. False if there is none.
    async fn revoke_token(&self, hash: [u8; 32], kind: TokenKind) -> Result<bool, StoreError>;

    /// Deletes the pairs whose refresh token has ended. Gives how many.
    async fn prune_tokens(&self, now: Timestamp) -> Result<u64, StoreError>;
}
