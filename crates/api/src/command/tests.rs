use super::*;

const GOOD: &str = r#"{"deviceId":"d1","command":{"serviceId":"Valve","method":"SET","paras":{"open": 1}},
    "callbackUrl":"http://na.example:9/cb/","expireTime":0,"maxRetransmit":3,"appId":"x","requestId":7}"#;

#[test]
fn a_full_body_is_read_and_strangers_are_ignored() {
    let read = CreateCommand::parse(GOOD, 64).unwrap();
    let expected = CreateCommand {
        device_id: "d1".to_owned(),
        service_id: "Valve".to_owned(),
        method: "SET".to_owned(),
        paras: r#"{"open": 1}"#,
        callback_url: Some("http://na.example:9/cb/".to_owned()),
        expire_time: Some(0),
        max_retransmit: Some(3),
    };
    assert_eq!(read, expected);
}

#[test]
fn what_is_optional_may_be_absent_or_null() {
    for rest in [
        "",
        r#","callbackUrl":null,"expireTime":null,"maxRetransmit":null"#,
    ] {
        let body =
            format!(r#"{{"deviceId":"d","command":{{"serviceId":"s","method":"m","paras":{{}}}}{rest}}}"#);
        let read = CreateCommand::parse(&body, 2).unwrap();
        assert_eq!(
            (read.paras, read.expire_time, read.max_retransmit),
            ("{}", None, None)
        );
        assert_eq!(read.callback_url, None);
    }
}

/// Each bad body names the field at fault.
#[test]
fn bad_bodies() {
    let s65 = "s".repeat(65);
    let m129 = "m".repeat(129);
    let with = |from: &str, to: &str| GOOD.replace(from, to);
    let rows = [
        (String::new(), "body"),
        ("[]".to_owned(), "body"),
        ("\"x\"".to_owned(), "body"),
        ("{".to_owned(), "body"),
        (format!("{GOOD}x"), "body"),
        (
            with(r#""expireTime":0"#, r#""expireTime":0,"expireTime":1"#),
            "body",
        ),
        ("{}".to_owned(), "deviceId"),
        (with(r#""d1""#, "null"), "deviceId"),
        (with(r#""d1""#, "5"), "deviceId"),
        (with(r#""d1""#, r#""""#), "deviceId"),
        (with("d1", &s65), "deviceId"),
        (with(r#""command""#, r#""comand""#), "command"),
        (
            with(
                r#"{"serviceId":"Valve","method":"SET","paras":{"open": 1}}"#,
                "[]",
            ),
            "command",
        ),
        (
            with(
                r#"{"serviceId":"Valve","method":"SET","paras":{"open": 1}}"#,
                "\"SET\"",
            ),
            "command",
        ),
        (with(r#""Valve""#, "1"), "command.serviceId"),
        (with(r#""Valve""#, r#""""#), "command.serviceId"),
        (with("Valve", &s65), "command.serviceId"),
        (with(r#""serviceId":"Valve","#, ""), "command.serviceId"),
        (with(r#""SET""#, "{}"), "command.method"),
        (with("SET", &m129), "command.method"),
        (with(r#""method":"SET","#, ""), "command.method"),
        (with(r#","paras":{"open": 1}"#, ""), "command.paras"),
        (with(r#"{"open": 1}"#, "null"), "command.paras"),
        (with(r#"{"open": 1}"#, "[1]"), "command.paras"),
        (with(r#"{"open": 1}"#, "\"{}\""), "command.paras"),
        (
            with(r#"{"open": 1}"#, &format!("{{\"open\":\"{s65}\"}}")),
            "command.paras",
        ),
        (with(r#""http://na.example:9/cb/""#, "1"), "callbackUrl"),
        (with(r#""expireTime":0"#, r#""expireTime":-1"#), "expireTime"),
        (with(r#""expireTime":0"#, r#""expireTime":1.5"#), "expireTime"),
        (with(r#""expireTime":0"#, r#""expireTime":"soon""#), "expireTime"),
        (
            with(r#""expireTime":0"#, r#""expireTime":2147483648"#),
            "expireTime",
        ),
        (
            with(r#""maxRetransmit":3"#, r#""maxRetransmit":4"#),
            "maxRetransmit",
        ),
        (
            with(r#""maxRetransmit":3"#, r#""maxRetransmit":true"#),
            "maxRetransmit",
        ),
    ];
    for (body, field) in rows {
        let error = CreateCommand::parse(&body, 64).unwrap_err();
        assert_eq!(error.field, field, "{body}: {error}");
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
    }
}

#[test]
fn only_canceled_cancels() {
    assert_eq!(parse_cancel(r#"{"status":"CANCELED","x":1}"#), Ok(()));
    for body in [
        "",
        "{}",
        "[]",
        r#"{"status":"CANCELLED"}"#,
        r#"{"status":1}"#,
        r#"{"status":null}"#,
    ] {
        assert!(parse_cancel(body).is_err(), "{body}");
    }
}

fn response<'a>() -> DeviceCommandResp<'a> {
    let at = WireTime(Timestamp::from_millis(1_700_000_000_000));
    DeviceCommandResp {
        command_id: CommandId::from_parts(1, 2, 3, 4),
        app_id: "app-1",
        device_id: "d1",
        command: Command {
            service_id: "Valve",
            method: "SET",
            paras: raw_object(r#"{"open":1,"big":123456789012345678901234567890}"#),
        },
        callback_url: None,
        expire_time: 0,
        status: "SENT",
        result: None,
        creation_time: at,
        execute_time: None,
        platform_issued_time: Some(at),
        delivered_time: None,
        issued_times: 0,
        max_retransmit: None,
    }
}

#[test]
fn golden_of_a_new_command() {
    assert_eq!(
        serde_json::to_string(&response()).unwrap(),
        concat!(
            r#"{"commandId":"00000000000170028000"#,
            r#"0c0000000004","appId":"app-1","deviceId":"d1","command":{"serviceId":"Valve","method":"SET","#,
            r#""paras":{"open":1,"big":123456789012345678901234567890}},"expireTime":0,"status":"SENT","#,
            r#""creationTime":"20231114T221320Z","platformIssuedTime":"20231114T221320Z","issuedTimes":0}"#
        )
    );
}

#[test]
fn golden_of_a_finished_command() {
    let at = WireTime(Timestamp::from_millis(1_700_000_001_000));
    let full = DeviceCommandResp {
        callback_url: Some("http://na.example:9/cb/"),
        status: "SUCCESSFUL",
        result: Some(CommandResult {
            result_code: "SUCCESSFUL",
            result_detail: raw_object(r#"{"light":1}"#),
        }),
        execute_time: Some(at),
        delivered_time: Some(at),
        issued_times: 1,
        max_retransmit: Some(2),
        ..response()
    };
    let text = serde_json::to_string(&full).unwrap();
    let tail = concat!(
        r#""callbackUrl":"http://na.example:9/cb/","expireTime":0,"status":"SUCCESSFUL","#,
        r#""result":{"resultCode":"SUCCESSFUL","resultDetail":{"light":1}},"creationTime":"20231114T221320Z","#,
        r#""executeTime":"20231114T221321Z","platformIssuedTime":"20231114T221320Z","#,
        r#""deliveredTime":"20231114T221321Z","issuedTimes":1,"maxRetransmit":2}"#
    );
    assert!(text.ends_with(tail), "{text}");
}

#[test]
fn golden_of_pages_and_histories() {
    let page = CommandPage {
        pagination: Pagination {
            page_no: 0,
            page_size: 20,
            total_size: 0,
        },
        data: Vec::new(),
    };
    assert_eq!(
        serde_json::to_string(&page).unwrap(),
        r#"{"pagination":{"pageNo":0,"pageSize":20,"totalSize":0},"data":[]}"#
    );
    let event = EventView::new(
        1,
        "PENDING",
        Timestamp::from_millis(1_700_000_000_123),
        "request r1",
    );
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"seq":1,"status":"PENDING","at":"2023-11-14T22:13:20.123Z","detail":"request r1"}"#
    );
}
