//! What an application has of its own for pushes over TLS: given, shown, taken away. The key is never shown.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use downlink_store::PushTls;
use serde::{Deserialize, Serialize};

use super::apps::{find, invalid, read, unavailable};
use super::signing_keys::answer;
use super::{Admin, json, problem};
use crate::http::finish;
use crate::push::{OwnTls, fingerprints};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenBody {
    ca: Option<String>,
    check_name: Option<bool>,
    certificate: Option<String>,
    key: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_sha256: Option<Vec<String>>,
    check_name: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<Vec<String>>,
}

/// `PUT /admin/v1/apps/{id}/push-tls`: in place of what was there.
pub(super) async fn set(State(admin): State<Admin>, Path(id): Path<String>, body: Bytes) -> Response {
    let given = match read::<GivenBody>(&body) {
        Ok(given) => given,
        Err(rule) => return invalid(&rule),
    };
    let own = OwnTls {
        ca: given.ca.map(Into::into),
        check_name: given.check_name.unwrap_or(true),
        certificate: given.certificate.map(Into::into),
        key: given.key,
    };
    match change(&admin, &id, Some(own)).await {
        Ok(()) => show(State(admin), Path(id)).await,
        Err(answer) => answer,
    }
}

/// `DELETE /admin/v1/apps/{id}/push-tls`
pub(super) async fn clear(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    match change(&admin, &id, None).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(answer) => answer,
    }
}

/// `GET /admin/v1/apps/{id}/push-tls`
pub(super) async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let app = match find(&admin.northbound, &id).await {
        Ok(app) => app,
        Err(answer) => return answer,
    };
    match admin.trust.tls(app.key).await {
        Ok(Some(tls)) => json(StatusCode::OK, &ShownBody::of(&tls)),
        Ok(None) => problem(
            StatusCode::NOT_FOUND,
            "no_push_tls",
            "the application has no TLS of its own for pushes",
        ),
        Err(error) => unavailable(&error),
    }
}

async fn change(admin: &Admin, id: &str, own: Option<OwnTls>) -> Result<(), Response> {
    let app = find(&admin.northbound, id).await?;
    let trust = Arc::clone(&admin.trust);
    let work = async move { trust.set_tls(app.key, own).await };
    finish(&admin.tasks, work)
        .await
        .map_err(|refused| answer(&refused))
}

impl<'a> ShownBody<'a> {
    fn of(tls: &'a PushTls) -> Self {
        Self {
            ca: tls.ca.as_deref(),
            ca_sha256: tls.ca.as_deref().map(fingerprints),
            check_name: tls.check_name,
            certificate: tls.certificate.as_deref(),
            certificate_sha256: tls.certificate.as_deref().map(fingerprints),
        }
    }
}
