//! Who connects: what a CONNECT has to look like, and the password that proves it.
//!
//! Pure: the device's record and the time are given. Refuses in the order of the platform's interface: protocol,
//! client id, keep-alive, user name, stamp, password.

use downlink_core::Timestamp;
use ring::hmac;

use super::wire::{Connect, Reason, Version, connack};
use crate::config;
use crate::secrets::same;

/// Client ids and user names are at the most this long.
const MAX_ID: usize = 256;
/// Stands in for the secret of a device that is not there, so that looking for it costs the same.
const NOBODY: &str = "no device has this secret";
const HOUR_MS: i64 = 3_600_000;

/// Why a CONNECT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// Neither 3.1.1 nor 5.
    Version,
    /// The client id has no form known here.
    ClientId,
    /// Outside the configured bounds; 0 is outside too.
    KeepAlive,
    /// An AUTH exchange is asked for.
    ExtendedAuth,
    /// A will with QoS 2 (MQTT 5).
    WillQos,
    /// A will to be retained (MQTT 5).
    WillRetain,
    /// User name, stamp or password is wrong, or there is no such device.
    Credentials,
    /// The store cannot say, or the server stops.
    Unavailable,
}

impl Refusal {
    /// Return code of 3.1.1 and reason code of 5.
    pub(super) const fn codes(self) -> (u8, Reason) {
        match self {
            Self::Version => (1, Reason::UnsupportedVersion),
            Self::ClientId | Self::KeepAlive => (2, Reason::ClientIdNotValid),
            Self::Unavailable => (3, Reason::ServerUnavailable),
            Self::Credentials => (4, Reason::BadCredentials),
            Self::ExtendedAuth => (5, Reason::BadAuthenticationMethod),
            Self::WillQos => (5, Reason::QosNotSupported),
            Self::WillRetain => (5, Reason::RetainNotSupported),
        }
    }

    /// The CONNACK that tells it.
    pub(super) fn connack(self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (code, reason) = self.codes();
        connack(&mut bytes, version, code, reason);
        bytes
    }

    /// For the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "protocol version",
            Self::ClientId => "client id",
            Self::KeepAlive => "keep-alive",
            Self::ExtendedAuth => "authentication method",
            Self::WillQos => "QoS of the will",
            Self::WillRetain => "retained will",
            Self::Credentials => "credentials",
            Self::Unavailable => "unavailable",
        }
    }
}

/// By what a device names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// Its device id (type 0 client ids).
    Device,
    /// Its node id (type 2 client ids).
    Node,
}

/// A client id, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientId<'a> {
    pub(super) kind: NameKind,
    pub(super) name: &'a str,
    /// Whether the stamp is to be compared with the time.
    pub(super) timed: bool,
    /// `YYYYMMDDHH`, as written.
    pub(super) stamp: &'a str,
}

impl<'a> ClientId<'a> {
    /// Takes `{name}_{type}_{sign}_{stamp}` apart, from the right, because names may contain `_`. Types 0 and 2,
    /// signs 0 and 1, ten digits of stamp; all else is no client id of ours.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_ID {
            return None;
        }
        let mut parts = text.rsplitn(4, '_');
        let (stamp, sign, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let kind = match kind {
            "0" => NameKind::Device,
            "2" => NameKind::Node,
            _ => return None,
        };
        let timed = match sign {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let digits = stamp.len() == 10 && stamp.bytes().all(|b| b.is_ascii_digit());
        (digits && !name.is_empty()).then_some(Self {
            kind,
            name,
            timed,
            stamp,
        })
    }
}

/// A CONNECT that is in order so far: the password is still to be compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) id: ClientId<'a>,
    password: &'a [u8],
}

/// All checks that need no record of the device.
pub(super) fn check<'a>(
    connect: &'a Connect,
    config: &config::Mqtt,
    now: Timestamp,
) -> Result<Login<'a>, Refusal> {
    let id = ClientId::parse(&connect.client_id).ok_or(Refusal::ClientId)?;
    if !(config.keep_alive_min_secs..=config.keep_alive_max_secs).contains(&connect.keep_alive)
        || connect.keep_alive == 0
    {
        return Err(Refusal::KeepAlive);
    }
    if connect.extended_auth {
        return Err(Refusal::ExtendedAuth);
    }
    match (connect.version, connect.will) {
        // Of 3.1.1 clients a will is taken and forgotten, whatever it is: there is no code to refuse it with.
        (Version::V3, _) | (Version::V5, None) => {}
        (Version::V5, Some(will)) if will.qos > 1 => return Err(Refusal::WillQos),
        (Version::V5, Some(will)) if will.retain => return Err(Refusal::WillRetain),
        (Version::V5, Some(_)) => {}
    }
    if connect.user_name.as_deref() != Some(id.name) {
        return Err(Refusal::Credentials);
    }
    if id.timed && !within(id.stamp, now, config.stamp_window_hours) {
        return Err(Refusal::Credentials);
    }
    let password = connect.password.as_deref().ok_or(Refusal::Credentials)?;
    Ok(Login { id, password })
}

