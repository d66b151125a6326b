//! The server under test: a child process, and what the kernel says of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) northbound: SocketAddr,
    pub(crate) mqtt: SocketAddr,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Bytes handed to the block layer.
    pub(crate) written: u64,
    /// Resident memory, KiB.
    pub(crate) resident_kib: u64,
}

impl Server {
    /// Starts `binary` on `data_dir` and waits until it accepts work.
    pub(crate) async fn start(binary: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        refuse_memory_file_system(data_dir)?;
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--northbound",
                "off",
                "--northbound-plain",
                "127.0.0.1:0",
                "--mqtt",
                "127.0.0.1:0",
            ])
            .args([
                "--admin",
                "127.0.0.1:0",
                "--push-allow",
                "127.0.0.0/8",
                "--app",
                "bench:bench-secret",
            ])
            .arg("--data-dir")
            .arg(data_dir)
            .env("DOWNLINK_LOG_LEVEL", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the child has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        let ready = ready.context("the server ended before it was ready")?;
        Ok(Self {
            child,
            northbound: address(&ready, "northbound-plain=http://")?,
            mqtt: address(&ready, "mqtt=")?,
        })
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let proc = PathBuf::from(format!(
            "/proc/{}",
            self.child.id().context("the server is gone")?
        ));
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let (Some(user), Some(system)) = (fields.get(11), fields.get(12)) else {
            bail!("unexpected stat line")
        };
        let ticks: u64 = user.parse::<u64>()? + system.parse::<u64>()?;
        let io = std::fs::read_to_string(proc.join("io"))?;
        let status = std::fs::read_to_string(proc.join("status"))?;
        Ok(Usage {
            cpu: Duration::from_millis(ticks * 10),
            written: number(&io, "write_bytes:")?,
            resident_kib: number(&status, "VmRSS:")?,
        })
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// A sync that costs nothing would make every figure a lie.
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

fn address(ready: &str, key: &str) -> anyhow::Result<SocketAddr> {
    let word = ready.split(' ').find_map(|word| word.strip_prefix(key));
    Ok(word.with_context(|| format!("no {key} in `{ready}`"))?.parse()?)
}

fn number(text: &str, key: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.with_context(|| format!("no {key}"))?.parse()?)
}
