//! Many hellos, forged and real.

use std::net::SocketAddr;
use std::time::Duration;

use super::world::{Device, Dice, KEY, World, address, settings};
use crate::gateway::lwm2m::dtls::Settings;
use crate::gateway::lwm2m::dtls::hello::{ANSWER, FIRST_HELLO};

/// A hello that nobody will answer for, with a cookie that was never given.
fn forged(dice: &mut Dice, cookie: usize) -> Vec<u8> {
    let mut bytes = FIRST_HELLO.to_vec();
    bytes[27..59].fill_with(|| dice.below(256) as u8);
    let at = FIRST_HELLO.len() - 7;
    bytes[at] = cookie as u8;
    bytes.splice(at + 1..at + 1, (0..cookie).map(|_| dice.below(256) as u8));
    for (at, length) in [(11, 54), (15, 42), (23, 42)] {
        bytes[at..at + 2].copy_from_slice(&(length + cookie as u16).to_be_bytes());
    }
    bytes
}

#[test]
fn forged_hellos_leave_nothing_and_take_nothing() {
    let mut dice = Dice::new();
    let mut world = World::new(Settings {
        hellos_per_source: 10,
        ..settings()
    });
    let (mut live, session) = world.connect(address(1), "dev-1");
    let sizes = world.dtls.table.sizes();
    for n in 0..100_000_u32 {
        let source = [
            127,
            dice.below(256) as u8,
            dice.below(256) as u8,
            dice.below(256) as u8,
        ];
        // Every tenth from the address of the device that is in.
        let from = if n % 10 == 0 {
            live.at
        } else {
            SocketAddr::from((source, 5000 + n as u16 % 9000))
        };
        let hello = forged(&mut dice, [0, 0, 32][n as usize % 3]);
        world.put(from, &hello);
        if let Some((to, answer)) = world.sent.pop() {
            assert_eq!((to, answer.len()), (from, ANSWER));
            assert!(answer.len() < hello.len());
        }
        assert_eq!(world.dtls.table.sizes(), sizes);
    }
    let counters = world.dtls.counters();
    assert_eq!(
        (
            counters.begun,
            counters.garbage,
            counters.asked + counters.limited
        ),
        (1, 0, 100_001)
    );
    assert!(
        counters.limited > 5_000,
        "the rate of the one address: {counters:?}"
    );
    assert!(counters.asked > 80_000, "all the others: {counters:?}");
    live.say(b"still in");
    world.settle(&mut live);
    assert_eq!(
        (world.received, world.closed),
        (vec![(session, b"still in".to_vec())], vec![])
    );
}

/// A device whose hello proved the address, and that says no more.
fn half_open(world: &mut World, at: SocketAddr) -> Device {
    let mut device = Device::new(world.now, at, "dev-x", KEY);
    world.put(at, &device.out().unwrap());
    let (_, ask) = world.sent.pop().unwrap();
    device.take(world.now, &ask);
    world.put(at, &device.out().unwrap());
    device
}

#[test]
fn handshakes_under_way_are_bounded_per_source_and_altogether_and_end() {
    let mut world = World::new(Settings {
        max_handshakes: 25,
        ..settings()
    });
    for port in 1..=20 {
        half_open(&mut world, SocketAddr::from(([127, 0, 0, 1], port)));
    }
    assert_eq!((world.dtls.handshakes(), world.dtls.counters().limited), (10, 10));
    // The same address again does not count twice.
    half_open(&mut world, SocketAddr::from(([127, 0, 0, 1], 1)));
    assert_eq!((world.dtls.handshakes(), world.dtls.counters().limited), (10, 10));
    for source in 2..=20 {
        half_open(&mut world, SocketAddr::from(([127, 0, 0, source], 1)));
    }
    assert_eq!((world.dtls.handshakes(), world.dtls.counters().full), (25, 4));
    for _ in 0..60 {
        world.pass(Duration::from_secs(1));
    }
    assert_eq!((world.dtls.table.sizes(), world.dtls.next_wake()), ([0; 5], None));
    world.connect(address(1), "dev-1");
}

#[test]
fn a_hello_that_comes_again_is_the_same_handshake() {
    let mut world = World::new(settings());
    let mut device = Device::new(world.now, address(1), "dev-1", KEY);
    world.put(device.at, &device.out().unwrap());
    let (_, ask) = world.sent.pop().unwrap();
    device.take(world.now, &ask);
    let hello = device.out().unwrap();
    for _ in 0..50 {
        world.put(device.at, &hello);
    }
    assert_eq!((world.dtls.counters().begun, world.dtls.handshakes()), (1, 1));
    assert!(
        world.sent.len() <= 2,
        "the flight, and once again at most: {}",
        world.sent.len()
    );
    world.settle(&mut device);
    assert!(device.connected);
    // Late, it begins one that ends by itself; from elsewhere it proves nothing.
    world.put(device.at, &hello);
    world.put(address(2), &hello);
    assert_eq!(
        (
            world.dtls.counters().begun,
            world.dtls.handshakes(),
            world.dtls.sessions()
        ),
        (2, 1, 1)
    );
    world.pass(Duration::from_secs(60));
    assert_eq!(
        (world.dtls.handshakes(), world.dtls.sessions(), world.closed.len()),
        (0, 1, 0)
    );
}

/// Handshakes cut, changed and mixed at random: nothing panics, nothing stays.
#[test]
fn broken_handshakes_leave_nothing() {
    let mut dice = Dice::new();
    let mut world = World::new(settings());
    for round in 0..3_000 {
        let mut device = Device::new(world.now, address(round % 200), "dev-1", KEY);
        while let Some(bytes) = device.out() {
            let mut broken = bytes.clone();
            for _ in 0..dice.below(4) {
                let at = dice.below(broken.len() as u64) as usize;
                broken[at] = dice.below(256) as u8;
            }
            broken.truncate(broken.len() - dice.below(2) as usize * dice.below(broken.len() as u64) as usize);
            world.put(device.at, &broken);
            if dice.below(4) != 0 {
                world.put(device.at, &bytes);
            }
            for (_, bytes) in std::mem::take(&mut world.sent) {
                device.take(world.now, &bytes);
            }
        }
        world.pass(Duration::from_secs(1));
    }
    world.pass(Duration::from_secs(60));
    world.pass(Duration::from_secs(4000));
    assert_eq!(world.dtls.table.sizes(), [0; 5]);
    assert!(world.opened.len() > 100, "some got in: {}", world.opened.len());
    assert_eq!(world.opened.len(), world.closed.len());
}
