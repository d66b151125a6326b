//! Flows against receivers made of arithmetic.

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A receiver that takes `takes` at once and answers after `latency`. Of the second half of `secs` seconds, gives the rate, the most
/// that were in flight, and the share that was refused.
fn run(flow: &mut Flow, takes: usize, latency: u64, secs: u64) -> (u64, usize, f64) {
    let mut out: std::collections::VecDeque<(u64, u64, usize)> = std::collections::VecDeque::new();
    let (mut done, mut most, mut refused) = (0, 0, 0);
    for now in 0..secs * 1000 {
        let last = now >= secs * 500;
        while out.front().is_some_and(|(_, end, _)| *end <= now) {
            let (start, _, nth) = out.pop_front().unwrap();
            if nth > takes {
                flow.failed(nth, ms(start), ms(now));
                refused += u64::from(last);
            } else {
                flow.succeeded(nth, ms(now));
                done += u64::from(last);
            }
        }
        while flow.allows(out.len(), ms(now)) {
            flow.started(out.len() + 1, ms(now));
            out.push_back((now, now + latency, out.len() + 1));
            most = most.max(if last { out.len() } else { 0 });
        }
    }
    (
        done * 2 / secs,
        most,
        refused as f64 / (done + refused).max(1) as f64,
    )
}

#[test]
fn one_that_takes_two_hundred_in_parallel_gets_them() {
    let mut flow = Flow::new(256);
    let (rate, _, refused) = run(&mut flow, 200, 50, 4);
    assert!(rate >= 3200, "{rate}/s of 4000");
    assert!(refused < 0.01, "{refused}");
}

/// A receiver that is busy: it looks every 20 ms at what has come since, in any order, takes as many as make `takes` at once, for
/// 50 ms, and refuses the others at once. Gives what it took a second, of the second half.
fn run_busy(flow: &mut Flow, takes: usize, secs: u64, mut random: u64) -> u64 {
    let (mut unread, mut taken, mut done) = (Vec::new(), Vec::new(), 0);
    for now in 0..secs * 1000 {
        while flow.allows(unread.len() + taken.len(), ms(now)) {
            let nth = unread.len() + taken.len() + 1;
            flow.started(nth, ms(now));
            unread.push((now, nth));
        }
        if now % 20 != 0 {
            continue;
        }
        let before = taken.len();
        taken.retain(|(end, _)| *end > now);
        done += if now >= secs * 500 {
            before - taken.len()
        } else {
            0
        };
        for _ in taken.len()..before {
            flow.succeeded(flow.limit(), ms(now));
        }
        while !unread.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (start, nth) = unread.swap_remove((random >> 33) as usize % unread.len());
            if taken.len() < takes {
                taken.push((now + 50, nth));
            } else {
                flow.failed(nth, ms(start), ms(now));
            }
        }
    }
    done as u64 * 2 / secs
}

/// Found by `bench receivers --capacity`: one of those that were refused had started as one of the first, and so the flow stood at half
/// of what the receiver takes for many seconds.
#[test]
fn one_that_reads_a_burst_in_any_order_gets_what_it_takes() {
    for seed in 0..20 {
        let mut flow = Flow::new(256);
        let rate = run_busy(&mut flow, 200, 2, seed);
        // One has its answer after 80 ms, as it looks only so often.
        assert!(rate >= 2_250, "{rate}/s of 2500, seed {seed}");
        assert!(flow.limit() >= 180, "{} of 200, seed {seed}", flow.limit());
    }
}

/// Few are in flight when the refusal comes, for want of more to send: it was one of many all the same.
#[test]
fn a_refusal_that_comes_when_little_is_there_to_be_sent_was_one_of_many() {
    let mut flow = Flow::new(256);
    run(&mut flow, 200, 50, 4);
    let before = flow.limit();
    flow.started(before, ms(9000));
    flow.started(20, ms(9040));
    flow.failed(before, ms(9000), ms(9050));
    assert_eq!(flow.limit(), before - 1);
}

#[test]
fn failures_far_apart_at_low_load_leave_it_what_one_is_given_that_is_not_known() {
    let mut flow = Flow::new(256);
    run(&mut flow, 200, 50, 4);
    let hesitates = flow.hesitate;
    for minute in 1..20 {
        flow.started(1, ms(minute * 60_000));
        flow.failed(1, ms(minute * 60_000), ms(minute * 60_000 + 5));
    }
    assert_eq!((flow.limit(), flow.hesitate), (FIRST, hesitates));
}

/// Attempts that hang end long after those that failed at once, and after probes that were accepted.
#[test]
fn what_started_before_it_worked_again_does_not_count_after() {
    let mut flow = Flow::new(256);
    run(&mut flow, 200, 50, 4);
    for nth in 1..=180 {
        flow.failed(nth, ms(5000), ms(5001));
    }
    flow.started(1, ms(6000));
    flow.failed(1, ms(6000), ms(6001));
    flow.restart(ms(12_000));
    for n in 0..200 {
        flow.started(n + 1, ms(12_100));
        flow.succeeded(flow.limit(), ms(12_150));
    }
    let before = flow.limit();
    assert!(before > 150, "{before}");
    for nth in 181..=200 {
        flow.failed(nth, ms(5000), ms(20_000));
    }
    assert_eq!(flow.limit(), before);
}

