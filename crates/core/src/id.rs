//! Ids. Each is a type of its own, so that one cannot stand where another belongs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// How many buckets the devices of a deployment hash into. Fixed for its life: ids carry the bucket.
pub const BUCKETS: u16 = 4096;

const COUNTER_BITS: u32 = 20;
const RANDOM_BITS: u32 = 42;

/// A command's id: a UUIDv7 (RFC 9562) whose `rand_a` is the device's bucket, 32 lower-case hex digits on the wire.
///
/// Layout, high bits first: 48 bits of milliseconds, version 7, 12 bits of bucket, variant `10`, a 20-bit counter
/// within the millisecond, 42 random bits. Ids of one [`IdMint`] never repeat, rise strictly within a bucket (so within
/// a device), and never go back by a millisecond; within one millisecond they sort by bucket first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u128);

impl CommandId {
    /// The id with these parts. Bits beyond a part's width are cut off.
    pub const fn from_parts(ms: u64, bucket: u16, counter: u32, random: u64) -> Self {
        let time = ((ms & 0xffff_ffff_ffff) as u128) << 80;
        let version = 7u128 << 76;
        let bucket = ((bucket & (BUCKETS - 1)) as u128) << 64;
        let variant = 0b10u128 << 62;
        let counter = ((counter & ((1 << COUNTER_BITS) - 1)) as u128) << RANDOM_BITS;
        Self(time | version | bucket | variant | counter | (random & ((1 << RANDOM_BITS) - 1)) as u128)
    }

    /// When it was minted, to the millisecond.
    pub const fn minted_at(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as i64)
    }

    /// The bucket of the device it was minted for.
    pub const fn bucket(self) -> u16 {
        ((self.0 >> 64) & 0xfff) as u16
    }

    /// The 16 bytes as stored; their order is the order of the ids.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Its 32 hex digits, as it stands on the wire.
    pub fn digits(self) -> Digits {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (byte, digits) in self.to_bytes().into_iter().zip(text.chunks_exact_mut(2)) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        Digits(text)
    }

    /// The id with these stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The smallest id there could be at `at`: where a list by time begins.
    pub const fn first_at(at: Timestamp) -> Self {
        let ms = if at.as_millis() > 0 {
            at.as_millis() as u64
        } else {
            0
        };
        Self(((ms & 0xffff_ffff_ffff) as u128) << 80)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

/// The 32 hex digits of a [`CommandId`].
#[derive(Debug, Clone, Copy)]
pub struct Digits([u8; 32]);

impl Digits {
    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a command id (32 hex digits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command id is 32 hex digits")]
pub struct NotACommandId;

impl FromStr for CommandId {
    type Err = NotACommandId;

    fn from_str(text: &str) -> Result<Self, NotACommandId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotACommandId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotACommandId)
    }
}

/// The bucket of a device: the first 12 bits of SHA-256(application ‖ 0 ‖ device).
pub fn bucket_of(app: &AppId, device: &DeviceId) -> u16 {
    let mut hash = Sha256::new();
    hash.update(app.as_str().as_bytes());
    hash.update([0]);
    hash.update(device.as_str().as_bytes());
    let digest = hash.finalize();
    u16::from(digest[0]) << 4 | u16::from(digest[1]) >> 4
}

/// Mints command ids whose time never goes back, even when the clock steps back.
#[derive(Debug, Clone)]
pub struct IdMint {
    ms: u64,
    counter: u32,
}

impl IdMint {
    /// A mint whose ids all come after `last`, the highest id that may exist (none: any clock will do).
    pub fn after(last: Option<CommandId>) -> Self {
        let ms = last.map_or(0, |id| id.minted_at().as_millis().max(0) as u64 + 1);
        Self { ms, counter: 0 }
    }

    /// The next id, for a device of `bucket`. `random` gives its low 42 bits.
    pub fn mint(&mut self, now: Timestamp, bucket: u16, random: u64) -> CommandId {
        let now = now.as_millis().max(0) as u64;
        if now > self.ms {
            (self.ms, self.counter) = (now, 0);
        } else if self.counter >> COUNTER_BITS != 0 {
            (self.ms, self.counter) = (self.ms + 1, 0);
        }
        let id = CommandId::from_parts(self.ms, bucket, self.counter, random);
        self.counter += 1;
        id
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id with this text.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// An application's id, as it logs in with (`appId`).
    AppId
}
text_id! {
    /// A device's id, as applications and the device itself name it (`deviceId`).
    DeviceId
}

/// The store's own short key of an application. Means nothing outside one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey(pub i64);

/// The store's own short key of a device. Means nothing outside one store; never used again for another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: changing any of these would break ids already handed out.
    #[test]
    fn golden_ids() {
        let bucket = bucket_of(
            &AppId::new("app-1"),
            &DeviceId::new("0d0c0000-0000-4000-8000-000000000001"),
        );
        assert_eq!(bucket, GOLDEN_BUCKET);
        let id = CommandId::from_parts(0x0199_1234_5678, 0xabc, 5, 0x3ff_ffff_ffff);
        assert_eq!(id.to_string(), "0199123456787abc800017ffffffffff");
        assert_eq!(id.bucket(), 0xabc);
        assert_eq!(id.minted_at(), Timestamp::from_millis(0x0199_1234_5678));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    /// `printf 'app-1\0000d0c0000-0000-4000-8000-000000000001' | sha256sum`, first three hex digits.
    const GOLDEN_BUCKET: u16 = 0x096;

    #[test]
    fn ids_of_a_bucket_rise_though_the_clock_steps_back() {
        let mut mint = IdMint::after(None);
        let mut last = mint.mint(Timestamp::from_millis(1_000), 9, u64::MAX);
        for ms in [1_000, 999, 0, 1_000, 1_001, 5] {
            let next = mint.mint(Timestamp::from_millis(ms), 9, 0);
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    /// The bucket stands above the counter: across buckets only the millisecond orders.
    #[test]
    fn ids_of_different_buckets_differ_and_their_time_never_goes_back() {
        let mut mint = IdMint::after(None);
        let mut last = mint.mint(Timestamp::from_millis(1_000), 4095, 0);
        for (ms, bucket) in [(1_000, 0), (999, 4095), (0, 0), (1_001, 7), (1_000, 7)] {
            let next = mint.mint(Timestamp::from_millis(ms), bucket, 0);
            assert!(
                next != last && next.minted_at() >= last.minted_at(),
                "{next} after {last}"
            );
            last = next;
        }
    }

    #[test]
    fn a_full_millisecond_borrows_the_next() {
        let mut mint = IdMint {
            ms: 7,
            counter: 1 << COUNTER_BITS,
        };
        let id = mint.mint(Timestamp::from_millis(7), 1, 1);
        assert_eq!(id.minted_at(), Timestamp::from_millis(8));
    }

    #[test]
    fn a_mint_goes_on_after_the_last_stored_id() {
        let last = CommandId::from_parts(50, 4095, (1 << COUNTER_BITS) - 1, u64::MAX);
        assert!(IdMint::after(Some(last)).mint(Timestamp::from_millis(3), 0, 0) > last);
    }

    #[test]
    fn only_32_hex_digits_are_an_id() {
        for text in [
            "",
            "12",
            "+123456787abc800017ffffffffff00",
            "0199123456787abc800017fffffffffg",
            "é199123456787abc800017fffffffff",
        ] {
            assert_eq!(text.parse::<CommandId>(), Err(NotACommandId), "{text}");
        }
    }
}
