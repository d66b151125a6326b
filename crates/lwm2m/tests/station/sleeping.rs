//! When a device may be written to, by work mode.

use crate::sending::names;
use crate::world::{DEVICE, REGISTER, World, bytes, ended, hex, sent};
use downlink_lwm2m::{NotReachable, Outcome, Output, Peer, WorkMode};

const AWAKE: Output = Output::Awake { device: DEVICE };
const ASLEEP: Output = Output::Asleep { device: DEVICE };

fn last_sent(outputs: &[Output]) -> Option<&[u8]> {
    outputs.iter().rev().find_map(|output| {
        if let Output::Send { bytes, .. } = output {
            Some(&bytes[..])
        } else {
            None
        }
    })
}

#[test]
fn a_sleeping_device_hears_for_a_window_after_its_last_word() {
    let mut world = World::new();
    world.registered();
    world.pass(50_000);
    let (mid, token) = names(&world.write(1, &[1]));
    assert_eq!(
        world.receive(&format!("68 44 {mid} {token}")),
        [ended(1, Outcome::Acked)]
    );
    assert_eq!(world.pass(92_999), [], "its answer was a word too");
    assert_eq!(world.pass(1), [ASLEEP]);
    assert_eq!(
        world.station.write(world.now, DEVICE, 2, vec![1], None),
        Err(NotReachable::Asleep)
    );
}

#[test]
fn a_report_wakes_once_it_is_known_to_be_the_last() {
    let mut world = World::new();
    let token = world.registered();
    world.pass(100_000);
    for (mid, more) in [(1, true), (2, true), (3, false)] {
        let outputs = world.receive(&format!("58 45 000{mid} {token} 61 1{mid} ff 01"));
        assert!(
            matches!(outputs[..], [Output::Report { exchange: None, .. }]),
            "{outputs:?}"
        );
        assert_eq!(
            world.station.write(world.now, DEVICE, 1, vec![1], None),
            Err(NotReachable::Asleep)
        );
        world.station.report_has_more(world.now, DEVICE, more);
        assert_eq!(world.outputs(), if more { vec![] } else { vec![AWAKE] });
    }
    // While it is awake, more to come puts off what is next.
    world.receive(&format!("58 45 0004 {token} 61 14 ff 01"));
    world.station.report_has_more(world.now, DEVICE, true);
    assert_eq!(world.outputs(), [ASLEEP]);
    assert_eq!(world.pass(60_000), [AWAKE], "not for ever");
}

#[test]
fn a_write_that_times_out_says_that_the_device_sleeps() {
    let mut world = World::new();
    world.registered();
    world
        .station
        .write(world.now, DEVICE, 1, vec![1], Some(0))
        .unwrap();
    world
        .station
        .write(world.now, DEVICE, 2, vec![1], Some(0))
        .unwrap();
    sent(&world.outputs());
    let outputs = world.pass(15_000);
    assert_eq!(
        outputs,
        [ended(1, Outcome::TimedOut), ended(2, Outcome::NeverSent), ASLEEP]
    );
    assert!(world.now.0 < 93_000, "long before the window ends");
}

#[test]
fn an_observation_that_is_not_answered_is_asked_for_again_with_the_next_update() {
    let mut world = World::new();
    let outputs = world.receive(REGISTER);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [
        Output::Send { bytes: created, .. },
        Output::Send { bytes: observe, .. },
        AWAKE,
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let token = names(observe).1;
    world.station.write(world.now, DEVICE, 1, vec![1], None).unwrap();
    let outputs = world.pass(300_000);
    assert_eq!(
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Send { .. }))
            .count(),
        3
    );
    assert!(
        outputs.contains(&ended(1, Outcome::NeverSent)) && outputs.contains(&ASLEEP),
        "{outputs:?}"
    );
    let outputs = world.receive(&format!("41 02 2000 b1 b2 7264 0a {}", hex(&created[9..])));
    let observe = last_sent(&outputs);
    assert_eq!(
        names(observe.unwrap()).1,
        token,
        "with the same token: it may be in force after all"
    );
}

