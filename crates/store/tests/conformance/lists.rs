//! Lists of commands.

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, Status};
use downlink_store::{CommandFilter, Page, Record};

use super::Stores;
use super::support::*;

async fn list(world: &World, filter: &CommandFilter, skip: u64, limit: u32) -> Page<Record> {
    world
        .store
        .list(world.app.key, filter.clone(), skip, limit)
        .await
        .unwrap()
}

fn ids(page: &Page<Record>) -> Vec<CommandId> {
    page.items.iter().map(|record| record.id).collect()
}

pub(crate) async fn pages_stay_put_while_commands_are_added(stores: Stores) {
    let world = World::new(stores.open()).await;
    let devices = [world.device("a").await, world.device("b").await];
    let mut expected = Vec::new();
    for n in 0..25 {
        expected.insert(0, world.pending(&devices[n % 2], at(n as u32)).await);
    }
    let (mut seen, mut filter) = (Vec::new(), CommandFilter::default());
    loop {
        let page = list(&world, &filter, 0, 4).await;
        if page.items.is_empty() {
            break;
        }
        seen.extend(ids(&page));
        filter.before = seen.last().copied();
        let mut added = world.cached(&devices[0], at(100));
        added.queue_limit = 1_000;
        world.create(added).await;
    }
    assert_eq!(seen, expected);
    // An anchor keeps pages by number in place as well, and its total stays.
    let anchor = CommandFilter {
        before: Some(expected[4]),
        ..Default::default()
    };
    let page = list(&world, &anchor, 5, 3).await;
    assert_eq!((ids(&page), page.total), (expected[10..13].to_vec(), 20));
}

pub(crate) async fn filters_narrow_and_totals_count_all_that_match(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (one, other) = (world.device("a").await, world.device("b").await);
    let stranger = new_app(&*world.store, "stranger").await;
    let mut foreign = world.device("c").await;
    foreign = {
        world.store.remove(foreign.key, false, T0).await.unwrap();
        world
            .store
            .register(new_device(stranger.key, "d"), 10)
            .await
            .unwrap()
            .unwrap()
    };
    let (mut of_one, mut all) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let device = if n % 3 == 0 { &one } else { &other };
        let id = world.pending(device, at(n)).await;
        world.pending(&foreign, at(n)).await;
        all.insert(0, id);
        if n % 3 == 0 {
            of_one.insert(0, id);
        }
    }
    let everything = CommandFilter::default();
    let page = list(&world, &everything, 0, 100).await;
    assert_eq!((ids(&page), page.total), (all.clone(), 12));
    let page = list(&world, &everything, 10, 100).await;
    assert_eq!((ids(&page), page.total), (all[10..].to_vec(), 12));
    assert_eq!(
        list(&world, &everything, 0, 0).await,
        Page {
            items: vec![],
            total: 12
        }
    );
    let device = CommandFilter {
        device: Some(one.key),
        ..Default::default()
    };
    let page = list(&world, &device, 1, 2).await;
    assert_eq!((ids(&page), page.total), (of_one[1..3].to_vec(), 4));
    let span = CommandFilter {
        from: Some(at(3)),
        to: Some(at(7)),
        ..Default::default()
    };
    let page = list(&world, &span, 0, 2).await;
    assert_eq!((ids(&page), page.total), (all[4..6].to_vec(), 5));
    let both = CommandFilter {
        device: Some(one.key),
        ..span
    };
    let page = list(&world, &both, 0, 9).await;
    assert_eq!((ids(&page), page.total), (of_one[1..3].to_vec(), 2));
    let wrong = CommandFilter {
        device: Some(foreign.key),
        ..Default::default()
    };
    assert_eq!(
        list(&world, &wrong, 0, 9).await.total,
        0,
        "another application's device"
    );
}

pub(crate) async fn an_open_command_is_listed_as_it_stands(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let id = world.pending(&device, T0).await;
    let everything = CommandFilter::default();
    for (input, status) in [
        (Input::Send(offer(1)), Status::Sent),
        (Input::Acked, Status::Delivered),
        (bad_reply(), Status::Failed),
    ] {
        let applied = world.must(id, input, at(1)).await;
        let page = list(&world, &everything, 0, 1).await;
        assert_eq!(page.items[0].status, status);
        assert_eq!(page.items[0], world.record(id).await);
        world.told(id, applied.seq).await;
    }
    assert_eq!(
        list(&world, &everything, 0, 1).await.items[0].status,
        Status::Failed
    );
}

/// Totals and pages of windows are exact, however records come and go, and wherever a window begins and ends.
pub(crate) async fn totals_of_windows_are_exact(stores: Stores) {
    let world = World::new(stores.open()).await;
    let other = new_app(&*world.store, "other").await;
    let theirs = new_device(other.key, "b");
    let theirs = world.store.register(theirs, 9).await.unwrap().unwrap();
    let device = world.device("a").await;
    // Some a minute and more apart, some in one second; what is counted goes by 65.5 seconds.
    let times: Vec<u32> = (0..60).map(|n| n * 37 + n % 3 * 200).chain([1200; 10]).collect();
    let mut times_in_order = times.clone();
    times_in_order.sort_unstable();
    let mut ids = Vec::new();
    for secs in &times_in_order {
        let mut submission = world.cached(&device, at(*secs));
        (submission.command.callback, submission.queue_limit) = (None, 1000);
        ids.push((world.create(submission).await.record.id, *secs));
        let mut beside = world.cached(&theirs, at(*secs));
        beside.queue_limit = 1000;
        world.create(beside).await;
    }
    for kept_from in [0, 700, 10_000] {
        if kept_from > 0 {
            for (id, secs) in ids.iter().filter(|(_, secs)| *secs < kept_from) {
                world
                    .apply(change(*id, Input::Cancel("x".into()), at(*secs)))
                    .await;
            }
            while world.store.prune(at(kept_from), at(kept_from), 7).await.unwrap() > 0 {}
            ids.retain(|(_, secs)| *secs >= kept_from);
        }
        for from in [
            None,
            Some(0),
            Some(65),
            Some(66),
            Some(131),
            Some(500),
            Some(900),
            Some(5000),
        ] {
            for to in [
                None,
                Some(0),
                Some(64),
                Some(66),
                Some(1199),
                Some(1200),
                Some(1300),
                Some(9000),
            ] {
                let filter = CommandFilter {
                    from: from.map(at),
                    to: to.map(at),
                    ..CommandFilter::default()
                };
                let within = ids.iter().filter(|(_, secs)| {
                    from.is_none_or(|from| *secs >= from) && to.is_none_or(|to| *secs <= to)
                });
                let mut expected: Vec<_> = within.map(|(id, _)| *id).collect();
                expected.sort_unstable_by(|a, b| b.cmp(a));
                for (skip, limit) in [(0, 1000), (1, 3), (12, 5), (40, 100), (71, 2), (16, 20)] {
                    let found = list(&world, &filter, skip as u64, limit as u32).await;
                    let page: Vec<_> = expected.iter().skip(skip).take(limit).copied().collect();
                    let (total, told) = (expected.len() as u64, format!("{from:?} to {to:?}, skip {skip}"));
                    assert_eq!((found.total, self::ids(&found)), (total, page), "{told}");
                }
            }
        }
    }
    assert!(ids.is_empty());
}
