//! Bugs that the simulation found, and others that it must not come to, each as a script: a few steps, and then the promises.

use downlink_fleet::packet::Qos;
use downlink_fleet::topic::Family;
use sim::{DiskMood, Manner, Script, StopAt, play};

const SECOND: u64 = 1000;
/// Commands of a device until numbers of it are kept.
const MANY: usize = 20;

/// Commands that wait for a device, at the most, besides the one that is on its way.
const QUEUE: usize = 20;

/// Off for so long, and on again.
fn restart(script: &mut Script, off: u64) -> anyhow::Result<()> {
    script.crash()?;
    script.pass(off)?;
    script.start()
}

fn ends(script: &mut Script, number: u64, path: &[&str]) -> anyhow::Result<()> {
    script.until(number, path.last().copied().unwrap_or_default())?;
    let went = script.path(number)?;
    anyhow::ensure!(went == path, "{number} went {went:?}, not {path:?}");
    Ok(())
}

/// Found by seeds 1016, 1907, 2116 and 2254: what was handed out behind the kept numbers was not kept.
#[test]
fn a_restart_hands_out_no_number_again_so_a_late_answer_counts_for_no_other_command() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Legacy, Qos::One, Manner::Answers)?;
        for _ in 0..MANY {
            let one = script.create(lamp, 600)?;
            script.until(one, "SUCCESSFUL")?;
        }
        restart(script, SECOND)?;
        let before = script.create(lamp, 600)?;
        script.until(before, "SUCCESSFUL")?;
        restart(script, SECOND)?;
        script.takes(lamp, Manner::Acknowledges);
        let after = script.create(lamp, 600)?;
        script.until(after, "DELIVERED")?;
        script.answer(before, 0)?;
        ends(script, after, &["PENDING", "SENT", "DELIVERED"])
    })
}

/// Found by a run that had no end: time stood still while the dispatcher asked again and again.
#[test]
fn the_dispatcher_rests_while_the_store_is_slow_to_record_what_was_accepted() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        script.disk(DiskMood {
            write_least: 0,
            write_most: 3 * SECOND,
            read_most: 0,
            full_percent: 0,
        });
        for _ in 0..5 {
            script.create(lamp, 600)?;
        }
        script.pass(60 * SECOND)
    })
}

#[test]
fn an_answer_within_the_grace_after_a_restart_is_in_time() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Acknowledges)?;
        let answered = script.create(lamp, 600)?;
        script.until(answered, "DELIVERED")?;
        let silent = script.create(lamp, 600)?;
        script.until(silent, "DELIVERED")?;
        restart(script, 300 * SECOND)?;
        script.pass(50 * SECOND)?;
        ends(script, silent, &["PENDING", "SENT", "DELIVERED"])?;
        script.answer(answered, 0)?;
        ends(script, answered, &["PENDING", "SENT", "DELIVERED", "SUCCESSFUL"])?;
        script.pass(20 * SECOND)?;
        ends(script, silent, &["PENDING", "SENT", "DELIVERED", "TIMEOUT"])
    })
}

#[test]
fn what_was_sent_once_waits_for_its_device_after_a_restart() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Silent)?;
        let once = script.create(lamp, 0)?;
        script.pass(SECOND)?;
        restart(script, 300 * SECOND)?;
        script.pass(50 * SECOND)?;
        script.answer(once, 0)?;
        ends(script, once, &["PENDING", "SENT", "DELIVERED", "SUCCESSFUL"])?;
        anyhow::ensure!(script.received(once)? == 1, "it went out again");
        Ok(())
    })
}

#[test]
fn what_expired_while_the_server_was_off_is_not_sent() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Silent)?;
        // Holds the slot, so that the other waits.
        let first = script.create(lamp, 600)?;
        let waits = script.create(lamp, 60)?;
        script.crash()?;
        script.takes(lamp, Manner::Answers);
        script.pass(120 * SECOND)?;
        script.start()?;
        ends(script, first, &["PENDING", "SENT", "DELIVERED", "SUCCESSFUL"])?;
        ends(script, waits, &["PENDING", "EXPIRED"])
    })
}

#[test]
fn a_call_whose_answer_was_lost_with_the_machine_makes_one_command() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        script.crash_at(StopAt::AfterCommit(0));
        let number = script.create(lamp, 600)?;
        script.start()?;
        script.create_again(number)?;
        script.create_again(number)?;
        ends(script, number, &["PENDING", "SENT", "DELIVERED", "SUCCESSFUL"])
    })
}

#[test]
fn an_answer_that_was_not_kept_is_not_acknowledged() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Acknowledges)?;
        let number = script.create(lamp, 600)?;
        script.until(number, "DELIVERED")?;
        script.crash_at(StopAt::BeforeCommit(0));
        script.answer(number, 0)?;
        script.start()?;
        // The device would give it again if it was not acknowledged; here it does not.
        ends(script, number, &["PENDING", "SENT", "DELIVERED", "TIMEOUT"])
    })
}

/// Found by most seeds: the hold was answered before it was known where pushes are sent.
#[test]
fn a_receiver_that_is_held_gets_nothing_over_a_restart_and_all_when_it_is_released() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        script.hold()?;
        let held = script.create(lamp, 600)?;
        script.until(held, "SUCCESSFUL")?;
        script.crash_at(StopAt::AfterCommit(0));
        let over = script.create(lamp, 600)?;
        script.start()?;
        script.create_again(over)?;
        script.until(over, "SUCCESSFUL")?;
        script.pass(60 * SECOND)?;
        script.release()
    })
}

#[test]
fn a_restart_with_the_clock_set_back_hands_out_no_number_again() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Legacy, Qos::One, Manner::Answers)?;
        let first = script.create(lamp, 600)?;
        script.until(first, "SUCCESSFUL")?;
        restart(script, 60 * SECOND)?;
        script.pass(20 * SECOND)?;
        let at = script.now();
        let before = script.create(lamp, 600)?;
        script.until(before, "SUCCESSFUL")?;
        script.takes(lamp, Manner::Acknowledges);
        script.crash()?;
        // It shows the same second again when the next one is sent.
        script.clock(-30_000);
        script.start()?;
        script.pass(at + 30 * SECOND - script.now())?;
        let after = script.create(lamp, 600)?;
        script.until(after, "DELIVERED")?;
        script.answer(before, 0)?;
        ends(script, after, &["PENDING", "SENT", "DELIVERED"])
    })
}

/// Said to be broken by seed 3508 in one run: a task asked for more than a queue holds.
#[test]
fn a_device_whose_queue_is_full_gets_no_command_of_a_task_and_its_sub_task_says_so() -> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Legacy, Qos::One, Manner::Silent)?;
        for _ in 0..=QUEUE {
            script.create(lamp, 600)?;
        }
        script.task()?;
        script.pass(5 * SECOND)
    })
}

#[test]
fn what_waits_for_a_removed_device_is_cancelled_though_the_machine_stopped_between_the_two()
-> anyhow::Result<()> {
    play(|script| {
        let lamp = script.device(Family::Oc, Qos::One, Manner::Silent)?;
        // Holds the slot, so that the other waits.
        script.create(lamp, 600)?;
        let waits = script.create(lamp, 600)?;
        script.crash_at(StopAt::AfterCommit(0));
        script.remove(lamp)?;
        script.start()?;
        ends(script, waits, &["PENDING", "CANCELED"])
    })
}
