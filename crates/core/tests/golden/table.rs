//! Reads `lifecycle.txt`: its shorthand into the types of the life cycle. What the shorthand means is said at the head
//! of that file. A line that cannot be read is a panic with its number: the table is part of the test.

use std::str::FromStr;

use downlink_core::lifecycle::{
    Amendable, Deadline, DeadlineKind, Flight, Input, Progress, Refusal, Reply, Sent, State,
};
use downlink_core::{Mode, Offer, Policy, Proof, ResponseRule, SessionId, Span, Status, Timestamp};

/// The instant that the table calls `+0`.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Everything that an input of the table can be, spelled out.
pub(crate) const INPUTS: [&str; 27] = [
    "send ack s6",
    "send ack s7",
    "send ack s8",
    "send qos0 s6",
    "send qos0 s7",
    "send qos0 s8",
    "acked",
    "reply ok",
    "reply error",
    "unsendable",
    "lost s6 written",
    "lost s7 written",
    "lost s8 written",
    "lost s6 unwritten",
    "lost s7 unwritten",
    "lost s8 unwritten",
    "gave-up s6 sent",
    "gave-up s7 sent",
    "gave-up s8 sent",
    "gave-up s6 unsent",
    "gave-up s7 unsent",
    "gave-up s8 unsent",
    "ack-deadline",
    "lifetime-deadline",
    "response-deadline",
    "slot-deadline",
    "cancel",
];

/// A heading, its starting points, and the rows that hold for each of them.
#[derive(Debug)]
pub(crate) struct Block {
    /// The heading.
    pub(crate) title: String,
    /// The starting points.
    pub(crate) givens: Vec<Given>,
    /// Input and answer, one input each.
    pub(crate) rows: Vec<Row>,
    /// It does not claim to name every input.
    pub(crate) part: bool,
}

/// A starting point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    /// Where the command stands.
    pub(crate) progress: Progress,
    /// The policy, which knows since when the server is up.
    pub(crate) policy: Policy,
    /// The deadline that the table expects.
    pub(crate) next: Option<Deadline>,
}

/// One input and what the table expects of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The line in the file, from 1.
    pub(crate) line: usize,
    /// One of [`INPUTS`].
    pub(crate) input: String,
    answer: String,
}

/// What the table expects of one input at one starting point.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing changes.
    Refused(Refusal),
    /// The command moves on.
    Changes {
        /// To here.
        state: State,
        /// With these events.
        says: Vec<Status>,
        /// First proof of delivery.
        proof: bool,
        /// The result is stored.
        result: bool,
    },
}

/// The table's policy: every wait is different, so that one cannot pass for another.
pub(crate) fn policy(up_since: Timestamp) -> Policy {
    Policy {
        max_sends: 5,
        ack_wait: Span::from_secs(30),
        slot_wait: Span::from_secs(20),
        late_window: Span::from_secs(1000),
        up_since,
        restart_grace: Span::from_secs(60),
    }
}

/// All blocks of the file's text.
pub(crate) fn read(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            blocks.push(Block {
                title: title.to_owned(),
                givens: Vec::new(),
                rows: Vec::new(),
                part: false,
            });
            continue;
        }
        let block = blocks
            .last_mut()
            .unwrap_or_else(|| panic!("line {number}: before any heading"));
        if line == "part" {
            block.part = true;
        } else if let Some(given) = line.strip_prefix("given ") {
            block.givens.push(read_given(given, number));
        } else {
            block.rows.extend(read_rows(line, number));
        }
    }
    blocks
}

fn read_given(text: &str, line: usize) -> Given {
    let (start, next) = text
        .split_once(" ; next ")
        .unwrap_or_else(|| panic!("line {line}: no `; next`"));
    let (start, up_since) = match start.split_once(" up(") {
        Some((start, up)) => (start, instant(up.trim_end_matches(')'), None)),
        None => (start, instant("-36000", None)),
    };
    let (start, quiet) = match start.strip_suffix(" quiet") {
        Some(start) => (start, true),
        None => (start, false),
    };
    let (state_text, mode_text) = start
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("line {line}: no mode"));
    let (word, args) = call(mode_text);
    let mode = match (word, args.as_slice()) {
        ("imm", []) => Mode::Immediate,
        ("cached", [end]) => Mode::Cached {
            expires_at: instant(end, None),
        },
        (_, _) => panic!("line {line}: no mode: {mode_text}"),
    };
    let response = if quiet {
        ResponseRule::None
    } else {
        ResponseRule::Expected {
            within: Span::from_secs(300),
        }
    };
    Given {
        progress: Progress {
            state: state(state_text, None, None),
            mode,
            response,
        },
        policy: policy(up_since),
        next: read_next(next),
    }
}

