//! What has to hold for any bytes that a connection brings: they are read the same however they are cut into pieces, every
//! message of the device is answered once, every command handed to the session is accounted for, and nothing is kept
//! beyond the longest packet.
//!
//! The first byte says what the session is, the second seeds the cuts; the rest is the stream. The fuzz target and the tests
//! that replay its corpus both call [`check`].

use std::collections::BTreeSet;
use std::sync::Arc;

use downlink_core::{CommandBody, CommandId, DeviceKey, Mid, Proof, SessionId, Timestamp, TopicFamily};
use downlink_store::{Dispatch, Target};

use super::bytes::take_in;
use crate::engine::ToSession;
use crate::gateway::mqtt::session::{Now, Out, Session, Start, Tick};
use crate::gateway::mqtt::topic::Names;
use crate::gateway::mqtt::wire::{self, Packet, PublishOut, Version};

const SESSION: SessionId = SessionId(7);
const DEVICE: DeviceKey = DeviceKey(1);
/// Longest packet of these sessions, in bytes.
const MAX_PACKET: usize = 4096;

/// Checks a script.
pub(crate) fn check(script: &[u8]) {
    let [kind, cuts, stream @ ..] = script else { return };
    opening(stream);
    let version = version(*kind);
    packets(stream, version);
    pieces(stream, *kind, *cuts);
    accounts(stream, *kind, *cuts);
}

fn version(kind: u8) -> Version {
    match kind & 1 {
        0 => Version::V3,
        _ => Version::V5,
    }
}

fn session(kind: u8) -> Session {
    let start = Start {
        session: SESSION,
        device: DEVICE,
        names: Names::new("dev", (kind & 2 != 0).then_some("node")),
        family: [None, Some(TopicFamily::Legacy), Some(TopicFamily::Oc), None][usize::from(kind >> 2 & 3)],
        version: version(kind),
        keep_alive_secs: 60,
        receive_maximum: if kind & 16 == 0 { u16::MAX } else { 1 },
        max_packet: u32::MAX,
        max_inflight: 3,
        max_result_bytes: 256,
        implicit_subscribe_ms: 1000,
    };
    let mut session = Session::new(start, now(0));
    session.hear_out(kind & 32 != 0);
    session
}

fn now(ms: u64) -> Now {
    let at = Timestamp::from_millis(1_800_000_000_000 + i64::try_from(ms).unwrap_or(0));
    Now { at, tick: Tick(ms) }
}

/// The stream as a connection's first packet: taken or refused.
fn opening(stream: &[u8]) {
    if let Ok(Some(frame)) = wire::frame(stream, MAX_PACKET) {
        assert!(frame.len <= stream.len() && frame.body.len() < frame.len);
        if let Ok(connect) = wire::decode_connect(frame) {
            assert!(connect.client_id.len() <= frame.len && connect.receive_maximum > 0);
        }
    }
}

/// A message of the device that is written by us is read as the same.
fn packets(mut stream: &[u8], version: Version) {
    while let Ok(Some(frame)) = wire::frame(stream, MAX_PACKET) {
        stream = &stream[frame.len..];
        let Ok(Packet::Publish(publish)) = wire::decode(frame, version) else {
            continue;
        };
        if publish.qos > 1 || publish.topic().is_empty() {
            continue;
        }
        let message = PublishOut {
            topic: publish.topic(),
            packet_id: publish.packet_id,
            expiry: (frame.body.len() & 1 == 1).then_some(60),
            payload: publish.payload(),
        };
        let mut bytes = Vec::new();
        wire::publish(&mut bytes, version, message);
        assert_eq!(bytes.len(), wire::publish_size(version, message));
        let again = wire::frame(&bytes, usize::MAX).ok().flatten();
        let again = again.map(|frame| wire::decode(frame, version));
        let Some(Ok(Packet::Publish(again))) = again else {
            panic!("what was written cannot be read: {again:?}");
        };
        assert_eq!(
            (again.topic(), again.packet_id, again.payload()),
            (publish.topic(), publish.packet_id, publish.payload())
        );
    }
}

