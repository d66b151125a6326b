//! The keys that an application's pushes are signed with: made, listed, deleted. A secret is shown once.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use downlink_api::time::IsoTime;
use downlink_core::Span;
use downlink_store::SigningKey;
use serde::{Deserialize, Serialize};

use super::apps::{find, invalid, read, unavailable, unknown};
use super::{Admin, json, problem};
use crate::clock;
use crate::http::finish;
use crate::push::{SigningSecret, TrustRefused};

/// For how long the keys before a new one go on signing, unless it is said.
const OVERLAP_SECS: u32 = 24 * 3600;
const LONGEST_OVERLAP_SECS: u32 = 30 * 24 * 3600;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKeyBody {
    secret: Option<String>,
    overlap_secs: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: String,
    /// Missing: it signs until another one takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

/// `POST /admin/v1/apps/{id}/signing-keys`
pub(super) async fn create(State(admin): State<Admin>, Path(id): Path<String>, body: Bytes) -> Response {
    let (secret, overlap) = match read::<NewKeyBody>(&body).and_then(NewKeyBody::check) {
        Ok(asked) => asked,
        Err(rule) => return invalid(&rule),
    };
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    let shown = secret.to_text();
    let work = async move {
        let end = clock::now() + overlap;
        admin.trust.add_key(app.key, &secret, end).await
    };
    match finish(&admin.tasks.clone(), work).await {
        Ok(key) => json(StatusCode::CREATED, &KeyBody::of(&key, Some(shown))),
        Err(refused) => answer(&refused),
    }
}

/// `GET /admin/v1/apps/{id}/signing-keys`
pub(super) async fn list(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    match admin.trust.keys(app.key).await {
        Ok(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| KeyBody::of(key, None)).collect();
            json(StatusCode::OK, &serde_json::json!({ "keys": keys }))
        }
        Err(error) => unavailable(&error),
    }
}

/// `DELETE /admin/v1/apps/{id}/signing-keys/{keyId}`: nothing is signed with it from now on.
pub(super) async fn remove(State(admin): State<Admin>, Path((id, key)): Path<(String, String)>) -> Response {
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    let tasks = admin.tasks.clone();
    match finish(&tasks, async move {
        admin.trust.remove_key(app.key, key.into()).await
    })
    .await
    {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(
            StatusCode::NOT_FOUND,
            "unknown_key",
            "the application has no such signing key",
        ),
        Err(error) => unavailable(&error),
    }
}

/// Why nothing was changed.
pub(super) fn answer(refused: &TrustRefused) -> Response {
    match refused {
        TrustRefused::NoApp => unknown(),
        TrustRefused::TooManyKeys => problem(StatusCode::CONFLICT, "too_many_keys", &refused.to_string()),
        TrustRefused::Tls(fault) => invalid(&fault.to_string()),
        TrustRefused::Store(error) => unavailable(error),
    }
}

impl NewKeyBody {
    fn check(self) -> Result<(SigningSecret, Span), String> {
        let secret = match self.secret {
            None => SigningSecret::random(),
            Some(text) => SigningSecret::parse(&text).map_err(|rule| format!("`secret` {rule}"))?,
        };
        let overlap = self.overlap_secs.unwrap_or(OVERLAP_SECS);
        if overlap > LONGEST_OVERLAP_SECS {
            return Err(format!("`overlapSecs` must be at most {LONGEST_OVERLAP_SECS}"));
        }
        Ok((secret, Span::from_secs(overlap)))
    }
}

impl KeyBody {
    fn of(key: &SigningKey, secret: Option<String>) -> Self {
        Self {
            id: key.id.to_string(),
            secret,
            created_at: IsoTime(key.created_at).to_string(),
            ends_at: key.ends_at.map(|end| IsoTime(end).to_string()),
        }
    }
}
