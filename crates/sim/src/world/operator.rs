//! The operator, who holds and releases receivers, sends pushes again and drops some: see the promises in `ledger/operator.rs`.
//!
//! One thing after the other: who sees a list acts on it before the list is changed by another act.

use serde_json::{Value, json};

use crate::ledger::operator::{Ask, Purpose};

use super::app::What;
use super::{Todo, World};

const PUSHES: &str = "/admin/v1/pushes";
const RECEIVERS: &str = "/admin/v1/receivers";
/// Pushes on a list.
const MOST: u64 = 1000;

/// A push as the operator sees it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    id: u64,
    receiver: u64,
    origin: String,
    pub(super) webhook_id: String,
    pub(super) state: String,
    at: String,
}

impl World {
    /// The operator does something, and will again.
    pub(super) fn operator_acts(&mut self) {
        if !self.rough {
            return;
        }
        if !self.operator_waits() {
            let receiver = usize::try_from(self.chance.below(self.moods.len() as u64)).unwrap_or(0);
            let held = self.ledger.operator.perhaps_held.first().copied();
            match self.chance.below(10) {
                0 | 1 => self.operator_asks(Ask::Hold(receiver)),
                2..=4 => self.operator_asks(Ask::Release(held.unwrap_or(receiver))),
                5 => self.operator_asks(Ask::List(Purpose::ReplayOne)),
                6 => self.operator_asks(Ask::List(Purpose::ReplaySince)),
                7 | 8 => self.operator_asks(Ask::List(Purpose::Drop)),
                _ => self.operator_asks(Ask::Test(receiver)),
            }
        }
        let most = *self.chance.pick(&[3_000, 20_000, 40_000]);
        let after = self.chance.between(500, most);
        self.plan(after, Todo::OperatorActs);
    }

    pub(super) fn operator_waits(&self) -> bool {
        let mut calls = self.calls.values();
        calls.any(|call| matches!(call.what, What::Operator(_)))
    }

    /// The operator makes a call that needs nothing but what it says.
    pub(super) fn operator_asks(&mut self, ask: Ask) {
        let named = |receiver: &usize| {
            let url = format!("http://receiver-{receiver}.example:80/");
            Some(json!({"app": "app", "url": url}))
        };
        let (method, path, body) = match &ask {
            Ask::Hold(receiver) => ("POST", format!("{RECEIVERS}/hold"), named(receiver)),
            Ask::Release(receiver) => ("POST", format!("{RECEIVERS}/release"), named(receiver)),
            Ask::Test(receiver) => ("POST", format!("{PUSHES}/test"), named(receiver)),
            Ask::List(Purpose::Drop) => ("GET", format!("{PUSHES}?limit={MOST}"), None),
            Ask::List(Purpose::ReplayOne | Purpose::ReplaySince) => {
                ("GET", format!("{PUSHES}?state=dead&limit={MOST}"), None)
            }
            // They are made of what a list shows.
            Ask::Replay(..) | Ask::Drop(_) => return,
        };
        self.operator_calls(method, path, body, ask);
    }

    fn operator_calls(&mut self, method: &'static str, path: String, body: Option<Value>, ask: Ask) {
        self.note(format_args!("operator: {ask:?}"));
        self.begin_call(method, path, body, None, What::Operator(ask));
    }

    /// The server answers the operator: from this moment on it has to keep what it says.
    pub(super) fn operator_answered(&mut self, call: u64, status: u16, body: &[u8]) {
        if let Some(What::Operator(ask)) = self.calls.get(&call).map(|call| call.what.clone()) {
            self.note(format_args!("operator was answered {status}"));
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            self.ledger.operator.answered(&ask, status, &body);
            if (200..300).contains(&status) {
                *self.met.entry(("operator", word(&ask).to_owned())).or_default() += 1;
            }
        }
    }

    /// The operator sees the answer.
    pub(super) fn operator_sees(&mut self, ask: &Ask, body: &Value) {
        if let (true, Ask::List(purpose)) = (self.rough, ask) {
            let shown: Vec<Shown> = shown(body);
            match purpose {
                Purpose::ReplayOne => self.replay_one(&shown),
                Purpose::ReplaySince => self.replay_since(shown),
                Purpose::Drop => self.drop_one(shown),
            }
        }
    }

