//! The feeds: whole, in order, for those who asked, and honest about what is gone.

use downlink_core::lifecycle::Input;
use downlink_core::{AppKey, Status};
use downlink_store::{AppSettingsChange, FeedItem, FeedPage, Store};

use super::Stores;
use super::support::*;

const MUCH: usize = 1 << 20;

async fn switch(store: &dyn Store, app: AppKey, on: bool) {
    let change = AppSettingsChange {
        feed: Some(on),
        ..AppSettingsChange::default()
    };
    let changed = store.set_app_settings(app, change).await.unwrap().unwrap();
    assert_eq!(changed.settings.feed, on);
}

async fn read(store: &dyn Store, app: AppKey, after: Option<u64>) -> (Vec<FeedItem>, u64) {
    match store.read_feed(app, after, 1000, MUCH).await.unwrap() {
        FeedPage::Read { items, upto, more } => {
            assert!(!more);
            (items, upto)
        }
        FeedPage::Expired | FeedPage::Off => panic!("not to be read"),
    }
}

fn told(items: &[FeedItem]) -> Vec<(u16, Status)> {
    items.iter().map(|item| (item.seq, item.status)).collect()
}

pub(crate) async fn a_feed_tells_every_change_in_order(stores: Stores) {
    use Status::{Canceled, Delivered, Sent, Successful};
    let world = World::new(stores.open()).await;
    let (store, app) = (&*world.store, world.app.key);
    let device = world.device("d").await;
    assert_eq!(store.read_feed(app, None, 10, MUCH).await.unwrap(), FeedPage::Off);
    assert_eq!(store.feed_head(app).await.unwrap(), None);
    let early = world.pending(&device, T0).await;
    switch(store, app, true).await;
    let start = store.feed_head(app).await.unwrap().unwrap();
    let (none, upto) = read(store, app, None).await;
    assert_eq!((none, upto), (vec![], start));

    // With a callback or without, each change is told.
    let mut submission = world.immediate(&device, at(1), offer(1));
    submission.command.callback = None;
    submission.command.push = downlink_core::StatusSet::EMPTY;
    let id = world.create(submission).await.record.id;
    world.must(id, Input::Acked, at(2)).await;
    world.must(id, ok_reply(), at(3)).await;
    world.must(early, Input::Cancel("x".into()), at(4)).await;
    let (items, upto) = read(store, app, Some(start)).await;
    assert_eq!(
        told(&items),
        [(2, Sent), (3, Delivered), (4, Successful), (2, Canceled)]
    );
    let numbers: Vec<_> = items.iter().map(|item| item.n - start).collect();
    assert_eq!((numbers, upto - start), (vec![1, 2, 3, 4], 4));
    assert_eq!(
        (
            items[2].result.as_deref(),
            items[1].result.as_deref(),
            items[2].at
        ),
        (Some("{\"r\":1}"), None, at(3))
    );
    assert_eq!((items[3].command, &items[3].device_id), (early, &device.id));
    assert_eq!(read(store, app, Some(upto)).await, (vec![], upto));
    assert_eq!(store.feed_head(app).await.unwrap(), Some(upto));
    assert_eq!(read(store, app, None).await.0, items);
}

pub(crate) async fn a_feed_is_read_in_bounded_pages(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&*world.store, world.app.key);
    let device = world.device("d").await;
    switch(store, app, true).await;
    for n in 0..5 {
        let id = world
            .create(world.immediate(&device, at(n), offer(1)))
            .await
            .record
            .id;
        world.must(id, ok_reply(), at(n)).await;
    }
    let all = read(store, app, None).await.0;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.read_feed(app, after, 2, MUCH).await.unwrap();
        let FeedPage::Read { items, upto, more } = page else {
            panic!("{page:?}")
        };
        assert!((1..=2).contains(&items.len()));
        seen.extend(items);
        after = Some(upto);
        if !more {
            break;
        }
    }
    assert_eq!((seen.len(), &seen), (all.len(), &all));
    // One result is more than no bytes: a page ends after it.
    let FeedPage::Read { items, more, .. } = store.read_feed(app, None, 1000, 0).await.unwrap() else {
        panic!("not read")
    };
    let results = items.iter().filter(|item| item.result.is_some()).count();
    assert_eq!((results, more), (1, true));
}

pub(crate) async fn a_feed_is_of_its_application_and_its_settings(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&*world.store, world.app.key);
    let stranger = new_app(store, "stranger").await;
    let device = world.device("d").await;
    switch(store, app, true).await;
    switch(store, stranger.key, true).await;
    let documented = AppSettingsChange {
        push_documented_only: Some(true),
        ..AppSettingsChange::default()
    };
    let id = world.pending(&device, T0).await;
    world.must(id, Input::Cancel("x".into()), at(1)).await;
    store.set_app_settings(app, documented).await.unwrap().unwrap();
    let id = world.pending(&device, at(2)).await;
    world.must(id, Input::Cancel("x".into()), at(3)).await;
    world.create(world.immediate(&device, at(4), offer(1))).await;
    let items = read(store, app, None).await.0;
    assert_eq!(told(&items), [(2, Status::Canceled), (2, Status::Sent)]);
    assert_eq!(read(store, stranger.key, None).await.0, []);
    assert_eq!(
        store.set_app_settings(AppKey(99), documented).await.unwrap(),
        None
    );
    store.remove_app(app, at(5)).await.unwrap();
    assert_eq!(store.read_feed(app, None, 10, MUCH).await.unwrap(), FeedPage::Off);
}

pub(crate) async fn a_place_with_a_gap_behind_it_is_expired(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&*world.store, world.app.key);
    let device = world.device("d").await;
    switch(store, app, true).await;
    let start = store.feed_head(app).await.unwrap().unwrap();
    for n in 0..4 {
        world.create(world.immediate(&device, at(n), offer(1))).await;
    }
    let expired = async |after| {
        let page = store.read_feed(app, Some(after), 10, MUCH).await.unwrap();
        page == FeedPage::Expired
    };
    assert_eq!(store.prune_feed(at(2), 1).await.unwrap(), 1);
    assert_eq!(store.prune_feed(at(2), 10).await.unwrap(), 1);
    assert_eq!(store.prune_feed(at(2), 10).await.unwrap(), 0);
    assert!(expired(start).await && expired(start + 1).await && !expired(start + 2).await);
    assert_eq!(read(store, app, None).await.0.len(), 2);
    assert!(expired(start + 99).await, "never given");
    // All of it gone, the numbers go on.
    assert_eq!(store.prune_feed(at(100), 10).await.unwrap(), 2);
    assert_eq!(read(store, app, None).await, (vec![], start + 4));
    // While it is off changes are missed, and whoever read before is told so.
    world.create(world.immediate(&device, at(5), offer(1))).await;
    switch(store, app, false).await;
    world.create(world.immediate(&device, at(6), offer(1))).await;
    switch(store, app, true).await;
    assert!(expired(start + 5).await);
    assert_eq!(read(store, app, None).await.0, []);
    let head = store.feed_head(app).await.unwrap().unwrap();
    world.create(world.immediate(&device, at(7), offer(1))).await;
    let (items, _) = read(store, app, Some(head)).await;
    assert_eq!((items.len(), items[0].n), (1, head + 1));
    assert_eq!(
        store.prune_feed(T0, 10).await.unwrap(),
        1,
        "what is out of reach goes"
    );
}