#[test]
fn one_that_takes_ten_settles_at_ten_or_less() {
    let mut flow = Flow::new(256);
    let (rate, most, refused) = run(&mut flow, 10, 20, 60);
    // It is tried again now and then whether it takes more.
    assert!(flow.limit() <= 10 && most <= 11, "{most}");
    assert!(rate >= 450, "{rate}/s of 500");
    assert!(refused < 0.0003, "{refused}");
}

/// The longer it stays as it is, the less often more is tried.
#[test]
fn what_fails_again_and_again_is_tried_ever_less() {
    let mut flow = Flow::new(256);
    let (rate, most, refused) = run(&mut flow, 10, 20, 1200);
    let refusals = refused * 600.0 * rate as f64;
    assert!(refusals < 8.0, "{refusals} in ten minutes");
    assert!(flow.limit() <= 10 && most <= 11, "{most}");
}

#[test]
fn one_that_came_to_take_more_gets_more() {
    let mut flow = Flow::new(256);
    run(&mut flow, 10, 20, 10);
    let mut flow = Flow {
        cut: Cut::none(Duration::ZERO),
        raise_at: Duration::ZERO,
        ..flow
    };
    run(&mut flow, 200, 20, 120);
    assert!(flow.limit() >= 150, "{}", flow.limit());
}

#[test]
fn a_failure_at_low_load_does_not_cost_everything() {
    let mut flow = Flow::new(256);
    run(&mut flow, 200, 50, 3);
    let before = flow.limit();
    flow.started(2, ms(9000));
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
            flow.started(1, ms(now));
            flow.succeeded(flow.limit(), ms(now));
            started += 1;
        }
    }
    assert!((100..=700).contains(&started), "{started}");
    let next = flow.opens_at(0, ms(950)).unwrap();
    assert_eq!(next, ms(1000));
    while flow.allows(0, ms(2000)) {
        flow.started(1, ms(2000));
        started += 1;
        if started > 10_000 {
            break;
        }
    }
    assert!(started > 10_000, "it binds no more");
}

/// What the store knows is told again now and then. Found from outside: each time it had its rate anew.
#[test]
fn a_rate_is_kept_however_often_it_is_told() {
    let mut flow = Flow::new(256);
    let mut started = 0;
    for now in 0..2000 {
        flow.set_rate(Some(50));
        while flow.allows(0, ms(now)) {
            flow.started(1, ms(now));
            started += 1;
        }
    }
    assert!((98..=104).contains(&started), "{started}");
}

/// A receiver that is always asked for all it is given, answers after `latency`, and `a_second` at the most, the others wait. Gives the
/// rate, and how many were in flight on average, of the second half. `latency` in microseconds, the time in seconds.
fn busy(flow: &mut Flow, latency: u64, a_second: u64, time: std::ops::Range<u64>) -> (u64, usize) {
    let us = Duration::from_micros;
    let mut out: std::collections::VecDeque<(u64, usize)> = std::collections::VecDeque::new();
    let (mut now, until) = (time.start * 1_000_000, time.end * 1_000_000);
    let (half, mut free_at, mut done, mut in_flight) = ((now + until) / 2, 0, 0, 0);
    while now < until {
        while flow.allows(out.len(), us(now)) {
            flow.started(out.len() + 1, us(now));
            free_at = free_at.max(now) + 1_000_000 / a_second;
            out.push_back(((now + latency).max(free_at), out.len()));
        }
        let (end, nth) = out.pop_front().unwrap();
        now = now.max(end);
        flow.succeeded(nth, us(now));
        if now > half {
            done += 1;
            in_flight += out.len() + 1;
        }
    }
    (done * 1_000_000 / (until - half), in_flight / done as usize)
}

#[test]
fn one_that_is_fast_with_few_is_given_few() {
    let mut flow = Flow::new(256);
    let (rate, in_flight) = busy(&mut flow, 200, 25_000, 0..10);
    assert!(rate > 24_000 && in_flight <= 24, "{rate}/s with {in_flight}");
}

#[test]
fn one_that_needs_many_to_be_fast_is_given_many() {
    let mut flow = Flow::new(256);
    let (rate, in_flight) = busy(&mut flow, 10_000, 20_000, 0..10);
    assert!(rate > 16_000 && in_flight > 128, "{rate}/s with {in_flight}");
    let (rate, _) = busy(&mut Flow::new(256), 2_000, 1_000_000, 0..10);
    assert!(rate > 100_000, "{rate}/s of 128,000");
}

#[test]
fn one_that_becomes_slower_is_given_more_again() {
    let mut flow = Flow::new(256);
    busy(&mut flow, 200, 25_000, 0..3);
    assert!(flow.limit() <= 32, "{}", flow.limit());
    let (rate, _) = busy(&mut flow, 50_000, 25_000, 3..23);
    assert!(rate > 4_500, "{rate}/s of 5,120");
}

#[test]
fn one_that_is_fast_with_few_is_given_few_soon_after_a_rest_too() {
    let mut flow = Flow::new(256);
    busy(&mut flow, 200, 25_000, 0..10);
    // As after a rest: what came meanwhile took long, and it was given more.
    for half_ms in 0..2000 {
        flow.succeeded(flow.limit(), Duration::from_micros(10_000_000 + 500 * half_ms));
    }
    assert_eq!(flow.limit(), 256);
    let (_, in_flight) = busy(&mut flow, 200, 25_000, 11..12);
    assert!(in_flight <= 24, "{in_flight}");
}
