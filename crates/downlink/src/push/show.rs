//! How stored pushes, attempts and receivers are shown to people.

use serde_json::Value;

use super::members;
use crate::failure::Failure;
use crate::output::{Out, fields, table, text_at};

pub(super) fn pushes(out: Out, page: &Value) -> Result<(), Failure> {
    out.show(page, || {
        let columns = [
            "/id",
            "/state",
            "/app",
            "/origin",
            "/webhookId",
            "/status",
            "/tries",
            "/at",
            "/nextAt",
        ];
        let rows: Vec<_> = members(page, "pushes")
            .iter()
            .map(|push| columns.map(|member| text_at(push, member)))
            .collect();
        let head = [
            "ID",
            "STATE",
            "APP",
            "RECEIVER",
            "WEBHOOK-ID",
            "STATUS",
            "TRIES",
            "AT",
            "NEXT",
        ];
        let more = match page.get("nextAfter") {
            None | Some(Value::Null) => "",
            Some(_) => "there are more: narrow it, or raise --limit\n",
        };
        format!("{}{more}", table(head, &rows))
    })
}

pub(super) fn push(out: Out, push: &Value) -> Result<(), Failure> {
    out.show(push, || {
        let head = fields(&[
            ("push", text_at(push, "/id")),
            ("state", text_at(push, "/state")),
            ("because", text_at(push, "/deadBecause")),
            ("behind", behind(push)),
            ("app", text_at(push, "/app")),
            (
                "receiver",
                format!("{} ({})", text_at(push, "/origin"), text_at(push, "/receiver")),
            ),
            ("webhook-id", text_at(push, "/webhookId")),
            ("command", text_at(push, "/commandId")),
            ("device", text_at(push, "/deviceId")),
            ("status", text_at(push, "/status")),
            ("tries", text_at(push, "/tries")),
            ("at", text_at(push, "/at")),
            ("next", text_at(push, "/nextAt")),
        ]);
        let attempts: String = members(push, "attempts").iter().map(attempt).collect();
        format!("{head}{attempts}")
    })
}

fn behind(push: &Value) -> String {
    match push.get("behind") {
        Some(Value::Bool(true)) => "waits for those before it".to_owned(),
        Some(_) | None => String::new(),
    }
}

fn attempt(attempt: &Value) -> String {
    let line = format!(
        "{}  {} ms  {} at {}  {}  {}",
        text_at(attempt, "/at"),
        text_at(attempt, "/tookMs"),
        text_at(attempt, "/outcome"),
        text_at(attempt, "/phase"),
        text_at(attempt, "/status"),
        plain(&text_at(attempt, "/detail")),
    );
    let excerpt = plain(&text_at(attempt, "/excerpt"));
    match excerpt.is_empty() {
        true => format!("{}\n", line.trim_end()),
        false => format!("{}\n    {excerpt}\n", line.trim_end()),
    }
}

/// Text from a receiver, without what a terminal would take for more than text.
fn plain(text: &str) -> String {
    text.chars().flat_map(char::escape_default).collect()
}

pub(super) fn receiver(out: Out, receiver: &Value) -> Result<(), Failure> {
    out.show(receiver, || {
        fields(&[
            ("receiver", text_at(receiver, "/key")),
            ("app", text_at(receiver, "/app")),
            ("origin", text_at(receiver, "/origin")),
            ("held since", text_at(receiver, "/heldAt")),
            ("rate", text_at(receiver, "/rate")),
            ("waiting", text_at(receiver, "/waiting")),
            ("dead", text_at(receiver, "/dead")),
            ("breaker", text_at(receiver, "/state/breaker")),
            ("failures in a row", text_at(receiver, "/state/failuresInRow")),
            ("next probe", text_at(receiver, "/state/nextProbeAt")),
            ("paused until", text_at(receiver, "/state/pausedUntil")),
            ("in flight", text_at(receiver, "/state/inFlight")),
            ("at once", text_at(receiver, "/state/limit")),
        ])
    })
}

pub(super) fn receivers(out: Out, list: &Value) -> Result<(), Failure> {
    out.show(list, || {
        let columns = [
            "/key",
            "/app",
            "/origin",
            "/heldAt",
            "/rate",
            "/waiting",
            "/dead",
            "/state/breaker",
            "/state/inFlight",
            "/state/limit",
        ];
        let rows: Vec<_> = members(list, "receivers")
            .iter()
            .map(|receiver| columns.map(|member| text_at(receiver, member)))
            .collect();
        let head = [
            "KEY",
            "APP",
            "RECEIVER",
            "HELD SINCE",
            "RATE",
            "WAITING",
            "DEAD",
            "BREAKER",
            "IN FLIGHT",
            "AT ONCE",
        ];
        table(head, &rows)
    })
}

/// How a test went; the run fails if the receiver did not accept it.
pub(super) fn test(out: Out, tried: &Value) -> Result<(), Failure> {
    out.show(tried, || attempt(tried))?;
    let status = tried.get("status").and_then(Value::as_u64);
    match (text_at(tried, "/outcome").as_str(), status) {
        ("accepted", _) | ("status", Some(200..=299)) => Ok(()),
        _ => Err(Failure::Failed("the receiver did not accept it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_receiver_said_cannot_steer_the_terminal() {
        let tried = json!({"at": "t", "tookMs": 3, "outcome": "status", "phase": "body", "status": 500,
            "detail": "", "excerpt": "a\u{1b}[2Jb\nc"});
        let shown = attempt(&tried);
        assert_eq!(shown.matches('\n').count(), 2);
        assert!(
            shown.contains("a\\u{1b}[2Jb\\nc") && !shown.contains('\u{1b}'),
            "{shown}"
        );
    }
}
