//! What a codec is tried on: a device's bytes, a command, or a whole message as JSON.

use std::io::Read as _;

use downlink_codec::{Command, MAX_MESSAGE, Mid, ReportAnswer, ToDevice};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;

/// The most that is read of a file or of stdin.
const MAX_INPUT: u64 = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Input {
    /// A message of the device, as hex digits; blanks and colons may be between
    #[arg(long, value_name = "HEX|@FILE|-")]
    bytes: Option<String>,
    /// The topic that it came in on, for scripts that ask
    #[arg(long, requires = "bytes")]
    topic: Option<String>,
    /// The service of a command
    #[arg(long, requires = "method", conflicts_with = "bytes")]
    service: Option<String>,
    /// The command of that service
    #[arg(long, requires = "service")]
    method: Option<String>,
    /// The parameters: a JSON object, @FILE, or - for stdin
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "service")]
    paras: String,
    /// The mid
    #[arg(long, value_name = "N", default_value_t = 1, requires = "service", value_parser = clap::value_parser!(u16).range(1..))]
    mid: u16,
    /// More commands wait
    #[arg(long, requires = "service")]
    has_more: bool,
    /// A whole message for the device (cloudReq, cloudRsp): JSON, @FILE, or - for stdin
    #[arg(long, value_name = "JSON", conflicts_with_all = ["bytes", "service"])]
    json: Option<String>,
}

impl Input {
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(given) = &self.bytes else {
            return Ok(None);
        };
        let bytes = from_hex(&text("--bytes", given)?);
        bytes
            .map(Some)
            .map_err(|why| Failure::Usage(format!("--bytes: {why}")))
    }

    pub(super) fn message(&self) -> Result<Option<Message>, Failure> {
        if let Some(given) = &self.json {
            let message = serde_json::from_str(&text("--json", given)?);
            return message
                .map(Some)
                .map_err(|error| Failure::Usage(format!("--json: {error}")));
        }
        let (Some(service), Some(method)) = (&self.service, &self.method) else {
            return Ok(None);
        };
        let paras = RawValue::from_string(text("--paras", &self.paras)?);
        Ok(Some(Message {
            service_id: Some(service.clone()),
            cmd: Some(method.clone()),
            paras: Some(paras.map_err(|error| Failure::Usage(format!("--paras: {error}")))?),
            mid: Some(self.mid),
            has_more: u8::from(self.has_more),
            ..Message::default()
        }))
    }
}

/// A message for the device in the platform's own JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Message {
    msg_type: Option<String>,
    identifier: Option<String>,
    service_id: Option<String>,
    cmd: Option<String>,
    paras: Option<Box<RawValue>>,
    mid: Option<u16>,
    #[serde(default)]
    has_more: u8,
    #[serde(default)]
    errcode: u8,
    #[serde(default)]
    request: Vec<u8>,
}

impl Message {
    pub(super) fn to_device(&self) -> Result<ToDevice<'_>, Failure> {
        match self.msg_type.as_deref() {
            None | Some("cloudReq") => self.command().map(ToDevice::Command),
            Some("cloudRsp") => Ok(ToDevice::ReportAnswer(ReportAnswer {
                identifier: self.identifier.as_deref(),
                request: &self.request,
                errcode: self.errcode,
                has_more: self.has_more != 0,
            })),
            Some(other) => Err(Failure::Usage(format!(
                "--json: msgType must be cloudReq or cloudRsp, not {other}"
            ))),
        }
    }

    fn command(&self) -> Result<Command<'_>, Failure> {
        let missing = |member| Failure::Usage(format!("--json: {member} is missing"));
        Ok(Command {
            identifier: self.identifier.as_deref(),
            service: self.service_id.as_deref().ok_or_else(|| missing("serviceId"))?,
            command: self.cmd.as_deref().ok_or_else(|| missing("cmd"))?,
            paras: self.paras.as_ref().map_or("{}", |paras| paras.get()),
            mid: self.mid.and_then(Mid::new),
            has_more: self.has_more != 0,
        })
    }
}

/// The text itself, what a file holds (`@FILE`), or stdin (`-`).
fn text(flag: &str, given: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match given.strip_prefix('@') {
        Some(path) => {
            std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_string(&mut text))
        }
        None if given == "-" => std::io::stdin().take(MAX_INPUT).read_to_string(&mut text),
        None => return Ok(given.to_owned()),
    };
    read.map_err(|error| Failure::Usage(format!("cannot read {flag} {given}: {error}")))?;
    Ok(text)
}

/// Bytes of hex digits.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = text.chars().filter(|c| !c.is_whitespace() && *c != ':');
    let digits = digits.map(|c| c.to_digit(16).ok_or_else(|| format!("{c:?} is no hex digit")));
    let digits = digits.collect::<Result<Vec<_>, _>>()?;
    if digits.len() % 2 != 0 {
        return Err(format!("{} digits are half a byte too many", digits.len()));
    }
    if digits.len() / 2 > MAX_MESSAGE {
        return Err(format!("a message has {MAX_MESSAGE} bytes at most"));
    }
    Ok(digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_in_the_ways_that_people_write_it() {
        for text in ["04002a", "04 00 2A", "0x04002a", "04:00:2a\n"] {
            assert_eq!(from_hex(text), Ok(vec![4, 0, 42]), "{text}");
        }
        assert_eq!(from_hex(""), Ok(vec![]));
        assert!(from_hex("0").is_err() && from_hex("0g").is_err());
    }
}
