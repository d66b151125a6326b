//! When acceptances are recorded.

use std::time::Duration;

use downlink_core::{CommandId, Status, Timestamp};
use downlink_store::PushDuty;

use super::super::rig::{MS, duty, id, limits, secs};
use super::super::{Ending, Limits, Schedule};
use super::MANY;

fn with_wait() -> Schedule {
    Schedule::new(Limits {
        record_wait: secs(1),
        ..limits()
    })
}

/// The duty to push the changes `seqs` of command 1, the last of which is its end.
fn ending(seqs: &[u16]) -> PushDuty {
    let mut duty = duty(1, 80, seqs);
    if let Some(last) = duty.events.last_mut() {
        last.status = Status::Successful;
    }
    duty
}

fn hint(schedule: &mut Schedule, duty: PushDuty, now: Duration) {
    schedule.hint(duty, now, Timestamp::default());
}

/// Starts what may start, and has it accepted.
fn accept_all(schedule: &mut Schedule, now: Duration) {
    let started: Vec<_> = std::iter::from_fn(|| schedule.start(now)).collect();
    assert!(!started.is_empty());
    for push in started {
        schedule.ended(&push, Ending::Accepted, now, Timestamp::default(), 0);
    }
}

fn record(schedule: &mut Schedule, now: Duration) -> Vec<(CommandId, u16)> {
    let told = schedule.take_accepted(now, 100);
    schedule.recorded(&told, now);
    told.iter().map(|told| (told.command, told.seq)).collect()
}

#[test]
fn acceptances_before_the_last_are_recorded_with_it() {
    let mut schedule = with_wait();
    hint(&mut schedule, ending(&[1, 2, 3]), MS);
    for _ in [1, 2] {
        accept_all(&mut schedule, MS);
        assert_eq!(record(&mut schedule, MS), [], "one more follows");
    }
    accept_all(&mut schedule, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 3)]);
    assert_eq!(record(&mut schedule, secs(9)), [], "once");
}

#[test]
fn an_acceptance_whose_last_does_not_follow_is_recorded_within_the_wait() {
    let mut schedule = with_wait();
    hint(&mut schedule, duty(1, 80, &[1]), MS);
    accept_all(&mut schedule, MS);
    let at = schedule.next_wake(true).expect("it is looked at again");
    assert!(at <= MS + secs(1), "{at:?}");
    assert_eq!(record(&mut schedule, MS), []);
    assert_eq!(record(&mut schedule, at), [(id(1), 1)]);
    assert_eq!(schedule.backlog(), 0);
    assert!(
        schedule.next_wake(true).is_none_or(|wake| wake > secs(30)),
        "only to forget the receiver"
    );
}

#[test]
fn what_cannot_be_recorded_yet_rings_at_no_time() {
    let mut schedule = with_wait();
    hint(&mut schedule, duty(1, 80, &[1]), MS);
    accept_all(&mut schedule, MS);
    let at = schedule.next_wake(true).expect("it is looked at again");
    assert!(
        schedule.next_wake(false).is_none_or(|wake| wake > at),
        "or it would ring for ever from then on"
    );
}

#[test]
fn many_acceptances_that_wait_ring_a_few_times_not_once_each() {
    let mut schedule = with_wait();
    for n in 0..800 {
        let now = MS * n;
        hint(&mut schedule, duty(n, 80, &[1]), now);
        accept_all(&mut schedule, now);
        record(&mut schedule, now);
    }
    let (mut rings, mut recorded) = (0, 0);
    while let Some(at) = schedule.next_wake(true).filter(|at| *at < secs(30)) {
        rings += 1;
        recorded +=
            std::iter::from_fn(|| Some(record(&mut schedule, at).len()).filter(|n| *n > 0)).sum::<usize>();
    }
    assert!(rings <= 4, "{rings} rings");
    assert!(recorded > 0);
    assert_eq!(schedule.backlog(), 0);
}

#[test]
fn an_end_is_recorded_at_once_also_after_a_change_that_waits() {
    let mut schedule = with_wait();
    hint(&mut schedule, duty(1, 80, &[1]), MS);
    accept_all(&mut schedule, MS);
    hint(&mut schedule, ending(&[1, 2]), MS);
    accept_all(&mut schedule, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 2)]);
}

fn with_gather() -> Schedule {
    Schedule::new(Limits {
        record_wait: secs(1),
        record_gather: MS * 20,
        in_flight: 4 * MANY,
        per_receiver: 4 * MANY,
        per_host: usize::MAX,
        backlog: 4 * MANY,
        ..limits()
    })
}

fn end_of(n: usize) -> PushDuty {
    let n = u32::try_from(n).unwrap();
    let mut duty = duty(n, 80, &[1]);
    duty.events[0].status = Status::Successful;
    duty
}

#[test]
fn ends_wait_for_those_of_other_commands_but_not_long() {
    let mut schedule = with_gather();
    for (n, now) in [(1, MS), (2, MS * 10)] {
        hint(&mut schedule, end_of(n), now);
        accept_all(&mut schedule, now);
        assert_eq!(record(&mut schedule, now), []);
    }
    let at = schedule.next_wake(true).expect("it is looked at again");
    assert_eq!(at, MS * 21, "from the first on");
    assert_eq!(record(&mut schedule, at), [(id(1), 1), (id(2), 1)]);
    assert_eq!(schedule.backlog(), 0);
}

#[test]
fn many_ends_do_not_wait() {
    let mut schedule = with_gather();
    for n in 0..MANY {
        assert_eq!(record(&mut schedule, MS), []);
        hint(&mut schedule, end_of(n), MS);
        while let Some(push) = schedule.start(MS) {
            schedule.ended(&push, Ending::Accepted, MS, Timestamp::default(), 0);
        }
    }
    assert!(!record(&mut schedule, MS).is_empty());
}

#[test]
fn a_stop_does_not_wait_for_ends() {
    let mut schedule = with_gather();
    hint(&mut schedule, end_of(1), MS);
    accept_all(&mut schedule, MS);
    assert_eq!(schedule.take_accepted(Duration::MAX, 100).len(), 1);
}
