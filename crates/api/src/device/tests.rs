use downlink_core::Timestamp;

use super::*;
use crate::time::WireTime;

#[test]
fn the_two_forms_of_registration() {
    let v1 = r#"{"nodeId":"861","verifyCode":"861","timeout":"0","psk":"0123abCD","deviceName":"old",
        "deviceInfo":{"name":"new","model":"","manufacturerId":null,"unknown":[]},"isSecure":"TRUE","tags":[]}"#;
    let read = Registration::parse_v1(v1).unwrap();
    assert_eq!(
        (read.node_id.as_str(), read.verify_code.as_deref()),
        ("861", Some("861"))
    );
    assert_eq!((read.timeout, read.secret.as_deref()), (0, Some("0123abCD")));
    let info = DeviceInfo {
        name: Some("new".to_owned()),
        is_secure: Some(true),
        tags: Some(Vec::new()),
        ..DeviceInfo::default()
    };
    assert_eq!(read.info, info);

    let v2 = r#"{"deviceInfo":{"nodeId":"n","model":"M"},"mqttConnect":true,"region":"north","secret":"s3cret_-x"}"#;
    let read = Registration::parse_v2(v2).unwrap();
    assert_eq!(
        (read.node_id.as_str(), read.secret.as_deref()),
        ("n", Some("s3cret_-x"))
    );
    assert_eq!(
        (read.info.model.as_deref(), read.info.region.as_deref()),
        (Some("M"), Some("north"))
    );
}

