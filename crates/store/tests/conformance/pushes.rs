//! The duty to push: all that was not accepted yet, and nothing else.

use downlink_core::lifecycle::Input;
use downlink_core::{Status, StatusSet};
use downlink_store::PushDuty;

use super::Stores;
use super::support::*;

fn seqs(duty: &Option<PushDuty>) -> Vec<(u16, Status)> {
    duty.iter()
        .flat_map(|duty| &duty.events)
        .map(|event| (event.seq, event.status))
        .collect()
}

pub(crate) async fn a_duty_holds_all_that_is_not_told(stores: Stores) {
    use Status::{Delivered, Sent, Successful};
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let created = world.create(submission).await;
    let id = created.record.id;
    let duty = created.applied.push.unwrap();
    assert_eq!(
        (duty.command, duty.app, &duty.device_id),
        (id, world.app.key, &device.id)
    );
    assert_eq!(&*duty.receiver, "http://receiver.test/cb");
    assert_eq!(seqs(&Some(duty)), [(2, Sent)]);
    let acked = world.must(id, Input::Acked, at(1)).await;
    assert_eq!(seqs(&acked.push), [(2, Sent), (3, Delivered)]);
    assert_eq!(world.store.load_push(id).await.unwrap(), acked.push);
    world.told(id, 2).await;
    assert_eq!(seqs(&world.store.load_push(id).await.unwrap()), [(3, Delivered)]);
    let done = world.must(id, ok_reply(), at(2)).await;
    assert_eq!(seqs(&done.push), [(3, Delivered), (4, Successful)]);
    let duty = done.push.unwrap();
    assert_eq!(duty.events[0].result, None);
    assert_eq!(duty.events[1].result.as_deref(), Some("{\"r\":1}"));
    assert_eq!(duty.events[1].at, at(2));
    world.told(id, 4).await;
    assert_eq!(world.store.load_push(id).await.unwrap(), None);
}

pub(crate) async fn only_what_is_asked_for_is_pushed(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    submission.command.push = StatusSet::of(&[Status::Delivered, Status::Timeout]);
    let created = world.create(submission).await;
    let id = created.record.id;
    assert_eq!(created.applied.push, None);
    let acked = world.must(id, Input::Acked, at(1)).await;
    assert_eq!(seqs(&acked.push), [(3, Status::Delivered)]);
    let done = world.must(id, ok_reply(), at(2)).await;
    assert_eq!(seqs(&done.push), [(3, Status::Delivered)]);
    assert_eq!(
        seqs(&world.store.load_push(id).await.unwrap()),
        [(3, Status::Delivered)]
    );
    world.told(id, 3).await;
    assert_eq!(
        world
            .apply(change(id, ok_reply(), at(3)))
            .await
            .outcome
            .map(|o| o.is_ok()),
        None
    );
    assert_eq!(world.record(id).await.events.len(), 4);
}

pub(crate) async fn a_row_goes_when_all_is_told(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let id = world.pending(&device, T0).await;
    world.must(id, Input::Cancel("x".into()), at(1)).await;
    assert_eq!(world.store.count_open().await.unwrap(), 0, "final is not open");
    let (found, _) = world.store.sweep_open(None, 10).await.unwrap();
    assert_eq!(seqs(&found[0].push), [(2, Status::Canceled)]);
    let before = world.record(id).await;
    world.told(id, 2).await;
    assert!(world.store.sweep_open(None, 10).await.unwrap().0.is_empty());
    assert_eq!(
        world
            .apply(change(id, Input::Acked, at(2)))
            .await
            .outcome
            .map(|o| o.is_ok()),
        None
    );
    assert_eq!(world.record(id).await, before);
}

pub(crate) async fn strangers_and_repeats_are_ignored(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let id = world.create(submission).await.record.id;
    world.told(world.mint(T0), 7).await;
    for seq in [0, 1, 2, 2, 1] {
        world.told(id, seq).await;
    }
    assert_eq!(world.store.load_push(id).await.unwrap(), None);
    // More than there is counts as all there is, not as what is still to come.
    world.told(id, 100).await;
    let acked = world.must(id, Input::Acked, at(1)).await;
    assert_eq!(seqs(&acked.push), [(3, Status::Delivered)]);
}

pub(crate) async fn a_result_is_found_again_for_its_push(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let id = world.create(submission.clone()).await.record.id;
    let done = world.must(id, ok_reply(), at(1)).await;
    assert_eq!(world.store.load_push(id).await.unwrap(), done.push);
    assert_eq!(
        world.store.sweep_open(None, 10).await.unwrap().0[0].push,
        done.push
    );
    assert_eq!(world.create(submission).await.applied.push, done.push);
}
