//! What the operator is told of receivers, and what probing at once does.

use super::rig::{MS, Rig, duty, limits, secs};
use super::*;
use crate::push::desk::{Breaker, Whom};

#[test]
fn how_it_stands_with_a_receiver_is_told() {
    let mut rig = Rig::new(limits());
    for n in 0..20 {
        rig.hint(duty(n, 80, &[1]));
    }
    rig.hint(duty(100, 81, &[1]));
    rig.start_all();
    let live = rig.schedule.live(9, rig.now, rig::wall(rig.now));
    assert_eq!(live.len(), 2);
    let of = |port: u16| {
        let origin = format!("http://na.example:{port}");
        live.iter().find(|one| *one.origin == origin).unwrap()
    };
    let closed = Breaker::Closed { failures: 0 };
    assert_eq!((of(80).in_flight, of(80).limit, of(80).breaker), (4, 4, closed));
    assert_eq!((of(81).in_flight, of(81).in_memory), (1, 1));
    assert_eq!(rig.schedule.live(1, rig.now, rig::wall(rig.now))[0], *of(80));
    while !matches!(
        rig.schedule.live(1, rig.now, rig::wall(rig.now))[0].breaker,
        Breaker::Open { .. }
    ) {
        let out = std::mem::take(&mut rig.out);
        for push in out.iter().filter(|push| push.target.origin.ends_with(":80")) {
            rig.schedule
                .ended(push, rig::trouble(), rig.now, rig::wall(rig.now), 0);
        }
        rig.serve();
        rig.now += MS;
        rig.start_all();
    }
    // The first pause between probes has just begun.
    let at = rig::wall(rig.now - MS + secs(1));
    let next_probe_at = Some(at);
    let live = rig.schedule.live(9, rig.now, rig::wall(rig.now));
    assert_eq!(live[0].breaker, Breaker::Open { next_probe_at });
    let key = live[0].key.unwrap();
    assert_eq!(
        rig.schedule.state_of(key, rig.now, rig::wall(rig.now)),
        Some(live[0].clone())
    );
}

/// A receiver that failed for long, with so many pushes that wait; some seconds into a long pause.
fn long_dead(pushes: u32) -> Rig {
    let mut rig = Rig::new(limits());
    for n in 0..pushes {
        rig.hint(duty(n, 80, &[1]));
    }
    let braked = |rig: &Rig| {
        let live = rig.schedule.live(1, rig.now, rig::wall(rig.now));
        matches!(live[0].breaker, Breaker::Open { .. })
    };
    // None: what was read just now may start at once.
    let wake = |rig: &Rig| rig.schedule.next_wake(true).unwrap_or(rig.now);
    while rig.now < secs(2000) || !braked(&rig) || wake(&rig) < rig.now + secs(60) {
        rig.start_all();
        for push in std::mem::take(&mut rig.out) {
            rig.schedule
                .ended(&push, rig::trouble(), rig.now, rig::wall(rig.now), 0);
        }
        rig.serve();
        if rig.now < secs(2000) || wake(&rig) < rig.now + secs(60) {
            rig.now = wake(&rig).max(rig.now);
        }
    }
    rig.now += secs(1);
    assert_eq!(rig.start_all(), []);
    rig
}

#[test]
fn one_that_the_operator_takes_to_work_is_probed_at_once() {
    let key = Whom::Key(ReceiverKey(80));
    let named = Whom::Named(AppKey(1), "http://na.example:80".into());
    // Many pushes: the next probe is minutes away. A single one: it waits for its own pause.
    for (whom, pushes) in [(key, 12), (named, 1)] {
        let mut rig = long_dead(pushes);
        rig.schedule.probe(&whom, rig.now);
        let started = rig.start_all();
        assert_eq!(started.len(), 1, "one, whatever is due");
        let push = rig.out.pop().unwrap();
        let notice = rig
            .schedule
            .ended(&push, Ending::Accepted, rig.now, rig::wall(rig.now), 0);
        assert_eq!(notice, Some(Notice::WorksAgain));
        assert_eq!(rig.start_all().is_empty(), pushes == 1, "and the others follow");
    }
}

#[test]
fn a_probe_that_was_asked_for_and_fails_is_followed_by_others_soon() {
    let mut rig = long_dead(12);
    rig.schedule.probe(&Whom::Key(ReceiverKey(80)), rig.now);
    assert_eq!(rig.start_all().len(), 1);
    // Asked again while one is under way: no second.
    rig.schedule.probe(&Whom::Key(ReceiverKey(80)), rig.now);
    assert_eq!(rig.start_all(), []);
    let push = rig.out.pop().unwrap();
    rig.schedule
        .ended(&push, rig::trouble(), rig.now, rig::wall(rig.now), 0);
    assert_eq!(rig.start_all(), []);
    let live = rig.schedule.live(1, rig.now, rig::wall(rig.now));
    let next_probe_at = Some(rig::wall(rig.now + secs(1)));
    assert_eq!(live[0].breaker, Breaker::Open { next_probe_at });
}

#[test]
fn what_is_held_or_works_or_is_unknown_is_not_probed() {
    let mut rig = long_dead(12);
    rig.held.push(80);
    rig.look(80);
    rig.schedule.probe(&Whom::Key(ReceiverKey(80)), rig.now);
    assert_eq!(rig.start_all(), []);
    // The release comes after: it is remembered.
    rig.held.clear();
    rig.look(80);
    assert_eq!(rig.start_all().len(), 1);
    rig.schedule.probe(&Whom::Key(ReceiverKey(99)), rig.now);

    let mut rig = Rig::new(limits());
    rig.hint(duty(1, 80, &[1]));
    rig.start_all();
    rig.fail(1);
    rig.serve();
    rig.schedule.probe(&Whom::Key(ReceiverKey(80)), rig.now);
    assert_eq!(rig.start_all(), [], "it waits for its pause");
}
