//! The demo's actors, and what they are seen to do. All of it goes over the public ports, as anybody's would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use downlink_fleet::device::Config;
use downlink_fleet::receiver::Push;
use downlink_fleet::{Device, Receiver};
use reqwest::Url;
use serde_json::json;

use super::server::{Addresses, Running};
use crate::client::{Admin, Northbound, Trust};
use crate::failure::Failure;
use crate::options::Credentials;
use crate::output::{Out, text_at};

/// How long one request may take, and how long the device may take to connect.
const SOON: Duration = Duration::from_secs(10);
/// What the pushes of a command that goes well say.
const EXPECTED: [&str; 3] = ["SENT", "DELIVERED", "SUCCESSFUL"];

/// Everything a user needs to go on by hand; the device lives as long as this.
pub(super) struct Scene {
    pub(super) base: Url,
    /// The certificate to trust, if the base is HTTPS.
    pub(super) cacert: Option<PathBuf>,
    pub(super) app: Credentials,
    pub(super) device_id: String,
    pub(super) callback: String,
    northbound: Northbound,
    _device: Device,
}

/// The command that was sent, and when.
pub(super) struct Told {
    pub(super) command_id: String,
    at: Instant,
}

impl Scene {
    /// Makes the application and the device, connects the device, and tells of each.
    pub(super) async fn set(
        out: Out,
        home: &Path,
        receiver: &Receiver,
        server: &Running,
    ) -> Result<Self, Failure> {
        let addresses = server.addresses();
        out.say(&started(addresses))?;
        let app = make_app(addresses, server.admin_token()).await?;
        out.say(&format!("  application  {}", app.id))?;

        let (base, cacert) = base(addresses, home)?;
        let trust = match &cacert {
            Some(path) => Trust::Only(read(path)?),
            None => Trust::Platform,
        };
        let mut northbound = Northbound::new(base.clone(), &trust, app.clone(), SOON)?;
        let info =
            json!({"nodeId": node_id(), "name": "demo lamp", "deviceType": "Lamp", "protocolType": "MQTT"});
        let registered = northbound.register_mqtt(info, None).await?;
        let (device_id, secret) = (text_at(&registered, "/deviceId"), text_at(&registered, "/secret"));

        let mqtt = needed(addresses.mqtt, "--mqtt")?;
        let device = Device::start(Config::new(mqtt, device_id.as_str(), secret));
        let connecting = Instant::now();
        device
            .ready(SOON)
            .await
            .map_err(|error| Failure::TimedOut(format!("the simulated device did not connect: {error}")))?;
        out.say(&format!(
            "  device       {device_id}, connected and subscribed in {}",
            millis(connecting.elapsed())
        ))?;
        let callback = receiver.url("/pushes");
        out.say(&format!("  receiver     {callback}\n"))?;
        Ok(Self {
            base,
            cacert,
            app,
            device_id,
            callback,
            northbound,
            _device: device,
        })
    }

    /// Creates the demo's command and tells of it.
    pub(super) async fn send_command(&mut self, out: Out) -> Result<Told, Failure> {
        let body = json!({
            "deviceId": self.device_id,
            "command": {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}},
            "callbackUrl": self.callback,
        });
        let at = Instant::now();
        let command = self.northbound.create_command(body).await?;
        let (command_id, status) = (text_at(&command, "/commandId"), text_at(&command, "/status"));
        out.say(&format!(
            "  command      {command_id}  SWITCH {{\"value\":1}}  201 {status} in {}",
            millis(at.elapsed())
        ))?;
        Ok(Told { command_id, at })
    }
}

