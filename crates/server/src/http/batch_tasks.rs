//! Batch tasks: one command for many devices.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::batch_task::{
    BatchDevices, BatchParam, BatchTaskCreated, BatchTaskResp, CreateBatchTask, TaskDetail, TaskDetailPage,
    TaskDetailParam,
};
use downlink_api::command::{Command, raw_object};
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_core::{AppId, CommandBody, DeviceId};
use downlink_store::{
    App, BatchRefused, BatchState, BatchTargets, BatchTask, GroupNaming, Subtask, SubtaskFilter, SubtaskState,
};
use http::StatusCode;

use super::auth::Caller;
use super::paging::Paging;
use super::request::{IdInPath, Text};
use super::{Api, Fault, Query, finish, json};
use crate::clock;
use crate::engine::BatchRequest;

/// Sub-tasks on a page, by default and at the most.
const PAGE: (u32, u32) = (25, 250);

/// `POST /iocm/app/batchtask/v1.1.0/tasks`
pub(super) async fn create(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let config = &api.north.config;
    let asked = CreateBatchTask::parse(
        body.as_str(),
        config.batch.max_devices,
        config.commands.max_paras_bytes,
    )?;
    if asked
        .app_id
        .as_deref()
        .is_some_and(|owner| owner != app.id.as_str())
    {
        return Err(Code::NotAuthorized.into());
    }
    if let Some(url) = &asked.callback_url {
        api.north.callbacks.check(url)?;
    }
    let (engine, request) = (Arc::clone(&api.north.engine), request(asked));
    let work = async move { engine.create_batch_task(&app, request).await };
    let id = finish(&api.tasks, work).await?.map_err(|refused| match refused {
        BatchRefused::TooManyOpen => Fault::from(Code::TooManyTasks),
        BatchRefused::TooManyKept => Fault::new(
            Code::Congested,
            "Too many batch tasks of the application are kept.",
        ),
        BatchRefused::NameTaken => Fault::from(Code::TaskNameTaken),
        BatchRefused::NoGroup(group) => Fault::new(Code::NoGroup, format!("param.groupList: {group}.")),
    })?;
    let body = BatchTaskCreated {
        as_documented: &id,
        as_elsewhere: &id,
    };
    json(StatusCode::OK, &body)
}

fn request(asked: CreateBatchTask<'_>) -> BatchRequest {
    BatchRequest {
        name: asked.name,
        targets: match asked.devices {
            BatchDevices::List(ids) => BatchTargets::List(ids),
            BatchDevices::Type {
                device_type,
                manufacturer_id,
                model,
            } => BatchTargets::Type {
                device_type,
                manufacturer_id,
                model,
            },
            BatchDevices::Area(location) => BatchTargets::Area(location),
            BatchDevices::Groups(groups) => BatchTargets::Groups {
                naming: GroupNaming::IdOrName,
                groups,
            },
            BatchDevices::GroupIds(groups) => BatchTargets::Groups {
                naming: GroupNaming::Id,
                groups,
            },
            BatchDevices::All => BatchTargets::All,
        },
        body: CommandBody {
            service: asked.service_id,
            method: asked.method,
            paras: asked.paras.to_owned(),
        },
        callback: asked.callback_url,
        max_retransmit: asked.max_retransmit,
        tags: asked.tags,
        minutes: asked.minutes,
    }
}

/// `GET /iocm/app/batchtask/v1.1.0/tasks/{taskId}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    query: Query,
) -> Result<Response, Fault> {
    let task = task_of(&api, &app, &id).await?;
    let with_tags = query
        .get("select")
        .is_some_and(|select| select.eq_ignore_ascii_case("tag"));
    json(StatusCode::OK, &view(&task, &app.id, with_tags))
}

/// `GET /iocm/app/batchtask/v1.1.0/taskDetails`
pub(super) async fn details(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let paging = Paging::of(&query, PAGE.0, PAGE.1)?;
    let id = query.get("taskId").ok_or_else(|| Invalid::missing("taskId"))?;
    let task = task_of(&api, &app, &id).await?;
    let filter = filter(&query)?;
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let page = store
        .subtasks(task.key, filter, paging.skip(), paging.page_size)
        .await?;
    let body = TaskDetailPage {
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        total_count: page.total,
        task_details: page.items.iter().map(detail).collect(),
    };
    json(StatusCode::OK, &body)
}

