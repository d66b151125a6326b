//! Cursors: a place in an application's feed, opaque to the application.
//!
//! Base64url of a version, four bytes that stand for the application, and a number. The four bytes are no secret and no
//! protection: they tell a cursor of another application from a good one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use downlink_core::AppId;
use ring::digest::{SHA256, digest};

const VERSION: u8 = 1;
/// Version, application, number.
const LEN: usize = 1 + 4 + 8;

/// Why a text is not taken as a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadCursor {
    #[error("is none that this server gave")]
    Unreadable,
    #[error("is of another application")]
    OfAnother,
}

/// The cursor of the place after change `n`.
pub(super) fn write(app: &AppId, n: u64) -> String {
    let mut bytes = [VERSION; LEN];
    bytes[1..5].copy_from_slice(&mark(app));
    bytes[5..].copy_from_slice(&n.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The number of the change that a cursor stands after.
pub(super) fn read(app: &AppId, text: &str) -> Result<u64, BadCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor::Unreadable)?;
    let Ok(bytes) = <[u8; LEN]>::try_from(bytes) else {
        return Err(BadCursor::Unreadable);
    };
    let [version, a, b, c, d, number @ ..] = bytes;
    if version != VERSION {
        return Err(BadCursor::Unreadable);
    }
    if [a, b, c, d] != mark(app) {
        return Err(BadCursor::OfAnother);
    }
    Ok(u64::from_be_bytes(number))
}

fn mark(app: &AppId) -> [u8; 4] {
    let digest = digest(&SHA256, app.as_str().as_bytes());
    let mut mark = [0; 4];
    mark.copy_from_slice(&digest.as_ref()[..4]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_by_their_application_only() {
        let (ours, other) = (AppId::new("a"), AppId::new("b"));
        for n in [0, 1, 77, u64::MAX] {
            let text = write(&ours, n);
            assert_eq!(read(&ours, &text), Ok(n));
            assert_eq!(read(&other, &text), Err(BadCursor::OfAnother));
            assert_eq!(read(&ours, &text[1..]), Err(BadCursor::Unreadable));
        }
        let mut later = URL_SAFE_NO_PAD.decode(write(&ours, 1)).unwrap();
        later[0] = VERSION + 1;
        for text in ["", "head", "%%%", "AAAA", &URL_SAFE_NO_PAD.encode(later)] {
            assert_eq!(read(&ours, text), Err(BadCursor::Unreadable), "{text}");
        }
    }
}
