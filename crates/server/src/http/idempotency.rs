//! `Idempotency-Key`: the key under which a create call is made once, however often it is repeated.
//!
//! The key and a hash of what was asked for go to the store with the command; what a repeat means is decided there.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use downlink_api::Invalid;
use downlink_api::command::CreateCommand;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use ring::digest::{Context, SHA256};

use super::Fault;
use crate::engine::CallKey;

const HEADER: &str = "idempotency-key";
/// In answers that repeat an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key.
const MAX: usize = 255;

/// The key of a request, if it has one.
pub(super) struct IdempotencyKey(Option<Arc<str>>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let mut values = parts.headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => read(value.as_bytes()).map(|key| Self(Some(key))),
            (Some(_), Some(_)) => Err(Invalid::new("Idempotency-Key", "must be given once").into()),
        }
    }
}

fn read(value: &[u8]) -> Result<Arc<str>, Fault> {
    let value = value.trim_ascii();
    let printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match std::str::from_utf8(value) {
        Ok(key) if printable && (1..=MAX).contains(&key.len()) => Ok(key.into()),
        Ok(_) | Err(_) => {
            let rule = format!("must have 1 to {MAX} characters of printable ASCII");
            Err(Invalid::new("Idempotency-Key", rule).into())
        }
    }
}

impl IdempotencyKey {
    /// The key with a hash of what it is for.
    pub(super) fn of(self, asked: &CreateCommand<'_>) -> Option<CallKey> {
        self.0.map(|text| CallKey {
            text,
            asked: hash(asked),
        })
    }
}

/// The same for requests that ask for the same; members that are not read make no difference.
fn hash(asked: &CreateCommand<'_>) -> [u8; 32] {
    let expire_time = asked.expire_time.map(|secs| secs.to_string());
    let max_retransmit = asked.max_retransmit.map(|times| times.to_string());
    let mut context = Context::new(&SHA256);
    for member in [
        Some(asked.device_id.as_str()),
        Some(&asked.service_id),
        Some(&asked.method),
        Some(asked.paras),
        asked.callback_url.as_deref(),
        expire_time.as_deref(),
        max_retransmit.as_deref(),
    ] {
        // With its length before it, so that no text can pass for two.
        let length = member.map_or(u64::MAX, |text| text.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(member.unwrap_or_default().as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Marks an answer as the repeat of an earlier one.
pub(super) fn mark_replayed(response: &mut Response) {
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_is_none() {
        assert_eq!(&*read(b" a key! ").unwrap(), "a key!");
        assert_eq!(read(&[b'x'; MAX]).unwrap().len(), MAX);
        for bad in [
            &b""[..],
            b"  ",
            &[b'x'; MAX + 1],
            b"a\tb",
            "ä".as_bytes(),
            b"a\x7f",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_member_makes_a_difference() {
        let asked = |more: &str, paras: &str, service: &str| {
            let text = format!(
                r#"{{"deviceId":"d","command":{{"serviceId":"{service}","method":"m","paras":{paras}}}{more}}}"#
            );
            hash(&CreateCommand::parse(&text, 1000).unwrap())
        };
        let plain = asked("", "{}", "s");
        assert_eq!(asked(r#","requestId":7,"appId":"x""#, "{}", "s"), plain);
        let others = [
            asked("", r#"{"a":1}"#, "s"),
            asked("", "{}", "t"),
            asked(r#","expireTime":0"#, "{}", "s"),
            asked(r#","maxRetransmit":0"#, "{}", "s"),
            asked(r#","callbackUrl":"""#, "{}", "s"),
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(*other, plain);
            assert!(!others[..n].contains(other));
        }
    }
}
