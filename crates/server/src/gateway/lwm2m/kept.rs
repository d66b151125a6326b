//! A registration as the store keeps it: its bytes, and when it ends.
//!
//! The recorded end is an eighth of the lifetime late, so that an update that only renews the lifetime need not be written
//! each time. After a restart a registration may so last longer than its device said, never shorter.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use downlink_core::{DeviceKey, Timestamp};
use downlink_lwm2m::{Access, DeviceNumber, Registration, WorkMode};
use downlink_store::KeptRegistration;

/// The first byte: how the others are to be read.
const FORMAT: u8 = 1;
const OLDER_ACCESS: u8 = 1;
const QUEUES: u8 = 2;
const OBSERVED: u8 = 4;

/// What the store has of a registration, as far as one has to know in order not to write it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    print: u64,
    ends_at: Timestamp,
}

impl Mark {
    /// The mark of a row that was read.
    pub(super) fn of(registration: &Registration, ends_at: Timestamp) -> Self {
        let mut hasher = DefaultHasher::new();
        registration.essence().hash(&mut hasher);
        Self {
            print: hasher.finish(),
            ends_at,
        }
    }

    /// Whether what the store has does for the registration as it is at `now`.
    pub(super) fn does_for(&self, registration: &Registration, now: Timestamp) -> bool {
        let end = after(now, registration.left_ms);
        end <= self.ends_at && Self::of(registration, self.ends_at) == *self
    }
}

/// The row of a registration as it is at `now`, and its mark.
pub(super) fn row(registration: &Registration, now: Timestamp) -> (KeptRegistration, Mark) {
    let ends_at = after(
        now,
        registration
            .left_ms
            .saturating_add(late_ms(registration.lifetime_secs)),
    );
    let row = KeptRegistration {
        device: DeviceKey(registration.device.0),
        ends_at,
        bytes: bytes(registration),
    };
    (row, Mark::of(registration, ends_at))
}

/// What a row says at `now`; none if it cannot be read. Nothing is left of one that has ended.
pub(super) fn read(row: &KeptRegistration, now: Timestamp) -> Option<Registration> {
    let mut bytes = Bytes(&row.bytes);
    let ([FORMAT], [flags], mode) = (bytes.next()?, bytes.next()?, bytes.next()?) else {
        return None;
    };
    let cycle_secs = u32::from_be_bytes(bytes.next()?);
    let lifetime_secs = u32::from_be_bytes(bytes.next()?);
    let most = u64::from(lifetime_secs) * 1000 + late_ms(lifetime_secs);
    let left = u64::try_from(row.ends_at.since(now).as_millis()).unwrap_or(0);
    Some(Registration {
        device: DeviceNumber(row.device.0),
        access: if flags & OLDER_ACCESS == 0 {
            Access::Lwm2m
        } else {
            Access::Oc
        },
        mode: match mode {
            [0] => WorkMode::Psm,
            [1] => WorkMode::Drx,
            [2] => WorkMode::Edrx { cycle_secs },
            [_] => return None,
        },
        queues: flags & QUEUES != 0,
        observed: flags & OBSERVED != 0,
        lifetime_secs,
        // Should the clock have gone back meanwhile.
        left_ms: left.min(most),
        location: u64::from_be_bytes(bytes.next()?),
        token: u64::from_be_bytes(bytes.next()?),
        address: bytes.address()?,
    })
}

fn bytes(registration: &Registration) -> Vec<u8> {
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let flags = flag(registration.access == Access::Oc, OLDER_ACCESS)
        | flag(registration.queues, QUEUES)
        | flag(registration.observed, OBSERVED);
    let (mode, cycle_secs) = match registration.mode {
        WorkMode::Psm => (0, 0),
        WorkMode::Drx => (1, 0),
        WorkMode::Edrx { cycle_secs } => (2, cycle_secs),
    };
    let mut bytes = vec![FORMAT, flags, mode];
    bytes.extend_from_slice(&cycle_secs.to_be_bytes());
    bytes.extend_from_slice(&registration.lifetime_secs.to_be_bytes());
    bytes.extend_from_slice(&registration.location.to_be_bytes());
    bytes.extend_from_slice(&registration.token.to_be_bytes());
    if let Some(address) = registration.address {
        match address.ip() {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&address.port().to_be_bytes());
        if let SocketAddr::V6(address) = address {
            bytes.extend_from_slice(&address.scope_id().to_be_bytes());
        }
    }
    bytes
}

