//! Applications and their tokens.

use downlink_core::product::WorkMode;
use downlink_core::{AppId, AppKey};
use downlink_store::{AppSettings, AppSettingsChange, DeviceName, NewApp, NewToken, Token, TokenKind};

use super::Stores;
use super::support::*;

fn pair(app: AppKey, n: u8) -> NewToken {
    NewToken {
        app,
        access: [n; 32],
        access_until: at(100),
        refresh: [n + 100; 32],
        refresh_until: at(1000),
        issued_at: T0,
    }
}

async fn token(world: &World, hash: u8, kind: TokenKind, secs: u32) -> Option<Token> {
    world.store.token([hash; 32], kind, at(secs)).await.unwrap()
}

pub(crate) async fn an_id_is_given_once(stores: Stores) {
    let world = World::new(stores.open()).await;
    let id = AppId::new("second");
    let new = NewApp {
        id: id.clone(),
        name: "n".into(),
        secret_hash: "h".into(),
        settings: AppSettings {
            push_documented_only: true,
            push_sent_immediate: false,
            feed: true,
            push_max_age: Some(downlink_core::Span::from_secs(60)),
            work_mode: Some(WorkMode::Edrx { cycle_secs: 41 }),
        },
        created_at: at(5),
    };
    let made = world.store.create_app(new.clone()).await.unwrap().unwrap();
    assert_eq!((made.settings, made.created_at), (new.settings, at(5)));
    assert_eq!(world.store.app(&id).await.unwrap(), Some(made.clone()));
    assert_eq!(
        world.store.app_by_key(made.key).await.unwrap(),
        Some(made.clone())
    );
    assert_eq!(world.store.create_app(new.clone()).await.unwrap(), None);
    world.store.remove_app(made.key, at(6)).await.unwrap();
    assert_eq!(world.store.app(&id).await.unwrap(), None);
    assert_eq!(world.store.app_by_key(made.key).await.unwrap(), None);
    assert_eq!(
        world.store.create_app(new).await.unwrap(),
        None,
        "not after its removal either"
    );
}

pub(crate) async fn a_grant_is_of_one_for_one_and_goes_with_either(stores: Stores) {
    let world = World::new(stores.open()).await;
    let owner = world.app.clone();
    let mut others = Vec::new();
    for name in ["b", "c"] {
        let new = NewApp {
            id: AppId::new(name),
            name: name.into(),
            secret_hash: "h".into(),
            settings: AppSettings::default(),
            created_at: T0,
        };
        others.push(world.store.create_app(new).await.unwrap().unwrap());
    }
    let [b, c] = &others[..] else { unreachable!() };
    let store = &world.store;
    assert_eq!(store.granted(b.key, &owner.id).await.unwrap(), None);
    assert!(!store.grant(owner.key, owner.key).await.unwrap(), "for itself");
    assert!(!store.grant(owner.key, AppKey(99)).await.unwrap(), "nobody");
    for _ in 0..2 {
        assert!(store.grant(owner.key, b.key).await.unwrap());
    }
    assert!(store.grant(owner.key, c.key).await.unwrap());
    assert_eq!(
        store.granted(b.key, &owner.id).await.unwrap(),
        Some(owner.clone())
    );
    assert_eq!(
        store.granted(owner.key, &b.id).await.unwrap(),
        None,
        "one way only"
    );
    assert_eq!(store.grants(owner.key, 9).await.unwrap(), others);
    assert_eq!(store.grants(owner.key, 1).await.unwrap(), others[..1]);
    assert!(store.withdraw(owner.key, c.key).await.unwrap());
    assert!(!store.withdraw(owner.key, c.key).await.unwrap());
    assert_eq!(store.granted(c.key, &owner.id).await.unwrap(), None);
    store.remove_app(b.key, at(1)).await.unwrap();
    assert_eq!(store.grants(owner.key, 9).await.unwrap(), []);
    assert!(store.grant(owner.key, c.key).await.unwrap());
    store.remove_app(owner.key, at(2)).await.unwrap();
    assert_eq!(store.granted(c.key, &owner.id).await.unwrap(), None);
    assert!(!store.withdraw(owner.key, c.key).await.unwrap());
}

pub(crate) async fn a_new_secret_revokes_the_tokens(stores: Stores) {
    let world = World::new(stores.open()).await;
    let app = world.app.key;
    world.store.add_token(pair(app, 1), 10).await.unwrap();
    assert!(token(&world, 1, TokenKind::Access, 1).await.is_some());
    assert!(world.store.set_app_secret(app, "new".into()).await.unwrap());
    assert_eq!(token(&world, 1, TokenKind::Access, 1).await, None);
    assert_eq!(
        world.store.app(&world.app.id).await.unwrap().unwrap().secret_hash,
        "new"
    );
    assert!(
        !world
            .store
            .set_app_secret(AppKey(99), "new".into())
            .await
            .unwrap()
    );
}

