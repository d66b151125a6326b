//! One device's session byte by byte, as modules speak: LwM2M with reports over 19/0/0, and the older `t/r`, `t/d`.

use crate::world::{DEVICE, REGISTER, World, bytes, ended, hex, sent};
use downlink_lwm2m::coap::{Message, option};
use downlink_lwm2m::{Access, NotReachable, Outcome, Output, Parting, Peer, Refusal, WorkMode};

#[test]
fn a_session_from_registration_to_result() {
    let mut world = World::new();
    let outputs = world.receive(REGISTER);
    let [
        Output::Register {
            exchange,
            ref endpoint,
            lifetime_secs: 50_000,
            ref binding,
            access: Access::Lwm2m,
            ref version,
            ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (&endpoint[..], &binding[..], &version[..]),
        ("861234567890125", "UQ", "1.0")
    );
    assert_eq!(
        world.receive(REGISTER),
        [],
        "a repeat before the answer is dropped"
    );

    world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [
        Output::Send { bytes: created, .. },
        Output::Send { bytes: observe, .. },
        Output::Awake { device: DEVICE },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(hex(&created[..8]), hex(&bytes("61 41 10 01 a1 82 7264")));
    assert_eq!(
        (created[8], created.len()),
        (0x0a, 19),
        "a segment of ten characters"
    );
    let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
    assert_eq!(
        hex(observe),
        hex(&bytes(&format!(
            "48 01 {mid} {token} 60 52 3139 01 30 01 30 61 2a"
        )))
    );
    assert_eq!(
        sent(&world.receive(REGISTER)),
        *created,
        "a repeat after the answer gets the same answer"
    );

    assert_eq!(
        world.receive(&format!("68 45 {mid} {token} 61 01 61 2a ff 00")),
        [],
        "the first answer is no report"
    );

    let write = world.write(11, &[3, 0, 0x2a, 1]);
    let (mid, wtoken) = (hex(&write[2..4]), hex(&write[4..12]));
    assert_eq!(
        hex(&write),
        hex(&bytes(&format!(
            "48 03 {mid} {wtoken} b2 3139 01 31 01 30 11 2a ff 03002a01"
        )))
    );
    assert_eq!(
        world.receive(&format!("68 44 {mid} {wtoken}")),
        [ended(11, Outcome::Acked)]
    );

    let result = format!("48 45 1002 {token} 61 02 61 2a ff 04002a0001");
    let outputs = world.receive(&result);
    let [
        Output::Report {
            exchange: Some(exchange),
            device: DEVICE,
            ref payload,
            sequence: Some(2),
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(payload[..], [4, 0, 0x2a, 0, 1]);
    assert_eq!(
        world.receive(&result),
        [],
        "a repeat before the commit is dropped"
    );
    world.station.acknowledge(exchange);
    assert_eq!(hex(&sent(&world.outputs())), "60001002");
    assert_eq!(
        hex(&sent(&world.receive(&result))),
        "60001002",
        "a repeat after the commit is acknowledged again"
    );
    assert_eq!(world.station.counters().duplicates, 4);
}

#[test]
fn a_session_by_the_older_access() {
    let mut world = World::new();
    let outputs = world.receive("41 02 10 01 a1 b1 74 01 72 4d 05 65703d383631323334353637383930313235");
    let [
        Output::Register {
            exchange,
            ref endpoint,
            access: Access::Oc,
            ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(endpoint, "861234567890125");
    world.station.accept(world.now, exchange, DEVICE, WorkMode::Psm);
    let outputs = world.outputs();
    let [
        Output::Send { bytes: changed, .. },
        Output::Send { bytes: observe, .. },
        Output::Awake { .. },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(hex(changed), hex(&bytes("61 44 10 01 a1")));
    let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
    assert_eq!(
        hex(observe),
        hex(&bytes(&format!("48 01 {mid} {token} 60 51 74 01 64")))
    );
    assert_eq!(world.receive(&format!("60 00 {mid}")), []);

    let write = world.write(1, &[3, 0, 0x2a, 1]);
    let (mid, wtoken) = (hex(&write[2..4]), hex(&write[4..12]));
    assert_eq!(
        hex(&write),
        hex(&bytes(&format!(
            "48 02 {mid} {wtoken} b1 74 01 64 11 2a ff 03002a01"
        )))
    );
    assert_eq!(
        world.receive(&format!("60 00 {mid}")),
        [ended(1, Outcome::Acked)],
        "an empty ACK is the answer"
    );

    for (mid, count) in [(1, "fe"), (2, "ff"), (3, "")] {
        let length = count.len() / 2;
        let outputs = world.receive(&format!("58 45 000{mid} {token} 6{length} {count} ff 0{mid}"));
        let [Output::Report { exchange: None, .. }] = outputs[..] else {
            panic!("{outputs:?}")
        };
    }
    assert_eq!(
        world.receive(&format!("58 45 0004 {token} 61 fe ff 04")),
        [],
        "older than the last, though larger"
    );
    assert_eq!(world.station.counters().reordered, 1);

    // An acknowledgement with a code but no token.
    let write = world.write(2, &[1]);
    assert_eq!(
        world.receive(&format!("60 44 {}", hex(&write[2..4]))),
        [ended(2, Outcome::Acked)]
    );
}

#[test]
fn who_is_refused_is_told_by_the_code_of_its_access() {
    for (why, lwm2m, oc) in [
        (Refusal::Unknown, "83", "a0"),
        (Refusal::Busy, "a3", "a3"),
        (Refusal::Internal, "a0", "a0"),
    ] {
        let mut world = World::new();
        for (request, code) in [(REGISTER, lwm2m), ("41 02 1001 a1 b1 74 01 72 44 65703d78", oc)] {
            let outputs = world.receive(request);
            let [Output::Register { exchange, .. }] = outputs[..] else {
                panic!("{outputs:?}")
            };
            world.station.refuse(exchange, why);
            assert_eq!(hex(&sent(&world.outputs())), format!("61{code}1001a1"));
        }
        assert_eq!(
            world.station.write(world.now, DEVICE, 1, vec![1], None),
            Err(NotReachable::Unregistered)
        );
    }
}

#[test]
fn updates_move_the_device_and_its_lifetime() {
    let mut world = World::new();
    world.registered();
    let location = hex(&sent(&world.receive(REGISTER))[9..]);
    let elsewhere = Peer::Plain("127.0.0.2:5000".parse().unwrap());
    let update = bytes(&format!("41 02 2000 b1 b2 7264 0a {location} 45 6c743d3330"));
    world.station.receive(world.now, elsewhere, &update);
    let outputs = world.outputs();
    let [
        Output::Updated {
            lifetime_secs: 30, ..
        },
        Output::Send { to, bytes: changed },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((*to, &hex(changed)[..]), (elsewhere, "61442000b1"));
    world.station.receive(world.now, elsewhere, &update);
    assert_eq!(
        hex(&sent(&world.outputs())),
        "61442000b1",
        "a repeat gets the same answer"
    );
    world
        .station
        .write(world.now, DEVICE, 1, vec![1], Some(0))
        .unwrap();
    let outputs = world.outputs();
    let [Output::Send { to, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(to, elsewhere, "the newest address is written to");

    let outputs = world.pass(30_000);
    assert!(
        outputs.contains(&Output::Gone {
            device: DEVICE,
            why: Parting::LifetimeEnded
        }),
        "{outputs:?}"
    );
    world.station.receive(
        world.now,
        elsewhere,
        &bytes(&format!("41 02 2001 b1 b2 7264 0a {location}")),
    );
    assert_eq!(hex(&sent(&world.outputs())), "61842001b1", "4.04: register anew");
}

#[test]
fn leaving_is_answered_the_same_twice() {
    let mut world = World::new();
    let token = world.registered();
    let location = hex(&sent(&world.receive(REGISTER))[9..]);
    world.station.write(world.now, DEVICE, 1, vec![1], None).unwrap();
    world.station.write(world.now, DEVICE, 2, vec![1], None).unwrap();
    world.outputs();
    let leave = format!("41 04 2000 b1 b2 7264 0a {location}");
    let outputs = world.receive(&leave);
    let [Output::Send { bytes: deleted, .. }, first, second, gone] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(hex(deleted), "61422000b1");
    assert_eq!(*first, ended(1, Outcome::Interrupted));
    assert_eq!(*second, ended(2, Outcome::NeverSent));
    assert_eq!(
        *gone,
        Output::Gone {
            device: DEVICE,
            why: Parting::Deregistered
        }
    );
    assert_eq!(hex(&sent(&world.receive(&leave))), "61422000b1");
    let late = world.receive(&format!("58 45 3000 {token} 61 07 ff 01"));
    assert_eq!(
        hex(&sent(&late)),
        "70003000",
        "a report with the old token is reset"
    );
}

#[test]
fn nothing_else_is_here_and_a_get_makes_no_device() {
    let mut world = World::new();
    for (request, answer) in [
        ("41 02 0001 07 b2 6273 45 65703d78 78", "6184000107"), // POST /bs
        (
            "41 01 0002 07 bb 2e77656c6c2d6b6e6f776e 04 636f7265",
            "6184000207",
        ),
        ("41 01 0003 07 b2 7264", "6185000307"),
        ("41 02 0004 07 b2 7264", "6180000407"), // no endpoint
        ("41 02 0005 07 b2 7264 44 65703d78 05 6c743d2d31", "6180000507"), // lt=-1
        ("41 02 0006 07 b2 7264 44 65703d78 60", "6182000607"), // option 21
        ("41 01 0007 07 d1 16 78", "61a5000707"), // Proxy-Uri
        ("40 00 0008", "70000008"),              // ping
        ("40 01 0009 ff", "70000009"),           // malformed
        ("48 45 000a 0102030405060708 ff 01", "7000000a"), // a token of nobody
    ] {
        let got = sent(&world.receive(request));
        assert_eq!(hex(&got), answer, "{request}");
        assert!(got.len() <= bytes(request).len());
    }
    for silent in [
        "60 00 000b",
        "70 00 000c",
        "68 45 000d 0102030405060708",
        "50 00 000e",
        "50 01 000f ff",
    ] {
        assert_eq!(world.receive(silent), [], "{silent}");
    }
    assert_eq!(
        (world.station.counters().registrations, world.station.next_wake()),
        (0, None)
    );
}

#[test]
fn the_option_that_is_read() {
    // Guards the byte vectors above against a codec that reads everything as something else.
    let datagram = bytes(REGISTER);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.values(option::URI_QUERY).count(), 4);
}

#[test]
fn another_message_with_the_id_of_the_registration_is_no_repeat_of_it() {
    let mut world = World::new();
    let token = world.registered();
    let outputs = world.receive(&format!("58 45 1001 {token} 61 02 ff 01"));
    assert!(matches!(outputs[..], [Output::Report { .. }]), "{outputs:?}");
}
