//! What the world knows of batch tasks, and the promises on them.
//!
//! The promises, in words:
//! T1. A task that was answered is there ever after, and has each device of its list once.
//! T2. Each of its devices gets its command exactly once, whatever happens between: of a task that nobody was answered, at the most
//!     once. A device that is unknown fails alone, and so does one whose queue is full, which its sub-task says.
//! T3. It ends, and its counts are those of its sub-tasks, which say what the records of the commands say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a device whose queue is full fails with.
const QUEUE_FULL: &str = "100223";

/// A task that was asked for.
#[derive(Debug)]
pub struct Task {
    /// The number of the first of its commands; the others follow in the order of the devices.
    pub first: u64,
    /// The places and ids of its devices.
    pub devices: Vec<(usize, String)>,
    /// Ids in its list that are nobody's.
    pub nobody: Vec<String>,
    /// The id it was given; none: nobody was told.
    pub id: Option<String>,
    /// It was over when it was last looked at.
    pub is_over: bool,
    /// The ids of those whose queues were full.
    pub full: BTreeSet<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tasks {
    /// In the order in which they were asked for.
    pub all: Vec<Task>,
    /// What was broken.
    pub violations: Vec<String>,
}

/// How it ended, as its sub-tasks say, by the words that its counts go by.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    success: u64,
    fail: u64,
    timeout: u64,
}

impl Tasks {
    /// The number of the command that `device` got as `number`: all commands of a task bear the same.
    pub fn of_device(&self, number: u64, device: usize) -> u64 {
        let task = self.all.iter().find(|task| task.first == number);
        let place = task.and_then(|task| task.devices.iter().position(|(place, _)| *place == device));
        number + place.unwrap_or(0) as u64
    }

    /// A task was answered with this id.
    pub fn accepted(&mut self, task: usize, id: &str) {
        if let Some(task) = self.all.get_mut(task) {
            task.id = Some(id.to_owned());
        }
    }

    /// The commands that the sub-tasks of a task say to be theirs.
    pub fn commands(&self, task: usize, details: &Value) -> Vec<(u64, String)> {
        let Some(task) = self.all.get(task) else {
            return Vec::new();
        };
        let read = |subtask: &Value| {
            let device = text(subtask, "/param/deviceId")?;
            let place = task.devices.iter().position(|(_, id)| id == device)?;
            let command = text(subtask, "/param/commandId")?;
            Some((task.first + place as u64, command.to_owned()))
        };
        subtasks(details).filter_map(read).collect()
    }

    /// Whether a task is over, by what the server says of it.
    pub fn is_over(record: &Value) -> bool {
        matches!(text(record, "/status"), Some("Complete" | "Timeout"))
            && count(record, "completeCnt") == count(record, "totalCnt")
    }

    /// Checks a task at the end of the run. `paths`: the statuses of each command.
    pub fn check(
        &mut self,
        task: usize,
        record: &Value,
        details: &Value,
        paths: &BTreeMap<String, Vec<String>>,
    ) {
        let Some(known) = self.all.get_mut(task) else {
            return;
        };
        let of_full = subtasks(details).filter(|one| says_full(one));
        known.full = of_full
            .filter_map(|one| Some(text(one, "/param/deviceId")?.to_owned()))
            .collect();
        let mut broken = Vec::new();
        let listed: BTreeSet<&str> = known.devices.iter().map(|(_, id)| id.as_str()).collect();
        let listed: BTreeSet<&str> = listed
            .into_iter()
            .chain(known.nobody.iter().map(String::as_str))
            .collect();
        let found: Vec<&str> = subtasks(details)
            .filter_map(|one| text(one, "/param/deviceId"))
            .collect();
        if found.len() != listed.len() || found.iter().copied().collect::<BTreeSet<_>>() != listed {
            broken.push(format!("T1: of {listed:?} the task has {found:?}"));
        }
        let mut counts = Counts::default();
        for subtask in subtasks(details) {
            let status = text(subtask, "/status").unwrap_or_default();
            match status {
                "Success" => counts.success += 1,
                "Fail" => counts.fail += 1,
                _ => counts.timeout += 1,
            }
            let path = text(subtask, "/param/commandId").and_then(|id| paths.get(id));
            let went = |status: &str| path.is_some_and(|path| path.iter().any(|one| one == status));
            let stands = match status {
                "Success" => went("SUCCESSFUL"),
                "Fail" => went("FAILED") || went("CANCELED") || path.is_none(),
                "Timeout" => went("TIMEOUT") || went("EXPIRED") || path.is_none(),
                _ => false,
            };
            if !stands {
                broken.push(format!("T3: {subtask} is of a command that went {path:?}"));
            }
        }
        let said = Counts {
            success: count(record, "successCnt"),
            fail: count(record, "failCnt"),
            timeout: count(record, "timeoutCnt") + count(record, "expiredCnt"),
        };
        if said != counts || !Self::is_over(record) {
            broken.push(format!(
                "T3: the sub-tasks are {counts:?}, and the task is {record}"
            ));
        }
        self.violations.append(&mut broken);
    }

