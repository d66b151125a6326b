//! Applications of which so much waits that they are told of no more reports.

use foldhash::HashSet;

use super::*;

fn reports() -> Vec<Report> {
    let data = ServiceData {
        service: "A".to_owned(),
        data: "{}".to_owned(),
        at: at(2),
    };
    let event = DeviceEvent {
        service: "A".to_owned(),
        event_type: "alarm".to_owned(),
        paras: "{}".to_owned(),
        at: at(2),
    };
    vec![Report::Data(vec![data]), Report::Event(event)]
}

#[tokio::test]
async fn a_crowded_application_is_told_of_no_reports_and_of_all_else() {
    let world = World::new(NotifyType::ALL).await;
    let device = world.device("d", None).await;
    let other = AppKey(world.app.0 + 1);
    let crowded = |apps: &[AppKey]| {
        let apps: HashSet<AppKey> = apps.iter().copied().collect();
        world.store.set_crowded(apps)
    };
    assert_eq!(crowded(&[world.app]), []);
    world.store.report(device.key, reports(), at(3)).await.unwrap();
    world.store.presence(device.key, true, at(4)).await.unwrap();
    world.store.report(device.key, reports(), at(5)).await.unwrap();
    // Each report would have been a notice of its data, one of all of it, and one of the event.
    assert_eq!(crowded(&[other, world.app]), [(world.app, 6)]);
    world.store.report(device.key, reports(), at(6)).await.unwrap();
    assert_eq!(crowded(&[other]), [(world.app, 3)]);
    world.store.report(device.key, reports(), at(7)).await.unwrap();
    assert_eq!(crowded(&[]), []);
    let expected = [
        row(1, 0, r#"added d node-d {"name":"n"}"#),
        row(2, 1, "online d true"),
        row(3, 1, "data A {}"),
        row(4, 1, "datas 1"),
        row(5, 1, "event alarm"),
    ];
    assert_eq!(world.rows(), expected);
}

#[tokio::test]
async fn what_nobody_is_subscribed_to_is_not_counted_as_left_out() {
    let world = World::new(&[NotifyType::DeviceEvent]).await;
    let device = world.device("d", None).await;
    world.store.set_crowded([world.app].into_iter().collect());
    world.store.report(device.key, reports(), at(3)).await.unwrap();
    assert_eq!(world.store.set_crowded(HashSet::default()), [(world.app, 1)]);
}
