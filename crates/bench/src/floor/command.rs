//! A command under way: what it has reached, and what of that its receiver was told, in order and one at a time.

use std::sync::{Arc, Mutex};

use super::locked;
use super::push::Receiver;

/// What is told.
const STATUSES: [&str; 3] = ["SENT", "DELIVERED", "SUCCESSFUL"];

/// The sequence number of the first of them: being accepted is the first event of a command, and is not pushed.
const FIRST: u64 = 2;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    Sent = 1,
    Delivered = 2,
    Successful = 3,
}

/// See the module.
pub(super) struct Command {
    pub(super) id: u128,
    device: Arc<str>,
    receiver: Arc<Receiver>,
    telling: Mutex<Telling>,
}

#[derive(Default)]
struct Telling {
    /// How many of the statuses it has reached.
    reached: usize,
    /// How many of them were told.
    told: usize,
    /// The next is being told, or in the receiver's queue.
    under_way: bool,
    result: Option<Box<str>>,
}

impl Command {
    pub(super) fn new(id: u128, device: Arc<str>, receiver: Arc<Receiver>) -> Arc<Self> {
        Arc::new(Self {
            id,
            device,
            receiver,
            telling: Mutex::default(),
        })
    }

    /// What the device answered. It is told when that is reached.
    pub(super) fn keep_result(&self, result: &str) {
        locked(&self.telling).result = Some(result.into());
    }

    /// It has come so far, and that is on the disk: it may be told.
    pub(super) fn reached(self: &Arc<Self>, reached: Reached) {
        if locked(&self.telling).reach(reached as usize) {
            self.receiver.push(Arc::clone(self));
        }
    }

    /// What is to be told next: its sequence number, and the body. `id` is this command's, as text.
    pub(super) fn next(&self, id: &str) -> (u64, String) {
        let telling = locked(&self.telling);
        let (status, device) = (STATUSES[telling.told], &self.device);
        let detail = match telling.told + 1 == STATUSES.len() {
            true => telling.result.as_deref().unwrap_or("null"),
            false => "null",
        };
        let body = format!(
            r#"{{"deviceId":"{device}","commandId":"{id}","result":{{"resultCode":"{status}","resultDetail":{detail}}}}}"#
        );
        (FIRST + telling.told as u64, body)
    }

    /// The receiver accepted that.
    pub(super) fn accepted(&self) -> After {
        locked(&self.telling).accepted()
    }
}

impl Telling {
    /// Whether there is something to be told, and nobody at it.
    fn reach(&mut self, reached: usize) -> bool {
        self.reached = self.reached.max(reached);
        let begins = !self.under_way && self.told < self.reached;
        self.under_way |= begins;
        begins
    }

    fn accepted(&mut self) -> After {
        self.told += 1;
        self.under_way = self.told < self.reached;
        match (self.under_way, self.told < STATUSES.len()) {
            (true, _) => After::More,
            (false, true) => After::Rest,
            (false, false) => After::End,
        }
    }
}

/// What follows a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next one, at once.
    More,
    /// Nothing before the command has come further.
    Rest,
    /// Nothing.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_at_a_time_and_none_is_left_out() {
        let mut telling = Telling::default();
        assert!(telling.reach(1));
        // The device was faster than the receiver.
        assert!(!telling.reach(2) && !telling.reach(3));
        assert_eq!(telling.accepted(), After::More);
        assert_eq!(telling.accepted(), After::More);
        assert_eq!(telling.accepted(), After::End);
    }

    #[test]
    fn what_rests_begins_again() {
        let mut telling = Telling::default();
        assert!(telling.reach(1));
        assert_eq!(telling.accepted(), After::Rest);
        assert!(telling.reach(3) && !telling.reach(2));
        assert_eq!(telling.accepted(), After::More);
        assert_eq!(telling.accepted(), After::End);
    }
}