impl Login<'_> {
    /// Whether the password is the one that `secret` makes; `None`, there is no such device, costs the same.
    pub(super) fn proven_by(&self, secret: Option<&str>) -> bool {
        let expected = password(self.id.stamp, secret.unwrap_or(NOBODY));
        let given = std::str::from_utf8(self.password).unwrap_or_default();
        same(&expected, given) & secret.is_some()
    }
}

/// The password of a device: lower-case hex of HMAC-SHA256, keyed with the stamp as written, over its secret.
pub(super) fn password(stamp: &str, secret: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let key = hmac::Key::new(hmac::HMAC_SHA256, stamp.as_bytes());
    let tag = hmac::sign(&key, secret.as_bytes());
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    tag.as_ref()
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Whether the hour that the stamp names is at the most `window` hours from the present one, UTC.
fn within(stamp: &str, now: Timestamp, window: u32) -> bool {
    let Some(hour) = hours_of(stamp) else {
        return false;
    };
    let present = now.as_millis().div_euclid(HOUR_MS);
    hour.abs_diff(present) <= u64::from(window)
}

/// Hours since 1970 of `YYYYMMDDHH`; `None`: no such hour.
fn hours_of(stamp: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| stamp.get(range)?.parse::<i64>().ok();
    let (year, month, day, hour) = (number(0..4)?, number(4..6)?, number(6..8)?, number(8..10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok().filter(|&month| month < 12)?;
    if year < 1970 || !(1..=lengths[before]).contains(&day) || !(0..24).contains(&hour) {
        return None;
    }
    let past = year - 1;
    let leap_days = (past / 4 - past / 100 + past / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let days = (year - 1970) * 365 + leap_days + lengths[..before].iter().sum::<i64>() + day - 1;
    Some(days * 24 + hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_read_from_the_right() {
        let good = [
            ("dev_0_0_2026010208", NameKind::Device, "dev", false),
            ("p1_node_7_0_1_2026010208", NameKind::Device, "p1_node_7", true),
            (
                "861234567890123_2_0_0000000000",
                NameKind::Node,
                "861234567890123",
                false,
            ),
            ("__0_0_2026010208", NameKind::Device, "_", false),
            ("a_0_0_0_0_2026010208", NameKind::Device, "a_0_0", false),
        ];
        for (text, kind, name, timed) in good {
            let id = ClientId::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((id.kind, id.name, id.timed), (kind, name, timed), "{text}");
            assert!(text.ends_with(id.stamp));
        }
        let long = format!("{}_0_0_2026010208", "x".repeat(256));
        let bad = [
            "",
            "dev",
            "0_0_2026010208",
            "_0_0_2026010208",
            "p_n_1_0_2026010208",
            "dev_3_0_2026010208",
            "dev_0_2_2026010208",
            "dev_0_0_202601020",
            "dev_0_0_20260102080",
            "dev_0_0_202601020x",
            "dev_0__2026010208",
            long.as_str(),
        ];
        for text in bad {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hours_are_counted_as_the_calendar_does() {
        let cases = [
            ("1970010100", Some(0)),
            ("1970010123", Some(23)),
            ("1972022900", Some(789 * 24)),
            ("2000030100", Some(11_017 * 24)),
            ("2026010208", Some(20_455 * 24 + 8)),
            ("2100022900", None),
            ("2026130100", None),
            ("2026000100", None),
            ("2026010124", None),
            ("2026043100", None),
            ("1969123123", None),
        ];
        for (stamp, hours) in cases {
            assert_eq!(hours_of(stamp), hours, "{stamp}");
        }
    }

    #[test]
    fn the_window_is_in_whole_hours_to_both_sides() {
        let at = |hours: i64, ms| Timestamp::from_millis(hours * HOUR_MS + ms);
        let hour = 20_455 * 24 + 8;
        for (now, inside) in [
            (at(hour, 0), true),
            (at(hour + 1, HOUR_MS - 1), true),
            (at(hour + 2, 0), false),
            (at(hour - 1, 0), true),
            (at(hour - 2, HOUR_MS - 1), false),
        ] {
            assert_eq!(within("2026010208", now, 1), inside, "{now:?}");
        }
    }

    #[test]
    fn the_password_is_the_documented_one() {
        assert_eq!(
            password("2026010208", "secret123456"),
            "630757e51777f28edcb71d10b00744e7f0dfdfeab3dadcae51cadeaacf0afa4e"
        );
    }

    fn config() -> config::Mqtt {
        config::load(None, [], Vec::new()).unwrap().mqtt
    }

    fn connect() -> Connect {
        Connect {
            version: Version::V3,
            client_id: "dev_0_0_2026010208".into(),
            user_name: Some("dev".into()),
            password: Some(password("2026010208", "secret123456").into_bytes()),
            keep_alive: 60,
            will: None,
            extended_auth: false,
            receive_maximum: 9,
            max_packet: 99,
        }
    }

    fn refusal(change: impl FnOnce(&mut Connect)) -> Option<Refusal> {
        let mut connect = connect();
        change(&mut connect);
        check(&connect, &config(), Timestamp::from_millis(0)).err()
    }

    #[test]
    fn a_connect_is_refused_for_the_first_thing_that_is_wrong() {
        use super::super::wire::Will;
        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|c| c.client_id = "dev".into()), Some(Refusal::ClientId));
        for secs in [0, 29, 1201, u16::MAX] {
            assert_eq!(
                refusal(|c| c.keep_alive = secs),
                Some(Refusal::KeepAlive),
                "{secs}"
            );
        }
        for secs in [30, 1200] {
            assert_eq!(refusal(|c| c.keep_alive = secs), None, "{secs}");
        }
        assert_eq!(
            refusal(|c| (c.client_id, c.keep_alive) = ("x".into(), 0)),
            Some(Refusal::ClientId)
        );
        assert_eq!(refusal(|c| c.user_name = None), Some(Refusal::Credentials));
        assert_eq!(
            refusal(|c| c.user_name = Some("dev2".into())),
            Some(Refusal::Credentials)
        );
        assert_eq!(refusal(|c| c.password = None), Some(Refusal::Credentials));
        assert_eq!(
            refusal(|c| c.client_id = "dev_0_1_2026010208".into()),
            Some(Refusal::Credentials)
        );
        assert_eq!(refusal(|c| c.extended_auth = true), Some(Refusal::ExtendedAuth));
        let will = |qos, retain| Some(Will { qos, retain });
        assert_eq!(refusal(|c| c.will = will(2, true)), None);
        let v5 = |will| refusal(move |c| (c.version, c.will) = (Version::V5, will));
        assert_eq!(v5(will(2, false)), Some(Refusal::WillQos));
        assert_eq!(v5(will(1, true)), Some(Refusal::WillRetain));
        assert_eq!(v5(will(1, false)), None);
    }

    #[test]
    fn only_the_right_secret_proves_a_password() {
        let connect = connect();
        let config = config();
        let login = check(&connect, &config, Timestamp::from_millis(0)).unwrap();
        assert!(login.proven_by(Some("secret123456")));
        assert!(!login.proven_by(Some("secret123457")));
        assert!(!login.proven_by(None));
        let shouted = Connect {
            password: connect.password.as_ref().map(|p| p.to_ascii_uppercase()),
            ..connect.clone()
        };
        let login = check(&shouted, &config, Timestamp::from_millis(0)).unwrap();
        assert!(!login.proven_by(Some("secret123456")));
        let guessed = Connect {
            password: Some(password("2026010208", NOBODY).into_bytes()),
            ..connect.clone()
        };
        let login = check(&guessed, &config, Timestamp::from_millis(0)).unwrap();
        assert!(!login.proven_by(None));
    }

    #[test]
    fn codes_are_those_of_the_interface() {
        let cases = [
            (Refusal::Version, 1, 0x84),
            (Refusal::ClientId, 2, 0x85),
            (Refusal::KeepAlive, 2, 0x85),
            (Refusal::Unavailable, 3, 0x88),
            (Refusal::Credentials, 4, 0x86),
            (Refusal::ExtendedAuth, 5, 0x8c),
            (Refusal::WillQos, 5, 0x9b),
            (Refusal::WillRetain, 5, 0x9a),
        ];
        for (refusal, code, reason) in cases {
            assert_eq!(refusal.connack(Version::V3), [0x20, 2, 0, code], "{refusal:?}");
            assert_eq!(
                refusal.connack(Version::V5),
                [0x20, 3, 0, reason, 0],
                "{refusal:?}"
            );
        }
    }
}
