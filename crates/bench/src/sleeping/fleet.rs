//! A process with devices: it starts them, has them sleep and wake as it is told on its input, and says on its output what
//! came of it. It ends with its input.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use downlink_sim::lwm2m::{Config, Fleet, Settings};
use tokio::sync::mpsc;

use super::watch::Watch;
use super::wire::{Order, Said, Wakes, Woken, micros};
use crate::world::{SECRET, limits, node_id};

/// How long a device listens after it said something.
pub(super) const AWAKE: Duration = Duration::from_secs(2);
/// Longer than any run: devices wake when they are told to.
const ASLEEP: Duration = Duration::from_secs(86_400);
/// Longest wait for what has to come, over the time that the devices are given.
const LONGEST: Duration = Duration::from_secs(120);
/// What has not come so long after the last one woke does not come.
const LATE: Duration = Duration::from_secs(30);

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// The server's listener
    #[arg(long)]
    server: SocketAddr,
    /// Number of the first device
    #[arg(long)]
    first: u64,
    /// Devices
    #[arg(long)]
    count: u64,
    /// Time between two registrations, microseconds
    #[arg(long)]
    every_us: u64,
    #[arg(long)]
    dtls: bool,
}

impl Options {
    fn config(&self) -> Config {
        Config {
            spread: self.spread(),
            seed: 1 + self.first,
            others: self.first as usize,
            ..Config::new(self.server)
        }
    }

    fn spread(&self) -> Duration {
        Duration::from_micros(self.every_us.saturating_mul(self.count))
    }

    fn devices(&self) -> anyhow::Result<Vec<Settings>> {
        let secret = (0..SECRET.len()).step_by(2);
        let secret = secret.map(|at| u8::from_str_radix(&SECRET[at..at + 2], 16));
        let secret = secret.collect::<Result<Vec<_>, _>>()?;
        let numbers = self.first..self.first + self.count;
        let devices = numbers.map(|n| {
            let device = Settings::new(node_id(n)).sleeping(AWAKE, ASLEEP);
            match self.dtls {
                true => device.secured(secret.clone()),
                false => device,
            }
        });
        Ok(devices.collect())
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.count)?;
    let fleet = Fleet::start(&options.config(), options.devices()?).await?;
    let mut devices = Devices {
        watch: Watch::new(options.count as usize),
        fleet,
    };
    let mut orders = orders();
    devices
        .until("registered", options.spread() + LONGEST, |fleet, _| {
            fleet.tally().ready == options.count
        })
        .await?;
    say(&Said::Registered)?;
    devices
        .until("asleep", LONGEST, |_, watch| watch.all_sleep())
        .await?;
    say(&Said::Asleep)?;
    while let Some(order) = devices.next(&mut orders).await? {
        let said = devices.obey(&order).await?;
        devices.check()?;
        say(&said)?;
    }
    Ok(())
}

/// Lines of the input, read by a thread of its own.
fn orders() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(said: &Said) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(said)?)?;
    Ok(out.flush()?)
}

struct Devices {
    fleet: Fleet,
    watch: Watch,
}

