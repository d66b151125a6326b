//! Any bytes as one datagram.
#![no_main]

mod packet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet::check(data));
