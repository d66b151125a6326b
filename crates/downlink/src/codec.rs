//! `downlink codec test`: runs a product codec on bytes or on a command, on this machine, and says what is wrong with it.

mod input;

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use downlink_codec::{Codec, FieldTrace, FromDevice, MAX_DOCUMENT, ReportAnswer, ScriptHost, ToDevice};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Format, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks a codec; with --bytes reads a device's message with it, with --service or --json makes one
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Test {
    /// The codec: a definition (.toml, .json) or a script (.js)
    #[arg(long, value_name = "FILE")]
    codec: PathBuf,
    #[command(flatten)]
    input: input::Input,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Verb::Test(test) = &args.verb;
    let out = Out::new(test.output);
    let codec = load(&test.codec)?;
    let place = test.codec.display();
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("{place}: {error}"));
    if let Some(bytes) = test.input.bytes()? {
        let said = decode(out, &codec, &bytes, test.input.topic());
        return said.map_err(|error| match error {
            Wrong::Codec(error) => failed(&error),
            Wrong::Output(failure) => failure,
        });
    }
    match test.input.message()? {
        Some(message) => {
            let message = message.to_device()?;
            let bytes = codec
                .encode(&ScriptHost::default(), &message)
                .map_err(|error| failed(&error))?;
            let bytes = bytes.ok_or_else(|| failed(&nothing(&message)))?;
            encoded(out, &codec, &message, &bytes)
        }
        None => checked(out, &codec),
    }
}

fn load(path: &Path) -> Result<Codec, Failure> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| {
        // One more than may be: what is too long is refused as such.
        file.take(MAX_DOCUMENT as u64 + 1).read_to_string(&mut text)
    });
    read.map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    let codec = match path.extension() {
        Some(extension) if extension == "js" => Codec::from_script(&text),
        Some(_) | None => Codec::from_document(&text),
    };
    codec.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

fn checked(out: Out, codec: &Codec) -> Result<(), Failure> {
    let kind = match codec {
        Codec::Json => "json",
        Codec::Binary(_) => "binary",
        Codec::Script(_) => "javascript",
    };
    out.show(&json!({"valid": true, "kind": kind}), || {
        format!("valid, of the kind {kind}")
    })
}

/// What did not work: the codec, or telling about it.
enum Wrong {
    Codec(String),
    Output(Failure),
}

/// Shows the fields even where the message as a whole cannot be read: they are how to find out why.
fn decode(out: Out, codec: &Codec, bytes: &[u8], topic: Option<&str>) -> Result<(), Wrong> {
    let host = ScriptHost::default();
    let (name, fields) = match codec {
        Codec::Binary(binary) => binary.explain(bytes).unwrap_or_default(),
        Codec::Json | Codec::Script(_) => Default::default(),
    };
    let message = match codec.decode(&host, bytes, topic) {
        Ok(message) => message,
        Err(error) => {
            if !fields.is_empty() {
                out.say(format!("{name}\n{}", table(&fields)).trim_end())
                    .map_err(Wrong::Output)?;
            }
            return Err(Wrong::Codec(error.to_string()));
        }
    };
    let answer =
        answer(codec, &message, bytes).map_err(|error| Wrong::Codec(format!("the answer: {error}")))?;
    let text = message.to_json();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let document = json!({"message": value, "fields": listed(&fields), "answer": answer.as_deref().map(hex)});
    let shown = out.show(&document, || {
        let mut shown = String::new();
        if !fields.is_empty() {
            let _ = writeln!(shown, "{name}\n{}", table(&fields));
        }
        shown.push_str(&text);
        if let Some(answer) = &answer {
            let _ = write!(shown, "\nanswer  {}", hex(answer));
        }
        shown
    });
    shown.map_err(Wrong::Output)
}

/// What the server would answer to a report.
fn answer(
    codec: &Codec,
    message: &FromDevice,
    request: &[u8],
) -> Result<Option<Vec<u8>>, downlink_codec::EncodeError> {
    match message {
        FromDevice::Result(_) => Ok(None),
        FromDevice::Report(_) => {
            let answer = ReportAnswer {
                identifier: None,
                request,
                errcode: 0,
                has_more: false,
            };
            codec.encode(&ScriptHost::default(), &ToDevice::ReportAnswer(answer))
        }
    }
}

const fn nothing(message: &ToDevice<'_>) -> &'static str {
    match message {
        ToDevice::Command(_) => "nothing is sent: the command would be FAILED",
        ToDevice::ReportAnswer(_) => "nothing is sent: reports are not answered",
    }
}

fn encoded(out: Out, codec: &Codec, message: &ToDevice<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let fields = match (codec, message) {
        (Codec::Binary(binary), ToDevice::Command(command)) => {
            binary.explain_command(command.service, command.command, bytes)
        }
        (Codec::Binary(_) | Codec::Json | Codec::Script(_), _) => Vec::new(),
    };
    let document = json!({"bytes": hex(bytes), "fields": listed(&fields)});
    out.show(&document, || match fields.is_empty() {
        true => hex(bytes),
        false => format!("{}\n{}", table(&fields), hex(bytes)),
    })
}

fn listed(fields: &[FieldTrace]) -> Vec<Value> {
    let one = |field: &FieldTrace| {
        let (value, error) = match &field.value {
            Ok(json) => (serde_json::from_str(json).unwrap_or(Value::Null), None),
            Err(why) => (Value::Null, Some(why)),
        };
        json!({"byte": field.offset, "bytes": hex(&field.bytes), "name": field.name, "value": value, "error": error})
    };
    fields.iter().map(one).collect()
}

fn table(fields: &[FieldTrace]) -> String {
    let rows: Vec<_> = fields
        .iter()
        .map(|field| {
            let value = field.value.clone().unwrap_or_else(|why| format!("! {why}"));
            [
                field.offset.to_string(),
                spaced(&field.bytes),
                field.name.clone(),
                value,
            ]
        })
        .collect();
    crate::output::table(["BYTE", "BYTES", "FIELD", "VALUE"], &rows)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first bytes of a field, in pairs of digits.
fn spaced(bytes: &[u8]) -> String {
    const MOST: usize = 16;
    let digits: Vec<_> = bytes
        .iter()
        .take(MOST)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let more = if bytes.len() > MOST { " ..." } else { "" };
    digits.join(" ") + more
}
