//! Registrations over a restart.

use crate::sending::names;
use crate::world::{DEVICE, REGISTER, World, bytes, hex, sent};
use downlink_lwm2m::{DeviceNumber, NotReachable, Output, Parting, Peer, Settings, Station, WorkMode};

/// Another process: nothing but what was kept, and another seed.
fn restarted(world: &mut World) {
    let kept = world.station.registration(world.now, DEVICE).expect("registered");
    world.station = Station::new(Settings::default(), [77; 32]);
    assert!(world.station.restore(world.now, &kept));
    assert!(!world.station.restore(world.now, &kept), "once");
}

#[test]
fn a_sleeping_device_reports_updates_and_is_written_to_as_if_nothing_had_been() {
    let mut world = World::new();
    let token = world.registered();
    let location = hex(&sent(&world.receive(REGISTER))[9..]);
    world.pass(10_000_000);
    restarted(&mut world);
    assert_eq!(world.outputs(), []);
    assert_eq!(
        world.station.write(world.now, DEVICE, 1, vec![1], None),
        Err(NotReachable::Asleep)
    );
    let outputs = world.receive(&format!("58 45 2000 {token} 61 10 ff 01"));
    assert!(
        matches!(outputs[..], [Output::Report { device: DEVICE, .. }]),
        "{outputs:?}"
    );
    world.station.report_has_more(world.now, DEVICE, false);
    assert_eq!(world.outputs(), [Output::Awake { device: DEVICE }]);
    world.write(1, &[1]);
    let outputs = world.receive(&format!("41 02 2001 b1 b2 7264 0a {location}"));
    assert!(
        matches!(
            outputs[..],
            [
                Output::Updated {
                    lifetime_secs: 50_000,
                    ..
                },
                Output::Send { .. }
            ]
        ),
        "{outputs:?}"
    );
}

#[test]
fn its_lifetime_goes_on_from_where_it_was() {
    let mut world = World::new();
    world.registered();
    world.pass(40_000_000);
    restarted(&mut world);
    let gone = Output::Gone {
        device: DEVICE,
        why: Parting::LifetimeEnded,
    };
    assert_eq!(world.pass(9_999_999), []);
    assert_eq!(world.pass(1), [gone]);
}

#[test]
fn one_that_did_not_answer_the_observation_is_asked_again() {
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
        _,
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    restarted(&mut world);
    let outputs = world.receive(&format!("41 02 2001 b1 b2 7264 0a {}", hex(&created[9..])));
    let Some(Output::Send { bytes: again, .. }) = outputs.last() else {
        panic!("{outputs:?}")
    };
    assert_eq!(names(again).1, names(observe).1, "with the same token");
}

