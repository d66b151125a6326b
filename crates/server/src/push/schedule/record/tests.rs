use super::super::tests::{MS, accept, duty, id, limits, record, secs, start_all};
use super::super::{Limits, Schedule};
use downlink_core::Status;
use downlink_store::PushDuty;

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

#[test]
fn acceptances_before_the_last_are_recorded_with_it() {
    let mut schedule = with_wait();
    schedule.hint(ending(&[1, 2, 3]), MS);
    for _ in [1, 2] {
        start_all(&mut schedule, MS);
        accept(&mut schedule, 1, MS);
        assert_eq!(record(&mut schedule, MS), [], "one more follows");
    }
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 3)]);
    assert_eq!(record(&mut schedule, secs(9)), [], "once");
}

#[test]
fn an_acceptance_whose_last_does_not_follow_is_recorded_within_the_wait() {
    let mut schedule = with_wait();
    schedule.hint(duty(1, 80, &[1]), MS);
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    let at = schedule.next_wake().expect("it is looked at again");
    assert!(at <= MS + secs(1), "{at:?}");
    assert_eq!(record(&mut schedule, MS), []);
    assert_eq!(record(&mut schedule, at), [(id(1), 1)]);
    assert_eq!((schedule.backlog(), schedule.next_wake()), (0, None));
}

#[test]
fn many_acceptances_that_wait_ring_a_few_times_not_once_each() {
    let mut schedule = with_wait();
    for n in 0..800 {
        let now = MS * n;
        schedule.hint(duty(n, 80, &[1]), now);
        start_all(&mut schedule, now);
        accept(&mut schedule, n, now);
        record(&mut schedule, now);
    }
    let (mut rings, mut recorded) = (0, 0);
    while let Some(at) = schedule.next_wake() {
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
    schedule.hint(duty(1, 80, &[1]), MS);
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    schedule.hint(ending(&[1, 2]), MS);
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 2)]);
}
