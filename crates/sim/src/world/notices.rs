//! Devices that report, come and go, and an application that is told of it: see the promises in `ledger/notices.rs`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::ledger::notices::FORMS;

use super::app::What;
use super::subscriptions::{SUBSCRIPTIONS, Stands, Wish, subscription};
use super::{Todo, World};

const REGISTRATIONS: &str = "/iocm/app/reg/v2.0.0/deviceCredentials";
const DEVICES: &str = "/iocm/app/dm/v1.4.0/devices";
/// What the application wants to be told.
const KINDS: [&str; 7] = [
    "deviceDataChanged",
    "deviceDatasChanged",
    "deviceInfoChanged",
    "deviceAdded",
    "deviceDeleted",
    "commandRsp",
    "pushGivenUp",
];

/// What the world keeps in mind of this.
#[derive(Default)]
pub(super) struct Fleet {
    /// Devices that left for good, and in which life of the server; none: not while it ran.
    away: BTreeMap<usize, Option<u64>>,
    /// Connections on which a server answered: it knows that their devices are there.
    ready: BTreeSet<u64>,
    /// Devices that only exist, by id.
    spare: BTreeSet<String>,
    /// How many of them there were.
    registered: u64,
}

impl World {
    /// The application subscribes, each kind with a receiver of its own choice.
    pub(super) fn subscribe(&mut self) -> anyhow::Result<()> {
        for kind in KINDS {
            let receiver = usize::try_from(self.chance.below(self.moods.len() as u64))?;
            let id = self.subscribe_to(kind, receiver)?;
            if FORMS.contains(&kind) {
                self.wishes.push(Wish {
                    kind,
                    receiver,
                    stands: Stands::There(id),
                });
            }
        }
        Ok(())
    }

    /// The application subscribes. Gives the id of that.
    pub(super) fn subscribe_to(&mut self, kind: &str, receiver: usize) -> anyhow::Result<String> {
        let body = subscription(kind, receiver);
        let (status, answer) = self.ask("POST", SUBSCRIPTIONS, Some(&body))?;
        ensure!(status == 201, "{kind}: {status} {answer}");
        self.ledger.notices.subscribed(kind, receiver);
        let id = answer.get("subscriptionId").and_then(Value::as_str);
        Ok(id.unwrap_or_default().to_owned())
    }

    /// Devices begin to report; one may leave for good when all is roughest.
    pub(super) fn plan_reports(&mut self, rough: u64) {
        for place in 0..self.devices.len() {
            let after = self.chance.between(500, 5_000);
            self.plan(after, Todo::Reports(place));
        }
        let after = self.chance.below(20_000);
        self.plan(after, Todo::FleetChanges);
        if self.chance.percent(60) {
            let place = usize::try_from(self.chance.below(self.devices.len() as u64)).unwrap_or(0);
            let before = self.chance.between(1_000, 60_000);
            self.plan(rough - before, Todo::LeavesForGood(place));
        }
    }

    /// A last trial in the calm: for some seconds the disk is full, while devices come and go. Nothing after it tells of them again.
    pub(super) fn plan_last_trial(&mut self) {
        if self.chance.percent(40) {
            return;
        }
        self.plan(10_000, Todo::DiskFills(true));
        for place in 0..self.devices.len() {
            let after = self.chance.between(10_500, 20_000);
            self.plan(after, Todo::HangsUp(place));
        }
        self.plan(22_000, Todo::DiskFills(false));
    }

    /// A device ends the connection that it speaks over.
    pub(super) fn hangs_up(&mut self, place: usize) {
        if let Some(connection) = self.devices[place].current {
            self.cut_by_device(place, connection);
        }
    }

    /// A device reports something, and will again.
    pub(super) fn reports(&mut self, place: usize) {
        if !self.rough {
            return;
        }
        if let Some(connection) = self.devices[place].current {
            let number = self.ledger.notices.new_report(&self.devices[place].id);
            self.send_report(place, connection, number);
        }
        let most = *self.chance.pick(&[300, 5_000, 60_000]);
        let after = self.chance.between(50, most);
        self.plan(after, Todo::Reports(place));
    }

    fn send_report(&mut self, place: usize, connection: u64, number: u64) {
        self.note(format_args!("device {place} reports {number} over {connection}"));
        self.ledger.notices.sent(number, connection);
        let act = self.devices[place].report(connection, number);
        self.do_device(place, act);
    }

    /// A connection is open: what was not acknowledged is said again, or forgotten.
    pub(super) fn is_ready(&mut self, place: usize, connection: u64) {
        self.fleet.ready.insert(connection);
        let waiting = self.devices[place].reports.take();
        if self.chance.percent(60) {
            for number in waiting {
                self.send_report(place, connection, number);
            }
        }
    }

