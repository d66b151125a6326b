//! Pushes that are sent again while later changes of their command are held in memory.

use super::rig::{Rig, duty, failed, id, limits, secs, trouble};
use super::*;

/// Command 1 has a change that was given up, and two more in memory behind those of commands 2 to 9; 2 to 5 are in flight.
fn given_up_and_more_in_memory() -> Rig {
    let mut rig = Rig::new(limits());
    rig.hint(duty(1, 80, &[1]));
    rig.start_all();
    rig.end(1, failed(Failure::Gone));
    rig.serve();
    (2..10).for_each(|n| rig.hint(duty(n, 80, &[1])));
    assert_eq!(rig.start_all().len(), 4);
    rig.hint(duty(1, 80, &[2, 3]));
    rig
}

/// Accepts all that comes; gives the changes of command 1 in the order in which their attempts began.
fn drain(rig: &mut Rig) -> Vec<u32> {
    let mut began = Vec::new();
    while !rig.out.is_empty() {
        let n = rig.out[0].key.command().unwrap();
        let push = rig.out.remove(0);
        rig.schedule
            .ended(&push, Ending::Accepted, rig.now, Timestamp::default(), 0);
        assert!(
            rig.out.iter().all(|push| push.key.command() != Some(n)),
            "two at once"
        );
        let started = rig.start_all();
        began.extend(started.iter().filter(|one| one.0 == id(1)).map(|one| one.1));
    }
    began
}

#[test]
fn what_is_held_in_memory_is_left_to_the_store() {
    let mut rig = given_up_and_more_in_memory();
    rig.replay(1);
    assert_eq!(drain(&mut rig), [1, 2, 3]);
    assert_eq!((rig.schedule.backlog(), rig.schedule.in_flight()), (0, 0));
    assert!(rig.rows[&id(1)].stored.is_empty());
    // What comes after that is told from memory again.
    rig.hint(duty(1, 80, &[4]));
    assert_eq!(rig.start_all(), [(id(1), 4)]);
}

#[test]
fn what_is_in_flight_ends_and_what_was_to_follow_it_is_left_to_the_store() {
    for ending in [Ending::Accepted, trouble()] {
        let mut rig = Rig::new(limits());
        rig.hint(duty(1, 80, &[1]));
        rig.start_all();
        rig.end(1, failed(Failure::Gone));
        rig.serve();
        rig.hint(duty(1, 80, &[2, 3]));
        assert_eq!(rig.start_all(), [(id(1), 2)]);
        let flying = rig.out.remove(0);
        rig.replay(1);
        assert_eq!(rig.start_all(), [(id(1), 1)]);
        rig.schedule
            .ended(&flying, ending, rig.now, Timestamp::default(), 0);
        rig.now = secs(2);
        assert_eq!(rig.start_all(), [], "the first is under way");
        rig.accept(1);
        assert_eq!(rig.start_all(), [(id(1), 2)]);
        assert_eq!(drain(&mut rig), [3]);
        assert_eq!((rig.schedule.backlog(), rig.schedule.in_flight()), (0, 0));
    }
}

/// Found by the simulation: what was queued came before what is sent again.
#[test]
fn once_the_operator_is_answered_nothing_comes_from_memory_before_what_is_sent_again() {
    let mut rig = given_up_and_more_in_memory();
    rig.replay(1);
    rig.schedule
        .changed(ReceiverKey(80), true, rig.now, Timestamp::default());
    for n in 2..6 {
        rig.accept(n);
    }
    assert!(
        rig.schedule.start(rig.now).is_none(),
        "the store was not asked yet"
    );
    let of_it = rig.start_all().into_iter().filter(|one| one.0 == id(1));
    let mut began: Vec<u32> = of_it.map(|one| one.1).collect();
    began.extend(drain(&mut rig));
    assert_eq!(began, [1, 2, 3]);
    assert!(rig.rows.values().all(|row| row.stored.is_empty()));
}
