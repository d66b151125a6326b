//! Stored pushes that end without an attempt, or begin again.

use downlink_core::{CommandId, Span, Status, Timestamp};
use downlink_store::{
    AppSettingsChange, Fate, PushContent, PushFilter, PushLimits, PushState, ReceiverKey, StoredPush,
};

use super::Stores;
use super::stored_pushes::ORIGIN;
use super::support::*;

pub(crate) const LIMITS: PushLimits = PushLimits {
    max_age: Span::from_secs(100),
    max_held: Span::from_secs(1000),
    keep_dead: Span::from_secs(50),
};

pub(crate) fn of_command(command: CommandId) -> PushFilter {
    PushFilter {
        command: Some(command),
        ..PushFilter::default()
    }
}

impl World {
    pub(crate) async fn stored(&self, filter: PushFilter) -> Vec<StoredPush> {
        self.store.stored_pushes(filter, None, 10_000).await.unwrap()
    }

    pub(crate) async fn hold(&self, held: bool, now: Timestamp) {
        let held = self.store.set_held(self.app.key, ORIGIN.into(), held, now);
        held.await.unwrap();
    }
}

fn places(stored: &[StoredPush]) -> Vec<(u32, PushState, bool)> {
    let mut places: Vec<_> = stored
        .iter()
        .map(|push| (push.seq, push.state, push.behind))
        .collect();
    places.sort_unstable_by_key(|place| place.0);
    places
}

pub(crate) async fn lists_are_narrowed_and_paged(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (one, other) = (world.delivered("d").await, world.delivered("e").await);
    let dead = Fate::Dead("410".into());
    let key = world.divert(one, 1, Some(dead), at(2)).await.unwrap();
    world.divert(other, 1, None, at(2)).await.unwrap();
    let all = world.stored(PushFilter::default()).await;
    assert_eq!(all.len(), 4);
    let page = world
        .store
        .stored_pushes(PushFilter::default(), Some(all[0].id), 2);
    assert_eq!(page.await.unwrap(), all[1..3]);
    let of_one = world.stored(of_command(one)).await;
    assert_eq!(
        places(&of_one),
        [(2, PushState::Dead, false), (3, PushState::Due, false)]
    );
    assert_eq!(
        (
            of_one[0].dead_because.as_deref(),
            of_one[0].attempts.len(),
            of_one[0].tries
        ),
        (Some("410"), 1, 1)
    );
    let count = |filter| {
        let world = &world;
        async move { world.stored(filter).await.len() }
    };
    let narrow = PushFilter::default;
    assert_eq!(
        count(PushFilter {
            state: Some(PushState::Dead),
            ..narrow()
        })
        .await,
        1
    );
    assert_eq!(
        count(PushFilter {
            state: Some(PushState::Due),
            ..narrow()
        })
        .await,
        3
    );
    assert_eq!(
        count(PushFilter {
            id: Some(all[3].id),
            ..narrow()
        })
        .await,
        1
    );
    assert_eq!(
        count(PushFilter {
            since: Some(at(1)),
            ..narrow()
        })
        .await,
        2
    );
    assert_eq!(
        count(PushFilter {
            receiver: Some(ReceiverKey(key.0 + 1)),
            ..narrow()
        })
        .await,
        0
    );
    world.hold(true, at(3)).await;
    assert_eq!(
        count(PushFilter {
            state: Some(PushState::Held),
            ..narrow()
        })
        .await,
        3
    );
    let totals = world.store.push_totals(at(9)).await.unwrap();
    assert_eq!((totals.waiting, totals.dead, totals.oldest_due), (3, 1, None));
    world.hold(false, at(4)).await;
    assert_eq!(
        world.store.push_totals(at(9)).await.unwrap().oldest_due,
        Some(at(2))
    );
}

