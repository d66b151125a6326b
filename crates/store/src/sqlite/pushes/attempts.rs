//! The last attempts at a push, packed into one blob.
//!
//! A version byte, then for each attempt, oldest first: 8 bytes of milliseconds, 4 of how long it took, 2 of the answer's
//! status (0: none; the highest bit: it asked for a pause), then outcome, phase, detail and excerpt, each with 2 bytes of length before it.

use std::sync::Arc;

use downlink_core::Timestamp;

use crate::Attempt;

const VERSION: u8 = 1;
/// In the place of the status: the answer asked for a pause.
const ASKED: u16 = 1 << 15;
/// So many are kept of one push.
const KEPT: usize = 10;
/// So many bytes of a text are kept.
const LONGEST_TEXT: usize = 1024;

/// The blob with one more attempt at its end. One that cannot be read begins anew: no push waits for that.
pub(super) fn append(packed: Option<&[u8]>, attempt: &Attempt) -> Vec<u8> {
    let mut attempts = packed.map_or_else(Vec::new, unpack);
    attempts.push(attempt.clone());
    let from = attempts.len().saturating_sub(KEPT);
    let mut packed = vec![VERSION];
    attempts[from..]
        .iter()
        .for_each(|attempt| pack(attempt, &mut packed));
    packed
}

/// The attempts in a blob; of one that is damaged, those before the damage.
pub(super) fn unpack(packed: &[u8]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    if let Some((&VERSION, mut rest)) = packed.split_first() {
        while let Some(attempt) = next(&mut rest) {
            attempts.push(attempt);
        }
    }
    attempts
}

fn pack(attempt: &Attempt, into: &mut Vec<u8>) {
    into.extend_from_slice(&attempt.at.as_millis().to_be_bytes());
    into.extend_from_slice(&attempt.took_ms.to_be_bytes());
    let status = attempt.status.unwrap_or(0) & !ASKED;
    let asked = if attempt.asked_for_pause { ASKED } else { 0 };
    into.extend_from_slice(&(status | asked).to_be_bytes());
    for text in [
        &attempt.outcome,
        &attempt.phase,
        &attempt.detail,
        &attempt.excerpt,
    ] {
        let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
        into.extend_from_slice(&(text.len() as u16).to_be_bytes());
        into.extend_from_slice(text.as_bytes());
    }
}

fn next(rest: &mut &[u8]) -> Option<Attempt> {
    let at = i64::from_be_bytes(take(rest)?);
    let took_ms = u32::from_be_bytes(take(rest)?);
    let status = u16::from_be_bytes(take(rest)?);
    Some(Attempt {
        at: Timestamp::from_millis(at),
        took_ms,
        status: Some(status & !ASKED).filter(|status| *status != 0),
        asked_for_pause: status & ASKED != 0,
        outcome: text(rest)?,
        phase: text(rest)?,
        detail: text(rest)?,
        excerpt: text(rest)?,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

fn text(rest: &mut &[u8]) -> Option<Arc<str>> {
    let length = usize::from(u16::from_be_bytes(take(rest)?));
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(bytes).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(n: u32) -> Attempt {
        Attempt {
            at: Timestamp::from_millis(i64::from(n)),
            took_ms: n,
            outcome: "status".into(),
            phase: "answer".into(),
            status: n.is_multiple_of(2).then_some(503),
            asked_for_pause: n.is_multiple_of(4),
            detail: "no".into(),
            excerpt: "ü".repeat(n as usize).into(),
        }
    }

    #[test]
    fn the_last_ones_are_read_back() {
        let mut packed = None;
        for n in 0..25 {
            packed = Some(append(packed.as_deref(), &attempt(n)));
        }
        let read = unpack(&packed.unwrap());
        assert_eq!(read, (15..25).map(attempt).collect::<Vec<_>>());
    }

    #[test]
    fn long_texts_are_cut_and_damage_ends_the_list() {
        let packed = append(Some(&append(None, &attempt(1))), &attempt(2000));
        let read = unpack(&packed);
        assert_eq!(
            (read[0].clone(), read[1].excerpt.len()),
            (attempt(1), LONGEST_TEXT)
        );
        assert_eq!(unpack(&packed[..packed.len() - 1]), [attempt(1)]);
        assert_eq!(unpack(&[9, 9]), []);
    }
}
