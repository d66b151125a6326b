//! Cancel tasks: see the promises in `ledger/cancel_tasks.rs`.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::ledger::cancel_tasks::Kept;

use super::app::What;
use super::{Todo, World};

const TASKS: &str = "/iocm/app/cmd/v1.4.0/deviceCommandCancelTasks";
const COMMANDS: &str = "/iocm/app/cmd/v1.4.0/deviceCommands?pageSize=1000&pageNo=";

impl World {
    /// The application withdraws what waits for a device, or looks at how that went, and will again.
    pub(super) fn withdraws(&mut self) {
        if !self.rough {
            return;
        }
        let tasks = self.ledger.cancel_tasks.all.iter().enumerate();
        let known = tasks.filter_map(|(place, task)| Some((place, task.id.clone()?)));
        let known: Vec<(usize, String)> = known.collect();
        if known.is_empty() || self.chance.percent(50) {
            self.withdraw();
        } else {
            let (task, id) = self.chance.pick(&known).clone();
            let what = What::ReadCancelTask(task);
            self.begin_call("GET", format!("{TASKS}?taskId={id}"), None, None, what);
        }
        let after = self.chance.between(5_000, 60_000);
        self.plan(after, Todo::Withdraws);
    }

    fn withdraw(&mut self) {
        let all = (self.devices.len() + self.sleepers.len()) as u64;
        let device = usize::try_from(self.chance.below(all)).unwrap_or(0);
        let id = match device.checked_sub(self.devices.len()) {
            Some(place) => self.sleepers[place].id.clone(),
            None => self.devices[device].id.clone(),
        };
        let (tasks, entries) = (&mut self.ledger.cancel_tasks, &self.ledger.entries);
        let task = tasks.asked(device, id.clone(), entries);
        self.note(format_args!("cancel task {task} for {device}"));
        let body = json!({"deviceId": id});
        self.begin_call("POST", TASKS.to_owned(), Some(body), None, What::CancelTask(task));
    }

    /// A call for a task was answered.
    pub(super) fn withdrawn(&mut self, task: usize, status: u16, body: &Value) {
        let total = body.get("totalCount");
        self.note(format_args!("cancel task {task}: {status}, of {total:?}"));
        if status == 201 {
            self.ledger.cancel_tasks.accepted(task, body, self.serial);
            let found = !matches!(total.and_then(Value::as_u64), Some(0) | None);
            let word = if found { "some" } else { "none" };
            *self.met.entry(("cancel task", word.to_owned())).or_default() += 1;
        }
    }

    /// The application sees how a task stands.
    pub(super) fn cancel_task_read(&mut self, task: usize, status: u16, list: &Value) {
        if status == 200 {
            let wall = self.wall_now();
            self.ledger.cancel_tasks.read(task, list, wall);
        }
    }

    /// Whether all tasks that were answered are over.
    pub(super) fn are_cancel_tasks_over(&mut self) -> anyhow::Result<bool> {
        let mut over = true;
        for task in 0..self.ledger.cancel_tasks.all.len() {
            if let Some(list) = self.cancel_task(task)? {
                let wall = self.wall_now();
                over &= self.ledger.cancel_tasks.read(task, &list, wall);
            }
        }
        Ok(over)
    }

    fn cancel_task(&mut self, task: usize) -> anyhow::Result<Option<Value>> {
        let Some(id) = self.ledger.cancel_tasks.all[task].id.clone() else {
            return Ok(None);
        };
        let (status, list) = self.ask("GET", &format!("{TASKS}?taskId={id}"), None)?;
        ensure!(status == 200, "the task {id}: {status} {list}");
        Ok(Some(list))
    }

    /// Checks all tasks at the end of the run.
    pub(super) fn check_cancel_tasks(&mut self, records: &BTreeMap<u64, Value>) -> anyhow::Result<()> {
        if self.ledger.cancel_tasks.all.is_empty() {
            return Ok(());
        }
        let kept = self.kept(records)?;
        let (mut total, steady) = (0, !self.jumpy);
        for task in 0..self.ledger.cancel_tasks.all.len() {
            if let Some(list) = self.cancel_task(task)? {
                let (tasks, entries) = (&mut self.ledger.cancel_tasks, &self.ledger.entries);
                tasks.check(task, &list, &kept, entries, steady);
            }
            total += 1;
        }
        let (_, list) = self.ask("GET", TASKS, None)?;
        let there = list.pointer("/pagination/totalSize").and_then(Value::as_u64);
        if there.is_none_or(|there| there > total) {
            let broken = format!("C1: {total} tasks were asked for, and there are {there:?}");
            self.ledger.cancel_tasks.violations.push(broken);
        }
        Ok(())
    }

    /// All commands of the application; of those that nobody was answered the records are read as well.
    fn kept(&mut self, records: &BTreeMap<u64, Value>) -> anyhow::Result<Vec<Kept>> {
        let known: BTreeMap<String, u64> = self
            .known()
            .into_iter()
            .map(|(number, id)| (id, number))
            .collect();
        let mut kept = Vec::new();
        for page in 0.. {
            let (status, answer) = self.ask("GET", &format!("{COMMANDS}{page}"), None)?;
            ensure!(status == 200, "the list of commands: {status} {answer}");
            let commands = answer.get("data").and_then(Value::as_array);
            let commands = commands.map_or(&[][..], Vec::as_slice);
            for command in commands {
                let text = |member: &str| Some(command.get(member)?.as_str()?.to_owned());
                let number = command.pointer("/command/paras/n").and_then(Value::as_u64);
                let (Some(id), Some(device_id), Some(number)) = (text("commandId"), text("deviceId"), number)
                else {
                    continue;
                };
                let number = known.get(&id).copied().unwrap_or(number);
                let record = match records.get(&number).filter(|_| known.contains_key(&id)) {
                    Some(record) => record.clone(),
                    None => self.ask("GET", &format!("/downlink/v1/commands/{id}"), None)?.1,
                };
                kept.push(Kept {
                    number,
                    device_id,
                    record,
                });
            }
            if commands.len() < 1000 {
                break;
            }
        }
        Ok(kept)
    }
}
