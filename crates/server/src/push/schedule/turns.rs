//! Whose turn it is: applications take turns, and within each its receivers.

use std::collections::VecDeque;

use downlink_core::AppKey;
use foldhash::HashMap;

use super::receiver::{Lane, ReceiverId};

/// Applications whose empty queues are kept.
const KEPT: usize = 256;

/// Receivers that may start something, first tries and stored pushes apart. Who stands in it is the caller's to remember.
#[derive(Default)]
pub(super) struct Turns {
    lanes: [Queue; 2],
}

#[derive(Default)]
struct Queue {
    apps: VecDeque<AppKey>,
    of: HashMap<AppKey, VecDeque<ReceiverId>>,
    len: usize,
}

impl Turns {
    pub(super) fn len(&self, lane: Lane) -> usize {
        self.lanes[lane as usize].len
    }

    pub(super) fn push(&mut self, lane: Lane, app: AppKey, receiver: ReceiverId) {
        let queue = &mut self.lanes[lane as usize];
        let of_app = queue.of.entry(app).or_default();
        if of_app.is_empty() {
            queue.apps.push_back(app);
        }
        of_app.push_back(receiver);
        queue.len += 1;
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<ReceiverId> {
        let queue = &mut self.lanes[lane as usize];
        let app = queue.apps.pop_front()?;
        let of_app = queue.of.get_mut(&app)?;
        let receiver = of_app.pop_front()?;
        queue.len -= 1;
        match of_app.is_empty() {
            // Its queue is kept for the next time, while those of few applications are: making one costs.
            true if queue.of.len() > KEPT => drop(queue.of.remove(&app)),
            true => {}
            false => queue.apps.push_back(app),
        }
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_with_many_receivers_has_no_more_turns() {
        let mut turns = Turns::default();
        for receiver in 0..10 {
            turns.push(Lane::First, AppKey(1), receiver);
        }
        turns.push(Lane::First, AppKey(2), 77);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop(Lane::First)).collect();
        assert_eq!(&order[..3], [0, 77, 1]);
        assert_eq!((order.len(), turns.len(Lane::First)), (11, 0));
    }
}
