//! Reports: confirmable or not, repeated, overtaken, refused, and how many may wait.

use crate::world::{DEVICE, REGISTER, World, hex, sent};
use downlink_lwm2m::{ExchangeId, Output, Refusal, Reordered, Settings, Station, WorkMode};

fn exchange(outputs: &[Output]) -> ExchangeId {
    let [
        Output::Report {
            exchange: Some(exchange),
            ..
        },
    ] = outputs
    else {
        panic!("{outputs:?}")
    };
    *exchange
}

#[test]
fn a_report_that_could_not_be_committed_is_taken_when_it_comes_again() {
    let mut world = World::new();
    let token = world.registered();
    let report = format!("48 45 3000 {token} 61 05 ff 01");
    let refused = exchange(&world.receive(&report));
    world.station.refuse(refused, Refusal::Internal);
    assert_eq!(world.outputs(), [], "no acknowledgement");
    let unanswered = exchange(&world.receive(&report));
    world.pass(60_000);
    let taken = exchange(&world.receive(&report));
    assert_eq!(world.station.counters().unanswered, 1);
    for late in [refused, unanswered] {
        world.station.acknowledge(late);
        assert_eq!(world.outputs(), [], "an answer that comes too late is none");
    }
    world.station.acknowledge(taken);
    assert_eq!(hex(&sent(&world.outputs())), "60003000");
}

#[test]
fn what_was_overtaken_is_dropped_and_acknowledged_unless_reports_are_events() {
    for (reordered, taken) in [(Reordered::Drop, 0), (Reordered::Deliver, 1)] {
        let mut world = World::new();
        world.station = Station::new(
            Settings {
                reordered,
                ..Settings::default()
            },
            [1; 32],
        );
        let token = world.registered();
        world.receive(&format!("58 45 3000 {token} 61 05 ff 05"));
        let late = world.receive(&format!("48 45 3001 {token} 61 04 ff 04"));
        assert_eq!(
            late.iter()
                .filter(|output| matches!(output, Output::Report { .. }))
                .count(),
            taken
        );
        if taken == 0 {
            assert_eq!(hex(&sent(&late)), "60003001");
        }
        world.pass(128_001);
        let outputs = world.receive(&format!("58 45 3002 {token} 61 01 ff 01"));
        assert!(
            matches!(outputs[..], [Output::Report { .. }]),
            "after 128 s any number is new"
        );
    }
}

#[test]
fn a_device_that_counts_from_the_start_again_is_not_taken_for_its_own_repeat() {
    let mut world = World::new();
    let token = world.registered();
    for payload in ["01", "02"] {
        let outputs = world.receive(&format!("58 45 0001 {token} 60 ff {payload}").replace(" 60 ff", " ff"));
        assert!(matches!(outputs[..], [Output::Report { .. }]), "{outputs:?}");
    }
    assert_eq!(world.receive(&format!("58 45 0001 {token} ff 02")), []);
    assert_eq!(world.station.counters().duplicates, 1);
}

#[test]
fn so_many_reports_of_one_device_may_wait_and_the_next_is_not_acknowledged() {
    let mut world = World::new();
    let token = world.registered();
    let first: Vec<ExchangeId> = (0..8)
        .map(|n| exchange(&world.receive(&format!("48 45 400{n} {token} 61 1{n} ff 01"))))
        .collect();
    assert_eq!(world.receive(&format!("48 45 4008 {token} 61 18 ff 01")), []);
    assert_eq!(world.station.counters().dropped_exchanges, 1);
    world.station.acknowledge(first[0]);
    world.outputs();
    exchange(&world.receive(&format!("48 45 4008 {token} 61 18 ff 01")));
}

#[test]
fn an_observation_that_is_refused_or_ended_is_counted_and_the_device_can_be_written_to() {
    let mut world = World::new();
    let outputs = world.receive(REGISTER);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [_, Output::Send { bytes: observe, .. }, _] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
    world.receive(&format!("68 84 {mid} {token}"));
    world.write(1, &[1]);
    assert_eq!(
        hex(&sent(&world.receive(&format!("48 84 5000 {token}")))),
        "60005000"
    );
    assert_eq!(world.station.counters().observe_refused, 2);
}

#[test]
fn a_report_before_the_answer_to_the_observation_is_a_report() {
    let mut world = World::new();
    let outputs = world.receive(REGISTER);
    let [Output::Register { exchange: id, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.accept(world.now, id, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [_, Output::Send { bytes: observe, .. }, _] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
    exchange(&world.receive(&format!("48 45 5000 {token} 61 02 ff 01")));
    assert!(world.pass(50_000).is_empty(), "it is not asked again");
    let late = world.receive(&format!("68 45 {mid} {token} 61 01 ff 00"));
    assert_eq!(late, [], "its answer comes late");
}

#[test]
fn an_answer_to_the_observation_by_itself_is_no_report() {
    let mut world = World::new();
    let outputs = world.receive(REGISTER);
    let [Output::Register { exchange: id, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.accept(world.now, id, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [_, Output::Send { bytes: observe, .. }, _] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
    world.receive(&format!("60 00 {mid}"));
    assert_eq!(
        hex(&sent(&world.receive(&format!("48 45 5000 {token} 61 01 ff 00")))),
        "60005000"
    );
    exchange(&world.receive(&format!("48 45 5001 {token} 61 02 ff 01")));
}
