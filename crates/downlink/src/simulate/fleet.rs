//! `downlink device simulate --lwm2m`: plays one LwM2M device or many, awake or sleeping, in good weather or bad.

use std::str::FromStr;
use std::time::Duration;

use downlink_fleet::lwm2m::{Access, Code, Config, Fleet, Key, Outcome, Payload, Settings, Weather, Write};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::Instant;

use super::{Kind, LEAVE_WITHIN, resolve, tell};
use crate::client::Northbound;
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, note, text_at};
use crate::serve::Interrupt;

/// How many files this process may need besides the devices' sockets.
const BESIDES: u64 = 50;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "LwM2M")]
pub(super) struct FleetArgs {
    /// Play LwM2M devices; --node-id is then the first one's, and others count up from it
    #[arg(long)]
    pub(super) lwm2m: bool,
    /// The server's plain CoAP listener
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:5683",
        requires = "lwm2m"
    )]
    coap: String,
    /// Speak DTLS, with the node id as identity and --secret (hex) as key
    #[arg(long, requires = "lwm2m")]
    dtls: bool,
    /// The server's listener for CoAP over DTLS; implies --dtls [default: 127.0.0.1:5684]
    #[arg(long, value_name = "HOST:PORT", requires = "lwm2m", conflicts_with = "coap")]
    coaps: Option<String>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1, requires = "lwm2m", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Over how many seconds they start
    #[arg(long, value_name = "SECS", default_value_t = 0, requires = "lwm2m")]
    spread: u64,
    /// Their lifetime in seconds; they update their registration after three quarters of it
    #[arg(long, value_name = "SECS", default_value_t = 86_400, requires = "lwm2m", value_parser = clap::value_parser!(u64).range(1..))]
    lifetime: u64,
    /// Sleep: seconds that they listen after each uplink, and seconds that they sleep then
    #[arg(long, value_name = "AWAKE,SLEEP", requires = "lwm2m")]
    psm: Option<Pair>,
    /// Wake with another port (with DTLS: a new session)
    #[arg(long, requires = "psm")]
    new_port: bool,
    /// Commands and results in bytes: 03 mid(2) value(1), 04 mid(2) code(1) value(1) [default: JSON]
    #[arg(long, requires = "lwm2m")]
    binary: bool,
    /// The older access: t/r and t/d
    #[arg(long, requires = "lwm2m")]
    oc: bool,
    /// Report without asking for an acknowledgement
    #[arg(long, requires = "lwm2m")]
    non: bool,
    /// Answer writes with this error (4.04, 5.03, ...) or `reset`
    #[arg(long, value_name = "CODE", requires = "lwm2m")]
    write: Option<Refusal>,
    /// Percent of datagrams that get lost
    #[arg(long, value_name = "PERCENT", default_value_t = 0, requires = "lwm2m", value_parser = clap::value_parser!(u8).range(0..=100))]
    loss: u8,
    /// Percent of datagrams that arrive twice
    #[arg(long, value_name = "PERCENT", default_value_t = 0, requires = "lwm2m", value_parser = clap::value_parser!(u8).range(0..=100))]
    duplicate: u8,
    /// Milliseconds that datagrams take, at least and at the most
    #[arg(long, value_name = "MIN,MAX", requires = "lwm2m")]
    latency: Option<Pair>,
    /// Forget everything and start anew from another port, each of this many seconds
    #[arg(long, value_name = "SECS", requires = "lwm2m", value_parser = clap::value_parser!(u64).range(1..))]
    reboot_every: Option<u64>,
    /// From which all chance comes
    #[arg(long, value_name = "N", default_value_t = 1, requires = "lwm2m")]
    seed: u64,
    /// Tell the count of everything each of this many seconds, instead of every event
    #[arg(long, value_name = "SECS", requires = "lwm2m", value_parser = clap::value_parser!(u64).range(1..))]
    tally: Option<u64>,
}

/// Two numbers with a comma between them.
#[derive(Debug, Clone, Copy)]
struct Pair(u64, u64);

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, second) = text
            .split_once(',')
            .ok_or("two numbers with a comma between them")?;
        let number = |text: &str| text.trim().parse().map_err(|_| "not a number");
        Ok(Self(number(first)?, number(second)?))
    }
}

/// How a write is refused.
#[derive(Debug, Clone, Copy)]
struct Refusal(Write);

