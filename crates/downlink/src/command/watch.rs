//! Following one command by asking again: soon after a change, more seldom while nothing happens.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::Northbound;
use crate::failure::Failure;
use crate::output::{Out, note, text_at};

/// The pause after a change; it doubles up to `--interval` while nothing happens.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long, how often, and until what a command is followed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Follow {
    /// What it is followed to
    #[arg(long, value_enum, value_name = "STATUS", default_value_t)]
    to: Goal,
    /// Seconds until it is given up (exit code 4)
    #[arg(long, value_name = "SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Milliseconds between two questions at the most
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    interval: u64,
}

/// What a command is followed to. One that went further has been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Goal {
    /// It has left
    Sent,
    /// Its device has got it
    Delivered,
    /// It has ended (SUCCESSFUL, else exit code 1)
    #[default]
    End,
}

/// Where a command stands, measured by what it is followed to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    /// It ended with this status, short of the goal.
    Ended(String),
    Open,
}

pub(super) async fn run(server: &mut Northbound, out: Out, id: &str, follow: &Follow) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(follow.timeout);
    let longest = Duration::from_millis(follow.interval);
    let mut answer = server.show_command(id).await?;
    let (mut told, mut pause) = (0, FIRST_PAUSE);
    loop {
        let seen = tell_new(out, id, &answer, told)?;
        pause = if seen > told { FIRST_PAUSE } else { pause * 2 }.min(longest);
        told = seen;
        match judge(events(&answer), follow.to) {
            Verdict::Reached => return Ok(()),
            Verdict::Ended(status) => return Err(Failure::Failed(format!("command {id} ended {status}"))),
            Verdict::Open => {}
        }
        answer = next_answer(server, id, deadline, pause).await?;
    }
}

/// Asks again after the pause, and goes on asking while the server is away (it may be starting again).
async fn next_answer(
    server: &mut Northbound,
    id: &str,
    deadline: Instant,
    pause: Duration,
) -> Result<Value, Failure> {
    let mut away = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::TimedOut(format!(
                "command {id} has not come that far in time"
            )));
        }
        sleep(pause.min(left)).await;
        match server.show_command(id).await {
            Err(failure @ (Failure::Unreachable(_) | Failure::TimedOut(_))) => {
                if Instant::now() >= deadline {
                    return Err(failure);
                }
                if !away {
                    note(&format!("downlink: {failure}; asking again"));
                }
                away = true;
            }
            outcome => return outcome,
        }
    }
}

/// Shows the events beyond `told` and returns the last one's sequence number.
fn tell_new(out: Out, id: &str, answer: &Value, mut told: u64) -> Result<u64, Failure> {
    for event in events(answer) {
        let seq = event.get("seq").and_then(Value::as_u64).unwrap_or(0);
        if seq <= told {
            continue;
        }
        let text = |member| text_at(event, member);
        let document = json!({
            "commandId": id, "seq": seq, "status": text("/status"), "at": text("/at"), "detail": text("/detail"),
        });
        out.show(&document, || {
            format!("{}  {:<10}  {}", text("/at"), text("/status"), text("/detail"))
        })?;
        told = seq;
    }
    Ok(told)
}

/// The events of an answer, in order.
pub(super) fn events(answer: &Value) -> &[Value] {
    answer
        .get("events")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn judge(events: &[Value], goal: Goal) -> Verdict {
    let statuses: Vec<_> = events.iter().map(|event| text_at(event, "/status")).collect();
    let enough: &[&str] = match goal {
        Goal::Sent => &["SENT", "DELIVERED", "SUCCESSFUL"],
        Goal::Delivered => &["DELIVERED", "SUCCESSFUL"],
        Goal::End => &["SUCCESSFUL"],
    };
    if statuses.iter().any(|status| enough.contains(&status.as_str())) {
        return Verdict::Reached;
    }
    match statuses.last() {
        Some(last) if ["FAILED", "TIMEOUT", "EXPIRED", "CANCELED"].contains(&last.as_str()) => {
            Verdict::Ended(last.clone())
        }
        Some(_) | None => Verdict::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(statuses: &[&str], goal: Goal) -> Verdict {
        let events: Vec<_> = statuses.iter().map(|status| json!({"status": status})).collect();
        judge(&events, goal)
    }

    #[test]
    fn a_command_is_followed_to_its_goal_or_its_end() {
        assert_eq!(verdict(&["PENDING"], Goal::Sent), Verdict::Open);
        assert_eq!(verdict(&["PENDING", "SENT"], Goal::Sent), Verdict::Reached);
        assert_eq!(verdict(&["PENDING", "SENT"], Goal::Delivered), Verdict::Open);
        assert_eq!(
            verdict(&["SENT", "DELIVERED", "FAILED"], Goal::Delivered),
            Verdict::Reached
        );
        assert_eq!(verdict(&["SENT", "DELIVERED"], Goal::End), Verdict::Open);
        assert_eq!(
            verdict(&["SENT", "DELIVERED", "SUCCESSFUL"], Goal::End),
            Verdict::Reached
        );
        assert_eq!(
            verdict(&["PENDING", "EXPIRED"], Goal::Sent),
            Verdict::Ended("EXPIRED".into())
        );
        // The device's own result amends a TIMEOUT.
        assert_eq!(
            verdict(&["SENT", "TIMEOUT", "SUCCESSFUL"], Goal::End),
            Verdict::Reached
        );
    }
}
