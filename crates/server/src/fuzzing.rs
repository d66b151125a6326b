//! What the fuzz targets of `fuzz/` call, and the tests that replay their corpus. Not part of what the crate offers.
//!
//! Each check takes any bytes and panics if something does not hold; what has to hold is said where it is checked.

#[cfg(test)]
mod tests;

/// A connection over MQTT: see `gateway/mqtt/connection/fuzzing`.
pub fn mqtt(data: &[u8]) {
    crate::gateway::mqtt::fuzzing::check(data);
}

/// Datagrams of a DTLS socket: see `gateway/lwm2m/dtls/tests/fuzzing`.
pub fn dtls(data: &[u8]) {
    crate::gateway::lwm2m::fuzzing::check(data);
}

/// Bodies and queries of the northbound interface: see `http/fuzzing`.
pub fn bodies(data: &[u8]) {
    crate::http::fuzzing::bodies(data);
}

/// Callback URLs: see `http/fuzzing`.
pub fn callback(data: &[u8]) {
    crate::http::fuzzing::callback(data);
}

/// Profile packages: see `products/fuzzing`.
pub fn package(data: &[u8]) {
    crate::products::fuzzing::package(data);
}
