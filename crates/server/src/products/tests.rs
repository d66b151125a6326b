use downlink_core::{AppId, ProductNames, ProductSettings, Timestamp};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{AppSettings, Apps, NewApp, NewProduct, Products};

use super::*;
use crate::clock;

const PROFILE: &str =
    r#"{"manufacturerId":"m","model":"x","deviceType":"Lamp","services":[{"serviceId":"s"}]}"#;

struct World {
    store: SqliteStore,
    app: AppKey,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy = downlink_core::Policy::standard(clock::now());
        let mut options = SqliteOptions::new(dir.path().join("s"), policy);
        (options.min_free_bytes, options.min_free_percent) = (0, 0);
        let store = SqliteStore::open(options).unwrap();
        let app = NewApp {
            id: AppId::new("app"),
            name: String::new(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: Timestamp::default(),
        };
        let app = store.create_app(app).await.unwrap().unwrap().key;
        Self {
            store,
            app,
            _dir: dir,
        }
    }

    async fn put(&self, model: &str, profile: &str) -> ProductHead {
        self.put_with(model, profile, None).await
    }

    async fn put_with(&self, model: &str, profile: &str, codec: Option<Codec>) -> ProductHead {
        let new = NewProduct {
            app: self.app,
            id: None,
            fresh_id: model.to_owned(),
            names: ProductNames {
                manufacturer_id: "m".into(),
                model: model.into(),
                device_type: "Lamp".into(),
                protocol_type: String::new(),
            },
            manufacturer_name: String::new(),
            profile: profile.into(),
            codec,
            settings: ProductSettings::default(),
            at: Timestamp::default(),
        };
        self.store.put_product(new, 9).await.unwrap().unwrap().product
    }

    fn reads(&self) -> u64 {
        self.store.stats().reads
    }
}

fn means(model: &str) -> Arc<ProductRef> {
    Arc::new(ProductRef::new(None, Some("m".into()), Some(model.into()), None).unwrap())
}

#[tokio::test]
async fn a_product_is_read_once_until_one_changes() {
    let (world, book) = (World::new().await, ProductBook::new());
    let of = |model| {
        let (world, book) = (&world, &book);
        async move { book.of(&world.store, world.app, &means(model)).await.unwrap() }
    };
    world.put("x", PROFILE).await;
    let ready = of("x").await.unwrap();
    assert!(ready.profile.service("s").is_some());
    assert!(of("y").await.is_none());
    let before = world.reads();
    for _ in 0..100 {
        assert!(Arc::ptr_eq(&of("x").await.unwrap(), &ready));
        assert!(of("y").await.is_none(), "that there is none is remembered too");
    }
    assert_eq!(world.reads(), before);

    world.put("y", PROFILE).await;
    assert!(of("y").await.is_some());
    assert!(
        Arc::ptr_eq(&of("x").await.unwrap(), &ready),
        "what did not change is not parsed again"
    );
    world.put("x", &PROFILE.replace("\"s\"", "\"t\"")).await;
    let changed = of("x").await.unwrap();
    assert!(changed.profile.service("t").is_some() && changed.profile.service("s").is_none());
    world.store.remove_product(world.app, "x").await.unwrap().unwrap();
    assert!(of("x").await.is_none());
}

