//! Keys that are gone, others, and given up, over real stores with one sealed thing of a kind in each.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use downlink_core::{AppId, AppKey, DeviceId, Policy};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{AppSettings, Apps, DeviceName, Devices, NewApp, NewDevice, PushTls, SigningKey, Trust};
use tempfile::TempDir;

use super::*;
use crate::clock;
use crate::secrets::rotate_master_key;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Device,
    SigningKey,
    PushTls,
}

const KINDS: [Kind; 3] = [Kind::Device, Kind::SigningKey, Kind::PushTls];

fn open(dir: &Path) -> SqliteStore {
    let mut options = SqliteOptions::new(dir, Policy::standard(clock::now()));
    (options.min_free_bytes, options.min_free_percent) = (0, 0);
    SqliteStore::open(options).unwrap()
}

/// A data directory with an application and nothing else.
async fn empty() -> (TempDir, SqliteStore, AppKey) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let app = NewApp {
        id: AppId::new("app"),
        name: "app".to_owned(),
        secret_hash: String::new(),
        settings: AppSettings::default(),
        created_at: clock::now(),
    };
    let app = store.create_app(app).await.unwrap().unwrap().key;
    (dir, store, app)
}

async fn seal(store: &SqliteStore, app: AppKey, kind: Kind, name: &str, sealer: &Sealer) {
    match kind {
        Kind::Device => {
            let device = NewDevice {
                app,
                id: DeviceId::new(name),
                node_id: format!("node of {name}"),
                secret: sealer.seal(name, "s3cret"),
                verify_code: String::new(),
                info: "{}".to_owned(),
                created_at: clock::now(),
                bind_until: None,
                gateway: None,
            };
            store.register(device, 100).await.unwrap().unwrap();
        }
        Kind::SigningKey => {
            let key = SigningKey {
                id: Arc::from(name),
                sealed: sealer.seal(&key_label(app, name), "s3cret"),
                created_at: clock::now(),
                ends_at: None,
            };
            let added = store.add_signing_key(app, key, clock::now(), 9).await;
            added.unwrap().unwrap();
        }
        Kind::PushTls => {
            let tls = PushTls {
                ca: None,
                check_name: true,
                certificate: None,
                sealed_key: Some(sealer.seal(&tls_label(app), "s3cret")),
            };
            assert!(store.set_push_tls(app, Some(tls)).await.unwrap());
        }
    }
}

/// A data directory whose store holds one sealed thing.
async fn holding(kind: Kind) -> TempDir {
    let (dir, store, app) = empty().await;
    let sealer = unlock("", dir.path()).unwrap();
    seal(&store, app, kind, "dev-1", &sealer).await;
    store.close().await;
    dir
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[tokio::test]
async fn a_key_is_made_where_nothing_is_sealed_and_never_again() {
    let (dir, _store, _) = empty().await;
    let file = dir.path().join(OLD_KEY);
    assert!(!file.exists());
    unlock("", dir.path()).unwrap();
    let key = fs::read(&file).unwrap();
    unlock("", dir.path()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), key);
    fs::remove_file(&file).unwrap();
    unlock("", dir.path()).unwrap();
    assert_ne!(fs::read(&file).unwrap(), key);
}

#[tokio::test]
async fn a_key_that_is_gone_is_asked_for_whatever_is_sealed() {
    for kind in KINDS {
        let dir = holding(kind).await;
        let file = dir.path().join(OLD_KEY);
        let key = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let refused = unlock("", dir.path()).err().unwrap();
        assert!(matches!(refused, KeyError::Gone { .. }), "{kind:?}: {refused}");
        let said = refused.to_string();
        assert!(
            said.contains(file.to_str().unwrap()) && said.contains("--give-up"),
            "{said}"
        );
        assert!(!file.exists(), "{kind:?}");
        fs::write(&file, key).unwrap();
        assert!(unlock("", dir.path()).is_ok());
    }
}

