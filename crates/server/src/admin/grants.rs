//! Which applications may call in the name of another: given, listed, taken back.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use downlink_store::App;

use super::apps::{find, unavailable};
use super::{Admin, json, problem};
use crate::http::finish;

/// The most that are listed.
const LISTED: u32 = 1000;

/// `GET /admin/v1/apps/{id}/authorized`
pub(super) async fn list(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let owner = match find(&admin.northbound, &id).await {
        Ok(owner) => owner,
        Err(answer) => return answer,
    };
    match admin.northbound.engine.store().grants(owner.key, LISTED).await {
        Ok(apps) => {
            let ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
            json(StatusCode::OK, &serde_json::json!({ "authorized": ids }))
        }
        Err(error) => unavailable(&error),
    }
}

/// `PUT /admin/v1/apps/{id}/authorized/{other}`: from its next call on the other one may name this application as `appId`.
pub(super) async fn add(State(admin): State<Admin>, Path(ids): Path<(String, String)>) -> Response {
    let (owner, other) = match both(&admin, &ids).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let engine = std::sync::Arc::clone(&admin.northbound.engine);
    let work = async move { engine.store().grant(owner.key, other.key).await };
    match finish(&admin.tasks, work).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(
            StatusCode::CONFLICT,
            "not_authorizable",
            "an application needs no authorization for itself, and a removed one gets none",
        ),
        Err(error) => unavailable(&error),
    }
}

/// `DELETE /admin/v1/apps/{id}/authorized/{other}`: its next call is refused. What it made stays.
pub(super) async fn remove(State(admin): State<Admin>, Path(ids): Path<(String, String)>) -> Response {
    let (owner, other) = match both(&admin, &ids).await {
        Ok(both) => both,
        Err(answer) => return answer,
    };
    let engine = std::sync::Arc::clone(&admin.northbound.engine);
    let work = async move { engine.store().withdraw(owner.key, other.key).await };
    match finish(&admin.tasks, work).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(
            StatusCode::NOT_FOUND,
            "not_authorized",
            "this application was not authorized",
        ),
        Err(error) => unavailable(&error),
    }
}

async fn both(admin: &Admin, ids: &(String, String)) -> Result<(App, App), Response> {
    let owner = find(&admin.northbound, &ids.0).await?;
    let other = find(&admin.northbound, &ids.1).await?;
    Ok((owner, other))
}
