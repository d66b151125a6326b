//! Commands, their results, reports, and whatever else arrives.

use super::*;

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
