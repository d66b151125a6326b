//! The device against a server of a few lines that plays the other side byte by byte.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use downlink_fleet::device::{Ack, Answer, Behaviour, Config, Device, Event, HangUp, Moment, Reconnect};
use downlink_fleet::topic::Key;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);
const LEGACY: &str = "/huawei/v1/devices/d1/command/json";

struct Server(TcpListener);

struct Link(TcpStream);

impl Server {
    async fn start() -> (Self, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self(listener), address)
    }

    /// Takes a connection and its CONNECT, and answers with this code.
    async fn accept(&self, code: u8) -> (Link, Vec<u8>) {
        let (stream, _) = tokio::time::timeout(SOON, self.0.accept())
            .await
            .expect("a connection")
            .unwrap();
        let mut link = Link(stream);
        let (kind, connect) = link.packet().await.expect("CONNECT");
        assert_eq!(kind, 0x10);
        link.write(&[0x20, 2, 0, code]).await;
        (link, connect)
    }

    /// The same for a device that subscribes; grants QoS 1.
    async fn accept_subscriber(&self) -> Link {
        let (mut link, _) = self.accept(0).await;
        let (kind, body) = link.packet().await.expect("SUBSCRIBE");
        assert_eq!(kind, 0x82);
        link.write(&[0x90, 3, body[0], body[1], 1]).await;
        link
    }
}

impl Link {
    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// First byte and body of the next packet (short ones only); `None` at the end of the connection.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let reading = async {
            let first = self.0.read_u8().await.ok()?;
            let mut length = usize::from(self.0.read_u8().await.ok()?);
            if length >= 128 {
                length = (length & 127) + 128 * usize::from(self.0.read_u8().await.ok()?);
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.ok()?;
            Some((first, body))
        };
        tokio::time::timeout(SOON, reading)
            .await
            .expect("a packet or the end in time")
    }

    async fn command(&mut self, topic: &str, id: u16, payload: &Value) {
        let payload = payload.to_string();
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(payload.as_bytes());
        let mut packet = vec![0x32, (body.len() & 127) as u8 | 128, (body.len() >> 7) as u8];
        packet.append(&mut body);
        self.write(&packet).await;
    }

    /// Topic and JSON of the next packet, which has to be a PUBLISH at QoS 1.
    async fn answer(&mut self) -> (String, Value) {
        let (kind, body) = self.packet().await.expect("PUBLISH");
        assert_eq!(kind, 0x32, "{body:?}");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        self.write(&[0x40, 2, body[2 + length], body[3 + length]]).await;
        (topic, serde_json::from_slice(&body[4 + length..]).unwrap())
    }

    async fn puback(&mut self) -> u16 {
        let (kind, body) = self.packet().await.expect("PUBACK");
        assert_eq!(kind, 0x40, "{body:?}");
        u16::from_be_bytes([body[0], body[1]])
    }
}

fn legacy(mid: u16) -> Value {
    json!({"msgType": "cloudReq", "serviceId": "Lamp", "mid": mid, "cmd": "SWITCH", "paras": {"value": 1}})
}

#[tokio::test]
async fn a_good_device_of_the_older_family() {
    let (server, address) = Server::start().await;
    let mut config = Config::new(address, "d1", "secret123456");
    config.stamp = Some("2026010208".into());
    let mut device = Device::start(config);
    let (mut link, connect) = server.accept(0).await;
    let connect = String::from_utf8_lossy(&connect).into_owned();
    assert!(connect.contains("d1_0_0_2026010208"), "{connect}");
    assert!(connect.ends_with("630757e51777f28edcb71d10b00744e7f0dfdfeab3dadcae51cadeaacf0afa4e"));
    let (_, body) = link.packet().await.expect("SUBSCRIBE");
    assert!(String::from_utf8_lossy(&body).contains(LEGACY));
    assert!(!device.ledger().read(|tally| tally.ready));
    link.write(&[0x90, 3, body[0], body[1], 1]).await;
    device.ready(SOON).await.unwrap();
    link.command(LEGACY, 7, &legacy(42)).await;
    assert_eq!(link.puback().await, 7);
    let (topic, answer) = link.answer().await;
    assert_eq!(topic, "/huawei/v1/devices/d1/data/json");
    assert_eq!(
        answer,
        json!({"msgType": "deviceRsp", "mid": 42, "errcode": 0, "body": {"result": 0}})
    );
    device
        .ledger()
        .wait_until(SOON, |tally| tally.answers_acked == 1)
        .await
        .unwrap();
    let counts = device.ledger().read(|tally| tally.of(&Key::Mid(42)));
    assert_eq!(
        (counts.received, counts.acked, counts.executed, counts.answered),
        (1, 1, 1, 1)
    );
    assert_eq!(device.next_event().await, Some(Event::Connected));
    device.stop().await;
    assert_eq!(link.packet().await, Some((0xe0, vec![])));
    assert_eq!(link.packet().await, None);
}

