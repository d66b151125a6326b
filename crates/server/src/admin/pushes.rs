//! Stored pushes: listed, shown with their attempts, sent again, dropped; and a push to try a receiver with.
//!
//! Each call does a bounded amount. Excerpts of answers are shown here and nowhere else: they are for the operator.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use downlink_api::time::{IsoTime, WireTime};
use downlink_core::CommandId;
use downlink_store::{Attempt, PushContent, PushFilter, PushId, PushState, ReceiverKey, StoredPush};
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::Names;
use super::{Admin, Problem, apps, json as answer};
use crate::clock;
use crate::http::finish;

/// Pushes on a page, and where nothing else is asked for.
const PAGE: (u32, u32) = (1000, 100);
/// What a test push says.
const TEST_BODY: &[u8] = br#"{"notifyType":"test"}"#;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    app: Option<String>,
    receiver: Option<i64>,
    command: Option<String>,
    state: Option<String>,
    since: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    app: String,
    url: String,
}

/// `GET /admin/v1/pushes?app&receiver&command&state&since&after&limit`
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let limit = which.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
    let after = which.after.map(PushId);
    let filter = which.filter(&admin).await?;
    let pushes = admin.store().stored_pushes(filter, after, limit).await?;
    let next = pushes.last().filter(|_| pushes.len() >= limit as usize);
    let next = next.map(|push| push.id.0);
    let mut names = Names::new(&admin);
    let mut shown = Vec::with_capacity(pushes.len());
    for push in &pushes {
        let app = names.of(push.app).await?;
        shown.push(show(push, app));
    }
    Ok(answer(
        StatusCode::OK,
        &json!({ "pushes": shown, "nextAfter": next }),
    ))
}

/// `GET /admin/v1/pushes/{id}`: with its attempts.
pub(super) async fn one(State(admin): State<Admin>, Path(id): Path<i64>) -> Result<Response, Problem> {
    let push = find(&admin, id).await?;
    let app = Names::new(&admin).of(push.app).await?;
    let mut shown = show(&push, app);
    shown["attempts"] = push.attempts.iter().map(show_attempt).collect();
    Ok(answer(StatusCode::OK, &shown))
}

/// `POST /admin/v1/pushes/{id}/replay`: it and all after it of its order, if it was given up.
pub(super) async fn replay(State(admin): State<Admin>, Path(id): Path<i64>) -> Result<Response, Problem> {
    find(&admin, id).await?;
    let work = {
        let admin = admin.clone();
        async move { replay_some(&admin, only(id)).await }
    };
    match finish(&admin.tasks, work).await? {
        0 => Err(Problem::new(
            StatusCode::CONFLICT,
            "not_dead",
            "this push was not given up: it waits",
        )),
        replayed => Ok(answer(StatusCode::OK, &json!({ "replayed": replayed }))),
    }
}

