//! Devices.

use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, TopicFamily};
use downlink_store::{Device, DeviceFilter, DeviceName, RegisterRefused};

use super::Stores;
use super::support::*;

async fn by_id(world: &World, id: &str) -> Option<Device> {
    world
        .store
        .device(DeviceName::Id(&DeviceId::new(id)))
        .await
        .unwrap()
}

async fn by_node(world: &World, node: &str) -> Option<Device> {
    world.store.device(DeviceName::Node(node)).await.unwrap()
}

pub(crate) async fn a_device_is_found_by_both_names(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut new = new_device(world.app.key, "d");
    new.bind_until = Some(at(60));
    new.secret = vec![0, 255];
    let device = world.store.register(new.clone(), 10).await.unwrap().unwrap();
    assert_eq!(
        (&device.id, &device.node_id, &device.secret),
        (&new.id, &new.node_id, &new.secret)
    );
    assert_eq!(
        (device.bind_until, device.activated_at, device.family),
        (Some(at(60)), None, None)
    );
    assert_eq!((device.created_at, device.modified_at), (T0, T0));
    for _ in 0..2 {
        assert_eq!(by_id(&world, "id-d").await.as_ref(), Some(&device));
        assert_eq!(by_node(&world, "node-d").await.as_ref(), Some(&device));
    }
    assert_eq!(by_id(&world, "node-d").await, None);
    assert_eq!(by_node(&world, "id-d").await, None);
}

pub(crate) async fn ids_and_node_ids_are_unique(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    let device = world.device("a").await;
    let register = |app: AppKey, id: &str, node: &str| {
        let mut new = new_device(app, id);
        new.node_id = node.to_owned();
        world.store.register(new, 10)
    };
    let refused = register(stranger.key, "b", "node-a").await.unwrap().unwrap_err();
    assert_eq!(refused, RegisterRefused::DuplicateNode);
    let refused = register(world.app.key, "a", "node-b").await.unwrap().unwrap_err();
    assert_eq!(refused, RegisterRefused::DuplicateId);
    let refused = register(AppKey(99), "c", "node-c").await.unwrap().unwrap_err();
    assert_eq!(refused, RegisterRefused::NoApp);
    assert!(world.store.remove(device.key, at(1)).await.unwrap());
    let refused = register(world.app.key, "a", "node-a").await.unwrap().unwrap_err();
    assert_eq!(refused, RegisterRefused::DuplicateId, "an id is given once");
    let moved = register(stranger.key, "b", "node-a").await.unwrap().unwrap();
    assert_ne!(moved.key, device.key);
    assert_eq!(by_node(&world, "node-a").await, Some(moved));
}

pub(crate) async fn the_limit_of_devices_holds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let registers = (0..20).map(|n| {
        let (store, new) = (world.store.clone(), new_device(world.app.key, &format!("{n}")));
        tokio::spawn(async move { store.register(new, 5).await.unwrap() })
    });
    let mut made = Vec::new();
    for register in registers.collect::<Vec<_>>() {
        match register.await.unwrap() {
            Ok(device) => made.push(device.key),
            Err(refused) => assert_eq!(refused, RegisterRefused::TooMany),
        }
    }
    assert_eq!(made.len(), 5);
    world.store.remove(made[0], at(1)).await.unwrap();
    world
        .store
        .register(new_device(world.app.key, "x"), 5)
        .await
        .unwrap()
        .unwrap();
}

pub(crate) async fn a_removed_device_is_gone_but_its_records_show_it(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let id = world.pending(&device, T0).await;
    assert!(
        by_id(&world, "id-a").await.is_some(),
        "so that it may be in memory"
    );
    assert!(world.store.remove(device.key, at(1)).await.unwrap());
    assert!(!world.store.remove(device.key, at(1)).await.unwrap());
    assert_eq!(by_id(&world, "id-a").await, None);
    assert_eq!(by_node(&world, "node-a").await, None);
    let page = world
        .store
        .devices(world.app.key, DeviceFilter::default(), 0, 9)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.total), (0, 0));
    assert_eq!(world.record(id).await.device_id, device.id);
    let canceled = world
        .must(
            id,
            downlink_core::lifecycle::Input::Cancel("removed".into()),
            at(2),
        )
        .await;
    assert_eq!(canceled.push.unwrap().device_id, device.id);
}

