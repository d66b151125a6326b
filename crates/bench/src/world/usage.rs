//! What the kernel says a process has used.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// What a process and all that it started have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Bytes handed to the block layer.
    pub(crate) written: u64,
    /// Resident memory now, KiB.
    pub(crate) resident_kib: u64,
}

/// Clock ticks a second in `/proc`: fixed by the kernel's interface.
const TICKS: u64 = 100;

impl Usage {
    /// Of this process and all that it started, so far.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let mut usage = Self::of_one(pid)?;
        for child in children(pid) {
            // One that ended just now is counted by its parent.
            if let Ok(child) = Self::of(child) {
                usage.cpu += child.cpu;
                usage.written += child.written;
                usage.resident_kib += child.resident_kib;
            }
        }
        Ok(usage)
    }

    /// Of this process, to the nanosecond, without those that it started, whether they run or ended.
    pub(crate) fn own() -> anyhow::Result<Self> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Self {
            cpu: Duration::new(cpu.tv_sec.try_into()?, cpu.tv_nsec.try_into()?),
            ..Self::of_one(std::process::id())?
        })
    }

    fn of_one(pid: u32) -> anyhow::Result<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        // utime, stime, and those of children that ended.
        let ticks = (11..15).map(|at| fields.get(at).and_then(|field| field.parse::<u64>().ok()));
        let ticks = ticks.sum::<Option<u64>>().context("an unexpected stat line")?;
        let io = std::fs::read_to_string(proc.join("io"))?;
        let status = std::fs::read_to_string(proc.join("status"))?;
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS),
            written: number(&io, "write_bytes:")?,
            resident_kib: number(&status, "VmRSS:")?,
        })
    }
}

/// Children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The number behind `key` in a file of `/proc`.
fn number(text: &str, key: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.with_context(|| format!("no {key}"))?.parse()?)
}

/// A stretch of time in which a server's use is counted.
pub(crate) struct Span {
    pid: u32,
    began: Instant,
    before: Usage,
    driver_before: Usage,
}

/// What was used in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) written: u64,
    pub(crate) driver: Duration,
}

impl Span {
    /// Begins now.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            pid,
            before: Usage::of(pid)?,
            driver_before: Usage::own()?,
            began: Instant::now(),
        })
    }

    /// How long it has lasted.
    pub(crate) fn wall(&self) -> Duration {
        self.began.elapsed()
    }

    /// What was used until now.
    pub(crate) fn spent(&self) -> anyhow::Result<Spent> {
        let wall = self.wall();
        let (after, driver) = (Usage::of(self.pid)?, Usage::own()?);
        Ok(Spent {
            wall,
            cpu: after.cpu.saturating_sub(self.before.cpu),
            written: after.written.saturating_sub(self.before.written),
            driver: driver.cpu.saturating_sub(self.driver_before.cpu),
        })
    }
}

impl Spent {
    /// The server's time for each of `count`, in microseconds.
    pub(crate) fn cpu_us(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count.max(1) as f64
    }

    /// Bytes written for each of `count`.
    pub(crate) fn bytes(&self, count: u64) -> f64 {
        self.written as f64 / count.max(1) as f64
    }

    /// How many of `count` a second.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// The part of a core that the server had.
    pub(crate) fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    /// The part of a core that the driver had for itself: near 1, it was the driver that set the pace.
    pub(crate) fn driver_share(&self) -> f64 {
        self.driver.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Files and sockets that a process has open.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Memory of a process that no file backs, KiB, if the kernel tells.
pub(crate) fn anonymous_kib(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    number(&text, "Anonymous:").ok()
}
