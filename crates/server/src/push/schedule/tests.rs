use downlink_core::Span;

use super::*;

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn limits() -> Limits {
    Limits {
        in_flight: 8,
        per_receiver: 4,
        backlog: 1000,
        backoff: Backoff {
            first: Span::from_secs(1),
            longest: Span::from_secs(600),
        },
        record_wait: Duration::ZERO,
    }
}

pub(super) fn id(n: u32) -> CommandId {
    CommandId::from_parts(1, 0, n, 0)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The duty to push the changes `seqs` of command `n` to the receiver on `port`.
pub(super) fn duty(n: u32, port: u16, seqs: &[u16]) -> PushDuty {
    let event = |seq: &u16| PushEvent {
        seq: *seq,
        status: Status::Sent,
        at: Timestamp::from_millis(0),
        result: None,
    };
    PushDuty {
        command: id(n),
        app: AppKey(1),
        device_id: DeviceId::new("d"),
        receiver: format!("http://na.example:{port}/cmd").into(),
        events: seqs.iter().map(event).collect(),
    }
}

/// Starts all that may start: (command, seq).
pub(super) fn start_all(schedule: &mut Schedule, now: Duration) -> Vec<(CommandId, u16)> {
    std::iter::from_fn(|| schedule.start(now))
        .map(|push| (push.command, push.seq))
        .collect()
}

pub(super) fn accept(schedule: &mut Schedule, n: u32, now: Duration) -> Option<Notice> {
    schedule.ended(id(n), true, now, 0)
}

fn fail(schedule: &mut Schedule, n: u32, now: Duration) -> Option<Notice> {
    schedule.ended(id(n), false, now, 0)
}

pub(super) fn record(schedule: &mut Schedule, now: Duration) -> Vec<(CommandId, u16)> {
    let told = schedule.take_accepted(now, 100);
    schedule.recorded(&told, now);
    told.iter().map(|told| (told.command, told.seq)).collect()
}

#[test]
fn a_command_goes_in_order_one_at_a_time() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[2, 3, 5]), MS);
    for seq in [2, 3, 5] {
        assert_eq!(start_all(&mut schedule, MS), [(id(1), seq)]);
        assert_eq!(start_all(&mut schedule, MS), []);
        accept(&mut schedule, 1, MS);
    }
    assert_eq!(start_all(&mut schedule, MS), []);
    assert_eq!(record(&mut schedule, MS), [(id(1), 5)]);
    assert_eq!((schedule.backlog(), schedule.in_flight()), (0, 0));
}

#[test]
fn a_failed_push_waits_and_holds_back_those_after_it() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[1, 2]), secs(0));
    for (at, pause) in [(0, 1), (1, 2), (3, 4), (7, 8)] {
        assert_eq!(start_all(&mut schedule, secs(at)), [(id(1), 1)]);
        fail(&mut schedule, 1, secs(at));
        assert_eq!(schedule.next_wake(), Some(secs(at + pause)));
        assert_eq!(start_all(&mut schedule, secs(at + pause) - MS), []);
    }
    assert_eq!(start_all(&mut schedule, secs(15)), [(id(1), 1)]);
    accept(&mut schedule, 1, secs(15));
    assert_eq!(start_all(&mut schedule, secs(15)), [(id(1), 2)]);
    assert_eq!(schedule.next_wake(), None);
}

#[test]
fn commands_do_not_wait_for_each_other() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[1]), MS);
    schedule.hint(duty(2, 80, &[1]), MS);
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 1), (id(2), 1)]);
    fail(&mut schedule, 1, MS);
    accept(&mut schedule, 2, MS);
    schedule.hint(duty(3, 80, &[1]), MS);
    assert_eq!(start_all(&mut schedule, MS), [(id(3), 1)]);
}

#[test]
fn repeated_late_and_newer_hints_are_joined() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[1, 2, 3]), MS);
    schedule.hint(duty(1, 80, &[1]), MS);
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 1)]);
    schedule.hint(duty(1, 80, &[1, 2]), MS);
    accept(&mut schedule, 1, MS);
    schedule.hint(duty(1, 80, &[1, 2, 3, 4]), MS);
    for seq in [2, 3, 4] {
        assert_eq!(start_all(&mut schedule, MS), [(id(1), seq)]);
        accept(&mut schedule, 1, MS);
    }
    assert_eq!(start_all(&mut schedule, MS), []);
}

