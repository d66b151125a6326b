//! One run: a server, its devices, and what is measured of them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::driver::Driver;
use super::fleet::AWAKE;
use super::wire::{Order, Said, Wakes, Woken};
use super::{Options, PROBES, Speech, parts};
use crate::cycle::{Plan, Stage};
use crate::report::{Run, Times};
use crate::world::http::{Client, clients};
use crate::world::parallel::each;
use crate::world::server::Target;
use crate::world::usage::{Span, Usage, anonymous_kib};
use crate::world::{Common, command, create, disk};

/// How long the server takes a device to be awake. It is longer than that is true, so that what it sends then is lost.
const TAKEN_TO_BE_AWAKE: Duration = Duration::from_secs(12);
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest wait until the server takes all devices to be asleep.
const LONGEST: Duration = Duration::from_secs(60);
/// Calls under way at once.
const AT_ONCE: usize = 16;
/// `expireTime` of the commands, in seconds.
const EXPIRE: u32 = 3600;

/// A server and devices.
struct Ground {
    stage: Stage,
    devices: std::rc::Rc<Vec<String>>,
    drivers: Vec<Driver>,
}

pub(super) async fn measure(options: &Options, shares: &[u64], speech: Speech) -> anyhow::Result<Run> {
    let mut run = Run::default();
    let mut syncs = disk::sync_times(&options.common.data_dir)?;
    let mut ground = Ground::open(options).await?;
    ground.register(options, shares, speech, &mut run).await?;
    let lost = ground.prove_sleep().await?;
    run.add("lost_in_sleep", lost as f64);
    ground.wake(options, &mut run).await?;
    for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
        run.add(format!("sync_ms_{label}"), syncs.at(share).as_secs_f64() * 1e3);
    }
    ground.still_there(speech, options.count).await?;
    ground.stage.server.kill().await?;
    Ok(run)
}

/// The server listens for CoAP as well.
fn common(options: &Options) -> Common {
    let mut common = options.common.clone();
    let settings = [
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("LISTEN_DTLS", "127.0.0.1:0".to_owned()),
        ("AWAKE_SECS", TAKEN_TO_BE_AWAKE.as_secs().to_string()),
    ];
    // What the caller sets comes later, and so holds.
    let settings = settings.map(|(name, value)| format!("DOWNLINK_LWM2M_{name}={value}"));
    common.set.splice(0..0, settings);
    common
}

