//! Any bytes: see `fuzzing::bodies` of the server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| downlink_server::fuzzing::bodies(data));
