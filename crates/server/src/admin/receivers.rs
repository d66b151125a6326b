//! Receivers that the store knows: listed, held and released, given a rate; their stored pushes sent again or dropped.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use downlink_api::time::IsoTime;
use downlink_core::AppKey;
use downlink_store::{PushFilter, ReceiverKey, StoreError, StoredReceiver};
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::Names;
use super::pushes::{AT_ONCE, replay_some, since_of, state_of};
use super::{Admin, Problem, apps, json as answer, parse};
use crate::http::finish;
use crate::push::{Breaker, ReceiverState};
use crate::{clock, push};

/// Receivers on a page, and where nothing else is asked for.
const PAGE: (u32, u32) = (1000, 100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    #[serde(default)]
    busy: bool,
    /// Those in memory, whether the store knows them or not; not paged.
    #[serde(default)]
    live: bool,
    after: Option<i64>,
    limit: Option<u32>,
}

/// A receiver, by its key or by an application and a URL that leads there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    key: Option<i64>,
    app: Option<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rated {
    key: Option<i64>,
    app: Option<String>,
    url: Option<String>,
    /// Null: no limit of its own. It has to be there: what was forgotten must not take a limit away.
    #[serde(deserialize_with = "Option::deserialize")]
    rate: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    since: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    state: String,
}

/// `GET /admin/v1/receivers?busy&after&limit`, or `?live&limit`
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let limit = paging.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
    if paging.live {
        return list_live(&admin, limit as usize).await;
    }
    let after = paging.after.map(ReceiverKey);
    let receivers = admin.store().receivers(after, paging.busy, limit).await?;
    let next = receivers.last().filter(|_| receivers.len() >= limit as usize);
    let next = next.map(|receiver| receiver.key.0);
    let keys = receivers.iter().map(|receiver| receiver.key).collect();
    let states = admin.desk.states(keys).await;
    let mut names = Names::new(&admin);
    let mut shown = Vec::with_capacity(receivers.len());
    for (receiver, state) in receivers.iter().zip(&states) {
        let app = names.of(receiver.app).await?;
        shown.push(show(receiver, app, state.as_ref()));
    }
    Ok(answer(
        StatusCode::OK,
        &json!({ "receivers": shown, "nextAfter": next }),
    ))
}

/// Those in memory: whose breaker is open first, then those with the most attempts under way.
async fn list_live(admin: &Admin, limit: usize) -> Result<Response, Problem> {
    let mut names = Names::new(admin);
    let mut shown = Vec::new();
    for state in admin.desk.live(limit).await {
        let app = names.of(state.app).await?;
        shown.push(json!({
            "key": state.key.map(|key| key.0),
            "app": app.as_deref(),
            "origin": &*state.origin,
            "state": show_state(&state),
        }));
    }
    Ok(answer(
        StatusCode::OK,
        &json!({ "receivers": shown, "nextAfter": null }),
    ))
}

/// `POST /admin/v1/receivers/hold`: it keeps its pushes until it is released.
pub(super) async fn hold(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    set_held(admin, &body, true).await
}

/// `POST /admin/v1/receivers/release`
pub(super) async fn release(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    set_held(admin, &body, false).await
}

async fn set_held(admin: Admin, body: &Bytes, held: bool) -> Result<Response, Problem> {
    let named: Named = parse(body)?;
    let (app, origin) = named.find(&admin).await?;
    let northbound = Arc::clone(&admin.northbound);
    let work = async move {
        northbound
            .engine
            .store()
            .set_held(app, origin, held, clock::now())
            .await
    };
    changed(admin, work, !held).await
}

/// `PUT /admin/v1/receivers/rate`: pushes a second at the most; null: no limit of its own.
pub(super) async fn rate(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let asked: Rated = parse(&body)?;
    if asked.rate == Some(0) {
        return Err(Problem::invalid(
            "`rate` must be 1 or more, or null; to stop pushes hold the receiver",
        ));
    }
    let rate = asked.rate;
    let named = Named {
        key: asked.key,
        app: asked.app,
        url: asked.url,
    };
    let (app, origin) = named.find(&admin).await?;
    let northbound = Arc::clone(&admin.northbound);
    let work = async move { northbound.engine.store().set_rate(app, origin, rate).await };
    changed(admin, work, false).await
}