pub(crate) async fn a_replay_takes_in_what_came_after(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let dead = Fate::Dead("410".into());
    let key = world.divert(id, 1, Some(dead), at(2)).await.unwrap();
    let head = world.head(key, at(2)).await;
    world.settle(head.id, Fate::Accepted, at(3)).await;
    world.must(id, ok_reply(), at(4)).await;
    world.told(id, 4).await;
    let again = world.store.replay(of_command(id), at(5), 9).await.unwrap();
    assert_eq!(again, (3, vec![key]));
    let stored = world.stored(of_command(id)).await;
    let due = |seq, behind| (seq, PushState::Due, behind);
    assert_eq!(places(&stored), [due(2, false), due(3, true), due(4, true)]);
    assert_eq!((stored[0].tries, stored[0].attempts.len()), (0, 1));
    assert_eq!(world.sums(key).await, (3, 0));
    for seq in 2..=4 {
        let head = world.head(key, at(6)).await;
        assert_eq!(head.seq, seq);
        if let (4, PushContent::Change { status, result, .. }) = (seq, &head.content) {
            assert_eq!(
                (*status, result.as_deref()),
                (Status::Successful, Some("{\"r\":1}"))
            );
        }
        world.settle(head.id, Fate::Accepted, at(6)).await;
    }
    assert_eq!(
        world.store.replay(of_command(id), at(7), 9).await.unwrap(),
        (0, vec![])
    );
}

/// What is in flight when a replay puts another before it is passed over at its end.
pub(crate) async fn a_replay_overtakes_what_is_in_flight(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world
        .divert(id, 1, Some(Fate::Dead("410".into())), at(2))
        .await
        .unwrap();
    let flying = world.head(key, at(2)).await;
    world.store.replay(of_command(id), at(3), 9).await.unwrap();
    world.settle(flying.id, Fate::Accepted, at(4)).await;
    assert_eq!(world.sums(key).await, (2, 0));
    assert_eq!(world.head(key, at(4)).await.seq, 2);
    assert_eq!(
        world.must(id, ok_reply(), at(5)).await.push,
        None,
        "it joins again"
    );
}

pub(crate) async fn dropped_ones_are_never_told(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let head = world.head(key, at(2)).await;
    let one = PushFilter {
        id: Some(head.id),
        ..PushFilter::default()
    };
    assert_eq!(world.store.drop_pushes(one, at(3), 9).await.unwrap(), 1);
    assert_eq!(
        (world.head(key, at(3)).await.seq, world.sums(key).await),
        (3, (1, 0))
    );
    assert_eq!(
        world.store.drop_pushes(of_command(id), at(3), 9).await.unwrap(),
        1
    );
    assert_eq!(world.sums(key).await, (0, 0));
    assert!(
        world.must(id, ok_reply(), at(4)).await.push.is_some(),
        "nothing waits"
    );
}

pub(crate) async fn what_is_too_old_is_given_up_and_held_time_does_not_count(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let give_up = |secs| {
        let world = &world;
        async move {
            let given = world.store.give_up_old(LIMITS, at(secs), 99).await.unwrap();
            given.iter().map(|given| given.pushes).sum::<u64>()
        }
    };
    world.hold(true, at(10)).await;
    assert_eq!(give_up(500).await, 0, "held");
    world.hold(false, at(510)).await;
    assert_eq!(give_up(599).await, 0);
    assert_eq!(
        give_up(600).await,
        1,
        "the first happened a second before the other"
    );
    assert_eq!(world.head(key, at(600)).await.seq, 3);
    assert_eq!(give_up(601).await, 1);
    assert_eq!(world.sums(key).await, (0, 2));
    let prune = |secs| world.store.prune_pushes(LIMITS, at(secs), 99);
    assert_eq!(prune(650).await.unwrap(), 0);
    assert_eq!(prune(651).await.unwrap(), 1);
    assert!(world.store.receiver(key).await.unwrap().is_some());
    assert_eq!(prune(652).await.unwrap(), 1);
    assert_eq!(
        world.store.receiver(key).await.unwrap(),
        None,
        "nothing to be remembered for"
    );
}

