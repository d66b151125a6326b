//! The numbers by which devices of the older topic family answer.

use std::collections::BTreeSet;

use downlink_core::lifecycle::Input;
use downlink_core::{Mid, Status};
use downlink_store::{Change, Device, Target};

use super::Stores;
use super::support::*;

/// Sends an immediate command; gives its id and mid.
async fn send(world: &World, device: &Device) -> (downlink_core::CommandId, Mid) {
    let created = world.create(world.immediate(device, T0, mid_offer(1))).await;
    (created.record.id, created.send.unwrap().mid.unwrap())
}

pub(crate) async fn they_are_unique_among_open_commands(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (one, other) = (world.device("a").await, world.device("b").await);
    let mut mids = BTreeSet::new();
    for _ in 0..200 {
        assert!(mids.insert(send(&world, &one).await.1));
    }
    assert_eq!(send(&world, &other).await.1, Mid::FIRST, "counted per device");
    let without = world.create(world.immediate(&one, T0, offer(1))).await;
    assert_eq!(without.send.unwrap().mid, None);
}

pub(crate) async fn an_answer_finds_its_command_by_mid(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (one, other) = (world.device("a").await, world.device("b").await);
    let (id, mid) = send(&world, &one).await;
    let reply = |device: &Device, mid, input| Change {
        target: Target::Mid(device.key, mid),
        input,
        now: at(1),
        then_send: None,
    };
    assert!(
        world
            .apply(reply(&other, mid, ok_reply()))
            .await
            .outcome
            .is_none(),
        "another device's"
    );
    assert!(
        world
            .apply(reply(&one, mid.next(), ok_reply()))
            .await
            .outcome
            .is_none(),
        "no such mid"
    );
    let applied = world
        .apply(reply(&one, mid, Input::Acked))
        .await
        .outcome
        .unwrap()
        .unwrap();
    assert_eq!((applied.command, applied.status), (id, Status::Delivered));
    let applied = world
        .apply(reply(&one, mid, ok_reply()))
        .await
        .outcome
        .unwrap()
        .unwrap();
    assert_eq!((applied.command, applied.status), (id, Status::Successful));
    world.told(id, applied.seq).await;
    assert!(
        world.apply(reply(&one, mid, ok_reply())).await.outcome.is_none(),
        "over and told"
    );
}

pub(crate) async fn they_are_not_reused_soon(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut mids = BTreeSet::new();
    for _ in 0..150 {
        let (id, mid) = send(&world, &device).await;
        assert!(mids.insert(mid), "{mid:?} came again");
        let done = world.must(id, ok_reply(), at(1)).await;
        world.told(id, done.seq).await;
    }
}

pub(crate) async fn a_second_send_keeps_its_mid(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let id = world.pending(&device, T0).await;
    let first = world
        .send_next(device.key, mid_offer(1), at(1))
        .await
        .unwrap()
        .mid
        .unwrap();
    let second = world.send_next(device.key, mid_offer(2), at(2)).await.unwrap();
    assert_eq!((second.mid, second.sends), (Some(first), 2));
    // A session that matches otherwise is told none, yet the first one's answer still finds its command.
    assert_eq!(
        world.send_next(device.key, offer(3), at(3)).await.unwrap().mid,
        None
    );
    let late = Change {
        target: Target::Mid(device.key, first),
        ..change(id, Input::Acked, at(4))
    };
    assert_eq!(world.apply(late).await.outcome.unwrap().unwrap().command, id);
}

/// Once round all 65,535: the one that is still open keeps its number.
pub(crate) async fn mapped_ones_are_passed_by_in_the_next_round(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let (open, kept) = send(&world, &device).await;
    let mut submission = world.immediate(&device, T0, mid_offer(1));
    submission.command.callback = None;
    let mut seen = 1;
    while seen < 65_535 + 64 {
        let creates = (0..256).map(|_| {
            let (store, mut submission) = (world.store.clone(), submission.clone());
            submission.command.id = world.mint(T0);
            let create: Boxed<_> = Box::pin(async move { store.create(submission).await.unwrap().unwrap() });
            create
        });
        let created = all_at_once(creates.collect()).await;
        seen += created.len();
        let mids: BTreeSet<Mid> = created
            .iter()
            .map(|created| created.send.as_ref().unwrap().mid.unwrap())
            .collect();
        assert_eq!(mids.len(), 256);
        assert!(!mids.contains(&kept), "given twice after {seen}");
        let done = created
            .iter()
            .map(|created| change(created.record.id, ok_reply(), at(1)))
            .collect();
        world.store.apply(done).await.unwrap();
    }
    let late = Change {
        target: Target::Mid(device.key, kept),
        ..change(open, Input::Acked, at(4))
    };
    assert_eq!(world.apply(late).await.outcome.unwrap().unwrap().command, open);
}
