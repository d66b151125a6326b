//! Products.

use std::sync::Arc;

use downlink_core::product::{CheckParas, WorkMode};
use downlink_core::{AppKey, DeviceId, ProductNames, ProductRef, ProductSettings};
use downlink_store::{Codec, DeviceName, NewProduct, PutRefused, Store};

use super::Stores;
use super::support::*;

/// A product of maker `m`.
fn product(app: AppKey, model: &str, kind: &str) -> NewProduct {
    NewProduct {
        app,
        id: None,
        fresh_id: format!("fresh-{model}-{kind}"),
        names: ProductNames {
            manufacturer_id: "m".into(),
            model: model.into(),
            device_type: kind.into(),
            protocol_type: "MQTT".into(),
        },
        manufacturer_name: "M".into(),
        profile: "{}".into(),
        codec: None,
        settings: ProductSettings::default(),
        at: T0,
    }
}

fn means(id: Option<&str>, model: Option<&str>, kind: Option<&str>) -> ProductRef {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    ProductRef::new(owned(id), Some("m".into()), owned(model), owned(kind)).unwrap()
}

/// The id of the product that is meant.
async fn found(store: &dyn Store, app: AppKey, means: &ProductRef) -> Option<String> {
    let product = store.product_of(app, means).await.unwrap();
    product.map(|product| product.head.id)
}

pub(crate) async fn a_product_is_kept_whole_and_replaced_whole(stores: Stores) {
    let world = World::new(stores.open()).await;
    let app = world.app.key;
    let mut new = product(app, "x", "Lamp");
    new.profile = "{\"services\":[]}".into();
    new.codec = Some(Codec {
        kind: "binary".into(),
        text: "messages = []".into(),
        matches_answers: false,
    });
    new.settings = ProductSettings {
        check_paras: CheckParas::Reject,
        work_mode: Some(WorkMode::Edrx { cycle_secs: 41 }),
        response_wait_secs: Some(604_800),
        secure: true,
    };
    let put = world.store.put_product(new.clone(), 9).await.unwrap().unwrap();
    assert!(put.made);
    assert_eq!(
        (put.product.id.as_str(), put.product.revision),
        ("fresh-x-Lamp", 1)
    );
    let kept = world.store.product(app, "fresh-x-Lamp").await.unwrap().unwrap();
    assert_eq!((&kept.head, &kept.codec), (&put.product, &new.codec));
    assert_eq!((&kept.profile, kept.head.settings), (&new.profile, new.settings));

    let mut again = product(app, "x", "Lamp");
    (again.fresh_id, again.at) = ("other".into(), at(1));
    again.settings.work_mode = Some(WorkMode::Psm);
    let put = world.store.put_product(again.clone(), 9).await.unwrap().unwrap();
    assert!(!put.made);
    assert_eq!((put.product.key, put.product.revision), (kept.head.key, 2));
    let kept = world.store.product(app, "fresh-x-Lamp").await.unwrap().unwrap();
    assert_eq!(
        (kept.codec, kept.head.codec_kind, kept.head.settings),
        (None, None, again.settings)
    );
    assert_eq!((kept.head.created_at, kept.head.modified_at), (T0, at(1)));

    let removed = world.store.remove_product(app, "fresh-x-Lamp").await.unwrap();
    assert_eq!(removed.map(|head| head.key), Some(put.product.key));
    assert_eq!(
        world.store.remove_product(app, "fresh-x-Lamp").await.unwrap(),
        None
    );
    let anew = world.store.put_product(again, 9).await.unwrap().unwrap();
    assert_ne!(anew.product.key, put.product.key, "a key is given once");
}

pub(crate) async fn ids_of_products_are_unique_in_their_application(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    let put = |app, model: &str, id: Option<&str>, limit| {
        let mut new = product(app, model, "Lamp");
        new.id = id.map(str::to_owned);
        world.store.put_product(new, limit)
    };
    let refused = put(AppKey(99), "a", None, 9).await.unwrap().unwrap_err();
    assert_eq!(refused, PutRefused::NoApp);
    put(world.app.key, "a", Some("p"), 1).await.unwrap().unwrap();
    let refused = put(world.app.key, "b", Some("p"), 9).await.unwrap().unwrap_err();
    assert_eq!(refused, PutRefused::IdTaken);
    let refused = put(world.app.key, "b", None, 1).await.unwrap().unwrap_err();
    assert_eq!(refused, PutRefused::TooMany);
    put(stranger.key, "a", Some("p"), 1).await.unwrap().unwrap();
    let kept = put(world.app.key, "a", None, 1).await.unwrap().unwrap();
    assert_eq!(kept.product.id, "p", "it keeps what it has");
    let renamed = put(world.app.key, "a", Some("q"), 1).await.unwrap().unwrap();
    assert_eq!((renamed.product.id.as_str(), renamed.made), ("q", false));
    assert_eq!(world.store.product(world.app.key, "p").await.unwrap(), None);
    assert!(world.store.product(stranger.key, "q").await.unwrap().is_none());
    assert!(world.store.product(stranger.key, "p").await.unwrap().is_some());
}

