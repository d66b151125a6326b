//! Every change is what `step` says, the record is exact, and of rivals one wins.

use downlink_core::lifecycle::{Input, deadline};
use downlink_core::{Mode, Offer, ResponseRule, Span, Status};
use downlink_store::{Changed, Submission};

use super::Stores;
use super::support::*;

/// Every input there is, in every way that matters.
fn inputs() -> Vec<Input> {
    vec![
        Input::Send(offer(1)),
        Input::Send(offer(2)),
        Input::Send(result_only(2)),
        Input::Acked,
        ok_reply(),
        bad_reply(),
        Input::Unsendable("no codec".into()),
        Input::SessionLost {
            session: offer(1).session,
            written: true,
        },
        Input::SessionLost {
            session: offer(1).session,
            written: false,
        },
        Input::AckDeadline,
        Input::LifetimeEnded,
        Input::ResponseDeadline,
        Input::SlotDeadline,
        Input::Cancel("by hand".into()),
    ]
}

/// Ways to every state there is.
fn ways() -> Vec<Vec<(Input, u32)>> {
    let sent = |offer| (Input::Send(offer), 1);
    vec![
        vec![],
        vec![sent(offer(1))],
        vec![sent(result_only(1))],
        vec![sent(result_only(1)), (Input::SlotDeadline, 40)],
        vec![
            sent(offer(1)),
            (
                Input::SessionLost {
                    session: offer(1).session,
                    written: true,
                },
                2,
            ),
        ],
        vec![
            sent(offer(1)),
            (
                Input::SessionLost {
                    session: offer(1).session,
                    written: false,
                },
                2,
            ),
        ],
        vec![
            sent(offer(1)),
            (
                Input::SessionLost {
                    session: offer(1).session,
                    written: true,
                },
                2,
            ),
            (Input::Send(offer(2)), 3),
        ],
        vec![sent(offer(1)), (Input::Acked, 2)],
        vec![sent(offer(1)), (Input::Acked, 2), (ok_reply(), 3)],
        vec![sent(offer(1)), (bad_reply(), 3)],
        vec![(Input::Unsendable("x".into()), 1)],
        vec![
            sent(offer(1)),
            (Input::Unsendable("x".into()), 2),
            (Input::Acked, 3),
        ],
        vec![sent(offer(1)), (Input::Acked, 2), (Input::ResponseDeadline, 400)],
        vec![sent(result_only(1)), (Input::ResponseDeadline, 400)],
        vec![
            sent(result_only(1)),
            (Input::ResponseDeadline, 400),
            (Input::Acked, 401),
        ],
        vec![(Input::LifetimeEnded, 3600)],
        vec![(Input::Cancel("x".into()), 1)],
    ]
}

pub(crate) async fn every_state_takes_every_input_as_step_says(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut met = std::collections::BTreeSet::new();
    for (cached, response) in [(true, true), (true, false), (false, true), (false, false)] {
        for way in ways() {
            for last in inputs() {
                for now in [5, 401, 3_700, 100_000] {
                    let mut submission = world.cached(&device, T0);
                    submission.queue_limit = u32::MAX;
                    if !cached {
                        submission.command.mode = Mode::Immediate;
                        submission.offer = Some(offer(1));
                    }
                    if !response {
                        submission.command.response = ResponseRule::None;
                    }
                    let mut steps = way.clone();
                    steps.push((last.clone(), now));
                    met.insert(walk(&world, &device, submission, steps).await);
                }
            }
        }
    }
    assert_eq!(met.len(), 8, "statuses met: {met:?}");
}

/// Takes a command along `steps`, all in one group, and compares it with the model after each.
async fn walk(
    world: &World,
    device: &downlink_store::Device,
    submission: Submission,
    steps: Vec<(Input, u32)>,
) -> Status {
    let mut model = Model::new(&submission, device);
    let id = submission.command.id;
    if let Some(offer) = submission.offer {
        model
            .apply(Input::Send(offer), submission.command.created_at)
            .unwrap();
    }
    let created = world.create(submission).await;
    assert_eq!(created.record, model.expected);
    let changes = steps
        .iter()
        .map(|(input, secs)| change(id, input.clone(), at(*secs)))
        .collect();
    let changed = world.store.apply(changes).await.unwrap();
    for ((input, secs), Changed { outcome, next }) in steps.into_iter().zip(changed) {
        let context = format!("{:?} takes {input:?} after {secs} s", model.progress);
        let before = model.expected.status;
        let wanted = model.apply(input, at(secs));
        assert!(next.is_none(), "{context}");
        let outcome = outcome.unwrap_or_else(|| panic!("{context}: gone"));
        assert_eq!(outcome.as_ref().err().copied(), wanted.err(), "{context}");
        if let Ok(applied) = outcome {
            assert_eq!(
                (applied.command, applied.device, applied.from),
                (id, device.key, before),
                "{context}"
            );
            assert_eq!(applied.status, model.expected.status, "{context}");
            assert_eq!(usize::from(applied.seq), model.expected.events.len(), "{context}");
            assert_eq!(
                applied.deadline,
                deadline(&model.progress, &policy()),
                "{context}"
            );
        }
    }
    assert_eq!(world.record(id).await, model.expected);
    model.expected.status
}

