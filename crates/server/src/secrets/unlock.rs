//! The master key at the start: it has to open what is sealed.
//!
//! A new key is made only where nothing is sealed yet. A key that is gone, or another one, would be found out device by
//! device, long after the start; so it is refused there, with what can be done.

use std::io;
use std::path::{Path, PathBuf};

use downlink_core::AppKey;
use downlink_store::sqlite::OpenError;
use downlink_store::sqlite::sealed::{Place, samples};

use super::Sealer;
use super::files::{self, NEW_KEY, OLD_KEY};
use crate::push::{key_label, tls_label};

/// Why there is no master key to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("master key: {0}")]
    File(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("a change of the master key was not finished: run `downlink rotate-key` again")]
    Unfinished,
    #[error(
        "the master key {} is gone, and the store holds {sealed} that only it opens. Put it back, mode 0600, from where you \
         keep it, or give it as server.master_key. If it is lost for good: `downlink rotate-key --give-up` makes another one, \
         and what was sealed has to be given anew",
        .file.display()
    )]
    Gone { file: PathBuf, sealed: String },
    #[error(
        "{key} does not open what is sealed in {}: {sealed}. It is another key: put back the one that this store was last \
         used with. If that is lost for good: `downlink rotate-key --give-up` makes another one, and what was sealed has to \
         be given anew",
        .dir.display()
    )]
    Wrong {
        key: String,
        dir: PathBuf,
        sealed: String,
    },
}

/// The master key of a data directory whose store is there: as configured (64 hex digits), else of its file `master.key`, which
/// is made if nothing is sealed yet.
///
/// # Errors
/// There is none, it is another one, or its change was not finished. Nothing is changed.
pub(crate) fn unlock(configured: &str, data_dir: &Path) -> Result<Sealer, KeyError> {
    if data_dir.join(NEW_KEY).exists() {
        return Err(KeyError::Unfinished);
    }
    let (sealed, file) = (samples(data_dir)?, data_dir.join(OLD_KEY));
    let (key, named) = match configured {
        "" if !sealed.is_empty() && !file.exists() => {
            let sealed = kinds(sealed.iter().map(|(place, _)| place));
            return Err(KeyError::Gone { file, sealed });
        }
        "" => (
            files::made_key(&file)?,
            format!("the master key {}", file.display()),
        ),
        given => (
            files::key_of(given)?,
            "the master key of server.master_key".to_owned(),
        ),
    };
    let sealer = Sealer::new(&key);
    let shut = shut(&sealer, &sealed);
    if shut.is_empty() {
        return Ok(sealer);
    }
    let of = kinds(shut.iter().copied());
    if shut.len() == sealed.len() {
        return Err(KeyError::Wrong {
            key: named,
            dir: data_dir.to_owned(),
            sealed: of,
        });
    }
    // Damaged, or sealed under a key that was lost at some time: those that open are not to suffer for it.
    tracing::error!(
        sealed = of,
        "some of what is sealed does not open with the master key; it has to be given anew"
    );
    Ok(sealer)
}

/// Whether the key in `master.key` opens what is sealed in the store beside it; none: there is no such file, or nothing is sealed.
///
/// # Errors
/// The store or the file cannot be read.
pub fn key_file_opens(data_dir: &Path) -> io::Result<Option<bool>> {
    let file = data_dir.join(OLD_KEY);
    let sealed = samples(data_dir).map_err(io::Error::other)?;
    if sealed.is_empty() || !file.exists() {
        return Ok(None);
    }
    let sealer = Sealer::new(&files::key_in(&file)?);
    Ok(Some(shut(&sealer, &sealed).len() < sealed.len()))
}

/// Those that do not open.
fn shut<'a>(sealer: &Sealer, sealed: &'a [(Place, Vec<u8>)]) -> Vec<&'a Place> {
    let shut = sealed
        .iter()
        .filter(|(place, bytes)| sealer.open(&label(place), bytes).is_err());
    shut.map(|(place, _)| place).collect()
}

fn kinds<'a>(places: impl Iterator<Item = &'a Place>) -> String {
    let mut kinds: Vec<_> = places.map(Place::what).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(", ")
}

/// What a secret at this place is bound to.
pub(super) fn label(place: &Place) -> String {
    match place {
        Place::Device { id } => id.clone(),
        Place::SigningKey { app, id } => key_label(AppKey(*app), id),
        Place::PushTls { app } => tls_label(AppKey(*app)),
    }
}

#[cfg(test)]
mod tests;
