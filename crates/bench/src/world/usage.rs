//! What the kernel says a process has used.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

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

    /// Of this driver, without the server that it started.
    pub(crate) fn own() -> anyhow::Result<Self> {
        Self::of_one(std::process::id())
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
