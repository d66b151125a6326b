//! Pushes of whole cycles.

use super::cancel::settle;
use super::{Counted, Options, Told};
use crate::cycle::load::Load;
use crate::cycle::{Plan, Stage};
use crate::report::Run;
use crate::world::sink;
use crate::world::usage::{Span, Spent};

/// Devices that take those with a receiver, and as many others those without.
const DEVICES: usize = 256;

/// Two loads on one server.
pub(super) struct Cycles<'a> {
    stage: &'a Stage,
    telling: Load<'a>,
    silent: Load<'a>,
    options: &'a Options,
}

/// What they take.
pub(super) fn plan() -> Plan {
    Plan {
        devices: DEVICES,
        payload: 0,
        expire_time: 3600,
        tls: false,
    }
}

impl<'a> Cycles<'a> {
    /// On a server whose first devices are connected: connects the others. A tenth of the commands of each kind goes before,
    /// not measured.
    pub(super) async fn begin(stage: &'a Stage, options: &'a Options) -> anyhow::Result<Self> {
        let others = stage.enroll(DEVICES as u64..2 * DEVICES as u64).await?;
        let cycles = Self {
            telling: stage.load(options.in_flight),
            silent: stage.silent_load(others, options.in_flight).await?,
            stage,
            options,
        };
        for load in [&cycles.telling, &cycles.silent] {
            load.closed(usize::try_from(options.commands)? / 10).await?;
        }
        Ok(cycles)
    }

    /// All commands of one turn.
    pub(super) async fn turn(&self, told: Told) -> anyhow::Result<Run> {
        let load = match told {
            Told::Pushed => &self.telling,
            Told::Nobody => &self.silent,
        };
        let before = load.counts();
        let span = Span::of(self.stage.server.pid()?)?;
        let commands = usize::try_from(self.options.commands)?;
        let legs = match self.options.rate {
            Some(rate) => load.open(commands, rate).await?,
            None => load.closed(commands).await?,
        };
        let wall = span.wall();
        settle().await;
        let spent = Spent {
            wall,
            ..span.spent()?
        };
        let counted = Counted {
            pushes: self.options.commands * sink::CYCLE.len() as u64,
            missing: legs.lost,
            counts: load.counts().since(before),
        };
        let mut run = counted.run(spent);
        run.add("cpu_us_per_cycle", spent.cpu_us(self.options.commands));
        Ok(run)
    }
}
