//! Stored pushes in numbers, and of applications with limits of their own: what takes a look into the tables.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// The support serves several test programs, none of which needs all of it.
#![allow(dead_code)]

use std::sync::Arc;

use downlink_core::{AppKey, Span};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{Apps, PushFilter, PushLimits, PushState, Pushes, ReceiverKey};
use rusqlite::Connection;

#[path = "conformance/support.rs"]
mod support;

use support::*;

const LIMITS: PushLimits = PushLimits {
    max_age: Span::from_secs(100),
    max_held: Span::from_secs(1000),
    keep_dead: Span::from_secs(50),
};

/// A store with an application, and a connection beside it, as an operator's tool might have.
struct Tables {
    _dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    sql: Connection,
}

impl Tables {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(dir.path().join("data"), policy());
        (options.min_free_bytes, options.min_free_percent) = (0, 0);
        let store = Arc::new(SqliteStore::open(options).unwrap());
        let sql = Connection::open(dir.path().join("data/downlink.db")).unwrap();
        Self {
            _dir: dir,
            store,
            sql,
        }
    }

    /// Adds keys of two notices each, the second behind the first, for a new receiver.
    async fn fill(&self, app: AppKey, origin: &str, keys: i64, born: u32) -> ReceiverKey {
        let receiver = self.store.set_rate(app, origin.into(), None).await.unwrap().key;
        let values = [app.0, receiver.0, at(born).as_millis(), keys];
        self.sql
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 2 * ?4) \
                 INSERT INTO push (app, receiver, order_key, seq, state, url, kind, notice_id, body, at, born, next_at) \
                 SELECT ?1, ?2, CAST(printf('%08d%08d', ?2, i / 2) AS BLOB), i % 2, i % 2, 'http://r', 'k', i, '{}', ?3, ?3, ?3 \
                 FROM n",
                values,
            )
            .unwrap();
        self.sql
            .execute(
                "UPDATE receiver SET waiting = waiting + 2 * ?2 WHERE key = ?1",
                [receiver.0, keys],
            )
            .unwrap();
        receiver
    }

    /// How many wait and how many are given up, after a look that the table says the same.
    async fn sums(&self, receiver: ReceiverKey) -> (u64, u64) {
        let counted = self.sql.query_row(
            "SELECT count(*) FILTER (WHERE state < 2), count(*) FILTER (WHERE state = 2) FROM push WHERE receiver = ?1",
            [receiver.0],
            |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())),
        );
        let known = self.store.receiver(receiver).await.unwrap();
        let sums = known.map_or((0, 0), |known| (known.waiting, known.dead));
        assert_eq!(sums, counted.unwrap(), "the sums");
        sums
    }

    /// Of no key does something wait without one that is ready.
    fn check_order(&self) {
        let stuck: i64 = self
            .sql
            .query_row(
                "SELECT count(*) FROM push p WHERE state = 1 AND NOT EXISTS \
                 (SELECT 1 FROM push f WHERE f.order_key = p.order_key AND f.state = 0 AND f.seq < p.seq)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(stuck, 0, "behind nothing");
    }

    /// Gives up at that time, until there is nothing more; gives who lost how many in each step.
    async fn give_up(&self, secs: u32, limit: u32) -> Vec<Vec<(ReceiverKey, u64)>> {
        let mut steps = Vec::new();
        loop {
            let given = self.store.give_up_old(LIMITS, at(secs), limit).await.unwrap();
            if given.is_empty() {
                return steps;
            }
            self.check_order();
            steps.push(given.iter().map(|one| (one.receiver, one.pushes)).collect());
        }
    }
}

