//! `downlink device simulate`: plays one MQTT device in the terminal, good or bad, or LwM2M devices ([`fleet`]).

mod fleet;
mod tell;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use downlink_fleet::Device;
use downlink_fleet::credentials::Identity;
use downlink_fleet::device::{Ack, Answer, Behaviour, Config, Event, HangUp, Moment, Qos, Reconnect};
use downlink_fleet::topic::Family;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, text_at};
use crate::serve::Interrupt;

/// How long the server may take to acknowledge the last answers before the device leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The device's id; without --device-id and --node-id a device is registered first (needs --app)
    #[arg(long, value_name = "ID", requires = "secret", conflicts_with_all = ["node_id", "lwm2m"])]
    device_id: Option<String>,
    /// Its own number, to connect with instead of the id
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Its secret
    #[arg(long, env = "DOWNLINK_DEVICE_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The server's plain MQTT listener
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DOWNLINK_DEVICE_SERVER",
        default_value = "127.0.0.1:1883"
    )]
    mqtt: String,
    /// Which topics it speaks
    #[arg(long, value_enum, default_value_t)]
    family: Topics,
    /// Do not subscribe (with oc, commands come all the same, at QoS 0)
    #[arg(long)]
    no_subscribe: bool,
    /// The quality of service it subscribes with
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Its keep-alive in seconds
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    keep_alive: u16,
    /// What commands are answered
    #[arg(long, value_enum, default_value_t)]
    answer: Kind,
    /// The code of the answer `error`
    #[arg(long, value_name = "N", default_value_t = 1)]
    error_code: i64,
    /// The body of answers, a JSON object
    #[arg(long, value_name = "JSON", default_value = r#"{"result":0}"#)]
    body: String,
    /// Milliseconds that a command takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Answer every command twice
    #[arg(long)]
    twice: bool,
    /// When commands are acknowledged (PUBACK)
    #[arg(long, value_enum, default_value_t)]
    ack: When,
    /// Cut the connection at the N-th command of every connection, before acknowledging it
    #[arg(long, value_name = "N")]
    drop_at: Option<u32>,
    /// Stay away once the connection is lost
    #[arg(long)]
    no_reconnect: bool,
    /// Leave after this many commands
    #[arg(long, value_name = "N")]
    commands: Option<u64>,
    #[command(flatten)]
    fleet: Box<fleet::FleetArgs>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Topics {
    /// /huawei/v1/devices/{id}/...
    #[default]
    Legacy,
    /// $oc/devices/{id}/sys/...
    Oc,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// It worked
    #[default]
    Ok,
    /// It failed
    Error,
    /// Nothing, but it is carried out
    Never,
    /// Nothing, and it is not carried out
    Ignore,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum When {
    /// On arrival
    #[default]
    AtOnce,
    /// After the answer
    AfterAnswer,
    /// Never
    Never,
}

pub(crate) async fn run(args: Args, client: &ClientArgs) -> Result<(), Failure> {
    if args.fleet.lwm2m {
        return fleet::run(&args, client).await;
    }
    if args.node_id.is_some() && args.secret.is_none() {
        return Err(Failure::Usage("--node-id needs --secret".to_owned()));
    }
    let out = client.out();
    let mut config = args.config().await?;
    if args.device_id.is_none() && args.node_id.is_none() {
        let (id, secret) = register(client, out, args.secret.as_deref()).await?;
        (config.identity, config.secret) = (Identity::DeviceId(id), secret);
    }
    let mut device = Device::start(config);
    let outcome = follow(&mut device, &args, out).await;
    device.stop().await;
    outcome
}

/// Registers a device for this run; it stays registered.
async fn register(client: &ClientArgs, out: Out, secret: Option<&str>) -> Result<(String, String), Failure> {
    let node_id = new_name();
    let info = json!({"nodeId": node_id, "name": "simulated", "protocolType": "MQTT"});
    let device = client.northbound()?.register_mqtt(info, secret).await?;
    let (id, secret) = (text_at(&device, "/deviceId"), text_at(&device, "/secret"));
    let document = json!({"event": "registered", "deviceId": id, "nodeId": node_id, "secret": secret});
    out.show(&document, || {
        format!("registered device {id}, node {node_id}, secret {secret}")
    })?;
    Ok((id, secret))
}

/// A number of its own for a device that has none.
fn new_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("sim-{:x}", since.as_micros())
}

impl Args {
    async fn config(&self) -> Result<Config, Failure> {
        let secret = self.secret.clone().unwrap_or_default();
        let mut config = Config::new(
            resolve("--mqtt", &self.mqtt).await?,
            self.device_id.clone().unwrap_or_default(),
            secret,
        );
        if let Some(node_id) = &self.node_id {
            config.identity = Identity::NodeId(node_id.clone());
        }
        config.family = match self.family {
            Topics::Legacy => Family::Legacy,
            Topics::Oc => Family::Oc,
        };
        let qos = if self.qos == 0 { Qos::Zero } else { Qos::One };
        config.subscribe = (!self.no_subscribe).then_some(qos);
        config.keep_alive = self.keep_alive;
        config.behaviour = self.behaviour()?;
        if self.no_reconnect {
            config.reconnect = Reconnect::Never;
        }
        Ok(config)
    }

