//! The hand-written table of the life cycle (`golden/lifecycle.txt`) against the code: every kind of state times every
//! input, and the next deadline of each.

#[path = "golden/table.rs"]
mod table;

use std::collections::BTreeSet;

use downlink_core::Mode;
use downlink_core::Policy;
use downlink_core::lifecycle::{Amendable, Flight, Input, Progress, Sent, State, deadline, step};
use table::{Answer, Block, Given, INPUTS, NOW, Row};

const TABLE: &str = include_str!("golden/lifecycle.txt");

#[test]
fn every_row_holds() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for block in &table::read(TABLE) {
        assert!(!block.givens.is_empty(), "nothing given: {}", block.title);
        for (given, row) in pairs(block) {
            rows += 1;
            let (expected, is) = (row.answer(given), answer_of(given, row));
            if expected != is {
                let from = given.progress;
                wrong.push(format!(
                    "line {}: {} at {from:?}\n  table: {expected:?}\n  code:  {is:?}",
                    row.line, row.input
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_given_has_its_next_deadline() {
    for block in &table::read(TABLE) {
        for given in &block.givens {
            let is = deadline(&given.progress, &given.policy);
            assert_eq!(is, given.next, "{}: {:?}", block.title, given.progress);
        }
    }
}

#[test]
fn every_block_names_every_input_once() {
    let all: BTreeSet<&str> = INPUTS.into_iter().collect();
    for block in &table::read(TABLE) {
        let mut named = BTreeSet::new();
        for row in &block.rows {
            assert!(
                named.insert(row.input.as_str()),
                "line {}: {} again",
                row.line,
                row.input
            );
        }
        assert!(
            block.part || named == all,
            "{}: no row for {:?}",
            block.title,
            all.difference(&named)
        );
    }
}

/// [`INPUTS`] leaves out no input there is: a new one does not compile here until it gets a word and rows.
#[test]
fn every_input_has_a_word() {
    let word = |input: &Input| match input {
        Input::Send(_) => "send",
        Input::Acked => "acked",
        Input::Replied(_) => "reply",
        Input::Unsendable(_) => "unsendable",
        Input::SessionLost { .. } => "lost",
        Input::GaveUp { .. } => "gave-up",
        Input::AckDeadline => "ack-deadline",
        Input::LifetimeEnded => "lifetime-deadline",
        Input::ResponseDeadline => "response-deadline",
        Input::SlotDeadline => "slot-deadline",
        Input::Cancel(_) => "cancel",
    };
    let words: BTreeSet<&str> = table::read(TABLE)
        .iter()
        .flat_map(|block| &block.rows)
        .map(|row| word(&row.input()))
        .collect();
    assert_eq!(words.len(), 11, "{words:?}");
}

#[test]
fn every_circumstance_has_a_block() {
    let blocks = table::read(TABLE);
    let whole = blocks.iter().filter(|block| !block.part);
    let have: BTreeSet<String> = whole
        .flat_map(|block| &block.givens)
        .map(|given| circumstance(&given.progress, &given.policy))
        .collect();
    let need = circumstances();
    let missing: Vec<_> = need.difference(&have).collect();
    let unknown: Vec<_> = have.difference(&need).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}

#[test]
fn what_people_read_is_kept() {
    for block in &table::read(TABLE) {
        for (given, row) in pairs(block) {
            let Ok(transition) = step(&given.progress, row.input(), NOW, &given.policy) else {
                continue;
            };
            assert!(
                transition.events.iter().all(|event| event.at == NOW),
                "line {}",
                row.line
            );
            let detail = transition.events.last().map(|event| event.detail.as_str());
            let expected = match row.input() {
                Input::Unsendable(why) | Input::Cancel(why) => Some(why),
                Input::Replied(reply) => {
                    assert_eq!(transition.result, reply.body, "line {}", row.line);
                    Some(reply.detail)
                }
                Input::Send(_)
                | Input::Acked
                | Input::SessionLost { .. }
                | Input::GaveUp { .. }
                | Input::AckDeadline
                | Input::LifetimeEnded
                | Input::ResponseDeadline
                | Input::SlotDeadline => continue,
            };
            assert_eq!(detail, expected.as_deref(), "line {}: {}", row.line, row.input);
        }
    }
}

fn pairs(block: &Block) -> impl Iterator<Item = (&Given, &Row)> {
    block
        .givens
        .iter()
        .flat_map(|given| block.rows.iter().map(move |row| (given, row)))
}

fn answer_of(given: &Given, row: &Row) -> Answer {
    match step(&given.progress, row.input(), NOW, &given.policy) {
        Err(refusal) => Answer::Refused(refusal),
        Ok(transition) => Answer::Changes {
            state: transition.state,
            says: transition.events.iter().map(|event| event.status).collect(),
            proof: transition.proves_delivery,
            result: transition.result.is_some(),
        },
    }
}

/// The circumstances that the rules tell apart, as words.
fn circumstances() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for mode in ["running", "over", "immediate"] {
        for state in ["pending", "successful", "failed by device"] {
            all.insert(format!("{state}, {mode}"));
        }
        for due in ["ahead", "reached"] {
            for sends in ["below", "at limit"] {
                // An immediate command has no limit of sends but the one.
                if mode != "immediate" || sends == "below" {
                    all.insert(format!("ack, {mode}, {sends}, {due}"));
                    all.insert(format!("lost, {mode}, {sends}, {due}"));
                }
            }
            for slot in ["no slot", "slot ahead", "slot reached"] {
                // An immediate command passes by the queue.
                if mode != "immediate" || slot == "no slot" {
                    all.insert(format!("result, {mode}, {slot}, {due}"));
                }
            }
        }
        for response in ["ahead", "reached", "none"] {
            all.insert(format!("delivered, {mode}, {response}"));
        }
    }
    for acked in ["acked", "not acked"] {
        for window in ["open", "over"] {
            all.insert(format!("failed by transport, {acked}, {window}"));
            all.insert(format!("timed out, {acked}, {window}"));
        }
    }
    all.extend(["expired".to_owned(), "canceled".to_owned()]);
    all
}

/// Which of [`circumstances`] this is.
fn circumstance(progress: &Progress, policy: &Policy) -> String {
    let mode = match progress.mode {
        Mode::Immediate => "immediate",
        Mode::Cached { expires_at } if NOW >= expires_at => "over",
        Mode::Cached { .. } => "running",
    };
    match progress.state {
        State::Pending => format!("pending, {mode}"),
        State::Sent(sent) => of_sent(sent, mode, policy),
        State::Delivered { response_due: None } => format!("delivered, {mode}, none"),
        State::Delivered {
            response_due: Some(due),
        } => format!("delivered, {mode}, {}", reached(policy, due)),
        State::Successful => format!("successful, {mode}"),
        State::FailedByDevice => format!("failed by device, {mode}"),
        State::FailedByTransport(amendable) => format!("failed by transport, {}", window(amendable)),
        State::TimedOut(amendable) => format!("timed out, {}", window(amendable)),
        State::Expired => "expired".to_owned(),
        State::Canceled => "canceled".to_owned(),
    }
}

fn of_sent(sent: Sent, mode: &str, policy: &Policy) -> String {
    let sends = if sent.sends < policy.max_sends {
        "below"
    } else {
        "at limit"
    };
    match sent.flight {
        Flight::AwaitingAck { due, .. } => format!("ack, {mode}, {sends}, {}", reached(policy, due)),
        Flight::Lost { due } => format!("lost, {mode}, {sends}, {}", reached(policy, due)),
        Flight::AwaitingResult { due, slot_until, .. } => {
            let slot = match slot_until {
                None => "no slot",
                Some(until) if NOW >= until => "slot reached",
                Some(_) => "slot ahead",
            };
            format!("result, {mode}, {slot}, {}", reached(policy, due))
        }
    }
}

/// Counted here once more, on purpose: the table must not lean on the code's own notion of what is due.
fn reached(policy: &Policy, due: downlink_core::Timestamp) -> &'static str {
    let graced = policy.up_since.as_millis() + policy.restart_grace.as_millis();
    let falls = if due < policy.up_since {
        graced
    } else {
        due.as_millis()
    };
    if NOW.as_millis() >= falls {
        "reached"
    } else {
        "ahead"
    }
}

fn window(amendable: Amendable) -> String {
    let acked = if amendable.acked { "acked" } else { "not acked" };
    let window = if NOW > amendable.until { "over" } else { "open" };
    format!("{acked}, {window}")
}