    fn replay_one(&mut self, dead: &[Shown]) {
        if dead.is_empty() {
            return;
        }
        let one = self.chance.pick(dead).clone();
        self.replay_push(&one);
    }

    /// One is sent again, with all after it.
    pub(super) fn replay_push(&mut self, one: &Shown) {
        let ask = Ask::Replay(vec![one.webhook_id.clone()], None);
        self.operator_calls("POST", format!("{PUSHES}/{}/replay", one.id), None, ask);
    }

    fn replay_since(&mut self, mut dead: Vec<Shown>) {
        if dead.is_empty() {
            return;
        }
        let first = self.chance.pick(&dead).clone();
        let since = self.chance.percent(50).then(|| first.at[..19].to_owned());
        dead.retain(|one| one.receiver == first.receiver);
        dead.retain(|one| since.as_deref().is_none_or(|since| one.at[..19] >= *since));
        let body = since.map(|since| json!({"since": compact(&since)}));
        let ask = Ask::Replay(
            dead.into_iter().map(|one| one.webhook_id).collect(),
            receiver_of(&first.origin),
        );
        self.operator_calls(
            "POST",
            format!("{RECEIVERS}/{}/replay", first.receiver),
            body,
            ask,
        );
    }

    /// Of notices only those are dropped that arrived once: else nobody knows what is not told.
    fn drop_one(&mut self, mut shown: Vec<Shown>) {
        shown.retain(|one| self.ledger.may_be_dropped(&one.webhook_id));
        if shown.is_empty() {
            return;
        }
        let one = self.chance.pick(&shown).clone();
        self.drop_push(&one);
    }

    /// One is never to be told.
    pub(super) fn drop_push(&mut self, one: &Shown) {
        let ask = Ask::Drop(one.webhook_id.clone());
        self.operator_calls("DELETE", format!("{PUSHES}/{}", one.id), None, ask);
    }

    /// What the operator sees of stored pushes.
    pub(super) fn stored_pushes(&mut self) -> anyhow::Result<Vec<Shown>> {
        let path = format!("{PUSHES}?limit={MOST}");
        let (_, list) = self.ask_for(What::AskedByOperator, "GET", &path, None)?;
        Ok(shown(&list))
    }

    /// Whatever is held is released.
    pub(super) fn release_all(&mut self) -> anyhow::Result<()> {
        let limit = self.now + 60_000;
        while self.operator_waits() && self.now < limit {
            self.step(limit)?;
        }
        for receiver in self.ledger.operator.perhaps_held.clone() {
            self.operator_asks(Ask::Release(receiver));
            while self.operator_waits() && self.now < limit {
                self.step(limit)?;
            }
        }
        anyhow::ensure!(
            self.ledger.operator.perhaps_held.is_empty(),
            "receivers are not released within a minute of calm"
        );
        Ok(())
    }
}

const fn word(ask: &Ask) -> &'static str {
    match ask {
        Ask::Hold(_) => "held",
        Ask::Release(_) => "released",
        Ask::List(_) => "listed",
        Ask::Replay(..) => "sent again",
        Ask::Drop(_) => "dropped",
        Ask::Test(_) => "tried",
    }
}

fn shown(list: &Value) -> Vec<Shown> {
    let all = list.get("pushes").and_then(Value::as_array);
    let read = |push: &Value| {
        let at = push.get("at")?.as_str()?;
        Some(Shown {
            id: push.get("id")?.as_u64()?,
            receiver: push.get("receiver")?.as_u64()?,
            origin: push.get("origin")?.as_str()?.to_owned(),
            webhook_id: push.get("webhookId")?.as_str()?.to_owned(),
            state: push.get("state")?.as_str()?.to_owned(),
            at: (at.len() > 19).then(|| at.to_owned())?,
        })
    };
    all.into_iter().flatten().filter_map(read).collect()
}

/// `2026-01-02T03:04:05` as the server wants it.
fn compact(at: &str) -> String {
    let digits: String = at.chars().filter(|one| !"-:".contains(*one)).collect();
    format!("{digits}Z")
}

/// Which receiver lives there.
pub(super) fn receiver_of(origin: &str) -> Option<usize> {
    let digit = origin.bytes().find(u8::is_ascii_digit)?;
    Some(usize::from(digit - b'0'))
}
