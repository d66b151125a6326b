//! The stored pushes of one receiver, as far as they are in memory: a window on the table.
//!
//! Loaded ones, those in flight, and those whose end is not recorded yet are *out*: the table still shows them as
//! ready, so every read leaves them aside. What was recorded while a read was under way may be in what it gives, and is
//! left aside too. What follows one of them in its order though that has not ended (the operator dropped it, or it was given up for its age
//! while it was attempted) stays *behind* until it has. What the table has beyond the window is known as "there may be more", or as when the next falls due.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use downlink_store::{OrderKey, PushId, ReadyPush};
use foldhash::{HashMap, HashSet, HashSetExt};

#[derive(Default)]
pub(super) struct Rows {
    loaded: VecDeque<ReadyPush>,
    /// Bytes of content that are loaded.
    bytes: usize,
    out: HashMap<PushId, OrderKey>,
    /// The orders of those that are out, and all that was read behind each.
    busy: HashMap<OrderKey, BTreeSet<PushId>>,
    /// Those recorded since the read that is under way began.
    reading: Option<HashSet<PushId>>,
    /// What that read gives is older than the table: it is made again.
    outdated: bool,
    may_have: bool,
    next_at: Option<Duration>,
    /// It works again after a time of failures: once all that is due is read, those that wait for their pause are.
    ahead: u8,
    looking: bool,
}

/// How many such reads are made at the most: pushes that fail again must not be attempted again and again.
const AHEAD: u8 = 64;

/// Bytes of content that are loaded before no more is read: with that of one read, the most that is in memory beside what is attempted.
const HEAVY: usize = 128 * 1024;

/// What is to be read.
pub(super) struct Wanted {
    pub(super) except: Vec<PushId>,
    pub(super) ahead: bool,
}

impl Rows {
    pub(super) fn has_loaded(&self) -> bool {
        !self.loaded.is_empty()
    }

    pub(super) fn loaded(&self) -> usize {
        self.loaded.len()
    }

    /// Whether what is loaded is as much as may be, whatever the number.
    pub(super) fn is_heavy(&self) -> bool {
        self.bytes >= HEAVY
    }

    /// Whether a read now may give something; not while one is under way.
    pub(super) fn may_have(&self, now: Duration) -> bool {
        self.reading.is_none()
            && (self.may_have || self.next_at.is_some_and(|at| at <= now || self.ahead > 0))
    }