#[test]
fn a_change_that_shows_up_before_the_one_in_flight_is_not_passed_over() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[3]), MS);
    // As if the command were known from 1 on.
    schedule.commands.get_mut(&id(1)).unwrap().accepted = 0;
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 3)]);
    schedule.hint(duty(1, 80, &[2, 3]), MS);
    accept(&mut schedule, 1, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 1)], "2 is not accepted yet");
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 2)]);
}

#[test]
fn hints_from_before_the_record_bring_nothing_back() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[1, 2]), MS);
    for _ in [1, 2] {
        start_all(&mut schedule, MS);
        accept(&mut schedule, 1, MS);
    }
    schedule.hint(duty(1, 80, &[1, 2]), MS);
    assert_eq!(start_all(&mut schedule, MS), [], "accepted, not recorded yet");
    record(&mut schedule, MS);
    schedule.hint(duty(1, 80, &[1, 2]), MS);
    assert_eq!(
        (schedule.backlog(), start_all(&mut schedule, MS)),
        (0, vec![]),
        "let go"
    );
    schedule.hint(duty(1, 80, &[1, 2, 3]), MS);
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 3)], "only what is new");
    accept(&mut schedule, 1, MS);
    record(&mut schedule, MS);
    // Long after, the row that says so is the truth: the receiver is told again rather than never.
    schedule.hint(duty(1, 80, &[3]), secs(120));
    assert_eq!(start_all(&mut schedule, secs(120)), [(id(1), 3)]);
}

#[test]
fn a_command_is_held_until_its_acceptance_is_recorded() {
    let mut schedule = Schedule::new(limits());
    schedule.hint(duty(1, 80, &[1]), MS);
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    let told = schedule.take_accepted(MS, 100);
    assert_eq!(schedule.take_accepted(MS, 100), []);
    schedule.not_recorded(&told);
    assert_eq!(schedule.backlog(), 1);
    // A change that comes in meanwhile goes out, and is recorded with the rest.
    schedule.hint(duty(1, 80, &[1, 2]), MS);
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 2)]);
    accept(&mut schedule, 1, MS);
    assert_eq!(record(&mut schedule, MS), [(id(1), 2)]);
    assert_eq!(schedule.backlog(), 0);
}

#[test]
fn receivers_take_turns_within_their_limits() {
    let mut schedule = Schedule::new(limits());
    for n in 0..20 {
        schedule.hint(duty(n, 80, &[1]), MS);
    }
    schedule.hint(duty(100, 81, &[1]), MS);
    schedule.hint(duty(101, 81, &[1]), MS);
    let started = start_all(&mut schedule, MS);
    assert_eq!(started.len(), 6, "4 of the one, 2 of the other");
    assert!(
        started[..4].contains(&(id(100), 1)) && started[..4].contains(&(id(101), 1)),
        "{started:?}"
    );
    // The limit of all: two more receivers have room for two more attempts only.
    for n in 200..204 {
        schedule.hint(duty(n, 82, &[1]), MS);
    }
    assert_eq!(start_all(&mut schedule, MS).len(), 2);
    assert_eq!(schedule.in_flight(), 8);
}

#[test]
fn first_tries_go_before_repetitions_and_neither_starves() {
    let mut schedule = Schedule::new(Limits {
        per_receiver: 1,
        ..limits()
    });
    for n in 0..3 {
        schedule.hint(duty(n, 80, &[1]), secs(0));
        assert_eq!(start_all(&mut schedule, secs(0)), [(id(n), 1)]);
        fail(&mut schedule, n, secs(0));
    }
    for n in 10..30 {
        schedule.hint(duty(n, 80, &[1]), secs(5));
    }
    let mut order = Vec::new();
    while let Some(push) = schedule.start(secs(5)) {
        order.push(push.failures);
        schedule.ended(push.command, true, secs(5), 0);
    }
    assert_eq!((order.len(), order.iter().sum::<u32>()), (23, 3));
    let again: Vec<usize> = (0..23).filter(|n| order[*n] > 0).collect();
    assert!(
        again.windows(2).all(|pair| pair[1] - pair[0] >= 4),
        "more than one in four: {order:?}"
    );
    assert!(again[2] < 13, "a repetition starves: {order:?}");
}