/// For each transition: many ask for it at once, one gets it, and the record says it once.
pub(crate) async fn of_rivals_one_wins(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    for way in ways() {
        let mut model = Model::new(&world.cached(&device, T0), &device);
        for (input, secs) in &way {
            model.apply(input.clone(), at(*secs)).unwrap();
        }
        for input in inputs() {
            let now = 5_000;
            if model.clone().apply(input.clone(), at(now)).is_err() {
                continue;
            }
            let mut submission = world.cached(&device, T0);
            submission.queue_limit = u32::MAX;
            let id = world.create(submission).await.record.id;
            for (input, secs) in &way {
                world.must(id, input.clone(), at(*secs)).await;
            }
            let before = world.record(id).await.events.len();
            let rivals = (0..8).map(|_| {
                let (store, change) = (world.store.clone(), change(id, input.clone(), at(now)));
                tokio::spawn(async move { store.apply(vec![change]).await.unwrap().remove(0).outcome })
            });
            let mut won = 0;
            for rival in rivals.collect::<Vec<_>>() {
                won += usize::from(matches!(rival.await.unwrap(), Some(Ok(_))));
            }
            let mut model = model.clone();
            let mut wanted = 0;
            while wanted < 8 && model.apply(input.clone(), at(now)).is_ok() {
                wanted += 1;
            }
            assert_eq!(won, wanted, "{input:?} after {way:?}");
            let gained = world.record(id).await.events.len() - before;
            assert_eq!(
                gained,
                model.expected.events.len() - before,
                "{input:?} after {way:?}"
            );
        }
    }
}

/// Many tasks throw everything at a few commands. What was taken, in the order of `seq`, is the record.
pub(crate) async fn the_history_is_exact_under_concurrency(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    for _ in 0..20 {
        let id = world.pending(&device, T0).await;
        let tasks = inputs()
            .into_iter()
            .flat_map(|input| [input.clone(), input])
            .map(|input| {
                let (store, change) = (world.store.clone(), change(id, input, at(10)));
                tokio::spawn(async move { store.apply(vec![change]).await.unwrap().remove(0).outcome })
            });
        let mut ends = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            if let Some(Ok(applied)) = task.await.unwrap() {
                ends.push((applied.seq, applied.status));
            }
        }
        ends.sort_unstable();
        let record = world.record(id).await;
        for (seq, status) in &ends {
            assert_eq!(
                record.events[usize::from(*seq) - 1].status,
                *status,
                "{ends:?} {record:?}"
            );
        }
        assert_eq!(
            ends.last().map(|(seq, _)| usize::from(*seq)),
            Some(record.events.len())
        );
        assert_eq!(record.status, record.events.last().unwrap().status);
    }
}

pub(crate) async fn a_late_result_amends_once(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let id = world
        .create(world.immediate(&device, T0, offer(1)))
        .await
        .record
        .id;
    let timeout = world.must(id, Input::AckDeadline, at(30)).await;
    assert_eq!(timeout.status, Status::Timeout);
    world.told(id, timeout.seq).await;
    let late = world.must(id, ok_reply(), at(3_000)).await;
    assert_eq!((late.from, late.status), (Status::Timeout, Status::Successful));
    let push = late.push.unwrap();
    assert_eq!(push.events.len(), 1);
    assert_eq!(push.events[0].result.as_deref(), Some("{\"r\":1}"));
    assert!(world.refusal(id, bad_reply(), at(3_001)).await.is_some());
    let record = world.record(id).await;
    assert_eq!(record.executed_at, Some(at(3_000)));
    assert_eq!(record.result.as_deref(), Some("{\"r\":1}"));
    world.told(id, late.seq).await;
    assert_eq!(world.record(id).await, record);
}

pub(crate) async fn a_result_after_the_window_changes_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let id = world
        .create(world.immediate(&device, T0, offer(1)))
        .await
        .record
        .id;
    world.must(id, Input::AckDeadline, at(30)).await;
    let record = world.record(id).await;
    let end = at(30) + policy().late_window;
    assert!(
        world
            .refusal(id, ok_reply(), end + Span::from_millis(1))
            .await
            .is_some()
    );
    assert_eq!(world.record(id).await, record);
}

