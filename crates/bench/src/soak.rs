//! A long time at a steady rate: whether times, memory, files and logs stay as they are. What is kept of finished commands
//! grows by design until retention begins, so that is told for each cycle.

mod trend;
mod watch;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::LocalSet;

use self::watch::Watch;
use crate::cycle::load::Legs;
use crate::cycle::{Plan, Stage};
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::{Common, disk, limits};

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    plan: Plan,
    /// How long
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Cycles begun per second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// A point each so many seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Creates at once
    #[arg(long, default_value_t = 32)]
    in_flight: usize,
}

impl Options {
    /// With a token that outlives the run, and a log, by default beside the data directory; it is not removed.
    fn common(&self) -> Common {
        let mut common = self.common.clone();
        let life = self.seconds + 3600;
        common.set.push(format!("DOWNLINK_AUTH_ACCESS_TOKEN_SECS={life}"));
        let log = common.log.take();
        common.log = Some(log.unwrap_or_else(|| common.data_dir.with_extension("log")));
        common
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.plan.devices as u64)?;
    let common = options.common();
    disk::prepare(&common.data_dir)?;
    let points = LocalSet::new().run_until(measure(&options, &common)).await;
    std::fs::remove_dir_all(&common.data_dir)?;
    let mut report = Report::new("soak");
    report.fact("rate", options.rate);
    report.fact("seconds", options.seconds);
    report.fact("devices", options.plan.devices);
    trend::tell(&mut report, points?);
    report.give(common.json.as_deref())
}

async fn measure(options: &Options, common: &Common) -> anyhow::Result<Vec<Run>> {
    let log = fresh_log(common)?;
    let stage = Stage::set(Target::Downlink, common, &options.plan).await?;
    let legs: Rc<RefCell<Legs>> = Rc::default();
    let mut watch = Watch::new(&stage, Rc::clone(&legs), &common.data_dir, log)?;
    let load = stage.load(options.in_flight);
    let cycles = options.seconds * u64::from(options.rate);
    let every = Duration::from_secs(options.every);
    tokio::select! {
        done = load.open_into(&legs, cycles as usize, f64::from(options.rate)) => done?,
        gone = watch.keep(every) => gone?,
    }
    watch.end(every)?;
    let points = watch.points;
    stage.server.kill().await?;
    Ok(points)
}

/// Where the server's log goes: an empty file.
fn fresh_log(common: &Common) -> anyhow::Result<PathBuf> {
    let log = common.log.clone().context("a log")?;
    std::fs::write(&log, "")?;
    Ok(log)
}
