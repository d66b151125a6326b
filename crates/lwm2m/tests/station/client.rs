//! A device by RFC 7252 and RFC 7641, for one end of the network: it registers, answers, reports, sleeps and moves. It is
//! strict where the station must be right: an id that is used twice for two messages is a fault.

use downlink_lwm2m::coap::{Builder, Code, Kind, Message, Token, option};
use std::collections::{BTreeMap, VecDeque};

/// How long a message of the station is remembered.
const EXCHANGE_LIFETIME: u64 = 247_000;
const WAIT: u64 = 2000;
const RESENDS: u32 = 4;

/// How the device answers a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    AtOnce,
    Confirmable,
    NonConfirmable,
}

struct Outgoing {
    mid: u16,
    bytes: Vec<u8>,
    due: u64,
    wait: u64,
    left: u32,
    report: Option<u32>,
}

pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) manner: Manner,
    next_mid: u16,
    token: Option<Token>,
    sequence: u32,
    registered: bool,
    outgoing: Vec<Outgoing>,
    /// What came from the station: bytes, answer, when.
    seen: BTreeMap<u16, (Vec<u8>, Vec<u8>, u64)>,
    to_send: VecDeque<Vec<u8>>,
    /// Payloads of writes, in the order in which they were carried out.
    pub(crate) executed: Vec<Vec<u8>>,
    /// Reports that were acknowledged.
    pub(crate) acknowledged: Vec<u32>,
    /// Reports that were sent at all.
    pub(crate) reported: u32,
    pub(crate) asleep: bool,
}

impl Client {
    pub(crate) fn new(name: String, manner: Manner, first_mid: u16) -> Self {
        Self {
            name,
            manner,
            next_mid: first_mid,
            token: None,
            sequence: 1,
            registered: false,
            outgoing: Vec::new(),
            seen: BTreeMap::new(),
            to_send: VecDeque::new(),
            executed: Vec::new(),
            acknowledged: Vec::new(),
            reported: 0,
            asleep: false,
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front()
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.outgoing.iter().map(|outgoing| outgoing.due).min()
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.token.is_some()
    }

    fn mid(&mut self) -> u16 {
        self.next_mid = self.next_mid.wrapping_add(1);
        self.next_mid
    }

    fn send(&mut self, now: u64, mid: u16, bytes: Vec<u8>, report: Option<u32>) {
        self.to_send.push_back(bytes.clone());
        self.outgoing.push(Outgoing {
            mid,
            bytes,
            due: now + WAIT,
            wait: WAIT,
            left: RESENDS,
            report,
        });
    }

    pub(crate) fn register(&mut self, now: u64) {
        self.asleep = false;
        let mid = self.mid();
        let token = Token::from_slice(&mid.to_be_bytes()).unwrap();
        let endpoint = format!("ep={}", self.name);
        let bytes = Builder::new(Kind::Con, Code::POST, mid, token)
            .each(option::URI_PATH, &["rd"])
            .each(option::URI_QUERY, &["lwm2m=1.0", &endpoint, "b=UQ"])
            .done();
        self.send(now, mid, bytes, None);
    }

    /// Reports its next number, confirmable or not.
    pub(crate) fn report(&mut self, now: u64, confirmable: bool) {
        self.asleep = false;
        let Some(token) = self.token else { return };
        let mid = self.mid();
        self.sequence += 1;
        self.reported += 1;
        let number = self.reported;
        let kind = if confirmable { Kind::Con } else { Kind::Non };
        let bytes = Builder::new(kind, Code::CONTENT, mid, token)
            .uint(option::OBSERVE, self.sequence)
            .payload(&number.to_be_bytes());
        if confirmable {
            self.send(now, mid, bytes, Some(number));
        } else {
            self.to_send.push_back(bytes);
        }
    }

    pub(crate) fn tick(&mut self, now: u64) {
        let mut again = Vec::new();
        self.outgoing.retain_mut(|outgoing| {
            if outgoing.due > now {
                return true;
            }
            if outgoing.left == 0 {
                return false;
            }
            (outgoing.left, outgoing.wait) = (outgoing.left - 1, outgoing.wait * 2);
            outgoing.due = now + outgoing.wait;
            again.push(outgoing.bytes.clone());
            true
        });
        self.to_send.extend(again);
    }

    pub(crate) fn receive(&mut self, now: u64, datagram: &[u8]) {
        if self.asleep {
            return;
        }
        let message = Message::parse(datagram).expect("the station writes messages");
        if message.kind == Kind::Con {
            return self.requested(now, &message, datagram);
        }
        let Some(place) = self
            .outgoing
            .iter()
            .position(|outgoing| outgoing.mid == message.mid)
        else {
            return;
        };
        let outgoing = self.outgoing.remove(place);
        match (message.kind, message.code, outgoing.report) {
            (Kind::Ack, Code::CREATED, _) => self.registered = true,
            (Kind::Ack, Code::EMPTY, Some(number)) => self.acknowledged.push(number),
            (_, _, _) => {}
        }
    }

    fn requested(&mut self, now: u64, message: &Message<'_>, datagram: &[u8]) {
        if let Some((bytes, answer, at)) = self.seen.get(&message.mid)
            && now < at + EXCHANGE_LIFETIME
        {
            assert_eq!(bytes, datagram, "{}: an id for two messages", self.name);
            self.to_send.push_back(answer.clone());
            return;
        }
        let answer = match message.code {
            Code::GET => self.observe(message),
            Code::PUT => self.write(now, message),
            other => panic!("{other} is not for devices"),
        };
        self.seen
            .insert(message.mid, (datagram.to_vec(), answer.clone(), now));
        self.to_send.push_back(answer);
    }

    fn observe(&mut self, message: &Message<'_>) -> Vec<u8> {
        assert!(message.path_is(&["19", "0", "0"]) && message.uint(option::OBSERVE) == Some(0));
        assert_ne!(
            self.token,
            Some(message.token),
            "a token is never used for two registrations"
        );
        self.token = Some(message.token);
        let answer = Builder::new(Kind::Ack, Code::CONTENT, message.mid, message.token);
        answer.uint(option::OBSERVE, self.sequence).payload(&[0])
    }

    fn write(&mut self, now: u64, message: &Message<'_>) -> Vec<u8> {
        assert!(message.path_is(&["19", "1", "0"]) && message.uint(option::CONTENT_FORMAT) == Some(42));
        self.executed.push(message.payload.to_vec());
        match self.manner {
            Manner::AtOnce => Builder::new(Kind::Ack, Code::CHANGED, message.mid, message.token).done(),
            Manner::Confirmable => {
                let mid = self.mid();
                let bytes = Builder::new(Kind::Con, Code::CHANGED, mid, message.token).done();
                self.send(now, mid, bytes, None);
                Builder::empty(Kind::Ack, message.mid)
            }
            Manner::NonConfirmable => {
                let mid = self.mid();
                self.to_send
                    .push_back(Builder::new(Kind::Non, Code::CHANGED, mid, message.token).done());
                Builder::empty(Kind::Ack, message.mid)
            }
        }
    }
}
