//! Another master key: all that is sealed is sealed anew, while no server runs.
//!
//! The new key is on disk before anything is sealed under it, and takes the old one's name after that. A run that was cut off
//! is finished by the next: what was sealed under the new key already is known by that.

use std::io;
use std::path::{Path, PathBuf};

use downlink_store::sqlite::reseal::{ResealError, Resealing, reseal};
use downlink_store::sqlite::sealed::Place;

use super::Sealer;
use super::files::{self, NEW_KEY, OLD_KEY};
use super::unlock::label;

/// What a change of the master key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets that are sealed under the new key.
    pub sealed: u64,
    /// Secrets that are given up: what they were for needs new ones.
    pub given_up: u64,
}

/// Makes another master key for a data directory, in its file `master.key`. The old one is `configured` (64 hex digits) or, if
/// that is empty, what the file holds. With `give_up` what the old key does not open is given up, and there may be no old key;
/// without it nothing is changed then.
///
/// # Errors
/// A server has the directory; there is no old key, there are two, or it is not the key of what is sealed.
pub fn rotate_master_key(data_dir: &Path, configured: &str, give_up: bool) -> Result<Rotated, ResealError> {
    let mut rotation = Rotation {
        configured: configured.to_owned(),
        give_up,
        given_up: 0,
        keys: None,
        makes_new: false,
        old_file: data_dir.join(OLD_KEY),
        new_file: data_dir.join(NEW_KEY),
    };
    let all = reseal(data_dir, &mut rotation)?;
    Ok(Rotated {
        sealed: all - rotation.given_up,
        given_up: rotation.given_up,
    })
}

struct Rotation {
    configured: String,
    give_up: bool,
    given_up: u64,
    /// The old one, unless it is lost, and the new one, once it has begun.
    keys: Option<(Option<Sealer>, Sealer)>,
    /// The new key is of this run, not of one that was cut off.
    makes_new: bool,
    old_file: PathBuf,
    new_file: PathBuf,
}

impl Rotation {
    fn old_key(&self) -> io::Result<Option<Sealer>> {
        let there = self.old_file.exists();
        if !self.configured.is_empty() {
            let key = files::key_of(&self.configured)?;
            return match there {
                false => Ok(Some(Sealer::new(&key))),
                true => Err(io::Error::other(format!(
                    "there are two: server.master_key and {}. If the change was made already, take server.master_key out of \
                     the configuration; else move the file away",
                    self.old_file.display()
                ))),
            };
        }
        match there {
            true => files::key_in(&self.old_file).map(|key| Some(Sealer::new(&key))),
            false if self.give_up => Ok(None),
            false => Err(io::Error::other(format!(
                "{} is not there. If the key is server.master_key, name the configuration (--config) or set it in the \
                 environment; if it is lost, --give-up gives up what is sealed",
                self.old_file.display()
            ))),
        }
    }
}

impl Resealing for Rotation {
    fn begin(&mut self) -> io::Result<()> {
        let old = self.old_key()?;
        self.makes_new = !self.new_file.exists();
        let new = files::made_key(&self.new_file)?;
        self.keys = Some((old, Sealer::new(&new)));
        Ok(())
    }

    fn seal(&mut self, place: &Place, sealed: &[u8]) -> Option<Vec<u8>> {
        let ((old, new), label) = (self.keys.as_ref()?, label(place));
        if let Some(secret) = old.as_ref().and_then(|old| old.open(&label, sealed).ok()) {
            return Some(new.seal(&label, &secret));
        }
        if new.open(&label, sealed).is_ok() {
            return Some(sealed.to_vec());
        }
        // An empty one was given up before.
        (self.give_up || sealed.is_empty()).then(|| {
            self.given_up += 1;
            Vec::new()
        })
    }

    fn abandon(&mut self) {
        if self.makes_new
            && let Err(error) = std::fs::remove_file(&self.new_file)
        {
            tracing::warn!(file = %self.new_file.display(), %error, "the new key stays, and has to be removed by hand");
        }
    }

    fn end(&mut self) -> io::Result<()> {
        std::fs::rename(&self.new_file, &self.old_file)?;
        files::sync_parent(&self.old_file)
    }
}
