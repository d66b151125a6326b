//! A device by RFC 7252, RFC 7641 and RFC 7959, for one end of the network: it registers, updates, leaves, answers, reports,
//! sleeps and moves; it takes no more than 128 bytes at once, and some of its reports are larger than that. It is strict
//! where the station must be right: an id that is used twice for two messages is a fault.

use downlink_lwm2m::coap::{Block, Builder, Code, Kind, Message, Token, option};
use std::collections::{BTreeMap, VecDeque};

/// How long a message of the station is remembered.
const EXCHANGE_LIFETIME: u64 = 247_000;
const WAIT: u64 = 2000;
const RESENDS: u32 = 4;
/// The largest payload that is taken at once, and the exponent of the blocks of its reports.
const BUFFER: usize = 128;
const EXPONENT: u8 = 2;

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
    what: What,
}

/// What waits to be acknowledged.
#[derive(Clone, Copy)]
enum What {
    Register,
    Update,
    Leave,
    Report(u32),
    Answer,
}

pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) manner: Manner,
    next_mid: u16,
    token: Option<Token>,
    sequence: u32,
    location: Option<String>,
    /// A write that comes in blocks, as far as it has come.
    body: Vec<u8>,
    /// The newest large report, and its number.
    large: (u32, Vec<u8>),
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
            location: None,
            body: Vec::new(),
            large: (0, Vec::new()),
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

    fn send(&mut self, now: u64, mid: u16, bytes: Vec<u8>, what: What) {
        self.to_send.push_back(bytes.clone());
        self.outgoing.push(Outgoing {
            mid,
            bytes,
            due: now + WAIT,
            wait: WAIT,
            left: RESENDS,
            what,
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
        self.send(now, mid, bytes, What::Register);
    }

    /// Renews its registration, or takes its leave.
    pub(crate) fn renew(&mut self, now: u64, leave: bool) {
        self.asleep = false;
        let Some(location) = self.location.clone() else {
            return;
        };
        let mid = self.mid();
        let (code, what) = if leave {
            (Code::DELETE, What::Leave)
        } else {
            (Code::POST, What::Update)
        };
        let bytes =
            Builder::new(Kind::Con, code, mid, Token::default()).each(option::URI_PATH, &["rd", &location]);
        self.send(now, mid, bytes.done(), what);
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
        let message = Builder::new(kind, Code::CONTENT, mid, token);
        let bytes = if number.is_multiple_of(4) {
            self.large = (number, number.to_be_bytes().repeat(50));
            self.large_block(message, Some(self.sequence), 0)
        } else {
            message
                .uint(option::OBSERVE, self.sequence)
                .payload(&number.to_be_bytes())
        };
        if confirmable {
            self.send(now, mid, bytes, What::Report(number));
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
        match (outgoing.what, message.code) {
            (What::Register, Code::CREATED) => {
                let location = message
                    .values(option::LOCATION_PATH)
                    .nth(1)
                    .expect("rd and a name");
                let location = String::from_utf8(location.to_vec()).expect("text");
                self.location = Some(location);
            }
            (What::Update, Code::NOT_FOUND) => self.register(now),
            (What::Leave, Code::DELETED) => (self.location, self.token) = (None, None),
            (What::Report(number), Code::EMPTY) if message.kind == Kind::Ack => {
                self.acknowledged.push(number)
            }
            (What::Register | What::Update | What::Leave | What::Report(_) | What::Answer, _) => {}
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
            Code::GET if message.uint(option::OBSERVE).is_none() => self.fetch(message),
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
        self.token = Some(message.token);
        let answer = Builder::new(Kind::Ack, Code::CONTENT, message.mid, message.token);
        answer.uint(option::OBSERVE, self.sequence).payload(&[0])
    }

    /// A block of the newest large report.
    fn large_block(&self, message: Builder, observe: Option<u32>, number: u32) -> Vec<u8> {
        let (name, body) = &self.large;
        let block = Block {
            number,
            more: false,
            exponent: EXPONENT,
        };
        let rest = body.get(block.offset()..).unwrap_or_default();
        let block = Block {
            more: rest.len() > block.size(),
            ..block
        };
        let message = message.option(option::ETAG, &name.to_be_bytes());
        let message = observe
            .into_iter()
            .fold(message, |message, number| message.uint(option::OBSERVE, number));
        message
            .uint(option::BLOCK2, block.value())
            .payload(&rest[..rest.len().min(block.size())])
    }

    fn fetch(&self, message: &Message<'_>) -> Vec<u8> {
        let block = message
            .block(option::BLOCK2)
            .unwrap()
            .expect("a block is asked for");
        assert_eq!(block.exponent, EXPONENT);
        let answer = Builder::new(Kind::Ack, Code::CONTENT, message.mid, message.token);
        self.large_block(answer, None, block.number)
    }

    fn write(&mut self, now: u64, message: &Message<'_>) -> Vec<u8> {
        assert!(message.path_is(&["19", "1", "0"]) && message.uint(option::CONTENT_FORMAT) == Some(42));
        let at_once = |code| Builder::new(Kind::Ack, code, message.mid, message.token);
        if message.payload.len() > BUFFER {
            return at_once(Code::TOO_LARGE).done();
        }
        let Some(block) = message.block(option::BLOCK1).unwrap() else {
            return self.execute(now, message, message.payload.to_vec());
        };
        if block.number == 0 {
            self.body.clear();
        }
        if self.body.len() != block.offset() {
            return at_once(Code::INCOMPLETE).done();
        }
        self.body.extend(message.payload);
        if block.more {
            return at_once(Code::CONTINUE).uint(option::BLOCK1, block.value()).done();
        }
        let body = std::mem::take(&mut self.body);
        self.execute(now, message, body)
    }

    fn execute(&mut self, now: u64, message: &Message<'_>, payload: Vec<u8>) -> Vec<u8> {
        self.executed.push(payload);
        match self.manner {
            Manner::AtOnce => Builder::new(Kind::Ack, Code::CHANGED, message.mid, message.token).done(),
            Manner::Confirmable => {
                let mid = self.mid();
                let bytes = Builder::new(Kind::Con, Code::CHANGED, mid, message.token).done();
                self.send(now, mid, bytes, What::Answer);
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
