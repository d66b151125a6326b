//! A trust book over a store of its own, with one application in it.

use std::sync::Arc;

use downlink_core::{AppId, AppKey, Policy};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};
use downlink_store::{AppSettings, Apps, NewApp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use super::store::FakeStore;
use crate::clock;
use crate::push::tls::Roots;
use crate::push::trust::TrustBook;
use crate::secrets::Sealer;

/// See the module.
pub(super) struct Book {
    pub(super) trust: Arc<TrustBook>,
    pub(super) app: AppKey,
    pub(super) store: Arc<SqliteStore>,
    _dir: TempDir,
}

impl Book {
    pub(super) async fn open(roots: Roots) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(dir.path().join("s"), Policy::standard(clock::now()));
        (options.min_free_bytes, options.min_free_percent) = (0, 0);
        let store = Arc::new(SqliteStore::open(options).unwrap());
        let app = store.create_app(NewApp {
            id: AppId::new("app"),
            name: "app".to_owned(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: clock::now(),
        });
        let app = app.await.unwrap().unwrap().key;
        Self {
            trust: Arc::new(TrustBook::new(
                Arc::<SqliteStore>::clone(&store),
                sealer(3),
                roots,
            )),
            app,
            store,
            _dir: dir,
        }
    }

    /// Another book over the same store.
    pub(super) async fn again(&self, master_key: u8) -> Arc<TrustBook> {
        let store = Arc::<SqliteStore>::clone(&self.store);
        let trust = TrustBook::new(store, sealer(master_key), no_roots());
        trust.load().await.unwrap();
        Arc::new(trust)
    }
}

fn sealer(key: u8) -> Arc<Sealer> {
    Arc::new(Sealer::new(&[key; 32]))
}

/// A book with nothing in it.
pub(super) fn empty(roots: Roots) -> Arc<TrustBook> {
    Arc::new(TrustBook::new(Arc::new(FakeStore::default()), sealer(3), roots))
}

pub(super) fn no_roots() -> Roots {
    Roots::of(Err("no certificates on this system".to_owned()), true)
}

/// Only these are trusted, in place of the platform's.
pub(super) fn trusting(roots: &[CertificateDer<'static>], http2: bool) -> Roots {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .unwrap();
    Roots::of(Ok(verifier as Arc<dyn ServerCertVerifier>), http2)
}
