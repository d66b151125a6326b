//! Random histories of one command: the life cycle against a second telling of it ([`model`]), and against what must
//! hold in every history. A failing run prints its seed (`PROPTEST_RNG_SEED` runs it again) and the shortest history.

#[path = "model/acts.rs"]
mod acts;
mod model;
#[path = "model/translate.rs"]
mod translate;
#[path = "model/world.rs"]
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use acts::{Act, Pause, Start, THINGS, Who};
use model::{Rules, Which};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use world::World;

/// Histories per run, unless `PROPTEST_CASES` says otherwise.
const HISTORIES: u32 = 10_000;

#[test]
fn histories_agree_with_the_model_and_keep_the_promises() {
    let seen = RefCell::new(BTreeMap::<&'static str, u32>::new());
    runner()
        .run(
            &(starts(), prop::collection::vec(any_act(), 0..40)),
            |(start, acts)| {
                let mut world = World::new(start);
                for act in acts {
                    world.act(act);
                }
                world.run_down();
                for thing in world.seen {
                    *seen.borrow_mut().entry(thing).or_default() += 1;
                }
                Ok(())
            },
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    // A random test that never gets anywhere proves nothing.
    let seen = seen.into_inner();
    println!("seen: {seen:?}");
    for thing in THINGS {
        assert!(seen.contains_key(thing), "no history with: {thing}");
    }
}

/// A device that takes every send and never answers holds its queue for `max_sends` ack deadlines and no longer.
#[test]
fn a_silent_device_is_given_up_after_the_last_ack_deadline() {
    runner()
        .run(&(1..8i64, 1..50i64), |(most_sends, ack)| {
            let rules = Rules {
                most_sends,
                ack,
                slot: 1,
                late: 1,
                grace: 1,
                up: 0,
            };
            let start = Start {
                rules,
                lifetime: Some(1_000_000),
                patience: Some(5),
                started: 0,
            };
            let mut world = World::new(start);
            while !world.is_final() {
                world.act(Act::Offer {
                    who: Who::New,
                    acks: true,
                    written: true,
                });
                world.act(Act::Fire);
            }
            prop_assert_eq!(world.status(), "TIMEOUT");
            prop_assert_eq!(world.sends(), most_sends);
            prop_assert_eq!(world.elapsed(), most_sends * ack);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[expect(clippy::print_stdout, reason = "a test's seed belongs in its output")]
fn runner() -> TestRunner {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = HISTORIES;
    }
    if config.rng_seed == RngSeed::Random {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        config.rng_seed = RngSeed::Fixed(since.as_nanos() as u64);
    }
    if let RngSeed::Fixed(seed) = config.rng_seed {
        println!("PROPTEST_RNG_SEED={seed}");
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct("tests/regressions.txt")));
    TestRunner::new(config)
}

/// Short waits, so that instants meet.
fn starts() -> impl Strategy<Value = Start> {
    let rules =
        (1..6i64, 0..30i64, 0..30i64, 0..60i64, 0..30i64).prop_map(|(most_sends, ack, slot, late, grace)| {
            Rules {
                most_sends,
                ack,
                slot,
                late,
                grace,
                up: 0,
            }
        });
    let lifetime = prop_oneof![1 => Just(None), 4 => (0..120i64).prop_map(Some)];
    let patience = prop_oneof![1 => Just(None), 3 => (0..60i64).prop_map(Some)];
    (rules, lifetime, patience, 0..9i64).prop_map(|(rules, lifetime, patience, started)| Start {
        rules,
        lifetime,
        patience,
        started,
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    let who = prop_oneof![4 => Just(Who::Current), 3 => Just(Who::New), 2 => Just(Who::Older)];
    let pause = prop_oneof![
        4 => (0..12i64).prop_map(Pause::For),
        1 => Just(Pause::ToDeadline),
        1 => Just(Pause::ToJustBeforeDeadline),
        1 => (1..40i64).prop_map(Pause::PastDeadline),
    ];
    let which = prop_oneof![
        Just(Which::Ack),
        Just(Which::Lifetime),
        Just(Which::Response),
        Just(Which::Slot)
    ];
    let offer = (who.clone(), prop::bool::weighted(0.7), prop::bool::weighted(0.7))
        .prop_map(|(who, acks, written)| Act::Offer { who, acks, written });
    let gone = (who.clone(), any::<bool>()).prop_map(|(who, otherwise)| Act::Gone { who, otherwise });
    let gives_up = (who, any::<bool>()).prop_map(|(who, otherwise)| Act::GivesUp { who, otherwise });
    prop_oneof![
        6 => offer,
        6 => pause.prop_map(Act::Wait),
        5 => Just(Act::Fire),
        4 => gone,
        2 => gives_up,
        3 => which.prop_map(Act::Clock),
        1 => Just(Act::Ack),
        1 => any::<bool>().prop_map(|ok| Act::Answer { ok }),
        1 => (0..60i64).prop_map(|down| Act::Restart { down }),
        1 => prop_oneof![1 => Just(Act::CannotSend), 2 => Just(Act::Withdraw), 5 => Just(Act::Ack)],
    ]
}
