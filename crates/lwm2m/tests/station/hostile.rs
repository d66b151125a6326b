//! What an open port gets: nothing panics, nothing grows, limits hold and are counted.

use crate::world::{DEVICE, REGISTER, World, bytes};
use downlink_lwm2m::{DeviceNumber, Millis, Output, Peer, Settings, Station, WorkMode};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

fn address(n: u32) -> Peer {
    let ip = Ipv4Addr::from(0x7f00_0000 + 1 + n / 50_000);
    Peer::Plain(SocketAddr::from((ip, (n % 50_000) as u16 + 1024)))
}

fn drain(station: &mut Station) -> Vec<Output> {
    std::iter::from_fn(|| station.poll()).collect()
}

#[test]
fn strangers_are_answered_at_a_bounded_rate_and_never_with_more_than_they_sent() {
    let mut station = Station::new(Settings::default(), [1; 32]);
    let ping = bytes("40 00 0001");
    for n in 0..10_000 {
        station.receive(Millis(5), address(n), &ping);
    }
    assert_eq!(drain(&mut station).len(), 500);
    assert_eq!(station.counters().answers_withheld, 9500);
    assert_eq!(station.next_wake(), None, "nothing is kept");
}

#[test]
fn a_flood_of_registrations_is_bounded_and_over_by_itself() {
    let settings = Settings {
        max_exchanges: 100,
        ..Settings::default()
    };
    let mut station = Station::new(settings, [1; 32]);
    for n in 0..1000 {
        station.receive(Millis(0), address(n), &bytes(REGISTER));
    }
    assert_eq!(drain(&mut station).len(), 100);
    assert_eq!(station.counters().dropped_exchanges, 900);
    station.tick(Millis(60_000));
    assert_eq!(station.counters().unanswered, 100);
    station.receive(Millis(60_000), address(1), &bytes(REGISTER));
    assert!(matches!(drain(&mut station)[..], [Output::Register { .. }]));
}

#[test]
fn no_more_registrations_than_there_is_room_for() {
    let settings = Settings {
        max_registrations: 2,
        ..Settings::default()
    };
    let mut station = Station::new(settings, [1; 32]);
    let mut register = |n: u32, device: i64| {
        station.receive(Millis(0), address(n), &bytes(REGISTER));
        let outputs = drain(&mut station);
        let [Output::Register { exchange, .. }] = outputs[..] else {
            panic!("{outputs:?}")
        };
        let accepted = station.accept(Millis(0), exchange, DeviceNumber(device), WorkMode::Drx);
        (accepted, drain(&mut station))
    };
    assert!(register(1, 1).0 && register(2, 2).0);
    let (accepted, outputs) = register(3, 3);
    assert!(!accepted);
    let [Output::Send { bytes, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(bytes[1], 0xa3, "5.03");
    assert!(register(4, 2).0, "one that is there may come again");
}

#[test]
fn datagrams_are_dropped_while_the_caller_takes_nothing() {
    let settings = Settings {
        max_outputs: 10,
        ..Settings::default()
    };
    let mut station = Station::new(settings, [1; 32]);
    for n in 0..50 {
        station.receive(Millis(0), address(n), &bytes(REGISTER));
    }
    assert_eq!(
        (drain(&mut station).len(), station.counters().dropped_datagrams),
        (10, 40)
    );
    station.receive(Millis(0), address(0), &[0x40; 1501]);
    assert_eq!(station.counters().dropped_datagrams, 41);
}

/// Mutations of a device's own messages: they go deeper than any bytes do.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop::sample::select(vec![
        REGISTER,
        "41 02 10 01 a1 b1 74 01 72 4d 05 65703d383631323334353637383930313235",
        "48 45 1002 TOKEN 61 02 61 2a ff 04002a0001",
        "48 45 1003 TOKEN 61 02 61 2a d1 02 08 ff 04002a000104002a000104002a000104",
        "58 84 1003 TOKEN",
        "68 44 MID TOKEN",
        "60 00 MID",
        "70 00 MID",
        "41 02 2000 b1 b2 7264 0a 61616161616161616161 45 6c743d3330",
        "41 04 2000 b1 b2 7264 0a 61616161616161616161",
    ]);
    (
        seeds,
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        0..4usize,
    )
        .prop_map(|(seed, edits, cut)| {
            // The names are replaced by the test, which knows them.
            let mut datagram = bytes(&seed.replace("TOKEN", "eeeeeeeeeeeeeeee").replace("MID", "dddd"));
            for (place, byte) in edits {
                let place = place.index(datagram.len());
                datagram[place] = byte;
            }
            datagram.truncate(datagram.len() - cut);
            datagram
        })
}

/// Puts the station's own names where a mutation left room for them.
fn named(datagram: &[u8], last_sent: &[u8]) -> Vec<u8> {
    let mut named = datagram.to_vec();
    if let (Some([0xdd, 0xdd]), Some(mid)) = (named.get(2..4), last_sent.get(2..4)) {
        named[2..4].copy_from_slice(mid);
    }
    if let (Some([0xee, .., 0xee]), Some(token)) = (named.get(4..12), last_sent.get(4..12)) {
        named[4..12].copy_from_slice(token);
    }
    named
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes, in whatever order, between writes and the passing of time: nothing panics, and each write ends once.
    #[test]
    fn nothing_that_comes_does_harm(
        steps in prop::collection::vec((mutated(), 0u8..10, 0u64..40_000), 1..60),
        seed in any::<[u8; 32]>(),
    ) {
        let mut world = World::new();
        world.station = Station::new(Settings { max_report: 64, ..Settings::default() }, seed);
        world.registered_as(WorkMode::Drx);
        let (mut last_sent, mut taken, mut ends) = (Vec::new(), 0u64, Vec::new());
        for (datagram, action, wait) in steps {
            world.station.receive(world.now, address(u32::from(action % 3)), &named(&datagram, &last_sent));
            if action < 5 && world.station.write(world.now, DEVICE, taken, vec![1; 40], None).is_ok() {
                taken += 1;
            }
            let mut outputs = world.outputs();
            if action == 9 {
                outputs.extend(world.pass(wait));
            }
            for output in outputs {
                match output {
                    Output::Send { bytes, .. } => last_sent = bytes,
                    Output::Register { exchange, .. } => {
                        world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
                    }
                    Output::Report { exchange, device, .. } => {
                        exchange.into_iter().for_each(|exchange| world.station.acknowledge(exchange));
                        world.station.report_has_more(world.now, device, action == 7);
                    }
                    Output::Written { tag, .. } => ends.push(tag),
                    Output::Awake { .. } | Output::Asleep { .. } | Output::Gone { .. } | Output::Updated { .. } => {}
                }
            }
        }
        for output in world.outputs().into_iter().chain(world.pass(10_000_000)) {
            if let Output::Written { tag, .. } = output {
                ends.push(tag);
            }
        }
        world.station.forget(DEVICE);
        for output in world.outputs() {
            if let Output::Written { tag, .. } = output {
                ends.push(tag);
            }
        }
        ends.sort_unstable();
        prop_assert_eq!(ends, (0..taken).collect::<Vec<_>>());
    }
}
