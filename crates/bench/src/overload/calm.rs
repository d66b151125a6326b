//! The server when it is not pressed: the rate that it sustains, how long a lone create takes, and when it takes no longer
//! than that again.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::answers::{Answers, tell_times};
use crate::cycle::Stage;
use crate::report::{Run, Times};
use crate::world::http::Client;
use crate::world::{command, sink};

/// Lone creates by which the calm is known.
const LONE: u64 = 500;
/// Rest between them.
const REST: Duration = Duration::from_millis(5);
/// So many in a row have to be fast before it counts as calm again.
const IN_A_ROW: u32 = 20;
/// Fast is: no slower than this many times the slowest of a hundred when it was calm. The machine has other things to do.
const FAST: u32 = 3;
/// Not calm again after this: it does not recover.
const LONGEST: Duration = Duration::from_secs(120);
/// Numbers of the commands made here begin with this one.
const FIRST: u64 = 1 << 40;

/// A client that creates one command after the other.
pub(super) struct Lone<'a> {
    stage: &'a Stage,
    client: Client,
    next: u64,
    /// The p99 when it was calm.
    pub(super) calm_p99: Duration,
    /// Of what it created.
    pub(super) answers: Answers,
}

/// Whole cycles a second, over so many cycles with 64 under way.
pub(super) async fn sustained(stage: &Stage, cycles: usize, run: &mut Run) -> anyhow::Result<f64> {
    stage.pushed.borrow_mut().expect(sink::CYCLE);
    let load = stage.load(64);
    load.closed(cycles / 10).await?;
    let began = Instant::now();
    let legs = load.closed(cycles).await?;
    let rate = legs.whole.count() as f64 / began.elapsed().as_secs_f64();
    run.add("sustained_per_s", rate);
    Ok(rate)
}

impl<'a> Lone<'a> {
    /// Learns what is calm.
    pub(super) async fn learn(stage: &'a Stage, run: &mut Run) -> anyhow::Result<Self> {
        let mut this = Self {
            stage,
            client: Client::authorized(&stage.server, &stage.token).await?,
            next: FIRST,
            calm_p99: Duration::ZERO,
            answers: Answers::default(),
        };
        let mut times = Times::default();
        for _ in 0..LONE {
            times.add(this.create().await?.context("a lone create is refused")?);
            tokio::time::sleep(REST).await;
        }
        this.calm_p99 = times.at(0.99);
        tell_times(run, "calm", &mut times);
        Ok(this)
    }

    /// How long one create took; none: it was refused.
    pub(super) async fn create(&mut self) -> anyhow::Result<Option<Duration>> {
        let device = &self.stage.devices[self.next as usize % self.stage.devices.len()];
        let body = command(device, self.next, 0, &self.stage.callback, 172_800);
        self.next += 1;
        let (sent, before) = (Instant::now(), self.answers.ids.len());
        let (status, answer) = self
            .client
            .post("/iocm/app/cmd/v1.4.0/deviceCommands", &body)
            .await?;
        let took = sent.elapsed();
        self.answers.create(status, &answer, took);
        Ok((self.answers.ids.len() > before).then_some(took))
    }

    /// Creates one by one until they are as fast as before; gives how long after `since` that began.
    pub(super) async fn calm_again(&mut self, since: Instant) -> anyhow::Result<Duration> {
        let fast = self.calm_p99 * FAST;
        // The old one may have been closed for being idle.
        self.client = Client::authorized(&self.stage.server, &self.stage.token).await?;
        let (mut in_a_row, mut first) = (0, since);
        while since.elapsed() < LONGEST {
            let sent = Instant::now();
            match self.create().await? {
                Some(took) if took <= fast => {
                    if in_a_row == 0 {
                        first = sent;
                    }
                    in_a_row += 1;
                }
                Some(_) | None => in_a_row = 0,
            }
            if in_a_row == IN_A_ROW {
                return Ok(first.saturating_duration_since(since));
            }
            tokio::time::sleep(REST).await;
        }
        bail!("creates are not as fast as before within {LONGEST:?}");
    }
}
