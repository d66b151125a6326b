//! A device's queue: order, one outstanding, nothing blocks.

use std::collections::BTreeMap;

use downlink_core::lifecycle::Input;
use downlink_core::{Offer, Span, Status};
use downlink_store::{Change, Target};

use super::Stores;
use super::support::*;

pub(crate) async fn commands_go_oldest_first_one_at_a_time(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.pending(&device, T0).await);
    }
    // A clock that steps back does not change the order.
    ids.push(world.pending(&device, T0 - Span::from_secs(60)).await);
    assert_eq!(world.store.queue(device.key, 10).await.unwrap(), ids);
    assert_eq!(world.store.queue(device.key, 2).await.unwrap(), ids[..2]);
    let last = ids.last().copied();
    for id in ids {
        let dispatch = world.send_next(device.key, offer(1), at(1)).await.unwrap();
        assert_eq!((dispatch.command, dispatch.sends), (id, 1));
        assert_eq!(dispatch.more, Some(id) != last, "whether more wait");
        assert_eq!(dispatch.max_retransmit, Some(3), "as the application said");
        assert!(
            world.send_next(device.key, offer(1), at(1)).await.is_none(),
            "one outstanding"
        );
        assert_eq!(
            world.store.queue(device.key, 1).await.unwrap(),
            [id],
            "it holds the slot"
        );
        world.must(id, Input::Acked, at(2)).await;
    }
    assert!(world.send_next(device.key, offer(1), at(3)).await.is_none());
    assert!(world.store.queue(device.key, 10).await.unwrap().is_empty());
}

pub(crate) async fn queues_of_removed_devices_are_found(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut gone = Vec::new();
    for n in 0..6 {
        let device = world.device(&format!("d{n}")).await;
        for _ in 0..3 {
            world.pending(&device, T0).await;
        }
        if n % 2 == 0 {
            assert_eq!(
                world.store.remove(device.key, false, at(1)).await.unwrap(),
                [device.key]
            );
            gone.push(device.key);
        }
    }
    let left = async |limit| {
        let mut left = world.store.left_queues(limit).await.unwrap();
        left.sort_unstable();
        left
    };
    assert_eq!(left(9).await, gone);
    assert_eq!(left(2).await.len(), 2);
    for id in world.store.queue(gone[1], 9).await.unwrap() {
        world.must(id, Input::Cancel("gone".to_owned()), at(2)).await;
    }
    assert_eq!(left(9).await, [gone[0], gone[2]]);
}

pub(crate) async fn acked_and_next_are_one_transaction(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.pending(&device, T0).await);
    }
    world.send_next(device.key, offer(1), at(1)).await.unwrap();
    let acked = |command, input| Change {
        target: Target::OfDevice(device.key, command),
        input,
        now: at(2),
        then_send: Some(Offer {
            ack_wait: Some(Span::from_secs(240)),
            ..offer(1)
        }),
    };
    let changed = world.apply(acked(ids[0], Input::Acked)).await;
    let (applied, dispatch) = changed.next.unwrap();
    assert_eq!(applied.deadline.map(|deadline| deadline.at), Some(at(242)));
    assert_eq!(
        (applied.command, applied.status, applied.from),
        (ids[1], Status::Sent, Status::Pending)
    );
    assert_eq!((dispatch.command, dispatch.sends), (ids[1], 1));
    assert!(applied.deadline.is_some());
    // A result after the acknowledgement takes nothing out of the queue any more: nothing follows.
    assert!(world.apply(acked(ids[0], ok_reply())).await.next.is_none());
    assert!(world.apply(acked(ids[0], Input::Acked)).await.next.is_none());
    // A result without one does.
    let changed = world.apply(acked(ids[1], ok_reply())).await;
    assert_eq!(changed.next.unwrap().1.command, ids[2]);
    assert!(world.apply(acked(ids[2], Input::Acked)).await.next.is_none());
    // A chain in one group.
    for _ in 0..3 {
        world.pending(&device, T0).await;
    }
    world.send_next(device.key, offer(1), at(3)).await.unwrap();
    let ids = world.store.queue(device.key, 9).await.unwrap();
    let chain = ids.iter().map(|id| acked(*id, Input::Acked)).collect();
    let changed = world.store.apply(chain).await.unwrap();
    let next = changed
        .iter()
        .map(|changed| changed.next.as_ref().map(|(_, send)| send.command));
    assert_eq!(next.collect::<Vec<_>>(), [Some(ids[1]), Some(ids[2]), None]);
}

pub(crate) async fn only_devices_with_a_queue_are_named(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (busy, idle) = (world.device("busy").await, world.device("idle").await);
    let first = world.pending(&busy, T0).await;
    let asked = vec![idle.key, busy.key];
    assert_eq!(world.store.with_queue(asked.clone()).await.unwrap(), [busy.key]);
    world.must(first, Input::Cancel("by hand".into()), at(1)).await;
    assert_eq!(world.store.with_queue(asked).await.unwrap(), []);
}

