//! The world around the server: what happens next, and to whom.
//!
//! [`run`] lives through one seed: a calm beginning, a rough time in which everything goes wrong, and a calm end in which all has
//! to come right.

mod app;
mod cancel_tasks;
mod datagram;
pub(crate) mod fault;
mod feed;
mod notices;
mod operator;
mod receivers;
pub(crate) mod script;
mod step;
mod subscriptions;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use downlink_fleet::packet::Qos;
use downlink_fleet::topic::Family;
use downlink_server::simulated::{Reply, set_chance};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::chance::Chance;
use crate::device::Device;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::sleeper::Sleeper;

use self::app::Call;
use self::fault::Mood;
use self::notices::Fleet;
use self::receivers::Unanswered;
use self::subscriptions::Wish;

/// The rough time, in milliseconds.
const ROUGH: u64 = 12 * 60_000;
/// How long the calm end may take until all is told.
const CALM: u64 = 3 * 3_600_000;
/// How late a device answers at the most.
const LATEST: u64 = 240_000;
/// The wall clock at the beginning.
const WALL: i64 = 1_800_000_000_000;
/// Steps after which a run is taken to go in circles.
const MOST_STEPS: u64 = 200_000;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Promises that were broken.
    pub violations: Vec<String>,
    /// What happened, a line each.
    pub log: String,
    /// Things that happened.
    pub steps: u64,
    /// Commands that were answered 201.
    pub commands: u64,
    /// Reports of devices that were acknowledged.
    pub reports: u64,
    /// Commits of the store, and those that failed.
    pub commits: (u64, u64),
    /// How often a fault met a command in this status.
    pub met: BTreeMap<(&'static str, String), u64>,
    /// Virtual milliseconds.
    pub lasted: u64,
}

/// Something that happens at its time.
enum Todo {
    Boot,
    Crash(&'static str),
    Arm,
    ClockJump,
    DiskTurn,
    ReceiverTurn(usize),
    AppActs,
    OperatorActs,
    Request(u64),
    Answered(u64, u16, Vec<u8>),
    Connect(usize),
    ToServer(usize, u64, Vec<u8>, bool),
    CutByDevice(usize, u64),
    ToDevice(usize, u64, Vec<u8>),
    CutByServer(usize, u64),
    SleeperActs(usize),
    SleeperReboots(usize),
    DatagramToServer(usize, Vec<u8>),
    DatagramToSleeper(usize, Vec<u8>),
    Reports(usize),
    FleetChanges,
    LeavesForGood(usize),
    HangsUp(usize),
    DiskFills(bool),
    BatchActs,
    Withdraws,
    ChangesMind,
    Follows(usize, bool),
    Reply(oneshot::Sender<Reply>, Reply, Option<(String, u32)>),
}

/// See the module.
struct World {
    chance: Chance,
    now: u64,
    wall: i64,
    rough: bool,
    queue: BTreeMap<(u64, u64), Todo>,
    serial: u64,
    life: Option<Life>,
    lives: u64,
    devices: Vec<Device>,
    sleepers: Vec<Sleeper>,
    /// Due times of the sleepers that stand in the queue.
    ticks: Vec<Option<u64>>,
    moods: Vec<Mood>,
    unanswered: VecDeque<Unanswered>,
    /// How much the store keeps in its tail; none: as chance has it.
    tail: Option<i64>,
    /// Whether the wall clock jumps.
    jumpy: bool,
    calls: BTreeMap<u64, Call>,
    /// The last answer that arrived.
    taken: Option<(u64, u16, Vec<u8>)>,
    connections: BTreeMap<u64, usize>,
    /// When the last bytes to and from a connection arrive: they do not overtake each other.
    arrivals: BTreeMap<u64, (u64, u64)>,
    /// When the latest of a device's answers, or of the datagrams from and to it, arrives.
    latest: BTreeMap<(&'static str, usize), u64>,
    ledger: Ledger,
    fleet: Fleet,
    wishes: Vec<Wish>,
    log: String,
    steps: u64,
    commits: (u64, u64),
    met: BTreeMap<(&'static str, String), u64>,
    // Last: the store lies in it.
    dir: TempDir,
}

/// Lives through a seed.
///
/// # Errors
/// The simulation itself cannot run: no directory, or the server does not start.
pub fn run(seed: u64) -> anyhow::Result<Report> {
    set_chance(seed);
    let mut world = World::new(seed)?;
    world.begin()?;
    world.live_until(ROUGH)?;
    world.heal()?;
    world.finish()?;
    let commands = world
        .ledger
        .entries
        .iter()
        .filter(|entry| entry.id.is_some())
        .count();
    Ok(Report {
        seed,
        violations: world.ledger.all_violations(),
        reports: world.ledger.notices.kept() as u64,
        log: world.log,
        steps: world.steps,
        commands: commands as u64,
        commits: world.commits,
        met: world.met,
        lasted: world.now,
    })
}

/// In memory where there is such a place: nothing here has to outlive the machine.
fn directory() -> std::io::Result<TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    match memory.is_dir() {
        true => TempDir::new_in(memory),
        false => TempDir::new(),
    }
}

impl World {
    fn new(seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            chance: Chance::new(seed),
            now: 0,
            wall: WALL,
            rough: false,
            queue: BTreeMap::new(),
            serial: 0,
            life: None,
            lives: 0,
            devices: Vec::new(),
            sleepers: Vec::new(),
            ticks: Vec::new(),
            moods: vec![Mood::Good; 3],
            unanswered: VecDeque::new(),
            tail: None,
            jumpy: false,
            calls: BTreeMap::new(),
            taken: None,
            connections: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            latest: BTreeMap::new(),
            ledger: Ledger::default(),
            fleet: Fleet::default(),
            wishes: Vec::new(),
            log: String::new(),
            steps: 0,
            commits: (0, 0),
            met: BTreeMap::new(),
            dir: directory()?,
        })
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        // A string takes all that is written to it.
        let _taken = writeln!(self.log, "{} {what}", self.now);
    }

