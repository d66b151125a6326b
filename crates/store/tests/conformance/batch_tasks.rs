//! Batch tasks: devices gathered in steps, commands made in turns, results counted.

use std::collections::HashSet;
use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandBody, CommandId, Timestamp};
use downlink_store::{
    BatchRefused, BatchState, BatchStep, BatchTargets, BatchTask, BatchTaskKey, CommandFilter, Device,
    NewBatchTask, NewDevice, RefusalText, Subtask, SubtaskFilter, SubtaskState, Turn,
};

use super::Stores;
use super::support::*;

pub(super) fn new_task(world: &World, n: u32, targets: BatchTargets) -> NewBatchTask {
    NewBatchTask {
        id: Arc::from(format!("batch-{n}")),
        app: world.app.key,
        name: format!("name-{n}"),
        targets,
        body: CommandBody {
            service: "s".into(),
            method: "m".into(),
            paras: "{}".into(),
        },
        callback: None,
        max_retransmit: Some(2),
        tags: Some("[]".into()),
        minutes: 10,
        created_at: at(n),
        open_limit: 100,
        kept_limit: 100,
    }
}

fn list(ids: &[&str]) -> BatchTargets {
    BatchTargets::List(ids.iter().map(|id| (*id).to_owned()).collect())
}

async fn make(world: &World, n: u32, targets: BatchTargets) -> BatchTaskKey {
    let made = world.store.create_batch_task(new_task(world, n, targets)).await;
    made.unwrap().unwrap()
}

async fn shown(world: &World, n: u32) -> BatchTask {
    let id = Arc::from(format!("batch-{n}"));
    world.store.batch_task(world.app.key, id).await.unwrap().unwrap()
}

async fn subtasks(world: &World, task: BatchTaskKey, filter: SubtaskFilter) -> Vec<Subtask> {
    let page = world.store.subtasks(task, filter, 0, 10_000).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items
}

/// Gathers all, `limit` a step; gives the devices and the number of steps.
pub(super) async fn gather(world: &World, task: BatchTaskKey, limit: u32) -> (Vec<String>, u32) {
    let mut steps = 1;
    while !world.store.gather_batch(task, limit, at(1)).await.unwrap() {
        steps += 1;
    }
    let found = subtasks(world, task, SubtaskFilter::default()).await;
    let ids = found.iter().map(|one| one.device_id.as_str().to_owned());
    (ids.collect(), steps)
}

fn text() -> RefusalText {
    Arc::new(|refused| refused.to_string())
}

/// The turns of these devices; none: there is no such device.
fn turns(world: &World, devices: &[Option<&Device>]) -> Vec<Turn> {
    let turn = |device: &Option<&Device>| match device {
        Some(device) => Ok(world.cached(device, at(2))),
        None => Err("unknown".to_owned()),
    };
    devices.iter().map(turn).collect()
}

async fn step(world: &World, task: BatchTaskKey, first: u64, turns: Vec<Turn>) -> BatchStep {
    world
        .store
        .step_batch(task, first, turns, text(), at(2))
        .await
        .unwrap()
}

async fn settle(world: &World, task: BatchTaskKey, limit: u32, now: Timestamp) {
    let mut from = Some(0);
    while let Some(place) = from {
        from = world.store.settle_batch(task, place, limit, now).await.unwrap();
    }
}

pub(crate) async fn devices_are_gathered_each_once(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "other").await;
    let register = async |name: &str, app, info: &str| {
        let new = NewDevice {
            info: info.to_owned(),
            ..new_device(app, name)
        };
        world.store.register(new, u64::MAX).await.unwrap().unwrap()
    };
    let lamp = r#"{"deviceType":"Lamp","manufacturerId":"x","model":"y","location":"here"}"#;
    let mine = world.app.key;
    let a = register("a", mine, lamp).await;
    let b = register(
        "b",
        mine,
        r#"{"deviceType":"Lamp","manufacturerId":"x","model":"z"}"#,
    )
    .await;
    register("c", stranger.key, lamp).await;
    let d = register("d", mine, lamp).await;
    let gone = register("e", mine, lamp).await;
    world.store.remove(gone.key, false, at(1)).await.unwrap();
    let [a, b, d] = [a, b, d].map(|device| device.id.as_str().to_owned());
    let kind = BatchTargets::Type {
        device_type: "Lamp".into(),
        manufacturer_id: "x".into(),
        model: "y".into(),
    };
    for (n, (targets, expected)) in [
        (list(&["q", &a, "p"]), vec!["q", &a, "p"]),
        (kind, vec![&*a, &d]),
        (BatchTargets::Area("here".into()), vec![&*a, &d]),
        (BatchTargets::All, vec![&*a, &b, &d]),
    ]
    .into_iter()
    .enumerate()
    {
        for limit in [1, 2, 100] {
            let n = n as u32 * 1000 + limit;
            let task = make(&world, n, targets.clone()).await;
            assert_eq!(shown(&world, n).await.state(at(1)), BatchState::Pending);
            // What comes later is not its business.
            register(&format!("later-{n}"), stranger.key, lamp).await;
            let (ids, steps) = gather(&world, task, limit).await;
            assert_eq!(ids, expected, "{targets:?} by {limit}");
            assert!((limit == 100) == (steps == 1), "{steps} steps of {limit}");
            let after = shown(&world, n).await;
            assert_eq!(
                (after.total, after.state(at(1))),
                (ids.len() as u64, BatchState::Running)
            );
        }
    }
    let task = make(&world, 9000, BatchTargets::All).await;
    register("new", mine, lamp).await;
    assert_eq!(gather(&world, task, 100).await.0.len(), 3);
    // A task of nothing is over when that is found out.
    let nothing = make(&world, 9001, BatchTargets::Area("nowhere".into())).await;
    gather(&world, nothing, 100).await;
    let nothing = shown(&world, 9001).await;
    assert_eq!(
        (nothing.state(at(1)), nothing.progress(), nothing.total),
        (BatchState::Complete, 1000, 0)
    );
}

