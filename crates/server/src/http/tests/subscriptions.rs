use serde_json::{Value, json};

use super::world::{Answer, World, error};

pub(super) const SUBSCRIPTIONS: &str = "/iocm/app/sub/v1.2.0/subscriptions";

fn body(kind: &str, url: &str) -> String {
    json!({"notifyType": kind, "callbackUrl": url, "appId": "x"}).to_string()
}

fn kinds(answer: &Answer) -> Vec<String> {
    let list = answer.json()["subscriptions"].clone();
    let kind = |one: &Value| one["notifyType"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(kind).collect()
}

#[tokio::test]
async fn a_subscription_from_its_making_to_its_end() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let asked = body("deviceAdded", "http://na.example:9/x");
    let made = na.call("POST", SUBSCRIPTIONS, &asked).await;
    let id = made.at("/subscriptionId");
    let golden = format!(
        r#"{{"subscriptionId":"{id}","notifyType":"deviceAdded","callbackUrl":"http://na.example:9/x"}}"#
    );
    assert_eq!((made.status, made.text.clone()), (201, golden.clone()));
    let again = na.call("POST", SUBSCRIPTIONS, &asked).await;
    assert_eq!((again.status, again.text), (201, golden.clone()));
    let elsewhere = body("deviceAdded", "http://na.example:9/y");
    let refused = na.call("POST", SUBSCRIPTIONS, &elsewhere).await;
    assert_eq!(refused.error(), error(409, "100227"));
    assert_eq!(stranger.call("POST", SUBSCRIPTIONS, &elsewhere).await.status, 201);

    let path = format!("{SUBSCRIPTIONS}/{id}");
    let shown = na.call("GET", &path, "").await;
    assert_eq!((shown.status, shown.text), (200, golden));
    for method in ["GET", "DELETE"] {
        assert_eq!(
            stranger.call(method, &path, "").await.error(),
            error(404, "100225")
        );
    }
    assert_eq!(na.call("DELETE", &path, "").await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(na.call(method, &path, "").await.error(), error(404, "100225"));
    }
}

#[tokio::test]
async fn many_are_listed_and_removed_by_filter() {
    let world = World::start().await;
    let na = world.na().await;
    for kind in ["deviceAdded", "deviceDeleted", "bindDevice"] {
        let made = na.call("POST", SUBSCRIPTIONS, &body(kind, "http://h:1/")).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let list = async |query: &str| na.call("GET", &format!("{SUBSCRIPTIONS}?{query}"), "").await;
    let all = list("").await;
    assert_eq!(all.at("/totalCount"), "3");
    assert_eq!(kinds(&all), ["deviceAdded", "deviceDeleted", "bindDevice"]);
    let page = list("pageNo=1&pageSize=2").await;
    assert_eq!(
        (page.at("/totalCount"), kinds(&page)),
        ("3".to_owned(), vec!["bindDevice".to_owned()])
    );
    assert_eq!(kinds(&list("notifyType=bindDevice").await), ["bindDevice"]);
    assert_eq!(list("notifyType=nope").await.error(), error(400, "100022"));

    let remove = async |query: &str| {
        na.call("DELETE", &format!("{SUBSCRIPTIONS}?{query}"), "")
            .await
            .status
    };
    assert_eq!(remove("channel=MQTTS").await, 204);
    assert_eq!(remove("callbackUrl=http://other:1/").await, 204);
    assert_eq!(kinds(&list("").await).len(), 3);
    assert_eq!(remove("notifyType=bindDevice&channel=http").await, 204);
    assert_eq!(kinds(&list("").await), ["deviceAdded", "deviceDeleted"]);
    assert_eq!(remove("").await, 204);
    assert_eq!(kinds(&list("").await), Vec::<String>::new());
}

#[tokio::test]
async fn older_forms_answer_without_a_body() {
    let world = World::start().await;
    let na = world.na().await;
    let asked = |kind: &str| json!({"notifyType": kind, "callbackurl": "http://h:1/"}).to_string();
    for (path, kind, status) in [
        ("/iocm/app/sub/v1.1.0/subscribe", "deviceAdded", 201),
        ("/iocm/app/sub/v1.2.0/subscribe", "ruleEvent", 201),
        ("/iodm/app/sub/v1.1.0/subscribe", "fwUpgradeResultNotify", 200),
    ] {
        let made = na.call("POST", path, &asked(kind)).await;
        assert_eq!((made.status, made.text.as_str()), (status, ""), "{path}");
        assert_eq!(made.headers["content-type"], "application/json");
    }
    let wrong = na
        .call("POST", "/iodm/app/sub/v1.1.0/subscribe", &asked("deviceAdded"))
        .await;
    assert_eq!(wrong.error(), error(400, "100022"));
    assert_eq!(kinds(&na.call("GET", SUBSCRIPTIONS, "").await).len(), 3);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::start().await;
    let na = world.na().await;
    for (body, code, said) in [
        (body("deviceadded", "http://h:1/"), "100022", "notifyType"),
        (body("deviceAdded", "http://h/"), "100222", "port"),
        (body("deviceAdded", ""), "100222", "characters"),
        (body("deviceAdded", "http://u:p@h:1/"), "100222", "user name"),
        (
            r#"{"notifyType":"deviceAdded"}"#.to_owned(),
            "100022",
            "callbackUrl",
        ),
        (
            r#"{"notifyType":"deviceAdded","callbackUrl":"http://h:1/","channel":"MQTT"}"#.to_owned(),
            "100022",
            "channel",
        ),
        ("[]".to_owned(), "100022", "body"),
    ] {
        let answer = na.call("POST", SUBSCRIPTIONS, &body).await;
        assert_eq!(answer.error(), error(400, code), "{body}");
        assert!(answer.text.contains(said), "{answer:?}");
    }
}
