//! An MQTT device that takes commands as such devices do, and as they should not: it acknowledges late or never, answers late,
//! twice, wrongly, or what another was asked, and connects a second time while it is connected.
//!
//! Bytes and chance go in, what it does and when comes out.

mod reports;

use std::collections::BTreeMap;

use bytes::BytesMut;
use downlink_fleet::credentials::{Identity, Login, Sign};
use downlink_fleet::packet::{self, Incoming, Qos};
use downlink_fleet::topic::{Command, Family, Key};
use serde_json::json;

use self::reports::Reports;
use crate::chance::Chance;

/// The largest packet taken.
const MAX_PACKET: usize = 1 << 20;
/// Seconds; a ping goes out in half the time.
const KEEP_ALIVE: u16 = 600;

/// What a device does, after so many milliseconds.
#[derive(Debug)]
pub(crate) enum Act {
    /// It writes to a connection. On one that is gone by then it writes to the one it has, if it is to be said anyway.
    Write {
        /// Which.
        connection: u64,
        /// What.
        bytes: Vec<u8>,
        /// After this time.
        after: u64,
        /// Whether it can be said on another connection.
        anyway: bool,
    },
    /// It cuts a connection.
    Cut(u64, u64),
    /// It took this command (by the number in it), under this name.
    Received(u64, Key),
    /// It acknowledged it, or will.
    Acked(u64),
    /// It answers it with this code, or will.
    Answers(u64, i64),
    /// The server acknowledged an answer to it.
    Confirmed(u64),
    /// The server acknowledged this report (by its number).
    Reported(u64),
    /// This connection of it is open.
    Ready(u64),
}

/// How a device takes commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As chance has it: well while all is calm.
    ByChance,
    /// It acknowledges, and answers that it worked.
    Answers,
    /// It acknowledges, and keeps its answer.
    Acknowledges,
    /// It says nothing.
    Silent,
}

/// See the module.
pub(crate) struct Device {
    /// The id that the server gave it.
    pub(crate) id: String,
    secret: String,
    family: Family,
    /// The quality of service it subscribes with.
    pub(crate) qos: Qos,
    connections: BTreeMap<u64, BytesMut>,
    /// The one it speaks over.
    pub(crate) current: Option<u64>,
    packet_id: u16,
    /// Which command each answer is to that the server has not acknowledged.
    unconfirmed: BTreeMap<u16, u64>,
    /// What it reported.
    pub(crate) reports: Reports,
    /// What others were asked, as far as it has heard.
    pub(crate) overheard: Vec<Key>,
    /// How it takes commands.
    pub(crate) manner: Manner,
    /// Under which name it got which command.
    got: BTreeMap<u64, Key>,
}

impl Device {
    /// A device with these credentials.
    pub(crate) fn new(id: String, secret: String, family: Family, qos: Qos) -> Self {
        Self {
            id,
            secret,
            family,
            qos,
            connections: BTreeMap::new(),
            current: None,
            packet_id: 0,
            unconfirmed: BTreeMap::new(),
            reports: Reports::default(),
            overheard: Vec::new(),
            manner: Manner::ByChance,
            got: BTreeMap::new(),
        }
    }

    /// It connects; what it writes first.
    pub(crate) fn connect(&mut self, connection: u64) -> Vec<u8> {
        self.connections.insert(connection, BytesMut::new());
        self.current = Some(connection);
        let identity = Identity::DeviceId(self.id.clone());
        let login = Login::new(&identity, Sign::StampAsIs, "2026010100", &self.secret);
        let mut bytes = BytesMut::new();
        packet::connect(&mut bytes, &login, KEEP_ALIVE);
        bytes.to_vec()
    }

    /// A connection is gone.
    pub(crate) fn gone(&mut self, connection: u64) {
        self.connections.remove(&connection);
        if self.current == Some(connection) {
            self.current = self.connections.keys().next_back().copied();
        }
    }

    /// Whether it has this connection.
    pub(crate) fn has(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Bytes of the server arrive. `rough`: it may misbehave.
    pub(crate) fn hear(
        &mut self,
        connection: u64,
        bytes: &[u8],
        rough: bool,
        chance: &mut Chance,
    ) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(mut buffer) = self.connections.remove(&connection) else {
            return acts;
        };
        buffer.extend_from_slice(bytes);
        loop {
            match packet::decode(&mut buffer, MAX_PACKET) {
                Ok(Some(packet)) => self.take(connection, packet, rough, chance, &mut acts),
                Ok(None) => break,
                Err(_) => {
                    acts.push(Act::Cut(connection, 0));
                    break;
                }
            }
        }
        self.connections.insert(connection, buffer);
        acts
    }

