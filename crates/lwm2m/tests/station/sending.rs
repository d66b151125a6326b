//! Writes: resends, answers of every kind, and that each ends once.

use crate::world::{DEVICE, World, bytes, ended, hex, peer, sent};
use downlink_lwm2m::{NotReachable, Outcome, Output, Peer, WorkMode};

/// Message id and token of a datagram of the station, in hex.
pub(crate) fn names(datagram: &[u8]) -> (String, String) {
    (hex(&datagram[2..4]), hex(&datagram[4..12]))
}

#[test]
fn an_unanswered_write_is_sent_again_as_documented_and_then_times_out() {
    let mut world = World::new();
    world.registered_as(WorkMode::Edrx { cycle_secs: 0 });
    let first = world.write(1, &[1]);
    let begun = world.now;
    let mut sends = Vec::new();
    let mut end = None;
    while end.is_none() {
        for output in world.pass(1) {
            if let Output::Send { bytes, .. } = output {
                assert_eq!(bytes, first, "the same message id and token");
                sends.push(world.now.since(begun));
            } else if let Output::Written { outcome, .. } = output {
                end = Some((outcome, world.now.since(begun)));
            } else {
                panic!("{output:?}");
            }
        }
    }
    let base = sends[0];
    assert!((10_000..=15_000).contains(&base), "{base}");
    assert_eq!(sends, [base, 3 * base, 7 * base]);
    assert_eq!(end, Some((Outcome::TimedOut, 15 * base)));
    assert_eq!(world.station.counters().retransmits, 3);
}

#[test]
fn resends_can_be_fewer_and_a_cycle_makes_them_later() {
    let mut world = World::new();
    world.registered_as(WorkMode::Edrx { cycle_secs: 40 });
    world
        .station
        .write(world.now, DEVICE, 1, vec![1], Some(0))
        .unwrap();
    sent(&world.outputs());
    assert_eq!(world.pass(49_999), []);
    assert_eq!(world.pass(5_001), [ended(1, Outcome::TimedOut)]);
}

#[test]
fn one_message_at_a_time_and_each_write_ends_once() {
    let mut world = World::new();
    world.registered();
    let first = world.write(1, &[1]);
    for tag in 2..=9 {
        world
            .station
            .write(world.now, DEVICE, tag, vec![tag as u8], None)
            .unwrap();
        assert_eq!(world.outputs(), [], "the first one is not answered yet");
    }
    assert_eq!(
        world.station.write(world.now, DEVICE, 10, vec![1], None),
        Err(NotReachable::Full)
    );
    let mut inflight = first;
    for tag in 1..=9 {
        let (mid, token) = names(&inflight);
        let outputs = world.receive(&format!("68 44 {mid} {token}"));
        assert_eq!(outputs[0], ended(tag, Outcome::Acked));
        assert_eq!(
            world.receive(&format!("68 44 {mid} {token}")),
            [],
            "an answer that comes again is stray"
        );
        match &outputs[1..] {
            [Output::Send { bytes, .. }] => inflight.clone_from(bytes),
            rest => assert!(rest.is_empty() && tag == 9, "{rest:?}"),
        }
    }
    assert_eq!(world.station.counters().stray_acks, 9);
}

#[test]
fn every_answer_has_its_outcome() {
    for (answer, outcome) in [
        ("68 44 M T", Outcome::Acked),
        ("68 45 M T ff 0102", Outcome::Acked),
        (
            "68 80 M T",
            Outcome::Refused(downlink_lwm2m::coap::Code::BAD_REQUEST),
        ),
        (
            "68 84 M T",
            Outcome::Refused(downlink_lwm2m::coap::Code::NOT_FOUND),
        ),
        (
            "68 a0 M T",
            Outcome::Refused(downlink_lwm2m::coap::Code::INTERNAL),
        ),
        ("68 a3 M T d1 01 1e", Outcome::Busy { retry_secs: 30 }),
        ("68 a3 M T", Outcome::Busy { retry_secs: 60 }),
        ("68 9d M T d1 01 05", Outcome::Busy { retry_secs: 5 }),
        ("70 00 M", Outcome::Reset),
        ("58 44 7777 T", Outcome::Acked),
        ("68 8d M T", Outcome::TooLarge),
    ] {
        let mut world = World::new();
        world.registered();
        let (mid, token) = names(&world.write(1, &[1]));
        let outputs = world.receive(&answer.replace('M', &mid).replace('T', &token));
        assert_eq!(outputs.last(), Some(&ended(1, outcome)), "{answer}");
        let outputs = world.pass(1_000_000);
        assert!(
            !outputs
                .iter()
                .any(|output| matches!(output, Output::Send { .. } | Output::Written { .. }))
        );
    }
}

#[test]
fn answers_of_others_count_for_nothing() {
    let mut world = World::new();
    world.registered();
    let (mid, token) = names(&world.write(1, &[1]));
    assert_eq!(
        world.receive(&format!("68 44 {mid} 0000000000000000")),
        [],
        "a wrong token"
    );
    assert_eq!(world.receive(&format!("60 44 {mid}")), [], "no token");
    assert_eq!(world.receive(&format!("68 44 ffff {token}")), [], "a wrong id");
    let stranger = Peer::Plain("127.0.0.9:1".parse().unwrap());
    for datagram in [format!("60 00 {mid}"), format!("70 00 {mid}")] {
        world.station.receive(world.now, stranger, &bytes(&datagram));
        assert_eq!(world.outputs(), [], "an id without token, from another address");
    }
    assert_eq!(world.station.counters().stray_acks, 5);
    world
        .station
        .receive(world.now, stranger, &bytes(&format!("68 44 {mid} {token}")));
    assert_eq!(
        world.outputs(),
        [ended(1, Outcome::Acked)],
        "id and token: the device, at a new address"
    );
}

