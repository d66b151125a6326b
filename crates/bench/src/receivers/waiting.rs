//! Many pushes that wait for ten dead receivers: what a start takes, what the server does while nothing is asked of it, and
//! how a good receiver fares.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::good::Good;
use super::manner::{Bad, DEAD, authority};
use super::{Options, place};
use crate::report::Run;
use crate::world::memory::mib;
use crate::world::usage::{Span, Usage};
use crate::world::{Common, disk};

/// Commands queued at a time and then cancelled: so many are open at the most.
const PIECE: u64 = 20_000;
/// All that was cancelled is stored by then.
const STORED: Duration = Duration::from_secs(120);
/// From the start until the server is looked at: the attempts of the beginning are over, those that time out too.
const SETTLE: Duration = Duration::from_secs(20);
/// So long it is looked at.
const IDLE: Duration = Duration::from_secs(20);

/// Gives a point for nothing that waits, for a tenth of `pushes`, and for all.
pub(super) async fn measure(options: &Options, pushes: u64) -> anyhow::Result<Vec<Run>> {
    let authority = authority(&options.common.data_dir)?;
    let common = common(options, authority.roots(), pushes);
    let mut bad = Vec::new();
    for (manner, n) in DEAD.iter().zip(1..) {
        bad.push(Bad::open(*manner, place(n), &authority).await?);
    }
    let mut good = Good::open(options, &common).await?;
    let (mut points, mut waiting) = (Vec::new(), 0);
    for all in [0, pushes / 10, pushes] {
        eprintln!("{all} are to wait");
        fill(&good, &bad, all - waiting).await?;
        waiting = all;
        stored(&good, waiting).await?;
        good = good.restart(&common).await?;
        points.push(point(options, &good, waiting).await?);
    }
    good.ground.stage.server.kill().await?;
    Ok(points)
}

fn common(options: &Options, roots: &Path, pushes: u64) -> Common {
    let mut common = options.common.clone();
    common.set.push(format!("SSL_CERT_FILE={}", roots.display()));
    // One application has them all here.
    common
        .set
        .push(format!("DOWNLINK_PUSH_MAX_STORED_PER_APP={}", 2 * pushes + 1));
    common
}

/// So many more pushes, evenly to all of them.
async fn fill(good: &Good, bad: &[Bad], pushes: u64) -> anyhow::Result<()> {
    let each = pushes.div_ceil(bad.len() as u64);
    for one in bad {
        let mut left = each;
        while left > 0 {
            let piece = left.min(PIECE);
            let queued = good.ground.queue(&one.url, piece).await?;
            good.ground.cancel_at_once(&queued).await?;
            left -= piece;
        }
    }
    Ok(())
}

/// Waits until so many are stored.
async fn stored(good: &Good, pushes: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let stored = good.ground.stage.server.metric("downlink_push_stored").await?;
        if stored.is_some_and(|stored| stored as u64 >= pushes) {
            return Ok(());
        }
        ensure!(began.elapsed() < STORED, "only {stored:?} of {pushes} are stored");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What there is to say of a server that was just started.
async fn point(options: &Options, good: &Good, waiting: u64) -> anyhow::Result<Run> {
    let (server, mut run) = (&good.ground.stage.server, Run::default());
    let pid = server.pid()?;
    run.add("waiting", waiting as f64);
    run.add("ready_s", server.started_in.as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    run.add("cpu_s_of_start", Usage::of(pid)?.cpu.as_secs_f64());
    let idle = Span::of(pid)?;
    tokio::time::sleep(IDLE).await;
    run.add("idle_cpu_ms_per_s", idle.spent()?.cpu_share() * 1e3);
    good.warm(options).await?;
    let queued = good.queue(options).await?;
    let busy = Span::of(pid)?;
    let mut told = good.told(queued, options).await?;
    run.add("busy_cpu_ms_per_s", busy.spent()?.cpu_share() * 1e3);
    run.add_times("good", &mut told.whole);
    run.add("good_missing", told.missing as f64);
    run.add("resident_mib", mib(Usage::of(pid)?.resident_kib));
    run.add(
        "data_mib",
        disk::size(&options.common.data_dir)? as f64 / f64::from(1 << 20),
    );
    eprintln!("{}", run.line());
    Ok(run)
}
