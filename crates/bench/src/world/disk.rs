//! The disk under the data directory: that it is one, what a sync on it costs, how many it was asked for.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::report::Times;

/// Syncs timed.
const PROBES: usize = 201;

/// Makes the directory. It must not exist, and must not be in memory: a sync that costs nothing would make every figure
/// a lie.
pub(crate) fn prepare(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        bail!("{} exists", dir.display());
    }
    std::fs::create_dir_all(dir)?;
    let refused = refuse_memory_file_system(dir);
    if refused.is_err() {
        std::fs::remove_dir_all(dir)?;
    }
    refused
}

fn refuse_memory_file_system(dir: &Path) -> anyhow::Result<()> {
    let dir = dir.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let of = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    match of {
        Some((point, kind @ ("tmpfs" | "ramfs" | "devtmpfs"))) => bail!("{point} is a {kind}: choose a disk"),
        _ => Ok(()),
    }
}

/// The times of small durable writes on this disk, now.
pub(crate) fn sync_times(dir: &Path) -> anyhow::Result<Times> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 4096 * PROBES])?;
    file.sync_all()?;
    let mut times = Times::default();
    for _ in 0..PROBES {
        let began = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.add(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(times)
}

/// How many flushes the disk under `dir` was asked for since the machine started, by anyone.
pub(crate) fn flushes(dir: &Path) -> anyhow::Result<u64> {
    let device = std::fs::metadata(dir)?.dev();
    // The encoding of device numbers in `stat`.
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    let stats = std::fs::read_to_string("/proc/diskstats")?;
    let fields = stats
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mine = fields.into_iter().find(|fields| {
        fields.first().and_then(|n| n.parse().ok()) == Some(major)
            && fields.get(1).and_then(|n| n.parse().ok()) == Some(minor)
    });
    let flushes = mine.and_then(|fields| fields.get(18)?.parse().ok());
    flushes.with_context(|| format!("the kernel does not count the flushes of device {major}:{minor}"))
}

/// The size of all files under `dir`.
pub(crate) fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(bytes)
}

/// Whether a durable answer was bought with a sync: a check on the bench itself.
pub(crate) fn spent(flushes: u64, answers: u64, took: Duration, sync_p50: Duration) -> anyhow::Result<()> {
    if flushes < answers {
        bail!("{answers} durable answers, one after the other, cost only {flushes} flushes of the disk");
    }
    let least = sync_p50 * u32::try_from(answers)? / 4;
    if took < least {
        bail!("{answers} durable answers took {took:?}: less than a quarter of as many syncs");
    }
    Ok(())
}