#[tokio::test]
async fn what_is_kept_in_memory_is_bounded() {
    let (world, book) = (World::new().await, ProductBook::new());
    world.put("x", PROFILE).await;
    for n in 0..10 {
        book.lock().refs = REFS;
        book.of(&world.store, world.app, &means(&n.to_string()))
            .await
            .unwrap();
        assert_eq!(book.lock().refs, 1);
    }
    for _ in 0..3 {
        book.lock().bytes = READY_BYTES;
        book.lock().forget_refs();
        book.of(&world.store, world.app, &means("x"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(book.lock().bytes, PROFILE.len());
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_matched_is_none() {
    let (world, book) = (World::new().await, ProductBook::new());
    let profile = PROFILE.replace(
        r#""serviceId":"s""#,
        r#""serviceId":"s","commands":[{"commandName":"SET","responses":[{"responseName":"r"}]},{"commandName":"GO"}]"#,
    );
    let codec = |matches_answers| Codec {
        kind: "binary".into(),
        text: "x".into(),
        matches_answers,
    };
    for (codec, answered) in [
        (None, true),
        (Some(codec(true)), true),
        (Some(codec(false)), false),
    ] {
        world.put_with("x", &profile, codec).await;
        let product = book
            .of(&world.store, world.app, &means("x"))
            .await
            .unwrap()
            .unwrap();
        let is_answered = |name| product.is_answered("s", product.profile.command("s", name).unwrap());
        assert_eq!((is_answered("SET"), is_answered("GO")), (answered, false));
    }
}

#[tokio::test]
async fn a_profile_that_cannot_be_read_says_nothing() {
    let (world, book) = (World::new().await, ProductBook::new());
    world.put("x", "no JSON").await;
    assert!(
        book.of(&world.store, world.app, &means("x"))
            .await
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_codec_is_read_when_it_is_put_and_says_what_is_wrong() {
    let profile = Profile::default();
    let examine = |kind, text| super::codec::examine(kind, text, &profile).map(|facts| facts.matches_answers);
    assert_eq!(examine("json", ""), Ok(true));
    let script = "function encode(command) { return [1]; }";
    assert_eq!(examine("javascript", script), Ok(true));
    for (kind, text, rule) in [
        ("javascript", "function encode( {", "line"),
        ("javascript", "var x = 1;", "neither a function decode nor"),
        ("binary", r#"{"kind":"binary","mesages":[]}"#, "mesages"),
        ("binary", r#"{"kind":"json"}"#, "of the kind binary"),
        ("lua", "x", "of the kind"),
    ] {
        let said = examine(kind, text).unwrap_err();
        assert!(said.contains(rule), "{kind} {text}: {said}");
    }
}

mod package {
    use std::io::{Cursor, Write as _};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::unpack;
    use downlink_api::product::{MAX_PROFILE_BYTES, ProductDoc};

    const DEVICE: &str = r#"{"devices":[{"manufacturerId":"m","model":"x","deviceType":"Lamp"}]}"#;
    const SERVICE: &str = r#"{"services":[{"serviceType":"s","commands":[{"commandName":"c"}]}]}"#;

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let deflated = SimpleFileOptions::default();
        for (name, bytes) in files {
            writer.start_file(*name, deflated).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_package_is_unpacked() {
        let archive = zip(&[
            ("profile/devicetype-capability.json", DEVICE.as_bytes()),
            (
                "service\\s\\profile\\servicetype-capability.json",
                SERVICE.as_bytes(),
            ),
            ("service/s/display/logo.png", &[0xff; 4096]),
        ]);
        assert!(archive.len() < 4096, "it is compressed");
        let (doc, profile) = ProductDoc::parse_package(&unpack(&archive).unwrap()).unwrap();
        assert_eq!(doc.model, "x");
        assert!(profile.command("s", "c").is_ok());
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let zeros = vec![b' '; 64 << 20];
        let name = "servicetype-capability.json";
        let mut bomb = zip(&[(name, &zeros)]);
        assert!(bomb.len() < 1 << 20);
        // Whoever unpacked all of it would meet this first.
        let late = bomb.len() * 3 / 4;
        bomb[late..late + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let refused = unpack(&bomb).unwrap_err();
        assert!(refused.rule.contains("at most"), "{refused}");
        let names: Vec<String> = (0..40).map(|n| format!("{n}/{name}")).collect();
        let part = vec![b' '; MAX_PROFILE_BYTES / 20];
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &part[..])).collect();
        assert!(unpack(&zip(&many)).is_err());
        let harmless = zip(&[
            ("x.bin", &zeros),
            ("devicetype-capability.json", DEVICE.as_bytes()),
        ]);
        assert!(unpack(&harmless).is_ok(), "what is not wanted is not unpacked");
        let names: Vec<String> = (0..2001).map(|n| n.to_string()).collect();
        let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(unpack(&zip(&entries)).is_err());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let archive = zip(&[("devicetype-capability.json", DEVICE.as_bytes())]);
        for cut in 0..archive.len() {
            // Some cuts leave what can still be read; none panics.
            let _ = unpack(&archive[..cut]);
        }
        for n in 0..archive.len() {
            let mut damaged = archive.clone();
            damaged[n] ^= 0xff;
            let _ = unpack(&damaged);
        }
        assert!(unpack(b"").is_err() && unpack(b"PK\x03\x04").is_err());
        let not_text = zip(&[("devicetype-capability.json", &[0xff, 0xfe])]);
        assert!(unpack(&not_text).unwrap_err().rule.contains("UTF-8"));
    }
}
