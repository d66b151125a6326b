//! Scripts: a world in which nothing is left to chance but small delays, and what happens is written down step by step.
//!
//! A seed that found a bug finds another one, or none, as soon as the world changes. So each bug is told once more as a script, with
//! as few steps as show it, and the promises are looked at when it has been played, as after any run.

mod pushes;

use std::fmt::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use downlink_fleet::packet::Qos;
use downlink_fleet::topic::Family;
use downlink_server::simulated::set_chance;
use serde_json::Value;

use crate::device::{Device, Manner};
use crate::outside::{DiskMood, StopAt};

use super::app::{self, What};
use super::{Todo, World};

/// Where the small delays come from.
const SEED: u64 = 1;
/// How long a step may wait for what it waits for, in milliseconds of the world.
const PATIENCE: u64 = 15 * 60_000;
/// How often it looks.
const LOOK: u64 = 100;
/// How long a script may take outside, where all of it is a matter of a second: a server that does not rest has no end.
const LONGEST: Duration = Duration::from_secs(60);

/// The world of a script. All its times are milliseconds.
pub struct Script {
    world: World,
}

/// Plays a script, lets all come right, and looks at the promises.
///
/// # Errors
/// A step did not come to what it waits for, a promise was broken, or it has no end. The log of the world is in it.
pub fn play(story: impl FnOnce(&mut Script) -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let (end, ended) = mpsc::channel();
    // A thread of its own, which is left behind if it has no end.
    thread::spawn(move || {
        // Nobody listens any more: it took too long.
        let _heard = end.send(Script::played(story));
    });
    match ended.recv_timeout(LONGEST) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => bail!("no end within {LONGEST:?}: something does not rest"),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("it panicked"),
    }
}

impl Script {
    fn played(story: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        set_chance(SEED);
        let mut world = World::new(SEED)?;
        world.tail = Some(16_384);
        world.boot()?;
        let app = world.life.as_ref().map(|life| life.make_app("app", app::TOKEN));
        app.transpose()?;
        let mut script = Self { world };
        let told = script.lives(story);
        told.map_err(|error| {
            let mut text = format!("{error:#}\n");
            // A string takes all that is written to it.
            let _taken = write!(text, "{}", script.world.log);
            anyhow!(text)
        })
    }

    fn lives(&mut self, story: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        story(self)?;
        self.world.heal()?;
        self.world.finish()?;
        let broken = self.world.ledger.all_violations();
        ensure!(broken.is_empty(), "{}", broken.join("\n"));
        Ok(())
    }

