//! Any bytes: see `fuzzing::mqtt` of the server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| downlink_server::fuzzing::mqtt(data));
