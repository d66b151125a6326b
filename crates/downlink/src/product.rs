//! `downlink product`: what the devices of an application are, and how they are treated. Speaks the admin interface.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::given;
use crate::client::Admin;
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, fields, table, text_at};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a product, or replaces all of the one with the same maker, model and kind of device
    Put(Put),
    /// Shows a product: its settings and commands; with --output json its profile and codec too
    Get {
        /// The application's id
        #[arg(value_name = "APP")]
        owner: String,
        /// The product's id
        product: String,
    },
    /// Lists an application's products
    List {
        /// The application's id
        #[arg(value_name = "APP")]
        owner: String,
    },
    /// Deletes a product; its devices stay, and are commanded as if they had none
    Delete {
        /// The application's id
        #[arg(value_name = "APP")]
        owner: String,
        /// The product's id
        product: String,
    },
}

#[derive(Debug, clap::Args)]
struct Put {
    /// The application's id
    #[arg(value_name = "APP")]
    owner: String,
    /// The profile: a JSON document, or a profile package (zip)
    file: PathBuf,
    /// Its id, by which devices may name it (productId) [default: the one that it has, else made by the server]
    #[arg(long = "id", value_name = "ID")]
    product: Option<String>,
    /// The definition of its codec
    #[arg(long, value_name = "FILE")]
    codec: Option<PathBuf>,
    /// What kind of codec it is [default: javascript for .js, else binary]
    #[arg(long, value_enum)]
    codec_kind: Option<CodecKind>,
    /// What becomes of commands whose parameters do not fit the profile [default: warn]
    #[arg(long, value_enum)]
    check_paras: Option<Check>,
    /// How its devices sleep
    #[arg(long, value_enum)]
    work_mode: Option<Mode>,
    /// Length of the eDRX cycle in seconds
    #[arg(long, value_name = "SECS", required_if_eq("work_mode", "edrx"))]
    cycle: Option<u32>,
    /// How long a result is awaited, in seconds, at the most 7 days [default: as the work mode or the server has it]
    #[arg(long, value_name = "SECS")]
    response_wait: Option<u32>,
    /// Its devices may only connect securely
    #[arg(long)]
    secure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CodecKind {
    /// Fields of bytes, declared
    Binary,
    /// A script
    Javascript,
    /// None: devices speak JSON
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// They are not looked at
    Off,
    /// The command is created; its first event says it
    Warn,
    /// The command is refused
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Reachable only after they spoke
    Psm,
    /// Reachable at any time
    Drx,
    /// Reachable once in each cycle
    Edrx,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (admin, out) = (args.client.admin()?, args.client.out());
    match args.verb {
        Verb::Put(put) => {
            let product = admin.put_product(&put.owner, put.body()?).await?;
            out.show(&product, || shown(&product))
        }
        Verb::Get { owner, product } => {
            let product = admin.show_product(&owner, &product).await?;
            out.show(&product, || {
                format!("{}\n{}", shown(&product), commands(&product))
            })
        }
        Verb::List { owner } => list(&admin, &owner, out).await,
        Verb::Delete { owner, product } => {
            admin.delete_product(&owner, &product).await?;
            out.show(&json!({"deleted": product}), || format!("deleted {product}"))
        }
    }
}

impl Put {
    fn body(&self) -> Result<Value, Failure> {
        let bytes = fs::read(&self.file).map_err(|error| unreadable(&self.file, error))?;
        let is_archive = bytes.starts_with(b"PK");
        let profile = match is_archive {
            true => None,
            false => {
                // Editors of some systems begin a file with a byte order mark.
                let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
                Some(serde_json::from_slice(text).map_err(|error| unreadable(&self.file, error))?)
            }
        };
        Ok(given([
            ("id", self.product.as_deref().map(Value::from)),
            ("package", is_archive.then(|| STANDARD.encode(&bytes).into())),
            ("profile", profile),
            ("codec", self.codec()?),
            ("checkParas", self.check_paras.map(word)),
            ("workMode", self.work_mode.map(word)),
            ("cycleSecs", self.cycle.map(Value::from)),
            ("responseWaitSecs", self.response_wait.map(Value::from)),
            ("secure", Some(self.secure.into())),
        ]))
    }

    fn codec(&self) -> Result<Option<Value>, Failure> {
        let text = match &self.codec {
            None => None,
            Some(path) => Some(fs::read_to_string(path).map_err(|error| unreadable(path, error))?),
        };
        let of_name = self.codec.as_deref().map(|path| match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("js") => CodecKind::Javascript,
            Some(_) | None => CodecKind::Binary,
        });
        let kind = self.codec_kind.or(of_name);
        Ok(kind.map(|kind| json!({"kind": word(kind), "text": text.unwrap_or_default()})))
    }
}

