//! The one place where the demo touches the server itself: starting it, where it listens, stopping it.
//!
//! WIRING: [`start`] resolves `overrides` with `downlink_server::config::load` (no file), calls
//! `downlink_server::run::start`, and keeps what that returns in [`Running`], whose `stop` passes the call on.

use std::net::SocketAddr;

use crate::failure::Failure;
use crate::serve::Overrides;

/// Where the server's listeners are; none: that one is off.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    pub(super) northbound: Option<SocketAddr>,
    pub(super) northbound_plain: Option<SocketAddr>,
    pub(super) mqtt: Option<SocketAddr>,
    pub(super) mqtts: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
}

/// A server in this process.
pub(super) struct Running {
    addresses: Addresses,
    admin_token: String,
}

#[allow(clippy::unused_async)] // the server's start is awaited here
pub(super) async fn start(overrides: Overrides) -> Result<Running, Failure> {
    let _ = overrides;
    Err(Failure::Failed("this build has no server in it".to_owned()))
}

impl Running {
    pub(super) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(super) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    #[allow(clippy::unused_async)] // the server's stop is awaited here
    pub(super) async fn stop(self) {}
}