    /// When the next falls due.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.next_at.filter(|_| self.reading.is_none())
    }

    /// Nothing is in memory, and as far as is known nothing is in the table.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.reading.is_none() && !self.may_have && self.next_at.is_none()
    }

    pub(super) fn take(&mut self) -> Option<ReadyPush> {
        let push = self.loaded.pop_front()?;
        self.bytes -= push.content.size();
        Some(push)
    }

    /// There may be some that are due now.
    pub(super) fn stir(&mut self) {
        self.may_have = true;
    }

    /// There is one that falls due at `at`.
    pub(super) fn due_at(&mut self, at: Duration) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }

    /// The receiver works again.
    pub(super) fn look_ahead(&mut self) {
        self.ahead = AHEAD;
    }

    /// One is to be tried though it waits for its pause.
    pub(super) fn look_ahead_once(&mut self) {
        self.ahead = self.ahead.max(1);
    }

    /// A read begins.
    pub(super) fn begin_read(&mut self, now: Duration) -> Wanted {
        let due = self.may_have || self.next_at.is_some_and(|at| at <= now);
        let ahead = self.ahead > 0 && !due;
        self.ahead -= u8::from(ahead);
        self.looking = ahead;
        (self.may_have, self.next_at) = (false, None);
        self.reading = Some(HashSet::new());
        let behind = self.busy.values().flatten();
        Wanted {
            except: self.out.keys().chain(behind).copied().collect(),
            ahead,
        }
    }

    /// The read gave these. Gives how many of them are new.
    pub(super) fn end_read(
        &mut self,
        pushes: Vec<ReadyPush>,
        more: bool,
        next_at: Option<Duration>,
    ) -> usize {
        let recorded = self.reading.take().unwrap_or_default();
        let before = self.loaded.len();
        if std::mem::take(&mut self.outdated) {
            self.may_have = true;
            return 0;
        }
        for push in pushes {
            if !recorded.contains(&push.id) && !self.out.contains_key(&push.id) {
                self.load(push);
            }
        }
        self.may_have |= more;
        if std::mem::take(&mut self.looking) && !more {
            self.ahead = 0;
        }
        if let Some(at) = next_at {
            self.due_at(at);
        }
        self.loaded.len() - before
    }

    fn load(&mut self, push: ReadyPush) {
        match self.busy.entry(push.key) {
            Entry::Occupied(mut busy) => drop(busy.get_mut().insert(push.id)),
            Entry::Vacant(free) => {
                free.insert(BTreeSet::new());
                self.out.insert(push.id, push.key);
                self.bytes += push.content.size();
                self.loaded.push_back(push);
            }
        }
    }

    /// One is out no more: what was behind it may be read.
    fn free(&mut self, id: PushId) {
        if let Some(key) = self.out.remove(&id) {
            self.may_have |= self.busy.remove(&key).is_some_and(|behind| !behind.is_empty());
        }
    }

    /// The orders of the last `count` that were loaded.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = OrderKey> + '_ {
        self.loaded.iter().rev().take(count).map(|push| push.key)
    }

    /// The read failed: it is to be made again.
    pub(super) fn fail_read(&mut self) {
        self.reading = None;
        self.outdated = false;
        self.may_have = true;
    }

    /// The end of one was recorded, or it will not be.
    pub(super) fn recorded(&mut self, id: PushId) {
        self.free(id);
        if let Some(reading) = &mut self.reading {
            reading.insert(id);
        }
    }

    /// Lets go of what is loaded and not in flight: it is ready in the table. Gives how many.
    pub(super) fn unload(&mut self) -> usize {
        let loaded = std::mem::take(&mut self.loaded);
        self.bytes = 0;
        let count = loaded.len();
        for push in loaded {
            self.free(push.id);
        }
        self.may_have |= count > 0;
        count
    }

    /// The table was changed: lets go of what is loaded, and of what a read under way gives. Gives how many.
    pub(super) fn forget(&mut self) -> usize {
        self.outdated = self.reading.is_some();
        self.may_have = true;
        self.unload()
    }
}

#[cfg(test)]
mod tests {
    use downlink_core::{AppKey, DeviceKey, Timestamp};
    use downlink_store::{PushContent, ReceiverKey};

    use super::*;

    fn row(id: i64) -> ReadyPush {
        let _app = AppKey(1);
        ReadyPush {
            id: PushId(id),
            key: OrderKey::of_device(DeviceKey(id), ReceiverKey(1)),
            seq: 1,
            url: "http://127.0.0.1:1/".into(),
            content: PushContent::Notice {
                id: "n".into(),
                body: "{}".into(),
            },
            tries: 0,
            at: Timestamp::from_millis(0),
            keeps_until: None,
        }
    }

    #[test]
    fn what_is_out_is_never_loaded_twice() {
        let mut rows = Rows::default();
        rows.stir();
        assert!(rows.may_have(Duration::ZERO));
        rows.begin_read(Duration::ZERO);
        assert!(!rows.may_have(Duration::ZERO));
        assert_eq!(rows.end_read(vec![row(1), row(2)], true, None), 2);
        let taken = rows.take().unwrap();
        assert_eq!(rows.begin_read(Duration::ZERO).except.len(), 2);
        // A read from before its end was recorded still gives it.
        rows.recorded(taken.id);
        assert_eq!(rows.end_read(vec![row(1), row(2), row(3)], false, None), 1);
        assert_eq!((rows.loaded(), rows.may_have(Duration::ZERO)), (2, false));
    }

