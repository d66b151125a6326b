//! Commands for absent devices: queued, then cancelled all together.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Options;
use crate::cycle::Stage;
use crate::world::http::{Client, clients};
use crate::world::parallel::each;
use crate::world::sink::Pushed;
use crate::world::usage::{Span, Spent};
use crate::world::{command, create};

/// Calls under way at any time.
const AT_ONCE: usize = 64;
/// Commands for each device: what its queue holds.
const EACH: u64 = 20;

/// How long the server may take to write the rest after the last push.
const SETTLE: Duration = Duration::from_millis(200);

/// What makes the pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// Whole cycles: three pushes for each command, which its device takes and answers
    Cycle,
    /// Devices are deleted, which cancels their queues: one push for each command
    Delete,
    /// Each command is cancelled by a call of its own: one push for each
    Cancel,
}

/// What waits to be cancelled.
pub(super) struct Queued {
    devices: Rc<Vec<String>>,
    commands: Rc<Vec<String>>,
}

/// Registers as many devices as it takes and queues `count` commands for them. Gives what the creates took as well.
pub(super) async fn queue(stage: &Stage, count: u64) -> anyhow::Result<(Queued, Spent)> {
    let devices = stage.enroll(0..count.div_ceil(EACH)).await?;
    let (absent, callback) = (Rc::clone(&devices), stage.callback.clone());
    let clients = clients(&stage.server, &stage.token, AT_ONCE).await?;
    let work = async move |client: &mut _, n: u64| {
        let device = &absent[(n % absent.len() as u64) as usize];
        create(client, &command(device, n, 0, &callback, 172_800)).await
    };
    let span = Span::of(stage.server.pid()?)?;
    let commands = Rc::new(each(clients, 0..count, work).await?);
    Ok((Queued { devices, commands }, span.spent()?))
}

/// What is not urgent, such as that the last pushes were accepted, is written by then.
pub(super) async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

impl Queued {
    /// Cancels all, and waits for the last push if there is a receiver. Gives what that took, and after what time the last call was answered.
    pub(super) async fn cancel(&self, stage: &Stage, options: &Options) -> anyhow::Result<(Spent, Duration)> {
        let (targets, method, path, body, status) = match options.by {
            By::Cycle | By::Delete => (&self.devices, "DELETE", "dm/v1.4.0/devices", "", 204),
            By::Cancel => {
                let body = r#"{"status":"CANCELED"}"#;
                (&self.commands, "PUT", "cmd/v1.4.0/deviceCommands", body, 200)
            }
        };
        let (targets, calls) = (Rc::clone(targets), 0..targets.len() as u64);
        let clients = clients(&stage.server, &stage.token, AT_ONCE).await?;
        let span = Span::of(stage.server.pid()?)?;
        let (began, rate) = (Instant::now(), options.rate);
        let work = async move |client: &mut Client, n: u64| {
            if let Some(rate) = rate {
                tokio::time::sleep_until((began + Duration::from_secs_f64(n as f64 / rate)).into()).await;
            }
            let path = format!("/iocm/app/{path}/{}", targets[n as usize]);
            let (answer, text) = client.call(method, &path, body).await?;
            ensure!(answer == status, "{method} {path}: {answer} {text}");
            Ok(())
        };
        each(clients, calls, work).await?;
        let answered = span.wall();
        if !stage.callback.is_empty() {
            Pushed::all(&stage.pushed, self.commands.len() as u64).await;
        }
        let wall = span.wall();
        settle().await;
        let spent = Spent {
            wall,
            ..span.spent()?
        };
        Ok((spent, answered))
    }
}
