use std::borrow::Cow;

use downlink_core::product::{DataType, Unfit, Value};

use super::*;

const LAMP: &str = r#"{
    "manufacturerId":"acme","manufacturerName":null,"deviceType":"Lamp","model":"L1","protocolType":"MQTT",
    "services":[{"serviceId":"Light","serviceType":"Switchable","commands":[
        {"commandName":"SET","paras":[
            {"paraName":"level","dataType":"int","required":"true","min":"0","max":100,"step":1,"maxLength":0,"unit":"%","enumList":null},
            {"paraName":"mode","dataType":"string","required":false,"min":null,"max":"","maxLength":"8","enumList":["day","night"]}],
         "responses":[{"responseName":"SET_RSP","paras":[{"paraName":"result","dataType":"int"}]}]},
        {"commandName":"BLINK","paras":null,"responses":null}],
     "properties":[{"propertyName":"lux","dataType":"decimal","method":"R"}]},
    {"serviceType":"Clock","commands":null}]}"#;

fn lamp(change: impl FnOnce(&mut serde_json::Value)) -> Result<(ProductDoc, Profile), Invalid> {
    let mut doc = serde_json::from_str(LAMP).unwrap();
    change(&mut doc);
    ProductDoc::parse(&doc.to_string())
}

#[test]
fn a_document_becomes_a_profile() {
    let (doc, profile) = ProductDoc::parse(LAMP).unwrap();
    assert_eq!(
        doc.names(),
        ProductNames {
            manufacturer_id: "acme".into(),
            model: "L1".into(),
            device_type: "Lamp".into(),
            protocol_type: "MQTT".into(),
        }
    );
    let set = profile.command("Light", "SET").unwrap();
    assert!(set.is_answered());
    let [level, mode] = &set.paras[..] else { panic!() };
    assert!(level.required && !mode.required);
    assert_eq!(level.min, Some("0".parse().unwrap()));
    assert_eq!(level.max, Some("100".parse().unwrap()));
    assert_eq!((level.max_length, mode.max_length), (None, Some(8)));
    assert_eq!(mode.listed, ["day", "night"]);
    assert!(!profile.command("Light", "BLINK").unwrap().is_answered());
    assert_eq!(
        profile.service("Light").unwrap().properties[0].kind,
        DataType::Decimal
    );
    assert!(
        profile.service("Clock").is_some(),
        "the kind stands in for the id"
    );
}

#[test]
fn what_is_kept_reads_as_the_same() {
    let (doc, profile) = ProductDoc::parse(LAMP).unwrap();
    assert_eq!(ProductDoc::parse(&doc.to_json()).unwrap(), (doc, profile));
}

#[test]
fn the_newer_names_are_taken_too() {
    let (_, profile) = ProductDoc::parse(
        r#"{"manufacturer_id":"a","device_type":"d","model":"m","protocol_type":"MQTT","service_capabilities":
        [{"service_id":"s","service_type":"s","commands":[{"command_name":"c","paras":[{"para_name":"p","data_type":"string",
        "max_length":3,"enum_list":["x"]}],"responses":[{"response_name":"r"}]}]}]}"#,
    )
    .unwrap();
    let form = profile.command("s", "c").unwrap();
    assert!(form.is_answered());
    assert_eq!(
        (form.paras[0].max_length, form.paras[0].listed.len()),
        (Some(3), 1)
    );
}

#[test]
fn what_is_wrong_is_told_by_its_place() {
    let para = "/services/0/commands/0/paras/0";
    let place = "services.Light.commands.SET.paras.level";
    type Change = fn(&mut serde_json::Value);
    let in_para: [(&str, Change, String); 4] = [
        ("/dataType", |v| *v = "float".into(), format!("{place}.dataType")),
        ("/min", |v| *v = "low".into(), format!("{place}.min")),
        ("/max", |v| *v = (-1).into(), place.to_owned()),
        ("/maxLength", |v| *v = "-1".into(), format!("{place}.maxLength")),
    ];
    for (member, change, field) in in_para {
        let wrong = lamp(|doc| change(doc.pointer_mut(&format!("{para}{member}")).unwrap())).unwrap_err();
        assert_eq!(wrong.field, field);
    }
    let wrong = lamp(|doc| doc["model"] = serde_json::Value::Null).unwrap_err();
    assert_eq!((wrong.field.as_ref(), wrong.missing), ("model", true));
    let wrong = lamp(|doc| doc["model"] = "x".repeat(257).into()).unwrap_err();
    assert_eq!(wrong.field, "model");
    let wrong = lamp(|doc| doc["services"][1]["serviceType"] = "Light".into()).unwrap_err();
    assert_eq!(wrong.field, "services.Light");
    assert_eq!(ProductDoc::parse("[]").unwrap_err().field, "profile");
    let long = format!("{}{LAMP}", " ".repeat(MAX_PROFILE_BYTES));
    assert!(ProductDoc::parse(&long).unwrap_err().rule.contains("at most"));
}

