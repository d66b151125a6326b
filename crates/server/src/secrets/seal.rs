//! Secrets that are needed in clear, sealed with AES-256-GCM: `version ‖ nonce ‖ ciphertext ‖ tag`, each bound to a label of
//! the place it is kept for. A device's secret is bound to the device's id, which holds no colon; all other labels hold one.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::hash::random;

const VERSION: u8 = 1;

/// Seals and opens under the master key.
pub(crate) struct Sealer(LessSafeKey);

/// The sealed bytes are damaged, for another place, or under another master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret cannot be opened with this master key")]
pub(crate) struct Unsealable;

impl Sealer {
    pub(crate) fn new(master_key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, master_key).expect("the key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals `secret` for the place with this label.
    pub(crate) fn seal(&self, label: &str, secret: &str) -> Vec<u8> {
        let nonce = random::<NONCE_LEN>();
        let mut text = secret.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(label.as_bytes()),
                &mut text,
            )
            .expect("secrets are short");
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Opens what was sealed for the place with this label.
    pub(crate) fn open(&self, label: &str, sealed: &[u8]) -> Result<String, Unsealable> {
        let (&version, rest) = sealed.split_first().ok_or(Unsealable)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        if version != VERSION {
            return Err(Unsealable);
        }
        let mut text = text.to_vec();
        let open = self
            .0
            .open_in_place(nonce, Aad::from(label.as_bytes()), &mut text)
            .map_err(|_| Unsealable)?;
        String::from_utf8(open.to_vec()).map_err(|_| Unsealable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_key_and_for_the_place_it_was_sealed_for() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal("dev-1", "s3cret");
        assert_eq!(sealer.open("dev-1", &sealed).as_deref(), Ok("s3cret"));
        assert_eq!(sealer.open("dev-2", &sealed), Err(Unsealable));
        assert_eq!(Sealer::new(&[8; 32]).open("dev-1", &sealed), Err(Unsealable));
        for cut in 0..sealed.len() {
            assert_eq!(sealer.open("dev-1", &sealed[..cut]), Err(Unsealable));
        }
    }
}
