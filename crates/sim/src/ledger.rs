//! What the world knows of each command, and the promises it holds the server to.
//!
//! The promises, in words:
//! 1. A command that was answered 201 is there ever after.
//! 2. It ends in exactly one final status (TIMEOUT and FAILED may be amended once by the device's own word), and is told.
//! 3. What is told of it comes in order: the next only after the one before was accepted; under one id always the same.
//! 4. What its record says and what was told are the same.
//! 5. SENT was to a device that had been there; DELIVERED has the device's acknowledgement or answer; SUCCESSFUL its answer; an answer that
//!    was acknowledged counts.
//! 6. Ids are never given twice; a repeated call with one key makes one command; who answers for another changes nothing.
//! 7. What is CANCELED or EXPIRED never reached the device. What is immediate, or goes out over QoS 0, reaches it once.
//! 8. All ends in bounded time once nothing is in the way, whatever was before; and not before its time, which a restart puts
//!    off as [`crate::lives`] says.

pub mod cancel_tasks;
pub mod feed;
pub mod notices;
pub mod operator;
pub mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::cancel_tasks::CancelTasks;
use self::feed::Feed;
use self::notices::Notices;
use self::operator::{Ask, Operator};
use self::tasks::Tasks;
use crate::lives::Lives;

/// What is known of one command, by the number in it.
#[derive(Debug, Default, Clone)]
pub struct Entry {
    /// When it was first asked for, as the world orders things.
    pub asked: u64,
    /// For which device.
    pub device: usize,
    /// Whether it sleeps, over LwM2M.
    pub sleeper: bool,
    /// Whether a send over its connection is repeated at all.
    pub once: bool,
    /// Seconds after which it is not sent any more, as the call said; 0: it is immediate, or made by a task.
    pub expires: u64,
    /// Whether it waits for its device: for as long as the call says, or until the time of its task is over.
    pub cached: bool,
    /// The receiver that is told of it.
    pub receiver: u64,
    /// Whether its device acknowledges what it takes.
    pub acknowledges: bool,
    /// The id it was given; none: nobody was told.
    pub id: Option<String>,
    /// Arrivals at the device.
    pub received: u32,
    /// The device acknowledged it.
    pub acked: bool,
    /// The device answered that it worked.
    pub succeeded: bool,
    /// The device answered that it did not, or refused it.
    pub failed: bool,
    /// The server acknowledged an answer of the device.
    pub confirmed: bool,
}

/// What was told of a command.
#[derive(Debug, Default)]
struct Told {
    bodies: BTreeMap<u32, (String, String)>,
    accepted: BTreeSet<u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By their numbers.
    pub entries: Vec<Entry>,
    /// Devices that had a session, once.
    pub there: BTreeSet<usize>,
    told: BTreeMap<String, Told>,
    ids: BTreeMap<String, u64>,
    /// When the server was up.
    pub lives: Lives,
    /// What is known of reports and devices.
    pub notices: Notices,
    /// What was read of the feed.
    pub feed: Feed,
    /// What the operator asked for.
    pub operator: Operator,
    /// What is known of batch tasks.
    pub tasks: Tasks,
    /// What is known of cancel tasks.
    pub cancel_tasks: CancelTasks,
    /// What was broken.
    pub violations: Vec<String>,
}

const FINAL: [&str; 5] = ["SUCCESSFUL", "FAILED", "TIMEOUT", "EXPIRED", "CANCELED"];

impl Ledger {
    fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A create call was answered 201 with this id.
    pub fn created(&mut self, number: u64, id: &str) {
        if let Some(&other) = self.ids.get(id)
            && other != number
        {
            self.violated(format!("6: the id {id} was given to {other} and to {number}"));
        }
        self.ids.insert(id.to_owned(), number);
        let entry = entry(&mut self.entries, number);
        if let Some(before) = entry.id.replace(id.to_owned())
            && before != id
        {
            self.violated(format!("6: the one call {number} made {before} and {id}"));
        }
    }

