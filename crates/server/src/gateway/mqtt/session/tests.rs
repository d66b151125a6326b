use std::sync::Arc;

use downlink_core::lifecycle::Reply;
use downlink_core::{CommandBody, Mid, Status};
use downlink_store::Applied;

use super::*;

const SESSION: SessionId = SessionId(7);
const DEVICE: DeviceKey = DeviceKey(1);
const LEGACY: &str = "/huawei/v1/devices/dev/command/json";
const OC: &str = "$oc/devices/dev/sys/commands/#";
const RESULTS: &str = "$oc/devices/dev/sys/commands/response/request_id=";

fn id(n: u32) -> CommandId {
    CommandId::from_parts(1, 0, n, 0)
}

/// The dispatch of command `n`, at QoS 1, with mid `n`.
pub(in super::super) fn dispatch(n: u32) -> Box<Dispatch> {
    Box::new(Dispatch {
        command: id(n),
        device: DEVICE,
        session: SESSION,
        proof: Proof::Ack,
        mid: Mid::new(u16::try_from(n).unwrap()),
        body: Arc::new(CommandBody {
            service: "Lamp".into(),
            method: "SWITCH".into(),
            paras: r#"{"value":1}"#.into(),
        }),
        max_retransmit: None,
        more: false,
        sends: 1,
        expires_at: None,
    })
}

fn bare(n: u32) -> Box<Dispatch> {
    Box::new(Dispatch {
        proof: Proof::ResultOnly,
        mid: None,
        ..*dispatch(n)
    })
}

/// A session under test, and its clock.
struct Rig {
    session: Session,
    ms: u64,
}

fn start(version: Version, family: Option<TopicFamily>) -> Start {
    Start {
        session: SESSION,
        device: DEVICE,
        names: Names::new("dev", None),
        family,
        version,
        keep_alive_secs: 60,
        receive_maximum: u16::MAX,
        max_packet: u32::MAX,
        max_inflight: 3,
        max_result_bytes: 100,
        implicit_subscribe_ms: 1000,
    }
}

impl Rig {
    fn new(version: Version, family: Option<TopicFamily>) -> Self {
        Self::of(start(version, family))
    }

    fn of(start: Start) -> Self {
        let now = Now {
            at: Timestamp::from_millis(1_000_000),
            tick: Tick(0),
        };
        Self {
            session: Session::new(start, now),
            ms: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            at: Timestamp::from_millis(1_000_000 + i64::try_from(self.ms).unwrap()),
            tick: Tick(self.ms),
        }
    }

    fn step(&mut self, step: impl FnOnce(&mut Session, Now, &mut Out)) -> Out {
        let (mut out, now) = (Out::default(), self.now());
        step(&mut self.session, now, &mut out);
        out
    }