    #[test]
    fn of_a_table_that_was_changed_nothing_is_kept_and_a_read_from_before_gives_nothing() {
        let mut rows = Rows::default();
        rows.begin_read(Duration::ZERO);
        assert_eq!(rows.end_read(vec![row(1)], false, None), 1);
        rows.stir();
        rows.begin_read(Duration::ZERO);
        assert_eq!(rows.forget(), 1);
        assert_eq!(rows.end_read(vec![row(2)], false, None), 0);
        assert!(!rows.has_loaded() && rows.may_have(Duration::ZERO));
        assert_eq!(rows.begin_read(Duration::ZERO).except, []);
        assert_eq!(rows.end_read(vec![row(1), row(2)], false, None), 2);
    }

    #[test]
    fn those_in_their_pause_are_read_once_when_it_works_again() {
        let mut rows = Rows::default();
        rows.due_at(Duration::from_secs(500));
        assert!(!rows.may_have(Duration::ZERO));
        rows.look_ahead();
        assert!(rows.may_have(Duration::ZERO));
        assert!(rows.begin_read(Duration::ZERO).ahead);
        rows.end_read(Vec::new(), false, Some(Duration::from_secs(500)));
        assert!(!rows.may_have(Duration::ZERO));
    }

    /// Found by reading: a push that was dropped, or given up for its age, while it was attempted let the next of its order be
    /// attempted beside it.
    #[test]
    fn what_follows_one_that_has_not_ended_waits_for_its_end() {
        let mut rows = Rows::default();
        let next = ReadyPush {
            key: row(1).key,
            ..row(2)
        };
        rows.stir();
        rows.begin_read(Duration::ZERO);
        assert_eq!(rows.end_read(vec![row(1)], false, None), 1);
        assert!(rows.take().is_some());
        // The table has the next one ready.
        for _ in 0..2 {
            rows.forget();
            rows.begin_read(Duration::ZERO);
            assert_eq!(rows.end_read(vec![next.clone(), row(3)], false, None), 1);
            assert!(rows.take().is_some_and(|push| push.id == PushId(3)));
            rows.recorded(PushId(3));
            assert!(!rows.may_have(Duration::ZERO), "it is not read again and again");
        }
        let mut except = rows.begin_read(Duration::ZERO).except;
        except.sort_unstable();
        assert_eq!(except, [PushId(1), PushId(2)]);
        rows.end_read(Vec::new(), false, None);
        rows.recorded(PushId(1));
        assert!(rows.may_have(Duration::ZERO));
        rows.begin_read(Duration::ZERO);
        assert_eq!(rows.end_read(vec![next], false, None), 1);
    }

    /// Found by a planted defect: of two behind one only the last was left aside, and they were read in turns without end.
    #[test]
    fn all_that_is_behind_one_is_left_aside() {
        let mut rows = Rows::default();
        let of_one = |id| ReadyPush {
            key: row(1).key,
            ..row(id)
        };
        rows.stir();
        rows.begin_read(Duration::ZERO);
        let read = vec![of_one(1), of_one(2), of_one(3)];
        assert_eq!(rows.end_read(read, true, None), 1);
        let mut except = rows.begin_read(Duration::ZERO).except;
        except.sort_unstable();
        assert_eq!(except, [PushId(1), PushId(2), PushId(3)]);
    }

    #[test]
    fn long_ones_are_few_in_memory() {
        let mut rows = Rows::default();
        let long = |id| ReadyPush {
            content: PushContent::Notice {
                id: "n".into(),
                body: "x".repeat(HEAVY / 2).into(),
            },
            ..row(id)
        };
        rows.stir();
        rows.begin_read(Duration::ZERO);
        rows.end_read(vec![long(1)], true, None);
        assert!(!rows.is_heavy());
        rows.begin_read(Duration::ZERO);
        rows.end_read(vec![long(2), long(3)], true, None);
        assert!(rows.is_heavy());
        assert!(rows.take().is_some() && rows.is_heavy());
        assert!(rows.take().is_some() && !rows.is_heavy());
        rows.unload();
        assert_eq!((rows.bytes, rows.loaded()), (0, 0));
    }
}