#[tokio::test]
async fn an_implicit_subscriber_of_the_newer_family() {
    let (server, address) = Server::start().await;
    let mut config = Config::new(address, "d1", "s")
        .oc()
        .behaving(Behaviour::failing(3));
    config.subscribe = None;
    let device = Device::start(config);
    let (mut link, _) = server.accept(0).await;
    device.ready(SOON).await.unwrap();
    link.command(
        "$oc/devices/d1/sys/commands/request_id=ab",
        9,
        &json!({"command_name": "X", "paras": {}}),
    )
    .await;
    assert_eq!(link.puback().await, 9);
    let (topic, answer) = link.answer().await;
    assert_eq!(topic, "$oc/devices/d1/sys/commands/response/request_id=ab");
    assert_eq!(
        (answer["result_code"].as_i64(), answer["response_name"].as_str()),
        (Some(3), Some("X_RSP"))
    );
}

#[tokio::test]
async fn misbehaves_as_it_is_told() {
    let (server, address) = Server::start().await;
    let device = Device::start(Config::new(address, "d1", "s").behaving(Behaviour::deaf()));
    let mut link = server.accept_subscriber().await;
    link.command(LEGACY, 1, &legacy(1)).await;
    device
        .ledger()
        .wait_until(SOON, |tally| tally.total.received == 1)
        .await
        .unwrap();
    // Twice, and before the acknowledgement. Nothing may come of the first command in between.
    device.behave(Behaviour {
        ack: Ack::AfterAnswer,
        answers: 2,
        ..Behaviour::default()
    });
    link.command(LEGACY, 2, &legacy(2)).await;
    assert_eq!(link.answer().await.1["mid"], 2);
    assert_eq!(link.answer().await.1["mid"], 2);
    assert_eq!(link.puback().await, 2);
    device.behave(Behaviour {
        answer: Answer::Never,
        ..Behaviour::default()
    });
    link.command(LEGACY, 3, &legacy(3)).await;
    assert_eq!(link.puback().await, 3);
    // A delayed answer comes after an undelayed acknowledgement of a later command.
    device.behave(Behaviour::slow(Duration::from_millis(50)));
    link.command(LEGACY, 4, &legacy(4)).await;
    device
        .ledger()
        .wait_until(SOON, |tally| tally.total.received == 4)
        .await
        .unwrap();
    device.behave(Behaviour::silent());
    link.command(LEGACY, 5, &legacy(5)).await;
    assert_eq!((link.puback().await, link.puback().await), (4, 5));
    assert_eq!(link.answer().await.1["mid"], 4);
    let deaf = device.ledger().read(|tally| tally.of(&Key::Mid(1)));
    assert_eq!((deaf.received, deaf.acked, deaf.executed), (1, 0, 0));
    assert_eq!(device.ledger().read(|tally| tally.total.executed), 4);
}

#[tokio::test]
async fn hangs_up_at_a_command_and_comes_back() {
    let (server, address) = Server::start().await;
    let cut = HangUp {
        at_command: 1,
        moment: Moment::Received,
        times: 1,
    };
    let device = Device::start(Config::new(address, "d1", "s").behaving(Behaviour {
        hang_up: Some(cut),
        ..Behaviour::default()
    }));
    let mut link = server.accept_subscriber().await;
    link.command(LEGACY, 1, &legacy(1)).await;
    assert_eq!(link.packet().await, None);
    let mut link = server.accept_subscriber().await;
    link.command(LEGACY, 1, &legacy(1)).await;
    assert_eq!(link.puback().await, 1);
    link.answer().await;
    device.hang_up().await;
    assert_eq!(link.packet().await, None);
    server.accept_subscriber().await;
    device
        .ledger()
        .wait_until(SOON, |tally| tally.connects == 3)
        .await
        .unwrap();
    let counts = device.ledger().read(|tally| tally.of(&Key::Mid(1)));
    assert_eq!((counts.received, counts.executed), (2, 1));
}

#[tokio::test]
async fn keeps_answers_for_the_next_connection_if_told_to() {
    let (server, address) = Server::start().await;
    let mut config = Config::new(address, "d1", "s");
    config.keep_answers = true;
    let device = Device::start(config);
    let mut link = server.accept_subscriber().await;
    link.command(LEGACY, 1, &legacy(1)).await;
    device
        .ledger()
        .wait_until(SOON, |tally| tally.total.answered == 1)
        .await
        .unwrap();
    drop(link);
    let mut link = server.accept_subscriber().await;
    assert_eq!(link.answer().await.1["mid"], 1);
    device
        .ledger()
        .wait_until(SOON, |tally| tally.answers_acked == 1)
        .await
        .unwrap();
    assert_eq!(device.ledger().read(|tally| tally.total.executed), 1);
}

#[tokio::test]
async fn refused_credentials_end_it() {
    let (server, address) = Server::start().await;
    let mut device = Device::start(Config::new(address, "d1", "s"));
    server.accept(4).await;
    assert_eq!(device.next_event().await, Some(Event::Refused(4)));
    assert_eq!(
        device.next_event().await,
        Some(Event::Disconnected("refused with code 4".into()))
    );
    assert_eq!(device.next_event().await, None);
}

#[tokio::test]
async fn an_unavailable_server_is_tried_again() {
    let (server, address) = Server::start().await;
    let mut config = Config::new(address, "d1", "s");
    config.reconnect = Reconnect::BackOff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    let device = Device::start(config);
    server.accept(3).await;
    let _link = server.accept_subscriber().await;
    device.ready(SOON).await.unwrap();
}
