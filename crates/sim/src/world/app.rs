//! The application: what it calls, and what it makes of answers.

use axum::body::Body;
use downlink_fleet::packet::Qos;
use downlink_server::simulated::ADMIN_TOKEN;
use http::Request;
use serde_json::{Value, json};

use crate::ledger::entry;
use crate::ledger::operator::Ask;

use super::{Todo, World};

/// Its access token.
pub(super) const TOKEN: &str = "the-token-of-the-application";
const COMMANDS: &str = "/iocm/app/cmd/v1.4.0/deviceCommands";

/// A call that was not answered yet.
pub(super) struct Call {
    method: &'static str,
    path: String,
    body: Option<Value>,
    key: Option<String>,
    pub(super) what: What,
    sent: bool,
}

/// What a call is for.
#[derive(Clone)]
pub(super) enum What {
    Create(u64),
    Cancel(String),
    Read(String),
    Register,
    Remove(String),
    Task(usize),
    TaskDetails(usize),
    CancelTask(usize),
    ReadCancelTask(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    /// By which follower, and at which cursor it asked.
    Feed(usize, Option<String>),
    /// By the operator, who has a door of his own.
    Operator(Ask),
    /// Waited for by [`World::ask`].
    Asked,
    /// The same, by the operator.
    AskedByOperator,
}

impl World {
    /// The application does something.
    pub(super) fn app_acts(&mut self) {
        if !self.rough {
            return;
        }
        match self.chance.below(10) {
            0..=6 => self.create(),
            7 | 8 => self.cancel(),
            _ => self.look(),
        }
        let most = *self.chance.pick(&[200, 2_000, 20_000]);
        let after = self.chance.below(most);
        self.plan(after, Todo::AppActs);
    }

    fn create(&mut self) {
        let all = self.devices.len() + self.sleepers.len();
        let device = usize::try_from(self.chance.below(all as u64)).unwrap_or(0);
        let expire = *self.chance.pick(&[0, 30, 120, 120, 600, 600]);
        let receiver = self.chance.below(self.moods.len() as u64);
        let keyed = self.chance.percent(50);
        self.create_for(device, expire, receiver, keyed);
    }

    /// The next command: its number, and that of the call.
    pub(super) fn create_for(
        &mut self,
        device: usize,
        expire: u64,
        receiver: u64,
        keyed: bool,
    ) -> (u64, u64) {
        let number = self.ledger.entries.len() as u64;
        let sleeper = device.checked_sub(self.devices.len());
        let acknowledges = sleeper.is_some() || self.devices[device].qos == Qos::One;
        let entry = entry(&mut self.ledger.entries, number);
        entry.asked = self.serial;
        entry.device = device;
        entry.sleeper = sleeper.is_some();
        entry.once = sleeper.is_none() && (expire == 0 || !acknowledges);
        entry.expires = expire;
        entry.cached = expire > 0;
        entry.acknowledges = acknowledges;
        entry.receiver = receiver;
        self.note(format_args!("creates {number} for {device}, expires {expire}"));
        (number, self.call_for(number, keyed))
    }

    /// Makes the call for a command. Gives its number.
    pub(super) fn call_for(&mut self, number: u64, keyed: bool) -> u64 {
        let entry = entry(&mut self.ledger.entries, number);
        let (receiver, expire) = (entry.receiver, entry.expires);
        let id = match entry.device.checked_sub(self.devices.len()) {
            Some(place) => &self.sleepers[place].id,
            None => &self.devices[entry.device].id,
        };
        let command = json!({"serviceId": "Lamp", "method": "SWITCH", "paras": {"n": number}});
        let body = json!({
            "deviceId": id,
            "command": command,
            "callbackUrl": format!("http://receiver-{receiver}.example:80/pushes"),
            "expireTime": expire,
        });
        let key = keyed.then(|| format!("call-{number}"));
        self.begin_call("POST", COMMANDS.to_owned(), Some(body), key, What::Create(number))
    }

    fn cancel(&mut self) {
        let known = self.known();
        if known.is_empty() {
            return;
        }
        // Often one that is on its way just now.
        let newest = &known[known.len().saturating_sub(4)..];
        let of = if self.chance.percent(50) { newest } else { &known };
        let (number, id) = self.chance.pick(of).clone();
        self.note(format_args!("cancels {number}"));
        let body = json!({"status": "CANCELED"});
        self.begin_call(
            "PUT",
            format!("{COMMANDS}/{id}"),
            Some(body),
            None,
            What::Cancel(id),
        );
    }

    fn look(&mut self) {
        let known = self.known();
        if known.is_empty() {
            return;
        }
        let (_, id) = self.chance.pick(&known).clone();
        self.begin_call(
            "GET",
            format!("/downlink/v1/commands/{id}"),
            None,
            None,
            What::Read(id),
        );
    }