#[test]
fn repetitions_leave_room_for_first_tries() {
    let mut schedule = Schedule::new(limits());
    // Eight receivers that hang: each has one command that failed once and is due again.
    for n in 0..8 {
        schedule.hint(duty(n, 1000 + n as u16, &[1]), secs(0));
        assert_eq!(start_all(&mut schedule, secs(0)), [(id(n), 1)]);
        fail(&mut schedule, n, secs(0));
    }
    assert_eq!(start_all(&mut schedule, secs(5)).len(), 6, "three quarters");
    schedule.hint(duty(100, 80, &[1]), secs(5));
    assert_eq!(start_all(&mut schedule, secs(5)), [(id(100), 1)]);
}

#[test]
fn a_dead_receiver_is_probed_and_comes_back_at_once() {
    let mut schedule = Schedule::new(limits());
    for n in 0..400 {
        schedule.hint(duty(n, 80, &[1]), secs(0));
    }
    let (mut attempts, mut notices, mut now) = (0, Vec::new(), secs(0));
    while now < secs(3600) {
        let started = start_all(&mut schedule, now);
        attempts += started.len();
        for (command, _) in started {
            notices.extend(schedule.ended(command, false, now, 0));
        }
        now = schedule.next_wake().expect("something is always due").max(now);
    }
    assert_eq!(notices, [Notice::Failing]);
    // 8 until the brake is set, then after 1, 2, 4 … 128 s, then every 180 s.
    assert!((20..40).contains(&attempts), "{attempts} attempts in an hour");
    // Another receiver of the same application is not touched by that.
    schedule.hint(duty(1000, 81, &[1]), now);
    let started = start_all(&mut schedule, now);
    assert_eq!(
        started.len(),
        2,
        "the other's first try, and a probe: {started:?}"
    );
    let probe = started
        .iter()
        .find(|(command, _)| *command != id(1000))
        .unwrap()
        .0;
    assert_eq!(start_all(&mut schedule, now), [], "one probe at a time");
    assert_eq!(schedule.ended(probe, true, now, 0), Some(Notice::WorksAgain));
    assert_eq!(accept(&mut schedule, 1000, now), None);
    let mut left = 0;
    while let Some(push) = schedule.start(now) {
        left += 1;
        schedule.ended(push.command, true, now, 0);
    }
    assert_eq!(
        left, 399,
        "all the others at once, also those that waited for their own pause"
    );
}

#[test]
fn what_was_in_flight_when_the_brake_was_set_does_not_lengthen_it() {
    let mut schedule = Schedule::new(Limits {
        in_flight: 64,
        per_receiver: 32,
        ..limits()
    });
    for n in 0..33 {
        schedule.hint(duty(n, 80, &[1]), secs(0));
    }
    assert_eq!(start_all(&mut schedule, secs(0)).len(), 32);
    for n in 0..32 {
        fail(&mut schedule, n, secs(15));
    }
    assert_eq!(
        start_all(&mut schedule, secs(16)).len(),
        1,
        "a probe a second later"
    );
}

#[test]
fn a_success_of_what_was_in_flight_releases_the_brake() {
    let mut schedule = Schedule::new(Limits {
        in_flight: 64,
        per_receiver: 32,
        ..limits()
    });
    for n in 0..40 {
        schedule.hint(duty(n, 80, &[1]), secs(0));
    }
    start_all(&mut schedule, secs(0));
    for n in 0..6 {
        fail(&mut schedule, n, secs(1));
    }
    assert_eq!(accept(&mut schedule, 6, secs(1)), Some(Notice::WorksAgain));
    assert_eq!(start_all(&mut schedule, secs(1)).len(), 7);
}

#[test]
fn a_receiver_that_stands_still_leaves_room_for_others() {
    let mut schedule = Schedule::new(Limits {
        backlog: 100,
        ..limits()
    });
    for n in 0..500 {
        schedule.hint(duty(n, 80, &[1]), MS);
    }
    assert_eq!(schedule.backlog(), 100, "one alone may have all of it");
    assert_eq!(start_all(&mut schedule, MS).len(), 4);
    for port in 1000..1030 {
        for n in 0..10 {
            schedule.hint(duty(u32::from(port) * 100 + n, port, &[1]), MS);
            assert!(schedule.backlog() <= 100);
        }
    }
    assert_eq!(
        schedule.hint(duty(700, 81, &[1]), MS),
        Hinted::Known,
        "a newcomer has room"
    );
    assert_eq!(schedule.receivers.len(), 32);
    assert_eq!(
        schedule.hint(duty(701, 80, &[1]), MS),
        Hinted::Refused,
        "not for one that has its share"
    );
    for n in 0..4 {
        assert_eq!(
            schedule.commands[&id(n)].place,
            Place::InFlight {
                seq: 1,
                lane: Lane::First
            }
        );
    }
}

