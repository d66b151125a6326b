//! `downlink backup`, `restore` and `rotate-key`: the store as one file, a data directory from it, and its key.

use std::path::PathBuf;

use downlink_server::config;
use downlink_server::offline::{
    BackupError, ResealError, backup, key_file_opens, restore, rotate_master_key,
};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Format, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The data directory; its server may run
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// The file to be made
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The data directory to be made; it may hold keys and certificates, but no store
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// The data directory of a server that does not run
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The server's configuration file, if it or the environment has server.master_key: that is the old key then
    #[arg(long, value_name = "FILE", env = "DOWNLINK_CONFIG")]
    config: Option<PathBuf>,
    /// Gives up what the old key does not open, or all if the key is lost: it has to be given anew
    #[arg(long)]
    give_up: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run_rotate(args: &RotateArgs) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let config = config::load(args.config.as_deref(), std::env::vars(), Vec::new())
        .map_err(|error| refused(&error))?;
    let configured = config.server.master_key;
    let done = rotate_master_key(&args.data_dir, &configured, args.give_up).map_err(|error| match error {
        ResealError::Unsealable(_) => Failure::Failed(format!(
            "{error}: it is sealed under another key, or damaged. Nothing is changed; --give-up gives up what cannot be opened"
        )),
        ResealError::Open(_) | ResealError::Store(_) | ResealError::Keys(_) => refused(&error),
    })?;
    let document = json!({"sealed": done.sealed, "givenUp": done.given_up});
    Out::new(args.output).show(&document, || {
        let file = args.data_dir.join("master.key");
        let mut text = format!(
            "{} secrets are sealed under the new {}; backups from before need the old key",
            done.sealed,
            file.display()
        );
        if done.given_up > 0 {
            text += &format!("\n{} secrets are given up: what they were for needs new ones", done.given_up);
        }
        if !configured.is_empty() {
            text += "\nbefore the start: take server.master_key out of the configuration, or give it what the file holds";
        }
        text
    })
}

pub(crate) fn run(args: &BackupArgs) -> Result<(), Failure> {
    backup(&args.data_dir, &args.to).map_err(failed)?;
    let to = args.to.display().to_string();
    Out::new(args.output).show(&json!({"backup": to}), || {
        format!("{to} is made; the master key is not in it: keep that elsewhere")
    })
}

pub(crate) fn run_restore(args: &RestoreArgs) -> Result<(), Failure> {
    restore(&args.from, &args.data_dir).map_err(failed)?;
    let dir = args.data_dir.display().to_string();
    let key = args.data_dir.join("master.key").exists();
    let opens = key_file_opens(&args.data_dir).map_err(|error| Failure::Failed(error.to_string()))?;
    let document = json!({"dataDir": dir, "masterKey": key, "masterKeyOpens": opens});
    Out::new(args.output).show(&document, || match (key, opens) {
        (true, Some(false)) => format!(
            "{dir} is made, but the master.key there is not the key of this backup: put that one in its place before the \
             server starts, or give server.master_key"
        ),
        (true, Some(true) | None) => format!("{dir} is made"),
        (false, _) => {
            format!("{dir} is made; put master.key there before the server starts, or give server.master_key")
        }
    })
}

fn failed(error: BackupError) -> Failure {
    Failure::Failed(error.to_string())
}
