//! The HTTP server of an application: it records every push it gets and answers as its [`Plan`] says.
//!
//! HTTP/1.1 on loopback or wherever it is told. What it records has a limit in number and in bytes; pushes beyond it are
//! answered all the same and counted as `unrecorded`. What it does not do: TLS.

mod plan;
mod push;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::wait::{self, TimedOut};

pub use plan::{Plan, Reply};
pub use push::{CommandPush, Push, Pushes};

/// A running receiver. Dropping it closes its port and its connections.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<serve::Shared>,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts a receiver on a free port of 127.0.0.1 that answers 200. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the port cannot be opened.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), Plan::default()).await
    }

    /// Starts a receiver on this address; port 0 is a free one.
    ///
    /// # Errors
    /// If the port cannot be opened.
    pub async fn start_on(address: SocketAddr, plan: Plan) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(serve::Shared::new(plan));
        let serving = Some(tokio::spawn(serve::accept(listener, Arc::clone(&shared))));
        Ok(Self {
            address,
            shared,
            serving,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The callback URL with this path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers like this from now on.
    pub fn plan(&self, plan: Plan) {
        self.shared.plan(plan);
    }

    /// Closes the port and cuts every connection, as if the machine were gone. What was recorded stays.
    pub async fn down(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was aborted on purpose; how it ended does not matter.
            let _ = serving.await;
        }
    }

    /// Opens the same port again after [`Self::down`].
    ///
    /// # Errors
    /// If somebody else has taken the port.
    pub async fn up(&mut self) -> std::io::Result<()> {
        if self.serving.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            self.serving = Some(tokio::spawn(serve::accept(listener, Arc::clone(&self.shared))));
        }
        Ok(())
    }

    /// Reads what was recorded without copying it. `read` runs under a lock: keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Pushes) -> R) -> R {
        read(&self.shared.pushes().borrow())
    }

    /// A copy of what was recorded, in order of arrival.
    pub fn pushes(&self) -> Vec<Push> {
        self.read(|pushes| pushes.list.clone())
    }

    /// Waits until `condition` holds of the recorded pushes, in order of arrival.
    ///
    /// # Errors
    /// [`TimedOut`] if it does not within `limit`; its text shows what had come.
    pub async fn wait_until(
        &self,
        limit: Duration,
        condition: impl Fn(&[Push]) -> bool,
    ) -> Result<(), TimedOut> {
        wait::until(
            self.shared.pushes(),
            limit,
            |pushes| condition(&pushes.list).then_some(()),
            Pushes::to_string,
        )
        .await
    }

    /// Waits for the push number `index` (from 0, by arrival) and returns a copy of it.
    ///
    /// # Errors
    /// [`TimedOut`] if it does not come within `limit`.
    pub async fn nth(&self, index: usize, limit: Duration) -> Result<Push, TimedOut> {
        let pick = |pushes: &Pushes| pushes.list.get(index).cloned();
        wait::until(self.shared.pushes(), limit, pick, Pushes::to_string).await
    }

    /// Waits until the command has been pushed with this status.
    ///
    /// # Errors
    /// [`TimedOut`] if it is not within `limit`.
    pub async fn wait_status(
        &self,
        command_id: &str,
        status: &str,
        limit: Duration,
    ) -> Result<Push, TimedOut> {
        let pick = |pushes: &Pushes| {
            let fits = |push: &&Push| {
                push.command()
                    .is_some_and(|told| told.command_id == command_id && told.status == status)
            };
            pushes.list.iter().find(fits).cloned()
        };
        wait::until(self.shared.pushes(), limit, pick, Pushes::to_string).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}
