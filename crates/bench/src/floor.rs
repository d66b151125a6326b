//! The floor: the messages of a cycle through bare servers of the libraries that the server uses, with one synced log. What
//! no design can beat on this machine, so it leaves out all that a design is about: it believes every caller, checks and
//! limits nothing, keeps what is under way in memory only and never reads its log.
//!
//! What it does not leave out: the same messages with the same headers and bodies, and their order. 201, PUBLISH, PUBACK and
//! every push go out after the sync of what they speak of; of one command one push at a time.
//!
//! It runs on one thread, with a second for the log: two workers cost about a third more CPU a cycle, for waking each other.
//! So the locks here are never waited for; they are there because the tasks that a runtime spawns have to be `Send`.

mod command;
mod http;
mod ids;
mod log;
mod mqtt;
mod push;
mod record;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use self::ids::Ids;
use self::log::Log;
use self::mqtt::Devices;
use self::push::Receivers;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where its log goes
    dir: PathBuf,
}

/// What all connections share.
struct Floor {
    log: Log,
    ids: Ids,
    devices: Devices,
    receivers: Receivers,
}

/// Serves until it is killed.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let disk = log::Disk::create(&options.dir.join("floor.log"))?;
    let floor = Arc::new(Floor {
        log: Log::default(),
        ids: Ids::default(),
        devices: Devices::default(),
        receivers: Receivers::default(),
    });
    let northbound = TcpListener::bind("127.0.0.1:0").await?;
    let mqtt = TcpListener::bind("127.0.0.1:0").await?;
    println!(
        "ready northbound-plain=http://{} mqtt={}",
        northbound.local_addr()?,
        mqtt.local_addr()?
    );
    spawn(http::accept(Arc::clone(&floor), northbound));
    spawn(mqtt::accept(Arc::clone(&floor), mqtt));
    // A task like the others, so that it has its turn after those that are ready.
    tokio::spawn(async move { floor.log.commit(disk).await }).await?
}

/// Starts a task. One that fails makes the run worthless, so it is said.
fn spawn(task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = task.await {
            eprintln!("floor: {error:#}");
        }
    });
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
