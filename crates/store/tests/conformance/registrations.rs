//! Registrations of devices over LwM2M.

use downlink_core::DeviceKey;
use downlink_store::{Device, KeptRegistration};

use super::Stores;
use super::support::*;

fn registration(device: &Device, bytes: &[u8]) -> KeptRegistration {
    KeptRegistration {
        device: device.key,
        ends_at: at(u32::from(bytes[0])),
        bytes: bytes.to_vec(),
    }
}

impl World {
    async fn keep(&self, kept: Vec<KeptRegistration>, ended: Vec<DeviceKey>) {
        self.store.keep_registrations(kept, ended).await.unwrap();
    }

    async fn kept(&self) -> Vec<(Device, KeptRegistration)> {
        self.store.kept_registrations(DeviceKey(0), 99).await.unwrap()
    }
}

pub(crate) async fn the_last_that_was_kept_of_a_device_is_there(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (a, b) = (world.device("a").await, world.device("b").await);
    assert_eq!(world.kept().await, []);
    let first = registration(&a, &[1, 0, 255]);
    world
        .keep(vec![first.clone(), registration(&b, &[2])], Vec::new())
        .await;
    world.keep(vec![registration(&b, &[3])], Vec::new()).await;
    let last = (b.clone(), registration(&b, &[3]));
    assert_eq!(world.kept().await, [(a.clone(), first), last.clone()]);
    world.keep(Vec::new(), vec![a.key, DeviceKey(99)]).await;
    assert_eq!(world.kept().await, [last]);
    // One that ends and one that begins, of the same device, in one call: it ended after it began.
    world.keep(vec![registration(&b, &[4])], vec![b.key]).await;
    assert_eq!(world.kept().await, []);
}

pub(crate) async fn a_registration_goes_with_its_device(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (a, b) = (world.device("a").await, world.device("b").await);
    let both = vec![registration(&a, &[1]), registration(&b, &[2])];
    world.keep(both.clone(), Vec::new()).await;
    assert_eq!(world.store.remove(a.key, false, at(1)).await.unwrap(), [a.key]);
    let left = [(b.clone(), both[1].clone())];
    assert_eq!(world.kept().await, left);
    world.keep(both.clone(), Vec::new()).await;
    assert_eq!(world.kept().await, left, "nothing is kept of a removed device");
    world
        .keep(vec![registration(&world.device("c").await, &[3])], Vec::new())
        .await;
    world.store.remove_app(world.app.key, at(2)).await.unwrap();
    world.store.remove_left_devices(at(2), 99).await.unwrap();
    assert_eq!(world.kept().await, []);
}

pub(crate) async fn they_come_in_pages(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut devices = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        devices.push(world.device(name).await);
    }
    let all = devices.iter().rev().map(|device| registration(device, &[1]));
    world.keep(all.collect(), vec![devices[1].key]).await;
    let page = async |after: DeviceKey| {
        let page = world.store.kept_registrations(after, 2).await.unwrap();
        page.iter().map(|(device, _)| device.key).collect::<Vec<_>>()
    };
    let keys: Vec<_> = devices.iter().map(|device| device.key).collect();
    assert_eq!(page(DeviceKey(0)).await, [keys[0], keys[2]]);
    assert_eq!(page(keys[2]).await, keys[3..]);
    assert_eq!(page(keys[4]).await, []);
}
