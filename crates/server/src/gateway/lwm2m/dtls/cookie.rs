//! Proof that the sender of a hello receives what is sent to its address, without remembering it (RFC 6347 §4.2.1).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::SystemRandom;

use super::hello::Hello;

/// What a client must send back.
pub(super) use downlink_psk::Cookie;

/// The secret behind the cookies. It changes by itself; a cookie lives one to two of its lives.
pub(super) struct Cookies {
    now: hmac::Key,
    before: hmac::Key,
    since: Instant,
    life: Duration,
}

impl Cookies {
    pub(super) fn new(now: Instant, life: Duration) -> Self {
        Self {
            now: fresh(),
            before: fresh(),
            since: now,
            life,
        }
    }

    /// The cookie for a hello from `from`.
    pub(super) fn mint(&mut self, now: Instant, from: SocketAddr, hello: &Hello<'_>) -> Cookie {
        self.rotate(now);
        let mut cookie = [0; 32];
        cookie.copy_from_slice(sign(&self.now, from, hello).as_ref());
        cookie
    }

    /// The cookie that a hello brought, if it is one that was given to `from` for this very hello.
    pub(super) fn proof(&mut self, now: Instant, from: SocketAddr, hello: &Hello<'_>) -> Option<Cookie> {
        let cookie = hello.cookie.try_into().ok()?;
        self.rotate(now);
        let fits = |key| {
            // Equal in a time that says nothing of where they differ.
            subtle::ConstantTimeEq::ct_eq(sign(key, from, hello).as_ref(), hello.cookie).into()
        };
        (fits(&self.now) || fits(&self.before)).then_some(cookie)
    }

    fn rotate(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < self.life {
            return;
        }
        let last = std::mem::replace(&mut self.now, fresh());
        self.before = if age < self.life * 2 { last } else { fresh() };
        self.since = now;
    }
}

fn fresh() -> hmac::Key {
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system has random numbers")
}

/// Over the address and what the client repeats in its second hello.
fn sign(key: &hmac::Key, from: SocketAddr, hello: &Hello<'_>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    match from.ip() {
        IpAddr::V4(ip) => context.update(&ip.octets()),
        IpAddr::V6(ip) => context.update(&ip.octets()),
    }
    context.update(&from.port().to_be_bytes());
    // `before` says its own length, so nothing of one part can be taken for the other.
    context.update(hello.before);
    context.update(hello.after);
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(30);

    fn hello<'a>(before: &'a [u8], cookie: &'a [u8]) -> Hello<'a> {
        Hello {
            record: 0,
            message: 0,
            before,
            cookie,
            after: b"suites",
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_hello_and_address_only() {
        let now = Instant::now();
        let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let mut cookies = Cookies::new(now, LIFE);
        let cookie = cookies.mint(now, from, &hello(b"mine", b""));
        assert_eq!(cookies.proof(now, from, &hello(b"mine", &cookie)), Some(cookie));
        assert_eq!(cookies.proof(now, from, &hello(b"other", &cookie)), None);
        assert_eq!(cookies.proof(now, from, &hello(b"mine", &cookie[..31])), None);
        assert_eq!(cookies.proof(now, from, &hello(b"mine", b"")), None);
        for other in ["127.0.0.1:4001", "127.0.0.2:4000", "[::1]:4000"] {
            assert_eq!(
                cookies.proof(now, other.parse().unwrap(), &hello(b"mine", &cookie)),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn a_cookie_outlives_one_change_of_the_secret_and_no_second() {
        let start = Instant::now();
        let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let mut cookies = Cookies::new(start, LIFE);
        let cookie = cookies.mint(start, from, &hello(b"mine", b""));
        assert!(
            cookies
                .proof(start + LIFE, from, &hello(b"mine", &cookie))
                .is_some()
        );
        assert!(
            cookies
                .proof(start + LIFE * 2, from, &hello(b"mine", &cookie))
                .is_none()
        );
        let cookie = cookies.mint(start + LIFE * 2, from, &hello(b"mine", b""));
        assert!(
            cookies
                .proof(start + LIFE * 9, from, &hello(b"mine", &cookie))
                .is_none()
        );
    }
}
