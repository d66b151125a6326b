//! Applications: made, listed, given a new secret, removed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use downlink_api::time::IsoTime;
use downlink_core::{AppId, Span};
use downlink_store::{App, AppSettings, AppSettingsChange, NewApp, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::work_mode::{self, Mode};
use super::{Admin, Problem, json, problem};
use crate::clock;
use crate::http::{Northbound, finish};
use crate::secrets::{SecretHash, random, random_hex};

const PAGE: u32 = 1000;
/// The longest age limit of pushes: seconds, 30 days.
const LONGEST_PUSH_AGE: u32 = 30 * 86_400;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewAppBody {
    id: Option<String>,
    name: Option<String>,
    secret: Option<String>,
    push_statuses: Option<PushStatuses>,
    push_sent_immediate: Option<bool>,
    feed: Option<bool>,
    push_max_age_secs: Option<u32>,
    work_mode: Option<Mode>,
    cycle_secs: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangedAppBody {
    push_statuses: Option<PushStatuses>,
    push_sent_immediate: Option<bool>,
    feed: Option<bool>,
    /// Null: as the configuration says. Not given: it stays.
    #[serde(default, deserialize_with = "given")]
    push_max_age_secs: Option<Option<u32>>,
    /// The same.
    #[serde(default, deserialize_with = "given")]
    work_mode: Option<Option<Mode>>,
    cycle_secs: Option<u32>,
}

/// What was given, null too.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    member: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

/// Which changes are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PushStatuses {
    All,
    Documented,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AppBody {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    push_statuses: PushStatuses,
    push_sent_immediate: bool,
    feed: bool,
    push_max_age_secs: Option<u32>,
    work_mode: Option<Mode>,
    cycle_secs: Option<u32>,
    created_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paging {
    #[serde(default)]
    page_no: u32,
    page_size: Option<u32>,
}

impl Paging {
    /// How many to leave out and how many to show, pages having `most` at the most.
    pub(super) fn window(&self, most: u32) -> (u64, u32) {
        let size = self.page_size.unwrap_or(most).clamp(1, most);
        (u64::from(self.page_no) * u64::from(size), size)
    }
}

/// `POST /admin/v1/apps`
pub(super) async fn create(State(northbound): State<Arc<Northbound>>, body: Bytes) -> Response {
    let asked = match read::<NewAppBody>(&body) {
        Ok(asked) => asked,
        Err(rule) => return invalid(&rule),
    };
    if let Err(rule) = asked.check() {
        return invalid(rule);
    }
    let work_mode = match work_mode::read(asked.work_mode, asked.cycle_secs) {
        Ok(mode) => mode,
        Err(rule) => return invalid(&rule.to_string()),
    };
    let secret = asked.secret.unwrap_or_else(|| random_hex(16));
    let id = asked.id.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(random::<21>()));
    let new = NewApp {
        name: asked.name.unwrap_or_else(|| id.clone()),
        id: AppId::new(id),
        secret_hash: hash(secret.clone()).await,
        settings: AppSettings {
            push_documented_only: asked.push_statuses == Some(PushStatuses::Documented),
            push_sent_immediate: asked.push_sent_immediate.unwrap_or(true),
            feed: asked.feed.unwrap_or(false),
            push_max_age: asked.push_max_age_secs.map(Span::from_secs),
            work_mode,
        },
        created_at: clock::now(),
    };
    match northbound.engine.store().create_app(new).await {
        Ok(Some(app)) => json(StatusCode::CREATED, &AppBody::of(&app, Some(secret))),
        Ok(None) => problem(
            StatusCode::CONFLICT,
            "taken",
            "this id is taken, or was; ids are not used again",
        ),
        Err(error) => unavailable(&error),
    }
}

/// `GET /admin/v1/apps?pageNo&pageSize`
pub(super) async fn list(
    State(northbound): State<Arc<Northbound>>,
    Query(paging): Query<Paging>,
) -> Response {
    let (skip, size) = paging.window(PAGE);
    match northbound.engine.store().apps(skip, size).await {
        Ok(apps) => {
            let apps: Vec<_> = apps.iter().map(|app| AppBody::of(app, None)).collect();
            json(StatusCode::OK, &serde_json::json!({ "apps": apps }))
        }
        Err(error) => unavailable(&error),
    }
}

/// `PATCH /admin/v1/apps/{id}`: changes the settings that are given; they hold for commands created from then on, the feed
/// for changes from then on.
pub(super) async fn change(State(admin): State<Admin>, Path(id): Path<String>, body: Bytes) -> Response {
    let asked: ChangedAppBody = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "invalid", &error.to_string()),
    };
    if let Err(rule) = check_age(asked.push_max_age_secs.flatten()) {
        return invalid(rule);
    }
    let work_mode = match work_mode::read(asked.work_mode.flatten(), asked.cycle_secs) {
        Ok(mode) => asked.work_mode.map(|_| mode),
        Err(rule) => return invalid(&rule.to_string()),
    };
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    let northbound = Arc::clone(&admin.northbound);
    let change = AppSettingsChange {
        work_mode,
        ..asked.settings()
    };
    let work = async move {
        let store = northbound.engine.store();
        let changed = store.set_app_settings(app.key, change).await;
        // Calls with a token that was used before would go by the old settings.
        northbound.tokens.forget_app(app.key);
        changed
    };
    match finish(&admin.tasks, work).await {
        Ok(Some(app)) => json(StatusCode::OK, &AppBody::of(&app, None)),
        Ok(None) => unknown(),
        Err(error) => unavailable(&error),
    }
}

