//! Records of DTLS 1.2 as they lie in a datagram (RFC 6347 §4.1), read far enough to know who should get them.

/// Bytes before the fragment: type, version, epoch, sequence number, length.
pub(super) const HEADER: usize = 13;
/// Records in one datagram; the library takes no more.
const MOST: usize = 8;

/// What a record holds (RFC 6347 §4.1, RFC 5246 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    ChangeCipherSpec,
    Alert,
    Handshake,
    Application,
}

/// One record, without a look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) content: Content,
    /// 0 is in the clear, 1 is protected. There is no other without renegotiation.
    pub(super) epoch: u16,
    /// 48 bits.
    pub(super) sequence: u64,
    pub(super) fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of `bytes`, and what follows it.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let content = match header[0] {
            20 => Content::ChangeCipherSpec,
            21 => Content::Alert,
            22 => Content::Handshake,
            23 => Content::Application,
            _ => return None,
        };
        // Any version of DTLS: first hellos carry 1.0.
        if header[1] != 0xfe {
            return None;
        }
        let epoch = u16::from_be_bytes([header[3], header[4]]);
        let sequence = header[5..11]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (fragment, rest) = rest.split_at_checked(length)?;
        Some((
            Self {
                content,
                epoch,
                sequence,
                fragment,
            },
            rest,
        ))
    }

    /// Whether a peer may send this. What ends or feeds a session is never in the clear: an alert or application
    /// data of epoch 0 is anybody's.
    fn may_come(&self) -> bool {
        match (self.epoch, self.content) {
            (0, Content::Handshake | Content::ChangeCipherSpec) => true,
            (1, Content::Handshake | Content::Application | Content::Alert) => true,
            (_, Content::Handshake | Content::ChangeCipherSpec | Content::Application | Content::Alert) => {
                false
            }
        }
    }
}

/// The first record of a datagram in which every record is whole and may come from a peer.
pub(super) fn first(datagram: &[u8]) -> Option<Record<'_>> {
    let (first, mut rest) = Record::read(datagram)?;
    let mut count = 1;
    let mut fine = first.may_come();
    while fine && !rest.is_empty() {
        let (record, after) = Record::read(rest)?;
        count += 1;
        fine = record.may_come() && count <= MOST;
        rest = after;
    }
    fine.then_some(first)
}

/// Adds `shift` to the sequence numbers of the records in the clear. Their headers are in no hash and under no key.
pub(super) fn renumber(datagram: &mut [u8], shift: u64) {
    let mut at = 0;
    while let Some((record, _)) = Record::read(&datagram[at..]) {
        if record.epoch == 0 {
            let number = record.sequence.wrapping_add(shift).to_be_bytes();
            let end = at + HEADER + record.fragment.len();
            datagram[at + 5..at + 11].copy_from_slice(&number[2..]);
            at = end;
        } else {
            at += HEADER + record.fragment.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: u8, epoch: u8, sequence: u8, fragment: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            content,
            0xfe,
            0xfd,
            0,
            epoch,
            0,
            0,
            0,
            0,
            0,
            sequence,
            0,
            fragment.len() as u8,
        ];
        bytes.extend_from_slice(fragment);
        bytes
    }

    #[test]
    fn a_datagram_of_whole_records_is_read_and_every_cut_of_it_is_not() {
        let whole = [
            record(22, 0, 3, b"abc"),
            record(20, 0, 4, b"d"),
            record(22, 1, 0, b"efgh"),
        ]
        .concat();
        let read = first(&whole).unwrap();
        assert_eq!(
            (read.content, read.epoch, read.sequence, read.fragment),
            (Content::Handshake, 0, 3, &b"abc"[..])
        );
        let boundaries = [16, 30];
        for end in (0..whole.len()).filter(|end| !boundaries.contains(end)) {
            assert_eq!(first(&whole[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn what_is_in_the_clear_neither_ends_nor_feeds_a_session() {
        for (content, epoch) in [(21, 0), (23, 0), (20, 1), (23, 2), (22, 2), (24, 1), (25, 1)] {
            let alone = record(content, epoch, 0, b"x");
            assert_eq!(first(&alone), None, "{content} in epoch {epoch}");
            let behind = [record(22, 0, 0, b"x"), alone].concat();
            assert_eq!(first(&behind), None, "{content} in epoch {epoch}, behind another");
        }
    }

    #[test]
    fn no_more_records_than_the_library_takes() {
        let one = record(22, 0, 0, b"x");
        assert!(first(&one.repeat(MOST)).is_some());
        assert!(first(&one.repeat(MOST + 1)).is_none());
    }

    #[test]
    fn only_records_in_the_clear_get_another_number() {
        let mut bytes = [
            record(22, 0, 255, b"abc"),
            record(22, 1, 7, b"d"),
            record(20, 0, 1, b""),
        ]
        .concat();
        renumber(&mut bytes, 2);
        let (first, rest) = Record::read(&bytes).unwrap();
        let (second, rest) = Record::read(rest).unwrap();
        let (third, _) = Record::read(rest).unwrap();
        assert_eq!((first.sequence, second.sequence, third.sequence), (257, 7, 3));
    }
}