pub(crate) async fn the_lost_one_goes_first_over_the_next_session(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let (first, _) = (world.pending(&device, T0).await, world.pending(&device, T0).await);
    world.send_next(device.key, offer(1), at(1)).await.unwrap();
    world
        .must(
            first,
            Input::SessionLost {
                session: offer(1).session,
                written: true,
            },
            at(2),
        )
        .await;
    let dispatch = world.send_next(device.key, offer(2), at(3)).await.unwrap();
    assert_eq!((dispatch.command, dispatch.sends), (first, 2));
    // A loss that was never reported is known by the newer session.
    let dispatch = world.send_next(device.key, offer(3), at(4)).await.unwrap();
    assert_eq!((dispatch.command, dispatch.sends), (first, 3));
    // A send that was never written does not count.
    world
        .must(
            first,
            Input::SessionLost {
                session: offer(3).session,
                written: false,
            },
            at(5),
        )
        .await;
    let dispatch = world.send_next(device.key, offer(4), at(6)).await.unwrap();
    assert_eq!((dispatch.command, dispatch.sends), (first, 3));
    assert_eq!(world.statuses(first).await, [Status::Pending, Status::Sent]);
    // At the limit of sends it holds the slot until its deadline, then the next one goes.
    for session in 5..7 {
        world.send_next(device.key, offer(session), at(6)).await.unwrap();
    }
    assert!(world.send_next(device.key, offer(7), at(6)).await.is_none());
    world.must(first, Input::AckDeadline, at(36)).await;
    assert_ne!(
        world
            .send_next(device.key, offer(7), at(36))
            .await
            .unwrap()
            .command,
        first
    );
}

pub(crate) async fn a_head_past_its_lifetime_is_passed_by(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut short = world.cached(&device, T0);
    short.command.mode = downlink_core::Mode::Cached { expires_at: at(10) };
    let expired = world.create(short).await.record.id;
    let (second, third) = (world.pending(&device, T0).await, world.pending(&device, T0).await);
    let dispatch = world.send_next(device.key, offer(1), at(11)).await.unwrap();
    assert_eq!(dispatch.command, second);
    assert!(
        world.send_next(device.key, offer(1), at(11)).await.is_none(),
        "still one outstanding"
    );
    assert_eq!(world.store.take_expiring(at(11), 10).await.unwrap(), [expired]);
    world.must(expired, Input::LifetimeEnded, at(11)).await;
    world.must(second, Input::Acked, at(12)).await;
    assert_eq!(
        world
            .send_next(device.key, offer(1), at(12))
            .await
            .unwrap()
            .command,
        third
    );
}

pub(crate) async fn a_long_queue_past_its_lifetime_blocks_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.queue_limit = 1_000;
    submission.command.mode = downlink_core::Mode::Cached { expires_at: at(10) };
    for _ in 0..150 {
        submission.command.id = world.mint(T0);
        world.create(submission.clone()).await;
    }
    submission.command.id = world.mint(T0);
    submission.command.mode = downlink_core::Mode::Cached { expires_at: at(100) };
    let last = world.create(submission).await.record.id;
    assert_eq!(
        world
            .send_next(device.key, offer(1), at(11))
            .await
            .unwrap()
            .command,
        last
    );
    assert!(world.send_next(device.key, offer(1), at(101)).await.is_none());
}

pub(crate) async fn a_slot_is_held_until_its_deadline(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let (first, second) = (world.pending(&device, T0).await, world.pending(&device, T0).await);
    world.send_next(device.key, result_only(1), at(1)).await.unwrap();
    assert!(world.send_next(device.key, result_only(1), at(2)).await.is_none());
    let over = Change {
        then_send: Some(result_only(1)),
        ..change(first, Input::SlotDeadline, at(31))
    };
    let changed = world.apply(over).await;
    assert_eq!(changed.next.unwrap().1.command, second);
    assert_eq!(world.record(first).await.status, Status::Sent);
    // Let go of, then known as never written: it stands in the queue again, before the others.
    world
        .must(
            first,
            Input::SessionLost {
                session: offer(1).session,
                written: false,
            },
            at(32),
        )
        .await;
    assert_eq!(world.store.queue(device.key, 9).await.unwrap(), [first, second]);
    assert_eq!(
        world
            .send_next(device.key, offer(2), at(33))
            .await
            .unwrap()
            .command,
        first
    );
}

pub(crate) async fn immediate_ones_pass_by(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let waiting = world.pending(&device, T0).await;
    let created = world.create(world.immediate(&device, T0, offer(1))).await;
    assert!(created.send.is_some());
    assert_eq!(world.store.queue(device.key, 9).await.unwrap(), [waiting]);
    assert_eq!(
        world
            .send_next(device.key, offer(1), at(1))
            .await
            .unwrap()
            .command,
        waiting
    );
}

pub(crate) async fn many_drainers_send_each_command_once(stores: Stores) {
    let world = std::sync::Arc::new(World::new(stores.open()).await);
    let device = world.device("d").await;
    for _ in 0..20 {
        world.pending(&device, T0).await;
    }
    let expected = world.store.queue(device.key, 50).await.unwrap();
    let drainers = (0..8).map(|_| {
        let (world, device) = (world.clone(), device.key);
        tokio::spawn(async move {
            let mut sent = Vec::new();
            while !world.store.queue(device, 1).await.unwrap().is_empty() {
                if let Some(dispatch) = world.send_next(device, offer(1), at(1)).await {
                    world.must(dispatch.command, Input::Acked, at(1)).await;
                    sent.push(dispatch.command);
                }
            }
            sent
        })
    });
    let mut sent = BTreeMap::new();
    for drainer in drainers.collect::<Vec<_>>() {
        for id in drainer.await.unwrap() {
            *sent.entry(id).or_insert(0) += 1;
        }
    }
    assert_eq!(sent, expected.into_iter().map(|id| (id, 1)).collect());
}
