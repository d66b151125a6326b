//! The trust book: what each application's pushes are signed and secured with, in memory, as the store has it.
//!
//! Read whole at start, and anew for an application after each change; all changes go through here. An attempt asks it
//! once. What cannot be opened makes attempts fail: nothing is pushed unsigned that should be signed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use downlink_core::{AppKey, Timestamp};
use downlink_store::{AddKeyRefused, AppTrust, PushTls, SigningKey, StoreError, Trust};
use foldhash::HashMap;
use tokio::sync::{Mutex, Notify};

use super::sign::{Signer, SigningSecret};
use super::tls::{OwnTls, Roots, TlsFault, TlsProfile};
use crate::clock;
use crate::secrets::{Sealer, random_hex};

/// Keys of an application that are live at once: enough to go from one to the next.
const MOST_KEYS: u32 = 2;

/// What an application's pushes are signed and secured with.
pub(super) struct Security {
    /// Those that were live when it was read; else why they cannot be used.
    pub(super) signers: Result<Vec<Signer>, String>,
    pub(super) tls: Arc<TlsProfile>,
    /// What the profile was made of.
    stored_tls: Option<PushTls>,
}

/// See the module.
pub(crate) struct TrustBook {
    store: Arc<dyn Trust + Send + Sync>,
    sealer: Arc<Sealer>,
    roots: Roots,
    /// Of all applications that have nothing of their own.
    plain: Arc<Security>,
    apps: RwLock<HashMap<AppKey, Arc<Security>>>,
    profiles: AtomicU64,
    /// One change at a time, so that what was read last is what was written last.
    changing: Mutex<()>,
    changed: Notify,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustRefused {
    #[error("there is no such application")]
    NoApp,
    #[error("two keys are live already: delete one, or wait until the older one ends")]
    TooManyKeys,
    #[error(transparent)]
    Tls(#[from] TlsFault),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TrustBook {
    /// An empty book.
    pub(crate) fn new(store: Arc<dyn Trust + Send + Sync>, sealer: Arc<Sealer>, roots: Roots) -> Self {
        let plain = Security {
            signers: Ok(Vec::new()),
            tls: Arc::new(TlsProfile::plain(&roots)),
            stored_tls: None,
        };
        Self {
            store,
            sealer,
            roots,
            plain: Arc::new(plain),
            apps: RwLock::default(),
            profiles: AtomicU64::new(1),
            changing: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Reads all that the store has.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        for (app, trust) in self.store.trusts().await? {
            self.enter(app, &trust);
        }
        Ok(())
    }

    /// An application's.
    pub(super) fn of(&self, app: AppKey) -> Arc<Security> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(apps.get(&app).unwrap_or(&self.plain))
    }

    /// Ends when a profile was replaced or went away.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// An application's live keys, newest first.
    pub(crate) async fn keys(&self, app: AppKey) -> Result<Vec<SigningKey>, StoreError> {
        let now = clock::now();
        let mut keys = self.store.trust(app).await?.keys;
        keys.retain(|key| key.is_live(now));
        Ok(keys)
    }

    /// Gives an application a new key; those it has end at `others_end`.
    pub(crate) async fn add_key(
        &self,
        app: AppKey,
        secret: &SigningSecret,
        others_end: Timestamp,
    ) -> Result<SigningKey, TrustRefused> {
        let _turn = self.changing.lock().await;
        let id: Arc<str> = random_hex(8).into();
        let key = SigningKey {
            sealed: self.sealer.seal(&key_label(app, &id), &secret.to_text()),
            id,
            created_at: clock::now(),
            ends_at: None,
        };
        let adding = self
            .store
            .add_signing_key(app, key.clone(), others_end, MOST_KEYS);
        match adding.await? {
            Ok(()) => {}
            Err(AddKeyRefused::NoApp) => return Err(TrustRefused::NoApp),
            Err(AddKeyRefused::TooMany) => return Err(TrustRefused::TooManyKeys),
        }
        self.refresh(app).await?;
        Ok(key)
    }

    /// Deletes a key; false if there is none.
    pub(crate) async fn remove_key(&self, app: AppKey, id: Arc<str>) -> Result<bool, StoreError> {
        let _turn = self.changing.lock().await;
        let removed = self.store.remove_signing_key(app, id, clock::now()).await?;
        self.refresh(app).await?;
        Ok(removed)
    }

    /// An application's own TLS.
    pub(crate) async fn tls(&self, app: AppKey) -> Result<Option<PushTls>, StoreError> {
        Ok(self.store.trust(app).await?.tls)
    }

    /// Gives an application its own TLS, or takes it away.
    pub(crate) async fn set_tls(&self, app: AppKey, own: Option<OwnTls>) -> Result<(), TrustRefused> {
        if let Some(own) = &own {
            own.check()?;
        }
        let _turn = self.changing.lock().await;
        let seal = |key: &String| self.sealer.seal(&tls_label(app), key);
        let stored = own.map(|own| PushTls {
            sealed_key: own.key.as_ref().map(seal),
            ca: own.ca,
            check_name: own.check_name,
            certificate: own.certificate,
        });
        if !self.store.set_push_tls(app, stored).await? {
            return Err(TrustRefused::NoApp);
        }
        self.refresh(app).await?;
        Ok(())
    }

    async fn refresh(&self, app: AppKey) -> Result<(), StoreError> {
        let trust = self.store.trust(app).await?;
        self.enter(app, &trust);
        self.changed.notify_one();
        Ok(())
    }

    fn enter(&self, app: AppKey, trust: &AppTrust) {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        if *trust == AppTrust::default() {
            apps.remove(&app);
        } else {
            let security = Arc::new(self.open(app, trust, apps.get(&app)));
            apps.insert(app, security);
        }
    }

    /// A profile that did not change stays, and its connections with it.
    fn open(&self, app: AppKey, trust: &AppTrust, before: Option<&Arc<Security>>) -> Security {
        let signers = self.signers(app, &trust.keys);
        if let Err(why) = &signers {
            tracing::error!(
                app = app.0,
                why,
                "the pushes of an application cannot be signed and fail"
            );
        }
        let tls = match (&trust.tls, before) {
            (None, _) => Arc::clone(&self.plain.tls),
            (same, Some(before)) if *same == before.stored_tls => Arc::clone(&before.tls),
            (Some(own), _) => Arc::new(self.profile(app, own)),
        };
        if let Err(why) = &tls.config
            && trust.tls.is_some()
        {
            tracing::error!(
                app = app.0,
                why,
                "an application's own TLS cannot be used, its pushes over TLS fail"
            );
        }
        Security {
            signers,
            tls,
            stored_tls: trust.tls.clone(),
        }
    }

    fn signers(&self, app: AppKey, keys: &[SigningKey]) -> Result<Vec<Signer>, String> {
        let open = |key: &SigningKey| {
            let opened = self.sealer.open(&key_label(app, &key.id), &key.sealed);
            let secret = opened.map_err(|_| "a signing key cannot be opened with this master key")?;
            let secret = SigningSecret::parse(&secret).map_err(|_| "a signing key is damaged")?;
            Ok::<_, &str>(Signer::new(&secret, key.ends_at))
        };
        let all: Result<Vec<_>, _> = keys.iter().map(open).collect();
        all.map_err(str::to_owned)
    }

    fn profile(&self, app: AppKey, own: &PushTls) -> TlsProfile {
        let number = self.profiles.fetch_add(1, Ordering::Relaxed);
        let open = |sealed: &Vec<u8>| self.sealer.open(&tls_label(app), sealed);
        match own.sealed_key.as_ref().map(open).transpose() {
            Ok(key) => {
                let own = OwnTls {
                    ca: own.ca.clone(),
                    check_name: own.check_name,
                    certificate: own.certificate.clone(),
                    key,
                };
                TlsProfile::own(number, &own, &self.roots)
            }
            Err(_) => TlsProfile::unusable(
                number,
                "the key of its certificate cannot be opened with this master key",
            ),
        }
    }
}

/// What a sealed secret is bound to: it opens in its own place only.
/// What a signing key is sealed for.
pub(crate) fn key_label(app: AppKey, id: &str) -> String {
    format!("signing-key:{}:{id}", app.0)
}

/// What the key of a client certificate is sealed for.
pub(crate) fn tls_label(app: AppKey) -> String {
    format!("push-tls:{}", app.0)
}
