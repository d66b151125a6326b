//! The write-ahead log, looked at before SQLite opens it.
//!
//! SQLite takes a log up to the first frame that is not whole and forgets the rest, since a crash leaves it so. But it
//! also does that where frames were damaged that had long been synced: commits are gone, and nothing is said. Two signs
//! tell damage from a crash. The index beside the log is written after the sync of a commit, so a commit that it names
//! was whole. And each commit is synced before the next is written, so no more than one can be torn.
//!
//! Formats: sqlite.org/fileformat2.html#the_write_ahead_log and sqlite.org/walformat.html.

use std::fmt;

const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// One copy of the index's header; there are two.
const INDEX_HEAD: usize = 48;
const MAGIC: u32 = 0x377f_0682;

/// Commits that were on disk and are not in the log any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The index names more frames than are whole.
    Frames { whole: u32, written: u32 },
    /// More than one commit stands behind the first frame that is not whole.
    Commits { whole: u32 },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames { whole, written } => {
                write!(
                    f,
                    "only {whole} of the {written} frames that were written are whole"
                )
            }
            Self::Commits { whole } => write!(f, "commits stand behind what is damaged after frame {whole}"),
        }
    }
}

/// Whether a log, with the index beside it, has lost what was synced. Either may be empty: it is not there.
pub(super) fn loss(log: &[u8], index: &[u8]) -> Option<Loss> {
    let head = Head::of(log);
    let whole = head.as_ref().map_or(0, |head| head.whole(log));
    if let Some(index) = Index::of(index)
        && index.salt_fits(head.as_ref())
        && whole < index.written
        && index.copied < index.written
    {
        let written = index.written;
        return Some(Loss::Frames { whole, written });
    }
    let behind = head?.commits_from(log, whole);
    (behind > 1).then_some(Loss::Commits { whole })
}

/// What all frames of a log have in common.
struct Head {
    big_endian: bool,
    page: usize,
    salt: [u8; 8],
    sum: (u32, u32),
}

impl Head {
    /// None: it is not whole.
    fn of(log: &[u8]) -> Option<Self> {
        let head = log.get(..LOG_HEAD)?;
        let magic = word(head, 0, true)?;
        let big_endian = magic & 1 == 1;
        let page = usize::try_from(word(head, 8, true)?).ok()?;
        let sum = checksum(head.get(..24)?, (0, 0), big_endian);
        let is_whole = magic & !1 == MAGIC && (512..=65536).contains(&page) && sum == sum_at(head, 24)?;
        is_whole.then_some(Self {
            big_endian,
            page,
            salt: head.get(16..24)?.try_into().ok()?,
            sum,
        })
    }

    fn frames<'a>(&self, log: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let frames = log.get(LOG_HEAD..).unwrap_or_default();
        frames.chunks_exact(FRAME_HEAD + self.page)
    }

    /// How many frames are whole, each with all before it.
    fn whole(&self, log: &[u8]) -> u32 {
        let (mut sum, mut whole) = (self.sum, 0);
        for frame in self.frames(log) {
            let (head, page) = frame.split_at(FRAME_HEAD);
            sum = checksum(head.get(..8).unwrap_or_default(), sum, self.big_endian);
            sum = checksum(page, sum, self.big_endian);
            if !self.is_of_this_round(head) || sum_at(head, 16) != Some(sum) {
                break;
            }
            whole += 1;
        }
        whole
    }

    /// How many frames after so many end a commit of this round of the log, as far as their heads say.
    fn commits_from(&self, log: &[u8], whole: u32) -> usize {
        let behind = self.frames(log).skip(whole as usize);
        let ends = |frame: &&[u8]| self.is_of_this_round(frame) && word(frame, 4, true) != Some(0);
        behind.filter(ends).count()
    }

    fn is_of_this_round(&self, frame: &[u8]) -> bool {
        frame.get(8..16) == Some(&self.salt)
    }
}