/// Does the work to its end, tells the dispatcher, has it probe if that is wanted, shows the receiver.
async fn changed<W>(admin: Admin, work: W, probe: bool) -> Result<Response, Problem>
where
    W: Future<Output = Result<StoredReceiver, StoreError>> + Send + 'static,
{
    let desk = Arc::clone(&admin.desk);
    let work = async move {
        let receiver = work.await?;
        desk.changed(receiver.key).await;
        if probe {
            desk.probe(receiver.key).await;
        }
        Ok::<_, StoreError>(receiver)
    };
    let receiver = finish(&admin.tasks, work).await?;
    let app = Names::new(&admin).of(receiver.app).await?;
    let state = admin.desk.states(vec![receiver.key]).await.pop().flatten();
    Ok(answer(StatusCode::OK, &show(&receiver, app, state.as_ref())))
}

/// `POST /admin/v1/receivers/{key}/replay`: some of what was given up since then; `more`: ask again.
pub(super) async fn replay(
    State(admin): State<Admin>,
    Path(key): Path<i64>,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: Replay = match body.is_empty() {
        true => Replay::default(),
        false => parse(&body)?,
    };
    let since = asked.since.as_deref().map(since_of).transpose()?;
    known(&admin, key).await?;
    let filter = PushFilter {
        receiver: Some(ReceiverKey(key)),
        since,
        ..PushFilter::default()
    };
    let work = {
        let admin = admin.clone();
        async move { replay_some(&admin, filter).await }
    };
    let replayed = finish(&admin.tasks, work).await?;
    // As many keys as were allowed have at the least as many pushes.
    let more = replayed >= u64::from(AT_ONCE);
    Ok(answer(
        StatusCode::OK,
        &json!({ "replayed": replayed, "more": more }),
    ))
}

/// `POST /admin/v1/receivers/{key}/drop`: some of its pushes in this state, never to be told; `more`: ask again.
pub(super) async fn drop_some(
    State(admin): State<Admin>,
    Path(key): Path<i64>,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: Drop = parse(&body)?;
    let state = state_of(&asked.state)?;
    known(&admin, key).await?;
    let filter = PushFilter {
        receiver: Some(ReceiverKey(key)),
        state: Some(state),
        ..PushFilter::default()
    };
    let work = {
        let admin = admin.clone();
        async move {
            let dropped = admin.store().drop_pushes(filter, clock::now(), AT_ONCE).await;
            admin.desk.changed(ReceiverKey(key)).await;
            dropped
        }
    };
    let dropped = finish(&admin.tasks, work).await?;
    let more = dropped >= u64::from(AT_ONCE);
    Ok(answer(
        StatusCode::OK,
        &json!({ "dropped": dropped, "more": more }),
    ))
}

impl Named {
    /// The application and origin that are meant.
    async fn find(self, admin: &Admin) -> Result<(AppKey, Arc<str>), Problem> {
        match (self.key, self.app, self.url) {
            (Some(key), None, None) => {
                let receiver = known(admin, key).await?;
                Ok((receiver.app, receiver.origin))
            }
            (None, Some(app), Some(url)) => {
                let app = apps::named(&admin.northbound, &app).await?;
                let origin = push::origin_of(&url);
                let origin = origin.ok_or_else(|| Problem::invalid("`url` is none that can be pushed to"))?;
                Ok((app.key, origin))
            }
            (Some(_) | None, _, _) => Err(Problem::invalid("give either `key`, or `app` and `url`")),
        }
    }
}

async fn known(admin: &Admin, key: i64) -> Result<StoredReceiver, Problem> {
    let found = admin.store().receiver(ReceiverKey(key)).await;
    let unknown = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_receiver",
            "there is no such receiver",
        )
    };
    found?.ok_or_else(unknown)
}

fn show(receiver: &StoredReceiver, app: Option<Arc<str>>, state: Option<&ReceiverState>) -> Value {
    json!({
        "key": receiver.key.0,
        "app": app.as_deref(),
        "origin": &*receiver.origin,
        "heldAt": receiver.held_at.map(|at| IsoTime(at).to_string()),
        "rate": receiver.rate,
        "waiting": receiver.waiting,
        "dead": receiver.dead,
        "state": state.map(show_state),
    })
}

fn show_state(state: &ReceiverState) -> Value {
    let (breaker, failures, next_probe_at) = match state.breaker {
        Breaker::Closed { failures } => ("closed", Some(failures), None),
        Breaker::Open { next_probe_at } => ("open", None, next_probe_at),
    };
    json!({
        "breaker": breaker,
        "failuresInRow": failures,
        "nextProbeAt": next_probe_at.map(|at| IsoTime(at).to_string()),
        "inFlight": state.in_flight,
        "limit": state.limit,
        "pausedUntil": state.paused_until.map(|at| IsoTime(at).to_string()),
        "inMemory": state.in_memory,
    })
}
