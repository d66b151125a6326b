//! Bytes written by hand against a small definition, and the rules of definitions.

use downlink_core::Mid;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::parse;
use crate::message::{CommandResult, Report};

const LAMP: &str = r#"
kind = "binary"

[[messages]]
type = "command"
service = "Lamp"
command = "SWITCH"
id = 3
fields = [
    { is = "id", type = "uint8" },
    { is = "mid", type = "uint16" },
    { name = "value", type = "uint8", min = 0, max = 1 },
]

[[messages]]
type = "response"
id = 4
fields = [
    { is = "id", type = "uint8" },
    { is = "mid", type = "uint16" },
    { is = "errcode", type = "uint8" },
    { name = "state", type = "uint8" },
]

[[messages]]
type = "command"
service = "Lamp"
command = "SHOW"
id = 7
fields = [
    { is = "id", type = "uint8" },
    { is = "has_more", type = "uint8" },
    { name = "colour", type = "uint8", names = { 0 = "RED", 1 = "GREEN" }, default = "GREEN" },
    { name = "level", type = "int16", offset = 4, scale = 0.1 },
    { name = "length", type = "uint8" },
    { name = "text", type = "varstring", length_field = "length" },
    { name = "tail", type = "variant" },
]

[[messages]]
type = "report"
service = "Lamp"
id = 0
fields = [
    { is = "id", type = "uint8" },
    { is = "has_more", type = "uint8" },
    { name = "lux", type = "uint16", scale = 0.5 },
    { name = "serial", type = "string", length = 6 },
    { name = "voltage", type = "float", service = "Battery" },
    { name = "raw", type = "array", length = 3 },
]

[[messages]]
type = "report_answer"
fields = [
    { type = "uint16", value = 0xAAAA },
    { is = "errcode", type = "uint8" },
    { is = "has_more", type = "uint8" },
]
"#;

fn lamp() -> Binary {
    Binary::load(&parse(LAMP).unwrap()).unwrap()
}

fn command<'a>(name: &'a str, paras: &'a str) -> ToDevice<'a> {
    ToDevice::Command(Command {
        identifier: None,
        service: "Lamp",
        command: name,
        paras,
        mid: Mid::new(42),
        has_more: false,
    })
}

fn encoded(name: &str, paras: &str) -> Vec<u8> {
    lamp().encode(&command(name, paras)).unwrap().unwrap()
}

fn refused(name: &str, paras: &str) -> String {
    lamp().encode(&command(name, paras)).unwrap_err().to_string()
}

fn report(bytes: &[u8]) -> Report {
    match lamp().decode(bytes).unwrap() {
        FromDevice::Report(report) => report,
        other @ FromDevice::Result(_) => panic!("{other:?}"),
    }
}