    /// A push arrived at this receiver. Gives what its id is made of: the command's and its place there, or a notice's.
    pub fn pushed(&mut self, receiver: usize, webhook_id: &str, body: &[u8]) -> Option<(String, u32)> {
        let (id, seq) = webhook_id.rsplit_once('-')?;
        let seq: u32 = seq.parse().ok()?;
        self.operator.arrived(receiver, webhook_id);
        self.notices.tried(webhook_id);
        let text = String::from_utf8_lossy(body).into_owned();
        if !is_of_command(id) {
            self.notices.pushed(receiver, webhook_id, &text);
            return Some((id.to_owned(), seq));
        }
        let status = status_of(&text);
        let told = self.told.entry(id.to_owned()).or_default();
        if let Some((known, _)) = told.bodies.get(&seq) {
            if *known != text {
                self.violations
                    .push(format!("3: under {webhook_id} came {known}, and then {text}"));
            }
            return Some((id.to_owned(), seq));
        }
        // The first event, PENDING, is not told.
        let before = seq - 1;
        if before > 1 && !told.accepted.contains(&before) {
            self.violations
                .push(format!("3: {webhook_id} came before {id}-{before} was accepted"));
        }
        told.bodies.insert(seq, (text, status));
        Some((id.to_owned(), seq))
    }

    /// Its receiver accepted it.
    pub fn accepted(&mut self, id: &str, seq: u32) {
        self.operator.ended(id, seq);
        self.is_out_of_the_way(id, seq);
    }

    /// What comes after it may come.
    fn is_out_of_the_way(&mut self, id: &str, seq: u32) {
        if !is_of_command(id) {
            self.notices.accepted(&format!("{id}-{seq}"));
            return;
        }
        self.told.entry(id.to_owned()).or_default().accepted.insert(seq);
    }

    /// Its receiver wants it no more: the next one comes as if it had accepted it.
    pub fn refused(&mut self, id: &str, seq: u32) {
        self.notices.refused(&format!("{id}-{seq}"));
        self.accepted(id, seq);
    }

    /// The operator's request arrives at the server.
    pub fn operator_asks(&mut self, ask: &Ask) {
        self.operator.asks(ask);
        if let Ask::Drop(webhook_id) = ask
            && let Some((id, seq)) = webhook_id.rsplit_once('-')
            && let Ok(seq) = seq.parse()
        {
            self.is_out_of_the_way(id, seq);
        }
    }

    /// Whether it is known what is not told if this push is dropped.
    pub fn may_be_dropped(&self, webhook_id: &str) -> bool {
        let of_command = webhook_id
            .rsplit_once('-')
            .is_some_and(|(id, _)| is_of_command(id));
        of_command || self.notices.arrived(webhook_id)
    }

    /// The status of a command as it was told last; PENDING if nothing was.
    pub fn status(&self, number: u64) -> &str {
        let place = usize::try_from(number).unwrap_or(0);
        let id = self.entries.get(place).and_then(|entry| entry.id.as_deref());
        let told = id.and_then(|id| self.told.get(id));
        let last = told.and_then(|told| told.bodies.last_key_value());
        last.map_or("PENDING", |(_, (_, status))| status)
    }

    /// The application read a command that it knows of.
    pub fn read(&mut self, id: &str, status: u16) {
        if status == 404 {
            self.violated(format!("1: {id} was answered 201 and is not there any more"));
        }
    }

    /// The changes that were told, of commands that are known and others.
    pub fn told(&self) -> BTreeSet<(String, u32)> {
        let of = |(id, told): (&String, &Told)| -> Vec<(String, u32)> {
            told.bodies.keys().map(|seq| (id.clone(), *seq)).collect()
        };
        self.told.iter().flat_map(of).collect()
    }

    /// What was broken, here and in the parts.
    pub fn all_violations(&mut self) -> Vec<String> {
        let mut all = std::mem::take(&mut self.violations);
        all.append(&mut self.notices.violations);
        all.append(&mut self.operator.violations);
        all.append(&mut self.tasks.violations);
        all.append(&mut self.cancel_tasks.violations);
        all.append(&mut self.feed.violations);
        all
    }

    /// Whether all that the record says was told and accepted. `record`: as the server has it.
    pub fn is_told(&self, id: &str, record: &Value) -> bool {
        let events = events(record);
        let accepted = |seq: u32| self.told.get(id).is_some_and(|told| told.accepted.contains(&seq));
        let whole = self.operator.is_whole(id, &events);
        events.iter().all(|(seq, _)| *seq == 1 || accepted(*seq)) && whole && is_over(record)
    }

    /// In which statuses the grace after a start helped a command.
    pub fn graced(&self, number: u64, record: &Value) -> Vec<String> {
        let entry = self.entries.get(usize::try_from(number).unwrap_or(0));
        entry.map_or_else(Vec::new, |entry| self.lives.graced(entry, record))
    }

