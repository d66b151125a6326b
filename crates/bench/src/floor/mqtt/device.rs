//! A connected device: its commands under way, and its side of the socket that is written to.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tokio::net::tcp::OwnedWriteHalf;

use crate::floor::command::Command;
use crate::floor::record::Asked;
use crate::floor::{locked, spawn};

const PUBLISH: u8 = 0x32;
const SUBACK: u8 = 0x90;

/// See the module.
pub(in super::super) struct Device {
    pub(in super::super) id: Arc<str>,
    /// Of its commands.
    topic: Box<str>,
    outgoing: Arc<Outgoing>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    last_mid: u16,
    /// By their mids. There are few.
    commands: Vec<(u16, Arc<Command>)>,
}

impl Device {
    /// The device that sent this SUBSCRIBE, which names its topic.
    pub(super) fn subscribed(body: &[u8], outgoing: Arc<Outgoing>) -> anyhow::Result<Arc<Self>> {
        let length = usize::from(u16::from_be_bytes([body[2], body[3]]));
        let topic = std::str::from_utf8(&body[4..4 + length])?;
        let id = topic.split('/').nth(4).context("a topic with a device")?;
        outgoing.send(&[SUBACK, 3, body[0], body[1], 1]);
        Ok(Arc::new(Self {
            id: id.into(),
            topic: topic.into(),
            outgoing,
            under_way: Mutex::default(),
        }))
    }

    /// Sends a command. Its packet id is its mid.
    pub(in super::super) fn send(&self, command: &Arc<Command>, asked: &Asked<'_>) {
        let mid = locked(&self.under_way).add(command);
        let payload = format!(
            r#"{{"msgType":"cloudReq","serviceId":"{}","cmd":"{}","paras":{},"mid":{mid}}}"#,
            asked.service, asked.method, asked.paras
        );
        self.outgoing.send(&publish(&self.topic, mid, payload.as_bytes()));
    }

    /// Sends packets.
    pub(super) fn send_bytes(&self, bytes: &[u8]) {
        self.outgoing.send(bytes);
    }

    /// The command with this mid.
    pub(super) fn find(&self, mid: u16) -> Option<Arc<Command>> {
        let under_way = locked(&self.under_way);
        let at = under_way.place(mid)?;
        Some(Arc::clone(&under_way.commands[at].1))
    }

    /// The command with this mid, which is over.
    pub(super) fn take(&self, mid: u16) -> Option<Arc<Command>> {
        let mut under_way = locked(&self.under_way);
        let at = under_way.place(mid)?;
        Some(under_way.commands.swap_remove(at).1)
    }
}

impl UnderWay {
    fn add(&mut self, command: &Arc<Command>) -> u16 {
        self.last_mid = self.last_mid.checked_add(1).unwrap_or(1);
        self.commands.push((self.last_mid, Arc::clone(command)));
        self.last_mid
    }

    fn place(&self, mid: u16) -> Option<usize> {
        self.commands.iter().position(|(known, _)| *known == mid)
    }
}

/// A PUBLISH at QoS 1.
fn publish(topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(9 + topic.len() + payload.len());
    packet.push(PUBLISH);
    put_length(&mut packet, 4 + topic.len() + payload.len());
    packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(&packet_id.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The side of a socket that is written to. Whoever has something to send writes it himself: no task is woken for it.
pub(super) struct Outgoing {
    stream: OwnedWriteHalf,
    /// What the socket did not take yet.
    unsent: Mutex<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn new(stream: OwnedWriteHalf) -> Arc<Self> {
        Arc::new(Self {
            stream,
            unsent: Mutex::default(),
        })
    }

    /// Sends `bytes`, now or as soon as there is room. That the device is gone is found by the one who reads.
    pub(super) fn send(self: &Arc<Self>, bytes: &[u8]) {
        let mut unsent = locked(&self.unsent);
        if !unsent.is_empty() {
            unsent.extend_from_slice(bytes);
            return;
        }
        let sent = self.stream.try_write(bytes).unwrap_or(0);
        if sent < bytes.len() {
            unsent.extend_from_slice(&bytes[sent..]);
            spawn(Arc::clone(self).flush());
        }
    }

    async fn flush(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            self.stream.writable().await?;
            let mut unsent = locked(&self.unsent);
            match self.stream.try_write(&unsent) {
                Ok(sent) => drop(unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if unsent.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::world::device::frame;

    #[test]
    fn what_is_published_is_read_back() {
        let topic = "/t";
        for size in [0, 121, 122, 16_377, 16_378, 70_000] {
            let payload = vec![b'x'; size];
            let packet = publish(topic, 0x0102, &payload);
            let (kind, from, to) = frame(&packet).unwrap();
            assert_eq!((kind, to), (PUBLISH, packet.len()));
            assert_eq!(&packet[from..from + 6], b"\0\x02/t\x01\x02");
            assert_eq!(&packet[from + 6..], payload);
            assert_eq!(frame(&packet[..packet.len() - 1]), None);
        }
    }

    #[tokio::test]
    async fn a_socket_without_room_gets_the_rest_later_and_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_read, write) = listener.accept().await.unwrap().0.into_split();
        let outgoing = Outgoing::new(write);
        let pieces: Vec<u8> = (0..64).collect();
        for piece in &pieces {
            outgoing.send(&vec![*piece; 1 << 18]);
        }
        assert!(!locked(&outgoing.unsent).is_empty());
        let mut came = vec![0; pieces.len() << 18];
        reader.read_exact(&mut came).await.unwrap();
        assert!(
            came.chunks(1 << 18)
                .zip(pieces)
                .all(|(chunk, piece)| chunk.iter().all(|b| *b == piece))
        );
    }
}
