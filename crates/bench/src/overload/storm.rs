//! A storm of connects: all devices lose their connections at once, while commands for them are created all the time, and
//! come back within seconds. Nothing that was accepted may be lost; the last notice of each device has to say that it is there.

mod notices;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use self::notices::Notices;
use super::answers::tell_times;
use super::calm::Lone;
use super::creates::{call, told};
use super::flood::Flood;
use crate::cycle::{Plan, Stage};
use crate::report::{Report, Run, Times};
use crate::world::device::{self, Habit, Passwords};
use crate::world::memory::Memory;
use crate::world::parallel::each;
use crate::world::server::Target;
use crate::world::usage::Span;
use crate::world::{Common, disk, fleet, limits};

/// Connections by which commands are created.
const CREATORS: usize = 64;
/// A device that was refused comes again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// Numbers of the commands begin with this one.
const FIRST: u64 = 1 << 32;

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Devices
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(1..))]
    devices: u64,
    /// How many of them are on their way at once
    #[arg(long, default_value_t = 2000)]
    at_once: usize,
    /// Commands created a second, before, while, and after they are gone
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long they are gone before the first comes back, ms
    #[arg(long, default_value_t = 1000)]
    gone_ms: u64,
    /// The application is not subscribed to the coming and going of devices
    #[arg(long)]
    without_notices: bool,
    /// Storms
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.devices + CREATORS as u64)?;
    let mut report = Report::new("storm");
    report.fact("devices", options.devices);
    report.fact("at_once", options.at_once);
    report.fact("rate", options.rate);
    report.fact("notices", !options.without_notices);
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let done = LocalSet::new().run_until(measure(&options, &mut report)).await;
    std::fs::remove_dir_all(dir)?;
    report.give(options.common.json.as_deref())?;
    done
}

async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let plan = Plan {
        devices: options.devices as usize,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    };
    let mut stage = Stage::open(Target::Downlink, &options.common, &plan).await?;
    let notices = match options.without_notices {
        true => None,
        false => Some(Notices::subscribe(&stage).await?),
    };
    stage.devices = stage.enroll(0..options.devices).await?;
    let mut there = Devices::new(&stage);
    there.come(&stage, options.at_once).await?;
    for turn in 0..options.runs {
        eprintln!("storm {} of {}", turn + 1, options.runs);
        let mut run = Run::default();
        let first = FIRST * (1 + turn as u64);
        let stormed = storm(&stage, &mut there, options, first, &mut run).await;
        if let (Ok(()), Some(notices)) = (&stormed, &notices) {
            notices.all_there(options.devices, &mut run).await?;
        }
        eprintln!("  {}", run.line());
        report.add("storm", run);
        stormed?;
    }
    stage.server.kill().await
}

async fn storm(
    stage: &Stage,
    there: &mut Devices,
    options: &Options,
    first: u64,
    run: &mut Run,
) -> anyhow::Result<()> {
    let mut lone = Lone::learn(stage, run).await?;
    let memory = Memory::watch(stage.server.pid()?)?;
    let flood = Flood::open(stage, CREATORS, call(stage, stage.callback.clone())).await?;
    let long = Duration::from_millis(options.gone_ms) + Duration::from_secs(5);
    let creating = flood.run(first, options.rate, long);
    let storming = async {
        // Some commands are under way when it begins.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (span, began) = (Span::of(stage.server.pid()?)?, Instant::now());
        there.go();
        tokio::time::sleep(Duration::from_millis(options.gone_ms)).await;
        let mut came = there.come(stage, options.at_once).await?;
        let (spent, all) = (span.spent()?, began.elapsed());
        anyhow::Ok((
            came.times.count(),
            all,
            spent,
            came.refused,
            std::mem::take(&mut came.times),
        ))
    };
    let (_points, (count, all, spent, refused, mut times)) = tokio::try_join!(creating, storming)?;
    run.add("all_there_after_s", all.as_secs_f64());
    run.add("connects_refused", refused as f64);
    tell_times(run, "connect", &mut times);
    run.add("cpu_us_per_device", spent.cpu_us(count));
    run.add("bytes_written_per_device", spent.bytes(count));
    run.add("driver_cpu_share", spent.driver_share());
    let over = Instant::now();
    let ids = flood.answers.borrow().ids.clone();
    let untold = told(stage, &ids, &lone.answers).await;
    run.add("all_told_after_s", over.elapsed().as_secs_f64());
    run.add("calm_after_s", lone.calm_again(over).await?.as_secs_f64());
    flood.answers.borrow_mut().tell(run);
    run.add("lost", untold as f64);
    run.add("duplicates", stage.pushed.borrow().duplicates as f64);
    run.add("out_of_order", stage.pushed.borrow().out_of_order as f64);
    memory.tell(run)?;
    ensure!(
        untold == 0,
        "{untold} accepted commands were not told to their end"
    );
    flood.answers.borrow().check()
}

/// All devices, each answering its commands while it is connected.
struct Devices {
    answering: Rc<RefCell<Vec<JoinHandle<anyhow::Result<()>>>>>,
    habit: Habit,
}

/// How they came.
struct Came {
    /// From the first try of each to its SUBACK.
    times: Times,
    refused: u64,
}

impl Devices {
    fn new(stage: &Stage) -> Self {
        Self {
            answering: Rc::default(),
            habit: Habit {
                arrivals: Rc::clone(&stage.arrivals),
                pad: 0,
                kept: None,
            },
        }
    }

    /// All connections are reset.
    fn go(&self) {
        for answering in self.answering.take() {
            answering.abort();
        }
    }

    /// All connect, so many at once, and again if they are refused.
    async fn come(&self, stage: &Stage, at_once: usize) -> anyhow::Result<Came> {
        let (devices, passwords) = (Rc::clone(&stage.devices), Passwords::new());
        let (habit, answering) = (self.habit.clone(), Rc::clone(&self.answering));
        let work = async move |door: &mut _, n: u64| {
            let (began, mut refused, id) = (Instant::now(), 0_u64, &devices[n as usize]);
            let stream = loop {
                match device::connect(door, id, &passwords, fleet::source(n)).await {
                    Ok(stream) => break stream,
                    Err(_refused) => refused += 1,
                }
                tokio::time::sleep(AGAIN).await;
            };
            let task = spawn_local(device::answer_all(stream, id.clone(), habit.clone()));
            answering.borrow_mut().push(task);
            Ok((began.elapsed(), refused))
        };
        let doors = vec![stage.server.door(); at_once];
        let came = each(doors, 0..stage.devices.len() as u64, work).await?;
        let mut all = Came {
            times: Times::default(),
            refused: 0,
        };
        for (took, refused) in came {
            all.times.add(took);
            all.refused += refused;
        }
        Ok(all)
    }
}
