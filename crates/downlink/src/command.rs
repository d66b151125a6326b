//! `downlink command`: creating commands, looking at them, following and withdrawing them.

mod watch;

use std::io::Read as _;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::given;
use crate::client::{Northbound, Query};
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, fields, table, text_at};

/// Largest text of parameters that is read from a file.
const MAX_PARAS: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Creates a command
    Send(Box<Send>),
    /// Shows a command and everything that happened to it
    Get {
        /// The command's id
        id: String,
    },
    /// Lists commands
    List(List),
    /// Follows a command until it has ended, and tells each change once
    Watch {
        /// The command's id
        id: String,
        #[command(flatten)]
        follow: watch::Follow,
    },
    /// Withdraws a command that has not been sent yet
    Cancel {
        /// The command's id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Send {
    /// The device's id
    #[arg(long, value_name = "ID")]
    device: String,
    /// The service of its product
    #[arg(long)]
    service: String,
    /// The command of that service
    #[arg(long)]
    method: String,
    /// The parameters: a JSON object, @FILE, or - for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    paras: String,
    /// Where changes of its status are pushed to
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// Seconds that it may wait for its device; 0: now or never [default: the server's, 48 h]
    #[arg(long, value_name = "SECS")]
    expire: Option<u32>,
    /// Retransmissions at most (LwM2M)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    max_retransmit: Option<u8>,
    /// Follow it as `watch` does
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    follow: watch::Follow,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this device
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only those created from then on (UTC, like 20260102T030405Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those created before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Which page, from 0
    #[arg(long, default_value_t = 0)]
    page: u32,
    /// Commands per page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    page_size: u32,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (mut server, out) = (args.client.northbound()?, args.client.out());
    match args.verb {
        Verb::Send(send) => send.run(&mut server, out).await,
        Verb::Get { id } => {
            let answer = server.show_command(&id).await?;
            out.show(&answer, || describe_with_events(&answer))
        }
        Verb::List(which) => list(&mut server, out, which).await,
        Verb::Watch { id, follow } => watch::run(&mut server, out, &id, &follow).await,
        Verb::Cancel { id } => {
            let command = server.cancel_command(&id).await?;
            out.show(&command, || describe(&command))
        }
    }
}

impl Send {
    async fn run(&self, server: &mut Northbound, out: Out) -> Result<(), Failure> {
        let command = server.create_command(self.body()?).await?;
        out.show(&command, || describe(&command))?;
        if !self.wait {
            return Ok(());
        }
        let id = text_at(&command, "/commandId");
        watch::run(server, out, &id, &self.follow).await
    }

    fn body(&self) -> Result<Value, Failure> {
        let paras: Value = serde_json::from_str(&self.paras_text()?)
            .map_err(|error| Failure::Usage(format!("--paras is not JSON: {error}")))?;
        if !paras.is_object() {
            return Err(Failure::Usage("--paras must be a JSON object".to_owned()));
        }
        Ok(given([
            ("deviceId", Some(self.device.as_str().into())),
            (
                "command",
                Some(json!({"serviceId": self.service, "method": self.method, "paras": paras})),
            ),
            ("callbackUrl", self.callback.as_deref().map(Value::from)),
            ("expireTime", self.expire.map(Value::from)),
            ("maxRetransmit", self.max_retransmit.map(Value::from)),
        ]))
    }

    fn paras_text(&self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = match self.paras.strip_prefix('@') {
            Some(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_PARAS).read_to_string(&mut text))
            }
            None if self.paras == "-" => std::io::stdin().take(MAX_PARAS).read_to_string(&mut text),
            None => return Ok(self.paras.clone()),
        };
        read.map_err(|error| Failure::Usage(format!("cannot read --paras {}: {error}", self.paras)))?;
        Ok(text)
    }
}

async fn list(server: &mut Northbound, out: Out, which: List) -> Result<(), Failure> {
    let mut query: Query = vec![
        ("pageNo", which.page.to_string()),
        ("pageSize", which.page_size.to_string()),
    ];
    let filters = [
        ("deviceId", which.device),
        ("startTime", which.since),
        ("endTime", which.until),
    ];
    query.extend(
        filters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let answer = server.list_commands(&query).await?;
    out.show(&answer, || {
        let commands = answer
            .get("data")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let members = [
            "/commandId",
            "/status",
            "/deviceId",
            "/command/serviceId",
            "/command/method",
            "/creationTime",
        ];
        let rows: Vec<_> = commands
            .iter()
            .map(|command| members.map(|member| text_at(command, member)))
            .collect();
        let table = table(
            ["COMMAND", "STATUS", "DEVICE", "SERVICE", "METHOD", "CREATED"],
            &rows,
        );
        format!(
            "{table}{} of {} commands",
            rows.len(),
            text_at(&answer, "/pagination/totalSize")
        )
    })
}

fn describe(command: &Value) -> String {
    fields(&[
        ("command", text_at(command, "/commandId")),
        ("device", text_at(command, "/deviceId")),
        ("service", text_at(command, "/command/serviceId")),
        ("method", text_at(command, "/command/method")),
        ("paras", text_at(command, "/command/paras")),
        ("callback", text_at(command, "/callbackUrl")),
        ("lifetime", text_at(command, "/expireTime")),
        ("status", text_at(command, "/status")),
        ("result", text_at(command, "/result")),
        ("created", text_at(command, "/creationTime")),
        ("sent", text_at(command, "/platformIssuedTime")),
        ("delivered", text_at(command, "/deliveredTime")),
        ("executed", text_at(command, "/executeTime")),
    ])
}

fn describe_with_events(answer: &Value) -> String {
    let command = answer.get("command").map(describe).unwrap_or_default();
    let rows: Vec<_> = watch::events(answer)
        .iter()
        .map(|event| ["/seq", "/at", "/status", "/detail"].map(|member| text_at(event, member)))
        .collect();
    format!("{command}\n{}", table(["SEQ", "AT", "STATUS", "DETAIL"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_its_events_as_text() {
        let answer = json!({
            "command": {"commandId": "c1", "deviceId": "d1", "command": {"serviceId": "L", "method": "M", "paras": {"v": 1}},
                "expireTime": 0, "status": "SENT"},
            "events": [{"seq": 1, "status": "SENT", "at": "2026-01-02T03:04:05.006Z", "detail": ""}],
        });
        let text = describe_with_events(&answer);
        let expected = "command   c1\ndevice    d1\nservice   L\nmethod    M\nparas     {\"v\":1}\nlifetime  0\nstatus    \
            SENT\n\nSEQ  AT                        STATUS  DETAIL\n1    2026-01-02T03:04:05.006Z  SENT\n";
        assert_eq!(text, expected);
    }
}
