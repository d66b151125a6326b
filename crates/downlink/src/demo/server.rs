//! The one place where the demo touches the server itself: starting it. Where it listens and how it stops is the
//! server's own [`Running`].

pub(super) use downlink_server::run::{Addresses, Running};
use downlink_server::{config, run, telemetry};

use crate::failure::Failure;
use crate::serve::Overrides;

/// Starts a server with these settings; the environment counts too, a file does not.
pub(super) async fn start(overrides: Overrides) -> Result<Running, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let config = config::load(None, std::env::vars(), overrides).map_err(|error| failed(&error))?;
    telemetry::init_log(&config.log).map_err(|error| failed(&error))?;
    run::start(config, None).await.map_err(|error| failed(&error))
}