#[test]
fn a_node_id_is_enough() {
    let read = Registration::parse_v1(r#"{"nodeId":"n"}"#).unwrap();
    assert_eq!((read.verify_code, read.timeout, read.secret), (None, 0, None));
    assert_eq!(read.info, DeviceInfo::default());
}

#[test]
fn bad_registrations_name_the_field() {
    let n257 = format!(r#"{{"nodeId":"{}"}}"#, "n".repeat(257));
    for (body, field) in [
        ("", "body"),
        ("[]", "body"),
        ("{\"nodeId\"", "body"),
        ("{}", "nodeId"),
        (r#"{"nodeId":861}"#, "nodeId"),
        (r#"{"nodeId":""}"#, "nodeId"),
        (&n257, "nodeId"),
        (r#"{"nodeId":"n","verifyCode":5}"#, "verifyCode"),
        (r#"{"nodeId":"n","verifyCode":""}"#, "verifyCode"),
        (r#"{"nodeId":"n","timeout":-1}"#, "timeout"),
        (r#"{"nodeId":"n","timeout":2147483648}"#, "timeout"),
        (r#"{"nodeId":"n","psk":"1234567"}"#, "psk"),
        (r#"{"nodeId":"n","psk":"1234567g"}"#, "psk"),
        (r#"{"nodeId":"n","psk":12345678}"#, "psk"),
        (r#"{"nodeId":"n","isSecure":"maybe"}"#, "isSecure"),
        (r#"{"nodeId":"n","deviceInfo":[]}"#, "deviceInfo"),
        (r#"{"nodeId":"n","deviceInfo":{"name":1}}"#, "deviceInfo.name"),
        (r#"{"nodeId":"n","imsi":1}"#, "imsi"),
    ] {
        assert_eq!(Registration::parse_v1(body).unwrap_err().field, field, "{body}");
    }
    for (body, field) in [
        ("{}", "deviceInfo"),
        (r#"{"deviceInfo":"n"}"#, "deviceInfo"),
        (r#"{"deviceInfo":{}}"#, "deviceInfo.nodeId"),
        (r#"{"deviceInfo":{"nodeId":"n"},"secret":"short"}"#, "secret"),
        (r#"{"deviceInfo":{"nodeId":"n"},"secret":"with blank"}"#, "secret"),
        (
            r#"{"deviceInfo":{"nodeId":"n"},"mqttConnect":"x"}"#,
            "mqttConnect",
        ),
    ] {
        assert_eq!(Registration::parse_v2(body).unwrap_err().field, field, "{body}");
    }
}

#[test]
fn what_is_kept_is_read_back() {
    let info = Registration::parse_v1(r#"{"nodeId":"n","imsi":"46","isSecure":true}"#)
        .unwrap()
        .info;
    let kept = serde_json::to_string(&info).unwrap();
    assert_eq!(kept, r#"{"imsi":"46","isSecure":true}"#);
    assert_eq!(serde_json::from_str::<DeviceInfo>(&kept).unwrap(), info);
}

#[test]
fn golden_of_a_device() {
    let info = DeviceInfo {
        name: Some("valve".to_owned()),
        ..DeviceInfo::default()
    };
    let at = WireTime(Timestamp::from_millis(1_700_000_000_000));
    let view = DeviceView {
        device_id: "d1",
        gateway_id: "d1",
        node_type: "GATEWAY",
        create_time: at,
        creation_time: None,
        last_modified_time: at,
        device_info: DeviceInfoView::new("n1", &info, Presence::NotActive),
        services: vec![ServiceView::new("Lamp", &[], Some((r#"{"lux":1}"#, at)))],
    };
    assert_eq!(
        serde_json::to_string(&view).unwrap(),
        concat!(
            r#"{"deviceId":"d1","gatewayId":"d1","nodeType":"GATEWAY","createTime":"20231114T221320Z","#,
            r#""lastModifiedTime":"20231114T221320Z","deviceInfo":{"nodeId":"n1","name":"valve","description":null,"#,
            r#""manufacturerId":null,"manufacturerName":null,"mac":null,"location":null,"deviceType":null,"#,
            r#""model":null,"swVersion":null,"fwVersion":null,"hwVersion":null,"protocolType":null,"bridgeId":null,"#,
            r#""status":"OFFLINE","statusDetail":"NOT_ACTIVE","mute":"FALSE","supportedSecurity":null,"#,
            r#""isSecurity":"FALSE","signalStrength":null,"sigVersion":null,"serialNumber":null,"#,
            r#""batteryLevel":null},"services":[{"serviceId":"Lamp","serviceType":"Lamp","#,
            r#""serviceInfo":{"muteCmds":[]},"data":{"lux":1},"eventTime":"20231114T221320Z"}]}"#
        )
    );
}

#[test]
fn golden_of_registrations() {
    let v1 = RegisteredV1 {
        device_id: "d",
        verify_code: "v",
        timeout: 0,
        psk: "5b",
    };
    let v2 = RegisteredV2 {
        device_id: "d",
        secret: "5b",
        psk: "5b",
    };
    let text = (
        serde_json::to_string(&v1).unwrap(),
        serde_json::to_string(&v2).unwrap(),
    );
    assert_eq!(
        text.0,
        r#"{"deviceId":"d","verifyCode":"v","timeout":0,"psk":"5b"}"#
    );
    assert_eq!(text.1, r#"{"deviceId":"d","secret":"5b","psk":"5b"}"#);
}

#[test]
fn a_modification_has_only_what_is_given() {
    let text = r#"{"name":"gate","mute":"TRUE","isSecure":false,"location":"","model":null,"psk":"0123456789abcdef",
        "deviceConfig":{"dataConfig":{"dataAgingTime":"30"}},"appId":"x","nodeId":"ignored",
        "customFields":[{"fieldName":"f","fieldType":"int","fieldValue":7}],"tags":[{"tagName":"t","tagValue":"v"}]}"#;
    let read = Modification::parse(text).unwrap();
    assert_eq!(read.psk.as_deref(), Some("0123456789abcdef"));
    assert_eq!(
        serde_json::to_string(&read.info).unwrap(),
        concat!(
            r#"{"name":"gate","isSecure":false,"mute":true,"deviceConfig":{"dataConfig":{"dataAgingTime":30}},"#,
            r#""customFields":[{"fieldName":"f","fieldType":"int","fieldValue":"7"}],"#,
            r#""tags":[{"tagName":"t","tagValue":"v"}]}"#
        )
    );
    for (body, field) in [
        ("", "body"),
        (r#"{"name":1}"#, "name"),
        (r#"{"mute":"maybe"}"#, "mute"),
        (r#"{"psk":"short"}"#, "psk"),
        (r#"{"deviceConfig":7}"#, "deviceConfig"),
        (
            r#"{"deviceConfig":{"dataConfig":{"dataAgingTime":91}}}"#,
            "deviceConfig.dataConfig.dataAgingTime",
        ),
        (r#"{"tags":{}}"#, "tags"),
        (r#"{"tags":[{"tagName":{}}]}"#, "tags[0].tagName"),
        (
            r#"{"customFields":[{},{"fieldName":[]}]}"#,
            "customFields[1].fieldName",
        ),
    ] {
        assert_eq!(Modification::parse(body).unwrap_err().field, field, "{body}");
    }
}

#[test]
fn commands_are_muted_by_name() {
    for text in [
        r#"{"muteCmds":["ON","OFF"]}"#,
        r#"{"serviceInfo":{"muteCmds":["ON","OFF"]},"x":1}"#,
    ] {
        assert_eq!(parse_mute(text).unwrap(), ["ON", "OFF"]);
    }
    for (text, field) in [
        ("", "body"),
        ("{}", "muteCmds"),
        (r#"{"serviceInfo":{}}"#, "serviceInfo.muteCmds"),
        (r#"{"muteCmds":"ON"}"#, "muteCmds"),
        (r#"{"muteCmds":[""]}"#, "muteCmds"),
    ] {
        assert_eq!(parse_mute(text).unwrap_err().field, field, "{text}");
    }
    let info = r#"{"name":"n","muteCmds":{"Lamp":["ON"]}}"#;
    assert!(is_muted(info, "Lamp", "ON"));
    for (info, service, command) in [
        (info, "Lamp", "OFF"),
        (info, "Tap", "ON"),
        ("{}", "Lamp", "ON"),
        (r#"{"name":"\"muteCmds\""}"#, "Lamp", "ON"),
    ] {
        assert!(!is_muted(info, service, command), "{info} {service} {command}");
    }
}

#[test]
fn a_key_is_refreshed_by_whatever_is_given() {
    let read = |text| KeyRefresh::parse(text).unwrap();
    let nothing = KeyRefresh {
        verify_code: None,
        node_id: None,
        timeout: 0,
    };
    assert_eq!((read(""), read("{}")), (nothing.clone(), nothing));
    let given = read(r#"{"verifyCode":"v","nodeId":"n","timeout":300}"#);
    assert_eq!(
        (
            given.verify_code.as_deref(),
            given.node_id.as_deref(),
            given.timeout
        ),
        (Some("v"), Some("n"), 300)
    );
    assert_eq!(
        KeyRefresh::parse(r#"{"verifyCode":""}"#).unwrap_err().field,
        "verifyCode"
    );
}
