//! Any bytes as a story of datagrams, time and answers.
#![no_main]

mod station;

libfuzzer_sys::fuzz_target!(|data: &[u8]| station::check(data));
