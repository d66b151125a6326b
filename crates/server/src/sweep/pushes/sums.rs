//! What is stored of each application: summed up over its receivers.

use downlink_core::AppKey;
use downlink_store::{ReceiverKey, StoreError, StoredReceiver};
use foldhash::{HashMap, HashSet};

use crate::engine::Engine;

/// What waits and what was given up, by application.
#[derive(Default)]
pub(super) struct Sums {
    waiting: HashMap<AppKey, u64>,
    dead: HashMap<AppKey, Vec<(u64, ReceiverKey)>>,
}

impl Sums {
    /// Of the receivers for which something waits.
    pub(super) async fn of_busy(engine: &Engine, page: u32) -> Result<Self, StoreError> {
        Self::read(engine, true, page.max(1)).await
    }

    /// Of all receivers.
    pub(super) async fn of_all(engine: &Engine, page: u32) -> Result<Self, StoreError> {
        Self::read(engine, false, page.max(1)).await
    }

    async fn read(engine: &Engine, busy: bool, page: u32) -> Result<Self, StoreError> {
        let (mut sums, mut after) = (Self::default(), None);
        loop {
            let some = engine.store().receivers(after, busy, page).await?;
            some.iter().for_each(|receiver| sums.add(receiver));
            after = some.last().map(|receiver| receiver.key);
            if some.len() < page as usize {
                return Ok(sums);
            }
        }
    }

    fn add(&mut self, receiver: &StoredReceiver) {
        *self.waiting.entry(receiver.app).or_default() += receiver.waiting;
        if receiver.dead > 0 {
            let of_app = self.dead.entry(receiver.app).or_default();
            of_app.push((receiver.dead, receiver.key));
        }
    }

    /// The applications of which more than `limit` wait. Of those that were among them `before` it is a tenth less, so that they do not come and
    /// go every second.
    pub(super) fn crowded(self, limit: u64, before: &HashSet<AppKey>) -> HashSet<AppKey> {
        let limit_of = |app: &AppKey| match before.contains(app) {
            true => limit - limit / 10,
            false => limit,
        };
        let over = self
            .waiting
            .into_iter()
            .filter(|(app, waiting)| *waiting > limit_of(app));
        over.map(|(app, _)| app).collect()
    }

    /// Of which receivers how many have to go for no application to have more than `limit` that were given up: of those that have the most.
    pub(super) fn dead_over(self, limit: u64) -> Vec<(ReceiverKey, u64)> {
        let mut over = Vec::new();
        for mut of_app in self.dead.into_values() {
            let sum: u64 = of_app.iter().map(|(dead, _)| dead).sum();
            let mut left = sum.saturating_sub(limit);
            of_app.sort_unstable();
            while left > 0
                && let Some((dead, key)) = of_app.pop()
            {
                let some = dead.min(left);
                over.push((key, some));
                left -= some;
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(key: i64, app: i64, waiting: u64, dead: u64) -> StoredReceiver {
        StoredReceiver {
            key: ReceiverKey(key),
            app: AppKey(app),
            origin: "http://na:1".into(),
            held_at: None,
            rate: None,
            waiting,
            dead,
        }
    }

    fn sums() -> Sums {
        let mut sums = Sums::default();
        for (key, app, waiting, dead) in [(1, 1, 3, 5), (2, 1, 4, 9), (3, 2, 7, 10), (4, 3, 8, 0)] {
            sums.add(&receiver(key, app, waiting, dead));
        }
        sums
    }

    #[test]
    fn an_application_has_what_its_receivers_have() {
        let over = |limit| {
            let mut apps: Vec<_> = sums().crowded(limit, &HashSet::default()).into_iter().collect();
            apps.sort_unstable();
            apps
        };
        assert_eq!(over(6), [AppKey(1), AppKey(2), AppKey(3)]);
        assert_eq!(over(7), [AppKey(3)]);
        assert_eq!(over(8), []);
    }

    #[test]
    fn one_that_is_crowded_stays_so_until_a_tenth_less_waits() {
        let crowded = |waiting, before: &[AppKey]| {
            let mut sums = Sums::default();
            sums.add(&receiver(1, 1, waiting, 0));
            !sums.crowded(100, &before.iter().copied().collect()).is_empty()
        };
        for (waiting, enters, stays) in [
            (101, true, true),
            (100, false, true),
            (91, false, true),
            (90, false, false),
        ] {
            assert_eq!(crowded(waiting, &[AppKey(2)]), enters, "{waiting}");
            assert_eq!(crowded(waiting, &[AppKey(1)]), stays, "{waiting}");
        }
    }

    #[test]
    fn what_is_too_much_goes_of_the_receivers_that_have_the_most() {
        let over = |limit| {
            let mut over = sums().dead_over(limit);
            over.sort_unstable();
            over
        };
        assert_eq!(over(14), []);
        assert_eq!(over(10), [(ReceiverKey(2), 4)]);
        assert_eq!(
            over(4),
            [(ReceiverKey(1), 1), (ReceiverKey(2), 9), (ReceiverKey(3), 6)]
        );
    }
}