pub(crate) async fn seen_notes_the_first_connection_and_the_family(stores: Stores) {
    let world = World::new(stores.open()).await;
    let key = world.device("a").await.key;
    let state = async || {
        let device = by_id(&world, "id-a").await.unwrap();
        (device.activated_at, device.family, device.modified_at)
    };
    assert_eq!(state().await, (None, None, T0));
    world.store.seen(key, None, at(1)).await.unwrap();
    assert_eq!(state().await, (Some(at(1)), None, at(1)));
    world.store.seen(key, None, at(2)).await.unwrap();
    assert_eq!(state().await, (Some(at(1)), None, at(1)), "nothing new");
    world.store.seen(key, Some(TopicFamily::Oc), at(3)).await.unwrap();
    assert_eq!(state().await, (Some(at(1)), Some(TopicFamily::Oc), at(3)));
    world.store.seen(key, Some(TopicFamily::Oc), at(4)).await.unwrap();
    assert_eq!(state().await, (Some(at(1)), Some(TopicFamily::Oc), at(3)));
    world
        .store
        .seen(key, Some(TopicFamily::Legacy), at(5))
        .await
        .unwrap();
    assert_eq!(state().await, (Some(at(1)), Some(TopicFamily::Legacy), at(5)));
}

pub(crate) async fn unbound_devices_lapse(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut keys = Vec::new();
    for (n, until) in [Some(10), Some(20), Some(5), None].into_iter().enumerate() {
        let mut new = new_device(world.app.key, &format!("{n}"));
        new.bind_until = until.map(at);
        keys.push(world.store.register(new, 10).await.unwrap().unwrap().key);
    }
    world.store.seen(keys[2], None, at(1)).await.unwrap();
    assert_eq!(world.store.remove_unbound(at(9), 9).await.unwrap(), []);
    assert_eq!(world.store.remove_unbound(at(99), 1).await.unwrap(), keys[..1]);
    assert_eq!(world.store.remove_unbound(at(99), 9).await.unwrap(), keys[1..2]);
    assert_eq!(world.store.remove_unbound(at(99), 9).await.unwrap(), []);
    assert_eq!(by_id(&world, "id-0").await, None);
    assert!(by_id(&world, "id-2").await.is_some() && by_id(&world, "id-3").await.is_some());
}

pub(crate) async fn devices_are_listed_by_time(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    world
        .store
        .register(new_device(stranger.key, "x"), 9)
        .await
        .unwrap()
        .unwrap();
    let mut keys = Vec::new();
    for n in 0..6 {
        let mut new = new_device(world.app.key, &format!("{n}"));
        new.created_at = at(n / 2);
        keys.insert(0, world.store.register(new, 10).await.unwrap().unwrap().key);
    }
    let list = async |filter, skip, limit| {
        let page = world
            .store
            .devices(world.app.key, filter, skip, limit)
            .await
            .unwrap();
        (
            page.items.iter().map(|device| device.key).collect::<Vec<_>>(),
            page.total,
        )
    };
    assert_eq!(list(DeviceFilter::default(), 0, 9).await, (keys.clone(), 6));
    assert_eq!(list(DeviceFilter::default(), 4, 9).await, (keys[4..].to_vec(), 6));
    let middle = DeviceFilter {
        from: Some(at(1)),
        to: Some(at(1)),
        ascending: false,
    };
    assert_eq!(list(middle.clone(), 0, 1).await, (keys[2..3].to_vec(), 2));
    let ascending = DeviceFilter {
        ascending: true,
        ..middle
    };
    assert_eq!(list(ascending, 0, 9).await, (vec![keys[3], keys[2]], 2));
}

pub(crate) async fn a_device_is_told_how_it_sleeps(stores: Stores) {
    let world = World::new(stores.open()).await;
    let key = world.device("a").await.key;
    for (n, mode) in [Some(WorkMode::Edrx { cycle_secs: 5 }), Some(WorkMode::Psm), None]
        .into_iter()
        .enumerate()
    {
        let now = at(u32::try_from(n).unwrap());
        let before = by_id(&world, "id-a").await.unwrap();
        assert!(world.store.set_work_mode(key, mode, now).await.unwrap());
        let expected = Device {
            work_mode: mode,
            modified_at: now,
            ..before
        };
        assert_eq!(by_id(&world, "id-a").await, Some(expected));
    }
    world.store.remove(key, at(9)).await.unwrap();
    let late = world.store.set_work_mode(key, Some(WorkMode::Drx), at(9)).await;
    assert!(!late.unwrap());
}
