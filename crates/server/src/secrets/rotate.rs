//! Another master key: all that is sealed is sealed anew, while no server runs.
//!
//! The new key is on disk before anything is sealed under it, and takes the old one's name after that. A run that was cut off
//! is finished by the next: what was sealed under the new key already is known by that.

use std::io;
use std::path::{Path, PathBuf};

use downlink_core::AppKey;
use downlink_store::sqlite::reseal::{Place, ResealError, Resealing, reseal};

use super::Sealer;
use super::files::{self, NEW_KEY, OLD_KEY};
use crate::push::{key_label, tls_label};

/// Makes another master key for a data directory whose key is its file `master.key`. Gives how many secrets were sealed
/// anew.
///
/// # Errors
/// A server has the directory; there is no key file, or it is not the key of what is sealed.
pub fn rotate_master_key(data_dir: &Path) -> Result<u64, ResealError> {
    let (old_file, new_file) = (data_dir.join(OLD_KEY), data_dir.join(NEW_KEY));
    let mut rotation = Rotation {
        keys: None,
        old_file,
        new_file,
    };
    reseal(data_dir, &mut rotation)
}

struct Rotation {
    /// The old and the new one, once it has begun.
    keys: Option<(Sealer, Sealer)>,
    old_file: PathBuf,
    new_file: PathBuf,
}

impl Resealing for Rotation {
    fn begin(&mut self) -> io::Result<()> {
        let old = files::key_in(&self.old_file)?;
        let new = files::made_key(&self.new_file)?;
        self.keys = Some((Sealer::new(&old), Sealer::new(&new)));
        Ok(())
    }

    fn seal(&self, place: &Place, sealed: &[u8]) -> Option<Vec<u8>> {
        let ((old, new), label) = (self.keys.as_ref()?, label(place));
        match old.open(&label, sealed) {
            Ok(secret) => Some(new.seal(&label, &secret)),
            Err(_) => new.open(&label, sealed).ok().map(|_| sealed.to_vec()),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        std::fs::rename(&self.new_file, &self.old_file)?;
        files::sync_parent(&self.old_file)
    }
}

fn label(place: &Place) -> String {
    match place {
        Place::Device { id } => id.clone(),
        Place::SigningKey { app, id } => key_label(AppKey(*app), id),
        Place::PushTls { app } => tls_label(AppKey(*app)),
    }
}
