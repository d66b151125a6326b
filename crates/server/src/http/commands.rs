//! Device commands: create, list, cancel, look at one.

mod cancel_tasks;
mod create;
mod invoke;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::Code;
use downlink_api::command::{
    Command, CommandPage, CommandResult, DeviceCommandResp, Pagination, parse_cancel, raw_object,
};
use downlink_api::time::WireTime;
use downlink_core::{AppId, CommandId, DeviceId, Status};
use downlink_store::{App, CommandFilter, Device, DeviceName, Record};
use http::StatusCode;

use super::auth::Caller;
use super::paging::{Paging, Window};
use super::request::{IdInPath, Text};
use super::{Api, Fault, Query, RequestId, finish, json};

pub(super) use cancel_tasks::{create_cancel_task, list_cancel_tasks};
pub(super) use create::{create, create_before};
pub(super) use invoke::invoke;

/// The most, and the default, of commands on a page.
const MAX_PAGE: u32 = 1000;

/// `GET /iocm/app/cmd/v1.4.0/deviceCommands`
pub(super) async fn list(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let (paging, window) = (Paging::of(&query, MAX_PAGE, MAX_PAGE)?, Window::of(&query)?);
    let device = match query.get("deviceId") {
        None => None,
        Some(id) => Some(device_of(&api, &app, &id, Code::NoDeviceData).await?.key),
    };
    let filter = CommandFilter {
        device,
        from: window.from,
        to: window.to,
        before: None,
    };
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let page = store
        .list(app.key, filter, paging.skip(), paging.page_size)
        .await?;
    let body = CommandPage {
        pagination: Pagination {
            page_no: paging.page_no,
            page_size: u64::from(paging.page_size),
            total_size: page.total,
        },
        data: page.items.iter().map(|record| shown(record, &app.id)).collect(),
    };
    json(StatusCode::OK, &body)
}

/// `GET /iocm/app/cmd/v1.4.0/deviceCommands/{id}`: not documented, but asked for by an old SDK.
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let record = record_of(&api, &app, &id).await?;
    json(StatusCode::OK, &shown(&record, &app.id))
}

/// `PUT /iocm/app/cmd/v1.4.0/deviceCommands/{id}`: can only cancel.
pub(super) async fn cancel(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    request: RequestId,
    body: Text,
) -> Result<Response, Fault> {
    parse_cancel(body.as_str())?;
    let id = parse_id(&id)?;
    let (engine, of) = (Arc::clone(&api.north.engine), Arc::clone(&app));
    let work = async move { engine.cancel(&of, id, request.as_str()).await };
    let record = finish(&api.tasks, work).await?;
    json(StatusCode::OK, &shown(&record, &app.id))
}

/// The application's command with this id.
pub(super) async fn record_of(api: &Api, app: &App, id: &str) -> Result<Record, Fault> {
    let id = parse_id(id)?;
    let found = api.north.engine.store().load(app.key, id).await?;
    found.ok_or_else(|| Code::NoCommand.into())
}

/// A text that is no id names no command.
fn parse_id(id: &str) -> Result<CommandId, Fault> {
    id.parse().map_err(|_| Code::NoCommand.into())
}

/// The application's device with this id. That it is another's is not said.
pub(super) async fn device_of(api: &Api, app: &App, id: &str, unknown: Code) -> Result<Device, Fault> {
    let id = DeviceId::new(id);
    let found = api.north.engine.store().device(DeviceName::Id(&id)).await?;
    found
        .filter(|device| device.app == app.key)
        .ok_or_else(|| unknown.into())
}

/// The record in the answer to its creation: no send is counted yet, and one at once was at the time of creation.
fn created<'a>(record: &'a Record, app: &'a AppId) -> DeviceCommandResp<'a> {
    let shown = shown(record, app);
    DeviceCommandResp {
        issued_times: 0,
        platform_issued_time: (record.status == Status::Sent).then_some(shown.creation_time),
        ..shown
    }
}

/// The record as it is.
pub(super) fn shown<'a>(record: &'a Record, app: &'a AppId) -> DeviceCommandResp<'a> {
    DeviceCommandResp {
        command_id: record.id,
        app_id: app.as_str(),
        device_id: record.device_id.as_str(),
        command: Command {
            service_id: &record.body.service,
            method: &record.body.method,
            paras: raw_object(&record.body.paras),
        },
        callback_url: record.callback.as_deref(),
        expire_time: record.expire_time,
        status: record.status.as_str(),
        result: result(record),
        creation_time: WireTime(record.created_at),
        execute_time: record.executed_at.map(WireTime),
        platform_issued_time: record.sent_at.map(WireTime),
        delivered_time: record.delivered_at.map(WireTime),
        issued_times: u32::from(record.sends),
        max_retransmit: record.max_retransmit,
    }
}

/// What the device answered, once it did.
fn result(record: &Record) -> Option<CommandResult<'_>> {
    record.executed_at.map(|_| CommandResult {
        result_code: record.status.as_str(),
        result_detail: record.result.as_deref().and_then(raw_object),
    })
}