/// Bytes that are read one after the other.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (next, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*next)
    }

    /// The address that is all the rest; none inside: there is none.
    fn address(&mut self) -> Option<Option<SocketAddr>> {
        match self.0.len() {
            0 => Some(None),
            6 => {
                let ip = Ipv4Addr::from(self.next::<4>()?);
                Some(Some(SocketAddr::from((ip, u16::from_be_bytes(self.next()?)))))
            }
            22 => {
                let ip = Ipv6Addr::from(self.next::<16>()?);
                let port = u16::from_be_bytes(self.next()?);
                let scope = u32::from_be_bytes(self.next()?);
                Some(Some(SocketAddrV6::new(ip, port, 0, scope).into()))
            }
            _ => None,
        }
    }
}

fn late_ms(lifetime_secs: u32) -> u64 {
    u64::from(lifetime_secs) * 1000 / 8
}

fn after(now: Timestamp, ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes before the address.
    const FIXED: usize = 27;
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn registration() -> Registration {
        Registration {
            device: DeviceNumber(7),
            address: Some("192.0.2.1:5683".parse().unwrap()),
            access: Access::Lwm2m,
            mode: WorkMode::Drx,
            queues: false,
            lifetime_secs: 800,
            left_ms: 300_000,
            location: 1 << 49,
            token: u64::MAX,
            observed: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let others = [
            registration(),
            Registration {
                address: None,
                mode: WorkMode::Psm,
                ..registration()
            },
            Registration {
                address: Some("[fe80::1%3]:9".parse().unwrap()),
                access: Access::Oc,
                mode: WorkMode::Edrx { cycle_secs: 20 },
                queues: true,
                observed: false,
                lifetime_secs: u32::MAX,
                ..registration()
            },
        ];
        for one in others {
            let (row, mark) = row(&one, NOW);
            let left_ms = one.left_ms + late_ms(one.lifetime_secs);
            assert_eq!(read(&row, NOW), Some(Registration { left_ms, ..one }));
            assert_eq!(Mark::of(&one, row.ends_at), mark);
            for end in 0..FIXED {
                let bytes = row.bytes[..end].to_vec();
                assert_eq!(
                    read(&KeptRegistration { bytes, ..row.clone() }, NOW),
                    None,
                    "{end}"
                );
            }
            let bytes = [&row.bytes[..], &[0]].concat();
            assert_eq!(read(&KeptRegistration { bytes, ..row }, NOW), None);
        }
    }

    #[test]
    fn what_is_left_is_never_less_and_never_much_more() {
        let (row, _) = row(&registration(), NOW);
        let left = |now: Timestamp| read(&row, now).map(|read| read.left_ms);
        assert_eq!(left(after(NOW, 300_000)), Some(100_000), "an eighth of 800 s");
        assert_eq!(left(after(NOW, 400_000)), Some(0));
        assert_eq!(
            left(Timestamp::from_millis(0)),
            Some(900_000),
            "the clock went back"
        );
    }

    #[test]
    fn updates_that_only_renew_the_lifetime_are_written_when_the_recorded_end_is_too_early() {
        let fresh = Registration {
            left_ms: 800_000,
            ..registration()
        };
        let (_, mark) = row(&fresh, NOW);
        assert!(mark.does_for(&fresh, after(NOW, 100_000)));
        assert!(!mark.does_for(&fresh, after(NOW, 100_001)));
        assert!(!mark.does_for(&Registration { token: 5, ..fresh }, NOW));
        assert!(!mark.does_for(
            &Registration {
                address: None,
                ..fresh
            },
            NOW
        ));
    }

    #[test]
    fn what_another_version_wrote_is_not_read() {
        let (mut row, _) = row(&registration(), NOW);
        row.bytes[0] = 2;
        assert_eq!(read(&row, NOW), None);
        (row.bytes[0], row.bytes[2]) = (1, 3);
        assert_eq!(read(&row, NOW), None, "an unknown mode");
    }
}