impl Devices {
    /// Takes in what happens until `done`.
    async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        done: impl Fn(&Fleet, &Watch) -> bool,
    ) -> anyhow::Result<()> {
        let all = async {
            while !done(&self.fleet, &self.watch) {
                self.take().await?;
            }
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(limit, all).await;
        ended.unwrap_or_else(|_| {
            let tally = self.fleet.tally();
            anyhow::bail!("not all devices are {what}: {tally:?}")
        })
    }

    async fn take(&mut self) -> anyhow::Result<()> {
        let event = self.fleet.next_timed_event().await;
        let (device, at, event) = event.context("all devices ended")?;
        self.watch.note(device, at, &event);
        Ok(())
    }

    /// The next order; none: it is over.
    async fn next(&mut self, orders: &mut mpsc::Receiver<String>) -> anyhow::Result<Option<Order>> {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    return Ok(order.map(|line| serde_json::from_str(&line)).transpose()?);
                }
                taken = self.take() => taken?,
            }
        }
    }

    async fn obey(&mut self, order: &Order) -> anyhow::Result<Said> {
        match order {
            Order::Nap(first) => {
                let first = *first as usize;
                self.watch.begin(0..first);
                for device in 0..first {
                    self.fleet.update(device).await;
                }
                self.until("asleep again", LONGEST, |_, watch| watch.napped(first))
                    .await?;
                Ok(Said::Asleep)
            }
            Order::Lose(first) => {
                let first = *first as usize;
                let lost = |watch: &Watch| watch.lost(first);
                self.until("losing what comes", LONGEST, |_, watch| lost(watch).is_some())
                    .await?;
                Ok(Said::Lost(lost(&self.watch).unwrap_or_default()))
            }
            Order::Wake(wakes) => Ok(Said::Woken(self.wake(wakes).await?)),
        }
    }

    /// Wakes them one after the other, and others beside them, until all have their commands or it is late.
    async fn wake(&mut self, wakes: &Wakes) -> anyhow::Result<Woken> {
        let range = wakes.first as usize..(wakes.first + wakes.count) as usize;
        let others: Vec<usize> = (range.end..self.watch.len()).collect();
        self.watch.begin(range.clone());
        let began = Instant::now();
        let mut turns = Turns::new(wakes, began);
        let end = turns.end() + LATE;
        while !self.watch.served(range.clone()) && Instant::now() < end {
            tokio::select! {
                biased;
                taken = self.take() => taken?,
                () = tokio::time::sleep_until(turns.due().min(end).into()) => {
                    match turns.take(Instant::now()) {
                        Some(Turn::Served(n)) => self.fleet.update(range.start + n as usize).await,
                        Some(Turn::Other(n)) if !others.is_empty() => {
                            self.fleet.update(others[n as usize % others.len()]).await;
                        }
                        Some(Turn::Other(_)) | None => {}
                    }
                }
            }
        }
        Ok(self.woken(range, turns.others))
    }

    fn woken(&self, range: Range<usize>, beside: u64) -> Woken {
        let (answers, first_bytes) = self.watch.times(range.clone());
        Woken {
            missing: (range.len() - first_bytes.len()) as u64,
            answers: answers.into_iter().map(micros).collect(),
            first_bytes: first_bytes.into_iter().map(micros).collect(),
            repeated: self.watch.repeated(),
            beside,
        }
    }

    /// That the devices are what they are taken for.
    fn check(&self) -> anyhow::Result<()> {
        let (tally, heard) = (self.fleet.tally(), self.watch.heard_asleep);
        ensure!(heard == 0, "{heard} commands were heard in sleep");
        ensure!(
            tally.events_lost == 0,
            "{} events were not seen",
            tally.events_lost
        );
        ensure!(
            tally.forgotten + tally.refused == 0,
            "devices were turned away: {tally:?}"
        );
        Ok(())
    }
}

/// Whose turn it is when.
struct Turns {
    began: Instant,
    every: Duration,
    count: u64,
    served: u64,
    beside_every: Option<Duration>,
    others: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Served(u64),
    Other(u64),
}

impl Turns {
    fn new(wakes: &Wakes, began: Instant) -> Self {
        let micros = Duration::from_micros;
        Self {
            began,
            every: micros(wakes.every_us),
            count: wakes.count,
            served: 0,
            beside_every: (wakes.beside_every_us > 0).then(|| micros(wakes.beside_every_us)),
            others: 0,
        }
    }

    fn next_served(&self) -> Option<Instant> {
        (self.served < self.count).then(|| after(self.began, self.every, self.served))
    }

    fn next_other(&self) -> Option<Instant> {
        Some(after(self.began, self.beside_every?, self.others))
    }

    /// When the last command is waited for.
    fn end(&self) -> Instant {
        after(self.began, self.every, self.count)
    }

    /// When the next one is due: at the end, if there is none before.
    fn due(&self) -> Instant {
        let next = [self.next_served(), self.next_other()];
        next.into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| self.end() + LATE)
    }

    /// The one that is due by now.
    fn take(&mut self, now: Instant) -> Option<Turn> {
        if self.next_served().is_some_and(|at| at <= now) {
            self.served += 1;
            return Some(Turn::Served(self.served - 1));
        }
        if self.next_other().is_some_and(|at| at <= now) {
            self.others += 1;
            return Some(Turn::Other(self.others - 1));
        }
        None
    }
}

fn after(began: Instant, every: Duration, times: u64) -> Instant {
    began + every * u32::try_from(times).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_commands_and_the_others_keep_their_own_paces() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let wakes = Wakes {
            first: 16,
            count: 2,
            every_us: 10_000,
            beside_every_us: 4000,
        };
        let mut turns = Turns::new(&wakes, began);
        let mut told = Vec::new();
        for at in 0..=12 {
            while let Some(turn) = turns.take(began + ms(at)) {
                told.push((at, turn));
            }
        }
        let (served, other) = (Turn::Served, Turn::Other);
        assert_eq!(
            told,
            [
                (0, served(0)),
                (0, other(0)),
                (4, other(1)),
                (8, other(2)),
                (10, served(1)),
                (12, other(3))
            ]
        );
        assert_eq!(turns.due(), began + ms(16));
        assert_eq!(turns.end(), began + ms(20));
        let alone = Wakes {
            beside_every_us: 0,
            count: 0,
            ..wakes
        };
        assert!(Turns::new(&alone, began).due() > began + ms(1000));
    }
}