#[test]
fn others_are_always_awake() {
    let mut world = World::new();
    let unqueued = "41 02 1001 a1 b2 7264 44 65703d78 03 623d55";
    for mode in [WorkMode::Drx, WorkMode::Edrx { cycle_secs: 20 }] {
        let outputs = world.receive(unqueued);
        let [Output::Register { exchange, .. }] = outputs[..] else {
            panic!("{outputs:?}")
        };
        world.station.accept(world.now, exchange, DEVICE, mode);
        let outputs = world.outputs();
        let observe = last_sent(&outputs).map(names);
        let (mid, token) = observe.unwrap();
        world.receive(&format!("68 45 {mid} {token} 60"));
        assert_eq!(world.pass(3_600_000), [], "{mode:?}");
        world
            .station
            .write(world.now, DEVICE, 1, vec![1], Some(0))
            .unwrap();
        sent(&world.outputs());
        assert_eq!(
            world.pass(36_000),
            [ended(1, Outcome::TimedOut)],
            "and stays so after a timeout"
        );
    }
}

#[test]
fn a_device_that_says_it_queues_sleeps_although_it_was_said_to_hear() {
    let mut world = World::new();
    world.registered_as(WorkMode::Drx);
    assert_eq!(world.pass(93_000), [ASLEEP]);
}

#[test]
fn five_writes_go_out_in_a_window_of_ten_seconds_each_after_the_answer_to_the_one_before() {
    let mut world = World::new();
    world.registered();
    let begun = world.now;
    for tag in 1..=5 {
        let (mid, token) = names(&world.write(tag, &[tag as u8]));
        assert_eq!(world.pass(1900), []);
        assert_eq!(
            world.receive(&format!("68 44 {mid} {token}")),
            [ended(tag, Outcome::Acked)]
        );
    }
    assert!(world.now.since(begun) < 10_000);
}

#[test]
fn what_is_in_flight_goes_once_more_to_a_device_that_wakes_or_moves() {
    let mut world = World::new();
    let token = world.registered();
    world.pass(80_000);
    let write = world.write(1, &[1]);
    let outputs = world.pass(15_000);
    assert_eq!(
        outputs.last(),
        Some(&ASLEEP),
        "its window ends before the next resend"
    );
    world.pass(10_000);
    world.receive(&format!("58 45 2000 {token} 61 10 ff 01"));
    world.station.report_has_more(world.now, DEVICE, false);
    assert_eq!(
        world.outputs(),
        [
            AWAKE,
            Output::Send {
                to: crate::world::peer(),
                bytes: write.clone()
            }
        ]
    );
    world.receive(&format!("58 45 2001 {token} 61 11 ff 01"));
    world.station.report_has_more(world.now, DEVICE, false);
    assert_eq!(world.outputs(), [], "once");
    let elsewhere = Peer::Plain("127.0.0.2:5000".parse().unwrap());
    world.station.receive(
        world.now,
        elsewhere,
        &bytes(&format!("58 45 2002 {token} 61 12 ff 01")),
    );
    assert!(world.outputs().contains(&Output::Send {
        to: elsewhere,
        bytes: write.clone()
    }));
    world.station.receive(
        world.now,
        elsewhere,
        &bytes(&format!("60 00 {}", names(&write).0)),
    );
    let (mid, token) = names(&write);
    world
        .station
        .receive(world.now, elsewhere, &bytes(&format!("58 44 2003 {token}")));
    assert_eq!(
        world.outputs(),
        [ended(1, Outcome::Acked)],
        "{mid}: known by id and token at the new place"
    );
    assert_eq!(world.station.counters().stray_acks, 0);
}

