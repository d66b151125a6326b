//! Open sessions: what ends them, and what does not.

use std::time::Duration;

use super::world::{Device, Dice, KEY, World, address, settings};
use crate::gateway::lwm2m::dtls::{Settings, Why};

#[test]
fn a_device_that_started_again_replaces_its_session_when_it_is_in() {
    let mut world = World::new(settings());
    let (mut old, first) = world.connect(address(1), "dev-1");
    let mut new = Device::new(world.now, address(1), "dev-1", KEY);
    // Up to the last flight of the device.
    for _ in 0..2 {
        world.put(new.at, &new.out().unwrap());
        let (_, answer) = world.sent.remove(0);
        new.take(world.now, &answer);
    }
    old.say(b"still here");
    world.put(old.at, &old.out().unwrap());
    assert_eq!(world.received, [(first, b"still here".to_vec())]);
    assert_eq!((world.dtls.sessions(), world.dtls.handshakes()), (1, 1));

    world.settle(&mut new);
    let (second, _) = world.opened[1];
    assert_ne!(first, second);
    assert_eq!(world.closed, [(first, Why::Replaced)]);
    assert!(!world.send(first, b"late") && world.send(second, b"now"));
    world.settle(&mut new);
    assert_eq!(new.received, [b"now".to_vec()]);
    assert_eq!(world.dtls.table.sizes(), [1, 1, 0, 0, 1]);
}

#[test]
fn a_handshake_without_the_key_does_not_touch_the_session_of_its_address() {
    let mut world = World::new(settings());
    let (mut device, session) = world.connect(address(1), "dev-1");
    let mut thief = Device::new(world.now, address(1), "dev-1", b"not the key 1234");
    world.settle(&mut thief);
    assert!(!thief.connected);
    device.say(b"report");
    world.settle(&mut device);
    assert_eq!(
        (world.received, world.closed),
        (vec![(session, b"report".to_vec())], vec![])
    );
}

#[test]
fn repeated_and_forged_records_are_dropped_and_counted() {
    let mut world = World::new(settings());
    let (mut device, session) = world.connect(address(1), "dev-1");
    device.say(b"once");
    let record = device.out().unwrap();
    let sizes = world.dtls.table.sizes();
    for _ in 0..100 {
        world.put(device.at, &record);
    }
    assert_eq!(world.received, [(session, b"once".to_vec())]);
    assert_eq!(world.dtls.counters().ignored, 99);

    let mut dice = Dice::new();
    for _ in 0..20_000 {
        device.say(b"forged");
        let mut record = device.out().unwrap();
        for _ in 0..=dice.below(3) {
            let at = dice.below(record.len() as u64) as usize;
            record[at] = dice.below(256) as u8;
        }
        record.truncate(record.len() - dice.below(2) as usize * dice.below(20) as usize);
        world.put(device.at, &record);
    }
    // What was not changed by chance is received; no other sentence is.
    assert!(world.received.iter().skip(1).all(|(_, bytes)| bytes == b"forged"));
    assert_eq!((world.dtls.table.sizes(), world.sent.len()), (sizes, 0));
    device.say(b"and on");
    world.settle(&mut device);
    assert_eq!(world.received.last().unwrap().1, b"and on");
}

#[test]
fn what_is_in_the_clear_ends_no_session() {
    let mut world = World::new(settings());
    let (mut device, session) = world.connect(address(1), "dev-1");
    let fatal = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    let close = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];
    let data = [23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];
    let done = [
        22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 12, 14, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0,
    ];
    let switch = [20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1];
    for forged in [&fatal[..], &close, &data, &done, &switch].repeat(50) {
        world.put(device.at, forged);
    }
    assert_eq!(
        (world.closed.len(), world.received.len(), world.sent.len()),
        (0, 0, 0)
    );
    assert_eq!(
        (world.dtls.counters().garbage, world.dtls.counters().ignored),
        (150, 100)
    );
    device.say(b"report");
    world.settle(&mut device);
    assert_eq!(world.received, [(session, b"report".to_vec())]);
}

#[test]
fn both_sides_can_end_a_session() {
    let mut world = World::new(settings());
    let (mut one, first) = world.connect(address(1), "dev-1");
    let (mut two, second) = world.connect(address(2), "dev-2");
    one.hang_up();
    world.settle(&mut one);
    world.close(second);
    world.close(second);
    world.settle(&mut two);
    assert!(two.told_bye);
    assert_eq!(world.closed, [(first, Why::ByPeer), (second, Why::Asked)]);
    assert_eq!((world.dtls.table.sizes(), world.dtls.next_wake()), ([0; 5], None));
}

#[test]
fn a_silent_session_is_closed_in_time_and_one_that_is_heard_is_not() {
    let mut world = World::new(settings());
    let (_, silent) = world.connect(address(1), "dev-1");
    let (mut loud, session) = world.connect(address(2), "dev-2");
    world.pass(Duration::from_secs(3599));
    loud.say(b"report");
    world.settle(&mut loud);
    assert_eq!(world.closed, []);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed, [(silent, Why::Idle)]);
    // What we send does not count: it says nothing of the device.
    world.send(session, b"there?");
    let due = world.dtls.next_wake().unwrap();
    assert_eq!(due, world.now + Duration::from_secs(3599));
    world.pass(Duration::from_secs(3599));
    assert_eq!(world.closed, [(silent, Why::Idle), (session, Why::Idle)]);
}

#[test]
fn a_full_table_gives_up_the_longest_silent_session_and_only_to_a_complete_handshake() {
    let mut world = World::new(Settings {
        max_sessions: 3,
        ..settings()
    });
    let (mut one, first) = world.connect(address(1), "dev-1");
    let (_, second) = world.connect(address(2), "dev-2");
    world.connect(address(3), "dev-3");
    let mut four = Device::new(world.now, address(4), "dev-4", KEY);
    world.settle(&mut four);
    assert!(!four.connected, "all were heard a moment ago");
    assert_eq!((world.dtls.counters().full, world.closed.len()), (1, 0));

    world.pass(Duration::from_secs(59));
    one.say(b"report");
    world.settle(&mut one);
    world.pass(Duration::from_secs(1));
    let mut thief = Device::new(world.now, address(5), "dev-5", b"not the key 1234");
    world.settle(&mut thief);
    assert_eq!(world.closed, []);
    world.connect(address(6), "dev-6");
    assert_eq!(world.closed, [(second, Why::Displaced)]);
    assert_eq!(world.dtls.sessions(), 3);
    // A device that starts again needs no other place.
    world.connect(address(1), "dev-1");
    assert_eq!(world.closed, [(second, Why::Displaced), (first, Why::Replaced)]);
}
