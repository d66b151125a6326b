//! What has to hold for any bytes as a profile package: they are unpacked or refused, no more is kept than a profile may have, and a
//! profile that was read is kept as what is read again. What a sound archive holds is found in it.
//!
//! Bytes that begin with `PK` are an archive; all others say which files one is made of. The fuzz target and the tests that
//! replay its corpus both call [`package`].

use std::io::{Cursor, Write as _};

use downlink_api::product::{MAX_PROFILE_BYTES, PackageFiles, ProductDoc};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

use super::unpack;

const NAMES: [&str; 6] = [
    "profile/devicetype-capability.json",
    "profile/service/A/profile/servicetype-capability.json",
    "profile\\service\\B\\servicetype-capability.json",
    "servicetype-capability.json",
    "../../devicetype-capability.json",
    "readme.txt",
];

/// Checks an archive.
pub(crate) fn package(data: &[u8]) {
    if data.starts_with(b"PK") {
        return read(data);
    }
    let files = files(data);
    let archive = archive(&files);
    if let Ok(archive) = archive {
        assert!(ZipArchive::new(Cursor::new(&archive)).is_ok());
        read(&archive);
        found(&archive, &files);
    }
}

fn read(archive: &[u8]) {
    let Ok(files) = unpack(archive) else { return };
    let Ok((doc, profile)) = ProductDoc::parse_package(&files) else {
        return;
    };
    let text = doc.to_json();
    assert!(text.len() <= MAX_PROFILE_BYTES);
    assert_eq!(ProductDoc::parse(&text), Ok((doc, profile)));
}

/// Names and contents: a byte for the name, two of length, the bytes.
fn files(mut data: &[u8]) -> Vec<(&'static str, &[u8])> {
    let mut files = Vec::new();
    while let [name, low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (content, rest) = rest.split_at(length);
        files.push((NAMES[usize::from(*name) % NAMES.len()], content));
        data = rest;
    }
    files
}

fn archive(files: &[(&str, &[u8])]) -> zip::result::ZipResult<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (n, (name, content)) in files.iter().enumerate() {
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][n % 2];
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method))?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The archive is sound: all that is wanted of it is found, unless a file is no text or too many are there.
fn found(archive: &[u8], files: &[(&str, &[u8])]) {
    let mut expected = PackageFiles::default();
    for (name, content) in files {
        let Ok(text) = String::from_utf8(content.to_vec()) else {
            return;
        };
        if expected.add(&name.replace('\\', "/"), text).is_err() {
            return;
        }
    }
    assert_eq!(unpack(archive), Ok(expected));
}
