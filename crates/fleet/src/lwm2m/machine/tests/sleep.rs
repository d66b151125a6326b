//! A device that sleeps.

use super::*;

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
fn a_sleeper_listens_from_when_its_update_really_went_out() {
    let awake = Duration::from_secs(10);
    let mut bench = ready(binary().sleeping(awake, Duration::from_secs(60)));
    bench.pass();
    bench.device.transmitted(bench.now);
    assert!(bench.device.is_asleep());
    bench.pass();
    let update = bench.next();
    // The session that it goes over took as long to be made.
    bench.now += Duration::from_millis(1500);
    bench.device.transmitted(bench.now);
    bench.answer(&update, 0x44);
    assert_eq!(bench.pass(), awake);
    assert!(bench.device.is_asleep());
}