#[tokio::test]
async fn another_key_is_refused_whatever_is_sealed_and_wherever_it_is_from() {
    for kind in KINDS {
        let dir = holding(kind).await;
        let file = dir.path().join(OLD_KEY);
        let right = fs::read_to_string(&file).unwrap();
        assert!(unlock(right.trim(), dir.path()).is_ok());
        assert_eq!(key_file_opens(dir.path()).unwrap(), Some(true));
        let by_setting = unlock(&hex(7), dir.path()).err().unwrap();
        assert!(
            by_setting.to_string().contains("server.master_key"),
            "{by_setting}"
        );
        fs::write(&file, hex(7)).unwrap();
        let by_file = unlock("", dir.path()).err().unwrap();
        assert!(by_file.to_string().contains(file.to_str().unwrap()), "{by_file}");
        for refused in [by_setting, by_file] {
            assert!(matches!(refused, KeyError::Wrong { .. }), "{kind:?}: {refused}");
        }
        assert_eq!(key_file_opens(dir.path()).unwrap(), Some(false));
        assert_eq!(fs::read_to_string(&file).unwrap(), hex(7), "nothing is changed");
    }
}

#[tokio::test]
async fn one_that_is_damaged_does_not_keep_the_others_out() {
    let dir = holding(Kind::Device).await;
    let store = open(dir.path());
    let app = store.app(&AppId::new("app")).await.unwrap().unwrap().key;
    let other = Sealer::new(&[9; 32]);
    seal(&store, app, Kind::SigningKey, "lost", &other).await;
    assert!(unlock("", dir.path()).is_ok());
}

#[tokio::test]
async fn what_was_sealed_under_a_lost_key_can_be_given_up() {
    let dir = holding(Kind::Device).await;
    let file = dir.path().join(OLD_KEY);
    fs::remove_file(&file).unwrap();
    assert!(rotate_master_key(dir.path(), "", false).is_err());
    assert!(!dir.path().join(NEW_KEY).exists(), "nothing was begun");
    let done = rotate_master_key(dir.path(), "", true).unwrap();
    assert_eq!((done.sealed, done.given_up), (0, 1));
    let sealer = unlock("", dir.path()).unwrap();
    let store = open(dir.path());
    let id = DeviceId::new("dev-1");
    let device = store.device(DeviceName::Id(&id)).await.unwrap().unwrap();
    assert!(sealer.open("dev-1", &device.secret).is_err());
    store.close().await;
    let again = rotate_master_key(dir.path(), "", false).unwrap();
    assert_eq!(
        (again.sealed, again.given_up),
        (0, 1),
        "once given up is no hindrance"
    );
}

#[tokio::test]
async fn a_change_that_another_key_began_leaves_nothing() {
    let dir = holding(Kind::SigningKey).await;
    let file = dir.path().join(OLD_KEY);
    let right = fs::read_to_string(&file).unwrap();
    fs::write(&file, hex(7)).unwrap();
    assert!(rotate_master_key(dir.path(), "", false).is_err());
    assert!(!dir.path().join(NEW_KEY).exists());
    fs::write(&file, right).unwrap();
    assert!(unlock("", dir.path()).is_ok());
}

#[tokio::test]
async fn the_key_of_the_configuration_is_changed_into_a_file() {
    let (dir, store, app) = empty().await;
    let sealer = unlock(&hex(5), dir.path()).unwrap();
    assert!(!dir.path().join(OLD_KEY).exists());
    for kind in KINDS {
        seal(&store, app, kind, "dev-1", &sealer).await;
    }
    store.close().await;
    let done = rotate_master_key(dir.path(), &hex(5), false).unwrap();
    assert_eq!((done.sealed, done.given_up), (3, 0));
    assert!(unlock(&hex(5), dir.path()).is_err(), "the old one opens nothing");
    assert!(unlock("", dir.path()).is_ok());
    let twice = rotate_master_key(dir.path(), &hex(5), false).unwrap_err();
    assert!(twice.to_string().contains("there are two"), "{twice}");
}

#[test]
fn no_two_places_are_alike() {
    let key = |app, id: &str| Place::SigningKey {
        app,
        id: id.to_owned(),
    };
    let places = [
        Place::Device {
            id: "dev-1".to_owned(),
        },
        Place::Device { id: "1".to_owned() },
        key(1, "a"),
        key(1, "b"),
        key(11, "a"),
        key(2, "a"),
        Place::PushTls { app: 1 },
        Place::PushTls { app: 11 },
    ];
    let labels: Vec<_> = places.iter().map(label).collect();
    for (n, one) in labels.iter().enumerate() {
        assert!(!labels[..n].contains(one), "{one}");
        // Ids of devices hold no colon.
        assert_eq!(
            one.contains(':'),
            !matches!(places[n], Place::Device { .. }),
            "{one}"
        );
    }
}
