//! Replays the corpus of each fuzz target, so that what a fuzzer found once is found again without one; then, for a bounded
//! number of turns, files of the corpus changed at random. The seed is printed; `SEED` sets it, `TURNS` the number.

use std::path::Path;

/// Random inputs of one target.
const TURNS: u64 = 10_000;
/// Longest random input, in bytes.
const LONGEST: usize = 4096;

/// Vigna, splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end.max(1) as u64) as usize
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(directory).expect("the corpus is committed");
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A file with a few bytes changed, taken out, doubled, or taken from another.
fn changed(files: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = files[dice.below(files.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let length = dice.below(bytes.len() - at).min(1 + dice.below(64));
        match dice.below(5) {
            0 if !bytes.is_empty() => bytes[at] = dice.below(256) as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let doubled = bytes[at..at + length].to_vec();
                bytes.splice(at..at, doubled);
            }
            _ => {
                let other = &files[dice.below(files.len())];
                let from = dice.below(other.len());
                let taken = other[from..].iter().take(64).copied();
                bytes.splice(at..at + length, taken);
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

fn replay(target: &str, check: fn(&[u8])) {
    let files = corpus(target);
    assert!(files.len() >= 5, "{target}: a corpus of {} files", files.len());
    files.iter().for_each(|file| check(file));
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("{target}: SEED={seed}");
    let mut dice = Dice(seed);
    for _ in 0..number("TURNS").unwrap_or(TURNS) {
        check(&changed(&files, &mut dice));
    }
}

#[test]
fn connections_over_mqtt() {
    replay("mqtt", super::mqtt);
}

#[test]
fn datagrams_of_dtls() {
    replay("dtls", super::dtls);
}

#[test]
fn bodies_of_the_northbound_interface() {
    replay("bodies", super::bodies);
}

#[test]
fn callback_urls() {
    replay("callback", super::callback);
}

#[test]
fn profile_packages() {
    replay("package", super::package);
}
