use super::*;
use crate::lwm2m::Payload;
use crate::lwm2m::event::Command;
use crate::lwm2m::settings::{Code, Outcome, Write};
use crate::lwm2m::wire::{self, CoapOption, MessageClass, MessageType, Packet, RequestType};

const TOKEN: [u8; 2] = [0x5a, 1];
const WRITE: &[u8] = &[3, 0, 42, 1];
const RESULT: &[u8] = &[4, 0, 42, 0, 1];

/// A device and the time, and a server that is played by hand.
struct Bench {
    device: Machine,
    now: Instant,
    next_id: u16,
    events: Vec<Event>,
    sent: VecDeque<Packet>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        let mut bench = Self {
            device: Machine::new(Arc::new(settings), 1, now),
            now,
            next_id: 0x2000,
            events: Vec::new(),
            sent: VecDeque::new(),
        };
        bench.device.tick(now);
        bench.collect();
        bench
    }

    fn collect(&mut self) {
        while let Some(output) = self.device.output() {
            match output {
                Output::Datagram(datagram) => self.sent.push_back(wire::read(&datagram).unwrap()),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn give(&mut self, packet: &Packet) {
        self.device.received(&wire::bytes(packet), self.now);
        self.collect();
    }

    fn next(&mut self) -> Packet {
        self.sent.pop_front().expect("the device sent something")
    }

    /// Lets time pass until the device has something to do, and does it.
    fn pass(&mut self) -> Duration {
        let due = self.device.due().expect("something is due");
        assert!(due > self.now, "it is due but not done");
        let passed = due - self.now;
        self.now = due;
        self.device.tick(due);
        self.collect();
        passed
    }

    fn pass_until(&mut self, event: &Event) {
        for _ in 0..100 {
            if self.events.contains(event) {
                return;
            }
            self.pass();
        }
        panic!("no {event:?} in {:?}", self.events);
    }

    fn answer(&mut self, to: &Packet, code: u8) {
        let mut answer = wire::message(
            MessageType::Acknowledgement,
            code.into(),
            to.header.message_id,
            to.get_token(),
        );
        if code == 0x41 {
            wire::set_all(&mut answer, CoapOption::LocationPath, &["rd", "k7"]);
        }
        self.give(&answer);
    }

    fn ask(&mut self, method: RequestType, path: &[&str]) -> Packet {
        self.next_id += 1;
        let mut packet = wire::message(
            MessageType::Confirmable,
            MessageClass::Request(method),
            self.next_id,
            &TOKEN,
        );
        wire::set_all(&mut packet, CoapOption::UriPath, path);
        packet
    }

    fn observe(&mut self, path: &[&str]) -> Packet {
        let mut observe = self.ask(RequestType::Get, path);
        wire::set_number(&mut observe, CoapOption::Observe, 0);
        self.give(&observe);
        self.next()
    }

    fn write(&mut self, payload: &[u8]) -> Packet {
        let mut write = self.ask(RequestType::Put, &["19", "1", "0"]);
        write.payload = payload.to_vec();
        self.give(&write);
        write
    }

    fn acknowledge(&mut self, packet: &Packet) {
        self.answer(packet, 0);
    }
}

fn binary() -> Settings {
    Settings {
        payload: Payload::Binary,
        ..Settings::new("861")
    }
}

fn ready(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    let register = bench.next();
    bench.answer(&register, 0x41);
    bench.observe(&["19", "0", "0"]);
    assert!(bench.device.is_ready());
    bench.events.clear();
    bench
}

fn code(packet: &Packet) -> u8 {
    packet.header.code.into()
}

#[test]
fn it_registers_with_its_name_its_lifetime_and_its_objects() {
    let mut bench = Bench::new(Settings {
        queue_mode: true,
        lifetime: Duration::from_secs(300),
        ..binary()
    });
    let register = bench.next();
    assert_eq!(
        (code(&register), register.header.get_type()),
        (2, MessageType::Confirmable)
    );
    assert_eq!(wire::segments(&register, CoapOption::UriPath), [b"rd"]);
    let query = wire::segments(&register, CoapOption::UriQuery);
    assert_eq!(wire::joined(&query), "lwm2m=1.0/ep=861/b=UQ/lt=300");
    assert_eq!(wire::number(&register, CoapOption::ContentFormat), Some(40));
    bench.answer(&register, 0x41);
    assert_eq!(bench.events, [Event::Registered("rd/k7".into())]);
}

#[test]
fn it_answers_the_observation_with_a_dummy_and_keeps_its_token() {
    let mut bench = Bench::new(binary());
    let register = bench.next();
    bench.answer(&register, 0x41);
    let answer = bench.observe(&["19", "0", "0"]);
    assert_eq!((code(&answer), answer.get_token()), (0x45, &TOKEN[..]));
    assert_eq!(answer.payload, [0]);
    bench.device.report(vec![7], bench.now);
    bench.collect();
    let report = bench.next();
    assert_eq!(
        (code(&report), report.get_token(), &report.payload[..]),
        (0x45, &TOKEN[..], &[7][..])
    );
    let number = |packet: &Packet| wire::number(packet, CoapOption::Observe).unwrap();
    assert!(number(&report) > number(&answer));
}

#[test]
fn a_command_is_acknowledged_carried_out_and_its_result_reported() {
    let mut bench = ready(binary());
    let write = bench.write(WRITE);
    let ack = bench.next();
    assert_eq!(
        (code(&ack), ack.header.message_id),
        (0x44, write.header.message_id)
    );
    assert_eq!(ack.header.get_type(), MessageType::Acknowledgement);
    let result = bench.next();
    assert_eq!((code(&result), &result.payload[..]), (0x45, RESULT));
    assert_eq!(result.header.get_type(), MessageType::Confirmable);
    bench.acknowledge(&result);
    let mid = Some(42);
    let received = Event::Received(Command {
        mid,
        message_id: write.header.message_id,
        payload: WRITE.to_vec(),
    });
    let told = [
        received,
        Event::Acked(mid, Code(0x44)),
        Event::Executed(mid),
        Event::Answered(mid),
        Event::AnswerAcked(mid),
    ];
    assert_eq!(bench.events, told);
}

#[test]
fn a_write_that_comes_twice_gets_the_same_answer_and_is_carried_out_once() {
    let mut bench = ready(binary());
    let write = bench.write(WRITE);
    let (ack, result) = (bench.next(), bench.next());
    bench.acknowledge(&result);
    bench.give(&write);
    assert_eq!(bench.next(), ack);
    assert!(bench.sent.is_empty());
    let executed = bench
        .events
        .iter()
        .filter(|event| **event == Event::Executed(Some(42)));
    assert_eq!(executed.count(), 1);
    assert!(bench.events.contains(&Event::Repeated(write.header.message_id)));
}

#[test]
fn a_write_can_be_refused_reset_or_ignored_and_is_then_not_carried_out() {
    for (manner, wanted) in [
        (
            Write::Refused(Code(0xa3)),
            Some((MessageType::Acknowledgement, 0xa3)),
        ),
        (Write::Reset, Some((MessageType::Reset, 0))),
        (Write::Silent, None),
    ] {
        let mut bench = ready(Settings {
            write: manner,
            ..binary()
        });
        bench.write(WRITE);
        let answer = bench.sent.pop_front();
        let answer = answer.map(|packet| (packet.header.get_type(), code(&packet)));
        assert_eq!(answer, wanted);
        assert!(bench.sent.is_empty() && !bench.events.contains(&Event::Executed(Some(42))));
    }
}

#[test]
fn results_can_fail_take_time_or_stay_away() {
    let takes = Duration::from_secs(3);
    let mut failing = ready(Settings {
        outcome: Outcome::Code(1),
        takes,
        ..binary()
    });
    failing.write(WRITE);
    failing.next();
    assert!(failing.sent.is_empty());
    assert_eq!(failing.pass(), takes);
    assert_eq!(failing.next().payload, [4, 0, 42, 1, 1]);

    let mut silent = ready(Settings {
        outcome: Outcome::Never,
        ..binary()
    });
    silent.write(WRITE);
    silent.next();
    assert!(silent.events.contains(&Event::Executed(Some(42))) && silent.sent.is_empty());
}

#[test]
fn one_report_at_a_time_is_open_and_repeated_until_it_is_acknowledged() {
    let mut bench = ready(binary());
    bench.device.report(vec![1], bench.now);
    bench.device.report(vec![2], bench.now);
    bench.collect();
    let first = bench.next();
    assert!(bench.sent.is_empty());
    bench.pass();
    assert_eq!(bench.next(), first);
    bench.acknowledge(&first);
    assert_eq!(bench.next().payload, [2]);
    bench.pass_until(&Event::GivenUp(What::Report));
    assert_eq!(bench.sent.len(), 4);
}

#[test]
fn reports_without_acknowledgement_go_out_at_once() {
    let mut bench = ready(Settings {
        confirm: false,
        ..binary()
    });
    bench.device.report(vec![1], bench.now);
    bench.device.report(vec![2], bench.now);
    bench.collect();
    let (first, second) = (bench.next(), bench.next());
    assert_eq!(first.header.get_type(), MessageType::NonConfirmable);
    assert_ne!(first.header.message_id, second.header.message_id);
}

#[test]
fn it_renews_its_registration_before_the_lifetime_ends() {
    let mut bench = ready(Settings {
        lifetime: Duration::from_secs(100),
        ..binary()
    });
    for _ in 0..2 {
        assert_eq!(bench.pass(), Duration::from_secs(75));
        let update = bench.next();
        assert_eq!(code(&update), 2);
        assert_eq!(
            wire::joined(&wire::segments(&update, CoapOption::UriPath)),
            "rd/k7"
        );
        bench.answer(&update, 0x44);
    }
    assert_eq!(bench.events, [Event::Updated, Event::Updated]);
}

#[test]
fn it_registers_anew_when_the_server_has_forgotten_it() {
    let mut bench = ready(binary());
    bench.device.update(bench.now);
    bench.collect();
    let update = bench.next();
    bench.answer(&update, 0x84);
    assert_eq!(bench.events, [Event::Forgotten(Code(0x84))]);
    let register = bench.next();
    assert_eq!(wire::segments(&register, CoapOption::UriPath), [b"rd"]);
    // The old observation is gone: a report waits for the new one.
    bench.answer(&register, 0x41);
    bench.device.report(vec![9], bench.now);
    bench.collect();
    assert!(bench.sent.is_empty());
    bench.observe(&["19", "0", "0"]);
    assert_eq!(bench.next().payload, [9]);
}

#[test]
fn a_report_that_is_reset_is_told_again_in_the_next_registration() {
    let mut bench = ready(binary());
    bench.device.report(vec![9], bench.now);
    bench.collect();
    let report = bench.next();
    let reset = wire::message(
        MessageType::Reset,
        MessageClass::Empty,
        report.header.message_id,
        &[],
    );
    bench.give(&reset);
    let register = bench.next();
    bench.answer(&register, 0x41);
    bench.observe(&["19", "0", "0"]);
    assert_eq!(bench.next().payload, [9]);
}

#[test]
fn a_refused_or_unanswered_registration_is_tried_again_after_a_pause() {
    let mut bench = Bench::new(binary());
    let register = bench.next();
    bench.answer(&register, 0x83);
    assert_eq!(bench.events, [Event::Refused(Code(0x83))]);
    assert!(bench.pass() >= PAUSE);
    bench.next();
    bench.pass_until(&Event::GivenUp(What::Register));
    assert!(bench.pass() >= PAUSE * 2);
}

#[test]
fn an_answer_may_come_in_a_message_of_its_own() {
    let mut bench = Bench::new(binary());
    let register = bench.next();
    bench.acknowledge(&register);
    assert!(bench.events.is_empty());
    let created = wire::message(MessageType::Confirmable, 0x41.into(), 77, register.get_token());
    bench.give(&created);
    assert_eq!(bench.events, [Event::Registered(String::new())]);
    let ack = bench.next();
    assert_eq!(
        (ack.header.get_type(), ack.header.message_id),
        (MessageType::Acknowledgement, 77)
    );
}

#[test]
fn a_device_that_is_not_observed_registers_again() {
    let mut bench = Bench::new(binary());
    let register = bench.next();
    bench.answer(&register, 0x41);
    bench.pass_until(&Event::Unobserved);
    assert_eq!(wire::segments(&bench.next(), CoapOption::UriPath), [b"rd"]);
}

#[test]
fn a_device_that_leaves_says_so_and_falls_silent() {
    let mut bench = ready(binary());
    bench.device.leave(bench.now);
    bench.collect();
    let delete = bench.next();
    assert_eq!(code(&delete), 4);
    assert!(!bench.device.has_left());
    bench.answer(&delete, 0x42);
    assert_eq!(bench.events, [Event::Deregistered]);
    assert!(bench.device.has_left() && bench.device.due().is_none());
}

#[test]
fn a_sleeper_loses_what_comes_and_wakes_with_an_update() {
    let (awake, asleep) = (Duration::from_secs(10), Duration::from_secs(60));
    let mut bench = ready(binary().sleeping(awake, asleep));
    assert_eq!(bench.pass(), awake);
    assert_eq!(bench.events, [Event::Asleep]);
    bench.write(WRITE);
    assert!(bench.sent.is_empty());
    assert_eq!(bench.events.last(), Some(&Event::Missed));
    assert_eq!(bench.pass(), asleep);
    let update = bench.next();
    assert_eq!(
        wire::joined(&wire::segments(&update, CoapOption::UriPath)),
        "rd/k7"
    );
    bench.answer(&update, 0x44);
    bench.write(WRITE);
    assert_eq!(code(&bench.next()), 0x44);
}

#[test]
fn a_sleeper_listens_as_long_as_its_message_is_open_and_after_each_uplink() {
    let awake = Duration::from_secs(10);
    let mut bench = ready(binary().sleeping(awake, Duration::from_secs(60)));
    bench.now += Duration::from_secs(9);
    bench.write(WRITE);
    bench.next();
    let result = bench.next();
    for _ in 0..3 {
        bench.pass();
        assert!(!bench.device.is_asleep());
        bench.next();
    }
    bench.acknowledge(&result);
    // Its last repetition was just now.
    assert_eq!(bench.pass(), awake);
    assert!(bench.device.is_asleep());
}

#[test]
fn a_result_wakes_a_sleeper() {
    let settings = binary().sleeping(Duration::from_secs(10), Duration::from_secs(60));
    let mut bench = ready(Settings {
        takes: Duration::from_secs(25),
        ..settings
    });
    bench.write(WRITE);
    bench.next();
    bench.pass();
    assert!(bench.device.is_asleep());
    assert_eq!(bench.pass(), Duration::from_secs(15));
    assert_eq!(bench.next().payload, RESULT);
}

#[test]
fn the_older_access_registers_is_observed_and_commanded_at_its_own_resources() {
    let mut bench = Bench::new(Settings {
        access: Access::Oc,
        ..binary()
    });
    let register = bench.next();
    assert_eq!(
        wire::joined(&wire::segments(&register, CoapOption::UriPath)),
        "t/r"
    );
    assert_eq!(wire::segments(&register, CoapOption::UriQuery), [b"ep=861"]);
    bench.answer(&register, 0x44);
    bench.observe(&["t", "d"]);
    assert!(bench.device.is_ready());
    let mut command = bench.ask(RequestType::Post, &["t", "d"]);
    command.payload = WRITE.to_vec();
    bench.give(&command);
    assert_eq!(code(&bench.next()), 0x44);
    let result = bench.next();
    assert_eq!(
        (
            &result.payload[..],
            wire::number(&result, CoapOption::ContentFormat)
        ),
        (RESULT, None)
    );
    bench.acknowledge(&result);
    // A second observation makes such a module forget the first.
    bench.observe(&["t", "d"]);
    assert!(!bench.device.is_ready());
}

#[test]
fn the_older_access_wakes_with_a_report() {
    let settings = binary().sleeping(Duration::from_secs(10), Duration::from_secs(60));
    let mut bench = Bench::new(Settings {
        access: Access::Oc,
        ..settings
    });
    let register = bench.next();
    bench.answer(&register, 0x44);
    bench.observe(&["t", "d"]);
    bench.pass_until(&Event::Reported);
    assert_eq!(bench.next().payload, [1, 1]);
}

#[test]
fn a_device_that_is_too_busy_says_so() {
    let mut bench = ready(Settings {
        takes: Duration::from_secs(60),
        ..binary()
    });
    for _ in 0..BUSY {
        bench.write(WRITE);
        assert_eq!(code(&bench.next()), 0x44);
    }
    bench.write(WRITE);
    assert_eq!(code(&bench.next()), 0xa3);
}

#[test]
fn other_requests_are_refused_and_pings_answered() {
    let mut bench = ready(binary());
    let unknown = bench.ask(RequestType::Get, &["3", "0"]);
    bench.give(&unknown);
    assert_eq!(code(&bench.next()), 0x84);
    let wrong = bench.ask(RequestType::Delete, &["19", "1", "0"]);
    bench.give(&wrong);
    assert_eq!(code(&bench.next()), 0x85);
    bench.give(&wire::message(
        MessageType::Confirmable,
        MessageClass::Empty,
        9,
        &[],
    ));
    assert_eq!(bench.next().header.get_type(), MessageType::Reset);
}

#[test]
fn no_datagram_makes_it_panic() {
    let seed = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut bench = ready(binary());
    let template = wire::bytes(&bench.ask(RequestType::Put, &["19", "1", "0"]));
    for _ in 0..20_000 {
        let mut datagram = template.clone();
        for _ in 0..=random.next() % 4 {
            let at = random.next() as usize % datagram.len();
            datagram[at] = random.next() as u8;
        }
        datagram.truncate(random.next() as usize % (datagram.len() + 1));
        bench.device.received(&datagram, bench.now);
        while bench.device.output().is_some() {}
    }
}
