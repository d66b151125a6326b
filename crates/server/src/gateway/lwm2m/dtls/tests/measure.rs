//! What a session and a forged hello cost. Run alone: `cargo test --release -p downlink-server measure -- --ignored
//! --nocapture --test-threads=1`.

use std::time::Instant;

use super::world::{Device, KEY, World, address, settings};
use crate::gateway::lwm2m::dtls::Settings;
use crate::gateway::lwm2m::dtls::hello::FIRST_HELLO;

/// Memory of this process that is really there, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "prints figures"]
fn what_a_session_takes() {
    const SESSIONS: u16 = 20_000;
    let mut world = World::new(Settings {
        max_sessions: usize::from(SESSIONS),
        ..settings()
    });
    world.connect(address(0), "dev-first");
    let (before, start) = (resident(), Instant::now());
    for n in 1..SESSIONS {
        let mut device = Device::new(world.now, address(n), "dev-n", KEY);
        world.settle(&mut device);
        device.say(&[7; 60]);
        world.settle(&mut device);
        world.received.clear();
    }
    assert_eq!(world.dtls.sessions(), usize::from(SESSIONS));
    let count = usize::from(SESSIONS) - 1;
    println!("{} bytes a session", (resident() - before) / count);
    println!(
        "{} us a handshake and a report, both sides",
        start.elapsed().as_micros() / count as u128
    );
}

#[test]
#[ignore = "prints figures"]
fn what_a_forged_hello_takes() {
    const HELLOS: u32 = 1_000_000;
    let mut world = World::new(settings());
    let hello = FIRST_HELLO;
    world.put(address(0), &hello);
    let (before, start) = (resident(), Instant::now());
    for n in 0..HELLOS {
        let from = std::net::SocketAddr::from(((0x7f00_0000 + n).to_be_bytes(), 4000));
        world.put(from, &hello);
        world.sent.clear();
    }
    println!("{} ns a hello", start.elapsed().as_nanos() / u128::from(HELLOS));
    println!("{} bytes more", resident().saturating_sub(before));
    assert_eq!(world.dtls.table.sizes(), [0; 5]);
}
