//! What is counted rather than told: what strangers send, what is repeated, and each limit that was reached.

/// Totals since the start; they only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams that went out.
    pub sent: u64,
    /// Datagrams that are no CoAP message.
    pub garbage: u64,
    /// Messages with a format error.
    pub malformed: u64,
    /// Requests that were refused: unknown paths, methods, options, arguments.
    pub bad_requests: u64,
    /// Answers and reports with a token that nobody here gave.
    pub unknown_token: u64,
    /// Requests with a location that is not registered.
    pub unknown_location: u64,
    /// Acknowledgements and resets of nothing that is in flight.
    pub stray_acks: u64,
    /// A token or location that belongs to another peer's device, from where it must not come.
    pub wrong_peer: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Reports that were older than one before.
    pub reordered: u64,
    /// Messages of ours that were sent again.
    pub retransmits: u64,
    /// Exchanges of ours that were never answered.
    pub timeouts: u64,
    /// Observations that the device refused or ended.
    pub observe_refused: u64,
    /// Answers to strangers not given, because of the rate.
    pub answers_withheld: u64,
    /// Datagrams dropped unread: too long, or too many outputs not yet taken.
    pub dropped_datagrams: u64,
    /// Requests and reports dropped, because too many wait for the caller.
    pub dropped_exchanges: u64,
    /// Events that the caller never answered.
    pub unanswered: u64,
    /// Registrations refused for want of room.
    pub registrations_full: u64,
    /// Reports too large, or that could not be put together.
    pub reports_lost: u64,
    /// Registrations now. The only figure that falls.
    pub registrations: u64,
    /// Devices that the caller was told may be written to; not a total.
    pub awake: u64,
}