/// Whole or in pieces, it means the same.
fn pieces(stream: &[u8], kind: u8, cuts: u8) {
    let whole = {
        let (mut session, mut rest, mut out) = (session(kind), Vec::new(), Out::default());
        take_in(&mut rest, stream, MAX_PACKET, &mut session, now(0), &mut out);
        format!("{out:?} {session:?}")
    };
    let (mut session, mut rest, mut out) = (session(kind), Vec::new(), Out::default());
    for piece in Pieces::new(stream, cuts) {
        take_in(&mut rest, piece, MAX_PACKET, &mut session, now(0), &mut out);
        assert!(rest.len() <= MAX_PACKET, "more is kept than the longest packet");
        if out.close.is_some() {
            break;
        }
    }
    assert_eq!(whole, format!("{out:?} {session:?}"), "cut by {cuts}");
}

/// The stream, cut at places that follow from a seed.
struct Pieces<'a> {
    rest: &'a [u8],
    dice: u32,
}

impl<'a> Pieces<'a> {
    fn new(stream: &'a [u8], seed: u8) -> Self {
        Self {
            rest: stream,
            dice: u32::from(seed) + 1,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // Marsaglia, xorshift32.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        let most = [1, 3, 20, 2000][(self.dice >> 8) as usize & 3];
        let length = 1 + (self.dice >> 16) as usize % most;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        (!piece.is_empty()).then_some(piece)
    }
}

/// A whole life: commands come and time passes between the pieces; at the end the books are balanced.
fn accounts(stream: &[u8], kind: u8, cuts: u8) {
    let mut books = Books::default();
    let (mut session, mut rest, mut ms) = (session(kind), Vec::new(), 0);
    for (n, piece) in (0..).zip(Pieces::new(stream, cuts)) {
        let mut out = Out::default();
        ms += u64::from(cuts) * 16;
        take_in(&mut rest, piece, MAX_PACKET, &mut session, now(ms), &mut out);
        books.take(&out);
        if out.close.is_some() {
            break;
        }
        let mut out = Out::default();
        let dispatch = dispatch(n);
        books.given.insert(dispatch.command);
        session.told(ToSession::Dispatch(Box::new(dispatch)), now(ms), &mut out);
        session.tick(now(ms), &mut out);
        books.take(&out);
    }
    let unwritten = session.take_unwritten();
    books
        .ended
        .extend(unwritten.iter().map(|dispatch| dispatch.command));
    assert!(session.inflight(now(ms)) <= books.ended.len());
    assert_eq!(
        books.given,
        books.ended.iter().copied().collect(),
        "not all came back"
    );
    assert_eq!(books.given.len(), books.ended.len(), "one came back twice");
}

/// Commands that were given to a session, and what came back: written, refused or given back.
#[derive(Default)]
struct Books {
    given: BTreeSet<CommandId>,
    ended: Vec<CommandId>,
}

impl Books {
    fn take(&mut self, out: &Out) {
        let written = out.dispatched.iter().map(|(_, dispatch)| dispatch.command);
        let back = out.not_written.iter().map(|dispatch| dispatch.command);
        self.ended.extend(written.chain(back));
        for change in &out.changes {
            match change.target {
                Target::OfDevice(device, _) | Target::Mid(device, _) => assert_eq!(device, DEVICE),
                Target::Command(_) | Target::OfApp(..) => panic!("a device speaks for itself only"),
            }
        }
        let (mut bytes, mut acks) = (out.bytes.as_slice(), out.acks.as_slice());
        for written in [&mut bytes, &mut acks] {
            while let Ok(Some(frame)) = wire::frame(written, usize::MAX) {
                *written = &written[frame.len..];
            }
            assert!(written.is_empty(), "what is written is packets");
        }
    }
}

fn dispatch(n: u32) -> Dispatch {
    let acked = n % 4 != 3;
    Dispatch {
        command: CommandId::from_parts(1, 0, n, 0),
        device: DEVICE,
        session: SESSION,
        proof: if acked { Proof::Ack } else { Proof::ResultOnly },
        mid: Mid::new((n % 65_535) as u16 + 1),
        body: Arc::new(CommandBody {
            service: "Lamp".into(),
            method: "SWITCH".into(),
            paras: r#"{"value":1}"#.into(),
        }),
        max_retransmit: None,
        more: false,
        sends: 1,
        expires_at: None,
    }
}
