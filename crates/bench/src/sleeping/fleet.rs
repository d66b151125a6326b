//! A process with devices: it starts them, has them sleep and wake as it is told on its input, and says on its output what
//! came of it. It ends with its input.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use downlink_fleet::lwm2m::random::Random;
use downlink_fleet::lwm2m::{Config, Fleet, Settings};
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
        seed: options.first + 1,
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
    seed: u64,
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
        let mut turns = Turns::new(wakes, began, self.seed);
        // All have had their turn by then: gaps are twice the mean at the most.
        let whole = Duration::from_micros(wakes.every_us.saturating_mul(2 * wakes.count));
        let end = began + whole + LATE;
        while !self.watch.served(range.clone()) && Instant::now() < end {
            tokio::select! {
                biased;
                taken = self.take() => taken?,
                () = tokio::time::sleep_until(turns.due().unwrap_or(end).min(end).into()) => {
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
        Ok(self.woken(range, turns.others.taken))
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

/// Whose turn it is when: both kinds by chance, so that they do not keep step with each other or with other processes.
struct Turns {
    served: Pace,
    others: Pace,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Served(u64),
    Other(u64),
}

impl Turns {
    fn new(wakes: &Wakes, began: Instant, seed: u64) -> Self {
        let others = if wakes.beside_every_us == 0 { 0 } else { u64::MAX };
        Self {
            served: Pace::new(began, wakes.every_us, wakes.count, seed),
            others: Pace::new(began, wakes.beside_every_us, others, !seed),
        }
    }

    /// When the next one is due, if there is one.
    fn due(&self) -> Option<Instant> {
        let next = [self.served.due(), self.others.due()];
        next.into_iter().flatten().min()
    }

    /// The one that is due by now.
    fn take(&mut self, now: Instant) -> Option<Turn> {
        let served = self.served.take(now).map(Turn::Served);
        served.or_else(|| self.others.take(now).map(Turn::Other))
    }
}

/// So many turns, with gaps from nothing to twice the mean.
struct Pace {
    next: Instant,
    gap: Duration,
    count: u64,
    taken: u64,
    random: Random,
}

impl Pace {
    fn new(began: Instant, gap_us: u64, count: u64, seed: u64) -> Self {
        let mut pace = Self {
            next: began,
            gap: Duration::from_micros(gap_us),
            count,
            taken: 0,
            random: Random::new(seed),
        };
        pace.advance();
        pace
    }

    fn advance(&mut self) {
        self.next += self.random.between(Duration::ZERO, self.gap * 2);
    }

    fn due(&self) -> Option<Instant> {
        (self.taken < self.count).then_some(self.next)
    }

    /// The number of the turn that is due by now.
    fn take(&mut self, now: Instant) -> Option<u64> {
        self.due().filter(|due| *due <= now)?;
        self.advance();
        self.taken += 1;
        Some(self.taken - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_commands_and_the_others_keep_their_own_paces() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut wakes = Wakes {
            first: 16,
            count: 100,
            every_us: 10_000,
            beside_every_us: 2000,
        };
        let mut turns = Turns::new(&wakes, began, 7);
        let (mut served, mut others, mut last) = (0, 0, began);
        while served < 100 {
            let due = turns.due().expect("there is more to come");
            assert!(due >= last, "out of order");
            assert_eq!(turns.take(due - ms(1)), None);
            last = due;
            match turns.take(due).expect("it is due") {
                Turn::Served(n) => {
                    assert_eq!(n, served);
                    served += 1;
                }
                Turn::Other(n) => {
                    assert_eq!(n, others);
                    others += 1;
                }
            }
        }
        let took = last - began;
        assert!((ms(800)..ms(1200)).contains(&took), "{took:?} for a second");
        assert!((400..600).contains(&others), "{others} for 500");
        wakes.beside_every_us = 0;
        wakes.count = 1;
        let mut alone = Turns::new(&wakes, began, 7);
        assert_eq!(alone.take(began + ms(1000)), Some(Turn::Served(0)));
        assert_eq!(alone.due(), None);
    }
}
