//! Commands for absent devices: queued, then cancelled all together.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Counted, Options, Told};
use crate::cycle::{Plan, Stage};
use crate::report::Run;
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

/// Commands for devices of their own, turn by turn.
pub(super) struct Cancels<'a> {
    stage: &'a Stage,
    options: &'a Options,
    enrolled: u64,
}

/// What waits to be cancelled.
struct Queued {
    devices: Rc<Vec<String>>,
    commands: Rc<Vec<String>>,
}

/// No device is connected, and the commands would wait for two days.
pub(super) fn plan() -> Plan {
    Plan {
        devices: 0,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    }
}

/// What is not urgent, such as that the last pushes were accepted, is written by then.
pub(super) async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

impl<'a> Cancels<'a> {
    pub(super) fn new(stage: &'a Stage, options: &'a Options) -> Self {
        Self {
            stage,
            options,
            enrolled: 0,
        }
    }

    /// Queues all commands of one turn, and cancels them.
    pub(super) async fn turn(&mut self, told: Told) -> anyhow::Result<Run> {
        let commands = self.options.commands;
        let (queued, created) = self.queue(told).await?;
        let before = self.stage.pushed.borrow().counts();
        let (spent, answered) = self.cancel(&queued, told).await?;
        let counts = self.stage.pushed.borrow().counts().since(before);
        let counted = Counted {
            pushes: commands,
            missing: match told {
                Told::Pushed => commands.saturating_sub(counts.finished),
                Told::Nobody => 0,
            },
            counts,
        };
        let mut run = counted.run(spent);
        run.add(
            "cancelled_after_share",
            answered.as_secs_f64() / spent.wall.as_secs_f64(),
        );
        add_created(&mut run, created, spent, commands);
        Ok(run)
    }

    /// Registers as many devices as it takes and queues the commands for them. Gives what the creates took as well.
    async fn queue(&mut self, told: Told) -> anyhow::Result<(Queued, Spent)> {
        let (stage, count) = (self.stage, self.options.commands);
        let until = self.enrolled + count.div_ceil(EACH);
        let devices = stage.enroll(self.enrolled..until).await?;
        self.enrolled = until;
        let callback = match told {
            Told::Pushed => stage.callback.clone(),
            Told::Nobody => String::new(),
        };
        let absent = Rc::clone(&devices);
        let clients = clients(&stage.server, &stage.token, AT_ONCE).await?;
        let work = async move |client: &mut _, n: u64| {
            let device = &absent[(n % absent.len() as u64) as usize];
            create(client, &command(device, n, 0, &callback, 172_800)).await
        };
        let span = Span::of(stage.server.pid()?)?;
        let commands = Rc::new(each(clients, 0..count, work).await?);
        Ok((Queued { devices, commands }, span.spent()?))
    }

    /// Cancels all, and waits for the last push if there is a receiver. Gives what that took, and after what time the last call was answered.
    async fn cancel(&self, queued: &Queued, told: Told) -> anyhow::Result<(Spent, Duration)> {
        let (targets, method, path, body, status) = match self.options.by {
            By::Cycle | By::Delete => (&queued.devices, "DELETE", "dm/v1.4.0/devices", "", 204),
            By::Cancel => {
                let body = r#"{"status":"CANCELED"}"#;
                (&queued.commands, "PUT", "cmd/v1.4.0/deviceCommands", body, 200)
            }
        };
        let (stage, rate) = (self.stage, self.options.rate);
        let (targets, calls) = (Rc::clone(targets), 0..targets.len() as u64);
        let clients = clients(&stage.server, &stage.token, AT_ONCE).await?;
        let all = stage.pushed.borrow().finished + queued.commands.len() as u64;
        let span = Span::of(stage.server.pid()?)?;
        let began = Instant::now();
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
        if told == Told::Pushed {
            Pushed::all(&stage.pushed, all).await;
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

/// A create with the push that comes of it, one after the other: what others call a message that is sent and delivered.
fn add_created(run: &mut Run, created: Spent, pushed: Spent, count: u64) {
    run.add("creates_per_s", created.rate(count));
    run.add("cpu_us_per_create", created.cpu_us(count));
    run.add("create_driver_cpu_share", created.driver_share());
    let both = (created.wall + pushed.wall).as_secs_f64();
    run.add("create_and_push_per_s", count as f64 / both);
    run.add(
        "cpu_us_per_create_and_push",
        created.cpu_us(count) + pushed.cpu_us(count),
    );
}
