//! `downlink serve`, and the flags that say where a server listens.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use downlink_server::config::{self, Config};
use downlink_server::run::{self as server, InitialApp, Running};
use downlink_server::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use toml::Value;

use crate::cli::runtime;
use crate::failure::Failure;
use crate::options::Credentials;
use crate::output::{Format, Out};

pub(crate) use downlink_server::config::Overrides;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "DOWNLINK_CONFIG")]
    config: Option<PathBuf>,
    /// Where everything durable lives
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Make this application if it is not there
    #[arg(long, value_name = "ID:SECRET", env = "DOWNLINK_APP", hide_env_values = true)]
    app: Option<Credentials>,
    #[command(flatten)]
    listeners: Listeners,
}

/// Where a server listens, and where it may push. Port 0 is a free one.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Listeners")]
pub(crate) struct Listeners {
    /// HTTPS for applications
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) northbound: Option<String>,
    /// The same over plain HTTP
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) northbound_plain: Option<String>,
    /// MQTT for devices
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) mqtt: Option<String>,
    /// MQTT over TLS for devices
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) mqtts: Option<String>,
    /// CoAP over UDP for devices; proves nothing of who they are
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) coap: Option<String>,
    /// CoAP over DTLS for devices
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) coaps: Option<String>,
    /// Console, admin API, metrics
    #[arg(long, value_name = "ADDRESS|off")]
    pub(crate) admin: Option<String>,
    /// An address that pushes may go to although it is not public; may be repeated
    #[arg(long, value_name = "CIDR[:PORT]")]
    pub(crate) push_allow: Vec<String>,
}

impl Listeners {
    /// What these flags set; only those that were given.
    pub(crate) fn overrides(&self) -> Overrides {
        let texts = [
            ("northbound", "listen", &self.northbound),
            ("northbound", "listen_plain", &self.northbound_plain),
            ("mqtt", "listen", &self.mqtt),
            ("mqtt", "listen_tls", &self.mqtts),
            ("lwm2m", "listen", &self.coap),
            ("lwm2m", "listen_dtls", &self.coaps),
            ("admin", "listen", &self.admin),
        ];
        let given = texts
            .into_iter()
            .filter_map(|(section, key, text)| Some((section, key, text.clone()?.into())));
        let mut overrides: Overrides = given.collect();
        if !self.push_allow.is_empty() {
            overrides.push(("push", "allow", self.push_allow.clone().into()));
        }
        overrides
    }
}

/// The setting of the data directory.
pub(crate) fn data_dir(path: &Path) -> (&'static str, &'static str, Value) {
    ("server", "data_dir", path.to_string_lossy().into_owned().into())
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut overrides = args.listeners.overrides();
    overrides.extend(args.data_dir.as_deref().map(data_dir));
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let config = config::load(args.config.as_deref(), std::env::vars(), overrides);
    let config = config.map_err(|error| failed(&error))?;
    telemetry::init_log(&config.log).map_err(|error| failed(&error))?;
    runtime(config.server.threads)?.block_on(serve(config, args.app))
}

/// Starts the server, says so on stdout, and stops it when asked to.
async fn serve(config: Config, app: Option<Credentials>) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let app = app.map(|app| InitialApp {
        id: app.id,
        secret: app.secret,
    });
    let running = server::start(config, app)
        .await
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let told = Out::new(Format::Text).say(&running.addresses().to_string());
    if told.is_ok() {
        tokio::select! {
            () = interrupt.came() => {}
            never = reload_on(&mut hangup, &running) => match never {},
        }
    }
    running.stop().await;
    told
}

/// Has the server read its certificates again at each SIGHUP.
async fn reload_on(hangup: &mut Signal, running: &Running) -> Infallible {
    loop {
        hangup.recv().await;
        running.reload();
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("no signals: {error}")))
}

/// The user's Ctrl-C or the system's SIGTERM. Neither is missed from the moment this is made.
pub(crate) struct Interrupt {
    by_user: Signal,
    by_system: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            by_user: listen(SignalKind::interrupt())?,
            by_system: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.by_user.recv() => {}
            _ = self.by_system.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_set_what_they_name_and_nothing_else() {
        let listeners = Listeners {
            mqtt: Some("off".into()),
            northbound_plain: Some("127.0.0.1:0".into()),
            push_allow: vec!["10.0.0.0/8".into(), "127.0.0.1/32:9000".into()],
            coap: Some("off".into()),
            ..Listeners::default()
        };
        let overrides = listeners.overrides();
        let keys: Vec<_> = overrides
            .iter()
            .map(|(section, key, value)| format!("{section}.{key}={value}"))
            .collect();
        assert_eq!(
            keys,
            [
                r#"northbound.listen_plain="127.0.0.1:0""#,
                r#"mqtt.listen="off""#,
                r#"lwm2m.listen="off""#,
                r#"push.allow=["10.0.0.0/8", "127.0.0.1/32:9000"]"#
            ]
        );
    }
}
