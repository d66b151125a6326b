//! Key files in the data directory: made at first start, mode 0600.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::hash::random_hex;

/// The file of the master key.
pub(super) const OLD_KEY: &str = "master.key";
/// The file of the key that is about to take its place.
pub(super) const NEW_KEY: &str = "master.key.new";

/// The master key: from configuration (64 hex digits), else `<data_dir>/master.key`.
pub(crate) fn master_key(configured: &str, data_dir: &Path) -> io::Result<[u8; 32]> {
    match configured {
        "" if data_dir.join(NEW_KEY).exists() => Err(io::Error::other(
            "a change of the master key was not finished: run `downlink rotate-key` again",
        )),
        "" => made_key(&data_dir.join(OLD_KEY)),
        given => key_of(given),
    }
}

/// The key in a file, which is made if there is none.
pub(super) fn made_key(path: &Path) -> io::Result<[u8; 32]> {
    key_of(&read_or_make(path, 32)?)
}

/// The key in a file.
pub(super) fn key_in(path: &Path) -> io::Result<[u8; 32]> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    key_of(&text)
}

fn key_of(text: &str) -> io::Result<[u8; 32]> {
    decode(text.trim()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the master key must be 64 hex digits (server.master_key, master.key)",
        )
    })
}

/// The admin token: `<data_dir>/admin.token`.
pub(crate) fn admin_token(data_dir: &Path) -> io::Result<String> {
    Ok(read_or_make(&data_dir.join("admin.token"), 32)?.trim().to_owned())
}

fn read_or_make(path: &Path, bytes: usize) -> io::Result<String> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(mut file) => {
            let text = random_hex(bytes);
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            sync_parent(path)?;
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut text = String::new();
            OpenOptions::new()
                .read(true)
                .open(path)?
                .take(4096)
                .read_to_string(&mut text)?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// The name of a new file is durable only once its directory is.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let key = master_key("", dir.path()).unwrap();
        assert_eq!(master_key("", dir.path()).unwrap(), key);
        let mode = std::fs::metadata(dir.path().join("master.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_bad_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["12", &"g".repeat(64), &"é".repeat(32)] {
            assert!(master_key(bad, dir.path()).is_err(), "{bad}");
        }
    }
}