#[test]
fn what_is_in_flight_goes_once_more_after_an_update_that_wakes() {
    let mut world = World::new();
    world.registered();
    let location = hex(&sent(&world.receive(REGISTER))[9..]);
    world.pass(85_000);
    let write = world.write(1, &[1]);
    assert_eq!(world.pass(9_000).last(), Some(&ASLEEP));
    let outputs = world.receive(&format!("41 02 2000 b1 b2 7264 0a {location}"));
    assert_eq!(
        outputs.last(),
        Some(&Output::Send {
            to: crate::world::peer(),
            bytes: write
        })
    );
}

#[test]
fn a_device_that_is_busy_is_left_alone_for_as_long_as_it_says_whatever_else_it_says() {
    for mode in [WorkMode::Psm, WorkMode::Edrx { cycle_secs: 10 }] {
        let mut world = World::new();
        let report = world.registered_as(mode);
        let (mid, token) = names(&world.write(1, &[1]));
        let busy = Outcome::Busy { retry_secs: 30 };
        let outputs = world.receive(&format!("68 a3 {mid} {token} d1 01 1e"));
        assert_eq!(outputs, [ASLEEP, ended(1, busy)]);
        world.receive(&format!("58 45 0001 {report} 61 11 ff 01"));
        world.station.report_has_more(world.now, DEVICE, false);
        assert_eq!(world.outputs(), [], "a report does not change that");
        assert_eq!(
            world.station.write(world.now, DEVICE, 2, vec![1], None),
            Err(NotReachable::Asleep)
        );
        assert_eq!(world.pass(29_999), []);
        assert_eq!(world.pass(1), [AWAKE]);
        world.write(2, &[1]);
    }
}

#[test]
fn a_device_that_is_busy_for_ever_is_tried_again_after_an_hour_all_the_same() {
    let mut world = World::new();
    world.registered_as(WorkMode::Edrx { cycle_secs: 10 });
    let (mid, token) = names(&world.write(1, &[1]));
    let outputs = world.receive(&format!("68 a3 {mid} {token} d4 01 ffffffff"));
    assert_eq!(
        outputs,
        [ASLEEP, ended(1, Outcome::Busy { retry_secs: u32::MAX })]
    );
    assert_eq!(world.pass(3_599_999), []);
    assert_eq!(world.pass(1), [AWAKE]);
}

#[test]
fn the_answer_to_a_report_goes_to_a_device_that_has_more_to_report() {
    let mut world = World::new();
    let token = world.registered();
    assert_eq!(world.station.counters().awake, 1);
    world.pass(100_000);
    assert_eq!(world.station.counters().awake, 0);
    world.receive(&format!("58 45 0001 {token} 61 11 ff 01"));
    world.station.report_has_more(world.now, DEVICE, true);
    let answered = world.station.answer_report(world.now, DEVICE, 9, vec![7]);
    assert_eq!(answered, Ok(()));
    let (mid, token) = names(&sent(&world.outputs()));
    assert_eq!(
        world.station.write(world.now, DEVICE, 1, vec![1], None),
        Err(NotReachable::Asleep),
        "commands still wait"
    );
    let outputs = world.receive(&format!("68 44 {mid} {token}"));
    assert_eq!(outputs, [ended(9, Outcome::Acked)]);
    world.pass(100_000);
    let asleep = world.station.answer_report(world.now, DEVICE, 9, vec![7]);
    assert_eq!(asleep, Err(NotReachable::Asleep));
}

#[test]
fn a_mode_that_changed_holds_at_once() {
    let mut world = World::new();
    world.registered_as(WorkMode::Edrx { cycle_secs: 20 });
    world.pass(1_000_000);
    world.station.set_mode(world.now, DEVICE, WorkMode::Psm);
    assert_eq!(world.outputs(), [Output::Asleep { device: DEVICE }]);
    world
        .station
        .set_mode(world.now, DEVICE, WorkMode::Edrx { cycle_secs: 5 });
    assert_eq!(world.outputs(), [Output::Awake { device: DEVICE }]);
    world.station.set_mode(world.now, DEVICE, WorkMode::Drx);
    assert_eq!(
        world.outputs(),
        [Output::Asleep { device: DEVICE }],
        "its binding says that it sleeps"
    );
}
