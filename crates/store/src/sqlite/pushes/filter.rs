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

#[cfg(test)]
mod tests {
    use downlink_core::{AppKey, CommandId};
    use rusqlite::{Connection, params_from_iter};

    use super::*;
    use crate::sqlite::migrate;
    use crate::{PushId, ReceiverKey};

    /// None that names a row, a command, a receiver or an application goes through the whole table, or sorts.
    #[test]
    fn each_narrow_filter_has_its_index() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut sql).unwrap();
        let all = PushFilter::default;
        let filters = [
            PushFilter {
                id: Some(PushId(1)),
                ..all()
            },
            PushFilter {
                command: Some(CommandId::from_parts(1, 7, 1, 2)),
                ..all()
            },
            PushFilter {
                receiver: Some(ReceiverKey(1)),
                ..all()
            },
            PushFilter {
                app: Some(AppKey(1)),
                ..all()
            },
        ];
        for filter in filters {
            let mut condition = Condition::of(&filter);
            condition.and("p.id >", Some(7.into()));
            let query = format!(
                "EXPLAIN QUERY PLAN SELECT p.id FROM push p CROSS JOIN receiver r WHERE {} ORDER BY p.id LIMIT 5",
                condition.text
            );
            let mut statement = sql.prepare(&query).unwrap();
            let plan = statement.query_map(params_from_iter(condition.values), |row| row.get::<_, String>(3));
            let plan: Vec<_> = plan.unwrap().map(Result::unwrap).collect();
            assert!(plan[0].starts_with("SEARCH p USING"), "{filter:?}: {plan:?}");
            let indexed = filter.id.is_some() || plan[0].contains("INDEX push_");
            assert!(indexed, "{filter:?}: {plan:?}");
        }
    }
}