#[test]
fn a_command_and_its_result() {
    assert_eq!(encoded("SWITCH", r#"{"value":1}"#), [3, 0, 42, 1]);
    let result = lamp().decode(&[4, 0, 42, 0, 1]).unwrap();
    let want = CommandResult {
        identifier: None,
        mid: Mid::new(42),
        errcode: 0,
        body: Some(r#"{"state":1}"#.to_owned()),
    };
    assert_eq!(result, FromDevice::Result(want));
    assert!(lamp().carries_mid("Lamp", "SWITCH") && !lamp().carries_mid("Lamp", "SHOW"));
}

#[test]
fn every_kind_of_field_goes_out() {
    let bytes = encoded(
        "SHOW",
        r#"{"colour":"RED","level":-1.5,"text":"hé","tail":"AQI="}"#,
    );
    let want = [7, 0, 0, 0, 0xff, 0xf1, 3, b'h', 0xc3, 0xa9, 1, 2];
    assert_eq!(bytes, want);
    let bytes = encoded("SHOW", r#"{"level":0,"text":"","tail":""}"#);
    assert_eq!(bytes, [7, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn every_kind_of_field_comes_in() {
    let mut bytes = vec![0, 1, 0, 43];
    bytes.extend(b"AB1\0\0\0");
    bytes.extend(3.7f32.to_be_bytes());
    bytes.extend([0, 0xff, 0x10]);
    let report = report(&bytes);
    assert!(report.has_more);
    let data: Vec<_> = report
        .data
        .iter()
        .map(|d| (d.service.as_str(), d.data.as_str()))
        .collect();
    let want = [
        ("Lamp", r#"{"lux":21.5,"serial":"AB1","raw":"AP8Q"}"#),
        ("Battery", r#"{"voltage":3.7}"#),
    ];
    assert_eq!(data, want);
}

#[test]
fn a_report_is_answered() {
    let answer = |errcode, has_more| {
        let message = ToDevice::ReportAnswer(ReportAnswer {
            identifier: None,
            request: &[],
            errcode,
            has_more,
        });
        lamp().encode(&message).unwrap().unwrap()
    };
    assert_eq!(answer(0, false), [0xaa, 0xaa, 0, 0]);
    assert_eq!(answer(1, true), [0xaa, 0xaa, 1, 1]);
}

#[test]
fn parameters_that_do_not_suit_are_named() {
    assert_eq!(refused("SWITCH", "{}"), "paras.value: is missing");
    assert_eq!(
        refused("SWITCH", r#"{"value":2}"#),
        "paras.value: 2 is above the maximum 1"
    );
    assert_eq!(refused("SWITCH", r#"{"value":null}"#), "paras.value: is missing");
    assert_eq!(
        refused("SWITCH", r#"{"value":1,"other":1}"#),
        "paras.other: SWITCH has no such field"
    );
    assert!(refused("SWITCH", "[1]").starts_with("paras: must be a JSON object"));
    assert_eq!(
        refused("DANCE", "{}"),
        "the codec has no message for command DANCE of service Lamp"
    );
    let show = |member: &str| refused("SHOW", &format!(r#"{{"level":0,"text":"","tail":"",{member}}}"#));
    assert_eq!(
        show(r#""colour":"BLUE""#),
        r#"paras.colour: must be one of RED, GREEN, not "BLUE""#
    );
    assert_eq!(show(r#""tail":"?""#), "paras.tail: must be a text in base64");
    let long = format!(r#""text":"{}""#, "x".repeat(256));
    assert_eq!(show(&long), "paras.text: 256 bytes are too many for length");
    assert_eq!(
        show(r#""level":4000"#),
        "paras.level: 4000 does not fit: the field takes -32768 to 32767"
    );
}

#[test]
fn a_command_that_has_to_carry_a_mid_gets_one() {
    let mut message = Command {
        identifier: None,
        service: "Lamp",
        command: "SWITCH",
        paras: r#"{"value":1}"#,
        mid: None,
        has_more: false,
    };
    let error = lamp().encode(&ToDevice::Command(message)).unwrap_err();
    assert_eq!(error.to_string(), "mid: the command has no mid");
    message.mid = Mid::new(65_535);
    assert_eq!(
        lamp().encode(&ToDevice::Command(message)).unwrap().unwrap(),
        [3, 0xff, 0xff, 1]
    );
}

#[test]
fn bytes_that_say_nothing_are_refused_by_field() {
    let wrong = |bytes: &[u8]| lamp().decode(bytes).unwrap_err().to_string();
    assert_eq!(
        wrong(&[]),
        "id: needs 1 bytes at byte 0, the message has 0 in all"
    );
    assert_eq!(wrong(&[9]), "no report or response has id 9 (id, byte 0)");
    assert_eq!(
        wrong(&[4, 0, 42]),
        "errcode: needs 1 bytes at byte 3, the message has 3 in all"
    );
    assert_eq!(wrong(&[4, 0, 0, 0, 1]), "mid: 0 is none: mids are 1 to 65535");
    let mut bytes = vec![0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0];
    bytes.extend([0; 7]);
    assert_eq!(
        wrong(&bytes),
        "serial: is not text (UTF-8); array and variant take any bytes"
    );
}

#[test]
fn bytes_are_explained_field_by_field() {
    let (name, fields) = lamp().explain(&[4, 0, 42, 0, 1, 9]).unwrap();
    assert_eq!(name, "response 4");
    let shown: Vec<_> = fields
        .iter()
        .map(|f| (f.name.as_str(), f.offset, f.value.clone()))
        .collect();
    assert_eq!(shown[1], ("mid", 1, Ok("42".to_owned())));
    assert_eq!(
        shown[4],
        ("", 5, Err("1 bytes after the last field are ignored".to_owned()))
    );
    let (_, fields) = lamp().explain(&[4, 0]).unwrap();
    assert_eq!((fields.len(), fields[1].value.is_err()), (2, true));
}

/// Each definition breaks one rule: the part that is replaced, by what, and the complaint.
#[test]
fn definitions_that_break_a_rule_are_refused_by_path() {
    let table = [
        (
            "max = 1 }",
            "max = 1, maks = 1 }",
            "messages[0].fields[2].maks: is not known here",
        ),
        (
            "type = \"uint8\", min",
            "type = \"byte\", min",
            "messages[0].fields[2].type: must be one of int8",
        ),
        (
            "min = 0, max",
            "min = 2, max",
            "messages[0].fields[2].min: is above max",
        ),
        (
            "id = 4",
            "id = 0",
            "messages[3].id: response 0 has the id 0 already",
        ),
        ("id = 4\n", "", "messages[1].id: is missing"),
        ("id = 3", "id = 300", "messages[0].id: the field takes 0 to 255"),
        (
            "command = \"SHOW\"",
            "command = \"SWITCH\"",
            "messages[2].command: there is a message for SWITCH",
        ),
        (
            "offset = 4",
            "offset = 2",
            "messages[2].fields[3].offset: 2 is inside the field before, colour",
        ),
        (
            "length_field = \"length\"",
            "length_field = \"size\"",
            "messages[2].fields[5].length_field: no field before",
        ),
        (
            "type = \"varstring\", length_field = \"length\"",
            "type = \"varstring\"",
            "messages[2].fields[6]: nothing can follow text",
        ),
        (
            "1 = \"GREEN\"",
            "1 = \"RED\"",
            "messages[2].fields[2].names.1: RED stands for another",
        ),
        (
            "0 = \"RED\"",
            "256 = \"RED\"",
            "messages[2].fields[2].names.256: the field takes 0 to 255",
        ),
        (
            "default = \"GREEN\"",
            "default = \"PINK\"",
            "messages[2].fields[2].default: must be one of RED",
        ),
        (
            "scale = 0.1",
            "scale = 0",
            "messages[2].fields[3].scale: must not be 0",
        ),
        ("0xAAAA", "0x1AAAA", "messages[4].fields[0].value: does not fit"),
        (
            "{ type = \"uint16\", value = 0xAAAA }",
            "{ name = \"a\", type = \"uint8\" }",
            "messages[4].fields[0]: a report answer",
        ),
        (
            "length = 6",
            "length = 0",
            "messages[3].fields[3].length: must be at least 1",
        ),
        (", length = 6", "", "messages[3].fields[3].length: is missing"),
        (
            "length = 6",
            "length = 65536",
            "messages[3].fields[3]: ends behind byte 65536",
        ),
        (
            "type = \"report\"",
            "type = \"reply\"",
            "messages[3].type: must be command, response",
        ),
        (
            "service = \"Lamp\"\nid = 0",
            "id = 0",
            "messages[3].fields[2].service: is missing",
        ),
        (
            "{ is = \"mid\", type = \"uint16\" },\n    { is",
            "{ is",
            "messages[1].fields: a response needs",
        ),
        (
            "{ is = \"mid\", type = \"uint16\" },\n    { name",
            "{ name",
            "messages[1]: no command carries a mid",
        ),
        (
            "{ is = \"mid\", type = \"uint16\" },\n    { name",
            "{ is = \"mid\", type = \"uint8\" },\n    { name",
            "messages[0].fields[1].type: a mid goes",
        ),
        (
            "{ is = \"id\", type = \"uint8\" },\n    { is = \"has_more\"",
            "{ is = \"id\", type = \"uint16\" },\n    { is = \"has_more\"",
            "messages[2].fields: the id must be of one type",
        ),
        (
            "name = \"serial\"",
            "name = \"lux\"",
            "messages[3].fields[3].name: lux is there already",
        ),
    ];
    for (part, by, want) in table {
        let text = LAMP.replacen(part, by, 1);
        assert_ne!(text, LAMP, "{part}");
        let error = Binary::load(&parse(&text).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(want), "{part} → {by}: {error}");
    }
}

#[test]
fn one_report_needs_no_id() {
    let document = json!({"kind": "binary", "messages": [
        {"type": "report", "service": "S", "fields": [{"name": "n", "type": "int64"}]}]});
    let codec = Binary::load(&document).unwrap();
    match codec.decode(&[0xff; 8]).unwrap() {
        FromDevice::Report(report) => assert_eq!(report.data[0].data, r#"{"n":-1}"#),
        other @ FromDevice::Result(_) => panic!("{other:?}"),
    }
}

/// A member's own text: the JSON parser's doubles may be one step beside it.
fn text_of<'a>(json: &'a str, member: &str) -> &'a str {
    let members: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_str(json).unwrap();
    members[member].get()
}

/// A command and a response of the same layout: what goes out comes back.
fn mirror() -> Binary {
    let fields = json!([
        {"is": "id", "type": "uint8"}, {"is": "mid", "type": "uint16"},
        {"name": "i24", "type": "int24"}, {"name": "u64", "type": "uint64"}, {"name": "i64", "type": "int64"},
        {"name": "f", "type": "float"}, {"name": "d", "type": "double"}, {"name": "s", "type": "string", "length": 40},
        {"name": "n", "type": "uint16"}, {"name": "v", "type": "varstring", "length_field": "n"},
        {"name": "rest", "type": "variant"}]);
    let document = json!({"kind": "binary", "messages": [
        {"type": "command", "service": "S", "command": "C", "id": 1, "fields": fields},
        {"type": "response", "id": 1, "fields": fields}]});
    Binary::load(&document).unwrap()
}

proptest! {
    #[test]
    fn what_goes_out_comes_back(
        i24 in -(1i64 << 23)..(1 << 23), u64 in any::<u64>(), i64 in any::<i64>(),
        f in proptest::num::f32::NORMAL, d in proptest::num::f64::NORMAL,
        s in "[a-zäö]{0,20}", v in "\\PC{0,50}", rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        use base64::Engine as _;
        let rest = base64::engine::general_purpose::STANDARD.encode(rest);
        let paras = json!({"i24": i24, "u64": u64, "i64": i64, "f": f, "d": d, "s": s, "v": v, "rest": rest});
        let text = paras.to_string();
        let command = Command {
            identifier: None, service: "S", command: "C", paras: &text, mid: Mid::new(7), has_more: false,
        };
        let bytes = mirror().encode(&ToDevice::Command(command)).unwrap().unwrap();
        let FromDevice::Result(result) = mirror().decode(&bytes).unwrap() else { panic!("no result") };
        let body_text = result.body.unwrap();
        let body: Value = serde_json::from_str(&body_text).unwrap();
        prop_assert_eq!(body["f"].as_f64().map(|f| f as f32), Some(f));
        prop_assert_eq!(text_of(&body_text, "d").parse(), Ok(d));
        for member in ["i24", "u64", "i64", "s", "v", "rest"] {
            prop_assert_eq!(&body[member], &paras[member]);
        }
    }

    #[test]
    fn no_bytes_panic_and_json_is_json(id in 0u8..10, rest in proptest::collection::vec(any::<u8>(), 0..80)) {
        let bytes: Vec<u8> = std::iter::once(id).chain(rest).collect();
        for codec in [lamp(), mirror()] {
            let _ = codec.explain(&bytes);
            let texts = match codec.decode(&bytes) {
                Ok(FromDevice::Report(report)) => report.data.into_iter().map(|d| d.data).collect(),
                Ok(FromDevice::Result(result)) => vec![result.body.unwrap()],
                Err(_) => vec![],
            };
            for text in texts {
                prop_assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
            }
        }
    }
}