/// A device that registered over session 1, and its location and token.
fn registered_over_dtls() -> (World, String, String) {
    let mut world = World::new();
    world.station.session_opened(1, DEVICE);
    let outputs = over(&mut world, 1, REGISTER);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    let mode = WorkMode::Edrx { cycle_secs: 20 };
    assert!(world.station.accept(world.now, exchange, DEVICE, mode));
    let outputs = world.outputs();
    let [
        Output::Send { bytes: created, .. },
        Output::Send { bytes: observe, .. },
        _,
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let token = hex(&observe[4..12]);
    (world, hex(&created[9..]), token)
}

fn over(world: &mut World, session: u64, hex: &str) -> Vec<Output> {
    world
        .station
        .receive(world.now, Peer::Secure(session), &bytes(hex));
    world.outputs()
}

fn code(outputs: &[Output]) -> u8 {
    let Some(Output::Send { bytes, .. }) = outputs
        .iter()
        .find(|output| matches!(output, Output::Send { .. }))
    else {
        panic!("nothing sent: {outputs:?}")
    };
    bytes[1]
}

#[test]
fn one_whose_session_is_gone_is_out_of_reach_until_it_speaks_over_another() {
    let (mut world, location, _) = registered_over_dtls();
    restarted(&mut world);
    assert_eq!(world.outputs(), []);
    assert_eq!(
        world.station.write(world.now, DEVICE, 1, vec![1], None),
        Err(NotReachable::Asleep)
    );
    world.station.session_opened(1, DEVICE);
    let outputs = over(&mut world, 1, &format!("41 02 2001 b1 b2 7264 0a {location}"));
    assert_eq!(code(&outputs), 0x44, "2.04");
    assert!(outputs.contains(&Output::Awake { device: DEVICE }), "{outputs:?}");
    world
        .station
        .write(world.now, DEVICE, 1, vec![1], None)
        .expect("awake");
}

#[test]
fn nobody_else_takes_over_what_was_registered_over_dtls() {
    let (mut world, location, token) = registered_over_dtls();
    restarted(&mut world);
    let update = format!("41 02 2001 b1 b2 7264 0a {location}");
    let leave = format!("41 04 2002 b1 b2 7264 0a {location}");
    let report = format!("58 45 2003 {token} 61 10 ff 01");
    // Sessions are counted anew: the number that was the device's may be another's now.
    world.station.session_opened(1, DeviceNumber(8));
    for message in [&update, &leave] {
        assert_eq!(code(&world.receive(message)), 0x84, "4.04 in clear");
        assert_eq!(code(&over(&mut world, 1, message)), 0x84, "4.04 to another");
    }
    assert_eq!(world.receive(&report), []);
    assert_eq!(over(&mut world, 1, &report), []);
    assert!(world.station.registration(world.now, DEVICE).is_some());
}

/// A registration of the device in clear, which the caller lets in.
fn accept_in_clear(world: &mut World) -> (bool, u8) {
    let outputs = world.receive(REGISTER);
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    let accepted = world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    (accepted, code(&world.outputs()))
}

#[test]
fn what_was_registered_over_dtls_gives_way_to_nothing_in_clear() {
    let (mut world, location, _) = registered_over_dtls();
    assert_eq!(accept_in_clear(&mut world), (false, 0x83), "4.03");
    restarted(&mut world);
    assert_eq!(accept_in_clear(&mut world), (false, 0x83), "nor after a restart");
    assert_eq!(world.outputs(), []);
    world.station.session_opened(2, DEVICE);
    let outputs = over(&mut world, 2, &format!("41 02 2001 b1 b2 7264 0a {location}"));
    assert_eq!(code(&outputs), 0x44, "the old registration holds");
    over(&mut world, 2, &format!("41 04 2002 b1 b2 7264 0a {location}"));
    assert_eq!(accept_in_clear(&mut world), (true, 0x41), "once it has left");
}

#[test]
fn what_has_to_be_kept_anew_is_told_from_what_has_not() {
    let mut world = World::new();
    let token = world.registered_as(WorkMode::Edrx { cycle_secs: 20 });
    let before = world.station.registration(world.now, DEVICE).expect("registered");
    world.pass(1000);
    let later = world.station.registration(world.now, DEVICE).expect("registered");
    assert!(
        before != later && before.essence() == later.essence(),
        "only time passed"
    );
    let elsewhere = Peer::Plain("127.0.0.2:40001".parse().expect("an address"));
    let report = bytes(&format!("58 45 2000 {token} 61 10 ff 01"));
    world.station.receive(world.now, elsewhere, &report);
    let moved = world.station.registration(world.now, DEVICE).expect("registered");
    assert_ne!(before.essence(), moved.essence(), "it is sent to at its address");
    let asleep = |mut one: downlink_lwm2m::Registration| {
        one.mode = WorkMode::Psm;
        one
    };
    assert_eq!(
        asleep(before).essence(),
        asleep(moved).essence(),
        "it speaks first"
    );
    let mut secure = asleep(moved);
    secure.address = None;
    assert_ne!(asleep(moved).essence(), secure.essence());
}
