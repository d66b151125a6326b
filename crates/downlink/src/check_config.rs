//! `downlink check-config`: says whether `serve` would start with this configuration, without starting anything.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::failure::Failure;
use crate::output::{Format, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "DOWNLINK_CONFIG")]
    config: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    check(args.config.as_deref())?;
    let place = args
        .config
        .as_ref()
        .map_or("the defaults".to_owned(), |path| path.display().to_string());
    let document = json!({"valid": true, "config": args.config});
    Out::new(args.output).show(&document, || format!("{place} and the environment are valid"))
}

fn check(file: Option<&Path>) -> Result<(), Failure> {
    let config = downlink_server::config::load(file, std::env::vars(), Vec::new());
    config
        .map(drop)
        .map_err(|error| Failure::Failed(error.to_string()))
}