#[test]
fn commands_that_wait_after_failures_make_room_too() {
    let mut schedule = Schedule::new(Limits {
        backlog: 10,
        in_flight: 100,
        per_receiver: 100,
        ..limits()
    });
    for n in 0..10 {
        schedule.hint(duty(n, 80, &[1, 2]), MS);
        start_all(&mut schedule, MS);
        // Of every other one, the first change is accepted, but not recorded yet.
        if n % 2 == 0 {
            accept(&mut schedule, n, MS);
            start_all(&mut schedule, MS);
        }
        fail(&mut schedule, n, MS);
    }
    for n in 20..25 {
        assert_eq!(schedule.hint(duty(n, 81, &[1]), MS), Hinted::Known);
    }
    assert!(schedule.backlog() <= 10);
    assert_eq!(
        record(&mut schedule, MS).len(),
        5,
        "what was accepted is not let go before it is recorded"
    );
}

#[test]
fn what_is_refused_leaves_no_trace_and_is_taken_when_there_is_room() {
    let mut schedule = Schedule::new(Limits {
        backlog: 2,
        ..limits()
    });
    assert_eq!(schedule.hint(duty(1, 80, &[1]), MS), Hinted::Known);
    assert_eq!(schedule.hint(duty(3, 81, &[1]), MS), Hinted::Known);
    assert_eq!(schedule.hint(duty(2, 80, &[1]), MS), Hinted::Refused);
    assert_eq!(
        schedule.hint(duty(4, 82, &[1]), MS),
        Hinted::Refused,
        "a share of 2 among 3 is none"
    );
    assert_eq!((schedule.receivers.len(), schedule.by_key.len()), (2, 2));
    start_all(&mut schedule, MS);
    accept(&mut schedule, 1, MS);
    record(&mut schedule, MS);
    assert_eq!(schedule.hint(duty(2, 80, &[1]), MS), Hinted::Known);
}

#[test]
fn large_results_count_towards_the_bound_and_are_fetched_later() {
    let mut schedule = Schedule::new(Limits {
        backlog: 100,
        ..limits()
    });
    let with_result = |n: u32| {
        let mut duty = duty(n, 80, &[1, 2, 3]);
        duty.events[1].result = Some("x".repeat(120 * 1024).into());
        duty
    };
    assert_eq!(
        schedule.hint(with_result(1), MS),
        Hinted::Refused,
        "of three changes, two are held"
    );
    assert_eq!(
        schedule.hint(with_result(2), MS),
        Hinted::Refused,
        "120 of 100 are taken"
    );
    for seq in [1, 2] {
        assert_eq!(start_all(&mut schedule, MS), [(id(1), seq)]);
        accept(&mut schedule, 1, MS);
    }
    record(&mut schedule, MS);
    assert_eq!((schedule.backlog(), schedule.weight), (0, 0));
    assert_eq!(schedule.hint(duty(1, 80, &[3]), MS), Hinted::Known);
    assert_eq!(start_all(&mut schedule, MS), [(id(1), 3)]);
}

#[test]
fn nothing_is_left_of_receivers_that_have_no_commands() {
    let mut schedule = Schedule::new(limits());
    for n in 0..5 {
        schedule.hint(duty(n, 80 + n as u16, &[1]), secs(0));
    }
    let mut now = secs(0);
    for round in 0..3 {
        for (command, _) in start_all(&mut schedule, now) {
            schedule.ended(command, round == 2, now, 0);
        }
        now = schedule.next_wake().unwrap_or(now);
    }
    record(&mut schedule, now);
    assert_eq!(
        schedule.receivers.len() + schedule.by_key.len() + schedule.alarms.len(),
        0
    );
    assert_eq!(
        (schedule.weight, schedule.in_flight, schedule.again_in_flight),
        (0, 0, 0)
    );
}
