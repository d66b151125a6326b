//! Bodies around subscriptions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::command::callback_url;
use crate::field::{self, Invalid, Member};

/// A request to subscribe, read; whether type and URL are legal is not decided here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// To what.
    pub notify_type: String,
    /// Where to.
    pub callback_url: String,
    /// By which channel; `HTTP` if it is not said.
    pub channel: String,
}

impl Subscribe {
    /// Reads the body of any of the subscribe calls. The URL stands under `callbackUrl` or, in older clients,
    /// `callbackurl`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let members: BTreeMap<String, Member<'_>> = field::object("body", text)?;
        let get = |name: &str| members.get(name).copied().flatten();
        let url = get("callbackUrl").or_else(|| get("callbackurl"));
        let url = callback_url(url)?;
        let channel = field::text("channel", get("channel"), 0, 32)?.filter(|channel| !channel.is_empty());
        Ok(Self {
            notify_type: field::required("notifyType", get("notifyType"), 128)?,
            callback_url: url.ok_or_else(|| Invalid::missing("callbackUrl"))?,
            channel: channel.unwrap_or_else(|| "HTTP".to_owned()),
        })
    }
}

/// A subscription as answers show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView<'a> {
    /// A UUID.
    pub subscription_id: &'a str,
    /// To what.
    pub notify_type: &'a str,
    /// Where to.
    pub callback_url: &'a str,
}

/// A page of subscriptions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionPage<'a> {
    /// Subscriptions of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Subscriptions of a full page.
    pub page_size: u64,
    /// The page.
    pub subscriptions: Vec<SubscriptionView<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_url_are_read() {
        for name in ["callbackUrl", "callbackurl"] {
            let text = format!(r#"{{"notifyType":"deviceAdded","{name}":"http://h:1/","appId":"x"}}"#);
            let read = Subscribe::parse(&text).unwrap();
            assert_eq!((&*read.callback_url, &*read.channel), ("http://h:1/", "HTTP"));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, field) in [
            ("{}", "callbackUrl"),
            (r#"{"callbackUrl":"http://h:1/"}"#, "notifyType"),
            (r#"{"notifyType":"deviceAdded"}"#, "callbackUrl"),
            (r#"{"notifyType":1,"callbackUrl":"http://h:1/"}"#, "notifyType"),
            ("[]", "body"),
        ] {
            let error = Subscribe::parse(text).unwrap_err();
            // Either of two that are missing may be named.
            assert!(error.field == field || text == "{}", "{text}: {error}");
        }
    }
}
