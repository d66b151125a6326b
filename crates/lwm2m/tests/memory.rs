//! What a registered device costs in memory: the growth of this process over 20,000 of them, nothing else running in it.

use downlink_lwm2m::coap::{Builder, Code, Kind, Message, Token, option};
use downlink_lwm2m::{DeviceNumber, Millis, Output, Peer, Settings, Station, WorkMode};
use std::net::{Ipv4Addr, SocketAddr};

const DEVICES: u32 = 20_000;
/// Bytes that a registered device may cost while nothing is under way; about twice what it does.
const MOST: u64 = 1024;

/// Resident bytes of this process; `None` where there is no such file.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn peer(n: u32) -> Peer {
    Peer::Plain(SocketAddr::from((Ipv4Addr::from(0x7f01_0000 + n), 5683)))
}

/// Registers a device and answers the observation; its token.
fn register(station: &mut Station, n: u32) -> Token {
    let endpoint = format!("ep=86{n:013}");
    let request = Builder::new(Kind::Con, Code::POST, 1, Token::default())
        .each(option::URI_PATH, &["rd"])
        .each(option::URI_QUERY, &[&endpoint, "b=UQ"])
        .done();
    station.receive(Millis(0), peer(n), &request);
    let Some(Output::Register { exchange, .. }) = station.poll() else {
        panic!("no registration")
    };
    assert!(station.accept(Millis(0), exchange, DeviceNumber(i64::from(n)), WorkMode::Psm));
    let mut token = Token::default();
    while let Some(output) = station.poll() {
        let Output::Send { bytes, .. } = output else {
            continue;
        };
        let message = Message::parse(&bytes).expect("a message");
        if message.code == Code::GET {
            token = message.token;
            let answer = Builder::new(Kind::Ack, Code::CONTENT, message.mid, token)
                .uint(option::OBSERVE, 1)
                .done();
            station.receive(Millis(0), peer(n), &answer);
        }
    }
    token
}

fn report(station: &mut Station, n: u32, token: Token) {
    let bytes = Builder::new(Kind::Con, Code::CONTENT, 9, token)
        .uint(option::OBSERVE, 2)
        .payload(&[1; 40]);
    station.receive(Millis(100_000), peer(n), &bytes);
    while let Some(output) = station.poll() {
        if let Output::Report {
            exchange: Some(exchange),
            device,
            ..
        } = output
        {
            station.acknowledge(exchange);
            station.report_has_more(Millis(100_000), device, false);
        }
    }
}

fn pass(station: &mut Station, end: Millis) {
    while station.next_wake().is_some_and(|due| due <= end) {
        station.tick(end);
        while station.poll().is_some() {}
    }
}

#[test]
fn a_registered_device_costs_little() {
    let mut station = Station::new(Settings::default(), [5; 32]);
    // The limited table of answers is there with or without devices: it is filled before the measuring.
    (DEVICES..DEVICES + 9000).for_each(|n| {
        register(&mut station, n);
    });
    let Some(before) = resident() else { return };
    let tokens: Vec<Token> = (0..DEVICES).map(|n| register(&mut station, n)).collect();
    pass(&mut station, Millis(99_000));
    let registered = resident().expect("as before") - before;
    tokens
        .iter()
        .zip(0..)
        .for_each(|(&token, n)| report(&mut station, n, token));
    let reported = resident().expect("as before") - before;
    pass(&mut station, Millis(500_000));
    assert_eq!(station.counters().registrations, u64::from(DEVICES) + 9000);
    let each = |bytes: u64| bytes / u64::from(DEVICES);
    println!(
        "{} bytes a device registered, {} after a report",
        each(registered),
        each(reported)
    );
    assert!(
        each(registered) < MOST && each(reported) < MOST,
        "{registered} and {reported} bytes"
    );
}
