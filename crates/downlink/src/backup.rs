//! `downlink backup`, `restore` and `rotate-key`: the store as one file, a data directory from it, and its key.

use std::path::PathBuf;

use downlink_server::offline::{BackupError, backup, restore, rotate_master_key};
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
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run_rotate(args: &RotateArgs) -> Result<(), Failure> {
    let sealed = rotate_master_key(&args.data_dir).map_err(|error| Failure::Failed(error.to_string()))?;
    Out::new(args.output).show(&json!({"sealed": sealed}), || {
        format!("{sealed} secrets are sealed under a new master.key; backups from before need the old one")
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
    Out::new(args.output).show(&json!({"dataDir": dir, "masterKey": key}), || match key {
        true => format!("{dir} is made"),
        false => {
            format!("{dir} is made; put master.key there before the server starts, or give server.master_key")
        }
    })
}

fn failed(error: BackupError) -> Failure {
    Failure::Failed(error.to_string())
}
