//! Where all this happens: a server, and commands for absent devices, each of which gives one push when it is cancelled.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cycle::{Plan, Stage};
use crate::world::http::{Client, clients};
use crate::world::parallel::each;
use crate::world::server::Target;
use crate::world::{Common, command, create};

/// Calls under way at any time while much is queued or cancelled at once.
const AT_ONCE: usize = 64;
/// Connections that cancel at a steady rate.
const STEADY: usize = 16;
/// Commands for each device: what its queue holds.
const EACH: u64 = 20;
/// Of the commands: two days, so that none ends by itself.
const EXPIRE: u32 = 172_800;

/// See the module.
pub(super) struct Ground {
    pub(super) stage: Stage,
    enrolled: Cell<u64>,
}

/// Commands that wait to be cancelled.
pub(super) struct Queued {
    devices: Rc<Vec<String>>,
    pub(super) commands: Vec<String>,
}

/// A command that was cancelled.
pub(super) struct Cancelled {
    pub(super) command: String,
    /// When its turn was.
    pub(super) due: Instant,
    /// When the server had answered, which it does after the commit.
    pub(super) answered: Instant,
}

impl Ground {
    /// Starts a server on a fresh directory, with no devices.
    pub(super) async fn open(common: &Common) -> anyhow::Result<Self> {
        let plan = Plan {
            devices: 0,
            payload: 0,
            expire_time: EXPIRE,
            tls: false,
        };
        Ok(Self {
            stage: Stage::open(Target::Downlink, common, &plan).await?,
            enrolled: Cell::new(0),
        })
    }

    /// Ends the server as a crash would, and starts it again on the same data.
    pub(super) async fn restart(mut self, common: &Common) -> anyhow::Result<Self> {
        self.stage = self.stage.restart(common).await?;
        Ok(self)
    }

    /// Registers so many more devices.
    pub(super) async fn enroll(&self, count: u64) -> anyhow::Result<Rc<Vec<String>>> {
        let first = self.enrolled.replace(self.enrolled.get() + count);
        self.stage.enroll(first..first + count).await
    }

    /// Queues `count` commands that are told to `callback`, for as many absent devices as it takes.
    pub(super) async fn queue(&self, callback: &str, count: u64) -> anyhow::Result<Queued> {
        let devices = self.enroll(count.div_ceil(EACH)).await?;
        let (absent, callback) = (Rc::clone(&devices), callback.to_owned());
        let work = async move |client: &mut Client, n: u64| {
            let device = &absent[(n % absent.len() as u64) as usize];
            create(client, &command(device, n, 0, &callback, EXPIRE)).await
        };
        let commands = each(self.clients(AT_ONCE).await?, 0..count, work).await?;
        Ok(Queued { devices, commands })
    }

    /// Cancels all of `queued` as fast as it goes, by deleting the devices.
    pub(super) async fn cancel_at_once(&self, queued: &Queued) -> anyhow::Result<()> {
        let (devices, count) = (Rc::clone(&queued.devices), queued.devices.len() as u64);
        let work = async move |client: &mut Client, n: u64| {
            let path = format!("/iocm/app/dm/v1.4.0/devices/{}", devices[n as usize]);
            let (status, text) = client.call("DELETE", &path, "").await?;
            ensure!(status == 204, "DELETE {path}: {status} {text}");
            Ok(())
        };
        each(self.clients(AT_ONCE).await?, 0..count, work).await?;
        Ok(())
    }

    /// Work that cancels commands one by one, `rate` a second, each by a call of its own, from when it is first polled.
    pub(super) async fn cancel_steadily(
        &self,
        commands: Vec<String>,
        rate: f64,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Vec<Cancelled>>> + use<>> {
        let clients = self.clients(STEADY.min(commands.len())).await?;
        Ok(async move {
            let (began, count) = (Instant::now(), commands.len() as u64);
            let work = async move |client: &mut Client, n: u64| {
                let due = began + Duration::from_secs_f64(n as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                let command = commands[n as usize].clone();
                cancel(client, &command).await?;
                Ok(Cancelled {
                    command,
                    due,
                    answered: Instant::now(),
                })
            };
            each(clients, 0..count, work).await
        })
    }

    async fn clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        clients(&self.stage.server, &self.stage.token, count).await
    }

    /// Creates `count` commands for connected devices, numbered from `first`, and waits until all have arrived there.
    pub(super) async fn run_on_devices(&self, callback: &str, first: u64, count: u64) -> anyhow::Result<()> {
        let (devices, callback) = (Rc::clone(&self.stage.devices), callback.to_owned());
        let work = async move |client: &mut Client, n: u64| {
            let device = &devices[n as usize % devices.len()];
            create(client, &command(device, n, 0, &callback, EXPIRE)).await
        };
        each(self.clients(AT_ONCE).await?, first..first + count, work).await?;
        while (self.stage.arrivals.borrow().len() as u64) < first + count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn cancel(client: &mut Client, command: &str) -> anyhow::Result<()> {
    let path = format!("/iocm/app/cmd/v1.4.0/deviceCommands/{command}");
    let (status, text) = client.call("PUT", &path, r#"{"status":"CANCELED"}"#).await?;
    ensure!(status == 200, "PUT {path}: {status} {text}");
    Ok(())
}
