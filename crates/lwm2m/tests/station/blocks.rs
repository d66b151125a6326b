//! Transfers in blocks (RFC 7959), of writes and of reports.

use crate::sending::names;
use crate::world::{DEVICE, World, bytes, ended, hex, sent};
use downlink_lwm2m::coap::{Block, Message, option};
use downlink_lwm2m::{NotReachable, Outcome, Output, Settings, Station};

fn block1(datagram: &[u8]) -> (Block, Vec<u8>) {
    let message = Message::parse(datagram).unwrap();
    let block = message.block(option::BLOCK1).unwrap().expect("in blocks");
    (block, message.payload.to_vec())
}

/// Answers block after block, with `exponent` as the device's own size; the payload as the device puts it together.
fn take_blocks(world: &mut World, mut datagram: Vec<u8>, exponent: u8, tag: u64) -> (Vec<u8>, Vec<usize>) {
    let (mut body, mut sizes, mut sent_names) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let (block, part) = block1(&datagram);
        assert_eq!(block.offset(), body.len());
        body.extend(&part);
        sizes.push(part.len());
        let (mid, token) = names(&datagram);
        assert!(!sent_names.contains(&(mid.clone(), token.clone())));
        let code = if block.more { "5f" } else { "44" };
        let echo = Block {
            exponent: block.exponent.min(exponent),
            ..block
        };
        let value = echo.value();
        let value = if value > 0xff {
            format!("d2 0e {value:04x}")
        } else {
            format!("d1 0e {value:02x}")
        };
        let outputs = world.receive(&format!("68 {code} {mid} {token} {value}"));
        sent_names.push((mid, token));
        if !block.more {
            assert_eq!(outputs, [ended(tag, Outcome::Acked)]);
            return (body, sizes);
        }
        datagram = sent(&outputs);
    }
}

#[test]
fn a_payload_above_the_size_goes_in_blocks_and_the_device_may_ask_for_smaller_ones() {
    let mut world = World::new();
    world.registered();
    let payload: Vec<u8> = (0..2500u32).map(|n| n as u8).collect();
    for (exponent, most) in [(6, vec![1024, 1024, 452]), (5, vec![1024, 512, 512, 452])] {
        let first = world.write(1, &payload);
        assert_eq!(Message::parse(&first).unwrap().uint(option::SIZE1), Some(2500));
        let (body, sizes) = take_blocks(&mut world, first, exponent, 1);
        assert_eq!((body, sizes), (payload.clone(), most));
    }
}

#[test]
fn after_4_13_blocks_are_small_or_as_the_device_says() {
    for (hint, size) in [("", 128), ("d1 0e 02", 64), ("d1 0e 06", 128)] {
        let mut world = World::new();
        world.registered();
        let payload: Vec<u8> = (0..300u32).map(|n| n as u8).collect();
        let whole = world.write(1, &payload);
        assert_eq!(Message::parse(&whole).unwrap().payload, payload);
        let (mid, token) = names(&whole);
        let first = sent(&world.receive(&format!("68 8d {mid} {token} {hint}")));
        let (body, sizes) = take_blocks(&mut world, first, 6, 1);
        assert_eq!((body, sizes[0]), (payload, size));
    }
}

#[test]
fn what_is_too_large_in_blocks_as_well_says_so_and_ends() {
    let mut world = World::new();
    world.registered();
    let (mid, token) = names(&world.write(1, &[7; 300]));
    let (mid, token) = names(&sent(&world.receive(&format!("68 8d {mid} {token}"))));
    assert_eq!(
        world.receive(&format!("68 8d {mid} {token}")),
        [ended(1, Outcome::TooLarge)]
    );
    // A device that knows no blocks.
    for answer in ["82", "44"] {
        let (mid, token) = names(&world.write(2, &[7; 300]));
        let (mid, token) = names(&sent(&world.receive(&format!("68 8d {mid} {token}"))));
        assert_eq!(
            world.receive(&format!("68 {answer} {mid} {token}")),
            [ended(2, Outcome::TooLarge)]
        );
    }
    let too_large = vec![1; 64 * 1024 + 1];
    for payload in [vec![], too_large] {
        assert_eq!(
            world.station.write(world.now, DEVICE, 3, payload, None),
            Err(NotReachable::Unfit)
        );
    }
}

