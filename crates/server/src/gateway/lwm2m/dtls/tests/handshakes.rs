//! Handshakes, good and bad.

use std::time::Duration;

use super::world::{Device, Dice, KEY, World, address, settings};
use crate::gateway::lwm2m::dtls::Why;
use crate::gateway::lwm2m::dtls::hello::{ANSWER, FIRST_HELLO};

#[test]
fn a_device_with_its_key_gets_in_and_both_talk() {
    let mut world = World::new(settings());
    let (mut device, session) = world.connect(address(1), "dev-1");
    device.say(b"hello");
    world.settle(&mut device);
    assert_eq!(world.received, [(session, b"hello".to_vec())]);
    assert!(world.send(session, b"do this"));
    world.settle(&mut device);
    assert_eq!(device.received, [b"do this".to_vec()]);
    let counters = world.dtls.counters();
    assert_eq!(
        (
            counters.asked,
            counters.begun,
            counters.completed,
            counters.failed
        ),
        (1, 1, 1, 0)
    );
    assert_eq!((world.dtls.sessions(), world.dtls.handshakes()), (1, 0));
}

#[test]
fn the_answer_to_a_first_hello_is_shorter_and_leaves_nothing() {
    let mut world = World::new(settings());
    let mut device = Device::new(world.now, address(1), "dev-1", KEY);
    let hello = device.out().unwrap();
    world.put(device.at, &hello);
    let (to, answer) = world.sent.pop().unwrap();
    assert_eq!((to, answer.len()), (device.at, ANSWER));
    assert!(answer.len() <= hello.len());
    assert_eq!(world.dtls.table.sizes(), [0; 5]);
}

/// A client that asked several times numbers its records on, and has seen our numbers: ours go on from its own.
#[test]
fn the_first_record_of_the_handshake_has_the_number_of_the_hello() {
    let mut world = World::new(settings());
    let mut device = Device::new(world.now, address(1), "dev-1", KEY);
    for _ in 0..2 {
        device.out().unwrap();
        let later = device.wake;
        world.pass(later - world.now);
        device.tick(later);
    }
    world.put(device.at, &device.out().unwrap());
    let (_, ask) = world.sent.pop().unwrap();
    assert_eq!(ask[5..11], [0, 0, 0, 0, 0, 2]);
    device.take(world.now, &ask);
    let proved = device.out().unwrap();
    assert_eq!(proved[5..11], [0, 0, 0, 0, 0, 3]);
    world.put(device.at, &proved);
    assert_eq!(world.sent[0].1[5..11], [0, 0, 0, 0, 0, 3]);
    world.settle(&mut device);
    assert!(device.connected);
}

/// Lengths of what the table sends, and how it counts, when this device tries to get in.
fn attempt(identity: &str, key: &[u8]) -> (Vec<usize>, [u64; 4]) {
    let mut world = World::new(settings());
    let mut device = Device::new(world.now, address(1), identity, key);
    let mut lengths = Vec::new();
    while let Some(bytes) = device.out() {
        world.put(device.at, &bytes);
        for (_, bytes) in std::mem::take(&mut world.sent) {
            lengths.push(bytes.len());
            device.take(world.now, &bytes);
        }
    }
    assert!(!device.connected);
    assert_eq!((world.opened.len(), world.dtls.table.sizes()), (0, [0; 5]));
    let counters = world.dtls.counters();
    (
        lengths,
        [
            counters.asked,
            counters.begun,
            counters.completed,
            counters.failed,
        ],
    )
}

#[test]
fn an_unknown_identity_looks_like_a_wrong_key() {
    let wrong = attempt("dev-1", b"another key, 16b");
    let unknown = attempt("who-1", KEY);
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.1, [1, 1, 0, 1]);
}

/// A hello of our own making, with this suite, and the cookie that it is given.
fn proved(world: &mut World, suite: u8, message: u8) -> Vec<u8> {
    let mut hello = FIRST_HELLO.to_vec();
    let (tail, cookie) = (hello.len() - 3, hello.len() - 7);
    hello[tail] = suite;
    world.put(address(1), &hello);
    let (_, ask) = world.sent.pop().unwrap();
    hello[cookie] = 32;
    hello.splice(cookie + 1..cookie + 1, ask[28..].iter().copied());
    for (at, length) in [(12, 54), (16, 42), (24, 42)] {
        hello[at] = length + 32;
    }
    hello[18] = message;
    hello
}

