//! Applications of which so many pushes wait that they may create no more commands to be told of.
//!
//! The sweep over stored pushes says who, and tells the store, which then makes no notices of what their devices report; a create only looks. So the limit is kept to within what comes between two rounds
//! of the sweep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use downlink_core::AppKey;
use foldhash::HashSet;

#[derive(Default)]
pub(crate) struct Crowded {
    any: AtomicBool,
    apps: RwLock<HashSet<AppKey>>,
}

impl Crowded {
    /// These, and no others, from now on. Gives those before.
    pub(crate) fn set(&self, apps: HashSet<AppKey>) -> HashSet<AppKey> {
        let any = !apps.is_empty();
        let before = std::mem::replace(
            &mut *self.apps.write().unwrap_or_else(PoisonError::into_inner),
            apps,
        );
        self.any.store(any, Ordering::Relaxed);
        before
    }

    /// Those that are.
    pub(crate) fn now(&self) -> HashSet<AppKey> {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has(&self, app: AppKey) -> bool {
        self.any.load(Ordering::Relaxed)
            && self
                .apps
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&app)
    }
}
