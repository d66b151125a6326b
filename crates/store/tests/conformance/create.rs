//! Creating commands.

use downlink_core::Status;
use downlink_core::lifecycle::Input;
use downlink_store::CreateRefused;

use super::Stores;
use super::support::*;

pub(crate) async fn the_same_id_again_gives_the_stored_record(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let first = world.create(submission.clone()).await;
    assert!(!first.existed && first.send.is_some());
    let again = world.create(submission.clone()).await;
    assert!(again.existed && again.send.is_none());
    assert_eq!(again.record, first.record);
    assert_eq!(again.applied.push, first.applied.push);
    let done = world.must(first.record.id, ok_reply(), at(1)).await;
    world.told(first.record.id, done.seq).await;
    submission.queue_limit = 0;
    let over = world.create(submission).await;
    assert!(over.existed);
    assert_eq!(over.record, world.record(first.record.id).await);
    assert_eq!((over.applied.status, over.applied.seq), (Status::Successful, 4));
    let page = world
        .store
        .list(world.app.key, Default::default(), 0, 10)
        .await
        .unwrap();
    assert_eq!((page.total, page.items.len()), (1, 1));
}

pub(crate) async fn rivals_with_one_id_make_one_command(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    for _ in 0..10 {
        let submission = world.cached(&device, T0);
        let rivals = (0..6).map(|_| {
            let (store, submission) = (world.store.clone(), submission.clone());
            tokio::spawn(async move { store.create(submission).await.unwrap().unwrap() })
        });
        let mut made = 0;
        for rival in rivals.collect::<Vec<_>>() {
            made += usize::from(!rival.await.unwrap().existed);
        }
        assert_eq!(made, 1);
    }
    let page = world
        .store
        .list(world.app.key, Default::default(), 0, 100)
        .await
        .unwrap();
    assert_eq!((page.total, page.items.len()), (10, 10));
}

pub(crate) async fn a_device_must_be_there_and_the_applications_own(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let stranger = new_app(&*world.store, "stranger").await;
    let mut submission = world.cached(&device, T0);
    submission.command.app = stranger.key;
    assert_eq!(
        world.try_create(submission).await.unwrap_err(),
        CreateRefused::NoDevice
    );
    let mut submission = world.cached(&device, T0);
    submission.command.device.0 += 100;
    assert_eq!(
        world.try_create(submission).await.unwrap_err(),
        CreateRefused::NoDevice
    );
    world.pending(&device, T0).await;
    assert_eq!(
        world.store.remove(device.key, false, at(1)).await.unwrap(),
        [device.key]
    );
    let refused = world.try_create(world.cached(&device, at(2))).await.unwrap_err();
    assert_eq!(refused, CreateRefused::NoDevice);
    assert_eq!(world.store.count_open().await.unwrap(), 1);
}

pub(crate) async fn immediate_needs_a_session(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.immediate(&device, T0, offer(1));
    submission.offer = None;
    let id = submission.command.id;
    assert_eq!(
        world.try_create(submission.clone()).await.unwrap_err(),
        CreateRefused::NotReachable
    );
    assert!(world.store.load(world.app.key, id).await.unwrap().is_none());
    submission.offer = Some(offer(1));
    let created = world.create(submission).await;
    let send = created.send.unwrap();
    assert_eq!(
        (send.sends, send.expires_at, send.session),
        (1, None, offer(1).session)
    );
    assert_eq!(created.applied.status, Status::Sent);
}

pub(crate) async fn it_is_sent_at_once_when_nothing_is_before_it(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.offer = Some(offer(1));
    let first = world.create(submission.clone()).await;
    assert_eq!(first.record.status, Status::Sent);
    assert_eq!(first.send.unwrap().body, submission.command.body);
    submission.command.id = world.mint(T0);
    let second = world.create(submission.clone()).await;
    assert_eq!(second.record.status, Status::Pending, "the first holds the slot");
    assert!(second.send.is_none());
    world.must(first.record.id, Input::Acked, at(1)).await;
    submission.command.id = world.mint(T0);
    let third = world.create(submission).await;
    assert_eq!(third.record.status, Status::Pending, "the second is before it");
}

pub(crate) async fn an_offer_after_the_lifetime_leaves_it_pending(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.command.mode = downlink_core::Mode::Cached { expires_at: T0 };
    submission.offer = Some(offer(1));
    let created = world.create(submission).await;
    assert_eq!(created.record.status, Status::Pending);
    assert!(created.send.is_none());
}

pub(crate) async fn the_queue_limit_holds_under_concurrency(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    for round in 0..3 {
        let creates = (0..50).map(|_| {
            let (store, submission) = (world.store.clone(), world.cached(&device, T0));
            tokio::spawn(async move { store.create(submission).await.unwrap() })
        });
        let mut made = 0;
        for create in creates.collect::<Vec<_>>() {
            match create.await.unwrap() {
                Ok(_) => made += 1,
                Err(refused) => assert_eq!(refused, CreateRefused::QueueFull),
            }
        }
        assert_eq!(made, 20, "round {round}");
        let queue = world.store.queue(device.key, 100).await.unwrap();
        assert_eq!(queue.len(), 20);
        for id in queue {
            world.must(id, Input::Cancel("x".into()), at(1)).await;
        }
    }
}

