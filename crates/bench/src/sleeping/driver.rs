//! A process with devices, as the bench holds it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Speech;
use super::wire::{Order, Said};

/// Longest wait for a word of it: it gives up by itself before that.
const LONGEST: Duration = Duration::from_secs(900);

/// See the module. It ends when this is dropped.
pub(super) struct Driver {
    _child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    /// Number of its first device.
    pub(super) first: u64,
}

impl Driver {
    /// Starts one, the devices of which register at once, one every so many microseconds.
    pub(super) fn start(
        server: SocketAddr,
        speech: Speech,
        first: u64,
        count: u64,
        every_us: u64,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["sleeping-fleet", "--server", &server.to_string()]);
        command.args(["--first", &first.to_string(), "--count", &count.to_string()]);
        command.args(["--every-us", &every_us.to_string()]);
        match speech {
            Speech::Plain => {}
            Speech::Dtls => {
                command.arg("--dtls");
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process with devices")?;
        let orders = child.stdin.take().context("the child has a stdin")?;
        let stdout = child.stdout.take().context("the child has a stdout")?;
        Ok(Self {
            _child: child,
            orders,
            said: BufReader::new(stdout).lines(),
            first,
        })
    }

    pub(super) async fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        Ok(self.orders.write_all(line.as_bytes()).await?)
    }

    /// What it says next.
    pub(super) async fn said(&mut self) -> anyhow::Result<Said> {
        let line = tokio::time::timeout(LONGEST, self.said.next_line()).await;
        let line = line.context("a process with devices is silent")??;
        let line = line.context("a process with devices failed")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Waits for these words.
    pub(super) async fn expect(&mut self, words: &Said) -> anyhow::Result<()> {
        let said = self.said().await?;
        match said == *words {
            true => Ok(()),
            false => bail!("{words:?} was to be said, not {said:?}"),
        }
    }
}
