//! Pushes that their receivers wanted no more, and what is told of them: N8.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Notices;
use crate::ledger::operator::Operator;

const GIVEN_UP: &str = "pushGivenUp";

/// A push that its receiver wanted no more.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// It was its last answer.
    at_last: bool,
    tried: u64,
}

impl Notices {
    /// A push of any kind arrived.
    pub fn tried(&mut self, webhook_id: &str) {
        let now = self.now();
        if let Some(refused) = self.refused.get_mut(webhook_id) {
            (refused.tried, refused.at_last) = (now, false);
        }
    }

    /// Its receiver wants it no more.
    pub fn refused(&mut self, webhook_id: &str) {
        self.refused.entry(webhook_id.to_owned()).or_default().at_last = true;
    }

    pub(super) fn wrong_given_up(&self, operator: &Operator) -> Vec<String> {
        let mut told: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut broken = Vec::new();
        for notice in self.of_kind(GIVEN_UP) {
            let of = notice.body.get("webhookId").and_then(Value::as_str);
            told.entry(of.unwrap_or_default()).or_default().push(notice.first);
        }
        for (id, times) in &told {
            let (refused, replays) = (self.refused.get(*id), operator.replays_of(id));
            let again = |refused: &Refused| replays == 0 && refused.tried >= times[0];
            if times.len() > 1 + replays || refused.is_none_or(again) {
                broken.push(format!(
                    "N8: {id} was told as given up at {times:?}, and was {refused:?}"
                ));
            }
        }
        let at_last = |refused: &Refused| refused.at_last && self.is_subscribed(GIVEN_UP);
        for (id, refused) in self.refused.iter().filter(|(_, refused)| at_last(refused)) {
            let of_itself = self.notices.get(id).is_some_and(|notice| notice.kind == GIVEN_UP);
            if !of_itself && !operator.is_dropped(id) && !told.contains_key(id.as_str()) {
                broken.push(format!("N8: {id} is not told as given up, and was {refused:?}"));
            }
        }
        broken
    }
}
