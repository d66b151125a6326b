//! Any definition, any bytes.
#![no_main]

mod binary;

libfuzzer_sys::fuzz_target!(|data: &[u8]| binary::check(data));
