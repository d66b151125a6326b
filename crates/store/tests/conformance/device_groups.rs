//! Device groups: made, changed, filled and emptied; exact counts; nobody else's.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceId};
use downlink_store::{
    BatchRefused, BatchTargets, Device, DeviceGroup, DeviceGroupChange, GroupNaming, GroupRefused,
    NewDeviceGroup,
};

use super::Stores;
use super::batch_tasks::{gather, new_task};
use super::support::*;

fn new_group(app: AppKey, id: &str, devices: &[&Device]) -> NewDeviceGroup {
    NewDeviceGroup {
        id: id.into(),
        app,
        name: format!("name of {id}"),
        description: None,
        max_devices: 0,
        devices: devices.iter().map(|device| device.id.clone()).collect(),
        created_at: at(1),
        group_limit: 10,
        device_limit: 10,
    }
}

async fn make(world: &World, new: NewDeviceGroup) -> Result<DeviceGroup, GroupRefused> {
    world.store.create_group(new).await.unwrap()
}

async fn add(world: &World, app: AppKey, id: &str, devices: &[DeviceId]) -> Result<(), GroupRefused> {
    let added = world.store.add_to_group(app, id.into(), devices.to_vec(), 10);
    added.await.unwrap()
}

/// Who is in it, and that all counts say the same.
async fn members(world: &World, id: &str) -> Vec<DeviceId> {
    let (app, id): (_, Arc<str>) = (world.app.key, id.into());
    let page = world.store.group_members(app, Arc::clone(&id), 0, 100).await;
    let page = page.unwrap().unwrap();
    let group = world.store.group(app, id).await.unwrap().unwrap();
    assert_eq!((page.total, group.devices), (page.items.len() as u64, page.total));
    page.items
}

