//! Subscriptions, and when something becomes ready for a receiver by a notice.

use std::sync::Arc;

use downlink_core::AppKey;
use downlink_store::{
    NotifyType, Report, ServiceData, Store, SubscribeRefused, Subscription, SubscriptionFilter,
};

use super::Stores;
use super::support::*;

fn to(app: AppKey, kind: NotifyType, url: &str) -> Subscription {
    Subscription {
        id: format!("{}-{}-{url}", app.0, kind.as_str()).into(),
        app,
        notify_type: kind,
        callback: url.into(),
        origin: "http://na:1".into(),
        channel: "HTTP".into(),
        created_at: T0,
    }
}

async fn all(store: &Arc<dyn Store>, app: AppKey) -> Vec<Subscription> {
    let page = store
        .subscriptions(app, SubscriptionFilter::default(), 0, 100)
        .await
        .unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items
}

pub(crate) async fn one_of_a_kind_and_an_application(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&world.store, world.app.key);
    let other = new_app(&**store, "other").await.key;
    let first = to(app, NotifyType::DeviceAdded, "http://na:1/a");
    assert_eq!(store.subscribe(first.clone()).await.unwrap(), Ok(first.clone()));
    let again = Subscription {
        id: "another".into(),
        ..first.clone()
    };
    assert_eq!(store.subscribe(again).await.unwrap(), Ok(first.clone()));
    let elsewhere = to(app, NotifyType::DeviceAdded, "http://na:1/b");
    let refused = store.subscribe(elsewhere.clone()).await.unwrap();
    assert_eq!(refused, Err(SubscribeRefused::Conflict));
    let others = to(other, NotifyType::DeviceAdded, "http://na:1/b");
    assert_eq!(store.subscribe(others.clone()).await.unwrap(), Ok(others));
    let nobodys = to(AppKey(99), NotifyType::DeviceAdded, "http://na:1/b");
    assert_eq!(
        store.subscribe(nobodys).await.unwrap(),
        Err(SubscribeRefused::NoApp)
    );
    assert_eq!(all(store, app).await, std::slice::from_ref(&first));
    assert_eq!(
        store.subscription(app, &first.id).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(store.subscription(other, &first.id).await.unwrap(), None);
    assert!(!store.unsubscribe(other, &first.id).await.unwrap());
    assert!(store.unsubscribe(app, &first.id).await.unwrap());
    assert!(!store.unsubscribe(app, &first.id).await.unwrap());
    assert!(store.subscribe(elsewhere).await.unwrap().is_ok());
}

pub(crate) async fn many_end_by_filter_and_with_their_application(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&world.store, world.app.key);
    let kinds = [
        NotifyType::DeviceAdded,
        NotifyType::BindDevice,
        NotifyType::RuleEvent,
    ];
    for kind in kinds {
        store
            .subscribe(to(app, kind, "http://na:1/"))
            .await
            .unwrap()
            .unwrap();
        assert!(store.wants(app, &[kind]));
    }
    let one = SubscriptionFilter {
        notify_type: Some(NotifyType::BindDevice),
        ..SubscriptionFilter::default()
    };
    let page = store.subscriptions(app, one.clone(), 0, 1).await.unwrap();
    assert_eq!(
        (page.total, page.items[0].notify_type),
        (1, NotifyType::BindDevice)
    );
    let elsewhere = SubscriptionFilter {
        callback: Some("http://na:1/x".to_owned()),
        ..SubscriptionFilter::default()
    };
    assert_eq!(store.unsubscribe_many(app, elsewhere).await.unwrap(), 0);
    assert_eq!(store.unsubscribe_many(app, one).await.unwrap(), 1);
    assert!(!store.wants(app, &[NotifyType::BindDevice]));
    assert!(store.wants(app, &kinds));
    store.remove_app(app, at(1)).await.unwrap();
    assert!(!store.wants(app, &kinds));
    assert_eq!(all(store, app).await, []);
}

pub(crate) async fn only_what_is_subscribed_to_stirs_a_receiver(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&world.store, world.app.key);
    let stirs = || store.take_stirred().len();
    let quiet = world.device("quiet").await;
    store.presence(quiet.key, true, at(1)).await.unwrap();
    assert_eq!(stirs(), 0);

    store
        .subscribe(to(app, NotifyType::DeviceAdded, "http://na:1/"))
        .await
        .unwrap()
        .unwrap();
    let device = world.device("d").await;
    store.stirred().await;
    assert_eq!((stirs(), stirs()), (1, 0));
    store.presence(device.key, true, at(2)).await.unwrap();
    store.seen(device.key, None, at(2)).await.unwrap();
    assert_eq!(stirs(), 0);

    store
        .subscribe(to(app, NotifyType::DeviceDataChanged, "http://na:1/"))
        .await
        .unwrap()
        .unwrap();
    let lamp = ServiceData {
        service: "Lamp".to_owned(),
        data: "{}".to_owned(),
        at: at(3),
    };
    let report = vec![Report::Data(vec![lamp])];
    // Behind what was told of the device before.
    store.report(device.key, report.clone(), at(3)).await.unwrap();
    assert_eq!(stirs(), 0);
    store.report(quiet.key, report.clone(), at(3)).await.unwrap();
    assert_eq!(stirs(), 1);
    let later = world.device("later").await;
    assert_eq!(stirs(), 1);
    store.remove(later.key, false, at(4)).await.unwrap();
    store.report(later.key, report, at(5)).await.unwrap();
    assert_eq!(stirs(), 0, "a device that is gone says nothing");
}