    /// A device that takes commands in this manner, and has a session. Gives its number.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn device(&mut self, family: Family, qos: Qos, manner: Manner) -> anyhow::Result<usize> {
        let place = self.world.devices.len();
        let (id, secret) = self.world.register(&format!("mqtt-{place}"), "MQTT")?;
        let mut device = Device::new(id, secret, family, qos);
        device.manner = manner;
        self.world.devices.push(device);
        self.world.plan(0, Todo::Connect(place));
        self.pass(1_000)?;
        Ok(place)
    }

    /// The device leaves, and does not come back by itself.
    pub fn leave(&mut self, device: usize) {
        self.world.leaves_for_good(device);
    }

    /// It is there again, with a session.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn come(&mut self, device: usize) -> anyhow::Result<()> {
        self.world.comes_back(device);
        self.pass(1_000)
    }

    /// The application removes it. Comes back when that was answered, or the machine has stopped.
    ///
    /// # Errors
    /// Neither comes.
    pub fn remove(&mut self, device: usize) -> anyhow::Result<()> {
        self.world.remove_device(device);
        self.wait("the end of a removal", |world| {
            let mut calls = world.calls.values();
            !calls.any(|call| matches!(call.what, What::Remove(_)))
        })
    }

    /// From now on the device takes commands in this manner.
    pub fn takes(&mut self, device: usize, manner: Manner) {
        self.world.devices[device].manner = manner;
    }

    /// The application creates a command, by a call with a key. Comes back when it was answered, or the machine has stopped.
    /// `expires`: seconds; 0: it is immediate. Gives the command's number.
    ///
    /// # Errors
    /// Neither comes.
    pub fn create(&mut self, device: usize, expires: u64) -> anyhow::Result<u64> {
        let (number, call) = self.world.create_for(device, expires, 0, true);
        self.answered(call)?;
        Ok(number)
    }

    /// The application makes the call for a command again: it got no answer.
    ///
    /// # Errors
    /// As there.
    pub fn create_again(&mut self, number: u64) -> anyhow::Result<()> {
        let call = self.world.call_for(number, true);
        self.answered(call)
    }

    /// The application asks for a batch task for some of the devices: for the only one, if there is one. Comes back when it was
    /// answered.
    ///
    /// # Errors
    /// No answer comes.
    pub fn task(&mut self) -> anyhow::Result<()> {
        self.world.create_task();
        self.wait("a task", |world| {
            world
                .ledger
                .tasks
                .all
                .last()
                .is_some_and(|task| task.id.is_some())
        })
    }

    fn answered(&mut self, call: u64) -> anyhow::Result<()> {
        self.wait("an answer", |world| !world.calls.contains_key(&call))
    }

    /// The device answers a command that it got, once more or at last, as soon as it has a session. `code` 0: it worked.
    ///
    /// # Errors
    /// It never got it, or does not get a session.
    pub fn answer(&mut self, number: u64, code: i64) -> anyhow::Result<()> {
        let place = self.entry(number)?.device;
        self.wait("a session", |world| {
            world.life.is_some() && world.devices[place].current.is_some()
        })?;
        let device = &mut self.world.devices[place];
        let connection = device.current.unwrap_or_default();
        let acts = device
            .answer_again(connection, number, code)
            .ok_or_else(|| anyhow!("device {place} never got {number}"))?;
        for act in acts {
            self.world.do_device(place, act);
        }
        self.pass(1_000)
    }

    /// Lives on until the record of a command says this status.
    ///
    /// # Errors
    /// It does not come to it, or the server is off.
    pub fn until(&mut self, number: u64, status: &str) -> anyhow::Result<()> {
        let limit = self.world.now + PATIENCE;
        loop {
            let path = self.path(number)?;
            if path.last().is_some_and(|last| last == status) {
                return Ok(());
            }
            ensure!(
                self.world.now < limit,
                "{number} is not {status}, but went {path:?}"
            );
            self.pass(LOOK)?;
        }
    }

    /// The statuses that a command had so far, by its record.
    ///
    /// # Errors
    /// It has no id, or the server is off.
    pub fn path(&mut self, number: u64) -> anyhow::Result<Vec<String>> {
        let id = self.id(number)?.to_owned();
        let (_, record) = self
            .world
            .ask("GET", &format!("/downlink/v1/commands/{id}"), None)?;
        let events = record.get("events").and_then(Value::as_array);
        let status = |event: &Value| Some(event.get("status")?.as_str()?.to_owned());
        Ok(events.into_iter().flatten().filter_map(status).collect())
    }

    /// How often a command arrived at its device.
    ///
    /// # Errors
    /// There is no such command.
    pub fn received(&self, number: u64) -> anyhow::Result<u32> {
        Ok(self.entry(number)?.received)
    }

    fn entry(&self, number: u64) -> anyhow::Result<&crate::ledger::Entry> {
        let entry = self.world.ledger.entries.get(usize::try_from(number)?);
        entry.ok_or_else(|| anyhow!("there is no command {number}"))
    }

    fn id(&self, number: u64) -> anyhow::Result<&str> {
        let id = self.entry(number)?.id.as_deref();
        id.ok_or_else(|| anyhow!("{number} was never answered"))
    }

    /// How long the world has lasted.
    pub fn now(&self) -> u64 {
        self.world.now
    }

    /// Time passes.
    ///
    /// # Errors
    /// The server does not start again.
    pub fn pass(&mut self, ms: u64) -> anyhow::Result<()> {
        self.world.live_until(self.world.now + ms)
    }

    /// The machine stops, now, and stays off.
    ///
    /// # Errors
    /// None.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.world.crash("by the script")
    }

    /// The machine will stop by itself, and stay off.
    pub fn crash_at(&mut self, when: StopAt) {
        if let Some(life) = &self.world.life {
            life.outside().stop_at(Some(when));
        }
    }

    /// The server starts.
    ///
    /// # Errors
    /// It cannot.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.world.boot()
    }

    /// The wall clock jumps by so many milliseconds.
    pub fn clock(&mut self, by: i64) {
        self.world.jump_by(by);
    }

    /// The disk is so from now on, until the next start.
    pub fn disk(&mut self, mood: DiskMood) {
        if let Some(life) = &self.world.life {
            life.outside().set_mood(mood);
        }
    }

    fn wait(&mut self, what: &str, is_so: impl Fn(&World) -> bool) -> anyhow::Result<()> {
        let limit = self.world.now + PATIENCE;
        while !is_so(&self.world) {
            ensure!(self.world.now < limit, "{what} did not come");
            self.pass(LOOK)?;
        }
        Ok(())
    }
}
