//! Test: what is read of stored pushes in a tick follows what is due, not what waits.
//!
//! Counted in steps of SQLite's machine, of which every row that is looked at takes some.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use downlink_core::{Span, Timestamp};
use foldhash::HashSet;
use rusqlite::Connection;

use super::list;
use super::ready::{self, Wanted};
use super::receivers;
use super::removal::overdue;
use crate::sqlite::damage::DamageMet;
use crate::sqlite::migrate;
use crate::{PushId, PushLimits, ReceiverKey};

/// Receivers that are dead.
const DEAD: i64 = 10;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIMITS: PushLimits = PushLimits {
    max_age: Span::from_secs(86_400),
    max_held: Span::from_secs(86_400),
    keep_dead: Span::from_secs(86_400),
};

/// A store's tables, and how many steps were taken on them.
struct Counted {
    sql: Connection,
    steps: Arc<AtomicU64>,
}

impl Counted {
    fn open() -> Self {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut sql).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&steps);
        let count = move || {
            counter.fetch_add(1, Relaxed);
            false
        };
        sql.progress_handler(1, Some(count)).unwrap();
        sql.execute(
            "INSERT INTO app (id, name, secret_hash, push_documented_only, push_sent_immediate, created_at) \
             VALUES ('a', 'a', 'h', 0, 0, 0)",
            [],
        )
        .unwrap();
        for n in 1..=DEAD + 1 {
            sql.execute(
                "INSERT INTO receiver (app, origin) VALUES (1, 'http://' || ?1)",
                [n],
            )
            .unwrap();
        }
        Self { sql, steps }
    }

    /// Adds pushes of a receiver in this stored state, due so many milliseconds from now.
    fn add(&self, receiver: i64, count: i64, state: i64, due_in: i64) {
        let due = NOW.as_millis() + due_in;
        self.sql
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
                 INSERT INTO push (app, receiver, order_key, seq, state, url, kind, notice_id, body, at, born, next_at) \
                 SELECT 1, ?1, randomblob(16), 2, ?3, 'http://r', 'k', i, '{}', ?4, ?4, ?5 FROM n",
                [receiver, count, state, NOW.as_millis(), due],
            )
            .unwrap();
        receivers::count(&self.sql, ReceiverKey(receiver), count, 0).unwrap();
    }

    /// The steps of reading what is due of a receiver, and what it gives.
    fn ready(&self, receiver: i64, except: HashSet<PushId>, limit: usize) -> (u64, Vec<PushId>) {
        let before = self.steps.load(Relaxed);
        let wanted = Wanted {
            receiver: ReceiverKey(receiver),
            except,
            now: NOW,
            limit,
            max_bytes: usize::MAX,
        };
        let ready = ready::ready(&self.sql, &DamageMet::default(), &wanted).unwrap();
        let given = ready.pushes.iter().map(|push| push.id).collect();
        (self.steps.load(Relaxed) - before, given)
    }

    /// The steps of all that is read in a tick, and how many pushes it gives.
    fn tick(&self, limit: usize) -> (u64, usize) {
        let before = self.steps.load(Relaxed);
        let known = receivers::receivers(&self.sql, None, true, 500).unwrap();
        let given = known
            .iter()
            .map(|known| self.ready(known.key.0, HashSet::default(), limit).1.len());
        let given = given.sum();
        list::totals(&self.sql, NOW).unwrap();
        assert!(overdue(&self.sql, LIMITS, NOW).unwrap().is_empty());
        (self.steps.load(Relaxed) - before, given)
    }
}

/// Ten dead receivers with so many pushes each that wait for their pause, as many behind others, and a healthy one.
fn waiting(each: i64) -> Counted {
    let counted = Counted::open();
    for receiver in 1..=DEAD {
        counted.add(receiver, each, 0, 60_000);
        counted.add(receiver, each, 1, -60_000);
    }
    counted.add(DEAD + 1, 5, 0, -1);
    counted
}

#[test]
fn what_waits_is_not_read() {
    let (few, many) = (waiting(10).tick(100), waiting(5_000).tick(100));
    assert_eq!((few.1, many.1), (5, 5), "what is due");
    assert_eq!(few.0, many.0, "steps");
}

#[test]
fn what_is_due_is_read_as_far_as_it_is_given() {
    let due = |each| {
        let counted = waiting(10);
        (1..=DEAD).for_each(|receiver| counted.add(receiver, each, 0, -1));
        counted.tick(20)
    };
    let (few, some, many, more) = (due(5), due(10), due(1_000), due(5_000));
    assert_eq!([few.1, some.1, many.1, more.1], [55, 105, 205, 205]);
    assert!(few.0 < some.0 && some.0 < many.0);
    assert_eq!(many.0, more.0, "steps beyond the limit");
}

/// What is in flight is passed over, each at the cost of a row.
#[test]
fn what_is_in_flight_is_passed_over() {
    let counted = waiting(10);
    counted.add(1, 1_000, 0, -1);
    let all = counted.ready(1, HashSet::default(), 1_000).1;
    let steps = |in_flight: usize| {
        let except = all.iter().copied().take(in_flight).collect();
        let (steps, given) = counted.ready(1, except, 1);
        assert_eq!(given, [all[in_flight]]);
        steps
    };
    let (ten, twenty, thirty) = (steps(10), steps(20), steps(30));
    assert_eq!(thirty - twenty, twenty - ten);
}