/// What the index says of the log.
struct Index {
    /// Frames that were written and synced.
    written: u32,
    /// Of these, how many are in the database.
    copied: u32,
    salt: [u8; 8],
}

impl Index {
    /// None: it is not there, not whole, or was being written.
    fn of(index: &[u8]) -> Option<Self> {
        let (one, rest) = index.split_at_checked(INDEX_HEAD)?;
        let other = rest.get(..INDEX_HEAD)?;
        // Its words are of the machine; its checksums too.
        let big = cfg!(target_endian = "big");
        let sum = checksum(one.get(..40)?, (0, 0), big);
        let whole = (word(one, 40, big)?, word(one, 44, big)?) == sum;
        (one == other && whole && one.get(12) == Some(&1)).then_some(Self {
            written: word(one, 16, big)?,
            copied: word(index, 2 * INDEX_HEAD, big)?,
            salt: one.get(32..40)?.try_into().ok()?,
        })
    }

    /// Whether it speaks of this log. A log that is gone or has no whole head can be no other.
    fn salt_fits(&self, head: Option<&Head>) -> bool {
        head.is_none_or(|head| head.salt == self.salt)
    }
}

fn sum_at(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    Some((word(bytes, at, true)?, word(bytes, at + 4, true)?))
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(if big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    })
}

/// SQLite's checksum of whole pairs of words, going on from `sum`.
fn checksum(bytes: &[u8], sum: (u32, u32), big_endian: bool) -> (u32, u32) {
    let (mut one, mut two) = sum;
    for pair in bytes.chunks_exact(8) {
        let first = word(pair, 0, big_endian).unwrap_or(0);
        let second = word(pair, 4, big_endian).unwrap_or(0);
        one = one.wrapping_add(first).wrapping_add(two);
        two = two.wrapping_add(second).wrapping_add(one);
    }
    (one, two)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    /// A log of five commits, and its index, as a process that was killed leaves them.
    fn left() -> (Vec<u8>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("d");
        let sql = Connection::open(&file).unwrap();
        sql.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
            .unwrap();
        for _ in 0..4 {
            sql.execute("INSERT INTO t VALUES (randomblob(9000))", [])
                .unwrap();
        }
        let read = |suffix| fs::read(dir.path().join(suffix)).unwrap();
        (read("d-wal"), read("d-shm"))
    }

    #[test]
    fn what_a_killed_process_leaves_is_whole() {
        let (log, index) = left();
        assert_eq!(loss(&log, &index), None);
        assert_eq!((loss(&log, &[]), loss(&[], &[])), (None, None));
    }

    #[test]
    fn with_the_index_each_cut_and_each_changed_byte_is_found() {
        let (log, index) = left();
        for cut in [0, 20, 32, 5000, log.len() / 2, log.len() - 1] {
            assert!(loss(&log[..cut], &index).is_some(), "cut at {cut}");
        }
        for at in (0..log.len()).step_by(97) {
            let mut log = log.clone();
            log[at] ^= 0x10;
            assert!(loss(&log, &index).is_some(), "byte {at}");
        }
    }

    #[test]
    fn without_it_a_torn_end_is_a_crash_and_a_torn_middle_is_damage() {
        let (log, _) = left();
        assert_eq!(loss(&log[..log.len() - 1], &[]), None);
        let mut torn = log.clone();
        let last = log.len() - 100;
        torn[last] ^= 1;
        assert_eq!(loss(&torn, &[]), None);
        let mut damaged = log.clone();
        damaged[LOG_HEAD + 100] ^= 1;
        assert_eq!(loss(&damaged, &[]), Some(Loss::Commits { whole: 0 }));
    }

    #[test]
    fn what_is_in_the_database_is_not_missed() {
        let (_, mut index) = left();
        let written = Index::of(&index).unwrap().written;
        index[2 * INDEX_HEAD..][..4].copy_from_slice(&written.to_ne_bytes());
        assert_eq!(loss(&[], &index), None);
    }
}
