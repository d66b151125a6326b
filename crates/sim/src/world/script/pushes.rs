//! What scripts do about pushes: who subscribes, how receivers answer, what the operator does.

use anyhow::{anyhow, ensure};

use super::Script;
use crate::ledger::operator::Ask;
use crate::world::World;
use crate::world::fault::Mood;
use crate::world::operator::Shown;

impl Script {
    /// The application subscribes to notices of this kind. They go where all pushes go.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn subscribe(&mut self, kind: &str) -> anyhow::Result<()> {
        self.world.subscribe_to(kind, 0).map(|_| ())
    }

    /// The receiver of all pushes is so from now on.
    pub fn receiver(&mut self, mood: Mood) {
        self.world.moods.fill(mood);
    }

    /// Lives on until so many pushes wait for the receiver's answer, which is [`Mood::Waits`]. Gives the id of the last.
    ///
    /// # Errors
    /// They do not come.
    pub fn arrive(&mut self, many: usize) -> anyhow::Result<String> {
        self.wait("a push", |world| world.unanswered.len() >= many)?;
        let last = self.world.unanswered.back().map(|one| one.webhook_id.clone());
        last.ok_or_else(|| anyhow!("no push was waited for"))
    }

    /// The receiver answers the push that waits longest as one does that is so, now.
    ///
    /// # Errors
    /// None waits.
    pub fn reply(&mut self, mood: Mood) -> anyhow::Result<()> {
        let first = self.world.unanswered.pop_front();
        let first = first.ok_or_else(|| anyhow!("no push waits for an answer"))?;
        self.world.respond(mood, 0, first.reply, first.pushed);
        Ok(())
    }

    /// The id of the push of a command's change.
    ///
    /// # Errors
    /// The command has no id.
    pub fn push_of(&self, number: u64, seq: u32) -> anyhow::Result<String> {
        Ok(format!("{}-{seq}", self.id(number)?))
    }

    /// The changes of a command that arrived at its receiver, by their numbers.
    ///
    /// # Errors
    /// The command has no id.
    pub fn told(&self, number: u64) -> anyhow::Result<Vec<u32>> {
        let id = self.id(number)?;
        let told = self.world.ledger.told().into_iter();
        Ok(told.filter(|(of, _)| of == id).map(|(_, seq)| seq).collect())
    }

    /// The operator holds the receiver of all pushes, and is answered.
    ///
    /// # Errors
    /// He is not.
    pub fn hold(&mut self) -> anyhow::Result<()> {
        self.operate(Ask::Hold(0))
    }

    /// The operator releases it, and is answered.
    ///
    /// # Errors
    /// He is not.
    pub fn release(&mut self) -> anyhow::Result<()> {
        self.operate(Ask::Release(0))
    }

    /// The operator sends a push again that was given up, and all after it, and is answered.
    ///
    /// # Errors
    /// It is not stored, or he is not answered that it is sent.
    pub fn replay(&mut self, webhook_id: &str) -> anyhow::Result<()> {
        let push = self.stored(webhook_id)?;
        self.act("sent again", |world| world.replay_push(&push))
    }

    /// The operator drops a push that is stored, and is answered.
    ///
    /// # Errors
    /// It is not stored, or he is not answered that it is dropped.
    pub fn drop_push(&mut self, webhook_id: &str) -> anyhow::Result<()> {
        let push = self.stored(webhook_id)?;
        self.act("dropped", |world| world.drop_push(&push))
    }

    /// Lives on until a push is stored in this state: `due`, `held` or `dead`.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn until_push(&mut self, webhook_id: &str, state: &str) -> anyhow::Result<()> {
        let limit = self.world.now + super::PATIENCE;
        loop {
            let all = self.world.stored_pushes()?;
            if all
                .iter()
                .any(|push| push.webhook_id == webhook_id && push.state == state)
            {
                return Ok(());
            }
            ensure!(self.world.now < limit, "{webhook_id} is not {state}: {all:?}");
            self.pass(super::LOOK)?;
        }
    }

    fn stored(&mut self, webhook_id: &str) -> anyhow::Result<Shown> {
        let all = self.world.stored_pushes()?;
        let found = all.into_iter().find(|push| push.webhook_id == webhook_id);
        found.ok_or_else(|| anyhow!("{webhook_id} is not stored"))
    }

    fn operate(&mut self, ask: Ask) -> anyhow::Result<()> {
        self.world.operator_asks(ask);
        self.answered_by_server()
    }

    /// What the operator does is done in the end.
    fn act(&mut self, done: &str, asks: impl FnOnce(&mut World)) -> anyhow::Result<()> {
        let times = |world: &World| world.met.get(&("operator", done.to_owned())).copied();
        let before = times(&self.world);
        asks(&mut self.world);
        self.answered_by_server()?;
        ensure!(times(&self.world) > before, "nothing was {done}");
        Ok(())
    }

    fn answered_by_server(&mut self) -> anyhow::Result<()> {
        self.wait("an answer to the operator", |world| !world.operator_waits())
    }
}