    /// The application registers a device that never comes, or removes one.
    pub(super) fn fleet_changes(&mut self) {
        if !self.rough {
            return;
        }
        let gone = self.fleet.spare.first().cloned();
        match gone.filter(|_| self.chance.percent(50)) {
            Some(id) => self.remove_spare(id),
            None => self.add_spare(),
        }
        let after = self.chance.between(1_000, 60_000);
        self.plan(after, Todo::FleetChanges);
    }

    fn add_spare(&mut self) {
        self.fleet.registered += 1;
        let node = format!("spare-{}", self.fleet.registered);
        let info = json!({"nodeId": node, "protocolType": "MQTT", "deviceType": "Lamp", "model": "L1"});
        let body = json!({"deviceInfo": info, "mqttConnect": true});
        self.note(format_args!("registers {node}"));
        self.begin_call("POST", REGISTRATIONS.to_owned(), Some(body), None, What::Register);
    }

    fn remove_spare(&mut self, id: String) {
        self.fleet.spare.remove(&id);
        self.remove(id);
    }

    /// The application removes a device that leaves, and does not come back.
    pub(super) fn remove_device(&mut self, place: usize) {
        self.leaves_for_good(place);
        self.remove(self.devices[place].id.clone());
    }

    fn remove(&mut self, id: String) {
        self.note(format_args!("removes {id}"));
        self.ledger.notices.removing(&id);
        self.begin_call("DELETE", format!("{DEVICES}/{id}"), None, None, What::Remove(id));
    }

    /// A registration was answered.
    pub(super) fn spare_registered(&mut self, status: u16, body: &Value) {
        let id = body.get("deviceId").and_then(Value::as_str);
        if let Some(id) = id.filter(|_| status < 300) {
            self.note(format_args!("registered {id}"));
            self.ledger.notices.added(id);
            self.fleet.spare.insert(id.to_owned());
        }
    }

    /// A removal was answered.
    pub(super) fn spare_removed(&mut self, id: &str, status: u16) {
        self.note(format_args!("removed {id}: {status}"));
        if status < 300 {
            self.ledger.notices.removed(id);
        }
    }

    /// A device leaves, and does not come back.
    pub(super) fn leaves_for_good(&mut self, place: usize) {
        self.note(format_args!("device {place} leaves for good"));
        let connections = self.connections.iter().filter(|(_, of)| **of == place);
        let connections: Vec<u64> = connections.map(|(connection, _)| *connection).collect();
        // Of one that is gone already it is not known in which life it went; of one that was not let in, the server knows nothing.
        let known = connections
            .iter()
            .any(|connection| self.fleet.ready.contains(connection));
        let life = (self.life.is_some() && known).then_some(self.lives);
        self.fleet.away.insert(place, life);
        for connection in connections {
            self.cut_by_device(place, connection);
        }
    }

    /// It comes back all the same.
    pub(super) fn comes_back(&mut self, place: usize) {
        self.fleet.away.remove(&place);
        self.plan(0, Todo::Connect(place));
    }

    /// Whether it left for good.
    pub(super) fn is_away(&self, place: usize) -> bool {
        self.fleet.away.contains_key(&place)
    }

    /// Who is there, of those of whom it has to be told. What a server that was killed did not see go is not told.
    pub(super) fn online(&self) -> BTreeMap<String, bool> {
        let devices = self.devices.iter().enumerate();
        let known = devices.filter_map(|(place, device)| match self.fleet.away.get(&place) {
            None => Some((device.id.clone(), true)),
            Some(life) => (*life == Some(self.lives)).then(|| (device.id.clone(), false)),
        });
        let sleepers = self.sleepers.iter().map(|sleeper| (sleeper.id.clone(), true));
        known.chain(sleepers).collect()
    }

    /// How often devices answered each command, by its record.
    pub(super) fn answers(&self, records: &BTreeMap<u64, Value>) -> BTreeMap<String, usize> {
        let known = self.known().into_iter().filter_map(|(number, id)| {
            let entry = self.ledger.entries.get(usize::try_from(number).ok()?)?;
            let events = records.get(&number)?.get("events")?.as_array()?;
            let statuses: Vec<&str> = events
                .iter()
                .filter_map(|event| event.get("status")?.as_str())
                .collect();
            // One that sleeps may have refused it, which is no answer.
            let unclear = entry.sleeper && statuses.contains(&"FAILED");
            let answered = statuses
                .iter()
                .filter(|status| ["SUCCESSFUL", "FAILED"].contains(status));
            (!unclear).then(|| (id, answered.count()))
        });
        known.collect()
    }
}
