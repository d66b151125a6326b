//! From the first message to the last: registration, observation, update, leave.

use super::*;

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