/// `DELETE /admin/v1/pushes/{id}`: it is never told.
pub(super) async fn remove(State(admin): State<Admin>, Path(id): Path<i64>) -> Result<Response, Problem> {
    let push = find(&admin, id).await?;
    let work = {
        let admin = admin.clone();
        async move {
            let dropped = admin.store().drop_pushes(only(id), clock::now(), 1).await;
            // It may be in mind, and the one after it may be ready now.
            admin.desk.changed(push.receiver).await;
            dropped
        }
    };
    match finish(&admin.tasks, work).await? {
        0 => Err(unknown()),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// `POST /admin/v1/pushes/test`: one attempt, told as it went.
pub(super) async fn test(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let asked: Test = super::parse(&body)?;
    let app = apps::named(&admin.northbound, &asked.app).await?;
    let attempt = admin.desk.test(app.key, &asked.url, TEST_BODY).await;
    Ok(answer(StatusCode::OK, &show_attempt(&attempt)))
}

/// Sends again what `filter` selects, of a bounded number of keys, and tells the dispatcher. Gives how many pushes wait again.
pub(super) async fn replay_some(
    admin: &Admin,
    filter: PushFilter,
) -> Result<u64, downlink_store::StoreError> {
    let (replayed, receivers) = admin.store().replay(filter, clock::now(), PAGE.0).await?;
    for receiver in receivers {
        admin.desk.sent_again(receiver).await;
        admin.desk.probe(receiver).await;
    }
    Ok(replayed)
}

/// What one call changes at the most.
pub(super) const AT_ONCE: u32 = PAGE.0;

impl Which {
    async fn filter(self, admin: &Admin) -> Result<PushFilter, Problem> {
        let app = match &self.app {
            Some(id) => Some(apps::named(&admin.northbound, id).await?.key),
            None => None,
        };
        let command = self.command.as_deref().map(|id| {
            id.parse::<CommandId>()
                .map_err(|_| Problem::invalid("`command` is no id of a command"))
        });
        Ok(PushFilter {
            id: None,
            app,
            receiver: self.receiver.map(ReceiverKey),
            command: command.transpose()?,
            state: self.state.as_deref().map(state_of).transpose()?,
            since: self.since.as_deref().map(since_of).transpose()?,
        })
    }
}

pub(super) fn since_of(text: &str) -> Result<downlink_core::Timestamp, Problem> {
    let time = WireTime::parse(text).map(|time| time.0);
    time.ok_or_else(|| Problem::invalid("`since` must be a time like 20260102T030405Z"))
}

pub(super) fn state_of(word: &str) -> Result<PushState, Problem> {
    match word {
        "due" => Ok(PushState::Due),
        "held" => Ok(PushState::Held),
        "dead" => Ok(PushState::Dead),
        _ => Err(Problem::invalid("`state` must be due, held or dead")),
    }
}

const fn word_of(state: PushState) -> &'static str {
    match state {
        PushState::Due => "due",
        PushState::Held => "held",
        PushState::Dead => "dead",
    }
}

fn only(id: i64) -> PushFilter {
    PushFilter {
        id: Some(PushId(id)),
        ..PushFilter::default()
    }
}

async fn find(admin: &Admin, id: i64) -> Result<StoredPush, Problem> {
    let found = admin.store().stored_pushes(only(id), None, 1).await;
    let found = found?;
    found.into_iter().next().ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_push",
        "there is no such push (any more)",
    )
}

fn show(push: &StoredPush, app: Option<Arc<str>>) -> Value {
    let mut shown = json!({
        "id": push.id.0,
        "app": app.as_deref(),
        "receiver": push.receiver.0,
        "origin": &*push.origin,
        "state": word_of(push.state),
        "behind": push.behind,
        "sequence": push.seq,
        "tries": push.tries,
        "at": IsoTime(push.at).to_string(),
        "nextAt": IsoTime(push.next_at).to_string(),
        "deadBecause": push.dead_because.as_deref(),
    });
    match (&push.content, push.key.command()) {
        (
            PushContent::Change {
                device_id, status, ..
            },
            command,
        ) => {
            shown["deviceId"] = device_id.as_str().into();
            shown["status"] = status.as_str().into();
            if let Some(command) = command {
                shown["commandId"] = command.to_string().into();
                shown["webhookId"] = format!("{command}-{}", push.seq).into();
            }
        }
        (PushContent::Notice { id, .. }, _) => shown["webhookId"] = (&**id).into(),
    }
    shown
}

fn show_attempt(attempt: &Attempt) -> Value {
    json!({
        "at": IsoTime(attempt.at).to_string(),
        "tookMs": attempt.took_ms,
        "outcome": &*attempt.outcome,
        "phase": &*attempt.phase,
        "status": attempt.status,
        "detail": &*attempt.detail,
        "excerpt": &*attempt.excerpt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_states_are_read_back() {
        for state in [PushState::Due, PushState::Held, PushState::Dead] {
            assert_eq!(state_of(word_of(state)).unwrap(), state);
        }
        assert!(state_of("gone").is_err() && since_of("yesterday").is_err());
    }
}
