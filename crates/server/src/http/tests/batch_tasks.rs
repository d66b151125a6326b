use std::time::Duration;

use downlink_core::{AppId, CommandBody, Span};
use downlink_store::{Apps, BatchTargets, BatchTasks, NewBatchTask};

use super::world::{APP, Answer, Na, World, error};
use crate::clock;

const TASKS: &str = "/iocm/app/batchtask/v1.1.0/tasks";
const DETAILS: &str = "/iocm/app/batchtask/v1.1.0/taskDetails";

async fn ask(na: &Na<'_>, devices: &[&str]) -> Answer {
    let list = serde_json::to_string(devices).unwrap();
    let body = format!(
        r#"{{"taskName":"n","taskType":"DeviceCmd","timeout":"2880","param":{{"type":"DeviceList","deviceList":{list},
        "command":{{"serviceId":"s","method":"m","paras":{{}}}}}}}}"#
    );
    na.call("POST", TASKS, &body).await
}

/// The task, once so many of its sub-tasks are over.
async fn after(na: &Na<'_>, task: &str, complete: u32) -> Answer {
    let waited = async {
        loop {
            let found = na.call("GET", &format!("{TASKS}/{task}"), "").await;
            assert_eq!(found.status, 200, "{found:?}");
            if found.at("/completeCnt") == complete.to_string() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .expect("in time")
}

#[tokio::test]
async fn each_device_fails_by_itself_and_says_why() {
    let world = World::with(vec![
        ("engine", "queue_sweep_ms", 600_000.into()),
        ("commands", "queue_limit", 1.into()),
    ])
    .await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let (good, full, mute) = (
        na.device("n1").await,
        na.device("n2").await,
        na.device("n3").await,
    );
    let theirs = stranger.device("n4").await;
    assert_eq!(na.command(&full).await.status, 201);
    let path = format!("/iocm/app/dm/v1.1.0/devices/{mute}/services/s");
    let muted = na
        .call("PUT", &path, r#"{"serviceInfo":{"muteCmds":["m"]}}"#)
        .await;
    assert_eq!(muted.status, 204);
    let made = ask(&na, &[&full, &good, &mute, &theirs]).await;
    assert_eq!(made.status, 200, "{made:?}");
    let task = made.at("/taskID");
    assert_eq!(made.text, format!(r#"{{"taskID":"{task}","taskId":"{task}"}}"#));
    let found = after(&na, &task, 3).await;
    assert_eq!(
        (found.at("/status"), found.at("/failCnt")),
        ("Running".into(), "3".into())
    );
    let details = na.call("GET", &format!("{DETAILS}?taskId={task}"), "").await;
    let code = |place: usize| {
        let error = details.at(&format!("/taskDetails/{place}/error"));
        let error: serde_json::Value = serde_json::from_str(&error).unwrap();
        error["error_code"].as_str().unwrap().to_owned()
    };
    assert_eq!([code(0), code(2), code(3)], ["100223", "100432", "100418"]);
    assert_eq!(details.at("/taskDetails/1/status"), "WaitResult");
    assert_eq!(
        (details.at("/pageSize"), details.at("/totalCount")),
        ("25".into(), "4".into())
    );
    // It is nobody else's.
    for path in [format!("{TASKS}/{task}"), format!("{DETAILS}?taskId={task}")] {
        assert_eq!(
            stranger.call("GET", &path, "").await.error(),
            error(404, "105005")
        );
    }
    for (query, expected) in [
        ("&status=Done", error(400, "100022")),
        ("&commandId=x", error(400, "100022")),
        ("&pageSize=251", error(400, "100022")),
        ("&appId=other", error(403, "100217")),
    ] {
        let answer = na
            .call("GET", &format!("{DETAILS}?taskId={task}{query}"), "")
            .await;
        assert_eq!(answer.error(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_task_whose_time_is_over_makes_no_commands() {
    let world = World::with(vec![("engine", "queue_sweep_ms", 20.into())]).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let app = world.store().app(&AppId::new(APP)).await.unwrap().unwrap();
    let late = NewBatchTask {
        id: "late".into(),
        app: app.key,
        name: "late".into(),
        targets: BatchTargets::List(vec![device, "nobody".into()]),
        body: CommandBody {
            service: "s".into(),
            method: "m".into(),
            paras: "{}".into(),
        },
        callback: None,
        max_retransmit: None,
        tags: None,
        minutes: 10,
        created_at: clock::now() - Span::from_secs(601),
        open_limit: 10,
        kept_limit: 10,
    };
    world.store().create_batch_task(late).await.unwrap().unwrap();
    let found = after(&na, "late", 2).await;
    assert_eq!(
        (found.at("/status"), found.at("/timeoutCnt")),
        ("Timeout".into(), "2".into())
    );
    assert_eq!(
        (found.at("/progress"), found.at("/successRate")),
        ("1000".into(), "0".into())
    );
}