impl FromStr for Refusal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "reset" {
            return Ok(Self(Write::Reset));
        }
        let code = Code::error(text).ok_or("an error such as 4.04 or 5.03, or `reset`")?;
        Ok(Self(Write::Refused(code)))
    }
}

/// A device's own number and its secret.
type Named = (String, Option<String>);

pub(super) async fn run(args: &super::Args, client: &ClientArgs) -> Result<(), Failure> {
    let out = client.out();
    make_room(args.fleet.count)?;
    let config = args.fleet.config().await?;
    let named = match &args.node_id {
        Some(first) => names(first, args.fleet.count)
            .map(|name| (name, args.secret.clone()))
            .collect(),
        None => register(args, client.northbound()?, out).await?,
    };
    let devices = named
        .iter()
        .map(|device| args.settings(device))
        .collect::<Result<_, _>>()?;
    let fleet = Fleet::start(&config, devices).await;
    let mut fleet = fleet.map_err(|error| Failure::Failed(format!("cannot make a socket: {error}")))?;
    let outcome = follow(&mut fleet, args, &named, out).await;
    let tally = fleet.tally();
    fleet.stop(LEAVE_WITHIN).await;
    outcome?;
    tell::count(out, &tally)
}

/// Raises the limit of open files as far as it goes, and warns if there will not be enough.
fn make_room(devices: u32) -> Result<(), Failure> {
    let most = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| Failure::Failed(format!("the limit of open files: {error}")))?;
    if let Some(most) = most
        && u64::from(devices) + BESIDES > most
    {
        note(&format!(
            "downlink: {devices} devices need a socket each, and this process may have {most} files open (ulimit -n)"
        ));
    }
    Ok(())
}

/// `first` and the names after it: the digits at its end count up and keep their width.
fn names(first: &str, count: u32) -> impl Iterator<Item = String> {
    let stem = first.trim_end_matches(|at: char| at.is_ascii_digit());
    // A number beyond 18 digits counts in its last 18.
    let stem_length = stem.len().max(first.len().saturating_sub(18));
    let (stem, digits) = first.split_at(stem_length);
    let (start, width) = (digits.parse::<u64>().unwrap_or(0), digits.len());
    (0..u64::from(count)).map(move |index| {
        if index == 0 {
            first.to_owned()
        } else {
            format!("{stem}{:0width$}", start + index)
        }
    })
}

/// Registers the devices for this run; they stay registered.
async fn register(args: &super::Args, mut server: Northbound, out: Out) -> Result<Vec<Named>, Failure> {
    let first = format!("{}-0", super::new_name());
    let mut devices = Vec::new();
    for name in names(&first, args.fleet.count) {
        let mut body = json!({"nodeId": name, "verifyCode": name, "timeout": 0});
        body["deviceInfo"] = json!({"name": "simulated", "protocolType": "LWM2M"});
        if let Some(secret) = &args.secret {
            body["psk"] = secret.as_str().into();
        }
        let device = server.register_by_code(body).await?;
        let (id, psk) = (text_at(&device, "/deviceId"), text_at(&device, "/psk"));
        let document = json!({"event": "registered", "deviceId": id, "nodeId": name, "psk": psk});
        out.show(&document, || {
            format!("registered device {id}, node {name}, key {psk}")
        })?;
        devices.push((name, args.secret.clone().or(Some(psk))));
    }
    Ok(devices)
}

impl FleetArgs {
    fn secure(&self) -> bool {
        self.dtls || self.coaps.is_some()
    }

    async fn config(&self) -> Result<Config, Failure> {
        let server = match &self.coaps {
            Some(coaps) => resolve("--coaps", coaps).await?,
            None if self.dtls => resolve("--coaps", "127.0.0.1:5684").await?,
            None => resolve("--coap", &self.coap).await?,
        };
        let Pair(least, most) = self.latency.unwrap_or(Pair(0, 0));
        Ok(Config {
            weather: Weather {
                loss: self.loss,
                duplicate: self.duplicate,
                delay: (Duration::from_millis(least), Duration::from_millis(most)),
            },
            reboot_every: self.reboot_every.map(Duration::from_secs),
            new_port: self.new_port,
            spread: Duration::from_secs(self.spread),
            seed: self.seed,
            ..Config::new(server)
        })
    }
}

