//! Stored pushes: order per key, what joins them, what ends them, and that the sums are right.

use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, Status, Timestamp};
use downlink_store::{
    Attempt, Diverted, Fate, PushContent, PushFilter, PushId, Ready, ReadyPush, ReceiverKey, Settled,
    StoredReceiver,
};

use super::Stores;
use super::support::*;

pub(crate) const ORIGIN: &str = "http://receiver.test";

pub(crate) fn attempt(at: Timestamp) -> Attempt {
    Attempt {
        at,
        took_ms: 12,
        outcome: "status".into(),
        phase: "answer".into(),
        status: Some(503),
        asked_for_pause: false,
        detail: "503".into(),
        excerpt: "no".into(),
    }
}

pub(crate) fn diverted(command: CommandId, accepted: u16, fate: Option<Fate>, now: Timestamp) -> Diverted {
    Diverted {
        command,
        origin: ORIGIN.into(),
        accepted,
        failed: fate.map(|fate| (attempt(now), fate)),
        now,
    }
}

impl World {
    pub(crate) async fn divert(
        &self,
        command: CommandId,
        accepted: u16,
        fate: Option<Fate>,
        now: Timestamp,
    ) -> Option<ReceiverKey> {
        let diverted = vec![diverted(command, accepted, fate, now)];
        self.store.divert(diverted).await.unwrap()[0].map(|stowed| stowed.receiver)
    }

    pub(crate) async fn settle(&self, id: PushId, fate: Fate, now: Timestamp) {
        let settled = Settled {
            id,
            attempt: Some(attempt(now)),
            fate,
            now,
        };
        self.store.settle(vec![settled]).await.unwrap();
    }

    pub(crate) async fn ready(&self, receiver: ReceiverKey, now: Timestamp) -> Ready {
        let ready = self.store.ready(receiver, Vec::new(), now, 100, usize::MAX);
        ready.await.unwrap()
    }

    /// The only push that is ready.
    pub(crate) async fn head(&self, receiver: ReceiverKey, now: Timestamp) -> ReadyPush {
        let mut ready = self.ready(receiver, now).await;
        assert_eq!(ready.pushes.len(), 1, "{ready:?}");
        ready.pushes.remove(0)
    }

    pub(crate) async fn receiver(&self, key: ReceiverKey) -> StoredReceiver {
        self.store.receiver(key).await.unwrap().unwrap()
    }

    pub(crate) async fn sums(&self, key: ReceiverKey) -> (u64, u64) {
        let receiver = self.receiver(key).await;
        (receiver.waiting, receiver.dead)
    }

    /// A command that was sent and acknowledged: changes 2 and 3 are to be pushed.
    pub(crate) async fn delivered(&self, name: &str) -> CommandId {
        let device = self.device(name).await;
        let mut submission = self.cached(&device, T0);
        submission.offer = Some(offer(1));
        let id = self.create(submission).await.record.id;
        self.must(id, Input::Acked, at(1)).await;
        id
    }
}

fn status(push: &ReadyPush) -> Status {
    match push.content {
        PushContent::Change { status, .. } => status,
        PushContent::Notice { .. } => panic!("a notice"),
    }
}

pub(crate) async fn what_failed_is_stored_and_the_rest_behind_it(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world
        .divert(id, 1, Some(Fate::Again(at(9))), at(2))
        .await
        .unwrap();
    assert_eq!(
        world.store.load_push(id).await.unwrap(),
        None,
        "the row owes nothing"
    );
    assert!(
        world
            .store
            .sweep_open(None, 9)
            .await
            .unwrap()
            .0
            .iter()
            .all(|open| open.push.is_none())
    );
    assert_eq!(
        world.divert(id, 1, None, at(2)).await,
        None,
        "a second time there is nothing"
    );
    let before = world.ready(key, at(8)).await;
    assert_eq!(
        (before.pushes.len(), before.next_at, before.more),
        (0, Some(at(9)), false)
    );
    let head = world.head(key, at(9)).await;
    assert_eq!(
        (head.seq, status(&head), head.tries, head.at),
        (2, Status::Sent, 1, T0)
    );
    assert_eq!(&*head.url, "http://receiver.test/cb");
    assert_eq!(head.key.command(), Some(id));
    let receiver = world.receiver(key).await;
    assert_eq!((&*receiver.origin, receiver.app), (ORIGIN, world.app.key));
    assert_eq!(world.sums(key).await, (2, 0));
    world.settle(head.id, Fate::Accepted, at(9)).await;
    let next = world.head(key, at(9)).await;
    assert_eq!((next.seq, status(&next), next.tries), (3, Status::Delivered, 0));
}

