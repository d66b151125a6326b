//! Signatures after Standard Webhooks: `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`, one for each live
//! key of the application, separated by blanks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use downlink_core::Timestamp;
use http::HeaderValue;
use ring::hmac;

use crate::secrets::random;

const PREFIX: &str = "whsec_";
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// What a receiver verifies with, too.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// A new one.
    pub(crate) fn random() -> Self {
        Self(random::<32>().to_vec())
    }

    /// Reads `whsec_<Base64>`; the error names the rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = text.strip_prefix(PREFIX).ok_or("must begin with whsec_")?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| "must be Base64 after whsec_")?;
        match LENGTHS.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err("must have 24 to 64 bytes"),
        }
    }

    /// `whsec_<Base64>`.
    pub(crate) fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

/// A key ready for use.
pub(super) struct Signer {
    key: hmac::Key,
    ends_at: Option<Timestamp>,
}

impl Signer {
    pub(super) fn new(secret: &SigningSecret, ends_at: Option<Timestamp>) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret.0),
            ends_at,
        }
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| end > now)
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(id.as_bytes());
        context.update(format!(".{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The value of `webhook-signature`; none without a live key. `seconds` is what stands in `webhook-timestamp`.
pub(super) fn signature(
    signers: &[Signer],
    id: &str,
    seconds: i64,
    body: &[u8],
    now: Timestamp,
) -> Option<HeaderValue> {
    let live = signers.iter().filter(|signer| signer.is_live(now));
    let signed: Vec<String> = live.map(|signer| signer.sign(id, seconds, body)).collect();
    if signed.is_empty() {
        return None;
    }
    let text = Bytes::from(signed.join(" "));
    Some(HeaderValue::from_maybe_shared(text).expect("Base64, commas and blanks are fit for a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn the_known_example_comes_out() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let signers = [Signer::new(&secret, None)];
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let value = signature(&signers, id, 1_614_265_330, BODY, at(0)).unwrap();
        assert_eq!(value, SIGNED);
    }

    #[test]
    fn each_live_key_signs_and_those_that_ended_do_not() {
        let secrets = [SigningSecret::random(), SigningSecret::random()];
        let signers = [
            Signer::new(&secrets[0], None),
            Signer::new(&secrets[1], Some(at(10))),
        ];
        let count = |now| {
            let value = signature(&signers, "i", 1, b"b", at(now)).unwrap();
            let text = value.to_str().unwrap().to_owned();
            assert!(
                text.split(' ')
                    .all(|one| one.starts_with("v1,") && one.len() == 47)
            );
            text.split(' ').count()
        };
        assert_eq!((count(9), count(10)), (2, 1));
        assert_eq!(signature(&signers[1..], "i", 1, b"b", at(10)), None);
        assert_eq!(signature(&[], "i", 1, b"b", at(10)), None);
    }

    #[test]
    fn a_secret_is_read_as_it_is_shown() {
        let secret = SigningSecret::random();
        assert!(SigningSecret::parse(&secret.to_text()) == Ok(secret));
        let encoded = |length| format!("whsec_{}", STANDARD.encode(vec![7; length]));
        assert!(SigningSecret::parse(&encoded(24)).is_ok() && SigningSecret::parse(&encoded(64)).is_ok());
        for (text, rule) in [
            (encoded(23), "24 to 64"),
            (encoded(65), "24 to 64"),
            ("whsec_!".to_owned(), "Base64"),
            (STANDARD.encode([7; 32]), "whsec_"),
        ] {
            assert!(
                SigningSecret::parse(&text).is_err_and(|found| found.contains(rule)),
                "{text}"
            );
        }
    }
}