async fn task_of(api: &Api, app: &App, id: &str) -> Result<BatchTask, Fault> {
    let found = api
        .north
        .engine
        .store()
        .batch_task(app.key, Arc::from(id))
        .await?;
    found.ok_or_else(|| Code::NoTask.into())
}

fn filter(query: &Query) -> Result<SubtaskFilter, Fault> {
    let states = match query.get("status") {
        None => Vec::new(),
        Some(word) => states(word.trim())?,
    };
    let command = match query.get("commandId") {
        None => None,
        Some(id) => Some(
            id.parse()
                .map_err(|_| Invalid::new("commandId", "must be 32 hex digits"))?,
        ),
    };
    Ok(SubtaskFilter {
        states,
        device: query.get("deviceId").map(|id| DeviceId::new(id.as_ref())),
        command,
    })
}

/// The states that are shown by this word.
fn states(word: &str) -> Result<Vec<SubtaskState>, Invalid> {
    let named = |state: &SubtaskState| status_of(*state) == word;
    let states: Vec<_> = SubtaskState::ALL.into_iter().filter(named).collect();
    match states.is_empty() {
        true => Err(Invalid::new(
            "status",
            "must be Pending, WaitResult, Success, Fail or Timeout",
        )),
        false => Ok(states),
    }
}

const fn status_of(state: SubtaskState) -> &'static str {
    match state {
        SubtaskState::Pending => "Pending",
        SubtaskState::WaitResult => "WaitResult",
        SubtaskState::Success => "Success",
        SubtaskState::Fail => "Fail",
        SubtaskState::Timeout | SubtaskState::Expired => "Timeout",
    }
}

fn detail(subtask: &Subtask) -> TaskDetail<'_> {
    TaskDetail {
        status: status_of(subtask.state),
        output: subtask.result.as_deref(),
        error: subtask.error.as_deref(),
        param: TaskDetailParam {
            device_id: subtask.device_id.as_str(),
            command_id: subtask.command,
        },
    }
}

fn view<'a>(task: &'a BatchTask, app: &'a AppId, with_tags: bool) -> BatchTaskResp<'a> {
    BatchTaskResp {
        task_id: &task.id,
        task_name: &task.name,
        app_id: app.as_str(),
        operator: app.as_str(),
        task_from: "Northbound",
        task_type: "DeviceCmd",
        status: match task.state(clock::now()) {
            BatchState::Pending => "Pending",
            BatchState::Running => "Running",
            BatchState::Complete => "Complete",
            BatchState::Timeout => "Timeout",
        },
        start_time: WireTime(task.created_at),
        timeout: task.minutes,
        progress: task.progress(),
        total_cnt: task.total,
        success_cnt: task.success,
        fail_cnt: task.fail,
        timeout_cnt: task.timeout,
        expired_cnt: task.expired,
        complete_cnt: task.complete(),
        success_rate: task.success_rate(),
        param: param(task),
        tags: task
            .tags
            .as_deref()
            .filter(|_| with_tags)
            .and_then(|tags| serde_json::from_str(tags).ok()),
    }
}

fn param(task: &BatchTask) -> BatchParam<'_> {
    let param = BatchParam {
        command: Some(Command {
            service_id: &task.body.service,
            method: &task.body.method,
            paras: raw_object(&task.body.paras),
        }),
        callback_url: task.callback.as_deref(),
        max_retransmit: task.max_retransmit,
        ..BatchParam::default()
    };
    match &task.targets {
        BatchTargets::List(_) => BatchParam {
            kind: "DeviceList",
            ..param
        },
        BatchTargets::Type {
            device_type,
            manufacturer_id,
            model,
        } => BatchParam {
            kind: "DeviceType",
            device_type: Some(device_type),
            manufacturer_id: Some(manufacturer_id),
            model: Some(model),
            ..param
        },
        BatchTargets::Area(location) => BatchParam {
            kind: "DeviceArea",
            device_location: Some(location),
            ..param
        },
        BatchTargets::Groups { naming, groups } => BatchParam {
            kind: match naming {
                GroupNaming::IdOrName => "GroupList",
                GroupNaming::Id => "GroupIdList",
            },
            group_list: Some(groups),
            ..param
        },
        BatchTargets::All => BatchParam {
            kind: "Broadcast",
            ..param
        },
    }
}
