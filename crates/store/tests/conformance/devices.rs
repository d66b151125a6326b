//! Devices.

use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, DeviceKey, TopicFamily};
use downlink_store::{
    Contact, Device, DeviceChange, DeviceFilter, DeviceName, Link, ModifyRefused, RegisterRefused, Silence,
    Standing,
};

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
    assert_eq!(
        world.store.remove(device.key, false, at(1)).await.unwrap(),
        [device.key]
    );
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
    world.store.remove(made[0], false, at(1)).await.unwrap();
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
    assert_eq!(
        world.store.remove(device.key, false, at(1)).await.unwrap(),
        [device.key]
    );
    assert_eq!(world.store.remove(device.key, false, at(1)).await.unwrap(), []);
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
        ..DeviceFilter::default()
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
    world.store.remove(key, false, at(9)).await.unwrap();
    let late = world.store.set_work_mode(key, Some(WorkMode::Drx), at(9)).await;
    assert!(!late.unwrap());
}

/// Keys of the devices that a filter lets through; checks that pages and the total agree with it.
async fn listed(world: &World, filter: DeviceFilter) -> Vec<DeviceKey> {
    let (store, app) = (&world.store, world.app.key);
    let all = store.devices(app, filter.clone(), 0, 100).await.unwrap();
    assert_eq!(all.items.len() as u64, all.total, "{filter:?}");
    let keys: Vec<DeviceKey> = all.items.iter().map(|device| device.key).collect();
    for skip in 0..=keys.len() {
        let page = store.devices(app, filter.clone(), skip as u64, 1).await.unwrap();
        let one: Vec<DeviceKey> = page.items.iter().map(|device| device.key).collect();
        assert_eq!(one, keys[skip..].iter().copied().take(1).collect::<Vec<_>>());
        assert_eq!(page.total, all.total);
    }
    keys
}