pub(crate) async fn what_was_accepted_is_not_stored(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 2, None, at(2)).await.unwrap();
    assert_eq!(world.head(key, at(2)).await.seq, 3);
    assert_eq!(world.sums(key).await, (1, 0));
    let other = world.delivered("e").await;
    assert_eq!(world.divert(other, 3, None, at(2)).await, None);
    assert_eq!(
        world.store.load_push(other).await.unwrap(),
        None,
        "all was accepted"
    );
    assert_eq!(
        world.divert(world.mint(T0), 0, None, at(2)).await,
        None,
        "a stranger"
    );
}

pub(crate) async fn later_changes_join_until_nothing_waits(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 2, None, at(2)).await.unwrap();
    let done = world.must(id, ok_reply(), at(3)).await;
    assert_eq!(done.push, None, "the store tells it");
    let head = world.head(key, at(3)).await;
    assert_eq!(head.seq, 3);
    world.settle(head.id, Fate::Accepted, at(4)).await;
    let last = world.head(key, at(4)).await;
    let result = Some(Arc::from("{\"r\":1}"));
    let device_id = downlink_core::DeviceId::new("id-d");
    let content = PushContent::Change {
        device_id,
        status: Status::Successful,
        result,
    };
    assert_eq!((last.seq, last.content), (4, content));
    world.settle(last.id, Fate::Accepted, at(5)).await;
    assert_eq!(world.ready(key, at(99)).await, Ready::default());
    assert_eq!(world.sums(key).await, (0, 0));
    assert_eq!(world.record(id).await.events.len(), 4);
}

pub(crate) async fn a_command_tells_by_itself_again_when_nothing_waits(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 2, None, at(2)).await.unwrap();
    let head = world.head(key, at(2)).await;
    world.settle(head.id, Fate::Accepted, at(3)).await;
    let done = world.must(id, ok_reply(), at(4)).await;
    let duty = done.push.unwrap();
    assert_eq!(duty.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [4]);
    assert_eq!(world.ready(key, at(9)).await, Ready::default());
}

pub(crate) async fn a_dead_one_gives_way_to_the_next(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world
        .divert(id, 1, Some(Fate::Dead("410".into())), at(2))
        .await
        .unwrap();
    assert_eq!(world.sums(key).await, (1, 1));
    let head = world.head(key, at(2)).await;
    assert_eq!((head.seq, head.tries), (3, 0));
    world.settle(head.id, Fate::Dead("410".into()), at(3)).await;
    assert_eq!(world.sums(key).await, (0, 2));
    // Nothing waits: the next change is the command's own again.
    assert!(world.must(id, ok_reply(), at(4)).await.push.is_some());
    world.settle(head.id, Fate::Again(at(6)), at(5)).await;
    assert_eq!(world.sums(key).await, (0, 2), "a dead one stays dead");
}

pub(crate) async fn one_tried_again_keeps_its_place(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let head = world.head(key, at(2)).await;
    world.settle(head.id, Fate::Again(at(20)), at(3)).await;
    assert_eq!(world.ready(key, at(19)).await.next_at, Some(at(20)));
    let again = world.head(key, at(20)).await;
    assert_eq!((again.id, again.tries), (head.id, 1));
    assert_eq!(world.sums(key).await, (2, 0));
}

