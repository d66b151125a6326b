//! A good receiver at a steady rate: alone, and then beside bad ones.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};

use super::good::{Good, Told};
use super::manner::{Bad, DEAD, Manner, authority};
use super::{Options, place};
use crate::report::Run;
use crate::world::Common;

/// Pushes with large answers.
const LARGE: u64 = 20;
/// For so long the server may read large answers.
const READING: Duration = Duration::from_secs(20);
/// From the first push to the bad ones to the beginning of what is measured.
const LEAD: Duration = Duration::from_millis(500);

/// What stands beside the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// One that hangs
    Hang,
    /// One that answers a byte a second
    Drip,
    /// Eight that hang
    Eight,
    /// Ten that are dead, each in its manner
    Dead,
    /// One that answers 20 pushes with 64 MiB each
    Large,
    /// One that takes them all: what the same pushes cost where nothing is bad
    Well,
    /// Nothing: how far the good one's own figures differ from one span to the next
    Nothing,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Hang,
        Self::Drip,
        Self::Eight,
        Self::Dead,
        Self::Large,
        Self::Well,
        Self::Nothing,
    ];

    /// Those, or all if none is named.
    pub(super) fn wanted(named: &[Self]) -> &[Self] {
        if named.is_empty() { Self::ALL } else { named }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Drip => "drip",
            Self::Eight => "eight hang",
            Self::Dead => "ten dead",
            Self::Large => "large",
            Self::Well => "well",
            Self::Nothing => "nothing",
        }
    }

    fn manners(self) -> &'static [Manner] {
        match self {
            Self::Hang => &[Manner::Hang],
            Self::Drip => &[Manner::Drip],
            Self::Eight => &[Manner::Hang; 8],
            Self::Dead => &DEAD,
            Self::Large => &[Manner::Large],
            Self::Well => &[Manner::Accept],
            Self::Nothing => &[],
        }
    }
}

/// One run: the good one alone, then beside such bad ones.
pub(super) async fn measure(options: &Options, kind: Kind) -> anyhow::Result<Run> {
    let authority = authority(&options.common.data_dir)?;
    let mut common: Common = options.common.clone();
    let roots = authority.roots().display().to_string();
    common.set.push(format!("SSL_CERT_FILE={roots}"));
    let good = Good::open(options, &common).await?;
    let mut bad = Vec::new();
    for (manner, n) in kind.manners().iter().zip(1..) {
        bad.push(Bad::open(*manner, place(n), &authority).await?);
    }
    let mut run = Run::default();
    // Before anything is measured, so that nothing else happens meanwhile. What the server fills once (caches, free lists of
    // the allocator) is filled in a span of the same length that is not measured.
    let [warming, first, ready] = [
        good.queue(options).await?,
        good.queue(options).await?,
        good.queue(options).await?,
    ];
    good.told(warming, options).await?;
    let memory = good.memory()?;
    let mut alone = good.told(first, options).await?;
    memory.tell_as("alone", &mut run)?;
    let memory = good.memory()?;
    let attacks = match kind {
        Kind::Hang | Kind::Drip | Kind::Eight | Kind::Well | Kind::Nothing => {
            good.burst(&bad, options.bad).await?
        }
        Kind::Dead => good.streams(&bad, options).await?,
        Kind::Large => good.burst(&bad, LARGE).await?,
    };
    let attacks: Vec<_> = attacks.into_iter().map(spawn_local).collect();
    tokio::time::sleep(LEAD).await;
    let mut beside = good.told(ready, options).await?;
    if kind == Kind::Large {
        tokio::time::sleep(READING).await;
    }
    memory.tell_as("beside", &mut run)?;
    ended(attacks).await?;
    figures(&mut run, &mut alone, &mut beside);
    run.add("repeats", good.heard.borrow().repeats as f64);
    good.ground.stage.server.kill().await?;
    Ok(run)
}

async fn ended(attacks: Vec<JoinHandle<anyhow::Result<()>>>) -> anyhow::Result<()> {
    for attack in attacks {
        attack.await??;
    }
    Ok(())
}

fn figures(run: &mut Run, alone: &mut Told, beside: &mut Told) {
    for (name, told) in [("alone", &mut *alone), ("beside", &mut *beside)] {
        run.add_times(name, &mut told.whole);
        run.add_times(&format!("{name}_after_answer"), &mut told.after_answer);
        run.add(format!("{name}_missing"), told.missing as f64);
    }
    for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
        let ratio = beside.whole.at(share).as_secs_f64() / alone.whole.at(share).as_secs_f64();
        run.add(format!("{label}_ratio"), ratio);
    }
    // What the disk does to the call that makes the push is not in this one.
    let after = |told: &mut Told| told.after_answer.at(0.99).as_secs_f64();
    run.add("after_answer_p99_ratio", after(beside) / after(alone));
    let grown = |name: &str| run.value(&format!("{name}_mib_grown")).unwrap_or(f64::NAN);
    run.add("mib_more", grown("beside") - grown("alone"));
}

/// Work that makes pushes to bad receivers.
type Attack = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

impl Good {
    /// `count` pushes to each of them, at once.
    async fn burst(&self, bad: &[Bad], count: u64) -> anyhow::Result<Vec<Attack>> {
        let mut waiting = Vec::new();
        for one in bad {
            waiting.push(self.ground.queue(&one.url, count).await?);
        }
        for queued in &waiting {
            self.ground.cancel_at_once(queued).await?;
        }
        Ok(Vec::new())
    }

    /// A stream of pushes to each of them, as long as the good one is measured.
    async fn streams(&self, bad: &[Bad], options: &Options) -> anyhow::Result<Vec<Attack>> {
        let mut attacks: Vec<Attack> = Vec::new();
        let count = (options.dead_rate * (options.seconds as f64 + LEAD.as_secs_f64())).ceil() as u64;
        for one in bad {
            let queued = self.ground.queue(&one.url, count).await?;
            let work = self
                .ground
                .cancel_steadily(queued.commands, options.dead_rate)
                .await?;
            attacks.push(Box::pin(async move { work.await.map(drop) }));
        }
        Ok(attacks)
    }
}
