//! `downlink app push-tls`: certificates of an application's own for pushes over TLS.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::given;
use crate::client::Admin;
use crate::failure::Failure;
use crate::output::{Out, fields, text_at};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Gives an application its own, in place of what it had
    Set(Set),
    /// Shows what an application has; never its key
    Show {
        /// The application's id
        id: String,
    },
    /// Takes it away: the platform's roots count alone, and nothing is shown to receivers
    Clear {
        /// The application's id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The application's id
    id: String,
    /// Authorities that are trusted besides the platform's (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "certificate")]
    ca: Option<PathBuf>,
    /// Do not check that the receiver's certificate bears the name in the URL, if one of --ca signed it
    #[arg(long, requires = "ca")]
    no_check_name: bool,
    /// The certificate that is shown to receivers, and those that lead to its authority (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

pub(super) async fn run(verb: Verb, admin: &Admin, out: Out) -> Result<(), Failure> {
    match verb {
        Verb::Set(set) => show(out, &admin.set_push_tls(&set.id, set.body()?).await?),
        Verb::Show { id } => show(out, &admin.show_push_tls(&id).await?),
        Verb::Clear { id } => {
            admin.clear_push_tls(&id).await?;
            out.show(&json!({"cleared": id}), || format!("cleared {id}"))
        }
    }
}

impl Set {
    fn body(&self) -> Result<Value, Failure> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(text_of).transpose();
        Ok(given([
            ("ca", read(&self.ca)?.map(Value::from)),
            ("checkName", Some((!self.no_check_name).into())),
            ("certificate", read(&self.certificate)?.map(Value::from)),
            ("key", read(&self.key)?.map(Value::from)),
        ]))
    }
}

fn text_of(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))
}

fn show(out: Out, tls: &Value) -> Result<(), Failure> {
    let all = |member: &str| {
        let list = tls.get(member).and_then(Value::as_array);
        let list: Vec<_> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        list.join(" ")
    };
    out.show(tls, || {
        fields(&[
            ("authorities", all("caSha256")),
            ("name checked", text_at(tls, "/checkName")),
            ("certificate", all("certificateSha256")),
        ])
    })
}
