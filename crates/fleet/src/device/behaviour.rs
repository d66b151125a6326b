//! How a simulated device treats the commands it gets. The default is a good device: acknowledge, carry out, answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::packet::Qos;

/// When a command that came at QoS 1 is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// On arrival.
    #[default]
    AtOnce,
    /// This long after arrival.
    After(Duration),
    /// When its (last) answer has been written, so that the answer overtakes it.
    AfterAnswer,
    /// Never.
    Never,
}

/// What a command is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Carried out: code 0 and this object.
    Ok(Value),
    /// Carried out, and failed: this code (not 0) and this object.
    Error(i64, Value),
    /// Carried out, and not a word about it.
    Never,
    /// Not even carried out.
    Ignore,
}

/// The moment of a command at which the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When it has arrived: before it is acknowledged or carried out.
    Received,
    /// When its acknowledgement is written.
    Acked,
    /// When its (last) answer is written.
    Answered,
}

/// Cutting the connection without a DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HangUp {
    /// At the how-manieth command of a connection, from 1.
    pub at_command: u32,
    /// At which moment of it.
    pub moment: Moment,
    /// On how many connections of the device's life; later ones are left alone.
    pub times: u32,
}

/// How commands are treated.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// Of commands that came at QoS 1.
    pub ack: Ack,
    /// What they are answered.
    pub answer: Answer,
    /// How long a command takes.
    pub answer_after: Duration,
    /// How often each is answered.
    pub answers: u8,
    /// With which quality of service.
    pub answer_qos: Qos,
    /// Whether and when the connection is cut.
    pub hang_up: Option<HangUp>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ack: Ack::AtOnce,
            answer: Answer::Ok(json!({"result": 0})),
            answer_after: Duration::ZERO,
            answers: 1,
            answer_qos: Qos::One,
            hang_up: None,
        }
    }
}

impl Behaviour {
    /// Acknowledges, carries out, and says nothing.
    pub fn silent() -> Self {
        Self {
            answer: Answer::Never,
            ..Self::default()
        }
    }

    /// Gets commands and neither acknowledges nor carries them out nor answers, as one behind a half-dead link.
    pub fn deaf() -> Self {
        Self {
            ack: Ack::Never,
            answer: Answer::Ignore,
            ..Self::default()
        }
    }

    /// Answers that it failed.
    pub fn failing(code: i64) -> Self {
        Self {
            answer: Answer::Error(code, json!({"reason": "simulated"})),
            ..Self::default()
        }
    }

    /// Takes this long to answer.
    pub fn slow(answer_after: Duration) -> Self {
        Self {
            answer_after,
            ..Self::default()
        }
    }
}
