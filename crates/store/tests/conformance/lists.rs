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