fn started(addresses: &Addresses) -> String {
    let list = [
        ("northbound", "https://", addresses.northbound),
        ("northbound", "http://", addresses.northbound_plain),
        ("mqtt", "", addresses.mqtt),
        ("mqtts", "", addresses.mqtts),
        ("admin", "http://", addresses.admin),
    ];
    let on = list
        .into_iter()
        .filter_map(|(name, scheme, address)| Some((name, scheme, address?)));
    on.map(|(name, scheme, address)| format!("  {name:<11}  {scheme}{address}"))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn make_app(addresses: &Addresses, token: &str) -> Result<Credentials, Failure> {
    let url = url("http", needed(addresses.admin, "--admin")?)?;
    let admin = Admin::new(url, &Trust::Platform, token.to_owned(), SOON)?;
    let wanted = json!({"name": "demo", "pushStatuses": "all", "pushSentImmediate": true});
    let app = admin.create_app(wanted).await?;
    Ok(Credentials {
        id: text_at(&app, "/id"),
        secret: text_at(&app, "/secret"),
    })
}

/// Where applications call: plain HTTP if that is on, as it makes the shorter lines to copy; else HTTPS.
fn base(addresses: &Addresses, home: &Path) -> Result<(Url, Option<PathBuf>), Failure> {
    match addresses.northbound_plain {
        Some(address) => Ok((url("http", address)?, None)),
        None => {
            let address = needed(addresses.northbound, "--northbound")?;
            Ok((url("https", address)?, Some(home.join("tls/cert.pem"))))
        }
    }
}

fn needed(address: Option<SocketAddr>, flag: &str) -> Result<SocketAddr, Failure> {
    address.ok_or_else(|| Failure::Usage(format!("the demo cannot do without {flag}")))
}

fn url(scheme: &str, address: SocketAddr) -> Result<Url, Failure> {
    Url::parse(&format!("{scheme}://{address}"))
        .map_err(|error| Failure::Failed(format!("{address}: {error}")))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
}

/// A node id that a demo on the same data has not used before.
fn node_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("demo-lamp-{:x}", since.as_millis())
}

/// Whether a command with these pushes has ended.
pub(super) fn has_ended(statuses: &[String]) -> bool {
    let ended = ["SUCCESSFUL", "FAILED", "TIMEOUT", "EXPIRED", "CANCELED"];
    statuses.last().is_some_and(|last| ended.contains(&last.as_str()))
}

/// Whether the pushes are those of a command that went well, in order. A repetition of one is allowed.
pub(super) fn is_in_order(statuses: &[String]) -> bool {
    let mut statuses: Vec<_> = statuses.iter().map(String::as_str).collect();
    statuses.dedup();
    statuses == EXPECTED
}

/// A push as one line: what it says, and how long after the create call began it arrived.
pub(super) fn describe(push: &Push, told: &Told) -> String {
    let Some(body) = push.command() else {
        return format!("  push         {}", String::from_utf8_lossy(&push.body));
    };
    let after = if body.command_id == told.command_id {
        Some(push.at.saturating_duration_since(told.at))
    } else {
        created_at(&body.command_id).and_then(|at| push.at_clock.duration_since(at).ok())
    };
    let after = after.map_or_else(|| "?".to_owned(), millis);
    let detail = if body.detail.is_null() {
        String::new()
    } else {
        body.detail.to_string()
    };
    format!(
        "  push         {}  {:<10}  {after:>10}  {detail}",
        body.command_id, body.status
    )
    .trim_end()
    .to_owned()
}

/// When a command was made, as its id tells (UUIDv7, RFC 9562: milliseconds in the first 48 bits).
fn created_at(command_id: &str) -> Option<SystemTime> {
    let millis = u64::from_str_radix(command_id.get(..12)?, 16).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(list: &[&str]) -> Vec<String> {
        list.iter().map(|status| (*status).to_owned()).collect()
    }

    #[test]
    fn the_three_pushes_in_order_repeated_or_not() {
        assert!(is_in_order(&statuses(&["SENT", "DELIVERED", "SUCCESSFUL"])));
        assert!(is_in_order(&statuses(&[
            "SENT",
            "SENT",
            "DELIVERED",
            "SUCCESSFUL"
        ])));
        assert!(!is_in_order(&statuses(&["DELIVERED", "SENT", "SUCCESSFUL"])));
        assert!(!is_in_order(&statuses(&["SENT", "SUCCESSFUL"])));
        assert!(!is_in_order(&statuses(&["SENT", "DELIVERED"])));
    }

    #[test]
    fn a_command_has_ended_with_its_final_status() {
        assert!(!has_ended(&statuses(&[])));
        assert!(!has_ended(&statuses(&["SENT", "DELIVERED"])));
        assert!(has_ended(&statuses(&["SENT", "TIMEOUT"])));
    }

    #[test]
    fn an_id_tells_when_its_command_was_made() {
        let at = created_at("0190163d8694739ba5d0be0efe5a5c11").unwrap();
        assert_eq!(
            at.duration_since(UNIX_EPOCH).unwrap().as_millis(),
            0x0190_163d_8694
        );
        assert_eq!(created_at("short"), None);
        assert_eq!(created_at("zzzzzzzzzzzzzzzz"), None);
    }
}
