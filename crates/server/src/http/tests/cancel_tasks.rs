use std::time::Duration;

use super::world::{Answer, COMMANDS, Na, World, error};

const TASKS: &str = "/iocm/app/cmd/v1.4.0/deviceCommandCancelTasks";

async fn ask(na: &Na<'_>, device: &str) -> Answer {
    na.call("POST", TASKS, &format!(r#"{{"deviceId":"{device}"}}"#))
        .await
}

/// The task, once it is over.
async fn over(na: &Na<'_>, task: &str) -> Answer {
    let waited = async {
        loop {
            let found = na.call("GET", &format!("{TASKS}?taskId={task}"), "").await;
            assert_eq!(
                (found.status, found.at("/pagination/totalSize")),
                (200, "1".to_owned())
            );
            if !["WAITTING", "RUNNING"].contains(&found.at("/data/0/status").as_str()) {
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
async fn a_task_from_creation_to_its_end() {
    // Nothing but the wake-up works it off in time; then nothing but the sweep.
    for (hints, sweep) in [(true, 600_000), (false, 20)] {
        let more = vec![
            ("engine", "hints", hints.into()),
            ("engine", "queue_sweep_ms", sweep.into()),
        ];
        let world = World::with(more).await;
        let na = world.na().await;
        let (device, other) = (na.device("n1").await, na.device("n2").await);
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(na.command(&device).await.at("/commandId"));
        }
        let beside = na.command(&other).await.at("/commandId");
        let made = ask(&na, &device).await;
        assert_eq!(made.status, 201, "{made:?}");
        let task = made.at("/taskId");
        let head = format!(
            r#"{{"taskId":"{task}","appId":"app-1","deviceId":"{device}","status":"WAITTING","totalCount":3,"deviceCommands":[{{"commandId":"#
        );
        assert!(task.len() == 32 && made.text.starts_with(&head), "{made:?}");
        let found = over(&na, &task).await;
        let head = format!(
            r#"{{"pagination":{{"pageNo":0,"pageSize":1000,"totalSize":1}},"data":[{{"taskId":"{task}","appId":"app-1","deviceId":"{device}","status":"SUCCESS","totalCount":3,"deviceCommands":[{{"#
        );
        assert!(found.text.starts_with(&head), "{found:?}");
        for (place, id) in ids.iter().enumerate() {
            let shown = |member: &str| found.at(&format!("/data/0/deviceCommands/{place}/{member}"));
            assert_eq!(
                (shown("commandId"), shown("status")),
                (id.clone(), "CANCELED".to_owned())
            );
        }
        let path = format!("{COMMANDS}/{beside}");
        assert_eq!(na.call("GET", &path, "").await.at("/status"), "PENDING");
    }
}

#[tokio::test]
async fn filters_of_tasks_and_what_is_refused() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let device = na.device("n1").await;
    let empty = ask(&na, &device).await;
    assert_eq!(
        (empty.status, empty.at("/totalCount"), empty.at("/deviceCommands")),
        (201, "0".into(), "[]".into())
    );
    over(&na, &empty.at("/taskId")).await;
    for (query, total) in [
        ("", "1"),
        ("?STATUS=SUCCESS&pageNo=0&pagesize=1", "1"),
        ("?status=WAITTING", "0"),
        ("?status=FAILED", "0"),
        (&format!("?deviceid={device}&appId=app-1"), "1"),
        ("?taskId=nothing", "0"),
        ("?endTime=20000101T000000Z", "0"),
        ("?startTime=20000101T000000Z&endTime=29990101T000000Z", "1"),
    ] {
        let answer = na.call("GET", &format!("{TASKS}{query}"), "").await;
        assert_eq!(
            (answer.status, answer.at("/pagination/totalSize")),
            (200, total.to_owned()),
            "{query}"
        );
    }
    for (query, expected) in [
        ("status=DONE", error(400, "100022")),
        ("pageSize=1001", error(400, "100022")),
        ("startTime=x", error(400, "100022")),
        ("deviceId=nothing", error(404, "100418")),
        ("appId=other", error(403, "100217")),
    ] {
        assert_eq!(
            na.call("GET", &format!("{TASKS}?{query}"), "").await.error(),
            expected,
            "{query}"
        );
    }
    assert_eq!(ask(&stranger, &device).await.error(), error(404, "100418"));
    assert_eq!(
        stranger.call("GET", TASKS, "").await.at("/pagination/totalSize"),
        "0"
    );
    for (body, code) in [("", 400), ("{}", 400), (r#"{"deviceId":"x"}"#, 404)] {
        assert_eq!(na.call("POST", TASKS, body).await.status, code, "{body}");
    }
}
