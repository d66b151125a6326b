//! What an idle connection costs. Run by hand:
//! `cargo test -p downlink-server --release idle_memory -- --ignored --nocapture`

use std::io::{Read, Write};
use std::net::TcpStream;

use super::rig::{Rig, SECRET, connect_packet, eventually};
use crate::gateway::mqtt::login::password;

const SOCKETS: usize = 2000;

/// Anonymous memory of this process that is resident, in bytes.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kib: i64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn idle_memory() {
    let rig = Rig::new().await;
    for n in 0..SOCKETS + 200 {
        rig.store
            .add_device(&rig.sealer, &format!("d{n}"), &format!("n{n}"), SECRET);
    }
    let addr = rig.addr;
    let stamp = "2026010208";
    let word = password(stamp, SECRET);
    // Blocking sockets: the client's side costs no memory of this process.
    let connect = move |n: usize| {
        let mut stream = TcpStream::connect(addr).unwrap();
        let name = format!("d{n}");
        let client_id = format!("{name}_0_0_{stamp}");
        stream
            .write_all(&connect_packet(4, &client_id, &name, &word, 600))
            .unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        stream
    };
    let run = tokio::task::spawn_blocking(move || {
        let warm: Vec<_> = (SOCKETS..SOCKETS + 200).map(&connect).collect();
        let before = resident();
        let streams: Vec<_> = (0..SOCKETS).map(&connect).collect();
        (warm, before, streams)
    });
    let (warm, before, streams) = run.await.unwrap();
    eventually("all idle and subscribed by themselves", || {
        rig.engine
            .sessions()
            .all()
            .iter()
            .filter(|session| session.offer().is_some())
            .count()
            == SOCKETS + 200
    })
    .await;
    let after = resident();
    println!("{} bytes per idle connection", (after - before) / SOCKETS as i64);
    drop((warm, streams));
}
