//! The events of one command, packed into one blob.
//!
//! A version byte, then for each event: the status code (high bit: it is pushed), 8 bytes of milliseconds, the
//! detail's length as LEB128, the detail. An event's `seq` is its place, from 1. Only ever grows at the end.

use downlink_core::{Event, Status, Timestamp};

use super::failure::Failure;

const VERSION: u8 = 1;
const PUSHED: u8 = 0x80;

/// A packed list of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Events {
    packed: Vec<u8>,
    len: u16,
}

/// One event of a packed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) seq: u16,
    pub(super) status: Status,
    pub(super) at: Timestamp,
    pub(super) detail: &'a str,
    pub(super) pushed: bool,
}

impl Entry<'_> {
    pub(super) fn to_event(self) -> Event {
        Event {
            status: self.status,
            at: self.at,
            detail: self.detail.to_owned(),
        }
    }
}

impl Events {
    pub(super) fn new() -> Self {
        let mut packed = Vec::with_capacity(64);
        packed.push(VERSION);
        Self { packed, len: 0 }
    }

    /// Reads a stored blob. All of it is checked here, so that going through it later cannot fail.
    pub(super) fn from_packed(packed: Vec<u8>) -> Result<Self, Failure> {
        if packed.first() != Some(&VERSION) {
            return Err(Failure::corrupt("events of an unknown version"));
        }
        let (mut rest, mut len) = (&packed[1..], 0u16);
        while !rest.is_empty() {
            let (_, after) = unpack(rest).ok_or_else(|| Failure::corrupt("events cut off"))?;
            rest = after;
            len = len
                .checked_add(1)
                .ok_or_else(|| Failure::corrupt("too many events"))?;
        }
        Ok(Self { packed, len })
    }

    pub(super) fn as_packed(&self) -> &[u8] {
        &self.packed
    }

    /// How many there are: the `seq` of the last one.
    pub(super) fn len(&self) -> u16 {
        self.len
    }

    pub(super) fn push(&mut self, event: &Event, pushed: bool) {
        let flag = if pushed { PUSHED } else { 0 };
        self.packed.push(event.status.code() | flag);
        self.packed.extend_from_slice(&event.at.as_millis().to_be_bytes());
        let mut length = event.detail.len();
        while length >= 0x80 {
            self.packed.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.packed.push(length as u8);
        self.packed.extend_from_slice(event.detail.as_bytes());
        self.len = self.len.saturating_add(1);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut rest, mut seq) = (&self.packed[1..], 0);
        std::iter::from_fn(move || {
            let ((code, at, detail), after) = unpack(rest)?;
            (rest, seq) = (after, seq + 1);
            let status = Status::from_code(code & !PUSHED)?;
            Some(Entry {
                seq,
                status,
                at,
                detail,
                pushed: code & PUSHED != 0,
            })
        })
    }

    pub(super) fn to_vec(&self) -> Vec<Event> {
        self.iter().map(Entry::to_event).collect()
    }
}

type Unpacked<'a> = ((u8, Timestamp, &'a str), &'a [u8]);

fn unpack(bytes: &[u8]) -> Option<Unpacked<'_>> {
    let (&code, rest) = bytes.split_first()?;
    Status::from_code(code & !PUSHED)?;
    let (at, mut rest) = rest.split_first_chunk::<8>()?;
    let at = Timestamp::from_millis(i64::from_be_bytes(*at));
    let (mut length, mut shift) = (0usize, 0u32);
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    let (detail, rest) = rest.split_at_checked(length)?;
    Some(((code, at, std::str::from_utf8(detail).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = (Event, bool)> {
        (0u8..8, any::<i64>(), ".{0,300}", any::<bool>()).prop_map(|(code, at, detail, pushed)| {
            let status = Status::from_code(code).unwrap();
            (
                Event {
                    status,
                    at: Timestamp::from_millis(at),
                    detail,
                },
                pushed,
            )
        })
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_back(list in proptest::collection::vec(event(), 0..12)) {
            let mut events = Events::new();
            for (event, pushed) in &list {
                events.push(event, *pushed);
            }
            let read = Events::from_packed(events.as_packed().to_vec()).unwrap();
            prop_assert_eq!(&read, &events);
            let back: Vec<_> = read.iter().map(|e| (e.to_event(), e.pushed)).collect();
            prop_assert_eq!(back, list);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(events) = Events::from_packed(bytes) {
                prop_assert_eq!(events.iter().count(), usize::from(events.len()));
            }
        }
    }

    #[test]
    fn a_cut_off_blob_is_refused() {
        let mut events = Events::new();
        events.push(
            &Event {
                status: Status::Sent,
                at: Timestamp::default(),
                detail: "why".into(),
            },
            true,
        );
        let packed = events.as_packed();
        for cut in [0, 2, 5, packed.len() - 1] {
            assert!(
                Events::from_packed(packed[..cut].to_vec()).is_err(),
                "cut at {cut}"
            );
        }
    }
}
