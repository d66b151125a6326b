//! Registrations over a restart.

use crate::sending::names;
use crate::world::{DEVICE, REGISTER, World, bytes, hex, sent};
use downlink_lwm2m::{NotReachable, Output, Parting, Peer, Settings, Station, WorkMode};

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

#[test]
fn one_whose_session_is_gone_is_out_of_reach_until_it_speaks_over_another() {
    let mut world = World::new();
    world.station.session_opened(1, DEVICE);
    world
        .station
        .receive(world.now, Peer::Secure(1), &bytes(REGISTER));
    let outputs = world.outputs();
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert!(
        world
            .station
            .accept(world.now, exchange, DEVICE, WorkMode::Edrx { cycle_secs: 20 })
    );
    restarted(&mut world);
    assert_eq!(world.outputs(), []);
    assert_eq!(
        world.station.write(world.now, DEVICE, 1, vec![1], None),
        Err(NotReachable::Asleep)
    );
}