pub(crate) async fn a_turn_and_its_command_are_one_transaction(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (a, b) = (world.device("a").await, world.device("b").await);
    let task = make(&world, 1, list(&[a.id.as_str(), "nobody", b.id.as_str()])).await;
    gather(&world, task, 10).await;
    let next = async || world.store.batch_turns(task, 2).await.unwrap();
    assert_eq!(
        next().await.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        [a.id.as_str(), "nobody"]
    );
    let made = step(&world, task, 0, turns(&world, &[Some(&a), None])).await;
    assert_eq!((made.created.len(), made.is_held), (1, false));
    // The same turns again: they were had.
    let again = step(&world, task, 0, turns(&world, &[Some(&a), None])).await;
    assert!(again.created.is_empty());
    assert_eq!(
        next().await.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        [b.id.as_str()]
    );
    // The application is at its limit: it waits.
    let mut held = turns(&world, &[Some(&b)]);
    held[0].as_mut().unwrap().open_limit = Some(1);
    let held = step(&world, task, 2, held).await;
    assert!(held.is_held && held.created.is_empty() && next().await.len() == 1);
    // The device's queue is full: that one fails.
    let mut full = turns(&world, &[Some(&b)]);
    full[0].as_mut().unwrap().queue_limit = 0;
    let full = step(&world, task, 2, full).await;
    assert!(full.created.is_empty() && !full.is_held);
    let all = subtasks(&world, task, SubtaskFilter::default()).await;
    let states: Vec<_> = all.iter().map(|one| (one.state, one.error.as_deref())).collect();
    assert_eq!(
        states,
        [
            (SubtaskState::WaitResult, None),
            (SubtaskState::Fail, Some("unknown")),
            (SubtaskState::Fail, Some("the device's queue is full")),
        ]
    );
    assert_eq!(all[0].command, Some(made.created[0].record.id));
    let after = shown(&world, 1).await;
    assert_eq!(
        (after.tried, after.fail, after.complete(), after.progress()),
        (3, 2, 2, 666)
    );
    let listed = world
        .store
        .list(world.app.key, CommandFilter::default(), 0, 10)
        .await
        .unwrap();
    assert_eq!(listed.total, 1);
}

pub(crate) async fn results_are_counted_once(stores: Stores) {
    let world = World::new(stores.open()).await;
    let mut devices = Vec::new();
    for n in 0..6 {
        devices.push(world.device(&format!("d{n}")).await);
    }
    let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    let task = make(&world, 1, list(&ids)).await;
    gather(&world, task, 10).await;
    let all: Vec<_> = devices.iter().map(Some).collect();
    let made = step(&world, task, 0, turns(&world, &all[..5])).await;
    let commands: Vec<CommandId> = made.created.iter().map(|one| one.record.id).collect();
    settle(&world, task, 2, at(3)).await;
    assert_eq!(shown(&world, 1).await.complete(), 0);
    for (place, reply) in [(0, ok_reply()), (1, bad_reply())] {
        world.must(commands[place], Input::Send(offer(1)), at(3)).await;
        world.must(commands[place], reply, at(4)).await;
    }
    world.must(commands[2], Input::Cancel("why".into()), at(4)).await;
    world.must(commands[3], Input::LifetimeEnded, at(2 + 3600)).await;
    for _ in 0..2 {
        settle(&world, task, 2, at(5)).await;
    }
    let now = shown(&world, 1).await;
    assert_eq!((now.success, now.fail, now.timeout, now.expired), (1, 2, 0, 1));
    assert_eq!((now.progress(), now.ended_at), (666, None));
    // Its time is over: the one that had no turn.
    let ended = world
        .store
        .expire_batch(task, 10, "late".into(), at(700))
        .await
        .unwrap();
    assert_eq!(ended, 1);
    world
        .must(commands[4], Input::Cancel("why".into()), at(700))
        .await;
    settle(&world, task, 10, at(701)).await;
    let over = shown(&world, 1).await;
    assert_eq!((over.fail, over.timeout, over.complete()), (3, 1, 6));
    assert_eq!(
        (over.ended_at, over.state(at(702))),
        (Some(at(701)), BatchState::Timeout)
    );
    let count = async |states: Vec<SubtaskState>| {
        let filter = SubtaskFilter {
            states,
            ..SubtaskFilter::default()
        };
        subtasks(&world, task, filter).await.len()
    };
    assert_eq!(count(vec![SubtaskState::Timeout, SubtaskState::Expired]).await, 2);
    let one = SubtaskFilter {
        command: Some(commands[0]),
        device: Some(devices[0].id.clone()),
        ..SubtaskFilter::default()
    };
    let one = subtasks(&world, task, one).await.remove(0);
    assert_eq!((one.n, one.result.as_deref()), (0, Some("{\"r\":1}")));
    let page = world
        .store
        .subtasks(task, SubtaskFilter::default(), 4, 10)
        .await
        .unwrap();
    assert_eq!((page.total, page.items.len(), page.items[0].n), (6, 2, 4));
}

