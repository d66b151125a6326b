//! Notices as rows of the embedded store: bodies, order, ids, counts. Read from the file, since nothing sends them here.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "notices/crowded.rs"]
mod crowded;
#[path = "notices/desires.rs"]
mod desires;
#[path = "notices/plain.rs"]
mod plain;
#[path = "notices/presence.rs"]
mod presence;
#[path = "notices/silence.rs"]
mod silence;

use std::path::Path;
use std::sync::Arc;

use downlink_core::lifecycle::{Input, Reply};
use downlink_core::{
    AppKey, CommandBody, CommandId, Mode, Offer, Policy, Proof, ResponseRule, SessionId, Span, StatusSet,
    Timestamp,
};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::*;
use plain::Plain;
use rusqlite::Connection;

const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn at(secs: u32) -> Timestamp {
    T0 + Span::from_secs(secs)
}

struct World {
    store: SqliteStore,
    dir: tempfile::TempDir,
    app: AppKey,
}

impl World {
    async fn new(kinds: &[NotifyType]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let new = NewApp {
            id: downlink_core::AppId::new("app"),
            name: String::new(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: T0,
        };
        let app = store.create_app(new).await.unwrap().unwrap().key;
        for kind in kinds {
            let new = Subscription {
                id: kind.as_str().into(),
                app,
                notify_type: *kind,
                callback: "http://na:1/x".into(),
                origin: "http://na:1".into(),
                channel: "HTTP".into(),
                created_at: T0,
            };
            store.subscribe(new).await.unwrap().unwrap();
        }
        Self { store, dir, app }
    }

    async fn device(&self, name: &str, bind_until: Option<Timestamp>) -> Device {
        let new = NewDevice {
            app: self.app,
            id: downlink_core::DeviceId::new(name),
            node_id: format!("node-{name}"),
            secret: Vec::new(),
            verify_code: String::new(),
            info: r#"{"name":"n"}"#.to_owned(),
            created_at: T0,
            bind_until,
            gateway: None,
        };
        self.store.register(new, 10).await.unwrap().unwrap()
    }

    fn sql(&self) -> Connection {
        Connection::open(self.dir.path().join("downlink.db")).unwrap()
    }

    /// Place, state and body of all that is stored, in the order of its making.
    fn rows(&self) -> Vec<(i64, i64, String)> {
        let sql = self.sql();
        let mut statement = sql
            .prepare("SELECT seq, state, body FROM push ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn open(dir: &Path) -> SqliteStore {
    let mut options = SqliteOptions::new(dir, Policy::standard(T0));
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    options.notice_writer = Arc::new(Plain);
    SqliteStore::open(options).unwrap()
}

fn submission(world: &World, device: &Device, id: CommandId, offer: Offer) -> Submission {
    let command = NewCommand {
        id,
        app: world.app,
        device: device.key,
        body: Arc::new(CommandBody {
            service: "s".into(),
            method: "m".into(),
            paras: "{}".into(),
        }),
        callback: None,
        push: StatusSet::ALL,
        mode: Mode::Immediate,
        expire_time: 0,
        max_retransmit: None,
        response: ResponseRule::Expected {
            within: Span::from_secs(300),
        },
        created_at: at(1),
        call_id: None,
        detail: "request 1".into(),
    };
    Submission {
        command,
        offer: Some(offer),
        queue_limit: 20,
        open_limit: None,
        key: None,
    }
}

fn row(seq: i64, state: i64, body: &str) -> (i64, i64, String) {
    (seq, state, body.to_owned())
}

#[tokio::test]
async fn a_devices_life_is_told_in_order() {
    let world = World::new(NotifyType::ALL).await;
    let device = world.device("d", None).await;
    world.store.seen(device.key, None, at(1)).await.unwrap();
    world.store.seen(device.key, None, at(2)).await.unwrap();
    let data = |service: &str| ServiceData {
        service: service.to_owned(),
        data: "{}".to_owned(),
        at: at(2),
    };
    let event = DeviceEvent {
        service: "A".to_owned(),
        event_type: "alarm".to_owned(),
        paras: "{}".to_owned(),
        at: at(2),
    };
    let reports = vec![Report::Data(vec![data("A"), data("B")]), Report::Event(event)];
    world.store.report(device.key, reports, at(3)).await.unwrap();
    assert_eq!(
        world.store.remove(device.key, false, at(4)).await.unwrap(),
        [device.key]
    );
    world.store.presence(device.key, false, at(5)).await.unwrap();
    assert_eq!(
        world.rows(),
        [
            row(1, 0, r#"added d node-d {"name":"n"}"#),
            row(2, 1, "bound d true"),
            row(3, 1, "data A {}"),
            row(4, 1, "data B {}"),
            row(5, 1, "datas 2"),
            row(6, 1, "event alarm"),
            row(7, 1, "deleted d"),
        ]
    );
    let counts = "SELECT count(DISTINCT notice_id), (SELECT waiting FROM receiver), count(DISTINCT receiver) FROM push";
    let counts: (i64, i64, i64) = world
        .sql()
        .query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(counts, (7, 7, 1));
}

#[tokio::test]
async fn a_registration_that_lapses_is_told() {
    let world = World::new(&[NotifyType::BindDevice, NotifyType::DeviceDeleted]).await;
    world.device("d", Some(at(10))).await;
    assert_eq!(world.store.remove_unbound(at(11), 9).await.unwrap().len(), 1);
    assert_eq!(world.rows(), [row(1, 0, "bound d false"), row(2, 1, "deleted d")]);
}

#[tokio::test]
async fn what_is_not_subscribed_to_makes_no_row_and_a_restart_forgets_nothing() {
    let world = World::new(&[NotifyType::DeviceDeleted]).await;
    let device = world.device("d", None).await;
    world.store.presence(device.key, true, at(1)).await.unwrap();
    assert_eq!(world.rows(), []);
    world.store.close().await;
    let again = open(world.dir.path());
    assert!(again.wants(world.app, &[NotifyType::DeviceDeleted]));
    again.remove(device.key, false, at(2)).await.unwrap();
    assert_eq!(world.rows(), [row(1, 0, "deleted d")]);
}

#[tokio::test]
async fn commands_are_confirmed_step_by_step() {
    let world = World::new(&[NotifyType::MessageConfirm, NotifyType::CommandRsp]).await;
    let device = world.device("d", None).await;
    let id = CommandId::from_parts(1, 7, 1, 2);
    let offer = Offer {
        session: SessionId(1),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    };
    world
        .store
        .create(submission(&world, &device, id, offer))
        .await
        .unwrap()
        .unwrap();
    let change = |input| Change {
        target: Target::Command(id),
        input,
        now: at(2),
        then_send: None,
    };
    let reply = Reply {
        ok: true,
        body: Some("{\"r\":1}".into()),
        detail: "0".into(),
    };
    for input in [Input::Acked, Input::Replied(reply)] {
        world.store.apply(vec![change(input)]).await.unwrap();
    }
    assert_eq!(
        world.rows(),
        [
            row(1, 0, "confirm app Sent"),
            row(2, 1, "confirm app Delivered"),
            row(3, 1, "confirm app Executed"),
            row(4, 1, "response s m {\"r\":1}"),
        ]
    );
}

const LIMITS: PushLimits = PushLimits {
    max_age: Span::from_secs(100),
    max_held: Span::from_secs(1000),
    keep_dead: Span::from_secs(50),
};

fn failed() -> Attempt {
    Attempt {
        at: at(2),
        took_ms: 1,
        outcome: "status".into(),
        phase: "answer".into(),
        status: Some(410),
        detail: "".into(),
        excerpt: "".into(),
        asked_for_pause: false,
    }
}

/// A command of which SENT and DELIVERED are to be pushed.
async fn delivered(world: &World, device: &Device, id: CommandId) {
    let offer = Offer {
        session: SessionId(1),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    };
    let mut new = submission(world, device, id, offer);
    new.command.callback = Some("http://other:1/x".to_owned());
    world.store.create(new).await.unwrap().unwrap();
    let acked = Change {
        target: Target::Command(id),
        input: Input::Acked,
        now: at(2),
        then_send: None,
    };
    world.store.apply(vec![acked]).await.unwrap();
}

fn diverted(command: CommandId, fate: Fate) -> Diverted {
    Diverted {
        command,
        origin: "http://other:1".into(),
        accepted: 1,
        failed: Some((failed(), fate)),
        now: at(3),
    }
}

impl World {
    async fn settle(&self, id: PushId, fate: Fate, now: Timestamp) {
        let settled = Settled {
            id,
            attempt: Some(failed()),
            fate,
            now,
        };
        self.store.settle(vec![settled]).await.unwrap();
    }

    async fn ready(&self, origin: &str, now: Timestamp) -> Vec<ReadyPush> {
        let all = self.store.receivers(None, false, 9).await.unwrap();
        let key = all.iter().find(|one| &*one.origin == origin).unwrap().key;
        self.store
            .ready(key, Vec::new(), now, 9, 1000)
            .await
            .unwrap()
            .pushes
    }

    /// What was told of pushes that were given up.
    fn told_of_lost(&self) -> Vec<String> {
        let sql = self.sql();
        let mut statement = sql
            .prepare("SELECT body FROM push WHERE kind = 'pushGivenUp' ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// The sums of receivers are what counting their rows gives.
    fn check_sums(&self) {
        let wrong = "SELECT count(*) FROM receiver r WHERE waiting <> (SELECT count(*) FROM push WHERE receiver = r.key \
                     AND state < 2) OR dead <> (SELECT count(*) FROM push WHERE receiver = r.key AND state = 2)";
        let wrong: i64 = self.sql().query_row(wrong, [], |row| row.get(0)).unwrap();
        assert_eq!(wrong, 0);
    }
}

#[tokio::test]
async fn what_is_given_up_is_told_however_that_came() {
    let world = World::new(&[NotifyType::PushGivenUp, NotifyType::DeviceEvent]).await;
    let device = world.device("d", None).await;
    let dead = || Fate::Dead("gone".into());
    let ids = [1, 2, 3].map(|n| CommandId::from_parts(n, 7, 1, 2));
    for id in ids {
        delivered(&world, &device, id).await;
    }
    // At the first attempt: its DELIVERED waits on.
    world.store.divert(vec![diverted(ids[0], dead())]).await.unwrap();
    assert_eq!(world.told_of_lost(), ["lost d change 2 SENT: gone, tries 1"]);
    // At a later one.
    let one = world.ready("http://other:1", at(4)).await.remove(0);
    world.settle(one.id, dead(), at(4)).await;
    assert_eq!(
        world.told_of_lost()[1..],
        ["lost d change 3 DELIVERED: gone, tries 1"]
    );
    // For its age; what told of those before is too old by then as well, and tells of itself nobody.
    let again = Fate::Again(at(500));
    world.store.divert(vec![diverted(ids[1], again)]).await.unwrap();
    let event = DeviceEvent {
        service: "A".to_owned(),
        event_type: "alarm".to_owned(),
        paras: "{}".to_owned(),
        at: at(5),
    };
    let report = vec![Report::Event(event)];
    world.store.report(device.key, report, at(5)).await.unwrap();
    for _ in 0..3 {
        world.store.give_up_old(LIMITS, at(200), 99).await.unwrap();
        world.check_sums();
    }
    assert_eq!(
        world.told_of_lost()[2..],
        [
            "lost d change 2 SENT: too old, tries 1",
            "lost d change 3 DELIVERED: too old, tries 0",
            "lost d notice deviceEvent: too old, tries 0",
        ]
    );
    for _ in 0..3 {
        world.store.give_up_old(LIMITS, at(900), 99).await.unwrap();
        world.check_sums();
    }
    assert_eq!(world.told_of_lost().len(), 5, "no word of a word");
    assert_eq!(world.ready("http://na:1", at(900)).await, []);
}

#[tokio::test]
async fn of_what_is_given_up_nobody_is_told_who_did_not_ask() {
    let world = World::new(&[NotifyType::DeviceEvent]).await;
    let device = world.device("d", None).await;
    let id = CommandId::from_parts(1, 7, 1, 2);
    delivered(&world, &device, id).await;
    let dead = Fate::Dead("gone".into());
    world.store.divert(vec![diverted(id, dead)]).await.unwrap();
    assert_eq!(world.told_of_lost(), Vec::<String>::new());
}

#[tokio::test]
async fn the_word_of_what_was_given_up_wakes_its_receiver_and_comes_in_order() {
    let world = World::new(&[NotifyType::PushGivenUp]).await;
    let device = world.device("d", None).await;
    let id = CommandId::from_parts(1, 7, 1, 2);
    delivered(&world, &device, id).await;
    world.store.take_stirred();
    let dead = Fate::Dead("gone".into());
    world
        .store
        .divert(vec![diverted(id, dead.clone())])
        .await
        .unwrap();
    assert_eq!(world.store.take_stirred().len(), 1);
    let one = world.ready("http://other:1", at(4)).await.remove(0);
    world.settle(one.id, dead, at(4)).await;
    let first = world.ready("http://na:1", at(9)).await;
    assert_eq!(first.len(), 1, "the second is behind the first");
    world.settle(first[0].id, Fate::Accepted, at(9)).await;
    assert_eq!(world.ready("http://na:1", at(9)).await.len(), 1);
    world.check_sums();
}

#[tokio::test]
async fn what_is_said_of_a_device_is_not_replaced_by_whether_it_is_there() {
    let kinds = [
        NotifyType::DeviceAdded,
        NotifyType::DeviceInfoChanged,
        NotifyType::ServiceInfoChanged,
    ];
    let world = World::new(&kinds).await;
    let device = world.device("d", None).await;
    let name = |name: &str| DeviceChange {
        info: Some(format!(r#"{{"name":"{name}"}}"#)),
        ..DeviceChange::default()
    };
    for (secs, change) in [(1, name("n")), (2, name("m")), (3, DeviceChange::default())] {
        let changed = world.store.modify(device.key, change, at(secs)).await.unwrap();
        assert_eq!(changed, Ok(()));
    }
    for (secs, online) in [(4, true), (5, false)] {
        world.store.presence(device.key, online, at(secs)).await.unwrap();
    }
    let of_service = DeviceChange {
        service: Some("Lamp".to_owned()),
        ..name("m")
    };
    let changed = world.store.modify(device.key, of_service, at(6)).await.unwrap();
    assert_eq!(changed, Ok(()));
    let bodies: Vec<String> = world.rows().into_iter().map(|(_, _, body)| body).collect();
    let expected = [
        r#"added d node-d {"name":"n"}"#,
        r#"changed {"name":"n"} {"name":"m"}"#,
        "online d false",
        "service Lamp",
    ];
    assert_eq!(bodies, expected, "of no change nothing is told");
}
