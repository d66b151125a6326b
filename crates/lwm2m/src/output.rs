//! What the machine tells its caller, and the words of the caller's answers.

use crate::coap::Code;
use crate::peer::{DeviceNumber, Peer};

/// An event that waits for the caller's answer. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// By which resources a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// LwM2M: registers at `/rd`, reports by observation of 19/0/0, is written to at 19/1/0.
    Lwm2m,
    /// The older access of two resources: registers at `/t/r`, reports and is written to at `/t/d`.
    Oc,
}

/// When a device can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkMode {
    /// It sleeps, and hears for a while after it spoke.
    Psm,
    /// It hears at any time.
    Drx,
    /// It hears once in a cycle; the network keeps what comes between.
    Edrx {
        /// The cycle, in seconds.
        cycle_secs: u32,
    },
}

/// Why a device is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nobody knows it, or it must not come this way: 4.03, by the older access 5.00.
    Unknown,
    /// Not now: 5.03.
    Busy,
    /// The caller failed: 5.00.
    Internal,
}

/// Why a write was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotReachable {
    /// No registration: it will come with one.
    #[error("the device is not registered")]
    Unregistered,
    /// It sleeps, or has more to report first: [`Output::Awake`] will come.
    #[error("the device sleeps")]
    Asleep,
    /// As many writes as are allowed wait for it already.
    #[error("too many writes wait for the device")]
    Full,
    /// The payload is empty or above the limit: never try this one again.
    #[error("the payload is empty or too large")]
    Unfit,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The device has it and said so.
    Acked,
    /// The device does not take it.
    Refused(Code),
    /// It is too large for the device, in blocks as well.
    TooLarge,
    /// No answer to the last resend.
    TimedOut,
    /// The device did not understand the message at all (RST).
    Reset,
    /// Not now (5.03, 4.29): the device may not be written to for a while, and [`Output::Awake`] comes after it.
    Busy {
        /// Seconds until it may be tried again, as the device said.
        retry_secs: u32,
    },
    /// Sent, but the registration or session ended before an answer came.
    Interrupted,
    /// Not a byte of it was sent.
    NeverSent,
}

/// Why a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parting {
    /// The device took its leave.
    Deregistered,
    /// Its lifetime ran out without an update.
    LifetimeEnded,
    /// The device registered anew; the new registration is in force.
    Replaced,
}

/// What the machine tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A datagram to be sent.
    Send {
        /// Where to.
        to: Peer,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A device wants to register: answer with `accept` or `refuse`.
    Register {
        /// To be answered.
        exchange: ExchangeId,
        /// Where it came from.
        peer: Peer,
        /// The name that it gives itself; proves nothing.
        endpoint: String,
        /// Its lifetime, in seconds.
        lifetime_secs: u32,
        /// Its binding, as written; empty if it named none.
        binding: String,
        /// By which resources it speaks.
        access: Access,
        /// The version of LwM2M that it named; empty if none.
        version: String,
    },
    /// A report. Say `report_has_more` once it is decoded: a sleeping device counts as awake from then on.
    Report {
        /// To be answered with `acknowledge` after the commit; `None` if the device wants no acknowledgement.
        exchange: Option<ExchangeId>,
        /// Whose.
        device: DeviceNumber,
        /// Its bytes, as the device sent them.
        payload: Vec<u8>,
        /// Its observe number, if it had one.
        sequence: Option<u32>,
    },
    /// The device may be written to from now on.
    Awake {
        /// Which.
        device: DeviceNumber,
    },
    /// The device may not be written to from now on. What is under way ends by itself.
    Asleep {
        /// Which.
        device: DeviceNumber,
    },
    /// A registered device renewed its registration; it was answered already.
    Updated {
        /// Which.
        device: DeviceNumber,
        /// Its lifetime from now on, in seconds.
        lifetime_secs: u32,
    },
    /// A write ended. Comes exactly once for each write that was taken.
    Written {
        /// To which device.
        device: DeviceNumber,
        /// The caller's name of the write.
        tag: u64,
        /// How.
        outcome: Outcome,
    },
    /// A registration ended, and the device cannot be written to.
    Gone {
        /// Whose.
        device: DeviceNumber,
        /// Why.
        why: Parting,
    },
}