    fn behaviour(&self) -> Result<Behaviour, Failure> {
        let body: Value = serde_json::from_str(&self.body)
            .map_err(|error| Failure::Usage(format!("--body is not JSON: {error}")))?;
        let at = |at_command| HangUp {
            at_command,
            moment: Moment::Received,
            times: u32::MAX,
        };
        Ok(Behaviour {
            ack: match self.ack {
                When::AtOnce => Ack::AtOnce,
                When::AfterAnswer => Ack::AfterAnswer,
                When::Never => Ack::Never,
            },
            answer: match self.answer {
                Kind::Ok => Answer::Ok(body),
                Kind::Error => Answer::Error(self.error_code, body),
                Kind::Never => Answer::Never,
                Kind::Ignore => Answer::Ignore,
            },
            answer_after: Duration::from_millis(self.delay),
            answers: if self.twice { 2 } else { 1 },
            answer_qos: Qos::One,
            hang_up: self.drop_at.map(at),
        })
    }
}

async fn resolve(flag: &str, address: &str) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host(address).await;
    let mut found = found.map_err(|error| Failure::Usage(format!("{flag} {address}: {error}")))?;
    found
        .next()
        .ok_or_else(|| Failure::Unreachable(format!("{address} has no address")))
}

/// Tells the device's events until it is done, it has ended, or the user has had enough.
async fn follow(device: &mut Device, args: &Args, out: Out) -> Result<(), Failure> {
    let started = Instant::now();
    let mut interrupt = Interrupt::listen()?;
    loop {
        let event = tokio::select! {
            event = device.next_event() => event,
            () = interrupt.came() => return Ok(()),
        };
        let Some(event) = event else {
            return Err(ended(device));
        };
        tell(out, started.elapsed(), &event)?;
        if args.commands.is_some_and(|wanted| is_done(device, args, wanted)) {
            // An answer that is not acknowledged by then is the server's to explain.
            let all_acked = |tally: &downlink_fleet::ledger::Tally| {
                tally.answers_acked >= u64::from(tally.total.answered)
            };
            let _ = device.ledger().wait_until(LEAVE_WITHIN, all_acked).await;
            return Ok(());
        }
    }
}

/// Whether as many commands as wanted have seen all that will be done with them.
fn is_done(device: &Device, args: &Args, wanted: u64) -> bool {
    let total = device.ledger().read(|tally| tally.total);
    let done = match args.answer {
        Kind::Ok | Kind::Error | Kind::Never => total.executed,
        Kind::Ignore => total.received,
    };
    u64::from(done) >= wanted
}

fn ended(device: &Device) -> Failure {
    match device.ledger().read(|tally| tally.refused) {
        Some(code) => Failure::Failed(format!("the server refused the connection (CONNACK code {code})")),
        None => Failure::Unreachable("the connection is lost".to_owned()),
    }
}

fn tell(out: Out, after: Duration, event: &Event) -> Result<(), Failure> {
    let (word, detail) = describe(event);
    let mut document = json!({"event": word, "afterMs": after.as_millis() as u64});
    match event {
        Event::Received(command) => {
            document["key"] = command.key.to_string().into();
            document["service"] = command.service.as_str().into();
            document["method"] = command.method.as_str().into();
            document["paras"] = command.paras.clone();
        }
        Event::Acked(key) | Event::Executed(key) | Event::Answered(key) => {
            document["key"] = key.to_string().into()
        }
        Event::Connected
        | Event::Refused(_)
        | Event::Ready(_)
        | Event::FilterRefused
        | Event::Stray(_)
        | Event::Disconnected(_) => document["detail"] = detail.as_str().into(),
    }
    out.show(&document, || {
        format!("{:9.3} s  {word:<13}  {detail}", after.as_secs_f64())
    })
}

fn describe(event: &Event) -> (&'static str, String) {
    match event {
        Event::Connected => ("connected", String::new()),
        Event::Refused(code) => ("refused", format!("CONNACK code {code}")),
        Event::Ready(Some(qos)) => ("subscribed", format!("QoS {}", *qos as u8)),
        Event::Ready(None) => ("ready", "without a subscription".to_owned()),
        Event::FilterRefused => ("refused", "the subscription".to_owned()),
        Event::Received(command) => {
            let (key, service, method) = (&command.key, &command.service, &command.method);
            ("received", format!("{key}  {service}/{method} {}", command.paras))
        }
        Event::Acked(key) => ("acknowledged", key.to_string()),
        Event::Executed(key) => ("executed", key.to_string()),
        Event::Answered(key) => ("answered", key.to_string()),
        Event::Stray(topic) => ("stray", format!("a message on {topic}")),
        Event::Disconnected(reason) => ("disconnected", reason.clone()),
    }
}
