//! Cancel tasks: what waits for a device, withdrawn in steps.

use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, DeviceKey, Status, Timestamp};
use downlink_store::{
    CancelTask, CancelTaskFilter, CancelTaskKey, CancelTaskRefused, CancelTaskState, Device, NewCancelTask,
    Page, ShownCancelTask,
};

use super::Stores;
use super::support::*;

fn new_task(world: &World, device: &Device, n: u32) -> NewCancelTask {
    NewCancelTask {
        id: Arc::from(format!("task-{n}")),
        app: world.app.key,
        device: device.key,
        created_at: at(n),
        limit: 100,
    }
}

async fn make(world: &World, device: &Device, n: u32) -> CancelTask {
    let made = world.store.create_cancel_task(new_task(world, device, n)).await;
    made.unwrap().unwrap()
}

async fn list(world: &World, filter: CancelTaskFilter, skip: u64, limit: u32) -> Page<ShownCancelTask> {
    world
        .store
        .cancel_tasks(world.app.key, filter, skip, limit, 1000)
        .await
        .unwrap()
}

async fn shown(world: &World, task: &CancelTask) -> ShownCancelTask {
    let filter = CancelTaskFilter {
        id: Some(Arc::clone(&task.id)),
        ..CancelTaskFilter::default()
    };
    let mut page = list(world, filter, 0, 10).await;
    assert_eq!((page.items.len(), page.total), (1, 1));
    page.items.remove(0)
}

/// Works a task off; gives how many each step cancelled.
async fn work_off(world: &World, task: CancelTaskKey, limit: u32, now: Timestamp) -> Vec<usize> {
    let mut steps = Vec::new();
    loop {
        let step = world.store.step_cancel_task(task, limit, now).await.unwrap();
        assert!(
            step.applied
                .iter()
                .all(|one| one.status == Status::Canceled && one.from == Status::Pending)
        );
        steps.push(step.applied.len());
        if step.is_over {
            return steps;
        }
    }
}

async fn many(world: &World, device: &Device, count: u32) -> Vec<CommandId> {
    let mut ids = Vec::new();
    for n in 0..count {
        let mut submission = world.cached(device, at(n));
        submission.queue_limit = 1000;
        ids.push(world.create(submission).await.record.id);
    }
    ids
}

pub(crate) async fn a_task_cancels_what_was_there_in_bounded_steps(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (device, other) = (world.device("a").await, world.device("b").await);
    let ids = many(&world, &device, 25).await;
    let beside = world.pending(&other, at(25)).await;
    let task = make(&world, &device, 30).await;
    assert_eq!(
        (task.state, task.total, task.canceled),
        (CancelTaskState::Waiting, 25, 0)
    );
    assert_eq!((&task.commands, &task.device_id), (&ids, &device.id));
    assert_eq!(world.store.open_cancel_tasks(None, 9).await.unwrap(), [task.key]);
    assert_eq!(shown(&world, &task).await.task, task);
    let later = many(&world, &device, 3).await;
    let first = world.store.step_cancel_task(task.key, 10, at(31)).await.unwrap();
    assert_eq!((first.applied.len(), first.is_over), (10, false));
    assert!(
        first.applied.iter().all(|one| one.push.is_some()),
        "its receiver is told"
    );
    let under_way = shown(&world, &task).await.task;
    assert_eq!(
        (under_way.state, under_way.canceled),
        (CancelTaskState::Running, 10)
    );
    assert_eq!(work_off(&world, task.key, 10, at(32)).await, [10, 5]);
    let over = shown(&world, &task).await;
    assert_eq!(
        (over.task.state, over.task.total, over.task.canceled),
        (CancelTaskState::Success, 25, 25)
    );
    assert!(
        over.records.len() == 25
            && over
                .records
                .iter()
                .all(|record| record.status == Status::Canceled)
    );
    assert!(world.record(ids[0]).await.events[1].detail.contains("task-30"));
    for id in later.iter().chain([&beside]) {
        assert_eq!(world.statuses(*id).await, [Status::Pending]);
    }
    assert_eq!(world.store.queue(device.key, 100).await.unwrap(), later);
    assert!(world.store.open_cancel_tasks(None, 9).await.unwrap().is_empty());
    let again = world.store.step_cancel_task(task.key, 10, at(33)).await.unwrap();
    assert!(again.is_over && again.applied.is_empty());
}

