//! Flows against receivers made of arithmetic.

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A receiver that takes `takes` at once and answers after `latency`. Gives the rate in the last second of `secs`, the most that
/// were in flight in it, and the share that was refused.
fn run(flow: &mut Flow, takes: usize, latency: u64, secs: u64) -> (u64, usize, f64) {
    let mut out: std::collections::VecDeque<(u64, u64, usize)> = std::collections::VecDeque::new();
    let (mut done, mut most, mut refused) = (0, 0, 0);
    for now in 0..secs * 1000 {
        let last = now >= (secs - 1) * 1000;
        while out.front().is_some_and(|(_, end, _)| *end <= now) {
            let (start, _, nth) = out.pop_front().unwrap();
            let in_flight = out.len() + 1;
            if nth > takes {
                flow.failed(nth, ms(start), ms(now));
                refused += u64::from(last);
            } else {
                flow.succeeded(in_flight, ms(now));
                done += u64::from(last);
            }
        }
        while flow.allows(out.len(), ms(now)) {
            flow.started(ms(now));
            out.push_back((now, now + latency, out.len() + 1));
            most = most.max(if last { out.len() } else { 0 });
        }
    }
    (done, most, refused as f64 / (done + refused).max(1) as f64)
}

#[test]
fn one_that_takes_two_hundred_in_parallel_gets_them() {
    let mut flow = Flow::new(256);
    let (rate, most, _) = run(&mut flow, 200, 50, 3);
    assert!(rate >= 3200, "{rate}/s of 4000");
    assert!(most <= 200, "{most}");
}

#[test]
fn one_that_takes_ten_settles_at_ten_or_less() {
    let mut flow = Flow::new(256);
    let (rate, most, refused) = run(&mut flow, 10, 20, 60);
    assert!(most <= 10, "{most}");
    assert!(rate >= 400, "{rate}/s of 500");
    assert_eq!(refused, 0.0);
}

#[test]
fn one_that_came_to_take_more_gets_more() {
    let mut flow = Flow::new(256);
    run(&mut flow, 10, 20, 10);
    let mut flow = Flow { cut_at: Duration::ZERO, raise_at: Duration::ZERO, ..flow };
    run(&mut flow, 200, 20, 120);
    assert!(flow.limit() >= 150, "{}", flow.limit());
}

#[test]
fn a_failure_at_low_load_does_not_cost_everything() {
    let mut flow = Flow::new(256);
    run(&mut flow, 200, 50, 3);
    let before = flow.limit();
    flow.failed(2, ms(9000), ms(9001));
    assert!(flow.limit() >= before / 2);
}

#[test]
fn the_first_second_after_a_recovery_is_bounded() {
    let mut flow = Flow::new(256);
    flow.restart(ms(0));
    let mut started = 0;
    for now in 0..1000 {
        while flow.allows(0, ms(now)) {
            flow.started(ms(now));
            flow.succeeded(flow.limit(), ms(now));
            started += 1;
        }
    }
    assert!((100..=700).contains(&started), "{started}");
    let next = flow.opens_at(0, ms(950)).unwrap();
    assert_eq!(next, ms(1000));
    while flow.allows(0, ms(2000)) {
        flow.started(ms(2000));
        started += 1;
        if started > 10_000 {
            break;
        }
    }
    assert!(started > 10_000, "it binds no more");
}

#[test]
fn a_rate_is_kept() {
    let mut flow = Flow::new(256);
    flow.set_rate(Some(50));
    let mut started = 0;
    for now in 0..2000 {
        while flow.allows(0, ms(now)) {
            flow.started(ms(now));
            started += 1;
        }
    }
    assert!((98..=104).contains(&started), "{started}");
}
