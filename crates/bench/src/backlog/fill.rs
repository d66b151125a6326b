//! Filling the queues of devices that are not connected, through REST, and what a create costs on the way.

use std::path::Path;
use std::rc::Rc;

use crate::cycle::Stage;
use crate::report::{Report, Run};
use crate::world::http::clients;
use crate::world::parallel::each;
use crate::world::usage::{Span, Spent, Usage};
use crate::world::{command, create, disk};

/// Creates under way at any time, each on a connection of its own.
const AT_ONCE: usize = 64;
/// Creates measured while the store is empty; of a small backlog a tenth.
const SAMPLE: u64 = 20_000;
/// What no device here lives long enough to see.
const EXPIRE: u32 = 172_800;

/// See the module.
pub(crate) struct Fill<'a> {
    stage: &'a Stage,
    devices: Rc<Vec<String>>,
    all: u64,
}

impl<'a> Fill<'a> {
    pub(crate) fn new(stage: &'a Stage, devices: Rc<Vec<String>>, depth: u64) -> Self {
        let all = devices.len() as u64 * depth;
        Self { stage, devices, all }
    }

    /// Fills all queues. Reports a point for each tenth of the way, and gives what creates cost at its beginning and in
    /// its last tenth.
    pub(crate) async fn measure(&self, dir: &Path, report: &mut Report) -> anyhow::Result<(Run, Run)> {
        let sample = SAMPLE.min(self.all / 10);
        let warm = sample / 10;
        self.create(0, warm).await?;
        let empty = self.create(warm, warm + sample).await?;
        let mut from = warm + sample;
        let mut last = empty;
        for tenth in 1..=10 {
            let to = self.all * tenth / 10;
            if to > from {
                last = self.create(from, to).await?;
                report.point("fill", self.point(last, to - from, to, dir)?);
                from = to;
            }
        }
        let tenth = self.all - self.all * 9 / 10;
        Ok((costs(empty, sample), costs(last, tenth)))
    }

    /// Creates the commands of these numbers.
    async fn create(&self, from: u64, to: u64) -> anyhow::Result<Spent> {
        let (server, token) = (&self.stage.server, &self.stage.token);
        let clients = clients(server, token, AT_ONCE).await?;
        let (devices, callback) = (Rc::clone(&self.devices), self.stage.callback.clone());
        let span = Span::of(server.pid()?)?;
        let work = async move |client: &mut _, n| {
            let device = &devices[place(n, devices.len() as u64) as usize];
            create(client, &command(device, n, 0, &callback, EXPIRE)).await?;
            Ok(())
        };
        each(clients, from..to, work).await?;
        span.spent()
    }

    fn point(&self, spent: Spent, creates: u64, queued: u64, dir: &Path) -> anyhow::Result<Run> {
        let mut run = Run::default();
        run.add("queued", queued as f64);
        add_costs(&mut run, spent, creates);
        let usage = Usage::of(self.stage.server.pid()?)?;
        run.add("resident_mib", usage.resident_kib as f64 / 1024.0);
        run.add("data_mib", disk::size(dir)? as f64 / f64::from(1 << 20));
        eprintln!("{queued} queued: {:.1} µs a create", spent.cpu_us(creates));
        Ok(run)
    }
}

fn costs(spent: Spent, creates: u64) -> Run {
    let mut run = Run::default();
    add_costs(&mut run, spent, creates);
    run
}

fn add_costs(run: &mut Run, spent: Spent, creates: u64) {
    run.add("cpu_us_per_create", spent.cpu_us(creates));
    run.add("bytes_written_per_create", spent.bytes(creates));
    run.add("creates_per_s", spent.rate(creates));
    run.add("driver_cpu_share", spent.driver_share());
}

/// Whose turn it is: every device once a round, in another order each round, so that a cache of devices sees neither the
/// same short list nor always the one that it has just forgotten.
fn place(n: u64, devices: u64) -> u64 {
    const STRIDES: [u64; 8] = [48_271, 69_621, 39_373, 75_787, 27_127, 92_033, 61_637, 17_417];
    let round = n / devices;
    let stride = STRIDES[(round % 8) as usize];
    let stride = if coprime(stride, devices) { stride } else { 1 };
    (n % devices * stride + round * 7919) % devices
}

fn coprime(a: u64, b: u64) -> bool {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_its_turn_once_a_round() {
        for devices in [1, 7, 2000, 48_271] {
            for round in 0..9 {
                let turns = (0..devices).map(|n| place(round * devices + n, devices));
                let mut turns: Vec<u64> = turns.collect();
                turns.sort_unstable();
                assert!(
                    turns.into_iter().eq(0..devices),
                    "{devices} devices, round {round}"
                );
            }
        }
    }
}
