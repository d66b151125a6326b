//! The older access, `t/r` and `t/d`.

use super::*;

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
