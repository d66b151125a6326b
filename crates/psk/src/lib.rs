//! The cryptography of the DTLS library: one suite, TLS_PSK_WITH_AES_128_CCM_8 (RFC 6655), over `ring`, and `aes` and `ccm` for
//! the cipher. The library's own provider brings certificates and their curves with it, which nobody here has.
//!
//! The server and its simulated devices both compute with this, so that they agree is no proof. Known answers (below), the
//! library's own provider (tests of the devices) and foreign clients (tests of the server) are.
//!
//! The library also asks its provider for the cookie that it expects in a hello. That is the door by which a hello
//! that a server's own cookie proved is let in: see [`admitting`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::cell::Cell;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use ccm::aead::AeadInOut;
use ccm::consts::{U8, U12};
use dimpl::crypto::{
    Aad, Buf, Cipher, CryptoProvider, Dtls12CipherSuite, Dtls13CipherSuite, HashAlgorithm, HashContext,
    HashProvider, HmacProvider, KeyProvider, Nonce, SecureRandom, SignatureAlgorithm, SignatureVerifier,
    SigningKey, SupportedDtls12CipherSuite, SupportedDtls13CipherSuite, TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation};
use ring::rand::SecureRandom as _;
use ring::{aead, digest, hmac, rand};

const TAG: usize = 8;

/// The cookie of a hello (RFC 6347 §4.2.1).
pub type Cookie = [u8; 32];

/// What the library computes with.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: &[],
        signature_verification: &NoCertificates,
        key_provider: &NoCertificates,
        secure_random: &Random,
        hash_provider: &Hashes,
        hmac_provider: &Hmacs,
        cipher_suites: &[&PskCcm8],
        dtls13_cipher_suites: &[&ForTheCheck],
    }
}

thread_local! {
    static ADMITTED: Cell<Option<Cookie>> = const { Cell::new(None) };
}

/// Runs `handle`, in which the library takes `cookie` for the one that it gave out itself.
///
/// The cookie stands in the hello, and the hello in the hash that both sides prove at the end, so it cannot be
/// exchanged for one of the library's own.
pub fn admitting<T>(cookie: Cookie, handle: impl FnOnce() -> T) -> T {
    ADMITTED.set(Some(cookie));
    let result = handle();
    ADMITTED.set(None);
    result
}

fn failed(operation: CryptoOperation) -> CryptoError {
    CryptoError::OperationFailed(operation)
}

#[derive(Debug)]
struct PskCcm8;

impl SupportedDtls12CipherSuite for PskCcm8 {
    fn suite(&self) -> Dtls12CipherSuite {
        Dtls12CipherSuite::PSK_AES128_CCM_8
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        (0, 16, 4)
    }

    fn explicit_nonce_len(&self) -> usize {
        8
    }

    fn tag_len(&self) -> usize {
        TAG
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        let ccm = ccm::Ccm::new_from_slice(key).map_err(|_| failed(CryptoOperation::CreateCipher))?;
        Ok(Box::new(Ccm8(ccm)))
    }
}

struct Ccm8(ccm::Ccm<aes::Aes128, U8, U12>);

impl std::fmt::Debug for Ccm8 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ccm8")
    }
}

impl Cipher for Ccm8 {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let tag = self
            .0
            .encrypt_inout_detached(&nonce.0.into(), &aad, plaintext.as_mut().into())
            .map_err(|_| failed(CryptoOperation::Encrypt))?;
        plaintext.extend_from_slice(&tag);
        Ok(())
    }

    fn decrypt(&mut self, ciphertext: &mut TmpBuf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let wrong = || failed(CryptoOperation::Decrypt);
        let length = ciphertext.len().checked_sub(TAG).ok_or_else(wrong)?;
        let tag: [u8; TAG] = ciphertext.as_ref()[length..].try_into().map_err(|_| wrong())?;
        ciphertext.truncate(length);
        self.0
            .decrypt_inout_detached(&nonce.0.into(), &aad, ciphertext.as_mut().into(), &tag.into())
            .map_err(|_| wrong())
    }
}

#[derive(Debug)]
struct Hashes;

impl HashProvider for Hashes {
    /// SHA-256 whatever is asked: no suite here has another.
    fn create_hash(&self, _algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(digest::Context::new(&digest::SHA256)))
    }
}

struct Hash(digest::Context);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        out.clear();
        out.extend_from_slice(self.0.clone().finish().as_ref());
    }
}

#[derive(Debug)]
struct Hmacs;

impl HmacProvider for Hmacs {
    /// The library computes cookies with this one, and nothing else.
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        if let Some(cookie) = ADMITTED.get() {
            return Ok(cookie);
        }
        let mut out = [0; 32];
        self.hmac(HashAlgorithm::SHA256, key, data, &mut out)?;
        Ok(out)
    }

    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::UnsupportedHmacHash(hash));
        }
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        let tag = tag.as_ref();
        out.get_mut(..tag.len())
            .ok_or_else(|| failed(CryptoOperation::ComputeHmac))?
            .copy_from_slice(tag);
        Ok(tag.len())
    }
}

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, buf: &mut [u8]) -> Result<(), CryptoError> {
        rand::SystemRandom::new()
            .fill(buf)
            .map_err(|_| failed(CryptoOperation::FillRandom))
    }
}