#[tokio::test]
async fn each_application_has_its_own_age_limit() {
    let tables = Tables::open();
    let (short, long) = (
        new_app(&*tables.store, "a").await,
        new_app(&*tables.store, "b").await,
    );
    let set = "UPDATE app SET push_max_age_ms = ?2 WHERE key = ?1";
    tables.sql.execute(set, [short.key.0, 10_000]).unwrap();
    let a = tables.fill(short.key, "http://a", 3, 0).await;
    let a_late = tables.fill(short.key, "http://late", 3, 5).await;
    let b = tables.fill(long.key, "http://b", 3, 0).await;
    assert_eq!(tables.give_up(9, 99).await, Vec::<Vec<_>>::new());
    assert_eq!(tables.give_up(10, 99).await, [[(a, 6)]]);
    assert_eq!(tables.give_up(15, 99).await, [[(a_late, 6)]]);
    assert_eq!(tables.give_up(99, 99).await, Vec::<Vec<_>>::new());
    assert_eq!(tables.give_up(100, 99).await, [[(b, 6)]]);
    // How long the dead are kept is one limit for all.
    for (secs, gone) in [(60, 0), (61, 6), (65, 0), (66, 6), (150, 0), (151, 6)] {
        let pruned = tables.store.prune_pushes(LIMITS, at(secs), 99).await.unwrap();
        assert_eq!(pruned, gone, "after {secs} s");
    }
    assert_eq!(tables.store.receivers(None, false, 9).await.unwrap(), []);
}

#[tokio::test]
async fn receivers_share_a_step_that_gives_up() {
    let tables = Tables::open();
    let app = new_app(&*tables.store, "a").await;
    let large = tables.fill(app.key, "http://large", 300, 0).await;
    let mut small = Vec::new();
    for n in 0..4 {
        small.push(tables.fill(app.key, &format!("http://{n}"), 2, 0).await);
    }
    let steps = tables.give_up(100, 50).await;
    assert!(
        steps
            .iter()
            .all(|step| step.iter().map(|one| one.1).sum::<u64>() <= 50),
        "{steps:?}"
    );
    for receiver in &small {
        assert!(steps[0].contains(&(*receiver, 4)), "{steps:?}");
        assert_eq!(tables.sums(*receiver).await, (0, 4));
    }
    assert_eq!(tables.sums(large).await, (0, 600));
    assert!(steps.len() >= 12, "{steps:?}");
}

#[tokio::test]
async fn a_step_that_forgets_takes_of_all_receivers_what_it_may() {
    let tables = Tables::open();
    let app = new_app(&*tables.store, "a").await;
    let mut receivers = Vec::new();
    for n in 0..3 {
        receivers.push(tables.fill(app.key, &format!("http://{n}"), 5, 0).await);
    }
    tables.give_up(100, 99).await;
    let (mut left, mut steps) = (30, 0);
    while left > 0 {
        let gone = tables.store.prune_pushes(LIMITS, at(151), 8).await.unwrap();
        assert_eq!(gone, left.min(8));
        (left, steps) = (left - gone, steps + 1);
        let mut sum = 0;
        for receiver in &receivers {
            sum += tables.sums(*receiver).await.1;
        }
        assert_eq!(sum, left);
    }
    assert_eq!(steps, 4);
    assert_eq!(tables.store.receivers(None, false, 9).await.unwrap(), []);
}

/// Others have the store between its steps, and whatever happens on the way, what is left is in order.
#[tokio::test]
async fn an_application_with_many_stored_pushes_goes_in_steps() {
    let tables = Tables::open();
    let (one, other) = (
        new_app(&*tables.store, "a").await,
        new_app(&*tables.store, "b").await,
    );
    let gone = tables.fill(one.key, "http://a", 1_000, 0).await;
    let kept = tables.fill(other.key, "http://b", 5, 0).await;
    let before = tables.store.stats();
    tables.store.remove_app(one.key, at(1)).await.unwrap();
    let commits = tables.store.stats().commits - before.commits;
    assert!((5..10).contains(&commits), "{commits} commits");
    assert_eq!(tables.store.receiver(gone).await.unwrap(), None);
    assert_eq!(tables.sums(gone).await, (0, 0));
    assert_eq!(tables.sums(kept).await, (10, 0));
    // What is told after that is not dropped by a second call.
    let late = tables.fill(one.key, "http://a", 2, 2).await;
    tables.store.remove_app(one.key, at(3)).await.unwrap();
    assert_eq!(tables.sums(late).await, (4, 0));
    let due = PushFilter {
        state: Some(PushState::Due),
        ..PushFilter::default()
    };
    let left = tables.store.stored_pushes(due, None, 99).await.unwrap();
    assert_eq!(left.len(), 14);
}
