//! Clients that others wrote, on a real socket.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::{KEY, Known, settings};
use crate::gateway::lwm2m::dtls::{Counters, Dtls, Output};

/// Answers every request of CoAP with 2.05 and a word, until the client ends.
fn serve(socket: &UdpSocket, mut client: Child) -> (String, Counters) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut dtls = Dtls::new(Instant::now(), settings(), Arc::new(Known));
    let mut buffer = [0; 2048];
    while client.try_wait().unwrap().is_none() {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            dtls.receive(Instant::now(), from, &buffer[..length]);
        }
        dtls.tick(Instant::now());
        while let Some(output) = dtls.poll() {
            match output {
                Output::Transmit { to, bytes } => drop(socket.send_to(&bytes, to).unwrap()),
                Output::Received { session, bytes } => {
                    let token = usize::from(bytes[0] & 15);
                    let Some(token) = bytes.get(4..4 + token) else {
                        continue;
                    };
                    let head = [0x60 | token.len() as u8, 0x45, bytes[2], bytes[3]];
                    dtls.send(
                        Instant::now(),
                        session,
                        &[&head, token, b"\xffgood morning"].concat(),
                    );
                }
                Output::Opened { .. } | Output::Closed { .. } => {}
            }
        }
    }
    (
        String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap(),
        dtls.counters(),
    )
}

fn get(identity: &str, key: &[u8]) -> (String, Counters) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let client = Command::new("coap-client-openssl")
        .args([
            "-B",
            "5",
            "-m",
            "get",
            "-u",
            identity,
            "-k",
            std::str::from_utf8(key).unwrap(),
        ])
        .arg(format!("coaps://127.0.0.1:{port}/x"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serve(&socket, client)
}

#[test]
#[ignore = "needs coap-client-openssl (libcoap)"]
fn libcoap_gets_in_with_its_key_only() {
    let (said, counters) = get("dev-1", KEY);
    assert!(said.contains("good morning"), "{said} {counters:?}");
    assert_eq!(
        (
            counters.asked,
            counters.begun,
            counters.completed,
            counters.garbage
        ),
        (1, 1, 1, 0)
    );
    for (identity, key) in [("dev-1", b"another key, 16b"), ("who-1", KEY.try_into().unwrap())] {
        let (said, counters) = get(identity, key);
        assert!(!said.contains("good morning"));
        assert_eq!(
            (counters.completed, counters.failed > 0),
            (0, true),
            "{counters:?}"
        );
    }
}

/// For clients by hand: `PORT=5684`, identities that begin with `dev`, the key of the tests, for `SECONDS`.
#[test]
#[ignore = "for clients by hand"]
fn serve_by_hand() {
    let socket = UdpSocket::bind(format!("127.0.0.1:{}", std::env::var("PORT").unwrap())).unwrap();
    let time = Command::new("sleep")
        .arg(std::env::var("SECONDS").unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    println!("{:?}", serve(&socket, time).1);
}
