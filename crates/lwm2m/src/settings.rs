//! Limits and waits of the machine. Everything that grows or waits is bounded here.

/// How long a confirmable message waits before it is sent again.
///
/// The first wait is spread between the two figures, each later one is twice the one before. After the last resend
/// the exchange waits once more and has then timed out. With the standard figures that is again after 10–15, 20–30 and
/// 40–60 s, and timed out 80–120 s later: RFC 7252 §4.2 with ACK_TIMEOUT 10 s, factor 1.5 and 3 resends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSchedule {
    /// The shortest first wait, in milliseconds.
    pub first_low_ms: u64,
    /// The longest first wait, in milliseconds.
    pub first_high_ms: u64,
    /// Resends after the first send; a write may ask for fewer.
    pub resends: u8,
}

/// What becomes of a report whose observe number is older than that of one before (RFC 7641 §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reordered {
    /// It is dropped, as the RFC has it for states.
    Drop,
    /// It is a report like any other: for devices whose reports are events, of which none may be missed.
    Deliver,
}

/// Settings of a station. [`Settings::default`] has the figures that the platform documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Sending again.
    pub schedule: AckSchedule,
    /// How long a device that sleeps may be sent to after the last message from it, in milliseconds.
    pub awake_window_ms: u64,
    /// How long a device that said it has more to report is not sent to at the most, in milliseconds.
    pub hold_limit_ms: u64,
    /// How long the answer may take once the device has acknowledged a request without answering, in milliseconds.
    pub separate_wait_ms: u64,
    /// How long a message of a device is remembered, so that it is not taken twice, in milliseconds. RFC 7252 §4.8.2
    /// has 247 s for its own waits; devices that wait twice as long need more.
    pub exchange_lifetime_ms: u64,
    /// How long an event may go unanswered by the caller before its exchange is given up, in milliseconds.
    pub answer_wait_ms: u64,
    /// Lifetime of a registration that names none, in seconds.
    pub default_lifetime_secs: u32,
    /// After how long a device that is busy is tried again if it does not say, in seconds.
    pub busy_retry_secs: u32,
    /// How long a device that is busy is left alone at the most, whatever it says, in seconds.
    pub max_busy_secs: u32,
    /// A payload above this many bytes goes out in blocks.
    pub block_size: usize,
    /// The largest payload of a write, in bytes.
    pub max_write: usize,
    /// The largest report, and the largest body of a registration, in bytes.
    pub max_report: usize,
    /// The longest datagram that is looked at, in bytes.
    pub max_datagram: usize,
    /// The longest endpoint name, in bytes.
    pub max_endpoint: usize,
    /// Registrations at once.
    pub max_registrations: usize,
    /// Events at once that the caller has not answered.
    pub max_exchanges: usize,
    /// Events at once of one device that the caller has not answered.
    pub max_exchanges_per_device: usize,
    /// Messages remembered of one device.
    pub max_remembered: usize,
    /// Writes of one device that wait for the one before.
    pub max_waiting_writes: usize,
    /// Large reports at once that are being fetched block by block.
    pub max_assemblies: usize,
    /// Outputs not yet taken; at this number datagrams are dropped unread.
    pub max_outputs: usize,
    /// RSTs in a second, all together: to malformed messages, pings, and reports with a token of nobody.
    pub resets_per_sec: u32,
    /// Requests refused in a second, all together. Each is no larger than the request was. When registrations are lost
    /// every device has to be told once that it is unknown.
    pub refusals_per_sec: u32,
    /// What becomes of reports that overtook each other.
    pub reordered: Reordered,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schedule: AckSchedule {
                first_low_ms: 10_000,
                first_high_ms: 15_000,
                resends: 3,
            },
            awake_window_ms: 93_000,
            hold_limit_ms: 60_000,
            separate_wait_ms: 120_000,
            exchange_lifetime_ms: 300_000,
            answer_wait_ms: 60_000,
            default_lifetime_secs: 86_400,
            busy_retry_secs: 60,
            max_busy_secs: 3600,
            block_size: 1024,
            max_write: 64 * 1024,
            max_report: 16 * 1024,
            max_datagram: 1500,
            max_endpoint: 256,
            max_registrations: 200_000,
            max_exchanges: 8192,
            max_exchanges_per_device: 8,
            max_remembered: 16,
            max_waiting_writes: 8,
            max_assemblies: 256,
            max_outputs: 16_384,
            resets_per_sec: 500,
            refusals_per_sec: 2000,
            reordered: Reordered::Drop,
        }
    }
}