impl super::Args {
    fn settings(&self, (name, secret): &Named) -> Result<Settings, Failure> {
        let fleet = &self.fleet;
        let mut settings = Settings::new(name);
        if let Some(Pair(awake, asleep)) = fleet.psm {
            settings = settings.sleeping(Duration::from_secs(awake), Duration::from_secs(asleep));
        }
        settings.lifetime = Duration::from_secs(fleet.lifetime);
        if fleet.oc {
            settings.access = Access::Oc;
        }
        if fleet.binary {
            settings.payload = Payload::Binary;
        }
        settings.confirm = !fleet.non;
        settings.takes = Duration::from_millis(self.delay);
        (settings.write, settings.outcome) = self.treatment()?;
        if fleet.secure() {
            settings.key = Some(key(name, secret.as_deref())?);
        }
        Ok(settings)
    }

    fn treatment(&self) -> Result<(Write, Outcome), Failure> {
        let code = u8::try_from(self.error_code)
            .map_err(|_| Failure::Usage("--error-code: 0 to 255 with --lwm2m".to_owned()))?;
        let (write, outcome) = match self.answer {
            Kind::Ok => (Write::Changed, Outcome::Code(0)),
            Kind::Error => (Write::Changed, Outcome::Code(code)),
            Kind::Never => (Write::Changed, Outcome::Never),
            Kind::Ignore => (Write::Silent, Outcome::Never),
        };
        Ok((self.fleet.write.map_or(write, |refusal| refusal.0), outcome))
    }

    /// Whether as many commands as wanted have seen all that will be done with them.
    fn is_enough(&self, fleet: &Fleet, wanted: u64) -> bool {
        let tally = fleet.tally();
        let all_acked = self.fleet.non || tally.answers_acked >= tally.answered;
        match self.answer {
            Kind::Ok | Kind::Error if self.fleet.write.is_none() => tally.answered >= wanted && all_acked,
            Kind::Never if self.fleet.write.is_none() => tally.executed >= wanted,
            Kind::Ok | Kind::Error | Kind::Never | Kind::Ignore => tally.received >= wanted,
        }
    }
}

fn key(name: &str, secret: Option<&str>) -> Result<Key, Failure> {
    let secret = secret.ok_or_else(|| Failure::Usage("DTLS needs --secret, in hex".to_owned()))?;
    Key::from_hex(name, secret).ok_or_else(|| Failure::Usage("--secret: not 1 to 64 bytes in hex".to_owned()))
}

/// Tells what happens until there were enough commands, or the user has had enough.
async fn follow(fleet: &mut Fleet, args: &super::Args, named: &[Named], out: Out) -> Result<(), Failure> {
    let started = Instant::now();
    let mut interrupt = Interrupt::listen()?;
    let every = args.fleet.tally.map(Duration::from_secs);
    let mut next_count = every.map(|every| started + every);
    loop {
        let event = tokio::select! {
            event = fleet.next_event() => event,
            () = interrupt.came() => return Ok(()),
            () = until(next_count) => {
                tell::count(out, &fleet.tally())?;
                next_count = every.map(|every| Instant::now() + every);
                continue;
            }
        };
        let Some((device, event)) = event else {
            return Ok(());
        };
        if every.is_none() {
            let name = named
                .get(device)
                .map(|(name, _)| name.as_str())
                .unwrap_or_default();
            tell::event(out, started.elapsed(), name, &event)?;
        }
        if args.commands.is_some_and(|wanted| args.is_enough(fleet, wanted)) {
            return Ok(());
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_up_in_their_last_digits() {
        let all = |first, count| names(first, count).collect::<Vec<_>>();
        assert_eq!(
            all("861234567890098", 3),
            ["861234567890098", "861234567890099", "861234567890100"]
        );
        assert_eq!(all("lamp-09", 2), ["lamp-09", "lamp-10"]);
        assert_eq!(all("lamp", 2), ["lamp", "lamp1"]);
        assert_eq!(
            all("12345678901234567890", 2),
            ["12345678901234567890", "12345678901234567891"]
        );
    }

    #[test]
    fn pairs_and_refusals_are_read() {
        assert!(matches!("10,60".parse(), Ok(Pair(10, 60))));
        assert!("10".parse::<Pair>().is_err() && "a,b".parse::<Pair>().is_err());
        assert!(matches!("5.03".parse(), Ok(Refusal(Write::Refused(Code(0xa3))))));
        assert!(matches!("reset".parse(), Ok(Refusal(Write::Reset))));
        assert!("2.04".parse::<Refusal>().is_err());
    }
}