/// The word that stands for it, on the command line and in the interface alike.
fn word(value: impl ValueEnum) -> Value {
    let value = value.to_possible_value().expect("no value is skipped");
    value.get_name().into()
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", path.display()))
}

fn shown(product: &Value) -> String {
    let secs = |member: &str| match text_at(product, member) {
        none if none.is_empty() => none,
        secs => format!("{secs} s"),
    };
    fields(&[
        ("id", text_at(product, "/id")),
        ("maker", text_at(product, "/manufacturerId")),
        ("device type", text_at(product, "/deviceType")),
        ("model", text_at(product, "/model")),
        ("protocol", text_at(product, "/protocolType")),
        ("codec", text_at(product, "/codecKind")),
        ("parameters", text_at(product, "/checkParas")),
        ("work mode", text_at(product, "/workMode")),
        ("cycle", secs("/cycleSecs")),
        ("result within", secs("/responseWaitSecs")),
        ("secure only", text_at(product, "/secure")),
        ("revision", text_at(product, "/revision")),
        ("modified", text_at(product, "/modifiedAt")),
    ])
}

/// The commands that its devices know.
fn commands(product: &Value) -> String {
    let members = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut rows = Vec::new();
    for service in members(&product["profile"], "services") {
        for command in members(&service, "commands") {
            let paras: Vec<_> = members(&command, "paras")
                .iter()
                .map(|para| format!("{}:{}", text_at(para, "/paraName"), text_at(para, "/dataType")))
                .collect();
            let answered = match members(&command, "responses").is_empty() {
                true => "no",
                false => "yes",
            };
            rows.push([
                text_at(&service, "/serviceId"),
                text_at(&command, "/commandName"),
                answered.to_owned(),
                paras.join(" "),
            ]);
        }
    }
    table(["SERVICE", "COMMAND", "ANSWERED", "PARAMETERS"], &rows)
}

async fn list(admin: &Admin, owner: &str, out: Out) -> Result<(), Failure> {
    let answer = admin.list_products(owner).await?;
    out.show(&answer, || {
        let products = answer.get("products").and_then(Value::as_array);
        let members = [
            "/id",
            "/manufacturerId",
            "/deviceType",
            "/model",
            "/codecKind",
            "/checkParas",
        ];
        let rows: Vec<_> = products
            .into_iter()
            .flatten()
            .map(|product| members.map(|member| text_at(product, member)))
            .collect();
        table(
            ["ID", "MAKER", "DEVICE TYPE", "MODEL", "CODEC", "PARAMETERS"],
            &rows,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(file: &Path) -> Put {
        Put {
            owner: "a".into(),
            file: file.to_owned(),
            product: None,
            codec: None,
            codec_kind: None,
            check_paras: None,
            work_mode: None,
            cycle: None,
            response_wait: None,
            secure: false,
        }
    }

    #[test]
    fn files_are_sent_as_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (json_file, zip_file) = (dir.path().join("p.json"), dir.path().join("p.zip"));
        fs::write(&json_file, "\u{feff}{\"model\":\"x\"}").unwrap();
        fs::write(&zip_file, b"PK\x03\x04").unwrap();
        let mut with_codec = put(&json_file);
        let script = dir.path().join("c.JS");
        fs::write(&script, "// x").unwrap();
        (with_codec.codec, with_codec.work_mode, with_codec.cycle) =
            (Some(script), Some(Mode::Edrx), Some(5));
        assert_eq!(
            with_codec.body().unwrap(),
            json!({"profile": {"model": "x"}, "codec": {"kind": "javascript", "text": "// x"},
                "workMode": "edrx", "cycleSecs": 5, "secure": false})
        );
        assert_eq!(
            put(&zip_file).body().unwrap(),
            json!({"package": "UEsDBA==", "secure": false})
        );
        fs::write(&json_file, "{").unwrap();
        let failure = put(&json_file).body().unwrap_err().to_string();
        assert!(failure.contains("p.json"), "{failure}");
        assert!(put(&dir.path().join("none")).body().is_err());
    }

    #[test]
    fn the_kind_of_a_codec_is_told_by_its_file_or_by_name() {
        let mut bare = put(Path::new("x"));
        assert_eq!(bare.codec().unwrap(), None);
        bare.codec_kind = Some(CodecKind::Json);
        assert_eq!(bare.codec().unwrap(), Some(json!({"kind": "json", "text": ""})));
    }

    #[test]
    fn commands_are_shown_with_their_parameters() {
        let product = json!({"profile": {"services": [{"serviceId": "s", "commands": [
            {"commandName": "c", "paras": [{"paraName": "p", "dataType": "int"}], "responses": [{}]},
            {"commandName": "d", "paras": null}]}]}});
        let text = commands(&product);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines, [vec!["s", "c", "yes", "p:int"], vec!["s", "d", "no"]]);
    }
}
