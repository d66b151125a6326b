//! Reads off, now and then, how the cycles went and what the server holds.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::time::{Instant as Tick, interval_at};

use crate::cycle::Stage;
use crate::cycle::load::Legs;
use crate::report::Run;
use crate::world::disk;
use crate::world::usage::{Span, Usage, open_files};

const MIB: f64 = (1 << 20) as f64;

/// See the module.
pub(super) struct Watch<'a> {
    dir: &'a Path,
    log: PathBuf,
    logged: u64,
    pid: u32,
    legs: Rc<RefCell<Legs>>,
    began: Instant,
    span: Span,
    pub(super) points: Vec<Run>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        stage: &Stage,
        legs: Rc<RefCell<Legs>>,
        dir: &'a Path,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let pid = stage.server.pid()?;
        Ok(Self {
            dir,
            logged: file_size(&log),
            log,
            pid,
            legs,
            began: Instant::now(),
            span: Span::of(pid)?,
            points: Vec::new(),
        })
    }

    /// A point each time `every` has passed; ends only if the server is gone.
    pub(super) async fn keep(&mut self, every: Duration) -> anyhow::Result<()> {
        let mut ticks = interval_at(Tick::now() + every, every);
        loop {
            ticks.tick().await;
            self.point()
                .context("the server is gone, or cannot be looked at")?;
        }
    }

    /// A point of what remains, unless that is short, no cycle was lost in it, and there are others.
    pub(super) fn end(&mut self, every: Duration) -> anyhow::Result<()> {
        let short = self.span.wall() < every / 2 && self.legs.borrow().lost == 0;
        if short && !self.points.is_empty() {
            return Ok(());
        }
        self.point()
    }

    /// What happened since the last point.
    fn point(&mut self) -> anyhow::Result<()> {
        let mut legs = self.legs.take();
        let cycles = legs.whole.count();
        let spent = self.span.spent()?;
        self.span = Span::of(self.pid)?;
        let mut run = Run::default();
        run.add("seconds", self.began.elapsed().as_secs_f64());
        run.add("cycles", cycles as f64);
        run.add("lost", legs.lost as f64);
        run.add("p50_ms", legs.whole.at(0.5).as_secs_f64() * 1e3);
        run.add("p99_ms", legs.whole.at(0.99).as_secs_f64() * 1e3);
        run.add("cpu_us_per_cycle", spent.cpu_us(cycles));
        run.add("bytes_written_per_cycle", spent.bytes(cycles));
        self.holdings(&mut run)?;
        eprintln!("{}", run.line());
        self.points.push(run);
        Ok(())
    }

    /// What the server holds now, and the driver.
    fn holdings(&mut self, run: &mut Run) -> anyhow::Result<()> {
        let resident = Usage::of(self.pid)?.resident_kib;
        run.add("resident_mib", resident as f64 / 1024.0);
        run.add("open_files", open_files(self.pid)? as f64);
        run.add("data_mib", disk::size(self.dir)? as f64 / MIB);
        run.add("db_mib", file_size(&self.dir.join("downlink.db")) as f64 / MIB);
        run.add(
            "wal_mib",
            file_size(&self.dir.join("downlink.db-wal")) as f64 / MIB,
        );
        let logged = file_size(&self.log);
        run.add("log_bytes", (logged - self.logged) as f64);
        self.logged = logged;
        run.add("driver_mib", Usage::own()?.resident_kib as f64 / 1024.0);
        Ok(())
    }
}

/// Zero of a file that is not there.
fn file_size(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}
