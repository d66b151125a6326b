//! What the world knows of cancel tasks, and the promises on them.
//!
//! The promises, in words:
//! C1. A task that was answered is there ever after, and speaks of the same number of commands; of a task that nobody was answered
//!     there is one at the most.
//! C2. It ends, whatever happens between.
//! C3. Its end says how many of its commands it cancelled: all, some or none. What it cancelled is CANCELED, which is told (4), and never
//!     reached its device (7).
//! C4. It cancels commands of its device only, and none that was created after it was answered.
//! C5. Of what waited for the device when the task was asked for, nothing is sent any more once the task is over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Entry;

/// A task that was asked for.
#[derive(Debug, Default)]
pub struct CancelTask {
    /// The place of its device.
    pub device: usize,
    /// The id of its device.
    pub device_id: String,
    /// The id it was given; none: nobody was told.
    pub id: Option<String>,
    /// How many commands it said to be of.
    total: u64,
    /// When its answer came, as the ledger orders things.
    answered: u64,
    /// The numbers of commands that were answered before it was asked for.
    before: BTreeSet<u64>,
    /// When it was seen to be over, by the wall clock.
    over_at: Option<i64>,
}

/// A command as the server has it at the end.
#[derive(Debug)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// The id of its device.
    pub device_id: String,
    /// Its record.
    pub record: Value,
}

/// See the module.
#[derive(Debug, Default)]
pub struct CancelTasks {
    /// In the order in which they were asked for.
    pub all: Vec<CancelTask>,
    /// What was broken.
    pub violations: Vec<String>,
}

impl CancelTasks {
    /// A task is asked for; `entries` are the commands so far. Gives its place.
    pub fn asked(&mut self, device: usize, device_id: String, entries: &[Entry]) -> usize {
        let known = (0..).zip(entries);
        let before = known.filter(|(_, entry)| entry.device == device && entry.id.is_some());
        self.all.push(CancelTask {
            device,
            device_id,
            before: before.map(|(number, _)| number).collect(),
            ..CancelTask::default()
        });
        self.all.len() - 1
    }

    /// Its call was answered.
    pub fn accepted(&mut self, task: usize, answer: &Value, now: u64) {
        if let Some(task) = self.all.get_mut(task) {
            task.id = text(answer, "/taskId").map(str::to_owned);
            task.total = total(answer);
            task.answered = now;
        }
    }

    /// The server says so of a task. Whether it is over.
    pub fn read(&mut self, task: usize, list: &Value, wall: i64) -> bool {
        let Some(known) = self.all.get_mut(task) else {
            return true;
        };
        let tasks = list.get("data").and_then(Value::as_array);
        let found = tasks.and_then(|tasks| match &tasks[..] {
            [one] if text(one, "/taskId") == known.id.as_deref() => Some(one),
            _ => None,
        });
        let Some(found) = found.filter(|found| total(found) == known.total) else {
            self.violations
                .push(format!("C1: of {known:?} the server says {list}"));
            return true;
        };
        let is_over = ["SUCCESS", "PART_SUCCESS", "FAILED"].contains(&status(found));
        if is_over {
            known.over_at.get_or_insert(wall);
        }
        is_over
    }

    /// Checks a task at the end of the run. `found`: what the server says of it; `steady`: the wall clock did not jump.
    pub fn check(&mut self, task: usize, found: &Value, kept: &[Kept], entries: &[Entry], steady: bool) {
        let Some(known) = self.all.get(task) else { return };
        let Some(id) = &known.id else { return };
        let mut broken = Vec::new();
        let word = format!("cancel task {id}");
        let canceled: Vec<&Kept> = kept.iter().filter(|one| names(&one.record, &word)).collect();
        let count = canceled.len() as u64;
        let expected = match count {
            all if all == known.total => "SUCCESS",
            0 => "FAILED",
            _ => "PART_SUCCESS",
        };
        let said = found.pointer("/data/0").map_or("", status);
        if !["SUCCESS", "PART_SUCCESS", "FAILED"].contains(&said) {
            broken.push(format!("C2: {word} has not ended: {found}"));
        } else if said != expected || count > known.total {
            broken.push(format!(
                "C3: {word} of {} commands is {said}, and cancelled {count}",
                known.total
            ));
        }
        for one in canceled {
            let entry = usize::try_from(one.number)
                .ok()
                .and_then(|place| entries.get(place));
            let later = entry.is_none_or(|entry| entry.asked > known.answered);
            if one.device_id != known.device_id || later {
                broken.push(format!("C4: {word} cancelled {one:?}, and was {known:?}"));
            }
        }
        if let Some(over_at) = known.over_at.filter(|_| steady) {
            let of_it = kept.iter().filter(|one| known.before.contains(&one.number));
            let late =
                of_it.filter(|one| one.device_id == known.device_id && sent_after(&one.record, over_at));
            broken.extend(
                late.map(|one| format!("C5: {word} was over at {over_at}, and then was sent {one:?}")),
            );
        }
        self.violations.append(&mut broken);
    }
}

fn events(record: &Value) -> impl Iterator<Item = &Value> {
    let events = record.get("events").and_then(Value::as_array);
    events.into_iter().flatten()
}

/// Whether the record says that this cancelled it.
fn names(record: &Value, word: &str) -> bool {
    events(record).any(|event| status(event) == "CANCELED" && text(event, "/detail") == Some(word))
}

fn sent_after(record: &Value, wall: i64) -> bool {
    let at = |event: &Value| text(event, "/at")?.parse::<jiff::Timestamp>().ok();
    let sent = events(record).find(|event| status(event) == "SENT");
    sent.and_then(at).is_some_and(|at| at.as_millisecond() > wall)
}

fn text<'a>(of: &'a Value, path: &str) -> Option<&'a str> {
    of.pointer(path)?.as_str()
}

fn status(of: &Value) -> &str {
    text(of, "/status").unwrap_or_default()
}

fn total(of: &Value) -> u64 {
    of.get("totalCount").and_then(Value::as_u64).unwrap_or(u64::MAX)
}
