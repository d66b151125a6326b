//! Profile packages: zip archives, from whoever may upload them.
//!
//! Only the files of a profile are unpacked, each no further than a profile may be long, so that neither the number of
//! entries nor what they say of their size matters.

use std::io::{Cursor, Read as _};

use downlink_api::Invalid;
use downlink_api::product::{MAX_PROFILE_BYTES, PackageFiles};
use zip::ZipArchive;

/// Entries of an archive at the most: a file per service, and whatever else packages hold.
const MAX_ENTRIES: usize = 2000;

/// The files of a profile package.
pub(crate) fn unpack(archive: &[u8]) -> Result<PackageFiles, Invalid> {
    let broken =
        |error: zip::result::ZipError| Invalid::new("package", format!("is no sound zip archive: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(broken)?;
    if archive.len() > MAX_ENTRIES {
        return Err(Invalid::new(
            "package",
            format!("must have at most {MAX_ENTRIES} entries"),
        ));
    }
    let mut files = PackageFiles::default();
    for n in 0..archive.len() {
        let entry = archive.by_index(n).map_err(broken)?;
        // Some tools write the separators of their own system.
        let path = entry.name().map_err(broken)?.replace('\\', "/");
        if !PackageFiles::wants(&path) {
            continue;
        }
        let mut bytes = Vec::new();
        let unreadable = |what| Invalid::new(path.clone(), format!("cannot be read: {what}"));
        entry
            .take(MAX_PROFILE_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
        files.add(&path, text)?;
    }
    Ok(files)
}