pub(crate) async fn of_what_was_given_up_the_oldest_can_be_forgotten(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    for secs in [1000, 1001] {
        world.store.give_up_old(LIMITS, at(secs), 1).await.unwrap();
    }
    assert_eq!(world.sums(key).await, (0, 2));
    assert_eq!(world.store.forget_dead(key, 0).await.unwrap(), 0);
    assert_eq!(world.store.forget_dead(key, 1).await.unwrap(), 1);
    assert_eq!(world.sums(key).await, (0, 1));
    assert_eq!(
        world.stored(PushFilter::default()).await[0].seq,
        3,
        "the newer one is left"
    );
    let other = ReceiverKey(key.0 + 1);
    assert_eq!(world.store.forget_dead(other, 9).await.unwrap(), 0);
    assert_eq!(world.store.forget_dead(key, 9).await.unwrap(), 1);
    assert_eq!(world.sums(key).await, (0, 0));
    let id = world.delivered("e").await;
    assert_eq!(world.divert(id, 1, None, at(1002)).await, Some(key));
    assert_eq!(
        world.store.forget_dead(key, 9).await.unwrap(),
        0,
        "those that wait stay"
    );
    assert_eq!(world.sums(key).await, (2, 0));
}

/// It was being attempted when it became too old.
pub(crate) async fn one_that_is_accepted_though_it_was_given_up_was_told(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let head = world.head(key, at(2)).await;
    let given = world.store.give_up_old(LIMITS, at(1000), 1).await.unwrap();
    assert_eq!((given[0].pushes, world.sums(key).await), (1, (1, 1)));
    world.settle(head.id, Fate::Again(at(1001)), at(1001)).await;
    assert_eq!(world.sums(key).await, (1, 1), "it stays given up");
    world.settle(head.id, Fate::Accepted, at(1002)).await;
    assert_eq!(world.sums(key).await, (1, 0));
    assert_eq!(
        world.head(key, at(1002)).await.seq,
        3,
        "the next one was ready before"
    );
    world.settle(head.id, Fate::Accepted, at(1003)).await;
    assert_eq!(world.sums(key).await, (1, 0));
}

pub(crate) async fn an_application_has_its_own_age_limit(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let set = |age: Option<Span>| {
        let change = AppSettingsChange {
            push_max_age: Some(age),
            ..AppSettingsChange::default()
        };
        world.store.set_app_settings(world.app.key, change)
    };
    let age = Some(Span::from_secs(10));
    assert_eq!(set(age).await.unwrap().unwrap().settings.push_max_age, age);
    // Another change leaves it as it is.
    let other = AppSettingsChange {
        push_sent_immediate: Some(false),
        ..AppSettingsChange::default()
    };
    let after = world.store.set_app_settings(world.app.key, other).await.unwrap();
    assert_eq!(after.unwrap().settings.push_max_age, age);
    let give_up = |secs| world.store.give_up_old(LIMITS, at(secs), 99);
    assert_eq!(give_up(9).await.unwrap(), []);
    assert_eq!(give_up(10).await.unwrap()[0].pushes, 1, "the first");
    assert_eq!(set(None).await.unwrap().unwrap().settings.push_max_age, None);
    assert_eq!(give_up(50).await.unwrap(), [], "as for all");
    set(Some(Span::from_secs(1000))).await.unwrap();
    assert_eq!(give_up(500).await.unwrap(), [], "longer than for all");
    assert_eq!(world.sums(key).await, (1, 1));
}

pub(crate) async fn a_receiver_held_too_long_loses_its_pushes(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    world.hold(true, at(10)).await;
    assert_eq!(world.store.give_up_old(LIMITS, at(1009), 99).await.unwrap(), []);
    assert_eq!(
        world.store.give_up_old(LIMITS, at(1010), 1).await.unwrap()[0].pushes,
        1
    );
    assert_eq!(
        world.store.give_up_old(LIMITS, at(1010), 9).await.unwrap()[0].pushes,
        1
    );
    assert_eq!(world.sums(key).await, (0, 2));
}

pub(crate) async fn a_record_with_stored_pushes_is_kept(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    world.divert(id, 1, None, at(2)).await.unwrap();
    world.must(id, ok_reply(), at(3)).await;
    assert_eq!(world.store.prune(at(9), at(5000), 99).await.unwrap(), 0);
    world.store.drop_pushes(of_command(id), at(9), 9).await.unwrap();
    assert_eq!(world.store.prune(at(9), at(5000), 99).await.unwrap(), 1);
}

pub(crate) async fn an_application_goes_with_its_stored_pushes(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    world.store.remove_app(world.app.key, at(3)).await.unwrap();
    assert_eq!(world.stored(PushFilter::default()).await, []);
    assert_eq!(world.store.receiver(key).await.unwrap(), None);
}