    fn plan(&mut self, after: u64, what: Todo) {
        self.serial += 1;
        self.queue.insert((self.now + after, self.serial), what);
    }

    /// A server, applications and devices, before anything goes wrong.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.boot()?;
        let app = self.life.as_ref().map(|life| life.make_app("app", app::TOKEN));
        app.transpose()?;
        self.subscribe()?;
        for place in 0..4 {
            let (id, secret) = self.register(&format!("mqtt-{place}"), "MQTT")?;
            let family = if place % 2 == 0 {
                Family::Legacy
            } else {
                Family::Oc
            };
            let qos = if place == 3 { Qos::Zero } else { Qos::One };
            self.devices.push(Device::new(id, secret, family, qos));
            let after = self.chance.below(2000);
            self.plan(after, Todo::Connect(place));
        }
        for place in 0..3_u8 {
            let node = format!("sleeper-{place}");
            let (id, _) = self.register(&node, "LWM2M")?;
            let sleeper = Sleeper::new(node, id, place, self.now, &mut self.chance);
            self.sleepers.push(sleeper);
            self.ticks.push(None);
            self.watch(usize::from(place));
        }
        self.rough = true;
        self.plan(500, Todo::AppActs);
        self.plan(2_000, Todo::OperatorActs);
        self.plan_faults();
        self.plan_reports(ROUGH);
        self.plan(3_000, Todo::BatchActs);
        self.plan(4_000, Todo::Withdraws);
        self.plan(20_000, Todo::ChangesMind);
        self.plan_feed(ROUGH);
        Ok(())
    }

    /// Registers a device by a call, and waits for its answer.
    fn register(&mut self, node: &str, protocol: &str) -> anyhow::Result<(String, String)> {
        let info = json!({"nodeId": node, "protocolType": protocol, "deviceType": "Lamp", "model": "L1"});
        let body = json!({"deviceInfo": info, "mqttConnect": protocol == "MQTT"});
        let (status, answer) = self.ask("POST", "/iocm/app/reg/v2.0.0/deviceCredentials", Some(&body))?;
        let text = |member: &str| Some(answer.get(member)?.as_str()?.to_owned());
        let id = text("deviceId").ok_or_else(|| anyhow::anyhow!("{status}: {answer}"))?;
        self.ledger.notices.added(&id);
        Ok((id, text("secret").unwrap_or_default()))
    }

    /// Lives until this time.
    fn live_until(&mut self, end: u64) -> anyhow::Result<()> {
        while self.now < end && self.steps < MOST_STEPS {
            self.step(end)?;
        }
        Ok(())
    }

    /// All that goes wrong stops: the server runs, devices are there, receivers accept.
    fn heal(&mut self) -> anyhow::Result<()> {
        self.rough = false;
        self.note(format_args!("calm"));
        self.moods.fill(Mood::Good);
        match &self.life {
            Some(life) if life.outside().is_alive() => {
                life.outside().stop_at(None);
                life.outside().set_mood(fault::CALM_DISK);
            }
            Some(_) | None => self.crash("calm")?,
        }
        if self.life.is_none() {
            self.boot()?;
        }
        self.release_all()?;
        for place in 0..self.devices.len() {
            self.plan(1000, Todo::Connect(place));
        }
        self.plan_last_trial();
        Ok(())
    }

    /// Lives on until all is told, and then looks at each command.
    fn finish(&mut self) -> anyhow::Result<()> {
        let limit = self.now + CALM;
        let mut records: BTreeMap<u64, Value> = BTreeMap::new();
        // The latest answers are on their way.
        self.live_until(self.now + LATEST)?;
        loop {
            self.live_until(self.now + 60_000)?;
            let late = self.now > limit || self.steps >= MOST_STEPS;
            // Where nothing seems to be open all is looked at once more.
            if (self.is_quiet(&mut records, false)? && self.is_quiet(&mut records, true)?) || late {
                break;
            }
        }
        for (number, record) in &records {
            self.ledger.check(*number, record);
            for status in self.ledger.graced(*number, record) {
                *self.met.entry(("grace", status)).or_default() += 1;
            }
        }
        self.check_tasks(&records)?;
        self.check_cancel_tasks(&records)?;
        self.check_feed(&records)?;
        let (online, answers) = (self.online(), self.answers(&records));
        let (notices, operator) = (&mut self.ledger.notices, &self.ledger.operator);
        notices.check(&online, &answers, operator);
        self.ledger.operator.check_notices();
        if let Some(life) = &self.life {
            let (done, refused) = life.outside().commits();
            self.commits = (self.commits.0 + done, self.commits.1 + refused);
        }
        Ok(())
    }

    /// Whether all is over and told, of what is read again: all, or what was not over and told when it was last read.
    fn is_quiet(&mut self, records: &mut BTreeMap<u64, Value>, all: bool) -> anyhow::Result<bool> {
        let mut quiet = self.look_at_tasks(all)?
            && (!all || self.are_cancel_tasks_over()?)
            && self.ledger.notices.is_told(&self.online(), &self.ledger.operator)
            && self.ledger.operator.are_notices_told();
        for (number, id) in &self.known() {
            if !all
                && let Some(record) = records.get(number)
                && self.ledger.is_told(id, record)
            {
                continue;
            }
            let (status, record) = self.ask("GET", &format!("/downlink/v1/commands/{id}"), None)?;
            self.ledger.read(id, status);
            quiet &= self.ledger.is_told(id, &record);
            records.insert(*number, record);
        }
        Ok(quiet)
    }

    /// The commands that were answered 201.
    fn known(&self) -> Vec<(u64, String)> {
        let entries = self.ledger.entries.iter().enumerate();
        let known = entries.filter_map(|(place, entry)| Some((place as u64, entry.id.clone()?)));
        known.collect()
    }
}
