//! Products at work: what a device's product says of its commands, kept ready in memory.
//!
//! Creates are many and changes of products few. So a product is read and parsed once, and asked for in memory until the
//! store says that some product changed. Devices that name no product cost nothing here.

mod codec;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod package;
mod put;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downlink_api::product::ProductDoc;
use downlink_core::product::CommandForm;
use downlink_core::{AppKey, ProductRef, Profile};
use downlink_store::{Codec, Product, ProductHead, ProductKey, Store, StoreError};
use foldhash::HashMap;

pub(crate) use package::unpack;
pub(crate) use put::{PutError, Upload};

/// Ways that devices name their products, remembered at the most.
const REFS: usize = 65_536;
/// Bytes of profiles and codecs, as texts, of the products that are kept ready.
const READY_BYTES: usize = 64 * 1024 * 1024;

/// A product, ready.
#[derive(Debug)]
pub(crate) struct ReadyProduct {
    /// Its names and settings.
    pub(crate) head: ProductHead,
    /// What its devices can do.
    pub(crate) profile: Profile,
    /// Its codec, as it was put.
    pub(crate) codec: Option<Codec>,
    /// The same, ready for use; `Err`: it cannot be read any more, and why.
    pub(crate) translator: Result<Arc<downlink_codec::Codec>, String>,
    /// How long its texts are.
    bytes: usize,
}

impl ReadyProduct {
    /// Whether devices answer a command of a service, and the answer can be told to be its.
    pub(crate) fn is_answered(&self, service: &str, form: &CommandForm) -> bool {
        let is_matched = || match &self.translator {
            Ok(codec) => codec.carries_mid(service, &form.name),
            Err(_) => self.codec.as_ref().is_none_or(|codec| codec.matches_answers),
        };
        form.is_answered() && is_matched()
    }
}

/// The products that were asked for lately.
pub(crate) struct ProductBook {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The count of changes that `found` holds for.
    changes: u64,
    /// What each way of naming a product leads to, `None` included.
    found: HashMap<AppKey, HashMap<Arc<ProductRef>, Option<Arc<ReadyProduct>>>>,
    refs: usize,
    /// Those that are ready: a change of another product does not have them parsed again.
    ready: HashMap<ProductKey, Arc<ReadyProduct>>,
    bytes: usize,
}

impl ProductBook {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
        }
    }

    /// The product that a device of the application means. From memory, but for the first time after a change.
    pub(crate) async fn of(
        &self,
        store: &dyn Store,
        app: AppKey,
        means: &Arc<ProductRef>,
    ) -> Result<Option<Arc<ReadyProduct>>, StoreError> {
        // Taken before the row is read: one that changes meanwhile is read again the next time.
        let changes = store.product_changes();
        if let Some(known) = self.lock().get(changes, app, means) {
            return Ok(known);
        }
        let read = store.product_of(app, means).await?;
        let ready = read.and_then(|product| self.ready(product));
        self.lock().keep(changes, app, means, ready.clone());
        Ok(ready)
    }

    /// The product, ready; none if its profile cannot be read, which then says nothing of its devices.
    fn ready(&self, product: Product) -> Option<Arc<ReadyProduct>> {
        let known = self.lock().ready.get(&product.head.key).cloned();
        if let Some(known) = known.filter(|known| known.head.revision == product.head.revision) {
            return Some(known);
        }
        let profile = match ProductDoc::parse(&product.profile) {
            Ok((_, profile)) => profile,
            Err(error) => {
                tracing::error!(product = product.head.id, %error, "a product's profile cannot be read; put it again");
                return None;
            }
        };
        let codec_bytes = product.codec.as_ref().map_or(0, |codec| codec.text.len());
        let translator = match &product.codec {
            None => Ok(downlink_codec::Codec::Json),
            Some(codec) => codec::read(&codec.kind, &codec.text),
        };
        Some(Arc::new(ReadyProduct {
            translator: translator.map(Arc::new),
            bytes: product.profile.len() + codec_bytes,
            head: product.head,
            profile,
            codec: product.codec,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn get(
        &mut self,
        changes: u64,
        app: AppKey,
        means: &Arc<ProductRef>,
    ) -> Option<Option<Arc<ReadyProduct>>> {
        if changes > self.changes {
            self.changes = changes;
            self.forget_refs();
        }
        self.found.get(&app)?.get(means).cloned()
    }

    fn keep(&mut self, changes: u64, app: AppKey, means: &Arc<ProductRef>, ready: Option<Arc<ReadyProduct>>) {
        if changes != self.changes {
            return;
        }
        if self.refs >= REFS || self.bytes >= READY_BYTES {
            self.forget_refs();
            self.ready.clear();
            self.bytes = 0;
        }
        if let Some(product) = &ready {
            self.bytes += product.bytes;
            let before = self.ready.insert(product.head.key, Arc::clone(product));
            self.bytes -= before.map_or(0, |before| before.bytes);
        }
        let of_app = self.found.entry(app).or_default();
        if of_app.insert(Arc::clone(means), ready).is_none() {
            self.refs += 1;
        }
    }

    fn forget_refs(&mut self) {
        self.found.clear();
        self.refs = 0;
    }
}

#[cfg(test)]
mod tests;
