//! Reports as devices made them, and notices as they arrived.

use serde_json::Value;

/// A report of a device.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) device: String,
    /// When and over which connection it was sent, each time.
    pub(super) sent: Vec<(u64, u64)>,
    pub(super) acknowledged: Option<u64>,
}

/// A notice as it arrived.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) kind: String,
    /// Where it arrived.
    pub(super) receiver: usize,
    pub(super) device: String,
    pub(super) text: String,
    pub(super) body: Value,
    pub(super) first: u64,
    pub(super) accepted: bool,
}

impl Report {
    /// Whether the server had this one before it could have the other.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        if self.device != other.device {
            return false;
        }
        let Some((other_first, other_over)) = other.sent.first() else {
            return false;
        };
        let acknowledged = self.acknowledged.is_some_and(|at| at < *other_first);
        let same_way = matches!(self.sent[..], [(at, over)] if at < *other_first && over == *other_over);
        acknowledged || same_way
    }
}

impl Notice {
    pub(super) fn read(text: &str, receiver: usize, first: u64) -> Self {
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        let texts = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
        Self {
            kind: texts("/notifyType").unwrap_or_default(),
            receiver,
            device: texts("/deviceId")
                .or_else(|| texts("/header/deviceId"))
                .unwrap_or_default(),
            text: text.to_owned(),
            body,
            first,
            accepted: false,
        }
    }

    /// The numbers of the reports in it.
    pub(super) fn reports(&self) -> Vec<u64> {
        let one = self.body.pointer("/service/data/r");
        let many = self.body.get("services").and_then(Value::as_array);
        let many = many
            .into_iter()
            .flatten()
            .filter_map(|service| service.pointer("/data/r"));
        one.into_iter().chain(many).filter_map(Value::as_u64).collect()
    }

    /// The command it is of.
    pub(super) fn request(&self) -> Option<&str> {
        self.body.pointer("/header/requestId")?.as_str()
    }
}
