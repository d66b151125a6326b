//! Any bytes: see `fuzzing::package` of the server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| downlink_server::fuzzing::package(data));