pub(crate) async fn what_is_sent_does_not_count_for_the_limit(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    (submission.queue_limit, submission.offer) = (2, Some(offer(1)));
    for status in [Status::Sent, Status::Pending, Status::Pending] {
        submission.command.id = world.mint(T0);
        assert_eq!(world.create(submission.clone()).await.record.status, status);
    }
    submission.command.id = world.mint(T0);
    assert_eq!(
        world.try_create(submission.clone()).await.unwrap_err(),
        CreateRefused::QueueFull
    );
    // An immediate one passes by, and a place that is free again is given again.
    world.create(world.immediate(&device, T0, offer(1))).await;
    let waiting = world.store.queue(device.key, 9).await.unwrap()[2];
    world.must(waiting, Input::Cancel("x".into()), at(1)).await;
    assert_eq!(world.create(submission).await.record.status, Status::Pending);
}

pub(crate) async fn an_applications_open_commands_have_a_limit(stores: Stores) {
    let world = World::new(stores.open()).await;
    let other = new_app(&*world.store, "other").await;
    let devices = [world.device("d").await, world.device("e").await];
    let others = new_device(other.key, "o");
    let others = world.store.register(others, u64::MAX).await.unwrap().unwrap();
    let limited = |device: &downlink_store::Device| {
        let mut submission = world.cached(device, T0);
        submission.open_limit = Some(30);
        submission
    };
    for round in 0..3 {
        let creates = (0..50).map(|n| {
            let (store, mut submission) = (world.store.clone(), limited(&devices[n % 2]));
            // Some are sent, and go on to be open.
            submission.offer = Some(offer(1)).filter(|_| n == 9);
            tokio::spawn(async move { store.create(submission).await.unwrap() })
        });
        let mut made = Vec::new();
        for create in creates.collect::<Vec<_>>() {
            match create.await.unwrap() {
                Ok(created) => made.push(created.record.id),
                Err(refused) => assert_eq!(refused, CreateRefused::TooManyOpen),
            }
        }
        assert_eq!(made.len(), 30, "round {round}");
        let created = world.create(limited(&others)).await.record.id;
        world.must(created, Input::Cancel("x".into()), at(1)).await;
        for id in made {
            let change = change(id, Input::Cancel("x".into()), at(1));
            if world
                .apply(change)
                .await
                .outcome
                .is_some_and(|done| done.is_err())
            {
                world.must(id, ok_reply(), at(2)).await;
            }
        }
    }
    let mut none = limited(&devices[0]);
    none.open_limit = Some(0);
    assert_eq!(
        world.try_create(none).await.unwrap_err(),
        CreateRefused::TooManyOpen
    );
}

/// Random life of two devices: a create is refused exactly if its device has the limit of PENDING commands.
pub(crate) async fn the_queue_limit_is_exact_whatever_happens(stores: Stores) {
    let world = World::new(stores.open()).await;
    let devices = [world.device("d").await, world.device("e").await];
    let mut made: [Vec<downlink_core::CommandId>; 2] = [Vec::new(), Vec::new()];
    let mut dice = Dice::new();
    for step in 0..600 {
        let (which, now) = (dice.roll(2), at(1 + step / 10));
        let limit = dice.pick(&[4, 4, 4, 6]);
        let (device, ids) = (&devices[which], &mut made[which]);
        match dice.roll(8) {
            0..4 => {
                let mut pending = 0;
                for id in &*ids {
                    pending += u32::from(world.record(*id).await.status == Status::Pending);
                }
                let mut submission = world.cached(device, now);
                submission.queue_limit = limit;
                if dice.roll(6) == 0 {
                    submission.command.mode = downlink_core::Mode::Immediate;
                }
                submission.offer = Some(offer(1)).filter(|_| dice.roll(3) == 0);
                let id = submission.command.id;
                match world.try_create(submission).await {
                    Ok(created) => {
                        let waits = created.send.is_none();
                        assert!(!waits || pending < limit, "step {step}: {pending} of {limit}");
                        ids.push(id);
                    }
                    Err(CreateRefused::QueueFull) => {
                        assert!(pending >= limit, "step {step}: {pending} of {limit}");
                    }
                    Err(refused) => assert_eq!(refused, CreateRefused::NotReachable),
                }
            }
            4 => drop(world.send_next(device.key, offer(1), now).await),
            5 if !ids.is_empty() => {
                let cancel = Input::Cancel("x".into());
                drop(world.apply(change(dice.pick(ids), cancel, now)).await);
            }
            6 if !ids.is_empty() => {
                let (session, written) = (downlink_core::SessionId(1), dice.roll(2) == 0);
                let lost = Input::SessionLost { session, written };
                drop(world.apply(change(dice.pick(ids), lost, now)).await);
            }
            _ if !ids.is_empty() => {
                let input = dice.pick(&[Input::Acked, ok_reply(), Input::AckDeadline]);
                drop(world.apply(change(dice.pick(ids), input, now)).await);
            }
            _ => {}
        }
    }
}
