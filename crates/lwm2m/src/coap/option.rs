//! Numbers of options (RFC 7252 §12.2, RFC 7641, RFC 7959), and those that a server of ours may meet.

/// Names the host that is meant; of no meaning here.
pub const URI_HOST: u16 = 3;
/// Names a state of a resource.
pub const ETAG: u16 = 4;
/// Observation (RFC 7641 §2).
pub const OBSERVE: u16 = 6;
/// Names the port that is meant; of no meaning here.
pub const URI_PORT: u16 = 7;
/// A segment of a created resource's path.
pub const LOCATION_PATH: u16 = 8;
/// A segment of the path.
pub const URI_PATH: u16 = 11;
/// What the payload is.
pub const CONTENT_FORMAT: u16 = 12;
/// Seconds that an answer holds; with 5.03, seconds to wait.
pub const MAX_AGE: u16 = 14;
/// One argument of the query.
pub const URI_QUERY: u16 = 15;
/// What an answer may be.
pub const ACCEPT: u16 = 17;
/// A block of an answer (RFC 7959 §2.1).
pub const BLOCK2: u16 = 23;
/// A block of a request (RFC 7959 §2.1).
pub const BLOCK1: u16 = 27;
/// Asks for a proxy.
pub const PROXY_URI: u16 = 35;
/// Asks for a proxy.
pub const PROXY_SCHEME: u16 = 39;
/// Size of a request's body, as a hint.
pub const SIZE1: u16 = 60;

/// Content format `application/octet-stream`.
pub const OCTETS: u32 = 42;

/// Whether a request with this option must be refused (4.02): its number is odd and it is not one of those above.
pub const fn is_unknown_critical(number: u16) -> bool {
    let known = matches!(
        number,
        URI_HOST | URI_PORT | URI_PATH | URI_QUERY | ACCEPT | BLOCK1 | BLOCK2
    );
    number % 2 == 1 && !known
}
