//! Batch tasks: see the promises in `ledger/tasks.rs`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use downlink_fleet::packet::Qos;
use serde_json::{Value, json};

use crate::ledger::tasks::{Task, Tasks};
use crate::ledger::{entry, events};
use crate::{device, sleeper};

use super::app::What;
use super::{Todo, World};

const TASKS: &str = "/iocm/app/batchtask/v1.1.0/tasks";
const DETAILS: &str = "/iocm/app/batchtask/v1.1.0/taskDetails?pageSize=250&taskId=";
const COMMANDS: &str = "/iocm/app/cmd/v1.4.0/deviceCommands?pageSize=1000&pageNo=";

impl World {
    /// The application makes a task or looks at one, and will again.
    pub(super) fn batch_acts(&mut self) {
        if !self.rough {
            return;
        }
        let tasks = &self.ledger.tasks.all;
        let known = tasks
            .iter()
            .enumerate()
            .filter_map(|(place, task)| Some((place, task.id.clone()?)));
        let known: Vec<(usize, String)> = known.collect();
        if known.is_empty() || self.chance.percent(50) {
            self.create_task();
        } else {
            let (task, id) = self.chance.pick(&known).clone();
            let what = What::TaskDetails(task);
            self.begin_call("GET", format!("{DETAILS}{id}"), None, None, what);
        }
        let after = self.chance.between(5_000, 80_000);
        self.plan(after, Todo::BatchActs);
    }

    pub(super) fn create_task(&mut self) {
        let (devices, first) = (self.some_devices(), self.ledger.entries.len() as u64);
        for (number, (place, _)) in (first..).zip(&devices) {
            let quality = self.devices.get(*place).map(|device| device.qos);
            let entry = entry(&mut self.ledger.entries, number);
            entry.asked = self.serial;
            entry.device = *place;
            entry.sleeper = quality.is_none();
            entry.once = quality == Some(Qos::Zero);
            entry.acknowledges = quality != Some(Qos::Zero);
            entry.cached = true;
        }
        let nobody = match self.chance.percent(20) {
            true => vec!["nobody".to_owned()],
            false => Vec::new(),
        };
        let list: Vec<&String> = devices.iter().map(|(_, id)| id).chain(&nobody).collect();
        let receiver = self.chance.below(self.moods.len() as u64);
        let body = json!({
            "taskName": format!("task-{first}"),
            "taskType": "DeviceCmd",
            "timeout": self.chance.between(10, 30),
            "param": {
                "type": "DeviceList",
                "deviceList": list,
                "command": {"serviceId": "Lamp", "method": "SWITCH", "paras": {"n": first}},
                "callbackUrl": format!("http://receiver-{receiver}.example:80/pushes"),
            },
        });
        let task = self.ledger.tasks.all.len();
        self.note(format_args!(
            "asks for task {task}, commands {first} and on, {} devices",
            list.len()
        ));
        self.ledger.tasks.all.push(Task {
            first,
            devices,
            nobody,
            id: None,
            is_over: false,
            full: BTreeSet::new(),
        });
        self.begin_call("POST", TASKS.to_owned(), Some(body), None, What::Task(task));
    }

    /// Places and ids of a few devices.
    fn some_devices(&mut self) -> Vec<(usize, String)> {
        let own = self.devices.iter().map(|device| device.id.clone());
        let all: Vec<String> = own
            .chain(self.sleepers.iter().map(|sleeper| sleeper.id.clone()))
            .collect();
        let certain = usize::try_from(self.chance.below(all.len() as u64)).unwrap_or(0);
        let some = all.into_iter().enumerate();
        some.filter(|(place, _)| *place == certain || self.chance.percent(40))
            .collect()
    }

    /// A call for a task was answered.
    pub(super) fn task_answered(&mut self, task: usize, status: u16, body: &Value) {
        let id = body.get("taskId").and_then(Value::as_str).unwrap_or_default();
        self.note(format_args!("task {task}: {status} {id}"));
        if status == 200 {
            self.ledger.tasks.accepted(task, id);
        }
    }

    /// The application learns which commands a task made.
    pub(super) fn learn_commands(&mut self, task: usize, details: &Value) {
        for (number, id) in self.ledger.tasks.commands(task, details) {
            self.ledger.created(number, &id);
        }
    }