/// Keys are shared beforehand: no certificate is read, shown or checked.
#[derive(Debug)]
struct NoCertificates;

impl SignatureVerifier for NoCertificates {
    fn verify_signature(
        &self,
        _cert_der: &[u8],
        _data: &[u8],
        _signature: &[u8],
        _hash_alg: HashAlgorithm,
        sig_alg: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        Err(CryptoError::UnsupportedSignatureAlgorithm(sig_alg))
    }
}

impl KeyProvider for NoCertificates {
    fn load_private_key(&self, _key_der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        Err(failed(CryptoOperation::LoadPrivateKey))
    }
}

/// A suite of DTLS 1.3. The library refuses a provider without one; the configuration never offers it.
#[derive(Debug)]
struct ForTheCheck;

impl SupportedDtls13CipherSuite for ForTheCheck {
    fn suite(&self) -> Dtls13CipherSuite {
        Dtls13CipherSuite::AES_128_GCM_SHA256
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_len(&self) -> usize {
        16
    }

    fn iv_len(&self) -> usize {
        12
    }

    fn tag_len(&self) -> usize {
        16
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, key)
            .map_err(|_| failed(CryptoOperation::CreateCipher))?;
        Ok(Box::new(Gcm(aead::LessSafeKey::new(key))))
    }

    fn encrypt_sn(&self, sn_key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        let mut block = (*sample).into();
        // A key of another length gives no mask; the check of the library finds it.
        if let Ok(cipher) = aes::Aes128::new_from_slice(sn_key) {
            cipher.encrypt_block(&mut block);
        }
        block.into()
    }
}

#[derive(Debug)]
struct Gcm(aead::LessSafeKey);

impl Cipher for Gcm {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        self.0
            .seal_in_place_append_tag(nonce, aead::Aad::from(&aad[..]), plaintext)
            .map_err(|_| failed(CryptoOperation::Encrypt))
    }

    fn decrypt(&mut self, ciphertext: &mut TmpBuf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        let length = self
            .0
            .open_in_place(nonce, aead::Aad::from(&aad[..]), ciphertext.as_mut())
            .map_err(|_| failed(CryptoOperation::Decrypt))?
            .len();
        ciphertext.truncate(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = (0..hex.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn cipher() -> Box<dyn Cipher> {
        let key: Vec<u8> = (0..16).collect();
        provider().cipher_suites[0].create_cipher(&key).unwrap()
    }

    fn aad() -> Aad {
        Aad(std::array::from_fn(|at| 0x30 + at as u8).into())
    }

    fn nonce() -> Nonce {
        Nonce(std::array::from_fn(|at| 0x20 + at as u8))
    }

    const PLAIN: &[u8] = b"a command of 23 bytes..";
    /// By a program of RFC 3610 over another AES, which gives the first answer of its §8 as well.
    const SEALED: &str = "236a476b18c81d37ffc56963cf9a65dc9c91193c4fbd8450b4d2037b0cc18e";

    #[test]
    fn the_cipher_gives_the_known_answer_and_takes_it_back() {
        let mut sealed = Buf::new();
        sealed.extend_from_slice(PLAIN);
        cipher().encrypt(&mut sealed, aad(), nonce()).unwrap();
        assert_eq!(sealed.as_ref(), bytes(SEALED));
        let mut opened = bytes(SEALED);
        let mut opened = TmpBuf::new(&mut opened);
        cipher().decrypt(&mut opened, aad(), nonce()).unwrap();
        assert_eq!(opened.as_ref(), PLAIN);
    }

    #[test]
    fn what_was_changed_or_cut_off_is_refused() {
        let right = bytes(SEALED);
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            let mut wrong = TmpBuf::new(&mut wrong);
            assert!(cipher().decrypt(&mut wrong, aad(), nonce()).is_err(), "{at}");
        }
        for length in 0..right.len() {
            let mut short = right[..length].to_vec();
            let mut short = TmpBuf::new(&mut short);
            assert!(cipher().decrypt(&mut short, aad(), nonce()).is_err(), "{length}");
        }
    }

    #[test]
    fn hashes_give_the_known_answers() {
        // FIPS 180-2, appendix B.1.
        let mut hash = Hashes.create_hash(HashAlgorithm::SHA256);
        let mut out = Buf::new();
        hash.update(b"a");
        hash.update(b"bc");
        hash.clone_and_finalize(&mut out);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(out.as_ref(), bytes(abc));
        // RFC 4231 §4.3.
        let tag = Hmacs
            .hmac_sha256(b"Jefe", b"what do ya want for nothing?")
            .unwrap();
        let jefe = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(tag.as_slice(), bytes(jefe));
    }

    #[test]
    fn a_cookie_is_admitted_for_as_long_as_it_is_asked_for() {
        let cookie = || Hmacs.hmac_sha256(b"key", b"data").unwrap();
        let own = cookie();
        assert_eq!(admitting([7; 32], cookie), [7; 32]);
        assert_eq!(cookie(), own);
    }
}
