//! Any bytes: see `fuzzing::dtls` of the server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| downlink_server::fuzzing::dtls(data));
