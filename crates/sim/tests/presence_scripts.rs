//! Bugs that the simulation found in what applications are told of devices that come and go, each as a script: a few steps, and
//! then the promises.

use downlink_fleet::packet::Qos;
use downlink_fleet::topic::Family;
use sim::{DiskMood, Manner, Mood, play};

const SECOND: u64 = 1000;
const PRESENCE: &str = "deviceInfoChanged";

/// Found by many seeds: it was left out, and the last word was wrong.
#[test]
fn who_came_and_who_went_while_the_disk_was_full_is_told_of_when_there_is_room() -> anyhow::Result<()> {
    play(|script| {
        script.subscribe(PRESENCE)?;
        let goes = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        let comes = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        script.leave(comes);
        script.pass(5 * SECOND)?;
        script.disk(DiskMood {
            write_least: 0,
            write_most: 3,
            read_most: 1,
            full_percent: 100,
        });
        script.leave(goes);
        script.come(comes)?;
        script.pass(20 * SECOND)
    })
}

/// Found by seeds 6 and 29 of their time: of two pushes that are sent again the second still took the newest word, and its receiver
/// knew it with another.
#[test]
fn a_word_that_is_sent_again_and_waits_stays_what_it_was() -> anyhow::Result<()> {
    play(|script| {
        script.subscribe(PRESENCE)?;
        script.receiver(Mood::Waits);
        let lamp = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        let online = script.arrive(1)?;
        script.reply(Mood::Refuses)?;
        script.leave(lamp);
        let offline = script.arrive(1)?;
        script.reply(Mood::Refuses)?;
        script.until_push(&offline, "dead")?;
        script.replay(&online)?;
        script.arrive(1)?;
        script.come(lamp)
    })
}

/// The other half of that: what was under way when an earlier one was sent again took the newest word for its next attempt.
#[test]
fn a_word_that_is_under_way_when_an_earlier_one_is_sent_again_stays_what_it_was() -> anyhow::Result<()> {
    play(|script| {
        script.subscribe(PRESENCE)?;
        script.receiver(Mood::Waits);
        let lamp = script.device(Family::Oc, Qos::One, Manner::Answers)?;
        let online = script.arrive(1)?;
        script.reply(Mood::Refuses)?;
        script.until_push(&online, "dead")?;
        script.leave(lamp);
        script.arrive(1)?;
        script.replay(&online)?;
        script.come(lamp)?;
        script.reply(Mood::Fails)
    })
}