pub(crate) async fn tokens_end_and_are_limited(stores: Stores) {
    use TokenKind::{Access, Refresh};
    let world = World::new(stores.open()).await;
    let app = world.app.key;
    for n in 1..=4 {
        world.store.add_token(pair(app, n), 3).await.unwrap();
    }
    assert_eq!(
        token(&world, 1, Access, 1).await,
        None,
        "the oldest of four at a limit of three"
    );
    assert_eq!(token(&world, 101, Refresh, 1).await, None);
    assert_eq!(
        token(&world, 2, Access, 1).await,
        Some(Token {
            app: world.app.clone(),
            until: at(100)
        })
    );
    assert_eq!(token(&world, 102, Refresh, 1).await.unwrap().until, at(1000));
    assert_eq!(token(&world, 102, Access, 1).await, None, "the wrong kind");
    assert!(token(&world, 2, Access, 99).await.is_some());
    assert_eq!(token(&world, 2, Access, 100).await, None, "ended");
    assert!(world.store.revoke_token([103; 32], Refresh).await.unwrap());
    assert!(!world.store.revoke_token([103; 32], Refresh).await.unwrap());
    assert_eq!(token(&world, 3, Access, 1).await, None, "the whole pair");
    assert_eq!(world.store.prune_tokens(at(999)).await.unwrap(), 0);
    assert_eq!(world.store.prune_tokens(at(1000)).await.unwrap(), 2);
}

pub(crate) async fn an_application_goes_with_its_devices_and_tokens(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    let kept = world
        .store
        .register(new_device(stranger.key, "x"), 9)
        .await
        .unwrap()
        .unwrap();
    let devices = [
        world.device("a").await,
        world.device("b").await,
        world.device("c").await,
    ];
    let id = world.pending(&devices[0], T0).await;
    world.store.add_token(pair(world.app.key, 1), 10).await.unwrap();
    let left = async || world.store.remove_left_devices(at(1), 2).await.unwrap();
    assert_eq!(left().await, [], "all of them are of applications that are there");
    assert!(world.store.remove_app(world.app.key, at(1)).await.unwrap());
    assert!(!world.store.remove_app(world.app.key, at(1)).await.unwrap());
    let mut gone = left().await;
    assert_eq!(gone.len(), 2, "as many as asked for");
    gone.extend(left().await);
    gone.sort_unstable();
    assert_eq!(gone, devices.each_ref().map(|device| device.key));
    assert_eq!(left().await, []);
    assert_eq!(token(&world, 1, TokenKind::Access, 1).await, None);
    assert_eq!(
        world.store.device(DeviceName::Id(&devices[0].id)).await.unwrap(),
        None
    );
    assert_eq!(
        world.store.device(DeviceName::Id(&kept.id)).await.unwrap(),
        Some(kept)
    );
    assert_eq!(world.record(id).await.device_id, devices[0].id);
    world
        .must(id, downlink_core::lifecycle::Input::Cancel("gone".into()), at(2))
        .await;
    world.store.add_token(pair(world.app.key, 2), 10).await.unwrap();
    assert_eq!(token(&world, 2, TokenKind::Access, 1).await, None);
}

pub(crate) async fn applications_are_listed_by_id(stores: Stores) {
    let world = World::new(stores.open()).await;
    for id in ["c", "b", "d"] {
        new_app(&*world.store, id).await;
    }
    let list = async |skip, limit| {
        let apps = world.store.apps(skip, limit).await.unwrap();
        apps.iter()
            .map(|app| app.id.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(0, 9).await, ["app", "b", "c", "d"]);
    assert_eq!(list(1, 2).await, ["b", "c"]);
    assert_eq!(list(9, 2).await, Vec::<String>::new());
}

pub(crate) async fn a_work_mode_is_changed_and_taken_back(stores: Stores) {
    let world = World::new(stores.open()).await;
    let change = async |change: AppSettingsChange| {
        let changed = world.store.set_app_settings(world.app.key, change).await;
        changed.unwrap().unwrap().settings
    };
    let mode = |work_mode| AppSettingsChange {
        work_mode: Some(work_mode),
        ..AppSettingsChange::default()
    };
    let before = world.app.settings;
    for work_mode in [Some(WorkMode::Edrx { cycle_secs: 5 }), Some(WorkMode::Drx), None] {
        let expected = AppSettings { work_mode, ..before };
        assert_eq!(change(mode(work_mode)).await, expected);
        assert_eq!(change(AppSettingsChange::default()).await, expected, "it stays");
    }
}
