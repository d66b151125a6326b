//! Keys that were shared beforehand, and which of them a handshake asked for.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest identity that is looked up. RFC 4279 §5.3 wants 128 bytes; more is only trouble.
pub(super) const LONGEST_IDENTITY: usize = 256;

/// Who may come in. Asked in the middle of a handshake: from memory, at once.
pub(in crate::gateway::lwm2m) trait Keys: Send + Sync {
    /// The key of `identity`. For one without a key the handshake goes on with a random one, and fails where a wrong
    /// key would.
    fn key(&self, identity: &[u8]) -> Option<Vec<u8>>;
}

/// What the library asks. It says nothing of which session asks, so the answer is noted here until the call that fed
/// the machine is over.
pub(super) struct Resolver {
    keys: AssertUnwindSafe<Arc<dyn Keys>>,
    asked: Mutex<Option<Box<[u8]>>>,
}

impl Resolver {
    pub(super) fn new(keys: Arc<dyn Keys>) -> Self {
        Self {
            keys: AssertUnwindSafe(keys),
            asked: Mutex::new(None),
        }
    }

    /// The identity that was asked for since the last call.
    pub(super) fn asked(&self) -> Option<Box<[u8]>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl dimpl::PskResolver for Resolver {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        if identity.len() > LONGEST_IDENTITY {
            return None;
        }
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.into());
        self.keys.key(identity)
    }
}
