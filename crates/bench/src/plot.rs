//! A small chart of one figure out of results in JSON: lines over another figure, or a bar for each series.

mod axis;
mod data;
mod svg;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::Value;

use self::data::{Results, bars, lines};

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Results, written with --json
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The chart
    #[arg(long, value_name = "FILE.svg")]
    out: PathBuf,
    /// What is shown, such as cpu_us_per_cycle
    #[arg(long)]
    figure: String,
    /// Lines over this figure, such as count, queued or seconds; without it, a bar for each series
    #[arg(long)]
    x: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut results = Vec::new();
    for path in &options.files {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let json: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        results.push(Results::new(name.into_owned(), json));
    }
    let chart = chart(&results, options)?;
    std::fs::write(&options.out, chart)?;
    Ok(())
}

fn chart(results: &[Results], options: &Options) -> anyhow::Result<String> {
    let figure = &options.figure;
    match &options.x {
        Some(x) => {
            let lines = lines(results, figure, x);
            ensure!(!lines.is_empty(), "no series has both {figure} and {x}");
            Ok(svg::lines(&lines, x, figure))
        }
        None => {
            let bars = bars(results, figure);
            ensure!(!bars.is_empty(), "no series has {figure}");
            Ok(svg::bars(&bars, figure))
        }
    }
}
