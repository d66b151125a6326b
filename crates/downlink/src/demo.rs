//! `downlink demo`: the whole thing in one process and one terminal. It starts a server, makes an application and a
//! device over the public ports, plays the device and the application's receiver, sends a command and shows what comes.

mod by_hand;
mod scene;
mod server;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use downlink_fleet::Receiver;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::output::{Format, Out};
use crate::serve::{Interrupt, Listeners, Overrides, data_dir};
use scene::{Scene, Told};

/// The pushes of the command have to be there by then.
const PUSHES_WITHIN: Duration = Duration::from_secs(10);
/// How long one wait for the next push is; the wait is taken up again until the user ends it.
const WATCH_FOR: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after one command: exit code 0 if SENT, DELIVERED and SUCCESSFUL were pushed in this order within 10 s
    #[arg(long)]
    once: bool,
    /// Keep the data here [default: a temporary directory that goes with the demo]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    listeners: Listeners,
}

/// The directory of the server's data; a temporary one goes when this is dropped.
enum Home {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::Failed(format!("{what}: {error}"));
    let home = match &args.data_dir {
        Some(path) => Home::Given(path.clone()),
        None => {
            let dir = tempfile::Builder::new().prefix("downlink-demo-").tempdir();
            Home::Temporary(dir.map_err(|error| failed("no temporary directory", error))?)
        }
    };
    let receiver = Receiver::start()
        .await
        .map_err(|error| failed("no receiver", error))?;
    let mut interrupt = Interrupt::listen()?;
    let server = server::start(args.overrides(home.path(), receiver.address())?).await?;
    let outcome = tokio::select! {
        outcome = play(&args, &home, &receiver, &server) => outcome,
        () = interrupt.came() => Ok(()),
    };
    server.stop().await;
    outcome
}

async fn play(
    args: &Args,
    home: &Home,
    receiver: &Receiver,
    server: &server::Running,
) -> Result<(), Failure> {
    let out = Out::new(Format::Text);
    out.say("Downlink, in one process: a server, a simulated device, an application's receiver.\n")?;
    let mut scene = Scene::set(out, home.path(), receiver, server).await?;
    let told = scene.send_command(out).await?;
    let shown = show_pushes(out, receiver, &told).await;
    if args.once {
        shown?;
        return out.say("\nall three pushes came, in order");
    }
    if let Err(failure) = &shown {
        out.say(&format!("\n{failure}"))?;
    }
    out.say(&by_hand::lines(&scene))?;
    out.say("Pushes are shown as they come. Ctrl-C ends the demo.\n")?;
    let mut index = receiver.read(|pushes| pushes.list.len());
    loop {
        if let Ok(push) = receiver.nth(index, WATCH_FOR).await {
            out.say(&scene::describe(&push, &told))?;
            index += 1;
        }
    }
}

/// Shows the pushes of the command as they come, until it has ended; fails if they were not the three to expect.
async fn show_pushes(out: Out, receiver: &Receiver, told: &Told) -> Result<(), Failure> {
    let deadline = Instant::now() + PUSHES_WITHIN;
    let (mut index, mut statuses) = (0, Vec::new());
    while !scene::has_ended(&statuses) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(push) = receiver.nth(index, left).await else {
            return Err(Failure::TimedOut(format!(
                "the pushes did not all come within {} s; these did: {}",
                PUSHES_WITHIN.as_secs(),
                statuses.join(", ")
            )));
        };
        index += 1;
        out.say(&scene::describe(&push, told))?;
        statuses.extend(
            push.command()
                .filter(|push| push.command_id == told.command_id)
                .map(|push| push.status),
        );
    }
    if scene::is_in_order(&statuses) {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "expected SENT, DELIVERED, SUCCESSFUL; came: {}",
        statuses.join(", ")
    )))
}

impl Args {
    /// The settings of the demo: the flags, and for what they leave open, the usual ports if those are free.
    fn overrides(&self, home: &Path, receiver: SocketAddr) -> Result<Overrides, Failure> {
        let flags = &self.listeners;
        let mut overrides = flags.overrides();
        let open = [
            ("northbound", "listen", &flags.northbound, 8743),
            ("northbound", "listen_plain", &flags.northbound_plain, 8080),
            ("mqtt", "listen", &flags.mqtt, 1883),
            ("admin", "listen", &flags.admin, 8744),
        ];
        for (section, key, flag, port) in open {
            if flag.is_none() {
                overrides.push((section, key, self.address(port).into()));
            }
        }
        let mut allow = flags.push_allow.clone();
        allow.push(format!("{}/32:{}", receiver.ip(), receiver.port()));
        overrides.retain(|(section, _, _)| *section != "push");
        overrides.push(("push", "allow", allow.into()));
        overrides.push(("log", "level", "warn".into()));
        overrides.push(data_dir(home));
        Ok(overrides)
    }

    /// This port of the loopback if it is free, else any. A demo that ends by itself never takes a usual port.
    fn address(&self, port: u16) -> String {
        let usual = SocketAddr::from(([127, 0, 0, 1], port));
        if !self.once && TcpListener::bind(usual).is_ok() {
            usual.to_string()
        } else {
            "127.0.0.1:0".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_allows_its_own_receiver_and_keeps_what_the_flags_say() {
        let listeners = Listeners {
            mqtt: Some("127.0.0.1:2".into()),
            push_allow: vec!["10.0.0.0/8".into()],
            ..Listeners::default()
        };
        let args = Args {
            once: true,
            data_dir: None,
            listeners,
        };
        let overrides = args
            .overrides(Path::new("/d"), "127.0.0.1:9".parse().unwrap())
            .unwrap();
        let of = |section: &str, key: &str| {
            let found: Vec<_> = overrides
                .iter()
                .filter(|(s, k, _)| *s == section && *k == key)
                .collect();
            assert_eq!(found.len(), 1, "{section}.{key}");
            found[0].2.to_string()
        };
        assert_eq!(of("mqtt", "listen"), r#""127.0.0.1:2""#);
        assert_eq!(of("northbound", "listen"), r#""127.0.0.1:0""#);
        assert_eq!(of("push", "allow"), r#"["10.0.0.0/8", "127.0.0.1/32:9"]"#);
        assert_eq!(of("server", "data_dir"), r#""/d""#);
    }
}
