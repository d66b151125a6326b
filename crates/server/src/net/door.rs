//! The TLS of a listener, exchanged as a whole when its files change: connections that are open keep what they have.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::tls::{Loaded, TlsError, TlsFiles};

/// See the module.
pub(crate) struct TlsDoor {
    name: &'static str,
    files: TlsFiles,
    alpn: Vec<Vec<u8>>,
    now: RwLock<Now>,
}

/// What new connections get.
struct Now {
    config: Arc<ServerConfig>,
    print: [u8; 32],
    not_after: i64,
}

impl From<Loaded> for Now {
    fn from(loaded: Loaded) -> Self {
        Self {
            config: Arc::new(loaded.config),
            print: loaded.print,
            not_after: loaded.not_after,
        }
    }
}

impl TlsDoor {
    /// Opens a door that is called `name` in logs and metrics.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(crate) fn open(name: &'static str, files: TlsFiles, alpn: &[&[u8]]) -> Result<Arc<Self>, TlsError> {
        let alpn: Vec<_> = alpn.iter().map(|name| name.to_vec()).collect();
        let now = RwLock::new(files.load(&alpn)?.into());
        Ok(Arc::new(Self {
            name,
            files,
            alpn,
            now,
        }))
    }

    /// What it is called.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&now.config))
    }

    /// When its certificate ends, in seconds since 1970.
    pub(super) fn not_after(&self) -> i64 {
        self.now.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Reads the files again; says whether there was anything new. Blocks for as long as that takes.
    ///
    /// # Errors
    /// What is wrong with them; what was there stays.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let loaded = self.files.load(&self.alpn)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = now.print != loaded.print;
        if is_new {
            *now = loaded.into();
        }
        Ok(is_new)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_new_pair_is_taken_and_a_broken_one_is_not() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = TlsFiles::of("", "", dir.path()).unwrap();
        let new = TlsFiles::of("", "", other.path()).unwrap();
        let door = TlsDoor::open("a", files.clone(), &[]).unwrap();
        let first = Arc::clone(&door.now.read().unwrap().config);
        assert!(!door.reload().unwrap(), "nothing is new");
        fs::copy(&new.cert, &files.cert).unwrap();
        assert!(door.reload().is_err(), "the key is still the old one");
        assert!(Arc::ptr_eq(&first, &door.now.read().unwrap().config));
        fs::copy(&new.key, &files.key).unwrap();
        assert!(door.reload().unwrap());
        assert!(!Arc::ptr_eq(&first, &door.now.read().unwrap().config));
    }
}
