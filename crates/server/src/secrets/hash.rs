//! Hashes of application secrets and tokens, random material, comparison in constant time.

use std::fmt::Write;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(feature = "simulation")]
    if crate::simulated::fill(&mut bytes) {
        return bytes;
    }
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random source works");
    bytes
}

/// Random numbers for ids, drawn from the system some at a time: a call for each would cost as much as all else about an id.
/// Not for secrets.
pub(crate) struct IdRandom {
    drawn: [u8; 512],
    left: usize,
}

impl IdRandom {
    pub(crate) fn new() -> Self {
        Self {
            drawn: [0; 512],
            left: 0,
        }
    }

    /// A number that was not given before.
    pub(crate) fn next(&mut self) -> u64 {
        if self.left == 0 {
            self.drawn = random();
            self.left = self.drawn.len();
        }
        self.left -= 8;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.drawn[self.left..self.left + 8]);
        u64::from_le_bytes(bytes)
    }
}

/// `bytes` random bytes as lower-case hex; at the most 64.
pub(crate) fn random_hex(bytes: usize) -> String {
    random::<64>()
        .iter()
        .take(bytes)
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}

/// A random UUID (version 4).
pub(crate) fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random()).into_uuid()
}

/// A token of 256 random bits, 43 characters safe in URLs and headers.
pub(crate) fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// What is kept of a token: SHA-256. Tokens have 256 random bits, so nothing slower is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

/// What is kept of an application's secret: Argon2id in its textual form. Slow on purpose: people choose secrets.
pub(crate) struct SecretHash;

impl SecretHash {
    /// Hashes a secret. Costs about 10 ms of CPU and 8 MiB: not for the runtime's own threads.
    pub(crate) fn of(secret: &str) -> String {
        slow()
            .hash_password(secret.as_bytes())
            .expect("the parameters are valid")
            .to_string()
    }

    /// Whether `secret` is the one that was hashed. A damaged hash fits nothing.
    pub(crate) fn fits(hash: &str, secret: &str) -> bool {
        match PasswordHash::new(hash) {
            Ok(hash) => slow().verify_password(secret.as_bytes(), &hash).is_ok(),
            Err(_) => false,
        }
    }
}

fn slow() -> Argon2<'static> {
    let params = Params::new(8 * 1024, 2, 1, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Whether two texts are the same, in time that does not depend on where they differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_fits_its_hash_and_no_other() {
        let hash = SecretHash::of("correct");
        assert!(SecretHash::fits(&hash, "correct"));
        assert!(!SecretHash::fits(&hash, "Correct"));
        assert!(!SecretHash::fits("damaged", "correct"));
        assert!(!hash.contains("correct"));
    }

    #[test]
    fn tokens_differ_and_have_their_length() {
        let (a, b) = (random_token(), random_token());
        assert_ne!(a, b);
        assert_eq!((a.len(), random_hex(16).len()), (43, 32));
    }
}