    /// Checks a command at the end of the run.
    pub fn check(&mut self, number: u64, record: &Value) {
        let place = usize::try_from(number).unwrap_or(0);
        let Some(entry) = self.entries.get(place).cloned() else {
            return;
        };
        let Some(id) = entry.id.clone() else { return };
        let events = events(record);
        let path: Vec<&str> = events.iter().map(|(_, status)| status.as_str()).collect();
        let mut broken = Vec::new();
        if !is_legal(&path) {
            broken.push(format!("2: {id} went {path:?}"));
        }
        if !is_over(record) {
            broken.push(format!("8: {id} has not ended: {path:?}"));
        }
        let told: Vec<(u32, String)> = match self.told.get(&id) {
            None => Vec::new(),
            Some(told) => told
                .bodies
                .iter()
                .map(|(seq, (_, status))| (*seq, status.clone()))
                .collect(),
        };
        self.operator.check(&id, &events);
        let dropped =
            |seq: u32| self.operator.may_be_missing(&id, seq) && told.iter().all(|(other, _)| *other != seq);
        let recorded: Vec<(u32, String)> = events
            .iter()
            .filter(|(seq, _)| *seq > 1 && !dropped(*seq))
            .cloned()
            .collect();
        if told != recorded {
            broken.push(format!(
                "4: of {id} is recorded {recorded:?}, and was told {told:?}"
            ));
        }
        let went = |status: &str| path.contains(&status);
        if went("SENT") && !self.there.contains(&entry.device) {
            broken.push(format!("5: {id} is SENT, and its device was never there"));
        }
        if went("DELIVERED") && !(entry.acked || entry.succeeded || entry.failed) {
            broken.push(format!("5: {id} is DELIVERED, and its device said nothing"));
        }
        if went("SUCCESSFUL") && !entry.succeeded {
            broken.push(format!("5: {id} is SUCCESSFUL, and its device did not say so"));
        }
        if went("FAILED") && !entry.failed && !entry.sleeper {
            broken.push(format!("5: {id} is FAILED, and its device did not say so"));
        }
        if entry.confirmed && !went("SUCCESSFUL") && !went("FAILED") {
            broken.push(format!(
                "5: {id} is {path:?}, and an answer of its device was acknowledged"
            ));
        }
        if (went("CANCELED") || went("EXPIRED")) && entry.received > 0 {
            broken.push(format!(
                "7: {id} is {path:?}, and reached its device {} times",
                entry.received
            ));
        }
        if entry.once && entry.received > 1 {
            broken.push(format!(
                "7: {id} may go out once and reached its device {} times",
                entry.received
            ));
        }
        let clocks = self.lives.check(&entry, record);
        broken.extend(clocks.into_iter().map(|what| format!("{what} ({id})")));
        self.violations.append(&mut broken);
    }
}

/// The other ids are shorter.
fn is_of_command(id: &str) -> bool {
    id.len() == 32
}

/// The entry of a number.
pub fn entry(entries: &mut Vec<Entry>, number: u64) -> &mut Entry {
    let place = usize::try_from(number).unwrap_or(0);
    if entries.len() <= place {
        entries.resize(place + 1, Entry::default());
    }
    &mut entries[place]
}

fn status_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let status = body.pointer("/result/resultCode").and_then(Value::as_str);
    status.unwrap_or_default().to_owned()
}

/// What happened to a command by its record, with the numbers.
pub(crate) fn events(record: &Value) -> Vec<(u32, String)> {
    let events = record.get("events").and_then(Value::as_array);
    let seq = |event: &Value| u32::try_from(event.get("seq")?.as_u64()?).ok();
    let status = |event: &Value| Some(event.get("status")?.as_str()?.to_owned());
    let read = |event: &Value| Some((seq(event)?, status(event)?));
    events.into_iter().flatten().filter_map(read).collect()
}

fn is_over(record: &Value) -> bool {
    let events = events(record);
    events
        .last()
        .is_some_and(|(_, status)| FINAL.contains(&status.as_str()))
}

/// By the drawing in the page on the life cycle.
fn is_legal(path: &[&str]) -> bool {
    let next = |from: &str, to: &str| match from {
        "PENDING" => matches!(to, "SENT" | "CANCELED" | "EXPIRED" | "FAILED"),
        "SENT" => matches!(to, "DELIVERED" | "TIMEOUT" | "FAILED"),
        "DELIVERED" => matches!(to, "SUCCESSFUL" | "FAILED" | "TIMEOUT"),
        "TIMEOUT" | "FAILED" => matches!(to, "SUCCESSFUL" | "FAILED"),
        _ => false,
    };
    let ends = path.iter().filter(|status| FINAL.contains(status)).count();
    path.first() == Some(&"PENDING") && path.windows(2).all(|two| next(two[0], two[1])) && ends <= 2
}