    pub(super) fn begin_call(
        &mut self,
        method: &'static str,
        path: String,
        body: Option<Value>,
        key: Option<String>,
        what: What,
    ) -> u64 {
        self.serial += 1;
        let call = self.serial;
        let made = Call {
            method,
            path,
            body,
            key,
            what,
            sent: false,
        };
        self.calls.insert(call, made);
        let after = self.chance.below(20);
        self.plan(after, Todo::Request(call));
        call
    }

    /// A call arrives at the server, if it is there.
    pub(super) fn request(&mut self, number: u64) -> anyhow::Result<()> {
        let (Some(call), Some(life)) = (self.calls.get_mut(&number), &self.life) else {
            self.unanswered(number);
            return Ok(());
        };
        call.sent = true;
        let (mut admin, mut token) = (false, TOKEN);
        if let What::Operator(ask) = &call.what {
            self.ledger.operator_asks(ask);
        }
        if matches!(call.what, What::Operator(_) | What::AskedByOperator) {
            (admin, token) = (true, ADMIN_TOKEN);
        }
        let mut request = Request::builder()
            .method(call.method)
            .uri(&call.path)
            .header("authorization", format!("Bearer {token}"))
            .header("host", "localhost")
            .header("content-type", "application/json");
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        life.call(number, admin, request.body(Body::from(body))?);
        Ok(())
    }

    /// The application gets an answer.
    pub(super) fn answered(&mut self, number: u64, status: u16, body: &[u8]) {
        let Some(call) = self.calls.get(&number) else {
            return;
        };
        let (what, keyed) = (call.what.clone(), call.key.is_some());
        if matches!(what, What::Asked | What::AskedByOperator) {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match &what {
            What::Create(command) => {
                let id = body.get("commandId").and_then(Value::as_str).unwrap_or_default();
                let why = body.get("error_desc").and_then(Value::as_str).unwrap_or_default();
                self.note(format_args!("created {command}: {status} {id}{why}"));
                if status == 201 {
                    self.ledger.created(*command, id);
                }
            }
            What::Cancel(id) => self.note(format_args!("canceled {id}: {status}")),
            What::Read(id) => self.ledger.read(id, status),
            What::Register => self.spare_registered(status, &body),
            What::Remove(id) => self.spare_removed(id, status),
            What::Feed(follower, from) => self.fed(*follower, from.as_deref(), status, &body),
            What::Task(task) => self.task_answered(*task, status, &body),
            What::Operator(ask) => self.operator_sees(ask, &body),
            What::TaskDetails(task) => self.learn_commands(*task, &body),
            What::Subscribe(place) => self.subscribed(*place, status, &body),
            What::Unsubscribe(place) => self.unsubscribed(*place, status),
            What::CancelTask(task) => self.withdrawn(*task, status, &body),
            What::ReadCancelTask(task) => self.cancel_task_read(*task, status, &body),
            What::Asked | What::AskedByOperator => {}
        }
        // Now and then the answer is lost behind the server's back.
        let lost = keyed && self.rough && self.chance.percent(20);
        match status {
            500..=599 => self.unanswered(number),
            _ if lost => self.unanswered(number),
            _ => drop(self.calls.remove(&number)),
        }
    }

    /// A call found nobody, or no answer: it is made again if that is safe.
    pub(super) fn unanswered(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        call.sent = false;
        if call.key.is_some() && self.rough {
            let after = self.chance.between(100, 10_000);
            self.plan(after, Todo::Request(number));
        } else {
            self.calls.remove(&number);
        }
    }

    /// The machine stopped: who waits for an answer finds that out.
    pub(super) fn no_answers(&mut self) {
        let waiting = self.calls.iter().filter(|(_, call)| call.sent);
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        for number in waiting {
            self.unanswered(number);
        }
    }

    /// Makes a call and lives on until it is answered.
    pub(super) fn ask(
        &mut self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        self.ask_for(What::Asked, method, path, body)
    }

    /// The same, of a call that nothing else is done about.
    pub(super) fn ask_for(
        &mut self,
        what: What,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let call = self.begin_call(method, path.to_owned(), body.cloned(), None, what);
        let limit = self.now + 60_000;
        loop {
            self.step(limit)?;
            if let Some((status, body)) = self
                .taken
                .take_if(|(of, _, _)| *of == call)
                .map(|(_, status, body)| (status, body))
            {
                self.calls.remove(&call);
                return Ok((status, serde_json::from_slice(&body).unwrap_or_default()));
            }
            anyhow::ensure!(
                self.now < limit,
                "{method} {path} was not answered within a minute of calm"
            );
        }
    }
}