#[test]
fn a_large_report_is_fetched_and_acknowledged_once_all_of_it_is_committed() {
    let mut world = World::new();
    let token = world.registered();
    let part = |byte: u8, count: usize| hex(&vec![byte; count]);
    // Block2 0/more/16 in a confirmable notification, ETag 01.
    let notification = format!("48 45 3000 {token} 41 01 21 05 d1 04 08 ff {}", part(1, 16));
    let fetch = sent(&world.receive(&notification));
    let (mid, ftoken) = names(&fetch);
    assert_eq!(
        hex(&fetch),
        hex(&bytes(&format!(
            "48 01 {mid} {ftoken} b2 3139 01 30 01 30 61 2a 61 10"
        )))
    );
    assert_eq!(world.receive(&notification), [], "a repeat meanwhile is dropped");
    let fetch = sent(&world.receive(&format!("68 45 {mid} {ftoken} 41 01 d1 06 18 ff {}", part(2, 16))));
    let (mid, ftoken) = names(&fetch);
    let outputs = world.receive(&format!("68 45 {mid} {ftoken} 41 01 d1 06 20 ff {}", part(3, 5)));
    let [
        Output::Report {
            exchange: Some(exchange),
            ref payload,
            sequence: Some(5),
            ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(hex(payload), part(1, 16) + &part(2, 16) + &part(3, 5));
    world.station.acknowledge(exchange);
    assert_eq!(hex(&sent(&world.outputs())), "60003000");
    assert_eq!(hex(&sent(&world.receive(&notification))), "60003000");
}

#[test]
fn a_report_that_changes_while_it_is_fetched_is_taken_when_it_comes_again() {
    let mut world = World::new();
    let token = world.registered();
    let sixteen = hex(&[1; 16]);
    let notification = format!("48 45 3000 {token} 41 01 21 05 d1 04 08 ff {sixteen}");
    let (mid, ftoken) = names(&sent(&world.receive(&notification)));
    assert_eq!(
        world.receive(&format!("68 45 {mid} {ftoken} 41 02 d1 06 10 ff 09")),
        [],
        "another ETag"
    );
    assert_eq!(world.station.counters().reports_lost, 1);
    let (mid, ftoken) = names(&sent(&world.receive(&notification)));
    let outputs = world.receive(&format!("68 45 {mid} {ftoken} 41 01 d1 06 10 ff 09"));
    assert!(matches!(outputs[..], [Output::Report { .. }]), "{outputs:?}");
}

#[test]
fn a_block_of_a_report_that_was_given_up_for_a_newer_one_is_not_taken() {
    let mut world = World::new();
    let token = world.registered();
    let sixteen = hex(&[1; 16]);
    let old = world.receive(&format!("58 45 3000 {token} 61 05 d1 04 08 ff {sixteen}"));
    let (old_mid, old_token) = names(&sent(&old));
    let new = world.receive(&format!("58 45 3001 {token} 61 06 d1 04 08 ff {sixteen}"));
    let (mid, ftoken) = names(&sent(&new));
    assert_eq!(
        world.receive(&format!("68 45 {old_mid} {old_token} d1 0a 10 ff 66")),
        []
    );
    let outputs = world.receive(&format!("68 45 {mid} {ftoken} d1 0a 10 ff 77"));
    let [
        Output::Report {
            ref payload,
            sequence: Some(6),
            ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(payload.last(), Some(&0x77));
}

#[test]
fn blocks_that_do_not_go_on_from_here_are_no_report() {
    for answer in [
        "d1 0a 20 ff 66",
        "d1 0a 00 ff 66",
        "d1 0a 18 ff 66",
        "d1 0a 11 ff 66",
        "d1 0a 17 ff 66",
        "ff 66",
    ] {
        let mut world = World::new();
        let token = world.registered();
        let sixteen = hex(&[1; 16]);
        let first = world.receive(&format!("58 45 3000 {token} 61 05 d1 04 08 ff {sixteen}"));
        let (mid, ftoken) = names(&sent(&first));
        assert_eq!(
            world.receive(&format!("68 45 {mid} {ftoken} {answer}")),
            [],
            "{answer}"
        );
        assert_eq!(world.station.counters().reports_lost, 1, "{answer}");
    }
}

#[test]
fn a_report_without_end_is_given_up_at_the_limit() {
    let mut world = World::new();
    let token = world.registered();
    let block = hex(&[1; 1024]);
    let mut outputs =
        world.receive(&format!("48 45 3000 {token} 61 05 d1 08 0e ff {block}").replace("d1 08", "d1 04"));
    let mut fetched = 0;
    while let [Output::Send { bytes, .. }] = &outputs[..]
        && bytes.len() > 4
    {
        fetched += 1;
        let (mid, ftoken) = names(bytes);
        let value = (fetched << 4) | 0x0e;
        outputs = world.receive(&format!("68 45 {mid} {ftoken} d2 0a {value:04x} ff {block}"));
    }
    assert_eq!(fetched, 16, "16 KiB and one block");
    assert_eq!(
        hex(&sent(&outputs)),
        "60003000",
        "acknowledged, as it will never fit"
    );
    assert_eq!(world.station.counters().reports_lost, 1);
}

#[test]
fn a_registration_in_blocks_is_one_registration_and_keeps_nothing_before_its_end() {
    let mut world = World::new();
    let query = "b2 7264 44 65703d78";
    let part = hex(&[0x2c; 16]);
    // Block1 is option 27, twelve after Uri-Query.
    assert_eq!(
        hex(&sent(
            &world.receive(&format!("41 02 1000 a1 {query} c1 08 ff {part}"))
        )),
        "615f1000a1d10e08"
    );
    assert_eq!(
        hex(&sent(
            &world.receive(&format!("41 02 1001 a1 {query} c1 18 ff {part}"))
        )),
        "615f1001a1d10e18"
    );
    assert_eq!(world.station.next_wake(), None);
    let outputs = world.receive(&format!("41 02 1002 a1 {query} c1 20 ff 2c"));
    let [Output::Register { exchange, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    world
        .station
        .accept(world.now, exchange, DEVICE, downlink_lwm2m::WorkMode::Psm);
    let outputs = world.outputs();
    let [Output::Send { bytes: created, .. }, ..] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let created = Message::parse(created).unwrap();
    assert_eq!(
        created
            .block(option::BLOCK1)
            .unwrap()
            .map(|block| (block.number, block.more)),
        Some((2, false))
    );
    // A block far out: 4.13. The reserved size: 4.00.
    assert_eq!(
        hex(&sent(
            &world.receive(&format!("41 02 1003 a1 {query} c2 ffe8 ff {part}"))
        )),
        "618d1003a1"
    );
    assert_eq!(
        hex(&sent(
            &world.receive(&format!("41 02 1004 a1 {query} c1 0f ff {part}"))
        )),
        "61801004a1"
    );
}

#[test]
fn so_many_large_reports_are_fetched_at_once_and_room_comes_back_with_every_end() {
    let mut world = World::new();
    world.station = Station::new(
        Settings {
            max_assemblies: 1,
            ..Settings::default()
        },
        [3; 32],
    );
    let sixteen = hex(&[1; 16]);
    for round in 0..3 {
        let token = world.registered();
        let large = |mid: u32| format!("58 45 {mid:04x} {token} d1 0a 08 ff {sixteen}");
        assert_eq!(world.receive(&large(0x3000 + round)).len(), 1, "fetched");
        let outputs = world.receive(&large(0x3100 + round));
        let (mid, ftoken) = names(&sent(&outputs));
        assert_eq!(
            world.receive(&format!("68 84 {mid} {ftoken}")),
            [],
            "it is there no more"
        );
        assert_eq!(world.receive(&large(0x3200 + round)).len(), 1, "fetched");
        world.station.forget(DEVICE);
        world.pass(200_000);
    }
}

#[test]
fn a_device_that_names_a_larger_size_gets_no_larger_blocks() {
    let mut world = World::new();
    world.registered();
    let (mid, token) = names(&world.write(1, &[7; 300]));
    let first = sent(&world.receive(&format!("68 8d {mid} {token}")));
    let (mid, token) = names(&first);
    let second = sent(&world.receive(&format!("68 5f {mid} {token} d1 0e 0e")));
    let (block, part) = block1(&second);
    assert_eq!((block.number, block.exponent, part.len()), (1, 3, 128));
}