    /// Checks how often each command was made. `made`: of each number and device's id.
    pub fn check_made(&mut self, made: &BTreeMap<(u64, String), usize>) {
        for ((number, device), times) in made {
            if *times > 1 {
                self.violations.push(format!(
                    "T2: the command {number} was made {times} times for {device}"
                ));
            }
        }
        for task in self.all.iter().filter(|task| task.id.is_some()) {
            let those = task.devices.iter().map(|(_, device)| device);
            for device in those.filter(|device| !task.full.contains(*device)) {
                if !made.contains_key(&(task.first, device.clone())) {
                    self.violations.push(format!(
                        "T2: the command {} was not made for {device}",
                        task.first
                    ));
                }
            }
        }
    }
}

/// Whether a sub-task has no command because its device's queue was full.
fn says_full(subtask: &Value) -> bool {
    let error = text(subtask, "/error").and_then(|error| serde_json::from_str::<Value>(error).ok());
    let code = error.as_ref().and_then(|error| text(error, "/error_code"));
    text(subtask, "/status") == Some("Fail") && code == Some(QUEUE_FULL)
}

fn subtasks(details: &Value) -> impl Iterator<Item = &Value> {
    let all = details.get("taskDetails").and_then(Value::as_array);
    all.into_iter().flatten()
}

fn text<'a>(of: &'a Value, path: &str) -> Option<&'a str> {
    of.pointer(path)?.as_str()
}

fn count(record: &Value, member: &str) -> u64 {
    record.get(member).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is said of a task whose one device got no command, if its sub-task is this.
    fn said_of(subtask: Value) -> Vec<String> {
        let mut tasks = Tasks::default();
        tasks.all.push(Task {
            first: 7,
            devices: vec![(0, "lamp".to_owned())],
            nobody: Vec::new(),
            id: Some("task".to_owned()),
            is_over: true,
            full: BTreeSet::new(),
        });
        let record = json!({"status": "Complete", "totalCnt": 1, "completeCnt": 1, "failCnt": 1});
        tasks.check(0, &record, &json!({"taskDetails": [subtask]}), &BTreeMap::new());
        tasks.check_made(&BTreeMap::new());
        tasks.violations
    }

    #[test]
    fn a_device_without_its_command_is_excused_only_by_a_full_queue() {
        let subtask = |error: &str| json!({"status": "Fail", "error": error, "param": {"deviceId": "lamp"}});
        let full = r#"{"error_code":"100223","error_desc":"Command counts has reached the upLimit."}"#;
        assert_eq!(said_of(subtask(full)), Vec::<String>::new());
        let other = said_of(subtask(
            r#"{"error_code":"100418","error_desc":"no such device"}"#,
        ));
        assert_eq!(other.len(), 1, "{other:?}");
    }
}