pub(crate) async fn a_device_finds_its_product(stores: Stores) {
    let world = World::new(stores.open()).await;
    let stranger = new_app(&*world.store, "stranger").await;
    let (store, app) = (&*world.store, world.app.key);
    for (model, kind) in [("x", "Lamp"), ("x", "Lock"), ("y", "Lamp")] {
        store
            .put_product(product(app, model, kind), 9)
            .await
            .unwrap()
            .unwrap();
    }
    let lamp = Some("fresh-x-Lamp".to_owned());
    let by_kind = means(None, Some("x"), Some("Lamp"));
    assert_eq!(found(store, app, &by_kind).await, lamp);
    assert_eq!(found(store, stranger.key, &by_kind).await, None);
    assert_eq!(
        found(store, app, &means(None, Some("x"), Some("Door"))).await,
        None
    );
    assert_eq!(
        found(store, app, &means(None, Some("x"), None)).await,
        None,
        "which of two is not said"
    );
    let only = means(None, Some("y"), None);
    assert_eq!(found(store, app, &only).await.as_deref(), Some("fresh-y-Lamp"));
    let by_id = means(Some("fresh-x-Lamp"), Some("y"), None);
    assert_eq!(found(store, app, &by_id).await, lamp, "the id goes first");
    let unknown_id = means(Some("unknown"), Some("y"), None);
    assert_eq!(
        found(store, app, &unknown_id).await.as_deref(),
        Some("fresh-y-Lamp")
    );
    assert_eq!(found(store, app, &means(Some("unknown"), None, None)).await, None);
}

pub(crate) async fn a_device_says_what_its_product_is(stores: Stores) {
    let world = World::new(stores.open()).await;
    let said = [
        (
            r#"{"manufacturerId":"m","model":"x","deviceType":"Lamp"}"#,
            Some(means(None, Some("x"), Some("Lamp"))),
        ),
        (
            r#"{"productId":"p","manufacturerId":"m","deviceType":"Lamp"}"#,
            Some(means(Some("p"), None, Some("Lamp"))),
        ),
        (r#"{"model":"x"}"#, None),
        (r#"{"manufacturerId":7,"model":["x"]}"#, None),
        ("{}", None),
        ("no JSON", None),
    ];
    for (n, (info, expected)) in said.into_iter().enumerate() {
        let mut new = new_device(world.app.key, &n.to_string());
        new.info = info.into();
        let id = new.id.clone();
        let registered = world.store.register(new, 99).await.unwrap().unwrap();
        assert_eq!(registered.product, expected.map(Arc::new), "{info}");
        for _ in 0..2 {
            let read = world.store.device(DeviceName::Id(&id)).await.unwrap();
            assert_eq!(read.as_ref(), Some(&registered));
        }
    }
    let id = DeviceId::new("id-0");
    assert!(world.store.device(DeviceName::Id(&id)).await.unwrap().is_some());
}

pub(crate) async fn every_change_of_a_product_is_counted(stores: Stores) {
    let world = World::new(stores.open()).await;
    let (store, app) = (&*world.store, world.app.key);
    let mut last = store.product_changes();
    let mut rose = || {
        let now = store.product_changes();
        let rose = now > last;
        last = now;
        rose
    };
    for _ in 0..2 {
        store
            .put_product(product(app, "x", "Lamp"), 9)
            .await
            .unwrap()
            .unwrap();
        assert!(rose());
    }
    world.device("a").await;
    store
        .product_of(app, &means(None, Some("x"), None))
        .await
        .unwrap();
    assert!(!rose());
    store.remove_product(app, "fresh-x-Lamp").await.unwrap().unwrap();
    assert!(rose());
    store
        .put_product(product(app, "x", "Lamp"), 9)
        .await
        .unwrap()
        .unwrap();
    assert!(rose());
    store.remove_app(app, at(1)).await.unwrap();
    assert!(rose());
    assert_eq!(found(store, app, &means(None, Some("x"), None)).await, None);
}

pub(crate) async fn products_are_listed_by_their_names(stores: Stores) {
    let world = World::new(stores.open()).await;
    let app = world.app.key;
    for (model, kind) in [("y", "a"), ("x", "b"), ("x", "a")] {
        world
            .store
            .put_product(product(app, model, kind), 9)
            .await
            .unwrap()
            .unwrap();
    }
    let list = async |skip, limit| {
        let page = world.store.products(app, skip, limit).await.unwrap();
        let names = page
            .items
            .iter()
            .map(|head| format!("{}{}", head.names.model, head.names.device_type));
        (names.collect::<Vec<_>>().join(" "), page.total)
    };
    assert_eq!(list(0, 9).await, ("xa xb ya".to_owned(), 3));
    assert_eq!(list(1, 1).await, ("xb".to_owned(), 3));
    let stranger = new_app(&*world.store, "stranger").await;
    assert_eq!(world.store.products(stranger.key, 0, 9).await.unwrap().total, 0);
}