pub(crate) async fn a_refused_member_does_not_disturb_its_neighbours(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let (a, b) = (world.pending(&device, T0).await, world.pending(&device, T0).await);
    let strange = world.mint(T0);
    let changes = vec![
        change(a, Input::Acked, at(1)),
        change(strange, Input::Acked, at(1)),
        change(b, Input::Cancel("x".into()), at(1)),
        change(b, Input::Cancel("x".into()), at(1)),
    ];
    let changed = world.store.apply(changes).await.unwrap();
    let taken: Vec<Option<bool>> = changed
        .iter()
        .map(|changed| changed.outcome.as_ref().map(Result::is_ok))
        .collect();
    assert_eq!(taken[..3], [Some(false), None, Some(true)]);
    assert_ne!(taken[3], Some(true));
    assert_eq!(world.statuses(a).await, [Status::Pending]);
    assert_eq!(world.statuses(b).await, [Status::Pending, Status::Canceled]);
}

pub(crate) async fn a_change_by_an_application_shows_the_record_as_it_leaves_it(stores: Stores) {
    use downlink_store::{Change, Target};
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let stranger = new_app(&*world.store, "stranger").await;
    let cancel = |app, command| {
        let change = Change {
            target: Target::OfApp(app, command),
            input: Input::Cancel("by hand".into()),
            now: at(5),
            then_send: None,
        };
        world.store.apply_and_load(app, change)
    };
    for told in [false, true] {
        let id = world.pending(&device, T0).await;
        let (changed, record) = cancel(stranger.key, id).await.unwrap();
        assert!(changed.outcome.is_none() && record.is_none(), "of another");
        let (changed, record) = cancel(world.app.key, id).await.unwrap();
        let (applied, record) = (changed.outcome.unwrap().unwrap(), record.unwrap());
        assert_eq!(
            (applied.status, record.status, record.events.len()),
            (Status::Canceled, Status::Canceled, 2)
        );
        let loaded = world.store.load(world.app.key, id).await.unwrap().unwrap();
        assert_eq!(
            format!("{record:?}"),
            format!("{loaded:?}"),
            "as one that is read"
        );
        if told {
            world.told(id, applied.seq).await;
        }
        // Once more: refused, or over.
        let (changed, again) = cancel(world.app.key, id).await.unwrap();
        assert!(!matches!(changed.outcome, Some(Ok(_))), "{changed:?}");
        assert!(again.is_none());
    }
}

pub(crate) async fn a_target_must_fit(stores: Stores) {
    use downlink_store::{Change, Target};
    let world = World::new(stores.open()).await;
    let (mine, other) = (world.device("a").await, world.device("b").await);
    let stranger = new_app(&*world.store, "stranger").await;
    let id = world.pending(&mine, T0).await;
    let cancel = |target| Change {
        target,
        input: Input::Cancel("x".into()),
        now: at(1),
        then_send: None,
    };
    for target in [Target::OfDevice(other.key, id), Target::OfApp(stranger.key, id)] {
        assert!(world.apply(cancel(target)).await.outcome.is_none(), "{target:?}");
    }
    assert!(world.store.load(stranger.key, id).await.unwrap().is_none());
    assert!(matches!(
        world
            .apply(cancel(Target::OfApp(world.app.key, id)))
            .await
            .outcome,
        Some(Ok(_))
    ));
    let id = world.pending(&mine, T0).await;
    assert!(matches!(
        world.apply(cancel(Target::OfDevice(mine.key, id))).await.outcome,
        Some(Ok(_))
    ));
}

