//! Replays the corpus of the fuzz targets, so that what a fuzzer found once is found again without one.

#[path = "../../../fuzz/src/packet.rs"]
mod packet;
#[path = "../../../fuzz/src/station.rs"]
mod station;

use std::path::Path;

/// Gives every file of a target's corpus to its check; their number.
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(directory).expect("the corpus is committed");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .map(|file| check(&std::fs::read(file).expect("a file")))
        .count()
}

#[test]
fn packets() {
    assert!(replay("packet", packet::check) > 10);
}

#[test]
fn stories_of_a_station() {
    assert!(replay("station", station::check) > 10);
}
