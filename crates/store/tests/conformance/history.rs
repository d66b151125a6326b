//! What devices reported.

use downlink_core::DeviceKey;
use downlink_store::{DeviceChange, HistoryFilter, Report, ServiceData};

use super::Stores;
use super::support::*;

fn data(service: &str, data: &str, secs: u32) -> ServiceData {
    ServiceData {
        service: service.to_owned(),
        data: data.to_owned(),
        at: at(secs),
    }
}

async fn all(world: &World, device: DeviceKey, filter: HistoryFilter) -> Vec<ServiceData> {
    let page = world.store.history(device, filter, 0, 1000).await.unwrap();
    assert_eq!(page.items.len() as u64, page.total);
    page.items
}

pub(crate) async fn what_a_device_reported_is_kept_within_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    assert!(world.store.keeps_history());
    let (device, other) = (world.device("a").await.key, world.device("b").await.key);
    let first = vec![
        data("Lamp", r#"{"lux":1}"#, 5),
        data("Meter", r#"{"kwh":2,"lux":3}"#, 5),
    ];
    let late = vec![data("Lamp", r#"{"on":true}"#, 3)];
    for (secs, services) in [(6, first.clone()), (7, late.clone())] {
        let reports = vec![Report::Data(services)];
        world.store.report(device, reports, at(secs)).await.unwrap();
    }
    assert_eq!(all(&world, other, HistoryFilter::default()).await, []);
    let newest_first = [first[1].clone(), first[0].clone(), late[0].clone()];
    assert_eq!(all(&world, device, HistoryFilter::default()).await, newest_first);
    let page = world
        .store
        .history(device, HistoryFilter::default(), 1, 1)
        .await
        .unwrap();
    assert_eq!((page.items, page.total), (vec![first[0].clone()], 3));
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (
            HistoryFilter {
                service: text("Lamp"),
                ..HistoryFilter::default()
            },
            vec![1, 2],
        ),
        (
            HistoryFilter {
                property: text("lux"),
                ..HistoryFilter::default()
            },
            vec![0, 1],
        ),
        (
            HistoryFilter {
                property: text("l\"x"),
                ..HistoryFilter::default()
            },
            vec![],
        ),
        (
            HistoryFilter {
                from: Some(at(4)),
                ..HistoryFilter::default()
            },
            vec![0, 1],
        ),
        (
            HistoryFilter {
                to: Some(at(3)),
                ..HistoryFilter::default()
            },
            vec![2],
        ),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|n: usize| newest_first[n].clone())
            .collect();
        assert_eq!(all(&world, device, filter.clone()).await, expected, "{filter:?}");
    }
    let latest = world.store.latest_data(vec![other, device]).await.unwrap();
    assert_eq!(
        latest,
        [(device, late[0].clone()), (device, first[1].clone())],
        "by arrival"
    );

    for n in 0..150 {
        let reports = vec![Report::Data(vec![data("Many", "{}", n)])];
        world.store.report(other, reports, at(n)).await.unwrap();
    }
    let kept = all(&world, other, HistoryFilter::default()).await;
    assert_eq!((kept.len(), kept[99].at), (100, at(50)), "the oldest gave way");
    assert_eq!(world.store.prune_history(at(60), 1).await.unwrap(), 1);
    assert_eq!(world.store.prune_history(at(60), 99).await.unwrap(), 12);
    assert_eq!(world.store.prune_history(at(60), 99).await.unwrap(), 0);
    assert_eq!(all(&world, device, HistoryFilter::default()).await, []);
    assert_eq!(all(&world, other, HistoryFilter::default()).await.len(), 90);
}

pub(crate) async fn a_mute_or_removed_device_has_no_history(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await.key;
    let report = || vec![Report::Data(vec![data("Lamp", "{}", 1)])];
    let mute = |mute: bool| DeviceChange {
        info: Some(format!(r#"{{"mute":{mute}}}"#)),
        ..DeviceChange::default()
    };
    world
        .store
        .modify(device, mute(true), at(1))
        .await
        .unwrap()
        .unwrap();
    world.store.report(device, report(), at(2)).await.unwrap();
    assert_eq!(all(&world, device, HistoryFilter::default()).await, []);
    world
        .store
        .modify(device, mute(false), at(3))
        .await
        .unwrap()
        .unwrap();
    world.store.report(device, report(), at(4)).await.unwrap();
    assert_eq!(all(&world, device, HistoryFilter::default()).await.len(), 1);
    world.store.remove(device, false, at(5)).await.unwrap();
    assert_eq!(all(&world, device, HistoryFilter::default()).await, []);
    assert_eq!(world.store.latest_data(vec![device]).await.unwrap(), []);
}
