//! Which rows a filter means, as a condition over `push p JOIN receiver r`.

use downlink_core::Timestamp;
use rusqlite::types::Value;

use crate::{OrderKey, PushFilter, PushState};

/// A condition and its values.
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    pub(super) fn of(filter: &PushFilter) -> Self {
        let mut it = Self {
            text: "r.key = p.receiver".to_owned(),
            values: Vec::new(),
        };
        let key = filter
            .command
            .map(|command| OrderKey::of_command(command).to_bytes().to_vec());
        it.and("p.id =", filter.id.map(|id| id.0.into()));
        it.and("p.order_key =", key.map(Value::from));
        it.and("p.receiver =", filter.receiver.map(|key| key.0.into()));
        it.and("p.app =", filter.app.map(|key| key.0.into()));
        it.and("p.at >=", filter.since.map(Timestamp::as_millis).map(Value::from));
        it.text += match filter.state {
            None => "",
            Some(PushState::Due) => " AND p.state < 2 AND r.held_at IS NULL",
            Some(PushState::Held) => " AND p.state < 2 AND r.held_at IS NOT NULL",
            Some(PushState::Dead) => " AND p.state = 2",
        };
        it
    }

    /// Narrows it, where there is a value.
    pub(super) fn and(&mut self, compared: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.values.push(value);
            self.text += &format!(" AND {compared} ?{}", self.values.len());
        }
    }
}
