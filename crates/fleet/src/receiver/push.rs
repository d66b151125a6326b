//! What a receiver records.

use std::fmt;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// Pushes kept by one receiver at most.
const MAX_PUSHES: usize = 100_000;
/// Bytes of bodies kept by one receiver at most.
const MAX_BYTES: usize = 64 << 20;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Push {
    /// Its method: POST, if it is a push.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, untouched.
    pub body: Bytes,
    /// When it was complete.
    pub at: Instant,
    /// The same by the clock on the wall.
    pub at_clock: SystemTime,
    /// Number of the connection it came by, from 0.
    pub connection: u64,
}

/// A push that tells of a command's status.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandPush {
    /// `deviceId`
    pub device_id: String,
    /// `commandId`
    pub command_id: String,
    /// `result.resultCode`
    pub status: String,
    /// `result.resultDetail`: an object or null.
    pub detail: Value,
}

impl Push {
    /// The value of a header as text; `None` if it is missing or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What it tells of a command; `None` if it does not.
    pub fn command(&self) -> Option<CommandPush> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let text = |place: &str| body.pointer(place).and_then(Value::as_str).map(str::to_owned);
        Some(CommandPush {
            device_id: text("/deviceId")?,
            command_id: text("/commandId")?,
            status: text("/result/resultCode")?,
            detail: body
                .pointer("/result/resultDetail")
                .cloned()
                .unwrap_or(Value::Null),
        })
    }
}

/// All that a receiver recorded.
#[derive(Debug, Clone, Default)]
pub struct Pushes {
    /// In order of arrival.
    pub list: Vec<Push>,
    /// Pushes beyond the limits.
    pub unrecorded: u64,
    /// Connections so far.
    pub connections: u64,
    bytes: usize,
}

impl Pushes {
    /// The statuses pushed of one command, in order of arrival, repetitions included.
    pub fn statuses_of(&self, command_id: &str) -> Vec<String> {
        let told = self.list.iter().filter_map(Push::command);
        told.filter(|told| told.command_id == command_id)
            .map(|told| told.status)
            .collect()
    }

    pub(super) fn record(&mut self, push: Push) {
        if self.list.len() >= MAX_PUSHES || self.bytes + push.body.len() > MAX_BYTES {
            self.unrecorded += 1;
            return;
        }
        self.bytes += push.body.len();
        self.list.push(push);
    }
}

impl fmt::Display for Pushes {
    /// The number and the last few.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pushes ({} more not recorded)",
            self.list.len(),
            self.unrecorded
        )?;
        for push in self.list.iter().rev().take(10).rev() {
            write!(f, "\n  {} {}", push.path, String::from_utf8_lossy(&push.body))?;
        }
        Ok(())
    }
}