const DEVICE: &str = r#"{"devices":[{"manufacturerId":"acme","manufacturerName":"Acme","protocolType":"CoAP","deviceType":"Lamp",
    "model":"L1","omCapability":{"upgradeCapability":{"supportUpgrade":true}},
    "serviceTypeCapabilities":[{"serviceId":"Left","serviceType":"Lamp","option":"Optional"},
    {"serviceId":"Right","serviceType":"Lamp","option":"Master"}]}]}"#;
const SERVICE: &str = "\u{feff}{\"services\":[{\"serviceType\":\"Lamp\",\"description\":\"x\",\
    \"commands\":[{\"commandName\":\"ON\",\"paras\":[],\"responses\":[]}],\"properties\":null}]}";

fn package(files: &[(&str, &str)]) -> Result<(ProductDoc, Profile), Invalid> {
    let mut package = PackageFiles::default();
    for (path, text) in files {
        package.add(path, (*text).to_owned())?;
    }
    ProductDoc::parse_package(&package)
}

#[test]
fn a_package_becomes_one_document() {
    let (doc, profile) = package(&[
        ("service/Lamp/profile/servicetype-capability.json", SERVICE),
        ("service/Lamp/display/x.json", "no json at all"),
        ("profile/devicetype-capability.json", DEVICE),
    ])
    .unwrap();
    assert_eq!((doc.model.as_str(), doc.services.len()), ("L1", 2));
    assert_eq!(doc.services[1].option, "Master");
    assert!(!profile.command("Left", "ON").unwrap().is_answered());
    assert!(profile.command("Right", "ON").is_ok());
    assert_eq!(ProductDoc::parse(&doc.to_json()).unwrap(), (doc, profile));
}

#[test]
fn an_incomplete_package_is_refused_by_what_is_missing() {
    let device = ("devicetype-capability.json", DEVICE);
    let wrong = package(&[("servicetype-capability.json", SERVICE)]).unwrap_err();
    assert_eq!(
        (wrong.field.as_ref(), wrong.missing),
        ("devicetype-capability.json", true)
    );
    assert_eq!(package(&[device]).unwrap_err().field, "services.Left");
    assert_eq!(
        package(&[device, device]).unwrap_err().field,
        "devicetype-capability.json"
    );
    let none = ("devicetype-capability.json", r#"{"devices":[]}"#);
    assert_eq!(package(&[none]).unwrap_err().field, "devicetype-capability.json");
    let large = " ".repeat(MAX_PROFILE_BYTES + 1);
    assert!(package(&[("servicetype-capability.json", &large)]).is_err());
}

#[test]
fn parameters_are_read_as_they_are_written() {
    let read = given(r#"{"a":1.50,"\u0062":"x\ty","c":null,"d":["x",1],"e":{"k":"ä"},"f":false,"a":"last"}"#);
    let expected: Vec<(Cow<'_, str>, Value<'_>)> = vec![
        ("a".into(), Value::Number("1.50")),
        ("b".into(), Value::Text("x\ty".into())),
        ("c".into(), Value::Null),
        ("d".into(), Value::List(vec![Some("x".into()), None])),
        ("e".into(), Value::Object { chars: 9 }),
        ("f".into(), Value::Bool(false)),
        ("a".into(), Value::Text("last".into())),
    ];
    assert_eq!(read.unwrap(), expected);
    assert!(given("[]").is_err());
    // Deep nesting is not followed.
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(given(&deep).unwrap().len(), 1);
}

#[test]
fn a_call_is_checked_from_its_text() {
    let (_, profile) = ProductDoc::parse(LAMP).unwrap();
    let check = |paras| profile.check("Light", "SET", &given(paras).unwrap()).map(|_| ());
    assert_eq!(check(r#"{"level":100,"mode":"day"}"#), Ok(()));
    assert!(
        matches!(check(r#"{"level":101}"#), Err(Unfit::Para { name, rule }) if name == "level" && rule.to_string() == "must be at most 100")
    );
}
