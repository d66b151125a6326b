//! What the sweeps find: lifetimes, deadlines, pushes, and what may be dropped.

use std::collections::BTreeSet;

use downlink_core::lifecycle::{DeadlineKind, Input};
use downlink_core::{Mode, Span, Status};

use super::Stores;
use super::support::*;

pub(crate) async fn expiring_ones_come_earliest_first(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut by_end = Vec::new();
    for secs in [30, 10, 20, 40] {
        let mut submission = world.cached(&device, T0);
        submission.command.mode = Mode::Cached { expires_at: at(secs) };
        by_end.push((secs, world.create(submission).await.record.id));
    }
    by_end.sort_unstable();
    let ids: Vec<_> = by_end.into_iter().map(|(_, id)| id).collect();
    let expiring = |now, limit| world.store.take_expiring(now, limit);
    assert_eq!(expiring(at(10) - Span::from_millis(1), 9).await.unwrap(), []);
    assert_eq!(expiring(at(10), 9).await.unwrap(), ids[..1]);
    assert_eq!(expiring(at(35), 9).await.unwrap(), ids[..3]);
    assert_eq!(expiring(at(99), 2).await.unwrap(), ids[..2]);
    world.must(ids[0], Input::LifetimeEnded, at(99)).await;
    world.must(ids[1], Input::Cancel("x".into()), at(15)).await;
    assert_eq!(expiring(at(99), 9).await.unwrap(), ids[2..]);
}

pub(crate) async fn a_send_in_flight_is_not_expiring_before_its_deadline(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.command.mode = Mode::Cached { expires_at: at(10) };
    submission.offer = Some(offer(1));
    let sent = world.create(submission.clone()).await.record.id;
    submission.command.id = world.mint(T0);
    let waiting = world.create(submission).await.record.id;
    assert_eq!(
        world.store.take_expiring(at(29), 1).await.unwrap(),
        [waiting],
        "it does not stand in the way"
    );
    world
        .must(
            sent,
            Input::SessionLost {
                session: offer(1).session,
                written: true,
            },
            at(5),
        )
        .await;
    let due: BTreeSet<_> = world
        .store
        .take_expiring(at(30), 9)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(due, BTreeSet::from([sent, waiting]));
    for (id, status) in [(sent, Status::Timeout), (waiting, Status::Expired)] {
        assert_eq!(world.must(id, Input::LifetimeEnded, at(30)).await.status, status);
    }
    assert_eq!(world.store.take_expiring(at(99_999), 9).await.unwrap(), []);
}

pub(crate) async fn the_pass_over_open_commands_misses_none(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut expected = BTreeSet::new();
    for n in 0..23 {
        let mut submission = world.immediate(&device, T0, offer(1));
        if n % 3 == 0 {
            submission = world.cached(&device, T0);
        }
        if n % 3 == 1 {
            submission.command.callback = None;
        }
        let id = world.create(submission).await.record.id;
        if n % 3 != 0 {
            expected.insert((id, n % 3 == 2));
        }
    }
    for page in [1, 4, 23, 100] {
        let (mut found, mut after, mut reads) = (BTreeSet::new(), None, 0);
        loop {
            let (open, next) = world.store.sweep_open(after, page).await.unwrap();
            reads += 1;
            for open in open {
                assert_eq!(open.deadline.unwrap().kind, DeadlineKind::Ack);
                assert_eq!(open.deadline.unwrap().at, at(30));
                assert!(found.insert((open.command, open.push.is_some())));
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {page}");
        assert!(reads <= 23 / page + 1, "{reads} reads of pages of {page}");
    }
}

pub(crate) async fn what_waited_for_a_late_result_is_pruned(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = world
            .create(world.immediate(&device, T0, offer(1)))
            .await
            .record
            .id;
        let timeout = world.must(id, Input::AckDeadline, at(30)).await;
        world.told(id, timeout.seq).await;
        ids.push(id);
    }
    let untold = world
        .create(world.immediate(&device, T0, offer(1)))
        .await
        .record
        .id;
    world.must(untold, Input::AckDeadline, at(30)).await;
    let end = at(30) + policy().late_window;
    let prune = |now, limit| world.store.prune(now, T0, limit);
    assert_eq!(
        prune(end, 10).await.unwrap(),
        0,
        "a result may still come at this instant"
    );
    let records = [world.record(ids[0]).await, world.record(ids[1]).await];
    let end = end + Span::from_millis(1);
    assert_eq!(prune(end, 2).await.unwrap(), 2);
    assert_eq!(prune(end, 2).await.unwrap(), 1);
    assert_eq!(prune(end, 2).await.unwrap(), 0, "what is not told stays");
    assert_eq!([world.record(ids[0]).await, world.record(ids[1]).await], records);
    assert_eq!(
        world
            .apply(change(ids[0], ok_reply(), at(31)))
            .await
            .outcome
            .map(|o| o.is_ok()),
        None
    );
    world.told(untold, 9).await;
    assert_eq!(prune(end, 2).await.unwrap(), 1);
}

pub(crate) async fn records_are_kept_until_retention_ends_them(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let id = world.pending(&device, at(n)).await;
        if n != 1 {
            let canceled = world.must(id, Input::Cancel("x".into()), at(n)).await;
            if n != 2 {
                world.told(id, canceled.seq).await;
            }
        }
        ids.push(id);
    }
    assert_eq!(world.store.prune(at(99), at(0), 10).await.unwrap(), 0);
    assert_eq!(
        world.store.prune(at(99), at(4), 10).await.unwrap(),
        2,
        "an open and an untold one stay"
    );
    let page = world
        .store
        .list(world.app.key, Default::default(), 0, 10)
        .await
        .unwrap();
    let left: Vec<_> = page.items.iter().map(|record| record.id).collect();
    assert_eq!(left, [ids[5], ids[4], ids[2], ids[1]]);
    assert_eq!(page.total, 4);
    assert!(world.store.load(world.app.key, ids[0]).await.unwrap().is_none());
    assert_eq!(world.store.prune(at(99), at(99), 1).await.unwrap(), 1);
    assert_eq!(world.store.prune(at(99), at(99), 9).await.unwrap(), 1);
}

pub(crate) async fn the_last_id_is_where_the_mint_goes_on(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    assert_eq!(world.store.last_id().await.unwrap(), None);
    let first = world.pending(&device, T0).await;
    let second = world.pending(&device, T0).await;
    assert!(second > first);
    assert_eq!(world.store.last_id().await.unwrap(), Some(second));
}

/// The process is up since [`T0`]: what fell due before has the grace after the start.
pub(crate) async fn a_lost_send_has_the_grace_after_a_start(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let early = T0 - Span::from_secs(100);
    let mut submission = world.cached(&device, early);
    submission.command.mode = Mode::Cached {
        expires_at: early + Span::from_secs(10),
    };
    submission.offer = Some(offer(1));
    let id = world.create(submission).await.record.id;
    world
        .must(
            id,
            Input::SessionLost {
                session: offer(1).session,
                written: true,
            },
            early,
        )
        .await;
    let grace = T0 + policy().restart_grace;
    let before = grace - Span::from_millis(1);
    assert_eq!(world.store.take_expiring(before, 9).await.unwrap(), []);
    assert!(world.refusal(id, Input::LifetimeEnded, before).await.is_some());
    assert_eq!(world.store.take_expiring(grace, 9).await.unwrap(), [id]);
    let ended = world.must(id, Input::LifetimeEnded, grace).await;
    assert_eq!(ended.status, Status::Timeout);
}
