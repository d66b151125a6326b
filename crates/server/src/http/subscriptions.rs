//! Subscriptions: what an application wants to be told of, and where. Making the notices is the store's business,
//! sending them `push`'s.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use downlink_api::subscription::{Subscribe, SubscriptionPage, SubscriptionView};
use downlink_api::{Code, Invalid};
use downlink_store::subscription::MAX_SUBSCRIPTIONS;
use downlink_store::{App, NotifyType, SubscribeRefused, Subscription, SubscriptionFilter};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::auth::Caller;
use super::paging::Paging;
use super::request::{IdInPath, Text};
use super::{Api, Fault, JSON, Query, finish, json, no_content};
use crate::clock;
use crate::push;
use crate::secrets::random_uuid;

/// Subscriptions on a page, by default and at the most.
const PAGE: (u32, u32) = (10, 250);
/// The channel there is.
const HTTP: &str = "HTTP";

/// `POST /iocm/app/sub/v1.2.0/subscriptions`
pub(super) async fn subscribe(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let made = make(&api, &app, body.as_str(), |_| true).await?;
    json(StatusCode::CREATED, &view(&made))
}

/// `POST /iocm/app/sub/v1.1.0/subscribe` and `v1.2.0`: the older form, answered without a body.
pub(super) async fn subscribe_before(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    make(&api, &app, body.as_str(), |_| true).await?;
    Ok(empty(StatusCode::CREATED))
}

/// `POST /iodm/app/sub/v1.1.0/subscribe`: to what becomes of upgrades. Kept; there are none to tell of.
pub(super) async fn subscribe_to_upgrades(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    make(&api, &app, body.as_str(), NotifyType::is_of_upgrades).await?;
    Ok(empty(StatusCode::OK))
}

async fn make(
    api: &Api,
    app: &App,
    body: &str,
    may: impl Fn(NotifyType) -> bool,
) -> Result<Subscription, Fault> {
    let asked = Subscribe::parse(body)?;
    let notify_type = notify_type(&asked.notify_type, may)?;
    api.north.callbacks.check(&asked.callback_url)?;
    let origin = push::origin(&asked.callback_url)
        .ok_or_else(|| Fault::new(Code::BadCallback, "callbackUrl: is not a valid URL."))?;
    if !asked.channel.eq_ignore_ascii_case(HTTP) {
        return Err(Invalid::new("channel", "must be HTTP").into());
    }
    let new = Subscription {
        id: random_uuid().to_string().into(),
        app: app.key,
        notify_type,
        callback: asked.callback_url.into(),
        origin,
        channel: HTTP.into(),
        created_at: clock::now(),
    };
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.store().subscribe(new).await };
    finish(&api.tasks, work).await?.map_err(|refused| match refused {
        SubscribeRefused::Conflict => Fault::new(
            Code::Conflict,
            "notifyType: is subscribed to already, with another callbackUrl.",
        ),
        SubscribeRefused::TooMany => Fault::new(
            Code::InvalidInput,
            format!("An application has at most {MAX_SUBSCRIPTIONS} subscriptions."),
        ),
        SubscribeRefused::NoApp => Code::NoApp.into(),
    })
}

fn notify_type(name: &str, may: impl Fn(NotifyType) -> bool) -> Result<NotifyType, Fault> {
    NotifyType::of(name)
        .filter(|kind| may(*kind))
        .ok_or_else(|| Invalid::new("notifyType", "is none that can be subscribed to here").into())
}

/// `GET /iocm/app/sub/v1.2.0/subscriptions/{id}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let found = api.north.engine.store().subscription(app.key, &id).await?;
    let found = found.ok_or_else(|| Fault::from(Code::NotFound))?;
    json(StatusCode::OK, &view(&found))
}

/// `GET /iocm/app/sub/v1.2.0/subscriptions`. Without a page number all are given.
pub(super) async fn list(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let paging = match query.get("pageNo") {
        Some(_) => Paging::of(&query, PAGE.0, PAGE.1)?,
        None => Paging {
            page_no: 0,
            page_size: PAGE.1,
        },
    };
    let filter = SubscriptionFilter {
        callback: None,
        channel: None,
        ..filter(&query)?
    };
    let store = api.north.engine.store();
    let page = store
        .subscriptions(app.key, filter, paging.skip(), paging.page_size)
        .await?;
    let body = SubscriptionPage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        subscriptions: page.items.iter().map(view).collect(),
    };
    json(StatusCode::OK, &body)
}

/// `DELETE /iocm/app/sub/v1.2.0/subscriptions/{id}`
pub(super) async fn remove(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.store().unsubscribe(app.key, &id).await };
    match finish(&api.tasks, work).await? {
        true => Ok(no_content()),
        false => Err(Code::NotFound.into()),
    }
}

/// `DELETE /iocm/app/sub/v1.2.0/subscriptions`. Without a filter all go; also if there is nothing to remove it is done.
pub(super) async fn remove_many(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let filter = filter(&query)?;
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.store().unsubscribe_many(app.key, filter).await };
    finish(&api.tasks, work).await?;
    Ok(no_content())
}

fn filter(query: &Query) -> Result<SubscriptionFilter, Fault> {
    let kind = query.get("notifyType");
    Ok(SubscriptionFilter {
        notify_type: kind.map(|name| notify_type(&name, |_| true)).transpose()?,
        callback: query.get("callbackUrl").map(Into::into),
        channel: query.get("channel").map(|name| name.to_ascii_uppercase()),
    })
}

fn view(subscription: &Subscription) -> SubscriptionView<'_> {
    SubscriptionView {
        subscription_id: &subscription.id,
        notify_type: subscription.notify_type.as_str(),
        callback_url: &subscription.callback,
    }
}

/// An answer without a body, but with its type: old SDKs fail without.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
