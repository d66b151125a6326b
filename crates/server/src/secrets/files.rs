//! Key files in the data directory: made at first start, mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::hash::random_hex;

/// Fewer characters could be guessed.
const SHORTEST_TOKEN: usize = 32;

/// The file of the master key.
pub(super) const OLD_KEY: &str = "master.key";
/// The file of the key that is about to take its place.
pub(super) const NEW_KEY: &str = "master.key.new";

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

/// The key that a text says.
pub(super) fn key_of(text: &str) -> io::Result<[u8; 32]> {
    decode(text.trim()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the master key must be 64 hex digits (server.master_key, master.key)",
        )
    })
}

/// The admin token: `<data_dir>/admin.token`, of at least [`SHORTEST_TOKEN`] characters: an empty file would let anybody in.
pub(crate) fn admin_token(data_dir: &Path) -> io::Result<String> {
    let token = read_or_make(&data_dir.join("admin.token"), 32)?.trim().to_owned();
    match token.len() >= SHORTEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "admin.token must hold at least {SHORTEST_TOKEN} characters without blanks; delete it to have one made"
            ),
        )),
    }
}

fn read_or_make(path: &Path, bytes: usize) -> io::Result<String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, bytes),
        found => found,
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

/// Under another name first: a crash in between leaves no file that is empty or cut short.
fn make(path: &Path, bytes: usize) -> io::Result<String> {
    let text = random_hex(bytes);
    let unfinished = path.with_added_extension("part");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_parent(path)?;
    Ok(text)
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
        let path = dir.path().join(OLD_KEY);
        let key = made_key(&path).unwrap();
        assert_eq!((made_key(&path).unwrap(), key_in(&path).unwrap()), (key, key));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_token_that_is_empty_or_short_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        for bad in [
            "",
            "\n",
            "short",
            &"a".repeat(31),
            &format!("{} {}", "a".repeat(20), "a".repeat(20)),
        ] {
            fs::write(&path, bad).unwrap();
            assert!(admin_token(dir.path()).is_err(), "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(admin_token(dir.path()).unwrap().len(), 64);
    }

    #[test]
    fn what_a_crash_left_unfinished_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["master.key.part", "admin.token.part"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(made_key(&dir.path().join(OLD_KEY)).is_ok() && admin_token(dir.path()).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_bad_key_is_refused() {
        for bad in ["12", &"g".repeat(64), &"é".repeat(32)] {
            assert!(key_of(bad).is_err(), "{bad}");
        }
    }
}