fn read_next(text: &str) -> Option<Deadline> {
    let (word, args) = call(text);
    let at = match (word, args.as_slice()) {
        ("none", []) => return None,
        (_, [at]) => instant(at, None),
        (_, _) => panic!("no deadline: {text}"),
    };
    let kind = match word {
        "ack" => DeadlineKind::Ack,
        "lifetime" => DeadlineKind::Lifetime,
        "response" => DeadlineKind::Response,
        "slot" => DeadlineKind::Slot,
        other => panic!("no deadline: {other}"),
    };
    Some(Deadline { at, kind })
}

fn read_rows(line: &str, number: usize) -> Vec<Row> {
    let (inputs, answer) = line
        .split_once("->")
        .unwrap_or_else(|| panic!("line {number}: neither heading, given nor row: {line}"));
    let row = |input: String| {
        assert!(
            INPUTS.contains(&input.as_str()),
            "line {number}: no such input: {input}"
        );
        Row {
            line: number,
            input,
            answer: answer.trim().to_owned(),
        }
    };
    inputs
        .split(',')
        .map(str::trim)
        .flat_map(|input| match input.contains("s*") {
            true => ["s6", "s7", "s8"].map(|s| input.replace("s*", s)).to_vec(),
            false => vec![input.to_owned()],
        })
        .map(row)
        .collect()
}

impl Row {
    /// The input itself.
    pub(crate) fn input(&self) -> Input {
        let words: Vec<&str> = self.input.split(' ').collect();
        match words.as_slice() {
            ["send", proof, session] => Input::Send(Offer {
                session: session_id(session),
                proof: match *proof {
                    "ack" => Proof::Ack,
                    _ => Proof::ResultOnly,
                },
                needs_mid: true,
                ack_wait: None,
            }),
            ["acked"] => Input::Acked,
            ["reply", word] => Input::Replied(Reply {
                ok: *word == "ok",
                body: Some("{\"a\":1}".to_owned()),
                detail: "the device's code".to_owned(),
            }),
            ["unsendable"] => Input::Unsendable("the encoder gave nothing".to_owned()),
            ["lost", session, word] => Input::SessionLost {
                session: session_id(session),
                written: *word == "written",
            },
            ["gave-up", session, word] => Input::GaveUp {
                session: session_id(session),
                sent: *word == "sent",
            },
            ["ack-deadline"] => Input::AckDeadline,
            ["lifetime-deadline"] => Input::LifetimeEnded,
            ["response-deadline"] => Input::ResponseDeadline,
            ["slot-deadline"] => Input::SlotDeadline,
            ["cancel"] => Input::Cancel("request 1".to_owned()),
            _ => panic!("line {}: no such input", self.line),
        }
    }

    /// What the table expects of it at `given`.
    pub(crate) fn answer(&self, given: &Given) -> Answer {
        if let Some(reason) = self.answer.strip_prefix("refused ") {
            return Answer::Refused(refusal(reason));
        }
        let mut parts = self.answer.split(';').map(str::trim);
        let next = parts.next().unwrap_or_default();
        let offered = self
            .input
            .split(' ')
            .find(|word| word.starts_with('s') && word.len() == 2);
        let next = next.replace('@', offered.unwrap_or("@"));
        let mut answer = (Vec::new(), false, false);
        let mut spoken = false;
        for part in parts {
            match part {
                "silent" => spoken = true,
                "proof" => answer.1 = true,
                "result" => answer.2 = true,
                says => {
                    let words = says
                        .strip_prefix("says ")
                        .unwrap_or_else(|| panic!("line {}: {says}", self.line));
                    answer.0 = words
                        .split(' ')
                        .map(|word| Status::from_str(word).expect("a status"))
                        .collect();
                    spoken = true;
                }
            }
        }
        assert!(spoken, "line {}: neither silent nor says", self.line);
        Answer::Changes {
            state: state(&next, Some(given), Some(self.line)),
            says: answer.0,
            proof: answer.1,
            result: answer.2,
        }
    }
}