pub(crate) async fn groups_are_made_and_changed_within_their_limits(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (a, b, c) = (
        world.device("a").await,
        world.device("b").await,
        world.device("c").await,
    );
    let mine = world.app.key;
    let two = NewDeviceGroup {
        max_devices: 2,
        description: Some("lamps".into()),
        ..new_group(mine, "g", &[&b, &a, &a])
    };
    let made = make(&world, two.clone()).await.unwrap();
    assert_eq!((made.devices, made.max_devices), (2, 2));
    assert_eq!(make(&world, two.clone()).await, Err(GroupRefused::NameTaken));
    let other = |devices: &[&Device]| NewDeviceGroup {
        max_devices: 1,
        ..new_group(mine, "h", devices)
    };
    assert_eq!(
        make(&world, other(&[&a, &b])).await,
        Err(GroupRefused::TooManyDevices)
    );
    let full = NewDeviceGroup {
        group_limit: 1,
        ..other(&[])
    };
    assert_eq!(make(&world, full).await, Err(GroupRefused::TooManyGroups));
    make(&world, other(&[])).await.unwrap();
    // Full; those that are in it already count once.
    let c_id = [c.id.clone()];
    assert_eq!(
        add(&world, mine, "g", &c_id).await,
        Err(GroupRefused::TooManyDevices)
    );
    add(&world, mine, "g", &[a.id.clone(), b.id.clone()])
        .await
        .unwrap();
    assert_eq!(members(&world, "g").await, [a.id.clone(), b.id.clone()]);
    let change = async |id: &str, change| world.store.modify_group(mine, id.into(), change).await.unwrap();
    let to = |name: Option<&str>, max_devices| DeviceGroupChange {
        name: name.map(str::to_owned),
        description: None,
        max_devices,
    };
    assert_eq!(
        change("g", to(None, Some(1))).await,
        Err(GroupRefused::TooManyDevices)
    );
    assert_eq!(
        change("g", to(Some("name of h"), None)).await,
        Err(GroupRefused::NameTaken)
    );
    assert_eq!(change("none", to(None, None)).await, Err(GroupRefused::NoGroup));
    let changed = change("g", to(Some("new"), Some(3))).await.unwrap();
    assert_eq!(
        (&*changed.name, changed.description.as_deref()),
        ("new", Some("lamps"))
    );
    add(&world, mine, "g", &c_id).await.unwrap();
    assert_eq!(members(&world, "g").await.len(), 3);
    let taken = world
        .store
        .take_from_group(mine, "g".into(), vec![b.id.clone(), b.id.clone()]);
    taken.await.unwrap().unwrap();
    assert_eq!(members(&world, "g").await, [a.id.clone(), c.id.clone()]);
    let page = world
        .store
        .group_members(mine, "g".into(), 1, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((page.total, page.items), (2, vec![c.id.clone()]));
    let list = async |name: Option<&str>, skip, limit| {
        let page = world
            .store
            .groups(mine, name.map(str::to_owned), skip, limit)
            .await
            .unwrap();
        (
            page.total,
            page.items
                .iter()
                .map(|group| group.id.to_string())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(list(None, 0, 10).await, (2, vec!["g".into(), "h".into()]));
    assert_eq!(list(None, 1, 10).await, (2, vec!["h".into()]));
    assert_eq!(list(Some("new"), 0, 10).await, (1, vec!["g".into()]));
    assert_eq!(list(Some("name of g"), 0, 10).await, (0, vec![]));
    assert!(world.store.remove_group(mine, "g".into()).await.unwrap());
    assert!(!world.store.remove_group(mine, "g".into()).await.unwrap());
    // The devices stay, and a group of the same name is another.
    assert_eq!(make(&world, two).await.unwrap().devices, 2);
}

pub(crate) async fn groups_are_nobody_elses_and_lose_who_goes(stores: Stores) {
    let world = World::new(stores.open()).await;
    let other = new_app(&*world.store, "other").await;
    let (a, b) = (world.device("a").await, world.device("b").await);
    let theirs = world.store.register(new_device(other.key, "t"), u64::MAX).await;
    let theirs = theirs.unwrap().unwrap();
    let mine = world.app.key;
    make(&world, new_group(mine, "g", &[&a, &b])).await.unwrap();
    let refused = GroupRefused::NoDevice(theirs.id.clone());
    assert_eq!(
        make(&world, new_group(mine, "h", &[&theirs])).await,
        Err(refused.clone())
    );
    assert_eq!(
        add(&world, mine, "g", std::slice::from_ref(&theirs.id)).await,
        Err(refused)
    );
    assert_eq!(add(&world, other.key, "g", &[]).await, Err(GroupRefused::NoGroup));
    let taken = world
        .store
        .take_from_group(other.key, "g".into(), vec![a.id.clone()]);
    assert_eq!(taken.await.unwrap(), Err(GroupRefused::NoGroup));
    assert!(!world.store.remove_group(other.key, "g".into()).await.unwrap());
    assert_eq!(world.store.group(other.key, "g".into()).await.unwrap(), None);
    assert_eq!(world.store.groups(other.key, None, 0, 10).await.unwrap().total, 0);
    let seen = world.store.group_members(other.key, "g".into(), 0, 10).await;
    assert!(seen.unwrap().is_none());
    // The same name is another's too.
    let same = NewDeviceGroup {
        name: "name of g".into(),
        ..new_group(other.key, "x", &[&theirs])
    };
    make(&world, same).await.unwrap();
    world.store.remove(a.key, false, at(2)).await.unwrap();
    assert_eq!(members(&world, "g").await, std::slice::from_ref(&b.id));
    world.store.remove_app(mine, at(3)).await.unwrap();
    assert_eq!(world.store.group(mine, "g".into()).await.unwrap(), None);
    assert_eq!(world.store.groups(other.key, None, 0, 10).await.unwrap().total, 1);
}

pub(crate) async fn the_devices_of_groups_are_gathered_each_once(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut devices = Vec::new();
    for n in 0..9 {
        devices.push(world.device(&format!("d{n}")).await);
    }
    let some = |places: &[usize]| places.iter().map(|place| &devices[*place]).collect::<Vec<_>>();
    make(&world, new_group(world.app.key, "g", &some(&[0, 2, 4, 6, 7])))
        .await
        .unwrap();
    make(&world, new_group(world.app.key, "h", &some(&[7, 2, 3])))
        .await
        .unwrap();
    let targets = |naming, groups: &[&str]| BatchTargets::Groups {
        naming,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let create = async |n, targets| {
        world
            .store
            .create_batch_task(new_task(&world, n, targets))
            .await
            .unwrap()
    };
    let named = targets(GroupNaming::IdOrName, &["g", "name of h"]);
    let task = create(1, named.clone()).await.unwrap();
    for (naming, groups) in [
        (GroupNaming::IdOrName, ["g", "nothing"]),
        (GroupNaming::Id, ["g", "name of h"]),
    ] {
        let unknown = groups[1].to_owned();
        let refused = create(9, targets(naming, &groups)).await.unwrap_err();
        assert_eq!(refused, BatchRefused::NoGroup(unknown));
    }
    // As they are when they are gathered: one went, one came, and a new name changes nothing.
    world
        .store
        .take_from_group(world.app.key, "g".into(), vec![devices[0].id.clone()])
        .await
        .unwrap()
        .unwrap();
    add(&world, world.app.key, "h", &[devices[8].id.clone()])
        .await
        .unwrap();
    let change = DeviceGroupChange {
        name: Some("renamed".into()),
        ..DeviceGroupChange::default()
    };
    world
        .store
        .modify_group(world.app.key, "h".into(), change)
        .await
        .unwrap()
        .unwrap();
    let (found, steps) = gather(&world, task, 2).await;
    let expected: Vec<_> = some(&[2, 3, 4, 6, 7, 8])
        .iter()
        .map(|device| device.id.as_str().to_owned())
        .collect();
    assert_eq!(found, expected);
    assert!((3..=4).contains(&steps), "{steps}");
    let shown = world
        .store
        .batch_task(world.app.key, "batch-1".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((shown.targets, shown.total), (named, 6));
    // A group that is gone has nobody in it.
    let task = create(2, targets(GroupNaming::Id, &["g"])).await.unwrap();
    world.store.remove_group(world.app.key, "g".into()).await.unwrap();
    assert_eq!(gather(&world, task, 2).await, (vec![], 1));
}