    fn packet(&mut self, packet: Packet) -> Out {
        self.step(|session, now, out| session.packet(packet, now, out))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Out {
        let frame = wire::frame(bytes, 1 << 20).unwrap().unwrap();
        self.packet(wire::decode(frame, self.session.version).unwrap())
    }

    fn subscribe(&mut self, filter: &str, qos: u8) -> Out {
        self.packet(Packet::Subscribe(Subscribe {
            packet_id: 5,
            filters: vec![(filter.into(), qos)],
            has_identifier: false,
        }))
    }

    fn unsubscribe(&mut self, filter: &str) -> Out {
        self.packet(Packet::Unsubscribe {
            packet_id: 6,
            filters: vec![filter.into()],
        })
    }

    fn publish(&mut self, topic: &str, payload: &str, packet_id: Option<u16>) -> Out {
        let mut bytes = Vec::new();
        let message = PublishOut {
            topic,
            packet_id,
            expiry: None,
            payload: payload.as_bytes(),
        };
        wire::publish(&mut bytes, self.session.version, message);
        self.bytes(&bytes)
    }

    fn puback(&mut self, packet_id: u16) -> Out {
        self.packet(Packet::Puback { packet_id, reason: 0 })
    }

    fn dispatch(&mut self, dispatch: Box<Dispatch>) -> Out {
        self.step(|session, now, out| session.dispatch(dispatch, now, out))
    }

    fn told(&mut self, message: ToSession) -> Out {
        self.step(|session, now, out| session.told(message, now, out))
    }

    fn tick_at(&mut self, ms: u64) -> Out {
        self.ms = ms;
        self.step(|session, now, out| session.tick(now, out))
    }

    fn wants(&self) -> bool {
        self.session.wants(self.now()).is_some()
    }
}

const fn reach(proof: Proof, needs_mid: bool) -> Reach {
    Reach::Reachable { proof, needs_mid }
}

/// Topic, packet id and payload of the one PUBLISH in `bytes`.
fn published(bytes: &[u8], version: Version) -> (String, Option<u16>, String) {
    let frame = wire::frame(bytes, 1 << 20).unwrap().unwrap();
    assert_eq!(frame.len, bytes.len(), "one packet");
    match wire::decode(frame, version).unwrap() {
        Packet::Publish(publish) => (
            publish.topic().to_owned(),
            publish.packet_id,
            String::from_utf8(publish.payload().to_vec()).unwrap(),
        ),
        other @ (Packet::Puback { .. }
        | Packet::Subscribe(_)
        | Packet::Unsubscribe { .. }
        | Packet::Pingreq
        | Packet::Disconnect) => panic!("{other:?}"),
    }
}

#[test]
fn a_legacy_device_is_reachable_by_what_it_subscribes_to() {
    for (qos, expected) in [(0, Proof::ResultOnly), (1, Proof::Ack), (2, Proof::Ack)] {
        let mut rig = Rig::new(Version::V3, None);
        assert_eq!(rig.session.reach(), Reach::Unreachable);
        let out = rig.subscribe(LEGACY, qos);
        assert_eq!(out.bytes, [0x90, 3, 0, 5, qos.min(1)]);
        assert_eq!(rig.session.reach(), reach(expected, true));
        assert_eq!(out.learned, Some(TopicFamily::Legacy));
        assert!(rig.wants());
    }
    let mut rig = Rig::new(Version::V3, None);
    rig.subscribe("/huawei/v1/devices/dev/command/binary", 1);
    rig.tick_at(5000);
    assert_eq!(rig.session.reach(), Reach::Unreachable);
}

#[test]
fn a_device_of_no_known_family_is_subscribed_after_a_while() {
    for family in [None, Some(TopicFamily::Oc)] {
        let mut rig = Rig::new(Version::V3, family);
        assert_eq!(rig.session.next_tick(), Tick(1000));
        rig.tick_at(999);
        assert_eq!(rig.session.reach(), Reach::Unreachable);
        assert!(rig.tick_at(1000).close.is_none());
        assert_eq!(rig.session.reach(), reach(Proof::ResultOnly, false));
        assert!(rig.wants());
        assert_eq!(rig.session.next_tick(), Tick(90_000));
    }
}

#[test]
fn a_legacy_device_is_never_subscribed_by_itself() {
    let mut known = Rig::new(Version::V3, Some(TopicFamily::Legacy));
    let mut learned = Rig::new(Version::V3, None);
    let out = learned.publish("/huawei/v1/devices/dev/data/json", "{}", None);
    assert_eq!(out.learned, Some(TopicFamily::Legacy));
    let mut late = Rig::new(Version::V3, None);
    late.tick_at(1500);
    late.publish("/huawei/v1/devices/dev/data/json", "{}", None);
    for rig in [&mut known, &mut learned, &mut late] {
        rig.tick_at(5000);
        assert_eq!(rig.session.reach(), Reach::Unreachable);
    }
}

#[test]
fn a_device_that_changed_its_family_is_learned_anew() {
    let mut rig = Rig::new(Version::V3, Some(TopicFamily::Legacy));
    let out = rig.publish("$oc/devices/dev/sys/properties/report", "{}", None);
    assert_eq!(out.learned, Some(TopicFamily::Oc));
    rig.tick_at(1000);
    assert_eq!(rig.session.reach(), reach(Proof::ResultOnly, false));
    let again = rig.publish("$oc/devices/dev/sys/properties/report", "{}", None);
    assert_eq!(again.learned, None);
}

#[test]
fn an_explicit_subscription_replaces_the_implicit_one() {
    let mut rig = Rig::new(Version::V3, Some(TopicFamily::Oc));
    let out = rig.subscribe(OC, 1);
    assert_eq!(rig.session.reach(), reach(Proof::Ack, false));
    assert_eq!(out.learned, None);
    rig.tick_at(1000);
    assert_eq!(rig.session.reach(), reach(Proof::Ack, false));
    let out = rig.unsubscribe(OC);
    assert_eq!(out.bytes, [0xb0, 2, 0, 6]);
    assert_eq!(rig.session.reach(), Reach::Unreachable);
    rig.tick_at(2000);
    assert_eq!(rig.session.reach(), Reach::Unreachable);
    rig.subscribe(OC, 0);
    assert_eq!(rig.session.reach(), reach(Proof::ResultOnly, false));
}

#[test]
fn of_two_filters_one_may_go() {
    let mut rig = Rig::new(Version::V3, None);
    rig.subscribe(LEGACY, 1);
    rig.subscribe("/huawei/v1/devices/dev/command/#", 0);
    assert_eq!(rig.session.reach(), reach(Proof::Ack, true));
    rig.unsubscribe(LEGACY);
    assert_eq!(rig.session.reach(), reach(Proof::ResultOnly, true));
    rig.unsubscribe("/huawei/v1/devices/dev/command/#");
    assert_eq!(rig.session.reach(), Reach::Unreachable);
}

#[test]
fn a_filter_for_everything_is_for_legacy_commands_only() {
    let mut rig = Rig::new(Version::V3, None);
    assert_eq!(rig.subscribe("#", 1).learned, None);
    assert_eq!(rig.session.reach(), reach(Proof::Ack, true));
    let mut oc = Rig::new(Version::V3, Some(TopicFamily::Oc));
    oc.subscribe("#", 1);
    oc.tick_at(1000);
    assert_eq!(oc.session.reach(), reach(Proof::ResultOnly, false));
}

#[test]
fn filters_of_others_are_refused_one_by_one() {
    let filters = [
        (LEGACY, 1, 1),
        ("$oc/devices/other/sys/commands/#", 0x80, 0x87),
        ("$share/g/x", 0x80, 0x9e),
        ("a#", 0x80, 0x8f),
        ("$oc/devices/dev/sys/messages/down", 1, 1),
    ];
    for version in [Version::V3, Version::V5] {
        let mut rig = Rig::new(version, None);
        let out = rig.packet(Packet::Subscribe(Subscribe {
            packet_id: 9,
            filters: filters.map(|(filter, ..)| (filter.to_owned(), 2)).to_vec(),
            has_identifier: false,
        }));
        let codes: Vec<u8> = match version {
            Version::V3 => filters.map(|(_, code, _)| code).to_vec(),
            Version::V5 => filters.map(|(_, _, code)| code).to_vec(),
        };
        assert!(out.bytes.ends_with(&codes), "{:02x?}", out.bytes);
    }
}

#[test]
fn no_more_filters_are_kept_than_allowed() {
    let levels = ["", "huawei", "v1", "devices", "dev", "command", "json"];
    let mut rig = Rig::new(Version::V5, None);
    // All of these, each with other wildcards, match the topic of commands.
    let codes: Vec<u8> = (0..64u8)
        .map(|n| {
            let wild = |at: usize| at > 0 && n >> (at - 1) & 1 == 1;
            let levels = levels.iter().enumerate();
            let filter: Vec<_> = levels
                .map(|(at, &level)| if wild(at) { "+" } else { level })
                .collect();
            *rig.subscribe(&filter.join("/"), 1).bytes.last().unwrap()
        })
        .collect();
    assert!(codes[..50].iter().all(|&code| code == 1), "{codes:02x?}");
    assert!(codes[50..].iter().all(|&code| code == 0x97), "{codes:02x?}");
}

#[test]
fn a_command_is_written_and_its_puback_proves_it() {
    for version in [Version::V3, Version::V5] {
        let mut rig = Rig::new(version, None);
        rig.subscribe(LEGACY, 1);
        let out = rig.dispatch(dispatch(42));
        let (topic, packet_id, payload) = published(&out.bytes, version);
        assert_eq!((topic.as_str(), packet_id), (LEGACY, Some(1)));
        assert_eq!(
            payload,
            r#"{"msgType":"cloudReq","serviceId":"Lamp","cmd":"SWITCH","paras":{"value":1},"mid":42}"#
        );
        assert_eq!(out.dispatched.len(), 1);
        assert_eq!(rig.session.inflight(rig.now()), 1);
        let out = rig.puback(1);
        let [change] = &out.changes[..] else {
            panic!("{:?}", out.changes)
        };
        assert_eq!(change.target, Target::OfDevice(DEVICE, id(42)));
        assert_eq!(change.input, Input::Acked);
        assert_eq!(change.then_send.map(|offer| offer.proof), Some(Proof::Ack));
        assert_eq!(rig.session.inflight(rig.now()), 0);
        assert!(rig.puback(1).changes.is_empty(), "a second one proves nothing");
    }
}

#[test]
fn an_oc_command_carries_its_id_in_the_topic() {
    let mut rig = Rig::new(Version::V5, None);
    rig.subscribe(OC, 1);
    let mut timed = dispatch(3);
    timed.expires_at = Some(Timestamp::from_millis(1_000_000 + 59_001));
    let out = rig.dispatch(timed);
    let (topic, _, payload) = published(&out.bytes, Version::V5);
    assert_eq!(
        topic,
        format!("$oc/devices/dev/sys/commands/request_id={}", id(3))
    );
    assert_eq!(
        payload,
        r#"{"paras":{"value":1},"service_id":"Lamp","command_name":"SWITCH"}"#
    );
    let expiry = [5, 0x02, 0, 0, 0, 60];
    assert!(out.bytes.windows(6).any(|window| window == expiry));
}

#[test]
fn an_error_in_a_puback_ends_the_command() {
    let mut rig = Rig::new(Version::V5, None);
    rig.subscribe(OC, 1);
    rig.dispatch(dispatch(1));
    let out = rig.bytes(&[0x40, 3, 0, 1, 0x97]);
    let why = "the device refused it, reason 0x97".to_owned();
    assert_eq!(out.changes[0].input, Input::Unsendable(why));
    rig.dispatch(dispatch(2));
    let out = rig.bytes(&[0x40, 3, 0, 2, 0x10]);
    assert_eq!(
        out.changes[0].input,
        Input::Acked,
        "no matching subscribers is a success"
    );
}

#[test]
fn results_are_acknowledged_after_their_commit_only() {
    let mut rig = Rig::new(Version::V3, None);
    let text = r#"{"errcode":1,"mid":42,"msgType":"deviceRsp","body":{"r":1}}"#;
    let out = rig.publish("/huawei/v1/devices/dev/data/json", text, Some(8));
    assert_eq!(out.changes[0].target, Target::Mid(DEVICE, Mid::new(42).unwrap()));
    let reply = Reply {
        ok: false,
        body: Some(r#"{"r":1}"#.into()),
        detail: "errcode 1".into(),
    };
    assert_eq!(out.changes[0].input, Input::Replied(reply));
    assert_eq!(
        (out.bytes.as_slice(), out.acks.as_slice()),
        (&[][..], &[0x40, 2, 0, 8][..])
    );
    let out = rig.publish(&format!("{RESULTS}{}?encoding=gzip", id(5)), "{}", None);
    assert_eq!(out.changes[0].target, Target::OfDevice(DEVICE, id(5)));
    assert!(out.acks.is_empty());
}

#[test]
fn what_is_no_result_is_acknowledged_and_counted_if_it_tried_to_be_one() {
    let results = format!("{RESULTS}{}", id(5));
    let unknown = format!("{RESULTS}42");
    let cases = [
        (
            "/huawei/v1/devices/dev/data/json",
            r#"{"msgType":"deviceReq","data":[]}"#,
            0,
        ),
        ("/huawei/v1/devices/dev/data/json", "nonsense", 1),
        (
            "/huawei/v1/devices/dev/data/json",
            r#"{"msgType":"deviceRsp","errcode":0}"#,
            1,
        ),
        ("/huawei/v1/devices/dev/data/binary", "\x01", 0),
        ("$oc/devices/dev/sys/properties/report", "{}", 0),
        (results.as_str(), "nonsense", 1),
        (results.as_str(), "\u{1f}", 1),
        (unknown.as_str(), "{}", 1),
    ];
    for (topic, payload, unmatched) in cases {
        let mut rig = Rig::new(Version::V3, None);
        let out = rig.publish(topic, payload, Some(3));
        assert!(out.changes.is_empty() && out.close.is_none(), "{topic} {payload}");
        assert_eq!(out.unmatched, unmatched, "{topic} {payload}");
        assert_eq!(out.acks, [0x40, 2, 0, 3]);
    }
}

#[test]
fn what_breaks_the_rules_ends_the_session() {
    let cases: [(&[u8], Reason); 4] = [
        (b"\x34\x06\0\x01t\0\x01\0", Reason::QosNotSupported),
        (b"\x31\x04\0\x01t\0", Reason::RetainNotSupported),
        (b"\x30\x07\0\x01t\x03\x23\0\x01", Reason::TopicAliasInvalid),
        (b"\x30\x03\0\0\0", Reason::TopicAliasInvalid),
    ];
    for (bytes, reason) in cases {
        let out = Rig::new(Version::V5, None).bytes(bytes);
        assert_eq!(out.close, Some(Close::Fault(reason)));
        assert_eq!(out.close.and_then(Close::disconnect), Some(reason));
    }
    let out = Rig::new(Version::V3, None).bytes(b"\x34\x05\0\x01t\0\x01");
    assert_eq!(out.close, Some(Close::Fault(Reason::QosNotSupported)));
    let out = Rig::new(Version::V5, None).bytes(b"\x82\x09\0\x01\x02\x0b\x07\0\x01a\x01");
    assert_eq!(out.close, Some(Close::Fault(Reason::SubscriptionIdsNotSupported)));
}

#[test]
fn topics_of_others_are_not_written_to() {
    let topic = "$oc/devices/other/sys/properties/report";
    let refused = Some(Close::Fault(Reason::NotAuthorized));
    let told = Rig::new(Version::V5, None).publish(topic, "{}", Some(2));
    assert_eq!((told.close, told.trespasses), (None, 1));
    assert_eq!(told.acks, [0x40, 3, 0, 2, 0x87]);
    assert_eq!(
        Rig::new(Version::V5, None).publish(topic, "{}", None).close,
        refused
    );
    assert_eq!(
        Rig::new(Version::V3, None).publish(topic, "{}", Some(2)).close,
        refused
    );
}

#[test]
fn what_cannot_be_written_here_is_given_back() {
    let gives_back = |rig: &mut Rig, dispatch: Box<Dispatch>| {
        let out = rig.told(ToSession::Dispatch(dispatch));
        assert!(out.bytes.is_empty());
        out.not_written.len() == 1
    };
    let mut unreachable = Rig::new(Version::V3, None);
    assert!(gives_back(&mut unreachable, dispatch(1)));
    assert!(!unreachable.wants());
    let mut weaker = Rig::new(Version::V3, None);
    weaker.subscribe(LEGACY, 0);
    weaker.session.sated();
    assert!(gives_back(&mut weaker, dispatch(1)));
    assert!(weaker.wants(), "to be had under the present subscription");
    let mut no_mid = Rig::new(Version::V3, None);
    no_mid.subscribe(LEGACY, 0);
    assert!(gives_back(&mut no_mid, bare(1)));
    let mut other = Rig::new(Version::V3, None);
    other.subscribe(OC, 1);
    let mut foreign = dispatch(1);
    foreign.session = SessionId(6);
    assert!(gives_back(&mut other, foreign));
}

#[test]
fn a_device_gets_no_more_at_once_than_it_said_it_takes() {
    let mut rig = Rig::of(Start {
        receive_maximum: 1,
        ..start(Version::V5, None)
    });
    rig.subscribe(OC, 1);
    assert!(!rig.dispatch(dispatch(1)).bytes.is_empty());
    assert!(rig.dispatch(dispatch(2)).bytes.is_empty());
    assert_eq!(rig.session.inflight(rig.now()), 2);
    // A result before the PUBACK makes no room: the device still owes it.
    let applied = rig.publish(&format!("{RESULTS}{}", id(1)), "{}", None);
    rig.commit(&applied, id(1));
    assert!(rig.dispatch(dispatch(3)).bytes.is_empty());
    let out = rig.puback(1);
    assert!(published(&out.bytes, Version::V5).0.ends_with(&id(2).to_string()));
    assert_eq!(rig.session.take_unwritten().len(), 1);
}

#[test]
fn a_command_too_large_for_the_device_cannot_be_sent() {
    let mut rig = Rig::of(Start {
        max_packet: 100,
        ..start(Version::V5, None)
    });
    rig.subscribe(OC, 1);
    let out = rig.dispatch(dispatch(1));
    assert!(out.bytes.is_empty() && out.dispatched.is_empty());
    assert!(matches!(&out.changes[0].input, Input::Unsendable(why) if why.contains("bytes")));
    assert_eq!(rig.session.inflight(rig.now()), 0);
}

#[test]
fn no_more_is_asked_for_than_may_be_under_way() {
    let mut rig = Rig::new(Version::V3, None);
    rig.subscribe(LEGACY, 1);
    for n in 1..=3 {
        assert!(rig.wants());
        rig.dispatch(dispatch(n));
    }
    assert!(!rig.wants());
    let out = rig.puback(2);
    assert!(out.changes[0].then_send.is_some());
    assert!(rig.wants());
}

#[test]
fn a_bare_command_counts_until_its_result_or_for_a_while() {
    let mut rig = Rig::new(Version::V3, Some(TopicFamily::Oc));
    rig.tick_at(1000);
    for n in 1..=3 {
        let out = rig.dispatch(bare(n));
        assert_eq!(published(&out.bytes, Version::V3).1, None);
    }
    assert!(!rig.wants());
    let out = rig.publish(&format!("{RESULTS}{}", id(2)), "{}", None);
    rig.commit(&out, id(2));
    assert_eq!(rig.session.inflight(rig.now()), 2);
    rig.ms = 31_000;
    assert_eq!(rig.session.inflight(rig.now()), 0);
}

impl Rig {
    /// Answers all changes of `out` as applied to `command`.
    fn commit(&mut self, out: &Out, command: CommandId) -> Out {
        let replied: Vec<_> = out
            .changes
            .iter()
            .map(|change| matches!(change.input, Input::Replied(_)))
            .collect();
        let changed = replied.iter().map(|_| changed(command, None)).collect();
        self.step(|session, now, out| session.committed(changed, &replied, now, out))
    }
}

fn applied(command: CommandId) -> Applied {
    Applied {
        app: downlink_core::AppKey(1),
        command,
        device: DEVICE,
        from: Status::Sent,
        status: Status::Delivered,
        seq: 2,
        deadline: None,
        push: None,
    }
}

fn changed(command: CommandId, next: Option<u32>) -> Changed {
    Changed {
        outcome: Some(Ok(applied(command))),
        next: next.map(|n| (applied(id(n)), *dispatch(n))),
    }
}

#[test]
fn the_next_command_leaves_with_the_commit_of_the_one_before() {
    let mut rig = Rig::new(Version::V3, None);
    rig.subscribe(LEGACY, 1);
    rig.dispatch(dispatch(1));
    rig.puback(1);
    let changed = vec![changed(id(1), Some(2))];
    let out = rig.step(|session, now, out| session.committed(changed, &[false], now, out));
    assert!(published(&out.bytes, Version::V3).2.ends_with(r#""mid":2}"#));
}

#[test]
fn answers_that_fit_nothing_are_counted() {
    let mut rig = Rig::new(Version::V3, None);
    let refused = |refusal| Changed {
        outcome: Some(Err(refusal)),
        next: None,
    };
    let none = Changed {
        outcome: None,
        next: None,
    };
    let changed = vec![
        refused(Refusal::Duplicate),
        refused(Refusal::Stray),
        refused(Refusal::TooLate),
        none,
        refused(Refusal::Duplicate),
    ];
    let replied = [true, true, true, true, false];
    let out = rig.step(|session, now, out| session.committed(changed, &replied, now, out));
    assert_eq!(out.unmatched, 4);
}

#[test]
fn a_device_that_owes_an_acknowledgement_too_long_is_half_dead() {
    let mut rig = Rig::new(Version::V5, None);
    rig.subscribe(OC, 1);
    rig.dispatch(dispatch(1));
    rig.dispatch(dispatch(2));
    assert_eq!(rig.told(ToSession::AckOverdue(id(9))).close, None);
    rig.puback(1);
    assert_eq!(rig.told(ToSession::AckOverdue(id(1))).close, None);
    assert_eq!(
        rig.told(ToSession::AckOverdue(id(2))).close,
        Some(Close::HalfDead)
    );
}

#[test]
fn a_device_whose_result_came_is_not_half_dead() {
    let mut rig = Rig::new(Version::V5, None);
    rig.subscribe(OC, 1);
    rig.dispatch(dispatch(1));
    let out = rig.publish(&format!("{RESULTS}{}", id(1)), "{}", None);
    rig.commit(&out, id(1));
    assert_eq!(rig.session.inflight(rig.now()), 0);
    assert_eq!(rig.told(ToSession::AckOverdue(id(1))).close, None);
}

#[test]
fn a_device_that_never_acknowledges_but_answers_goes_on_getting_commands() {
    let mut rig = Rig::new(Version::V3, None);
    rig.subscribe(OC, 1);
    for n in 1..=100 {
        assert!(rig.wants(), "{n}");
        assert!(!rig.dispatch(dispatch(n)).bytes.is_empty(), "{n}");
        let out = rig.publish(&format!("{RESULTS}{}", id(n)), "{}", None);
        rig.commit(&out, id(n));
    }
    assert!(rig.session.flight.owed() <= 6);
}

/// What others see of a session changes only when it looks at the clock: a device that is silent must not stay full.
#[test]
fn a_silent_device_at_qos_0_is_looked_at_when_its_commands_cease_to_count() {
    let mut rig = Rig::new(Version::V3, Some(TopicFamily::Oc));
    rig.tick_at(1000);
    for n in 1..=3 {
        rig.dispatch(bare(n));
    }
    assert_eq!(rig.session.inflight(rig.now()), 3);
    assert_eq!(rig.session.next_tick(), Tick(31_000));
    rig.tick_at(31_000);
    assert_eq!(rig.session.inflight(rig.now()), 0);
    assert_eq!(
        rig.session.next_tick(),
        Tick(90_000),
        "nothing more is due but its silence"
    );
}

#[test]
fn silence_ends_the_session_and_any_packet_puts_it_off() {
    let mut rig = Rig::new(Version::V5, Some(TopicFamily::Legacy));
    assert_eq!(rig.session.next_tick(), Tick(90_000));
    rig.ms = 80_000;
    assert_eq!(rig.packet(Packet::Pingreq).bytes, [0xd0, 0]);
    assert_eq!(rig.tick_at(90_000).close, None);
    assert_eq!(rig.session.next_tick(), Tick(170_000));
    let out = rig.tick_at(170_000);
    assert_eq!(out.close, Some(Close::Silent));
    assert_eq!(Close::Silent.disconnect(), Some(Reason::KeepAliveTimeout));
    assert_eq!(rig.packet(Packet::Disconnect).close, Some(Close::Bye));
}

#[test]
fn packet_ids_in_use_are_passed_by() {
    let mut flight = Flight::default();
    for n in 1..=3 {
        let packet_id = flight.packet_id();
        flight.written(id(n), Some(packet_id), Tick(0));
    }
    while flight.packet_id() != u16::MAX {}
    flight.acked(2);
    assert_eq!(flight.packet_id(), 2);
}