    /// What a device did, with the number of its own command instead of that of a task.
    pub(super) fn of_task(&self, place: usize, act: device::Act) -> device::Act {
        use device::Act;
        let own = |number| self.ledger.tasks.of_device(number, place);
        match act {
            Act::Received(number, key) => Act::Received(own(number), key),
            Act::Acked(number) => Act::Acked(own(number)),
            Act::Answers(number, code) => Act::Answers(own(number), code),
            Act::Confirmed(number) => Act::Confirmed(own(number)),
            Act::Write { .. } | Act::Cut(..) | Act::Reported(_) | Act::Ready(_) => act,
        }
    }

    /// The same of one that sleeps.
    pub(super) fn of_sleeper_task(&self, device: usize, act: sleeper::Act) -> sleeper::Act {
        use sleeper::Act;
        let own = |number| self.ledger.tasks.of_device(number, device);
        match act {
            Act::Received(number) => Act::Received(own(number)),
            Act::Acked(number) => Act::Acked(own(number)),
            Act::Answers(number, worked) => Act::Answers(own(number), worked),
            Act::Datagram(_) | Act::IsThere => act,
        }
    }

    /// Looks at all tasks, or at those that were not over, and learns their commands. Whether these are over.
    pub(super) fn look_at_tasks(&mut self, all: bool) -> anyhow::Result<bool> {
        for task in 0..self.ledger.tasks.all.len() {
            if (all || !self.ledger.tasks.all[task].is_over)
                && let Some((record, details)) = self.task(task)?
            {
                self.learn_commands(task, &details);
                self.ledger.tasks.all[task].is_over = Tasks::is_over(&record);
            }
        }
        let mut open = self
            .ledger
            .tasks
            .all
            .iter()
            .filter(|task| !task.is_over && task.id.is_some());
        Ok(open.next().is_none())
    }

    /// What the server says of a task that was answered.
    fn task(&mut self, task: usize) -> anyhow::Result<Option<(Value, Value)>> {
        let Some(id) = self.ledger.tasks.all.get(task).and_then(|task| task.id.clone()) else {
            return Ok(None);
        };
        let (status, record) = self.ask("GET", &format!("{TASKS}/{id}"), None)?;
        if status != 200 {
            let gone = format!("T1: the task {id} is not there any more: {status}");
            self.ledger.tasks.violations.push(gone);
        }
        let (_, details) = self.ask("GET", &format!("{DETAILS}{id}"), None)?;
        Ok(Some((record, details)))
    }

    /// Checks all tasks at the end of the run, and that no command was made twice.
    pub(super) fn check_tasks(&mut self, records: &BTreeMap<u64, Value>) -> anyhow::Result<()> {
        let paths: BTreeMap<String, Vec<String>> = self
            .known()
            .into_iter()
            .filter_map(|(number, id)| Some((id, path(records.get(&number)?))))
            .collect();
        for task in 0..self.ledger.tasks.all.len() {
            if let Some((record, details)) = self.task(task)? {
                self.ledger.tasks.check(task, &record, &details, &paths);
            }
        }
        let made = self.made()?;
        self.ledger.tasks.check_made(&made);
        Ok(())
    }

    /// How often each command was made for each device.
    fn made(&mut self) -> anyhow::Result<BTreeMap<(u64, String), usize>> {
        let mut made = BTreeMap::new();
        for page in 0.. {
            let (status, answer) = self.ask("GET", &format!("{COMMANDS}{page}"), None)?;
            ensure!(status == 200, "the list of commands: {status} {answer}");
            let commands = answer.get("data").and_then(Value::as_array);
            let commands = commands.map_or(&[][..], Vec::as_slice);
            for command in commands {
                let number = command.pointer("/command/paras/n").and_then(Value::as_u64);
                let device = command.get("deviceId").and_then(Value::as_str);
                if let (Some(number), Some(device)) = (number, device) {
                    *made.entry((number, device.to_owned())).or_insert(0) += 1;
                }
            }
            if commands.len() < 1000 {
                break;
            }
        }
        Ok(made)
    }
}

/// The statuses of a command by its record.
fn path(record: &Value) -> Vec<String> {
    events(record).into_iter().map(|(_, status)| status).collect()
}