    fn take(
        &mut self,
        connection: u64,
        packet: Incoming,
        rough: bool,
        chance: &mut Chance,
        acts: &mut Vec<Act>,
    ) {
        match packet {
            Incoming::ConnAck { code: 0 } => {
                let mut bytes = BytesMut::new();
                let id = self.next_packet();
                packet::subscribe(&mut bytes, id, &self.family.command_filter(&self.id), self.qos);
                acts.push(write(connection, bytes, chance.below(20), false));
                acts.push(ping(connection));
            }
            Incoming::ConnAck { code: _ } => acts.push(Act::Cut(connection, 0)),
            Incoming::Publish {
                topic,
                payload,
                qos,
                id,
                dup,
            } => {
                let command = self.family.read_command(&self.id, &topic, &payload, qos, dup);
                if let Some(command) = command {
                    self.command(connection, id, &command, rough, chance, acts);
                }
            }
            Incoming::PingResp => acts.push(ping(connection)),
            Incoming::PubAck { id } => {
                acts.extend(self.unconfirmed.remove(&id).map(Act::Confirmed));
                acts.extend(self.reports.acknowledged(id));
            }
            Incoming::SubAck { granted: _ } => acts.push(Act::Ready(connection)),
        }
    }

    fn command(
        &mut self,
        connection: u64,
        packet_id: u16,
        command: &Command,
        rough: bool,
        chance: &mut Chance,
        acts: &mut Vec<Act>,
    ) {
        let Some(number) = command.paras.get("n").and_then(serde_json::Value::as_u64) else {
            return;
        };
        acts.push(Act::Received(number, command.key.clone()));
        self.overheard.push(command.key.clone());
        self.got.insert(number, command.key.clone());
        let silent = match self.manner {
            Manner::ByChance => rough && chance.percent(12),
            Manner::Answers | Manner::Acknowledges => false,
            Manner::Silent => true,
        };
        if command.qos == Qos::One && !silent {
            let mut bytes = BytesMut::new();
            packet::puback(&mut bytes, packet_id);
            let after = if rough && chance.percent(10) {
                chance.between(1000, 40_000)
            } else {
                chance.below(50)
            };
            acts.push(write(connection, bytes, after, false));
            acts.push(Act::Acked(number));
        }
        let answers = match self.manner {
            Manner::ByChance if rough => *chance.pick(&[0, 1, 1, 1, 1, 1, 1, 2]),
            Manner::ByChance | Manner::Answers => 1,
            Manner::Acknowledges | Manner::Silent => 0,
        };
        for _ in 0..answers {
            let after = if rough && chance.percent(15) {
                chance.between(5000, 200_000)
            } else {
                chance.below(3000)
            };
            let code = i64::from(rough && chance.percent(20));
            acts.push(self.answer(connection, &command.key, &command.method, code, after));
            self.unconfirmed.insert(self.packet_id, number);
            acts.push(Act::Answers(number, code));
        }
        if rough && chance.percent(8) {
            acts.push(Act::Cut(connection, chance.below(2000)));
        }
    }

    /// It answers a command that it got, whether it has before or not.
    pub(crate) fn answer_again(&mut self, connection: u64, number: u64, code: i64) -> Option<[Act; 2]> {
        let key = self.got.get(&number)?.clone();
        let act = self.answer(connection, &key, "SWITCH", code, 0);
        self.unconfirmed.insert(self.packet_id, number);
        Some([act, Act::Answers(number, code)])
    }

    /// It answers something, whoever was asked; its packet id is the last one.
    pub(crate) fn answer(&mut self, connection: u64, key: &Key, method: &str, code: i64, after: u64) -> Act {
        let mut bytes = BytesMut::new();
        let payload = self
            .family
            .answer_payload(key, method, code, &json!({"done": code}));
        let topic = self.family.answer_topic(&self.id, key);
        let id = self.next_packet();
        packet::publish(&mut bytes, &topic, &payload, Qos::One, id);
        write(connection, bytes, after, true)
    }

    fn next_packet(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }
}

fn ping(connection: u64) -> Act {
    let mut bytes = BytesMut::new();
    packet::pingreq(&mut bytes);
    write(connection, bytes, u64::from(KEEP_ALIVE) * 500, false)
}

fn write(connection: u64, bytes: BytesMut, after: u64, anyway: bool) -> Act {
    Act::Write {
        connection,
        bytes: bytes.to_vec(),
        after,
        anyway,
    }
}
