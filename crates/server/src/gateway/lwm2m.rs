//! LwM2M and CoAP for devices, most of which sleep.
//!
//! One task serves all devices: `owner` has the sockets, the protocol machine (the crate `downlink-lwm2m`) and what is
//! `known` of each registered device; `calls` are its questions to the store, `translate` the codecs of products. A
//! device that can be written to has a session of the engine, as one that is connected over MQTT has. Commands and their
//! states belong to the engine.

mod admission;
mod calls;
mod dtls;
mod keeping;
mod kept;
mod keys;
mod known;
mod outcome;
mod owner;
mod registering;
mod secure;
mod sessions;
mod traced;
mod translate;
mod uplinks;
mod writes;

use std::io;
use std::sync::Arc;

use downlink_lwm2m::WorkMode;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::calls::Shared;
use self::owner::Owner;
use self::translate::Translator;
use crate::config;
use crate::engine::Engine;
use crate::net::Datagrams;
use crate::secrets::Sealer;

pub(crate) use self::dtls::Settings as DtlsSettings;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::dtls::tests::fuzzing;

/// Where devices come in.
pub(crate) struct Sockets {
    /// CoAP as it is: proves nothing of who speaks.
    pub(crate) plain: Option<Datagrams>,
    /// CoAP over DTLS.
    pub(crate) secure: Option<UdpSocket>,
}

/// Starts the gateway on the sockets that there are.
///
/// # Errors
/// The system has no thread, or no random numbers, for it.
pub(crate) fn start(
    engine: &Arc<Engine>,
    sealer: Arc<Sealer>,
    sockets: Sockets,
    config: &config::Lwm2m,
    max_result_bytes: usize,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<()> {
    let shared = Shared {
        engine: Arc::clone(engine),
        sealer,
        translator: Arc::new(Translator::start(config.scripts())?),
        max_result_bytes,
    };
    let owner = Owner::new(shared, sockets, config);
    tasks.spawn(owner.run(stop.clone()));
    Ok(())
}

/// How a device sleeps: as was said of it, its product or its application; else as the configuration says. Of one whose
/// binding says that it sleeps the protocol machine knows better.
fn work_mode(said: Option<downlink_core::product::WorkMode>, default: config::WorkMode) -> WorkMode {
    use downlink_core::product::WorkMode as Said;
    match (said, default) {
        (Some(Said::Edrx { cycle_secs }), _) => WorkMode::Edrx { cycle_secs },
        (Some(Said::Psm), _) | (None, config::WorkMode::Psm) => WorkMode::Psm,
        (Some(Said::Drx), _) | (None, config::WorkMode::Drx) => WorkMode::Drx,
    }
}
