//! `downlink device`: the devices of an application.

mod trace;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::{WorkMode, given};
use crate::client::{Northbound, Query};
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, fields, table, text_at};
use crate::simulate;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Registers a device
    Create(Create),
    /// Lists the application's devices
    List(List),
    /// Shows one device
    Show {
        /// The device's id
        id: String,
    },
    /// Deletes a device
    Delete {
        /// The device's id
        id: String,
    },
    /// Shows what a device over CoAP says and is told, as it comes
    Trace(trace::Args),
    /// Says how one device over LwM2M sleeps, from its next registration or update on; needs the admin token
    WorkMode {
        /// The device's id
        id: String,
        /// How; default: as its product or its application says
        #[arg(value_enum)]
        mode: WorkMode,
        /// Length of the eDRX cycle in seconds
        #[arg(long, value_name = "SECS", required_if_eq("mode", "edrx"))]
        cycle: Option<u32>,
    },
    /// Plays an MQTT device until it is interrupted, and tells what it gets
    Simulate(simulate::Args),
}

/// How a device connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Protocol {
    /// MQTT, with a secret
    #[default]
    Mqtt,
    /// LwM2M over CoAP, with a verification code
    Lwm2m,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The device's own number (IMEI, MAC, serial number), unique on the server
    #[arg(long, value_name = "ID")]
    node_id: String,
    /// How it connects
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// MQTT: its secret [default: made by the server]
    #[arg(long)]
    secret: Option<String>,
    /// LwM2M: its verification code [default: the node id]
    #[arg(long, value_name = "CODE")]
    verify_code: Option<String>,
    /// LwM2M: its pre-shared key, hex [default: made by the server]
    #[arg(long, value_name = "HEX")]
    psk: Option<String>,
    /// The product it is one of
    #[arg(long, value_name = "ID")]
    product_id: Option<String>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Its manufacturer's id
    #[arg(long, value_name = "ID")]
    manufacturer_id: Option<String>,
    /// Its manufacturer's name
    #[arg(long, value_name = "NAME")]
    manufacturer_name: Option<String>,
    /// What kind of device it is
    #[arg(long, value_name = "TYPE")]
    device_type: Option<String>,
    /// Its model
    #[arg(long)]
    model: Option<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Which page, from 0
    #[arg(long, default_value_t = 0)]
    page: u32,
    /// Devices per page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=250))]
    page_size: u32,
    /// Only those of this status (ONLINE, OFFLINE, ...)
    #[arg(long)]
    status: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let out = args.client.out();
    match args.verb {
        Verb::Create(create) => {
            let device = create.register(&mut args.client.northbound()?).await?;
            out.show(&device, || registered(&device))
        }
        Verb::List(page) => list(&mut args.client.northbound()?, out, &page).await,
        Verb::Show { id } => {
            let device = args.client.northbound()?.show_device(&id).await?;
            out.show(&device, || describe(&device))
        }
        Verb::Delete { id } => {
            args.client.northbound()?.delete_device(&id).await?;
            out.show(&json!({"deleted": id}), || format!("deleted {id}"))
        }
        Verb::Trace(trace) => trace::run(&args.client.admin()?, out, &trace).await,
        Verb::WorkMode { id, mode, cycle } => {
            let body = given([
                ("workMode", Some(mode.value())),
                ("cycleSecs", cycle.map(Value::from)),
            ]);
            let set = args.client.admin()?.set_work_mode(&id, body).await?;
            out.show(&set, || {
                fields(&[
                    ("device", text_at(&set, "/deviceId")),
                    ("work mode", text_at(&set, "/workMode")),
                    ("eDRX cycle (s)", text_at(&set, "/cycleSecs")),
                ])
            })
        }
        Verb::Simulate(simulate) => simulate::run(simulate, &args.client).await,
    }
}

impl Create {
    async fn register(&self, server: &mut Northbound) -> Result<Value, Failure> {
        match self.protocol {
            Protocol::Mqtt => {
                server
                    .register_mqtt(self.info("MQTT"), self.secret.as_deref())
                    .await
            }
            Protocol::Lwm2m => server.register_by_code(self.code_body()).await,
        }
    }

    fn info(&self, protocol: &str) -> Value {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        given([
            ("nodeId", Some(self.node_id.as_str().into())),
            ("name", text(&self.name)),
            ("manufacturerId", text(&self.manufacturer_id)),
            ("manufacturerName", text(&self.manufacturer_name)),
            ("deviceType", text(&self.device_type)),
            ("model", text(&self.model)),
            ("protocolType", Some(protocol.into())),
            ("productId", text(&self.product_id)),
        ])
    }

    fn code_body(&self) -> Value {
        let mut info = self.info("LWM2M");
        if let Some(info) = info.as_object_mut() {
            info.remove("nodeId");
            info.remove("productId");
        }
        given([
            ("nodeId", Some(self.node_id.as_str().into())),
            (
                "verifyCode",
                Some(self.verify_code.as_deref().unwrap_or(&self.node_id).into()),
            ),
            ("timeout", Some(0.into())),
            ("psk", self.psk.as_deref().map(Value::from)),
            ("productId", self.product_id.as_deref().map(Value::from)),
            ("deviceInfo", Some(info)),
        ])
    }
}

fn registered(device: &Value) -> String {
    fields(&[
        ("device", text_at(device, "/deviceId")),
        ("secret", text_at(device, "/secret")),
        ("code", text_at(device, "/verifyCode")),
        ("psk", text_at(device, "/psk")),
    ])
}

async fn list(server: &mut Northbound, out: Out, page: &List) -> Result<(), Failure> {
    let mut query: Query = vec![
        ("pageNo", page.page.to_string()),
        ("pageSize", page.page_size.to_string()),
    ];
    query.extend(page.status.clone().map(|status| ("status", status)));
    let answer = server.list_devices(&query).await?;
    out.show(&answer, || {
        let devices = answer
            .get("devices")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let members = [
            "/deviceId",
            "/deviceInfo/nodeId",
            "/deviceInfo/protocolType",
            "/deviceInfo/status",
            "/createTime",
        ];
        let rows: Vec<_> = devices
            .iter()
            .map(|device| members.map(|member| text_at(device, member)))
            .collect();
        let table = table(["DEVICE", "NODE", "PROTOCOL", "STATUS", "CREATED"], &rows);
        format!(
            "{table}{} of {} devices",
            rows.len(),
            text_at(&answer, "/totalCount")
        )
    })
}

fn describe(device: &Value) -> String {
    fields(&[
        ("device", text_at(device, "/deviceId")),
        ("node", text_at(device, "/deviceInfo/nodeId")),
        ("name", text_at(device, "/deviceInfo/name")),
        ("protocol", text_at(device, "/deviceInfo/protocolType")),
        ("manufacturer", text_at(device, "/deviceInfo/manufacturerName")),
        ("model", text_at(device, "/deviceInfo/model")),
        ("status", text_at(device, "/deviceInfo/status")),
        ("detail", text_at(device, "/deviceInfo/statusDetail")),
        ("created", text_at(device, "/createTime")),
        ("changed", text_at(device, "/lastModifiedTime")),
    ])
}
