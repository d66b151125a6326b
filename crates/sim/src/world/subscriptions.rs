//! An application that ends subscriptions and makes them anew, perhaps with another receiver: see the promises in
//! `ledger/notices.rs`.

use serde_json::{Value, json};

use super::app::What;
use super::{Todo, World};

pub(super) const SUBSCRIPTIONS: &str = "/iocm/app/sub/v1.2.0/subscriptions";

/// A subscription that is ended and made anew.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) kind: &'static str,
    pub(super) receiver: usize,
    pub(super) stands: Stands,
}

/// How it stands, as the application knows. What got no answer is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// It is there, with this id.
    There(String),
    /// It is to end.
    Ending(String),
    /// It is not there.
    Ended,
    /// It is to be made.
    Making,
}

impl World {
    /// The application changes its mind about a subscription, and will again.
    pub(super) fn changes_mind(&mut self) {
        if !self.rough || self.wishes.is_empty() {
            return;
        }
        let place = usize::try_from(self.chance.below(self.wishes.len() as u64)).unwrap_or(0);
        let mut calls = self.calls.values();
        if !calls.any(|call| matches!(call.what, What::Subscribe(_) | What::Unsubscribe(_))) {
            self.change_subscription(place);
        }
        let after = self.chance.between(2_000, 40_000);
        self.plan(after, Todo::ChangesMind);
    }

    fn change_subscription(&mut self, place: usize) {
        let other = usize::try_from(self.chance.below(self.moods.len() as u64)).unwrap_or(0);
        let wish = &mut self.wishes[place];
        let kind = wish.kind;
        match wish.stands.clone() {
            Stands::There(id) | Stands::Ending(id) => {
                wish.stands = Stands::Ending(id.clone());
                self.ledger.notices.uncertain(kind);
                self.note(format_args!("ends its subscription to {kind}"));
                let path = format!("{SUBSCRIPTIONS}/{id}");
                self.begin_call("DELETE", path, None, None, What::Unsubscribe(place));
            }
            Stands::Ended | Stands::Making => {
                // Once asked for it may be there: with another receiver it would be refused.
                if wish.stands == Stands::Ended {
                    wish.receiver = other;
                }
                wish.stands = Stands::Making;
                let body = subscription(kind, wish.receiver);
                self.ledger.notices.uncertain(kind);
                self.note(format_args!("subscribes to {kind} again"));
                self.begin_call(
                    "POST",
                    SUBSCRIPTIONS.to_owned(),
                    Some(body),
                    None,
                    What::Subscribe(place),
                );
            }
        }
    }

    /// The end of a subscription was answered; it may have ended at an earlier call that got no answer.
    pub(super) fn unsubscribed(&mut self, place: usize, status: u16) {
        let wish = &mut self.wishes[place];
        if status < 500 {
            wish.stands = Stands::Ended;
            self.ledger.notices.unsubscribed(wish.kind);
            let kind = wish.kind.to_owned();
            *self.met.entry(("unsubscribed", kind)).or_default() += 1;
        }
    }

    /// A new subscription was answered.
    pub(super) fn subscribed(&mut self, place: usize, status: u16, body: &Value) {
        let wish = &mut self.wishes[place];
        if status == 201 {
            let id = body.get("subscriptionId").and_then(Value::as_str);
            wish.stands = Stands::There(id.unwrap_or_default().to_owned());
            self.ledger.notices.subscribed(wish.kind, wish.receiver);
        }
    }
}

/// What is asked for.
pub(super) fn subscription(kind: &str, receiver: usize) -> Value {
    json!({
        "notifyType": kind,
        "callbackUrl": format!("http://receiver-{receiver}.example:80/notices"),
        "channel": "HTTP",
    })
}
