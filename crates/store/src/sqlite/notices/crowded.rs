//! Applications of which so much waits that they are told of no more reports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use downlink_core::AppKey;
use foldhash::{HashMap, HashSet};

/// Shared between whoever counts what waits and says so, and those who ask: the writer for each notice, others for each command.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Crowded {
    any: AtomicBool,
    apps: RwLock<HashSet<AppKey>>,
    /// Notices that were not made, in transactions that were kept.
    dropped: Mutex<HashMap<AppKey, u64>>,
}

impl Crowded {
    /// These, and no others, from now on. Gives what was dropped since the last call.
    pub(in crate::sqlite) fn set(&self, apps: HashSet<AppKey>) -> Vec<(AppKey, u64)> {
        let any = !apps.is_empty();
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
        self.any.store(any, Ordering::Relaxed);
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *dropped).into_iter().collect()
    }

    pub(in crate::sqlite) fn has(&self, app: AppKey) -> bool {
        self.any.load(Ordering::Relaxed)
            && self
                .apps
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&app)
    }

    /// So many were dropped.
    pub(super) fn count(&self, more: &mut HashMap<AppKey, u64>) {
        if more.is_empty() {
            return;
        }
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        for (app, count) in more.drain() {
            *dropped.entry(app).or_default() += count;
        }
    }
}