/// A state in shorthand; `from` is what `=`, `+1` and `-1` refer to.
fn state(text: &str, from: Option<&Given>, line: Option<usize>) -> State {
    let from = from.map(|given| given.progress.state);
    let old = from.and_then(instant_of);
    let (first, flight) = text.split_once(' ').unwrap_or((text, ""));
    let (word, args) = call(first);
    match (word, args.as_slice()) {
        ("PENDING", []) => State::Pending,
        ("SENT", [sends]) => State::Sent(Sent {
            sends: count(sends, from),
            flight: read_flight(flight, old),
        }),
        ("DELIVERED", ["end"]) => State::Delivered { response_due: None },
        ("DELIVERED", [due]) => State::Delivered {
            response_due: Some(instant(due, old)),
        },
        ("SUCCESSFUL", []) => State::Successful,
        ("FAILED", ["device"]) => State::FailedByDevice,
        ("FAILED", [until, acked @ ..]) => State::FailedByTransport(amendable(until, acked, old)),
        ("TIMEOUT", [until, acked @ ..]) => State::TimedOut(amendable(until, acked, old)),
        ("EXPIRED", []) => State::Expired,
        ("CANCELED", []) => State::Canceled,
        (_, _) => panic!("line {line:?}: no state: {text}"),
    }
}

fn read_flight(text: &str, old: Option<Timestamp>) -> Flight {
    let (word, args) = call(text);
    match (word, args.as_slice()) {
        ("ack", [session, due]) => Flight::AwaitingAck {
            session: session_id(session),
            due: instant(due, old),
        },
        ("result", [session, due, slot]) => Flight::AwaitingResult {
            session: session_id(session),
            due: instant(due, old),
            slot_until: slot.strip_prefix("slot").map(|until| instant(until, None)),
        },
        ("lost", [due]) => Flight::Lost {
            due: instant(due, old),
        },
        (_, _) => panic!("no flight: {text}"),
    }
}

fn amendable(until: &str, acked: &[&str], old: Option<Timestamp>) -> Amendable {
    Amendable {
        until: instant(until, old),
        acked: match acked {
            [] => false,
            ["acked"] => true,
            other => panic!("neither acked nor nothing: {other:?}"),
        },
    }
}

/// The instant that `=` means.
fn instant_of(state: State) -> Option<Timestamp> {
    match state {
        State::Sent(sent) => Some(match sent.flight {
            Flight::AwaitingAck { due, .. } | Flight::AwaitingResult { due, .. } | Flight::Lost { due } => {
                due
            }
        }),
        State::Delivered { response_due } => response_due,
        State::FailedByTransport(amendable) | State::TimedOut(amendable) => Some(amendable.until),
        State::Pending | State::Successful | State::FailedByDevice | State::Expired | State::Canceled => None,
    }
}

fn count(text: &str, from: Option<State>) -> u8 {
    let old = match from {
        Some(State::Sent(sent)) => Some(sent.sends),
        _ => None,
    };
    match (text, old) {
        ("=", Some(old)) => old,
        ("+1", Some(old)) => old + 1,
        ("-1", Some(old)) => old - 1,
        (plain, _) => plain.parse().unwrap_or_else(|_| panic!("no count: {plain}")),
    }
}

fn instant(text: &str, old: Option<Timestamp>) -> Timestamp {
    if let ("=", Some(old)) = (text, old) {
        return old;
    }
    let secs: i64 = text.parse().unwrap_or_else(|_| panic!("no instant: {text}"));
    Timestamp::from_millis(NOW.as_millis() + secs * 1000)
}

fn session_id(text: &str) -> SessionId {
    let number = text.strip_prefix('s').and_then(|n| n.parse().ok());
    SessionId(number.unwrap_or_else(|| panic!("no session: {text}")))
}

fn refusal(text: &str) -> Refusal {
    match text {
        "Duplicate" => Refusal::Duplicate,
        "Stray" => Refusal::Stray,
        "TooLate" => Refusal::TooLate,
        "NotSendable" => Refusal::NotSendable,
        "NotCancelable" => Refusal::NotCancelable,
        "NotDue" => Refusal::NotDue,
        "Unaffected" => Refusal::Unaffected,
        other => panic!("no refusal: {other}"),
    }
}

/// `word(a,b)` as the word and its arguments; `word` has none.
fn call(text: &str) -> (&str, Vec<&str>) {
    match text.trim().split_once('(') {
        Some((word, args)) => (word, args.trim_end_matches(')').split(',').collect()),
        None => (text.trim(), Vec::new()),
    }
}
