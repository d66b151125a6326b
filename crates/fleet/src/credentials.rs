//! How a device proves who it is: the client id it connects with, and the password derived from its secret.
//!
//! The client id ends in the kind of identity, the way the stamp is checked, and the stamp; the password is
//! HMAC-SHA256 (RFC 2104) with the stamp as key and the secret as message, as 64 lower-case hex digits.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// By what the device names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The id the server gave at registration (kind 0).
    DeviceId(String),
    /// The device's own number, such as its IMEI (kind 2).
    NodeId(String),
}

impl Identity {
    /// The id itself, which is also the user name and what stands in the topics.
    pub fn id(&self) -> &str {
        match self {
            Self::DeviceId(id) | Self::NodeId(id) => id,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::DeviceId(_) => 0,
            Self::NodeId(_) => 2,
        }
    }
}

/// Whether the device asks for its stamp to be compared with the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// Any stamp will do (sign 0), as most devices have it.
    #[default]
    StampAsIs,
    /// The stamp has to be the present hour (sign 1).
    StampChecked,
}

/// What a device connects with.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `{id}_{kind}_{sign}_{stamp}`.
    pub client_id: String,
    /// The id.
    pub user_name: String,
    /// See [`password`].
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// The login of `identity` with this secret and stamp (`YYYYMMDDHH`, UTC; see [`stamp`]).
    pub fn new(identity: &Identity, sign: Sign, stamp: &str, secret: &str) -> Self {
        let sign = match sign {
            Sign::StampAsIs => 0,
            Sign::StampChecked => 1,
        };
        Self {
            client_id: format!("{}_{}_{sign}_{stamp}", identity.id(), identity.kind()),
            user_name: identity.id().to_owned(),
            password: password(stamp, secret),
        }
    }
}

/// Lower-case hex of HMAC-SHA256 with the stamp as key and the secret as message.
pub fn password(stamp: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, stamp.as_bytes());
    let tag = hmac::sign(&key, secret.as_bytes());
    tag.as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The hour of `at` in UTC as `YYYYMMDDHH`. Instants before 1970 count as 1970.
pub fn stamp(at: SystemTime) -> String {
    let hours = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 3600);
    let (year, month, day) = date(hours / 24);
    format!("{year:04}{month:02}{day:02}{:02}", hours % 24)
}

/// Year, month and day of the `days`-th day after 1970-01-01, by the Gregorian rules.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    let february = year_days(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

const fn year_days(year: u64) -> u64 {
    if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
        366
    } else {
        365
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const VECTOR: &str = "630757e51777f28edcb71d10b00744e7f0dfdfeab3dadcae51cadeaacf0afa4e";

    #[test]
    fn the_password_is_keyed_with_the_stamp() {
        assert_eq!(password("2026010208", "secret123456"), VECTOR);
    }

    #[test]
    fn client_ids_of_both_kinds() {
        let by_device = Login::new(
            &Identity::DeviceId("p_1".into()),
            Sign::StampAsIs,
            "2026010208",
            "secret123456",
        );
        assert_eq!(by_device.client_id, "p_1_0_0_2026010208");
        assert_eq!(
            (by_device.user_name.as_str(), by_device.password.as_str()),
            ("p_1", VECTOR)
        );
        let by_node = Login::new(
            &Identity::NodeId("86".into()),
            Sign::StampChecked,
            "2026010208",
            "s",
        );
        assert_eq!(by_node.client_id, "86_2_1_2026010208");
    }

    #[test]
    fn a_login_does_not_show_its_password() {
        let login = Login::new(
            &Identity::NodeId("86".into()),
            Sign::StampAsIs,
            "2026010208",
            "secret123456",
        );
        assert!(!format!("{login:?}").contains(VECTOR));
    }

    #[test]
    fn stamps_of_known_instants() {
        let at = |secs| stamp(UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(at(0), "1970010100");
        assert_eq!(at(951_782_400), "2000022900");
        assert_eq!(at(1_767_341_700), "2026010208");
        assert_eq!(at(4_107_542_399), "2100022823");
        assert_eq!(at(4_107_542_400), "2100030100");
        assert_eq!(at(1_798_761_599), "2026123123");
    }
}
