//! Followers of the feed: see the promises in `ledger/feed.rs`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ledger::events;
use crate::ledger::feed::Follower;

use super::app::What;
use super::{Todo, World};

const FEED: &str = "/downlink/v1/feed";
/// Changes on a page at the end.
const PAGE: u64 = 1000;

impl World {
    /// One follows the feed from the beginning; others begin at its end, some time.
    pub(super) fn plan_feed(&mut self, rough: u64) {
        self.plan(1_000, Todo::Follows(0, true));
        for follower in 1..3 {
            let after = self.chance.below(rough);
            self.plan(after, Todo::Follows(follower, true));
        }
        self.ledger.feed.followers = vec![Follower::default(), Follower::from_head(), Follower::from_head()];
    }

    /// A follower asks for what is new. `always`: and will again after a while.
    pub(super) fn follows(&mut self, follower: usize, always: bool) {
        if !self.rough {
            return;
        }
        let limit = *self.chance.pick(&[1, 5, 100]);
        let one = &self.ledger.feed.followers[follower];
        let (path, from) = (format!("{FEED}?{}", one.query(limit)), one.cursor.clone());
        self.begin_call("GET", path, None, None, What::Feed(follower, from));
        if always {
            let most = *self.chance.pick(&[500, 5_000, 50_000]);
            let after = self.chance.between(20, most);
            self.plan(after, Todo::Follows(follower, true));
        }
    }

    /// A page of the feed arrives.
    pub(super) fn fed(&mut self, follower: usize, from: Option<&str>, status: u16, page: &Value) {
        if self.ledger.feed.answered(follower, from, status, page) {
            let after = self.chance.below(20);
            self.plan(after, Todo::Follows(follower, false));
        }
    }

    /// All followers read to the end, and one that begins now; then what they read is checked.
    pub(super) fn check_feed(&mut self, records: &BTreeMap<u64, Value>) -> anyhow::Result<()> {
        self.ledger.feed.followers.push(Follower::default());
        for follower in 0..self.ledger.feed.followers.len() {
            self.read_to_the_end(follower)?;
        }
        let known = self.known().into_iter();
        let recorded = known.filter_map(|(number, id)| {
            let mut events = events(records.get(&number)?);
            events.retain(|(seq, _)| *seq > 1);
            Some((id, events))
        });
        let (recorded, told) = (recorded.collect(), self.ledger.told());
        self.ledger.feed.check(&recorded, &told);
        Ok(())
    }

    fn read_to_the_end(&mut self, follower: usize) -> anyhow::Result<()> {
        loop {
            let one = &self.ledger.feed.followers[follower];
            // Who never asked where the end is has read nothing.
            if one.seeks_head {
                return Ok(());
            }
            let (path, from) = (format!("{FEED}?{}", one.query(PAGE)), one.cursor.clone());
            let (status, page) = self.ask("GET", &path, None)?;
            if !self
                .ledger
                .feed
                .answered(follower, from.as_deref(), status, &page)
            {
                return Ok(());
            }
        }
    }
}
