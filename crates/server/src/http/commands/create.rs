//! Creating commands, by the path of today and by an older one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::Code;
use downlink_api::command::CreateCommand;
use downlink_core::CommandBody;
use downlink_store::{App, Record};
use http::StatusCode;

use super::{created, device_of};
use crate::engine::{Answered, CreateRequest, gate};
use crate::http::auth::Caller;
use crate::http::idempotency::{IdempotencyKey, mark_replayed};
use crate::http::request::{IdInPath, Text};
use crate::http::{Api, Fault, RequestId, finish, json};

/// `POST /iocm/app/cmd/v1.4.0/deviceCommands`
pub(in crate::http) async fn create(
    State(api): State<Api>,
    Caller(app): Caller,
    id: RequestId,
    key: IdempotencyKey,
    body: Text,
) -> Result<Response, Fault> {
    let asked = CreateCommand::parse(body.as_str(), api.north.config.commands.max_paras_bytes)?;
    answer(&api, app, id, key, asked, StatusCode::CREATED).await
}

/// `POST /iocm/app/cmd/v1.2.0/devices/{deviceId}/commands`: the older form, answered with 200.
pub(in crate::http) async fn create_before(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(device): IdInPath,
    id: RequestId,
    key: IdempotencyKey,
    body: Text,
) -> Result<Response, Fault> {
    let max_paras = api.north.config.commands.max_paras_bytes;
    let asked = CreateCommand::parse_for(device, body.as_str(), max_paras)?;
    answer(&api, app, id, key, asked, StatusCode::OK).await
}

async fn answer(
    api: &Api,
    app: Arc<App>,
    id: RequestId,
    key: IdempotencyKey,
    asked: CreateCommand<'_>,
    success: StatusCode,
) -> Result<Response, Fault> {
    let answered = make(api, &app, id, key, asked).await?;
    let replayed = answered.repeats.is_some();
    let record = as_answered(answered);
    let mut response = json(success, &created(&record, &app.id))?;
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}

async fn make(
    api: &Api,
    app: &Arc<App>,
    id: RequestId,
    key: IdempotencyKey,
    asked: CreateCommand<'_>,
) -> Result<Answered, Fault> {
    if let Some(url) = &asked.callback_url {
        api.north.callbacks.check(url)?;
    }
    let key = key.of(&asked);
    // Before anything is looked at that may have changed since the first call.
    if let Some(key) = &key
        && let Some(answered) = api.north.engine.repeat(app, key).await?
    {
        return Ok(answered);
    }
    let device = device_of(api, app, &asked.device_id, Code::NoDeviceData).await?;
    let most = api.north.config.commands.max_silence_days;
    gate::pass(&device, &asked.service_id, &asked.method, most)?;
    let request = CreateRequest {
        device: device.key,
        device_id: device.id,
        product: device.product,
        work_mode: device.work_mode,
        body: CommandBody {
            service: asked.service_id,
            method: asked.method,
            paras: asked.paras.to_owned(),
        },
        callback: asked.callback_url,
        expire_time: asked.expire_time,
        max_retransmit: asked.max_retransmit,
        request_id: id.as_str().to_owned(),
        key,
        call_id: None,
        unanswered: false,
    };
    let (engine, of) = (Arc::clone(&api.north.engine), Arc::clone(app));
    Ok(finish(&api.tasks, async move { engine.create(&of, request).await }).await?)
}

/// The record of a repeated call as it was when the first one was answered.
fn as_answered(answered: Answered) -> Record {
    let record = answered.record;
    match answered.repeats {
        None => record,
        Some(status) => Record {
            status,
            delivered_at: None,
            executed_at: None,
            result: None,
            ..record
        },
    }
}
