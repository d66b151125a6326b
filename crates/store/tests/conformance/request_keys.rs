//! Keys of requests: a call that is repeated makes one command.

use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{Status, Timestamp};
use downlink_store::{CreateRefused, Created, Device, RequestKey, Submission};

use super::Stores;
use super::support::*;

const DAY: u32 = 86_400;

fn key(text: &str, asked: u8) -> RequestKey {
    RequestKey {
        text: text.into(),
        asked: [asked; 32],
        until: at(DAY),
        limit: 1000,
    }
}

fn with_key(world: &World, device: &Device, now: Timestamp, key: RequestKey) -> Submission {
    let mut submission = world.cached(device, now);
    submission.key = Some(key);
    submission
}

pub(crate) async fn a_repeat_is_answered_as_the_first_call_was(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut submission = with_key(&world, &device, at(0), key("k", 1));
    submission.offer = Some(offer(1));
    let first = world.create(submission).await;
    assert_eq!((first.existed, first.repeats), (false, None));
    assert_eq!(first.record.status, Status::Sent);
    let id = first.record.id;
    world.must(id, Input::Acked, at(1)).await;
    for over in [false, true] {
        let mut again = with_key(&world, &device, at(2), key("k", 1));
        again.offer = Some(offer(1));
        let again = world.create(again).await;
        assert_eq!((again.record.id, again.repeats), (id, Some(Status::Sent)));
        assert!(again.existed && again.send.is_none());
        assert_eq!(again.record, world.record(id).await, "over: {over}");
        if !over {
            world.must(id, ok_reply(), at(3)).await;
            world.told(id, 4).await;
        }
    }
    let read = world
        .store
        .repeat(world.app.key, "k".into(), [1; 32], at(5))
        .await;
    let read = read.unwrap().unwrap().unwrap();
    assert_eq!((read.record, read.status), (world.record(id).await, Status::Sent));
    assert_eq!(
        world
            .store
            .list(world.app.key, Default::default(), 0, 9)
            .await
            .unwrap()
            .total,
        1
    );
}

pub(crate) async fn a_key_is_for_one_request_of_one_application(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    world.create(with_key(&world, &device, at(0), key("k", 1))).await;
    let other = with_key(&world, &device, at(1), key("k", 2));
    assert_eq!(
        world.try_create(other).await.unwrap_err(),
        CreateRefused::KeyTaken
    );
    let read = world
        .store
        .repeat(world.app.key, "k".into(), [2; 32], at(1))
        .await
        .unwrap();
    assert_eq!(read, Some(Err(CreateRefused::KeyTaken)));
    // Keys are told apart by case, and by application.
    assert!(
        !world
            .create(with_key(&world, &device, at(1), key("K", 2)))
            .await
            .existed
    );
    let stranger = new_app(&*world.store, "other").await;
    let theirs = world
        .store
        .register(new_device(stranger.key, "b"), 9)
        .await
        .unwrap()
        .unwrap();
    assert!(
        !world
            .create(with_key(&world, &theirs, at(1), key("k", 9)))
            .await
            .existed
    );
}

pub(crate) async fn what_was_refused_may_be_tried_again_with_its_key(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut full = with_key(&world, &device, at(0), key("k", 1));
    full.queue_limit = 0;
    assert_eq!(
        world.try_create(full).await.unwrap_err(),
        CreateRefused::QueueFull
    );
    let mut away = world.immediate(&device, at(0), offer(1));
    (away.offer, away.key) = (None, Some(key("k", 1)));
    assert_eq!(
        world.try_create(away).await.unwrap_err(),
        CreateRefused::NotReachable
    );
    assert_eq!(
        world
            .store
            .repeat(world.app.key, "k".into(), [1; 32], at(0))
            .await
            .unwrap(),
        None
    );
    assert!(
        !world
            .create(with_key(&world, &device, at(1), key("k", 2)))
            .await
            .existed
    );
}

pub(crate) async fn of_rivals_with_one_key_one_creates(stores: Stores) {
    let world = Arc::new(World::new(stores.open()).await);
    let device = world.device("a").await;
    for round in 0..20 {
        let rivals = (0..4).map(|_| {
            let submission = with_key(&world, &device, at(round), key(&format!("k{round}"), 1));
            let store = Arc::clone(&world.store);
            let rival: Boxed<Created> =
                Box::pin(async move { store.create(submission).await.unwrap().unwrap() });
            rival
        });
        let made = all_at_once(rivals.collect()).await;
        assert_eq!(made.iter().filter(|created| !created.existed).count(), 1);
        assert!(made.iter().all(|created| created.record.id == made[0].record.id));
    }
}

pub(crate) async fn a_key_is_kept_for_its_time_and_forgotten_in_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut first = None;
    for n in 0..5 {
        let made = world
            .create(with_key(&world, &device, at(n), key(&format!("k{n}"), 1)))
            .await;
        first.get_or_insert(made.record.id);
    }
    let prune = |now, limit| world.store.prune_request_keys(now, limit);
    assert_eq!(prune(at(DAY - 1), 10).await.unwrap(), 0);
    let late = with_key(&world, &device, at(DAY - 1), key("k0", 1));
    assert_eq!(Some(world.create(late).await.record.id), first);
    assert_eq!(prune(at(DAY), 3).await.unwrap(), 3);
    assert_eq!(prune(at(DAY), 3).await.unwrap(), 2);
    // One that nobody has pruned yet is as good as gone.
    let mut made = Vec::new();
    for now in [DAY, 2 * DAY] {
        let mut submission = with_key(&world, &device, at(now), key("k0", 1));
        submission.key.as_mut().unwrap().until = at(now + DAY);
        made.push(world.create(submission).await.record.id);
    }
    assert!(made[0] != made[1] && !made.contains(&first.unwrap()));
}

pub(crate) async fn an_application_has_so_many_keys(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let limited = |text: &str, now| {
        let mut submission = with_key(&world, &device, now, key(text, 1));
        submission.key.as_mut().unwrap().limit = 2;
        submission
    };
    world.create(limited("a", at(0))).await;
    world.create(limited("b", at(0))).await;
    assert_eq!(
        world.try_create(limited("c", at(1))).await.unwrap_err(),
        CreateRefused::TooManyKeys
    );
    assert!(
        world.create(limited("a", at(1))).await.existed,
        "a repeat needs no room"
    );
    world.pending(&device, at(1)).await;
    world.store.prune_request_keys(at(DAY), 1).await.unwrap();
    let mut later = limited("c", at(DAY));
    later.key.as_mut().unwrap().until = at(2 * DAY);
    world.create(later).await;
}

pub(crate) async fn a_key_whose_record_is_gone_creates_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let id = world
        .create(with_key(&world, &device, at(0), key("k", 1)))
        .await
        .record
        .id;
    world.must(id, Input::Cancel("x".into()), at(1)).await;
    world.told(id, 2).await;
    world.store.prune(at(100), at(100), 10).await.unwrap();
    let again = with_key(&world, &device, at(101), key("k", 1));
    assert_eq!(
        world.try_create(again).await.unwrap_err(),
        CreateRefused::AnswerGone
    );
}