pub(crate) async fn what_left_the_queue_otherwise_is_not_counted(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let ids = many(&world, &device, 4).await;
    // The first holds the slot and was sent before: it is no part of the task.
    world.send_next(device.key, offer(1), at(5)).await.unwrap();
    let task = make(&world, &device, 6).await;
    assert_eq!((task.total, &task.commands[..]), (3, &ids[1..]));
    world.must(ids[1], Input::Cancel("by itself".into()), at(7)).await;
    world.must(ids[0], Input::Acked, at(7)).await;
    world.send_next(device.key, offer(1), at(8)).await.unwrap();
    assert_eq!(work_off(&world, task.key, 10, at(9)).await, [1]);
    let over = shown(&world, &task).await.task;
    assert_eq!((over.state, over.canceled), (CancelTaskState::PartSuccess, 1));
    assert_eq!(world.record(ids[2]).await.status, Status::Sent);
    // Of nothing and of nothing left.
    let idle = world.device("b").await;
    let of_nothing = make(&world, &idle, 10).await;
    let waits = world.pending(&idle, at(11)).await;
    let of_one = make(&world, &idle, 12).await;
    world.must(waits, Input::Cancel("by itself".into()), at(13)).await;
    for (task, total, state) in [
        (of_nothing, 0, CancelTaskState::Success),
        (of_one, 1, CancelTaskState::Failed),
    ] {
        assert_eq!(work_off(&world, task.key, 10, at(14)).await, [0]);
        let over = shown(&world, &task).await.task;
        assert_eq!((over.total, over.canceled, over.state), (total, 0, state));
    }
}

pub(crate) async fn a_device_must_be_there_for_a_task(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let stranger = new_app(&*world.store, "other").await;
    let mut theirs = new_task(&world, &device, 1);
    theirs.app = stranger.key;
    let mut nobodys = new_task(&world, &device, 2);
    nobodys.device = DeviceKey(4711);
    for new in [theirs, nobodys] {
        let made = world.store.create_cancel_task(new).await.unwrap();
        assert_eq!(made.unwrap_err(), CancelTaskRefused::NoDevice);
    }
    make(&world, &device, 3).await;
    let seen = world
        .store
        .cancel_tasks(stranger.key, CancelTaskFilter::default(), 0, 9, 9)
        .await;
    assert_eq!(seen.unwrap().total, 0);
}

pub(crate) async fn tasks_are_listed_by_filter_in_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (a, b) = (world.device("a").await, world.device("b").await);
    many(&world, &a, 3).await;
    let mut made = Vec::new();
    for n in 0..6 {
        made.insert(0, make(&world, if n % 2 == 0 { &a } else { &b }, n * 10).await);
    }
    work_off(&world, made[5].key, 10, at(100)).await;
    let all = CancelTaskFilter::default;
    let keys = |page: &Page<ShownCancelTask>| page.items.iter().map(|one| one.task.key).collect::<Vec<_>>();
    let expect = |places: &[usize]| places.iter().map(|place| made[*place].key).collect::<Vec<_>>();
    let rows: Vec<(CancelTaskFilter, Vec<usize>)> = vec![
        (all(), vec![0, 1, 2, 3, 4, 5]),
        (
            CancelTaskFilter {
                device: Some(b.key),
                ..all()
            },
            vec![0, 2, 4],
        ),
        (
            CancelTaskFilter {
                state: Some(CancelTaskState::Success),
                ..all()
            },
            vec![5],
        ),
        (
            CancelTaskFilter {
                from: Some(at(20)),
                to: Some(at(40)),
                ..all()
            },
            vec![1, 2, 3],
        ),
        (
            CancelTaskFilter {
                id: Some("no".into()),
                ..all()
            },
            vec![],
        ),
    ];
    for (filter, places) in rows {
        let page = list(&world, filter.clone(), 0, 10).await;
        assert_eq!(
            (keys(&page), page.total),
            (expect(&places), places.len() as u64),
            "{filter:?}"
        );
    }
    let page = list(&world, all(), 2, 2).await;
    assert_eq!((keys(&page), page.total), (expect(&[2, 3]), 6));
    // Records are shown until there are as many as there may be.
    let some = world
        .store
        .cancel_tasks(world.app.key, all(), 0, 10, 4)
        .await
        .unwrap();
    let counts: Vec<_> = some.items.iter().map(|one| one.records.len()).collect();
    assert_eq!(counts, [0, 3, 0, 1, 0, 0]);
}

pub(crate) async fn tasks_are_kept_in_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let limited = |n| NewCancelTask {
        limit: 2,
        ..new_task(&world, &device, n)
    };
    let try_make = async |n| world.store.create_cancel_task(limited(n)).await.unwrap();
    let first = try_make(1).await.unwrap();
    try_make(2).await.unwrap();
    assert_eq!(try_make(3).await.unwrap_err(), CancelTaskRefused::TooMany);
    work_off(&world, first.key, 1, at(4)).await;
    let third = try_make(5).await.unwrap();
    let left = list(&world, CancelTaskFilter::default(), 0, 9).await;
    assert!(left.total == 2 && left.items.iter().all(|one| one.task.key != first.key));
    work_off(&world, third.key, 1, at(6)).await;
    assert_eq!(world.store.prune_cancel_tasks(at(6), 9).await.unwrap(), 0);
    assert_eq!(world.store.prune_cancel_tasks(at(7), 9).await.unwrap(), 1);
    assert_eq!(list(&world, CancelTaskFilter::default(), 0, 9).await.total, 1);
}
