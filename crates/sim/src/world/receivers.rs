//! Receivers of pushes: what arrives there, and what they answer, each by its mood.

use std::time::Duration;

use downlink_server::simulated::{Letter, Reply};
use tokio::sync::oneshot;

use super::fault::Mood;
use super::operator::receiver_of;
use super::{Todo, World};

/// A receiver's word that it wants a push no more.
pub(super) const GONE: Reply = Reply::Status(410, None);

/// A push that a script has yet to answer.
pub(super) struct Unanswered {
    pub(super) webhook_id: String,
    pub(super) reply: oneshot::Sender<Reply>,
    /// What its id is made of, if it is no test.
    pub(super) pushed: Option<(String, u32)>,
}

impl World {
    /// A push arrives at its receiver.
    pub(super) fn push(&mut self, letter: &Letter, reply: oneshot::Sender<Reply>) {
        if self.rough && self.jumpy && self.chance.percent(2) {
            // At the moment when a command has just got its status.
            self.jump();
        }
        let place = receiver_of(&letter.origin).unwrap_or(0);
        let is_test = letter.webhook_id.starts_with("test-");
        let pushed = match is_test {
            true => None,
            false => self.ledger.pushed(place, &letter.webhook_id, &letter.body),
        };
        let mood = self.moods.get(place).copied().unwrap_or(Mood::Good);
        let mood = match mood {
            Mood::Mixed => *self
                .chance
                .pick(&[Mood::Good, Mood::Fails, Mood::AcceptsAndBreaks, Mood::Hangs]),
            Mood::Good
            | Mood::Slow
            | Mood::Fails
            | Mood::Throttles
            | Mood::Refuses
            | Mood::Hangs
            | Mood::AcceptsAndBreaks
            | Mood::Waits => mood,
        };
        self.note(format_args!(
            "receiver {place} {mood:?} gets {}",
            letter.webhook_id
        ));
        if is_test {
            self.ledger.operator.tested(mood.status());
        }
        if mood == Mood::Waits {
            let webhook_id = letter.webhook_id.clone();
            self.unanswered.push_back(Unanswered {
                webhook_id,
                reply,
                pushed,
            });
            return;
        }
        let soon = self.chance.below(50);
        self.respond(mood, soon, reply, pushed);
    }

    /// A receiver that is so answers a push, `soon` if it does not take its time. `pushed`: what its id is made of, if it is no test.
    pub(super) fn respond(
        &mut self,
        mood: Mood,
        soon: u64,
        reply: oneshot::Sender<Reply>,
        pushed: Option<(String, u32)>,
    ) {
        let ok = Reply::Status(204, None);
        match mood {
            Mood::Good | Mood::Mixed => self.plan(soon, Todo::Reply(reply, ok, pushed)),
            Mood::Slow => {
                let after = self.chance.below(12_000);
                self.plan(after, Todo::Reply(reply, ok, pushed));
            }
            Mood::Fails => self.plan(soon, Todo::Reply(reply, Reply::Status(500, None), None)),
            Mood::Throttles => {
                let pause = Some(Duration::from_secs(self.chance.between(1, 20)));
                self.plan(soon, Todo::Reply(reply, Reply::Status(429, pause), None));
            }
            Mood::Refuses => self.plan(soon, Todo::Reply(reply, GONE, pushed)),
            // Longer than anybody waits.
            Mood::Hangs | Mood::Waits => self.plan(100_000, Todo::Reply(reply, Reply::Broken, None)),
            Mood::AcceptsAndBreaks => self.plan(soon, Todo::Reply(reply, Reply::Broken, None)),
        }
    }
}
