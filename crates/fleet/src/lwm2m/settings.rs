//! What a simulated CoAP device is and how it behaves. The default is a good device that is always awake.

use std::time::Duration;

use super::payload::Payload;
use super::tunnel::Key;

/// By which resources it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// LwM2M 1.0: registers at `/rd`, is observed at `19/0/0` and written at `19/1/0`.
    #[default]
    Lwm2m,
    /// The older two resources: registers at `/t/r`, is observed and written at `/t/d`.
    Oc,
}

/// How a command's write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Write {
    /// 2.04, and the command is carried out.
    #[default]
    Changed,
    /// Not at all; the command is not carried out.
    Silent,
    /// With this error; the command is not carried out.
    Refused(Code),
    /// With a reset; the command is not carried out.
    Reset,
}

/// A response code of CoAP as a byte: class in the upper three bits, detail in the lower five (RFC 7252 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    /// Reads `4.04` and the like; only errors, 4.00 to 5.31.
    pub fn error(text: &str) -> Option<Self> {
        let (class, detail) = text.split_once('.')?;
        let (class, detail): (u8, u8) = (class.parse().ok()?, detail.parse().ok()?);
        let fits = matches!(class, 4 | 5) && detail < 32;
        fits.then_some(Self(class << 5 | detail))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 >> 5, self.0 & 31)
    }
}

/// What a command that is carried out results in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A result with this code; 0 is success.
    Code(u8),
    /// No result is reported.
    Never,
}

/// A device that saves power: what arrives while it sleeps is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// How long it listens after it sent a request or a report, or, over DTLS, what had to be sent before that. Its
    /// acknowledgements do not make that longer.
    pub awake: Duration,
    /// How long it sleeps unless something is to be said earlier. It wakes with an update (LwM2M) or a report.
    pub asleep: Duration,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its own number (`ep`).
    pub endpoint: String,
    /// Its lifetime (`lt`), whole seconds. It updates its registration after three quarters of it.
    pub lifetime: Duration,
    /// Whether it says that it is in queue mode (`b=UQ`).
    pub queue_mode: bool,
    /// By which resources it is reached.
    pub access: Access,
    /// What its payloads look like.
    pub payload: Payload,
    /// How commands are answered.
    pub write: Write,
    /// What they result in.
    pub outcome: Outcome,
    /// How long a command takes.
    pub takes: Duration,
    /// Whether reports are confirmable.
    pub confirm: bool,
    /// Whether and how it sleeps.
    pub sleep: Option<Sleep>,
    /// The key it speaks DTLS with; none: it does not.
    pub key: Option<Key>,
}

impl Settings {
    /// A good LwM2M device with JSON payloads that is always awake.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            lifetime: Duration::from_secs(86_400),
            queue_mode: false,
            access: Access::default(),
            payload: Payload::default(),
            write: Write::default(),
            outcome: Outcome::Code(0),
            takes: Duration::ZERO,
            confirm: true,
            sleep: None,
            key: None,
        }
    }

    /// The same over DTLS with this secret, and its own number as identity.
    #[must_use]
    pub fn secured(self, secret: Vec<u8>) -> Self {
        let identity = self.endpoint.clone();
        Self {
            key: Some(Key { identity, secret }),
            ..self
        }
    }

    /// The same, asleep between uplinks, and in queue mode.
    #[must_use]
    pub fn sleeping(self, awake: Duration, asleep: Duration) -> Self {
        Self {
            queue_mode: true,
            sleep: Some(Sleep { awake, asleep }),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_read_and_written() {
        assert_eq!(Code::error("5.03"), Some(Code(0xa3)));
        assert_eq!(
            Code::error("4.04").map(|code| code.to_string()).as_deref(),
            Some("4.04")
        );
        for wrong in ["2.04", "4.32", "4", "x.y", "404"] {
            assert_eq!(Code::error(wrong), None, "{wrong}");
        }
    }
}
