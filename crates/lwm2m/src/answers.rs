//! Answers that are repeated although no registration keeps them: to registrations and de-registrations, and to answers
//! of requests that are long over.

use crate::peer::Peer;
use crate::recent::print;
use crate::time::Millis;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
struct Kept {
    print: u64,
    until: Millis,
    bytes: Box<[u8]>,
}

/// The last answers of all peers, of a bounded number.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: BTreeMap<(Peer, u16), Kept>,
    order: VecDeque<(Peer, u16)>,
}

impl Answers {
    /// The answer to this very datagram, if it was answered before.
    pub(crate) fn find(&self, now: Millis, peer: Peer, mid: u16, datagram: &[u8]) -> Option<&[u8]> {
        let kept = self.kept.get(&(peer, mid))?;
        (kept.until > now && kept.print == print(datagram)).then_some(&*kept.bytes)
    }

    /// Keeps an answer until then; the oldest gives way if there are more than `limit`.
    pub(crate) fn keep(&mut self, key: (Peer, u16), print: u64, until: Millis, bytes: &[u8], limit: usize) {
        if self
            .kept
            .insert(
                key,
                Kept {
                    print,
                    until,
                    bytes: bytes.into(),
                },
            )
            .is_some()
        {
            return;
        }
        self.order.push_back(key);
        while self.order.len() > limit.max(1) {
            self.order.pop_front().map(|oldest| self.kept.remove(&oldest));
        }
    }

    /// Drops some of what is over, oldest first.
    pub(crate) fn prune(&mut self, now: Millis) {
        for _ in 0..64 {
            let Some(oldest) = self.order.front() else { return };
            if self.kept.get(oldest).is_some_and(|kept| kept.until > now) {
                return;
            }
            self.order.pop_front().map(|oldest| self.kept.remove(&oldest));
        }
    }
}
