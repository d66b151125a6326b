//! Cancel tasks: all that waits for a device, withdrawn with one call.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::cancel_task::{CancelTaskPage, CancelTaskResp, parse_cancel_task};
use downlink_api::command::Pagination;
use downlink_api::{Code, Invalid};
use downlink_core::AppId;
use downlink_store::{
    App, CancelTask, CancelTaskFilter, CancelTaskRefused, CancelTaskState, Page, Record, ShownCancelTask,
};
use http::StatusCode;

use super::{MAX_PAGE, device_of, shown};
use crate::http::auth::Caller;
use crate::http::paging::{Paging, Window};
use crate::http::request::Text;
use crate::http::{Api, Fault, Query, finish, json};

/// The most commands in one answer, over all of its tasks.
const MAX_RECORDS: u32 = 1000;

/// `POST /iocm/app/cmd/v1.4.0/deviceCommandCancelTasks`
pub(in crate::http) async fn create_cancel_task(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let device = parse_cancel_task(body.as_str())?;
    let device = device_of(&api, &app, &device, Code::NoDeviceData).await?.key;
    let (engine, of) = (Arc::clone(&api.north.engine), app.key);
    let work = async move { engine.create_cancel_task(of, device).await };
    let task = finish(&api.tasks, work).await?.map_err(|refused| match refused {
        CancelTaskRefused::NoDevice => Fault::from(Code::NoDeviceData),
        CancelTaskRefused::TooMany => Fault::new(
            Code::Congested,
            "Too many cancel tasks of the application are not over.",
        ),
    })?;
    let filter = CancelTaskFilter {
        id: Some(Arc::clone(&task.id)),
        ..CancelTaskFilter::default()
    };
    let first = Paging {
        page_no: 0,
        page_size: 1,
    };
    let found = read(&api, &app, filter, first).await?.items.pop();
    let records = found.map(|found| found.records).unwrap_or_default();
    json(StatusCode::CREATED, &view(&task, &records, &app.id))
}

/// `GET /iocm/app/cmd/v1.4.0/deviceCommandCancelTasks`
pub(in crate::http) async fn list_cancel_tasks(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let (paging, window) = (Paging::of(&query, MAX_PAGE, MAX_PAGE)?, Window::of(&query)?);
    let device = match query.get("deviceId") {
        None => None,
        Some(id) => Some(device_of(&api, &app, &id, Code::NoDeviceData).await?.key),
    };
    let filter = CancelTaskFilter {
        id: query.get("taskId").map(Arc::from),
        device,
        state: query.get("status").map(|word| state(&word)).transpose()?,
        from: window.from,
        to: window.to,
    };
    let page = read(&api, &app, filter, paging).await?;
    let views = page
        .items
        .iter()
        .map(|found| view(&found.task, &found.records, &app.id));
    let body = CancelTaskPage {
        pagination: Pagination {
            page_no: paging.page_no,
            page_size: u64::from(paging.page_size),
            total_size: page.total,
        },
        data: views.collect(),
    };
    json(StatusCode::OK, &body)
}

async fn read(
    api: &Api,
    app: &App,
    filter: CancelTaskFilter,
    paging: Paging,
) -> Result<Page<ShownCancelTask>, Fault> {
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let (skip, limit) = (paging.skip(), paging.page_size);
    Ok(store
        .cancel_tasks(app.key, filter, skip, limit, MAX_RECORDS)
        .await?)
}

/// The state with this name; also where somebody mends the platform's spelling.
fn state(word: &str) -> Result<CancelTaskState, Invalid> {
    let word = match word.trim() {
        "WAITING" => "WAITTING",
        word => word,
    };
    let known = CancelTaskState::ALL
        .into_iter()
        .find(|state| state.as_str() == word);
    known.ok_or_else(|| {
        Invalid::new(
            "status",
            "must be WAITTING, RUNNING, SUCCESS, PART_SUCCESS or FAILED",
        )
    })
}

fn view<'a>(task: &'a CancelTask, records: &'a [Record], app: &'a AppId) -> CancelTaskResp<'a> {
    CancelTaskResp {
        task_id: &task.id,
        app_id: app.as_str(),
        device_id: task.device_id.as_str(),
        status: task.state.as_str(),
        total_count: task.total,
        device_commands: records.iter().map(|record| shown(record, app)).collect(),
    }
}