impl Ground {
    /// A server on a fresh directory that knows the devices.
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let plan = Plan {
            devices: 0,
            payload: 0,
            expire_time: EXPIRE,
            tls: false,
        };
        let stage = Stage::open(Target::Downlink, &common(options), &plan).await?;
        let devices = stage.enroll(0..options.count).await?;
        Ok(Self {
            stage,
            devices,
            drivers: Vec::new(),
        })
    }

    /// Starts the devices, and compares the server's memory before and when all sleep.
    async fn register(
        &mut self,
        options: &Options,
        shares: &[u64],
        speech: Speech,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        tokio::time::sleep(SETTLE).await;
        let pid = self.stage.server.pid()?;
        let before = Memory::of(pid)?;
        let span = Span::of(pid)?;
        self.start(options, shares, speech)?;
        for driver in &mut self.drivers {
            driver.expect(&Said::Registered).await?;
        }
        let spent = span.spent()?;
        for driver in &mut self.drivers {
            driver.expect(&Said::Asleep).await?;
        }
        self.all_asleep().await?;
        tokio::time::sleep(SETTLE).await;
        let after = Memory::of(pid)?;
        run.add("registrations_per_s", spent.rate(options.count));
        run.add("cpu_us_per_registration", spent.cpu_us(options.count));
        run.add("mib_before", before.resident / 1024.0);
        run.add("mib_after", after.resident / 1024.0);
        let each = |before: f64, after: f64| (after - before) * 1024.0 / options.count as f64;
        run.add("bytes_per_device", each(before.resident, after.resident));
        if let (Some(before), Some(after)) = (before.anonymous, after.anonymous) {
            run.add("anonymous_bytes_per_device", each(before, after));
        }
        Ok(())
    }

    fn start(&mut self, options: &Options, shares: &[u64], speech: Speech) -> anyhow::Result<()> {
        let server = &self.stage.server;
        let address = match speech {
            Speech::Plain => server.coap,
            Speech::Dtls => server.coaps,
        };
        let address = address.context("the server does not listen for CoAP")?;
        let mut first = 0;
        for &count in shares {
            let every_us = 1_000_000 * shares.len() as u64 / options.register_rate;
            let driver = Driver::start(address, speech, first, count, every_us)?;
            self.drivers.push(driver);
            first += count;
        }
        Ok(())
    }

    /// Waits until the server takes all devices to be asleep.
    async fn all_asleep(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.metric("awake").await? > 0.0 {
            if began.elapsed() > LONGEST {
                bail!("the server takes devices to be awake that sleep");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let name = format!("downlink_lwm2m_{name}");
        let value = self.stage.server.metric(&name).await?;
        value.with_context(|| format!("no metric {name}"))
    }

    /// Sends a command to each of some devices while the server takes them to be awake and they are not. Gives the datagrams
    /// that were lost.
    async fn prove_sleep(&mut self) -> anyhow::Result<u64> {
        let napping = &mut self.drivers[0];
        let began = Instant::now();
        napping.order(&Order::Nap(PROBES)).await?;
        napping.expect(&Said::Asleep).await?;
        ensure!(began.elapsed() >= AWAKE, "they were not awake");
        self.queue(0..PROBES).await?;
        let napping = &mut self.drivers[0];
        napping.order(&Order::Lose(PROBES)).await?;
        match napping.said().await? {
            Said::Lost(lost) => Ok(lost),
            other @ (Said::Registered | Said::Asleep | Said::Woken(_)) => {
                bail!("what was lost was to be said, not {other:?}")
            }
        }
    }

    /// Creates a command for each of these devices.
    async fn queue(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let devices = std::rc::Rc::clone(&self.devices);
        let work = async move |client: &mut Client, n: u64| {
            create(client, &command(&devices[n as usize], n, 0, "", EXPIRE)).await
        };
        let hands = clients(&self.stage.server, &self.stage.token, AT_ONCE).await?;
        each(hands, numbers, work).await?;
        Ok(())
    }

    /// Queues a command for each of some devices, and wakes them.
    async fn wake(&mut self, options: &Options, run: &mut Run) -> anyhow::Result<()> {
        let processes = self.drivers.len() as u64;
        let counts = parts(options.wakes, processes);
        for (at, &count) in counts.iter().enumerate() {
            let first = self.drivers[at].first + PROBES;
            self.queue(first..first + count).await?;
        }
        let every = |rate: u64| (1_000_000 * processes).checked_div(rate).unwrap_or(0);
        let span = Span::of(self.stage.server.pid()?)?;
        for (driver, &count) in self.drivers.iter_mut().zip(&counts) {
            let wakes = Wakes {
                first: PROBES,
                count,
                every_us: every(options.wake_rate),
                beside_every_us: every(options.beside_rate),
            };
            driver.order(&Order::Wake(wakes)).await?;
        }
        let mut all = Woken::default();
        for driver in &mut self.drivers {
            match driver.said().await? {
                Said::Woken(woken) => add(&mut all, woken),
                other @ (Said::Registered | Said::Asleep | Said::Lost(_)) => {
                    bail!("the times were to be said, not {other:?}")
                }
            }
        }
        let spent = span.spent()?;
        run.add("wakes", options.wakes as f64);
        run.add("updates_beside", all.beside as f64);
        run.add("server_cpu_share", spent.cpu_share());
        times(run, "first_byte", all.first_bytes);
        times(run, "answer", all.answers);
        run.add("missing", all.missing as f64);
        run.add("repeated", all.repeated as f64);
        Ok(())
    }

    /// That all devices are registered still, each over a session of its own if there are such.
    async fn still_there(&self, speech: Speech, count: u64) -> anyhow::Result<()> {
        let registered = self.metric("registrations").await?;
        ensure!(registered == count as f64, "{registered} devices are registered");
        match speech {
            Speech::Plain => {}
            Speech::Dtls => {
                let sessions = self.metric("dtls_sessions").await?;
                ensure!(sessions == count as f64, "{sessions} DTLS sessions are open");
            }
        }
        Ok(())
    }
}

fn add(all: &mut Woken, woken: Woken) {
    all.answers.extend(woken.answers);
    all.first_bytes.extend(woken.first_bytes);
    all.missing += woken.missing;
    all.repeated += woken.repeated;
    all.beside += woken.beside;
}

/// Adds the percentiles of some hundred times, and the longest.
fn times(run: &mut Run, name: &str, micros: Vec<u64>) {
    let mut times = Times::default();
    micros
        .into_iter()
        .for_each(|time| times.add(Duration::from_micros(time)));
    for (label, share) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
        run.add(format!("{name}_ms_{label}"), times.at(share).as_secs_f64() * 1e3);
    }
}

/// Of the server, in KiB.
struct Memory {
    resident: f64,
    anonymous: Option<f64>,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            resident: Usage::of(pid)?.resident_kib as f64,
            anonymous: anonymous_kib(pid).map(|kib| kib as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_processes_are_put_together() {
        let mut all = Woken::default();
        for (first, missing) in [(1000, 0), (3000, 2)] {
            let woken = Woken {
                first_bytes: vec![first, first + 1000],
                missing,
                ..Woken::default()
            };
            add(&mut all, woken);
        }
        assert_eq!((all.missing, all.first_bytes.len()), (2, 4));
        let mut run = Run::default();
        times(&mut run, "first_byte", all.first_bytes);
        assert_eq!(run.value("first_byte_ms_p50"), Some(3.0));
        assert_eq!(run.value("first_byte_ms_most"), Some(4.0));
    }
}