/// What a receiver asked for is on record, so that a later read knows it; a replay begins anew.
pub(crate) async fn a_pause_that_was_asked_for_is_known(stores: Stores) {
    let world = World::new(stores.open()).await;
    let asked = |secs| Attempt {
        asked_for_pause: true,
        ..attempt(at(secs))
    };
    let id = world.delivered("d").await;
    let mut diverted = diverted(id, 1, Some(Fate::Again(at(9))), at(2));
    diverted.failed = Some((asked(2), Fate::Again(at(9))));
    let stowed = world.store.divert(vec![diverted]).await.unwrap();
    let key = stowed[0].unwrap().receiver;
    assert_eq!(world.head(key, at(9)).await.keeps_until, Some(at(9)));
    let head = world.head(key, at(9)).await;
    world.settle(head.id, Fate::Again(at(20)), at(9)).await;
    assert_eq!(world.head(key, at(20)).await.keeps_until, None);
    for fate in [Fate::Again(at(30)), Fate::Dead("410".into())] {
        let settled = Settled {
            id: head.id,
            attempt: Some(asked(20)),
            fate,
            now: at(20),
        };
        world.store.settle(vec![settled]).await.unwrap();
        let ready = world.ready(key, at(30)).await;
        let kept: Vec<_> = ready.pushes.iter().map(|push| push.keeps_until).collect();
        let is_dead = ready.pushes[0].id != head.id;
        assert_eq!(kept, [(!is_dead).then(|| at(30))]);
    }
    world
        .store
        .replay(PushFilter::default(), at(40), 9)
        .await
        .unwrap();
    let again = world.head(key, at(40)).await;
    assert_eq!((again.id, again.keeps_until), (head.id, None));
}

pub(crate) async fn ready_ones_come_in_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut key = None;
    for n in 0..5 {
        let id = world.delivered(&format!("{n}")).await;
        key = world.divert(id, 1, Some(Fate::Again(at(10 - n))), at(2)).await;
    }
    let key = key.unwrap();
    let all = world.ready(key, at(10)).await;
    let dues: Vec<_> = all.pushes.iter().map(|push| push.id).collect();
    assert_eq!((dues.len(), all.more, all.next_at), (5, false, None));
    let give = |except: &[PushId], limit, bytes| {
        let ready = world.store.ready(key, except.to_vec(), at(10), limit, bytes);
        async move {
            let ready = ready.await.unwrap();
            (
                ready.pushes.iter().map(|push| push.id).collect::<Vec<_>>(),
                ready.more,
            )
        }
    };
    assert_eq!(give(&[], 3, usize::MAX).await, (dues[..3].to_vec(), true));
    assert_eq!(
        give(&dues[1..2], 2, usize::MAX).await,
        (vec![dues[0], dues[2]], true)
    );
    assert_eq!(give(&dues[..3], 2, usize::MAX).await, (dues[3..].to_vec(), false));
    assert_eq!(give(&[], 9, 1).await, (dues[..1].to_vec(), true), "at least one");
    let some = world.ready(key, at(7)).await;
    assert_eq!(
        (some.pushes.len(), some.next_at),
        (2, Some(at(8))),
        "the due ones, and when the next is"
    );
}

pub(crate) async fn a_held_receiver_gives_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = world.delivered("d").await;
    let key = world.divert(id, 1, None, at(2)).await.unwrap();
    let hold = |held, now| world.store.set_held(world.app.key, ORIGIN.into(), held, now);
    let held = hold(true, at(3)).await.unwrap();
    assert_eq!((held.key, held.held_at, held.waiting), (key, Some(at(3)), 2));
    assert_eq!(
        hold(true, at(4)).await.unwrap().held_at,
        Some(at(3)),
        "held since then"
    );
    assert_eq!(world.ready(key, at(9)).await, Ready::default());
    assert_eq!(hold(false, at(9)).await.unwrap().held_at, None);
    assert_eq!(world.ready(key, at(9)).await.pushes.len(), 1);
}

pub(crate) async fn receivers_are_known_by_application_and_origin(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (app, origin) = (world.app.key, Arc::<str>::from(ORIGIN));
    let other = new_app(&*world.store, "other").await;
    let first = world.store.set_rate(app, origin.clone(), Some(7)).await.unwrap();
    let second = world
        .store
        .set_rate(other.key, origin.clone(), None)
        .await
        .unwrap();
    assert!(first.rate == Some(7) && second.rate.is_none() && first.key < second.key);
    let list = |after, busy, limit| world.store.receivers(after, busy, limit);
    assert_eq!(
        list(None, false, 9).await.unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(list(None, true, 9).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(list(Some(first.key), false, 9).await.unwrap(), [second]);
    assert_eq!(list(None, false, 1).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(world.store.set_rate(app, origin, None).await.unwrap().rate, None);
    assert_eq!(list(None, true, 9).await.unwrap(), []);
}
