//! The description of the interface (`docs/openapi.json`) against the router and the table of errors.

use std::collections::BTreeSet;

use downlink_api::Code;
use serde_json::Value;

use super::world::World;
use crate::admin::DOCUMENT;
use crate::http::routes;

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

fn described() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// A path without the names of its parameters: those of the description are for readers.
fn shape(path: &str) -> String {
    let part = |part: &str| match part.starts_with('{') {
        true => "{}".to_owned(),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The methods of a path, as the router says: what it refuses is 405.
async fn taken(world: &World, path: &str) -> Vec<&'static str> {
    let path = path.replace('{', "x").replace('}', "");
    let mut taken = Vec::new();
    for method in METHODS {
        let asked = method.to_ascii_uppercase();
        let answer = world.raw(world.plain(), &asked, &path, &[], "").await;
        match answer.error() {
            (405, code) => assert_eq!(code, "100019"),
            _ => taken.push(method),
        }
    }
    taken
}

#[tokio::test]
async fn what_is_described_is_what_can_be_called() {
    let (world, mut called) = (World::start().await, BTreeSet::new());
    for path in routes().paths {
        for method in taken(&world, &path).await {
            called.insert(format!("{method} {}", shape(&path)));
        }
    }
    let document = described();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            told.insert(format!("{method} {}", shape(path)));
        }
    }
    let missing: Vec<_> = called.difference(&told).collect();
    let invented: Vec<_> = told.difference(&called).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not described: {missing:#?}\nnot there: {invented:#?}\nchange scripts/openapi and run it"
    );
    assert!(called.len() > 50, "{called:?}");
}

/// All strings under `enum` of error bodies, with the status of the answer.
fn codes_told(document: &Value) -> BTreeSet<(String, String)> {
    let mut told = BTreeSet::new();
    for (name, answer) in document["components"]["responses"].as_object().unwrap() {
        let status = name.split('_').next().unwrap();
        let schema = &answer["content"]["application/json"]["schema"];
        let shapes = schema["oneOf"].as_array().cloned();
        for shape in shapes.unwrap_or_else(|| vec![schema.clone()]) {
            for member in ["error_code", "resultcode"] {
                let codes = shape["properties"][member]["enum"].as_array();
                for code in codes.into_iter().flatten() {
                    told.insert((code.as_str().unwrap().to_owned(), status.to_owned()));
                }
            }
        }
    }
    told
}

#[test]
fn every_code_is_described_with_its_status() {
    let told = codes_told(&described());
    for code in Code::ALL {
        let row = (code.as_str().to_owned(), code.status().to_string());
        assert!(told.contains(&row), "{row:?} is not in docs/openapi.json");
    }
    let known = |code: &str| Code::ALL.iter().any(|known| known.as_str() == code);
    assert!(told.iter().all(|(code, _)| known(code)), "{told:?}");
}
