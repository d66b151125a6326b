//! Replays the corpus of the fuzz target, so that what a fuzzer found once is found again without one.

#[path = "../fuzz/src/binary.rs"]
mod binary;

use std::path::Path;

#[test]
fn definitions_and_bytes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/binary");
    let entries = std::fs::read_dir(directory).expect("the corpus is committed");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let replayed = files.map(|file| binary::check(&std::fs::read(file).expect("a file")));
    assert!(replayed.count() >= 10);
}