#[test]
fn a_hello_with_nothing_to_take_is_counted_and_leaves_nothing() {
    let mut world = World::new(settings());
    // Of the two bytes of the suite the last is changed; the last suite is ours, without the extended master secret.
    for suite in [0xae, 0xa8] {
        let hello = proved(&mut world, suite, 1);
        world.put(address(1), &hello);
    }
    let broken_extensions = {
        let mut hello = proved(&mut world, 0xa8, 1);
        hello.extend_from_slice(&[0, 9, 0, 23]);
        for at in [12, 16, 24] {
            hello[at] += 4;
        }
        hello
    };
    world.put(address(1), &broken_extensions);
    let counters = world.dtls.counters();
    assert_eq!((counters.unsuitable, counters.begun, counters.garbage), (3, 0, 0));
    let first_again = proved(&mut world, 0xa8, 0);
    world.put(address(1), &first_again);
    assert_eq!(world.dtls.counters().garbage, 1);
    assert_eq!((world.dtls.table.sizes(), world.sent.len()), ([0; 5], 0));
}

#[test]
fn an_identity_too_long_is_unknown() {
    let long = format!("dev-{}", "x".repeat(300));
    assert_eq!(attempt(&long, KEY).1, [1, 1, 0, 1]);
}

#[test]
fn a_handshake_that_stops_ends() {
    let mut world = World::new(settings());
    let mut device = Device::new(world.now, address(1), "dev-1", KEY);
    for _ in 0..2 {
        world.put(device.at, &device.out().unwrap());
        let (_, answer) = world.sent.remove(0);
        device.take(world.now, &answer);
    }
    assert_eq!(world.dtls.handshakes(), 1);
    let end = world.now + Duration::from_secs(60);
    while let Some(at) = world.dtls.next_wake() {
        assert!(at > world.now && at < end);
        world.pass(at - world.now);
    }
    assert_eq!(world.dtls.table.sizes(), [0; 5]);
    assert_eq!(world.dtls.counters().timed_out, 1);
    // Each flight again a few times, and no more.
    assert!((2..=5).contains(&world.sent.len()), "{}", world.sent.len());
}

/// Every datagram may be lost, repeated or come late; all devices get in, and what they say is received once.
#[test]
fn devices_get_in_over_a_bad_network() {
    let mut dice = Dice::new();
    let mut world = World::new(settings());
    let mut devices: Vec<_> = (0..20)
        .map(|n| Device::new(world.now, address(n), &format!("dev-{n}"), KEY))
        .collect();
    let end = world.now + Duration::from_secs(600);
    let mut on_the_way = Vec::new();
    while world.now < end && world.count().len() < devices.len() {
        for (n, device) in devices.iter_mut().enumerate() {
            if device.wake <= world.now {
                // A device whose handshake took too long begins another.
                if !device.tick(world.now) {
                    *device = Device::new(world.now, device.at, &format!("dev-{n}"), KEY);
                }
            }
            while let Some(bytes) = device.out() {
                on_the_way.push((true, n, bytes));
            }
        }
        for (to, bytes) in std::mem::take(&mut world.sent) {
            let n = devices.iter().position(|device| device.at == to).unwrap();
            on_the_way.push((false, n, bytes));
        }
        for (up, n, bytes) in std::mem::take(&mut on_the_way) {
            match dice.below(10) {
                0..=2 => continue,
                3 => on_the_way.push((up, n, bytes.clone())),
                4 => {
                    on_the_way.push((up, n, bytes));
                    continue;
                }
                _ => {}
            }
            if up {
                world.put(devices[n].at, &bytes);
            } else {
                devices[n].take(world.now, &bytes);
            }
        }
        if devices.iter().all(|device| device.connected) && dice.below(5) == 0 {
            let heard = world.count();
            for device in &mut devices {
                let mut sessions = world.opened.iter().rev();
                let session = sessions.find(|(_, who)| address(who[4..].parse().unwrap()) == device.at);
                if session.is_none_or(|(session, _)| !heard.contains_key(session)) {
                    device.say(b"report");
                }
            }
        }
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.count().len(), devices.len(), "{:?}", world.dtls.counters());
    assert!(world.closed.iter().all(|(_, why)| *why == Why::Replaced));
    assert_eq!(world.dtls.sessions(), devices.len());
}