/// `POST /admin/v1/apps/{id}/secret`: a new secret; all tokens of the application end.
pub(super) async fn rotate_secret(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    let secret = random_hex(16);
    let (hash, northbound) = (hash(secret.clone()).await, Arc::clone(&admin.northbound));
    let work = async move {
        let changed = northbound.engine.store().set_app_secret(app.key, hash).await;
        northbound.tokens.forget_app(app.key);
        changed
    };
    match finish(&admin.tasks, work).await {
        Ok(true) => json(StatusCode::OK, &serde_json::json!({ "id": id, "secret": secret })),
        Ok(false) => unknown(),
        Err(error) => unavailable(&error),
    }
}

/// `DELETE /admin/v1/apps/{id}`: the application, its tokens and devices; what its devices had waiting is cancelled.
/// Goes on to its end even if the operator does not wait for it.
pub(super) async fn remove(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    let northbound = Arc::clone(&admin.northbound);
    match finish(&admin.tasks, async move { remove_app(&northbound, &app).await }).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Removes first, so that neither tokens nor sessions nor commands can come after.
async fn remove_app(northbound: &Northbound, app: &App) -> Result<(), StoreError> {
    let engine = &northbound.engine;
    engine.store().remove_app(app.key, clock::now()).await?;
    northbound.tokens.forget_app(app.key);
    while engine.remove_left_devices().await? {}
    Ok(())
}

/// The application with this id.
pub(super) async fn named(northbound: &Northbound, id: &str) -> Result<App, Problem> {
    let found = northbound.engine.store().app(&AppId::new(id)).await?;
    let unknown = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_app",
            "there is no such application",
        )
    };
    found.ok_or_else(unknown)
}

/// What a body asks for; an empty one for nothing in particular. The error says what is wrong with it.
pub(super) fn read<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => serde_json::from_slice(body).map_err(|error| super::told(&error)),
    }
}

pub(super) fn invalid(rule: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid", rule)
}

pub(super) async fn find(northbound: &Northbound, id: &str) -> Result<App, Response> {
    match northbound.engine.store().app(&AppId::new(id)).await {
        Ok(Some(app)) => Ok(app),
        Ok(None) => Err(unknown()),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Slow on purpose, so not on the runtime's own threads.
async fn hash(secret: String) -> String {
    tokio::task::spawn_blocking(move || SecretHash::of(&secret))
        .await
        .expect("hashing does not panic")
}

impl NewAppBody {
    fn check(&self) -> Result<(), &'static str> {
        let id_fits = |id: &String| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !self.id.as_ref().is_none_or(id_fits) {
            return Err("`id` must be 1-64 of A-Z a-z 0-9 - _ .");
        }
        if !self
            .secret
            .as_ref()
            .is_none_or(|secret| (8..=256).contains(&secret.len()))
        {
            return Err("`secret` must have 8-256 bytes");
        }
        if !self
            .name
            .as_ref()
            .is_none_or(|name| (1..=256).contains(&name.len()))
        {
            return Err("`name` must have 1-256 bytes");
        }
        check_age(self.push_max_age_secs)
    }
}

fn check_age(secs: Option<u32>) -> Result<(), &'static str> {
    match secs.is_none_or(|secs| (1..=LONGEST_PUSH_AGE).contains(&secs)) {
        true => Ok(()),
        false => Err("`pushMaxAgeSecs` must be 1-2592000, or null"),
    }
}

impl ChangedAppBody {
    fn settings(&self) -> AppSettingsChange {
        AppSettingsChange {
            push_documented_only: self.push_statuses.map(|which| which == PushStatuses::Documented),
            push_sent_immediate: self.push_sent_immediate,
            feed: self.feed,
            push_max_age: self.push_max_age_secs.map(|secs| secs.map(Span::from_secs)),
            work_mode: None,
        }
    }
}

impl AppBody {
    fn of(app: &App, secret: Option<String>) -> Self {
        let documented = app.settings.push_documented_only;
        let (work_mode, cycle_secs) = work_mode::shown(app.settings.work_mode);
        Self {
            id: app.id.to_string(),
            name: app.name.clone(),
            secret,
            push_statuses: if documented {
                PushStatuses::Documented
            } else {
                PushStatuses::All
            },
            push_sent_immediate: app.settings.push_sent_immediate,
            feed: app.settings.feed,
            push_max_age_secs: app.settings.push_max_age.map(whole_secs),
            work_mode,
            cycle_secs,
            created_at: IsoTime(app.created_at).to_string(),
        }
    }
}

fn whole_secs(span: Span) -> u32 {
    u32::try_from(span.as_millis() / 1000).unwrap_or(u32::MAX)
}

pub(super) fn unknown() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "unknown_app",
        "there is no such application",
    )
}

pub(super) fn unavailable(error: &StoreError) -> Response {
    tracing::error!(%error, "admin request failed");
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_members_are_named() {
        for (body, named) in [
            (r#"{"id":"a b"}"#, "`id`"),
            (r#"{"id":""}"#, "`id`"),
            (r#"{"secret":"short"}"#, "`secret`"),
            (r#"{"name":""}"#, "`name`"),
            (r#"{"pushMaxAgeSecs":0}"#, "`pushMaxAgeSecs`"),
            (r#"{"pushMaxAgeSecs":2592001}"#, "`pushMaxAgeSecs`"),
        ] {
            let asked: NewAppBody = serde_json::from_str(body).unwrap();
            assert!(asked.check().is_err_and(|rule| rule.starts_with(named)), "{body}");
        }
        assert!(serde_json::from_str::<NewAppBody>(r#"{"nam":"x"}"#).is_err());
        assert!(serde_json::from_str::<NewAppBody>(r#"{"pushStatuses":"some"}"#).is_err());
    }
}
