//! The client commands as a user runs them, against a server of a few lines: what they send, what they print, how they
//! exit.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use downlink_fleet::Receiver;
use downlink_fleet::receiver::{Plan, Push, Reply};
use serde_json::{Value, json};

/// Runs the program with an environment of its own.
async fn run(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_downlink"))
            .args(args)
            .env_clear()
            .output()
            .unwrap()
    });
    running.await.unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// A server that logs everybody in, and answers the rest as `rest` says.
async fn server(rest: impl Fn(&str, &Push) -> Reply + Send + 'static) -> Receiver {
    let receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::choose(move |push| match push.path.as_str() {
        "/iocm/app/sec/v1.1.0/login" => answer(200, &json!({"accessToken": "t1", "expiresIn": 3600})),
        path => rest(&format!("{} {path}", push.method), push),
    }));
    receiver
}

fn body(push: &Push) -> Value {
    serde_json::from_slice(&push.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_with_the_token_of_the_data_directory() {
    let server = server(|call, _| match call {
        "POST /admin/v1/apps" => answer(
            201,
            &json!({"id": "a1", "name": "n", "secret": "s1", "pushStatuses": "all"}),
        ),
        "DELETE /admin/v1/apps/a1" => Reply::status(204),
        other => panic!("{other}"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin.token"), "tok\n").unwrap();
    let (url, dir) = (server.url(""), dir.path().to_str().unwrap());
    let common = ["--admin", url.as_str(), "--data-dir", dir];
    let output = run(&[
        &["app", "create", "--name", "n", "--push-statuses", "all"][..],
        &common,
    ]
    .concat())
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "id      a1\nname    n\nsecret  s1\npushed  all\n"
    );
    let push = &server.pushes()[0];
    assert_eq!(push.header("authorization"), Some("Bearer tok"));
    assert_eq!(body(push), json!({"name": "n", "pushStatuses": "all"}));
    let output = run(&[&["app", "delete", "a1", "--output", "json"][..], &common].concat()).await;
    assert_eq!(stdout(&output), "{\"deleted\":\"a1\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_registered_and_listed() {
    let server = server(|call, _| match call {
        "POST /iocm/app/reg/v2.0.0/deviceCredentials" => answer(200, &json!({"deviceId": "d1", "secret": "s"})),
        "GET /iocm/app/dm/v1.4.0/devices?pageNo=0&pageSize=100" => answer(
            200,
            &json!({"totalCount": 1, "devices": [{"deviceId": "d1", "deviceInfo": {"nodeId": "n1", "status": "ONLINE"}}]}),
        ),
        "GET /iocm/app/dm/v1.4.0/devices/a%2Fb" => answer(404, &json!({"error_code": "100403", "error_desc": "no such"})),
        other => panic!("{other}"),
    })
    .await;
    let url = server.url("");
    let common = ["--server", url.as_str(), "--app", "a1:s:1"];
    let output = run(&[&["device", "create", "--node-id", "n1"][..], &common].concat()).await;
    assert_eq!(stdout(&output), "device  d1\nsecret  s\n", "{}", stderr(&output));
    let pushes = server.pushes();
    assert_eq!(&pushes[0].body[..], b"appId=a1&secret=s%3A1");
    assert_eq!(
        (pushes[1].header("app_key"), pushes[1].header("authorization")),
        (Some("a1"), Some("Bearer t1"))
    );
    assert_eq!(
        body(&pushes[1]),
        json!({"deviceInfo": {"nodeId": "n1", "protocolType": "MQTT"}, "mqttConnect": true})
    );
    let output = run(&[&["device", "list"][..], &common].concat()).await;
    let expected =
        "DEVICE  NODE  PROTOCOL  STATUS  CREATED\nd1      n1              ONLINE\n1 of 1 devices\n";
    assert_eq!(stdout(&output), expected);
    let output = run(&[&["device", "show", "a/b"][..], &common].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "downlink: the server refused (100403, HTTP 404): no such\n"
    );
}

/// The record of a command after as many steps of SENT, DELIVERED and `last`.
fn record(steps: usize, last: &str) -> Value {
    let all = ["PENDING", "SENT", "DELIVERED", last];
    let events: Vec<_> = (0..=steps.min(3))
        .map(|n| json!({"seq": n + 1, "status": all[n], "at": format!("2026-01-02T03:04:05.00{n}Z"), "detail": ""}))
        .collect();
    json!({"command": {"commandId": "c1", "status": all[steps.min(3)]}, "events": events})
}

async fn sent_and_followed(last: &'static str) -> (Output, Receiver) {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = server(move |call, _| match call {
        "POST /iocm/app/cmd/v1.4.0/deviceCommands" => {
            answer(201, &json!({"commandId": "c1", "status": "PENDING"}))
        }
        "GET /downlink/v1/commands/c1" => answer(200, &record(asked.fetch_add(1, Ordering::Relaxed), last)),
        other => panic!("{other}"),
    })
    .await;
    let url = server.url("");
    let args = [
        "command",
        "send",
        "--device",
        "d1",
        "--service",
        "L",
        "--method",
        "M",
        "--paras",
        r#"{"v":1}"#,
    ];
    let rest = [
        "--expire",
        "60",
        "--wait",
        "--interval",
        "50",
        "--output",
        "json",
        "--server",
        &url,
        "--app",
        "a:s",
    ];
    (run(&[&args[..], &rest].concat()).await, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_sent_and_followed_each_event_once() {
    let (output, server) = sent_and_followed("SUCCESSFUL").await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0], json!({"commandId": "c1", "status": "PENDING"}));
    let seen: Vec<_> = lines[1..]
        .iter()
        .map(|line| format!("{} {}", line["seq"], line["status"]))
        .collect();
    assert_eq!(
        seen,
        [
            r#"1 "PENDING""#,
            r#"2 "SENT""#,
            r#"3 "DELIVERED""#,
            r#"4 "SUCCESSFUL""#
        ]
    );
    assert_eq!(
        body(&server.pushes()[1]),
        json!({"deviceId": "d1", "command": {"serviceId": "L", "method": "M", "paras": {"v": 1}}, "expireTime": 60})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_badly_is_exit_code_1() {
    let (output, _server) = sent_and_followed("TIMEOUT").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "downlink: command c1 ended TIMEOUT\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_end_is_exit_code_4() {
    let server = server(|_, _| answer(200, &record(1, ""))).await;
    let args = [
        "command",
        "watch",
        "c1",
        "--timeout",
        "1",
        "--app",
        "a:s",
        "--server",
        &server.url(""),
    ];
    let output = run(&args).await;
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_run_out_is_renewed() {
    let receiver = Receiver::start().await.unwrap();
    let (logins, questions) = (AtomicUsize::new(0), AtomicUsize::new(0));
    receiver.plan(Plan::choose(move |push| {
        if push.path.ends_with("/login") {
            let number = logins.fetch_add(1, Ordering::Relaxed);
            return answer(200, &json!({"accessToken": format!("t{number}")}));
        }
        match (
            questions.fetch_add(1, Ordering::Relaxed),
            push.header("authorization"),
        ) {
            (0, Some("Bearer t0")) => answer(200, &record(0, "")),
            (_, Some("Bearer t0")) => answer(
                403,
                &json!({"resultcode": "1010005", "resultmsg": "Invalid access token"}),
            ),
            (_, Some("Bearer t1")) => answer(200, &record(3, "SUCCESSFUL")),
            (_, other) => panic!("{other:?}"),
        }
    }));
    let output = run(&[
        "command",
        "watch",
        "c1",
        "--app",
        "a:s",
        "--server",
        &receiver.url(""),
    ])
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_a_200_is_exit_code_1() {
    let server = server(|_, _| {
        answer(
            200,
            &json!({"error_code": "100435", "error_desc": "already canceled"}),
        )
    })
    .await;
    let output = run(&[
        "command",
        "cancel",
        "c1",
        "--app",
        "a:s",
        "--server",
        &server.url(""),
    ])
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(body(&server.pushes()[1]), json!({"status": "CANCELED"}));
    assert!(stderr(&output).contains("100435"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_exit_code_3() {
    let mut server = Receiver::start().await.unwrap();
    server.down().await;
    let output = run(&[
        "command",
        "get",
        "c1",
        "--app",
        "a:s",
        "--server",
        &server.url(""),
    ])
    .await;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_is_exit_code_2() {
    let nowhere = Path::new("/nonexistent/downlink").to_str().unwrap();
    for args in [
        &["command", "get", "c1"][..],
        &[
            "command",
            "send",
            "--device",
            "d",
            "--service",
            "s",
            "--method",
            "m",
            "--paras",
            "[1]",
            "--app",
            "a:s",
        ],
        &["app", "list", "--data-dir", nowhere],
        &["device", "list", "--app", "no-secret"],
        &["device", "list", "--app", "a:s", "--server", "ftp://127.0.0.1"],
        &["serve", "--coap"],
        &["serve", "--unknown"],
        &["device", "simulate", "--device-id", "d"],
        &["device", "simulate", "--node-id", "1"],
        &[
            "device",
            "simulate",
            "--node-id",
            "1",
            "--secret",
            "s",
            "--count",
            "2",
        ],
        &["device", "simulate", "--lwm2m", "--dtls", "--node-id", "1"],
        &[
            "device",
            "simulate",
            "--lwm2m",
            "--dtls",
            "--node-id",
            "1",
            "--secret",
            "xy",
        ],
        &["device", "simulate", "--lwm2m", "--node-id", "1", "--psm", "10"],
    ] {
        let output = run(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_device_that_is_refused_is_exit_code_1() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut connect = [0; 256];
        assert!(stream.read(&mut connect).await.unwrap() > 0);
        stream.write_all(&[0x20, 2, 0, 5]).await.unwrap();
        // Until the device has gone.
        while stream.read(&mut connect).await.is_ok_and(|n| n > 0) {}
    });
    let output = run(&[
        "device",
        "simulate",
        "--device-id",
        "d",
        "--secret",
        "s",
        "--mqtt",
        &address,
    ])
    .await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("CONNACK code 5"), "{}", stderr(&output));
    server.await.unwrap();
}