pub(crate) async fn devices_are_found_by_what_was_said_of_them(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut keys = Vec::new();
    for (n, info) in [
        r#"{"name":"a","deviceType":"Lamp","location":"north"}"#,
        r#"{"name":"b","deviceType":"Lamp"}"#,
        r#"{"name":"a","deviceType":"Valve","location":"north"}"#,
        "no JSON",
        "{}",
    ]
    .into_iter()
    .enumerate()
    {
        let mut new = new_device(world.app.key, &format!("{n}"));
        (new.info, new.created_at) = (info.to_owned(), at(n as u32));
        keys.push(world.store.register(new, 10).await.unwrap().unwrap().key);
    }
    let text = |text: &str| Some(text.to_owned());
    let of = |name: Option<&str>, device_type: Option<&str>, location: Option<&str>| DeviceFilter {
        name: name.and_then(text),
        device_type: device_type.and_then(text),
        location: location.and_then(text),
        ..DeviceFilter::default()
    };
    for (filter, expected) in [
        (of(Some("a"), None, None), vec![2, 0]),
        (of(None, Some("Lamp"), None), vec![1, 0]),
        (of(None, None, Some("north")), vec![2, 0]),
        (of(Some("a"), Some("Lamp"), Some("north")), vec![0]),
        (of(None, Some("lamp"), None), vec![]),
        (of(Some("b"), None, Some("north")), vec![]),
    ] {
        let expected: Vec<DeviceKey> = expected.into_iter().map(|n: usize| keys[n]).collect();
        assert_eq!(listed(&world, filter.clone()).await, expected, "{filter:?}");
        let late = DeviceFilter {
            from: Some(at(1)),
            ascending: true,
            ..filter
        };
        let mut expected: Vec<DeviceKey> = expected.into_iter().filter(|key| *key != keys[0]).collect();
        expected.reverse();
        assert_eq!(listed(&world, late).await, expected);
    }
    // A change is found as what it is now.
    let change = DeviceChange {
        info: text(r#"{"name":"c","location":"south"}"#),
        ..DeviceChange::default()
    };
    world.store.modify(keys[2], change, at(9)).await.unwrap().unwrap();
    assert_eq!(listed(&world, of(Some("a"), None, None)).await, [keys[0]]);
    assert_eq!(
        listed(&world, of(Some("c"), None, Some("south"))).await,
        [keys[2]]
    );
}

pub(crate) async fn who_is_there_is_known_by_connection_or_by_silence(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut keys = Vec::new();
    for n in 0..6 {
        keys.push(world.device(&format!("{n}")).await.key);
    }
    for key in &keys[..5] {
        world.store.seen(*key, None, at(1)).await.unwrap();
    }
    let contact = |n: usize, link, secs| Contact {
        device: keys[n],
        link,
        at: at(secs),
    };
    let noted = vec![
        contact(0, Link::Connected, 2),
        contact(1, Link::Sleeps, 30),
        contact(2, Link::Sleeps, 20),
        contact(3, Link::Sleeps, 10),
        contact(4, Link::Connected, 5),
        contact(4, Link::None, 6),
        // Was heard later already.
        contact(1, Link::Sleeps, 25),
    ];
    world.store.contacts(noted).await.unwrap();
    let silence = Silence {
        abnormal: at(20),
        offline: at(10),
    };
    let expected = [
        (Standing::Online, Some(at(2))),
        (Standing::Online, Some(at(30))),
        (Standing::Abnormal, Some(at(20))),
        (Standing::Offline, Some(at(10))),
        (Standing::Offline, Some(at(6))),
        (Standing::Inactive, None),
    ];
    for (n, (standing, heard)) in expected.into_iter().enumerate() {
        let device = by_id(&world, &format!("id-{n}")).await.unwrap();
        assert_eq!(
            (device.standing(silence), device.heard_at),
            (standing, heard),
            "{n}"
        );
    }
    for (standing, expected) in [
        (Standing::Online, vec![1, 0]),
        (Standing::Abnormal, vec![2]),
        (Standing::Offline, vec![5, 4, 3]),
        (Standing::Inactive, vec![5]),
    ] {
        let filter = DeviceFilter {
            standing: Some((standing, silence)),
            ..DeviceFilter::default()
        };
        let expected: Vec<DeviceKey> = expected.into_iter().map(|n: usize| keys[n]).collect();
        assert_eq!(listed(&world, filter).await, expected, "{standing:?}");
    }
    assert_eq!(
        world.store.remove(keys[1], false, at(40)).await.unwrap(),
        [keys[1]]
    );
    world
        .store
        .contacts(vec![contact(1, Link::Connected, 41)])
        .await
        .unwrap();
    let online = DeviceFilter {
        standing: Some((Standing::Online, silence)),
        ..DeviceFilter::default()
    };
    assert_eq!(listed(&world, online).await, [keys[0]]);
}

pub(crate) async fn devices_behind_a_gateway(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    let (gateway, other) = (world.device("g").await, world.device("o").await);
    let child = async |app: AppKey, name: &str, gateway| {
        let mut new = new_device(app, name);
        new.gateway = Some(gateway);
        world.store.register(new, 10).await.unwrap()
    };
    let app = world.app.key;
    let (a, b) = (
        child(app, "a", gateway.key).await.unwrap(),
        child(app, "b", gateway.key).await.unwrap(),
    );
    assert_eq!(a.gateway, Some(gateway.id.clone()));
    for refused in [
        child(app, "c", a.key).await,
        child(app, "c", DeviceKey(99)).await,
        child(stranger.key, "c", gateway.key).await,
    ] {
        assert_eq!(refused, Err(RegisterRefused::NoGateway));
    }
    let filter = |gateway: Option<DeviceKey>, direct| DeviceFilter {
        gateway,
        direct,
        ..DeviceFilter::default()
    };
    let of_gateway = filter(Some(gateway.key), None);
    assert_eq!(
        listed(&world, of_gateway.clone()).await,
        [b.key, a.key, gateway.key]
    );
    assert_eq!(
        listed(&world, filter(Some(gateway.key), Some(false))).await,
        [b.key, a.key]
    );
    assert_eq!(
        listed(&world, filter(None, Some(true))).await,
        [other.key, gateway.key]
    );
    assert_eq!(listed(&world, filter(Some(other.key), None)).await, [other.key]);

    let gone = world.store.remove(gateway.key, true, at(1)).await.unwrap();
    assert_eq!(gone, [gateway.key, a.key, b.key]);
    assert_eq!(listed(&world, DeviceFilter::default()).await, [other.key]);
    let left = child(app, "d", other.key).await.unwrap();
    assert!(
        by_id(&world, "id-d").await.unwrap().gateway.is_some(),
        "so that it may be in memory"
    );
    assert_eq!(
        world.store.remove(other.key, false, at(2)).await.unwrap(),
        [other.key]
    );
    let left = by_id(&world, left.id.as_str()).await.unwrap();
    assert_eq!((left.gateway, left.modified_at), (None, at(2)));
}

pub(crate) async fn what_is_changed_of_a_device_stays_changed(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (device, other) = (world.device("a").await, world.device("b").await);
    let change = |info: Option<&str>| DeviceChange {
        info: info.map(str::to_owned),
        ..DeviceChange::default()
    };
    let given = change(Some(r#"{"name":"n","productId":"p","tags":[{"tagName":"a"}]}"#));
    assert_eq!(
        world.store.modify(device.key, given, at(1)).await.unwrap(),
        Ok(())
    );
    let given = change(Some(r#"{"name":"m","tags":[]}"#));
    assert_eq!(
        world.store.modify(device.key, given, at(2)).await.unwrap(),
        Ok(())
    );
    let credentials = DeviceChange {
        secret: Some(vec![9]),
        node_id: Some("node-x".to_owned()),
        verify_code: Some("v".to_owned()),
        ..change(None)
    };
    assert_eq!(
        world.store.modify(device.key, credentials, at(3)).await.unwrap(),
        Ok(())
    );
    assert_eq!(by_node(&world, "node-a").await, None);
    let now = by_node(&world, "node-x").await.unwrap();
    assert_eq!(now.info, r#"{"name":"m","productId":"p","tags":[]}"#);
    assert_eq!(
        (now.secret, now.verify_code.as_str(), now.modified_at),
        (vec![9], "v", at(3))
    );
    assert!(now.product.is_some());
    let taken = DeviceChange {
        node_id: Some("node-b".to_owned()),
        ..change(Some(r#"{"name":"z"}"#))
    };
    assert_eq!(
        world.store.modify(device.key, taken, at(4)).await.unwrap(),
        Err(ModifyRefused::DuplicateNode)
    );
    assert_eq!(by_node(&world, "node-x").await.unwrap().modified_at, at(3));
    world.store.remove(other.key, false, at(5)).await.unwrap();
    assert_eq!(
        world.store.modify(other.key, change(None), at(6)).await.unwrap(),
        Err(ModifyRefused::NoDevice)
    );
}
