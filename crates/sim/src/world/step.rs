//! One step: time goes on to whatever comes first, and that happens.

use crate::device;
use crate::ledger::entry;
use crate::outside::Seen;
use crate::sleeper;
use downlink_fleet::topic::Key;

use super::receivers::GONE;
use super::{Todo, World};

impl World {
    /// Lives to the next thing that happens, or to `end`.
    pub(super) fn step(&mut self, end: u64) -> anyhow::Result<()> {
        self.steps += 1;
        let next = self
            .queue
            .first_key_value()
            .map_or(end, |((at, _), _)| *at)
            .min(end);
        if let Some(life) = &self.life {
            self.now = life.run(next).max(self.now);
        } else {
            self.now = next.max(self.now);
        }
        while let Some(seen) = self.life.as_ref().and_then(|life| life.outside().take()) {
            self.see(seen);
        }
        if self.life.as_ref().is_some_and(|life| !life.outside().is_alive()) {
            self.crash("by itself")?;
        }
        while let Some(first) = self.queue.first_entry()
            && first.key().0 <= self.now
        {
            let todo = first.remove();
            self.happen(todo)?;
        }
        Ok(())
    }

    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Bytes(connection, bytes) => {
                if let Some(&device) = self.connections.get(&connection) {
                    let after = self.latency(connection, false);
                    self.plan(after, Todo::ToDevice(device, connection, bytes));
                }
            }
            Seen::Closed(connection) => {
                if let Some(&device) = self.connections.get(&connection) {
                    let after = self.latency(connection, false);
                    self.plan(after, Todo::CutByServer(device, connection));
                }
            }
            Seen::Datagram(to, bytes) => self.datagram_out(to, &bytes),
            Seen::Push(letter, reply) => self.push(&letter, reply),
            Seen::Answer(call, status, body) => {
                self.operator_answered(call, status, &body);
                let after = self.chance.below(20);
                self.plan(after, Todo::Answered(call, status, body));
            }
        }
    }

    /// How long bytes take on a connection, so that they overtake none before them.
    fn latency(&mut self, connection: u64, to_server: bool) -> u64 {
        let most = if self.rough && self.chance.percent(5) {
            5_000
        } else {
            30
        };
        let at = self.now + self.chance.below(most);
        let last = self.arrivals.entry(connection).or_default();
        let last = if to_server { &mut last.0 } else { &mut last.1 };
        *last = at.max(*last);
        *last - self.now
    }

    fn happen(&mut self, todo: Todo) -> anyhow::Result<()> {
        match todo {
            Todo::Boot => self.boot()?,
            Todo::Crash(how) if self.rough => self.crash(how)?,
            Todo::Crash(_) => {}
            Todo::Arm => self.arm(),
            Todo::ClockJump => self.turn_clock(),
            Todo::DiskTurn => self.turn_disk(),
            Todo::ReceiverTurn(place) => self.turn_receiver(place),
            Todo::AppActs => self.app_acts(),
            Todo::OperatorActs => self.operator_acts(),
            Todo::Request(call) => self.request(call)?,
            Todo::Answered(call, status, body) => {
                self.answered(call, status, &body);
                self.taken = Some((call, status, body));
            }
            Todo::Connect(device) => self.connect(device),
            Todo::ToServer(device, connection, bytes, anyway) => {
                self.arrives_at_server(device, connection, &bytes, anyway);
            }
            Todo::CutByDevice(device, connection) => self.cut_by_device(device, connection),
            Todo::ToDevice(device, connection, bytes) => self.arrives_at_device(device, connection, &bytes),
            Todo::CutByServer(device, connection) => self.cut_by_server(device, connection),
            Todo::SleeperActs(place) => self.sleeper_acts(place),
            Todo::SleeperReboots(place) => self.reboot(place),
            Todo::DatagramToServer(place, bytes) => self.datagram_in(place, bytes),
            Todo::DatagramToSleeper(place, bytes) => {
                let acts = self.sleepers[place].hear(&bytes, self.now);
                self.do_sleeper(place, acts);
            }
            Todo::Reports(place) => self.reports(place),
            Todo::FleetChanges => self.fleet_changes(),
            Todo::Follows(follower, always) => self.follows(follower, always),
            Todo::HangsUp(place) => self.hangs_up(place),
            Todo::DiskFills(full) => self.disk_fills(full),
            Todo::BatchActs => self.batch_acts(),
            Todo::Withdraws => self.withdraws(),
            Todo::ChangesMind => self.changes_mind(),
            Todo::LeavesForGood(place) => self.leaves_for_good(place),
            Todo::Reply(to, reply, accepted) => {
                match accepted {
                    Some((id, seq)) if reply == GONE => self.ledger.refused(&id, seq),
                    Some((id, seq)) => self.ledger.accepted(&id, seq),
                    None => {}
                }
                // A server that is gone does not hear it.
                let _heard = to.send(reply);
            }
        }
        Ok(())
    }

    fn connect(&mut self, place: usize) {
        // In the calm who is connected stays so: what was to be told of it has to be told all the same.
        if self.is_away(place) || (!self.rough && self.devices[place].current.is_some()) {
            return;
        }
        self.serial += 1;
        let connection = self.serial;
        let Some(life) = &mut self.life else {
            let after = self.chance.between(500, 15_000);
            self.plan(after, Todo::Connect(place));
            return;
        };
        life.connect(connection);
        self.ledger.lives.spoke(place);
        self.connections.insert(connection, place);
        if self.devices[place].current.is_some() {
            self.meet("second session");
        }
        self.note(format_args!("device {place} connects as {connection}"));
        let bytes = self.devices[place].connect(connection);
        let after = self.latency(connection, true);
        self.plan(after, Todo::ToServer(place, connection, bytes, false));
        // Not every device waits until it misses its connection.
        if self.rough && self.chance.percent(30) {
            let after = self.chance.between(5_000, 120_000);
            self.plan(after, Todo::Connect(place));
        }
    }

    fn arrives_at_server(&mut self, place: usize, connection: u64, bytes: &[u8], anyway: bool) {
        let device = &self.devices[place];
        let over = match device.has(connection) {
            true => Some(connection),
            false => device.current.filter(|_| anyway),
        };
        let Some(over) = over else {
            self.meet_of("packet lost", place);
            if anyway {
                self.say_again(place, connection, bytes);
            }
            return;
        };
        // What waits for its own time must not overtake what is on its way.
        if let Some(life) = &self.life {
            life.arrive(over, bytes);
        }
    }

    /// An answer found no server: the device gives it when it is there again, or forgets it.
    fn say_again(&mut self, place: usize, connection: u64, bytes: &[u8]) {
        if self.chance.percent(90) {
            let after = self.chance.between(1_000, 30_000);
            self.plan(after, Todo::ToServer(place, connection, bytes.to_vec(), true));
        }
    }

    pub(super) fn cut_by_device(&mut self, place: usize, connection: u64) {
        if !self.devices[place].has(connection) {
            return;
        }
        self.note(format_args!("device {place} cuts {connection}"));
        self.meet("device hangs up");
        self.devices[place].gone(connection);
        self.connections.remove(&connection);
        if let Some(life) = &mut self.life {
            life.end(connection);
        }
        self.come_again(place);
    }

    fn cut_by_server(&mut self, place: usize, connection: u64) {
        if !self.devices[place].has(connection) {
            return;
        }
        self.note(format_args!("device {place} loses {connection}"));
        self.devices[place].gone(connection);
        self.connections.remove(&connection);
        if let Some(life) = &mut self.life {
            life.end(connection);
        }
        self.come_again(place);
    }

    fn come_again(&mut self, place: usize) {
        if self.devices[place].current.is_none() {
            let most = if self.rough {
                *self.chance.pick(&[200, 5_000, 60_000])
            } else {
                2_000
            };
            let after = self.chance.below(most);
            self.plan(after, Todo::Connect(place));
        }
    }

    fn arrives_at_device(&mut self, place: usize, connection: u64, bytes: &[u8]) {
        let rough = self.rough;
        if !self.devices[place].has(connection) {
            self.meet_of("packet lost", place);
        }
        let acts = self.devices[place].hear(connection, bytes, rough, &mut self.chance);
        for act in acts {
            self.do_device(place, act);
        }
        if rough && self.chance.percent(15) {
            self.speak_for_another(place, connection);
        }
    }

    pub(super) fn do_device(&mut self, place: usize, act: device::Act) {
        let act = self.of_task(place, act);
        match act {
            device::Act::Write {
                connection,
                bytes,
                after,
                anyway,
            } => {
                let after = after + self.chance.below(20);
                if anyway && self.is_overtaking("answers", place, after) {
                    self.meet_of("answer overtaken", place);
                }
                self.plan(after, Todo::ToServer(place, connection, bytes, anyway));
            }
            device::Act::Cut(connection, after) => self.plan(after, Todo::CutByDevice(place, connection)),
            device::Act::Reported(number) => self.ledger.notices.acknowledged(number),
            device::Act::Ready(connection) => self.is_ready(place, connection),
            device::Act::Received(number, key) => {
                self.note(format_args!("device {place} gets {number} as {key}"));
                let entry = entry(&mut self.ledger.entries, number);
                entry.received += 1;
            }
            device::Act::Confirmed(number) => entry(&mut self.ledger.entries, number).confirmed = true,
            device::Act::Acked(number) => entry(&mut self.ledger.entries, number).acked = true,
            device::Act::Answers(number, code) => {
                self.note(format_args!("device {place} answers {number} with {code}"));
                let entry = entry(&mut self.ledger.entries, number);
                let twice = entry.succeeded || entry.failed;
                entry.succeeded |= code == 0;
                entry.failed |= code != 0;
                if twice {
                    self.meet_of("answer doubled", place);
                }
            }
        }
        self.ledger.there.insert(place);
    }

    /// A device answers what another was asked.
    fn speak_for_another(&mut self, place: usize, connection: u64) {
        // Of the same family.
        let other = (place + 2) % self.devices.len();
        let Some(key) = self.devices[other].overheard.last().cloned() else {
            return;
        };
        // The numbers of the older family are each device's own: there it would be an answer to its own command.
        if matches!(key, Key::Mid(_)) {
            return;
        }
        let act = self.devices[place].answer(connection, &key, "SWITCH", 0, 0);
        self.do_device(place, act);
    }

    /// Plans when a sleeper next acts, if that is not planned.
    pub(super) fn watch(&mut self, place: usize) {
        let Some(due) = self.sleepers[place].due() else {
            return;
        };
        // A device whose time has passed and that does nothing waits for something else.
        let due = due.max(self.now + 1);
        if self.ticks[place].is_none_or(|planned| planned > due || planned < self.now) {
            self.ticks[place] = Some(due);
            self.plan(due - self.now, Todo::SleeperActs(place));
        }
    }

    fn sleeper_acts(&mut self, place: usize) {
        if self.ticks[place].is_some_and(|planned| planned <= self.now) {
            self.ticks[place] = None;
        }
        let acts = self.sleepers[place].tick(self.now);
        self.do_sleeper(place, acts);
    }

    fn reboot(&mut self, place: usize) {
        if !self.rough {
            return;
        }
        self.note(format_args!("sleeper {place} reboots"));
        self.meet("device reboots");
        self.sleepers[place].reboot(self.now, &mut self.chance);
        self.watch(place);
        let after = self.chance.between(60_000, 600_000);
        self.plan(after, Todo::SleeperReboots(place));
    }

    fn do_sleeper(&mut self, place: usize, acts: Vec<sleeper::Act>) {
        let device = self.devices.len() + place;
        for act in acts {
            match self.of_sleeper_task(device, act) {
                sleeper::Act::Datagram(bytes) => {
                    for after in self.datagram_times("to the server", place) {
                        self.plan(after, Todo::DatagramToServer(place, bytes.clone()));
                    }
                }
                sleeper::Act::Received(number) => {
                    self.note(format_args!("sleeper {place} gets {number}"));
                    let entry = entry(&mut self.ledger.entries, number);
                    entry.received += 1;
                }
                sleeper::Act::Acked(number) => entry(&mut self.ledger.entries, number).acked = true,
                sleeper::Act::Answers(number, worked) => {
                    let entry = entry(&mut self.ledger.entries, number);
                    entry.succeeded |= worked;
                    entry.failed |= !worked;
                }
                sleeper::Act::IsThere => {
                    self.ledger.there.insert(device);
                }
            }
        }
        self.watch(place);
    }
}
