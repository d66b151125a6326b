//! Signing keys and TLS of applications.

use downlink_core::{AppKey, Timestamp};
use downlink_store::{AddKeyRefused, AppTrust, PushTls, SigningKey};

use super::Stores;
use super::support::*;

fn key(id: &str, created: u32) -> SigningKey {
    SigningKey {
        id: id.into(),
        sealed: id.as_bytes().to_vec(),
        created_at: at(created),
        ends_at: None,
    }
}

impl World {
    async fn add_key(&self, id: &str, created: u32, others_end: u32) -> Result<(), AddKeyRefused> {
        let app = self.app.key;
        let added = self
            .store
            .add_signing_key(app, key(id, created), at(others_end), 2);
        added.await.unwrap()
    }

    async fn keys(&self) -> Vec<(String, Option<Timestamp>)> {
        let trust = self.store.trust(self.app.key).await.unwrap();
        let shown = |key: &SigningKey| (key.id.to_string(), key.ends_at);
        trust.keys.iter().map(shown).collect()
    }
}

pub(crate) async fn a_new_signing_key_lets_the_others_end(stores: Stores) {
    let world = World::new(stores.open()).await;
    world.add_key("one", 0, 50).await.unwrap();
    assert_eq!(
        world.store.trust(world.app.key).await.unwrap().keys,
        [key("one", 0)]
    );
    world.add_key("two", 10, 60).await.unwrap();
    let both = [("two".to_owned(), None), ("one".to_owned(), Some(at(60)))];
    assert_eq!(world.keys().await, both);
    assert_eq!(world.add_key("three", 59, 99).await, Err(AddKeyRefused::TooMany));
    assert_eq!(world.keys().await, both, "a refusal changes nothing");
    world.add_key("three", 60, 99).await.unwrap();
    let rotated = [("three".to_owned(), None), ("two".to_owned(), Some(at(99)))];
    assert_eq!(world.keys().await, rotated, "what has ended makes room");
    let stranger = world.store.add_signing_key(AppKey(99), key("x", 0), at(1), 2);
    assert_eq!(stranger.await.unwrap(), Err(AddKeyRefused::NoApp));
}

pub(crate) async fn a_key_that_is_taken_back_leaves_the_one_before(stores: Stores) {
    let world = World::new(stores.open()).await;
    world.add_key("one", 0, 50).await.unwrap();
    world.add_key("two", 10, 60).await.unwrap();
    let remove = async |id: &str| {
        let removed = world.store.remove_signing_key(world.app.key, id.into(), at(20));
        removed.await.unwrap()
    };
    assert!(!remove("three").await);
    assert!(remove("two").await);
    assert_eq!(world.keys().await, [("one".to_owned(), None)]);
    assert!(remove("one").await && !remove("one").await);
    assert_eq!(world.keys().await, []);
    world.add_key("three", 30, 50).await.unwrap();
    world.add_key("four", 40, 60).await.unwrap();
    let late = world
        .store
        .remove_signing_key(world.app.key, "four".into(), at(60));
    assert!(late.await.unwrap());
    assert_eq!(world.keys().await, [], "what has ended does not come back");
}

pub(crate) async fn trust_is_kept_by_application(stores: Stores) {
    let world = World::new(stores.open()).await;
    let other = new_app(&*world.store, "other").await;
    let tls = PushTls {
        ca: Some("ca".into()),
        check_name: false,
        certificate: Some("certificate".into()),
        sealed_key: Some(vec![1, 2]),
    };
    let bare = PushTls {
        ca: None,
        check_name: true,
        certificate: None,
        sealed_key: None,
    };
    let store = &world.store;
    assert_eq!(store.trusts().await.unwrap(), []);
    world.add_key("one", 0, 50).await.unwrap();
    assert!(store.set_push_tls(other.key, Some(bare)).await.unwrap());
    assert!(store.set_push_tls(other.key, Some(tls.clone())).await.unwrap());
    assert!(!store.set_push_tls(AppKey(99), Some(tls.clone())).await.unwrap());
    let of_world = AppTrust {
        keys: vec![key("one", 0)],
        tls: None,
    };
    let of_other = AppTrust {
        keys: Vec::new(),
        tls: Some(tls),
    };
    assert_eq!(store.trust(other.key).await.unwrap(), of_other);
    let all = [(world.app.key, of_world.clone()), (other.key, of_other)];
    assert_eq!(store.trusts().await.unwrap(), all);
    assert!(store.set_push_tls(other.key, None).await.unwrap());
    assert_eq!(store.trust(other.key).await.unwrap(), AppTrust::default());
    store.remove_app(world.app.key, at(1)).await.unwrap();
    assert_eq!(
        store.trust(world.app.key).await.unwrap(),
        of_world,
        "its last pushes are signed"
    );
}