pub(crate) async fn batch_tasks_are_kept_in_bounds(stores: Stores) {
    let world = World::new(stores.open()).await;
    let limited = |n, open_limit, kept_limit| NewBatchTask {
        open_limit,
        kept_limit,
        ..new_task(&world, n, list(&["x", "y"]))
    };
    let try_make = async |new| world.store.create_batch_task(new).await.unwrap();
    let first = try_make(limited(1, 2, 3)).await.unwrap();
    assert_eq!(
        try_make(limited(1, 2, 3)).await.unwrap_err(),
        BatchRefused::NameTaken
    );
    try_make(limited(2, 2, 3)).await.unwrap();
    assert_eq!(
        try_make(limited(3, 2, 3)).await.unwrap_err(),
        BatchRefused::TooManyOpen
    );
    gather(&world, first, 10).await;
    step(&world, first, 0, turns(&world, &[None, None])).await;
    assert_eq!(shown(&world, 1).await.state(at(2)), BatchState::Complete);
    try_make(limited(3, 2, 3)).await.unwrap();
    assert_eq!(
        try_make(limited(4, 3, 3)).await.unwrap_err(),
        BatchRefused::TooManyKept
    );
    let open = world.store.open_batch_tasks(None, 10).await.unwrap();
    assert_eq!(
        open.iter().map(|task| &*task.name).collect::<Vec<_>>(),
        ["name-2", "name-3"]
    );
    let other = new_app(&*world.store, "other").await;
    assert_eq!(
        world.store.batch_task(other.key, "batch-1".into()).await.unwrap(),
        None
    );
    // They are forgotten in bounds, the sub-tasks first.
    assert_eq!(world.store.prune_batch_tasks(at(2), 2).await.unwrap(), 0);
    assert_eq!(world.store.prune_batch_tasks(at(3), 2).await.unwrap(), 2);
    assert_eq!(world.store.prune_batch_tasks(at(3), 2).await.unwrap(), 1);
    assert_eq!(
        world
            .store
            .batch_task(world.app.key, "batch-1".into())
            .await
            .unwrap(),
        None
    );
    assert!(subtasks(&world, first, SubtaskFilter::default()).await.is_empty());
    try_make(limited(1, 3, 3)).await.unwrap();
}

pub(crate) async fn a_batch_of_many_is_exact(stores: Stores) {
    const MANY: u64 = 3000;
    let world = World::new(stores.open()).await;
    let mut devices = Vec::new();
    for n in 0..MANY {
        devices.push(world.device(&format!("d{n}")).await);
    }
    let task = make(&world, 1, BatchTargets::All).await;
    gather(&world, task, 700).await;
    let mut first = 0;
    while first < MANY {
        let next = world.store.batch_turns(task, 200).await.unwrap();
        let some: Vec<_> = devices[first as usize..][..next.len()].iter().map(Some).collect();
        assert!(
            some.iter()
                .zip(&next)
                .all(|(device, id)| device.unwrap().id == *id)
        );
        first += step(&world, task, first, turns(&world, &some))
            .await
            .created
            .len() as u64;
    }
    let all = subtasks(&world, task, SubtaskFilter::default()).await;
    let ids: HashSet<_> = all.iter().map(|one| one.device_id.as_str()).collect();
    let commands: HashSet<_> = all.iter().filter_map(|one| one.command).collect();
    assert_eq!((ids.len(), commands.len()), (MANY as usize, MANY as usize));
    for command in &commands {
        world.must(*command, Input::Cancel("w".into()), at(4)).await;
    }
    settle(&world, task, 256, at(5)).await;
    let over = shown(&world, 1).await;
    assert_eq!((over.fail, over.state(at(6))), (MANY, BatchState::Complete));
}