#[test]
fn an_answer_may_come_by_itself_and_is_acknowledged_each_time() {
    let mut world = World::new();
    world.registered();
    let (mid, token) = names(&world.write(1, &[1]));
    assert_eq!(world.receive(&format!("60 00 {mid}")), []);
    assert_eq!(world.pass(80_000), [], "not sent again once it is acknowledged");
    let outputs = world.receive(&format!("48 44 5555 {token}"));
    let [Output::Send { bytes: ack, .. }, written] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (hex(ack), written),
        ("60005555".to_owned(), &ended(1, Outcome::Acked))
    );
    assert_eq!(
        hex(&sent(&world.receive(&format!("48 44 5555 {token}")))),
        "60005555",
        "again"
    );
}

#[test]
fn an_answer_that_was_announced_and_does_not_come_times_out() {
    let mut world = World::new();
    world.registered();
    let (mid, _) = names(&world.write(1, &[1]));
    world.receive(&format!("60 00 {mid}"));
    world.pass(100_000);
    world.receive(&format!("60 00 {mid}"));
    let outputs = world.pass(20_000);
    assert!(
        outputs.contains(&ended(1, Outcome::TimedOut)),
        "a repeated ACK does not prolong it: {outputs:?}"
    );
}

#[test]
fn a_device_that_registers_anew_gets_new_names_and_old_writes_end() {
    let mut world = World::new();
    let old = world.registered();
    world.write(1, &[1]);
    world.station.write(world.now, DEVICE, 2, vec![2], None).unwrap();
    let again = "41 02 1099 a1 b2 7264 44 65703d78";
    let outputs = world.receive(again);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [
        first,
        second,
        Output::Gone { .. },
        _,
        Output::Send { bytes: observe, .. },
        Output::Awake { .. },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (first, second),
        (&ended(1, Outcome::Interrupted), &ended(2, Outcome::NeverSent))
    );
    assert_ne!(names(observe).1, old);
    assert_eq!(
        hex(&sent(&world.receive(&format!("48 45 1100 {old} 61 02 ff 01")))),
        "70001100"
    );
    assert_eq!(world.station.counters().registrations, 1);
}

#[test]
fn a_session_that_ends_ends_what_was_sent_over_it_and_the_next_one_takes_over() {
    let mut world = World::new();
    world.station.session_opened(1, DEVICE);
    let over = |world: &mut World, session: u64, hex: &str| {
        world
            .station
            .receive(world.now, Peer::Secure(session), &bytes(hex));
        world.outputs()
    };
    let outputs = over(&mut world, 1, crate::world::REGISTER);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert!(world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm));
    let outputs = world.outputs();
    let [
        Output::Send { bytes: created, .. },
        Output::Send { bytes: observe, .. },
        _,
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let location = hex(&created[9..]);
    let (mid, token) = names(observe);
    over(&mut world, 1, &format!("68 45 {mid} {token} 60 ff 00"));
    world.station.write(world.now, DEVICE, 1, vec![1], None).unwrap();
    world.outputs();
    world.station.session_ended(world.now, 1);
    assert_eq!(
        world.outputs(),
        [ended(1, Outcome::Interrupted), Output::Asleep { device: DEVICE }]
    );
    assert_eq!(
        world.station.write(world.now, DEVICE, 2, vec![1], None),
        Err(NotReachable::Asleep)
    );

    let report = format!("58 45 2000 {token} 61 02 ff 01");
    let update = format!("41 02 2001 b1 b2 7264 0a {location}");
    assert_eq!(over(&mut world, 2, &report), [], "a session that is nobody's");
    assert_eq!(hex(&sent(&over(&mut world, 2, &update))), "61842001b1");
    assert_eq!(world.receive(&report), [], "nor from the plain port");
    assert_eq!(world.station.counters().wrong_peer, 3);
    world.station.session_opened(3, DEVICE);
    let outputs = over(&mut world, 3, &update);
    assert!(outputs.contains(&Output::Awake { device: DEVICE }), "{outputs:?}");
    world.station.write(world.now, DEVICE, 3, vec![1], None).unwrap();
    let outputs = world.outputs();
    assert!(
        matches!(
            outputs[..],
            [Output::Send {
                to: Peer::Secure(3),
                ..
            }]
        ),
        "{outputs:?}"
    );
}

#[test]
fn a_registration_over_a_session_that_ended_is_not_let_in() {
    let mut world = World::new();
    world.station.session_opened(1, DEVICE);
    world
        .station
        .receive(world.now, Peer::Secure(1), &bytes(crate::world::REGISTER));
    let outputs = world.outputs();
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world.station.session_ended(world.now, 1);
    assert!(!world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm));
    assert_eq!(world.station.counters().registrations, 0);
}

#[test]
fn a_device_that_is_forgotten_is_unknown() {
    let mut world = World::new();
    let token = world.registered();
    world.write(1, &[1]);
    world.station.forget(DEVICE);
    assert_eq!(world.outputs(), [ended(1, Outcome::Interrupted)]);
    assert_eq!(
        world.station.write(world.now, DEVICE, 2, vec![1], None),
        Err(NotReachable::Unregistered)
    );
    world.station.receive(
        world.now,
        peer(),
        &bytes(&format!("58 45 2000 {token} 61 02 ff 01")),
    );
    assert_eq!(hex(&sent(&world.outputs())), "70002000");
}