/// Whatever shares a transaction, the records are those of one change at a time.
pub(crate) async fn grouping_changes_nothing(stores: Stores) {
    let mut dice = Dice::new();
    for _ in 0..15 {
        let rounds = script(&mut dice);
        let grouped = play(World::new(stores.open()).await, &rounds, true).await;
        let single = play(World::new(stores.open()).await, &rounds, false).await;
        assert_eq!(grouped, single);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Create {
        device: usize,
        offer: Option<Offer>,
        immediate: bool,
    },
    Apply(Vec<(usize, Input, bool)>),
    SendNext {
        device: usize,
        offer: Offer,
    },
    Told {
        command: usize,
        seq: u16,
    },
}

const DEVICES: usize = 3;

fn script(dice: &mut Dice) -> Vec<Vec<Act>> {
    let offers = [offer(1), offer(2), mid_offer(2), result_only(3), mid_offer(4)];
    let mut created = 0;
    let mut act = |dice: &mut Dice| match dice.roll(8) {
        0 | 1 => {
            created += 1;
            let offer = Some(dice.pick(&offers)).filter(|_| dice.roll(2) == 0);
            Act::Create {
                device: dice.roll(DEVICES),
                offer,
                immediate: dice.roll(4) == 0,
            }
        }
        2..=4 => {
            let changes = 1 + dice.roll(4);
            let changes =
                (0..changes).map(|_| (dice.roll(created + 1), dice.pick(&inputs()), dice.roll(2) == 0));
            Act::Apply(changes.collect())
        }
        5 => Act::SendNext {
            device: dice.roll(DEVICES),
            offer: dice.pick(&offers),
        },
        _ => Act::Told {
            command: dice.roll(created + 1),
            seq: dice.roll(6) as u16,
        },
    };
    (0..6).map(|_| (0..20).map(|_| act(dice)).collect()).collect()
}

/// Plays the script; gives the answers and the records as text.
async fn play(world: World, rounds: &[Vec<Act>], grouped: bool) -> Vec<String> {
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        devices.push(world.device(&format!("{n}")).await);
    }
    let (mut ids, mut said) = (Vec::new(), Vec::new());
    for (round, acts) in rounds.iter().enumerate() {
        let now = at(round as u32 * 45);
        let asked: Vec<Boxed<String>> = acts
            .iter()
            .map(|act| ask(&world, &devices, &mut ids, act.clone(), now))
            .collect();
        if grouped {
            said.extend(all_at_once(asked).await);
        } else {
            for ask in asked {
                said.push(ask.await);
            }
        }
    }
    for id in ids {
        said.push(format!(
            "{:?}",
            world.store.load(world.app.key, id).await.unwrap()
        ));
        said.push(format!("{:?}", world.store.load_push(id).await.unwrap()));
    }
    for device in devices {
        said.push(format!("{:?}", world.store.queue(device.key, 100).await.unwrap()));
    }
    said.push(format!("{:?}", world.store.count_open().await.unwrap()));
    said
}

fn ask(
    world: &World,
    devices: &[downlink_store::Device],
    ids: &mut Vec<downlink_core::CommandId>,
    act: Act,
    now: downlink_core::Timestamp,
) -> Boxed<String> {
    let store = world.store.clone();
    let absent = downlink_core::CommandId::from_parts(1, 1, 1, 1);
    match act {
        Act::Create {
            device,
            offer,
            immediate,
        } => {
            let mut submission = world.cached(&devices[device], now);
            submission.offer = offer;
            submission.queue_limit = 4;
            if immediate {
                submission.command.mode = Mode::Immediate;
            }
            ids.push(submission.command.id);
            Box::pin(async move { format!("{:?}", store.create(submission).await.unwrap()) })
        }
        Act::Apply(changes) => {
            let changes = changes.into_iter().map(|(command, input, next)| {
                let mut change = change(ids.get(command).copied().unwrap_or(absent), input, now);
                change.then_send = Some(mid_offer(9)).filter(|_| next);
                change
            });
            let changes = changes.collect();
            Box::pin(async move { said_of(store.apply(changes).await.unwrap()) })
        }
        Act::SendNext { device, offer } => {
            let device = devices[device].key;
            Box::pin(async move { format!("{:?}", store.send_next(device, offer, now).await.unwrap()) })
        }
        Act::Told { command, seq } => {
            let command = ids.get(command).copied().unwrap_or(absent);
            let told = vec![downlink_store::Told { command, seq }];
            Box::pin(async move { format!("{:?}", store.told(told).await.unwrap()) })
        }
    }
}

/// A command that is over may be refused an input, or be found no more: the same to the caller.
fn said_of(changed: Vec<Changed>) -> String {
    let said = changed.into_iter().map(|changed| match changed.outcome {
        Some(Ok(applied)) => format!("{applied:?} then {:?}", changed.next),
        Some(Err(_)) | None => "nothing".to_owned(),
    });
    said.collect::<Vec<_>>().join("; ")
}

/// A command without a receiver needs nobody to be told.
pub(crate) async fn without_a_receiver_nothing_is_owed(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("d").await;
    let mut submission = world.cached(&device, T0);
    submission.command.callback = None;
    submission.offer = Some(offer(1));
    let created = world.create(submission).await;
    assert!(created.applied.push.is_none());
    let id = created.record.id;
    assert_eq!(world.store.count_open().await.unwrap(), 1);
    let applied = world.must(id, ok_reply(), at(1)).await;
    assert!(applied.push.is_none());
    assert_eq!(world.store.count_open().await.unwrap(), 0);
    assert_eq!(
        world
            .apply(change(id, ok_reply(), at(2)))
            .await
            .outcome
            .map(|o| o.is_ok()),
        None
    );
    let record = world.record(id).await;
    assert_eq!(record.status, Status::Successful);
    assert_eq!(record.result.as_deref(), Some("{\"r\":1}"));
}
