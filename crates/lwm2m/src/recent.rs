//! The messages of a device that came lately, and what they were answered, so that none is taken twice
//! (RFC 7252 §4.5).

use crate::time::Millis;
use std::collections::VecDeque;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The caller has not answered yet, or no answer is due: said again, it is dropped.
    Nothing,
    /// These bytes, to be sent again.
    Bytes(Box<[u8]>),
}

#[derive(Debug, Clone)]
struct Recent {
    mid: u16,
    print: u64,
    until: Millis,
    answer: Answer,
}

/// The last messages of one peer, oldest first, of a bounded number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recents {
    list: VecDeque<Recent>,
}

impl Recents {
    /// The answer to this very datagram, if it came before. Another datagram with the id of an old one is a new
    /// message: a device that restarts counts from the start again.
    pub(crate) fn find(&self, now: Millis, mid: u16, datagram: &[u8]) -> Option<&Answer> {
        let print = print(datagram);
        let found = self
            .list
            .iter()
            .rev()
            .find(|recent| recent.mid == mid && recent.until > now)?;
        (found.print == print).then_some(&found.answer)
    }

    /// Remembers a message until then; the oldest gives way if there are more than `limit`.
    pub(crate) fn remember(&mut self, mid: u16, datagram: &[u8], until: Millis, limit: usize) {
        self.keep(
            Recent {
                mid,
                print: print(datagram),
                until,
                answer: Answer::Nothing,
            },
            limit,
        );
    }

    /// Sets what the newest message with this id was answered.
    pub(crate) fn answered(&mut self, mid: u16, bytes: &[u8]) {
        if let Some(recent) = self.list.iter_mut().rev().find(|recent| recent.mid == mid) {
            recent.answer = Answer::Bytes(bytes.into());
        }
    }

    /// Forgets a message that was not dealt with after all.
    pub(crate) fn unsay(&mut self, mid: u16) {
        self.list.retain(|recent| recent.mid != mid);
    }

    /// Drops what is over and gives memory back.
    pub(crate) fn prune(&mut self, now: Millis) {
        self.list.retain(|recent| recent.until > now);
        if self.list.is_empty() {
            self.list = VecDeque::new();
        }
    }

    /// When there will be something to prune: once everything is over.
    pub(crate) fn all_over(&self) -> Option<Millis> {
        self.list.iter().map(|recent| recent.until).max()
    }

    fn keep(&mut self, recent: Recent, limit: usize) {
        while self.list.len() >= limit.max(1) {
            self.list.pop_front();
        }
        self.list.push_back(recent);
    }
}

/// Tells two datagrams of one device apart (FNV-1a). Nobody gains by making them alike but the device itself.
pub(crate) fn print(datagram: &[u8]) -> u64 {
    datagram.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_known_until_it_is_over_and_another_message_is_not() {
        let mut recents = Recents::default();
        recents.remember(7, b"one", Millis(100), 4);
        assert_eq!(recents.find(Millis(99), 7, b"one"), Some(&Answer::Nothing));
        assert_eq!(recents.find(Millis(99), 7, b"two"), None);
        assert_eq!(recents.find(Millis(99), 8, b"one"), None);
        assert_eq!(recents.find(Millis(100), 7, b"one"), None);
        recents.answered(7, b"ok");
        assert_eq!(
            recents.find(Millis(99), 7, b"one"),
            Some(&Answer::Bytes((*b"ok").into()))
        );
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut recents = Recents::default();
        for mid in 0..5 {
            recents.remember(mid, b"x", Millis(100), 3);
        }
        let known: Vec<u16> = (0..5)
            .filter(|&mid| recents.find(Millis(0), mid, b"x").is_some())
            .collect();
        assert_eq!(known, [2, 3, 4]);
        recents.prune(Millis(100));
        assert_eq!(recents.all_over(), None);
    }
}
