//! `downlink verify`: looks at a store that no server has, and says which rule does not hold.

use std::path::PathBuf;

use downlink_server::offline::{Finding, Report, Target, verify};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Format, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The data directory of a server that does not run
    #[arg(long, value_name = "DIR", required_unless_present = "file")]
    data_dir: Option<PathBuf>,
    /// A backup
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    file: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let target = match (args.data_dir, args.file) {
        (_, Some(file)) => Target::File(file),
        (Some(dir), None) => Target::DataDir(dir),
        (None, None) => return Err(Failure::Usage("this needs --data-dir or --file".to_owned())),
    };
    let report = verify(&target).map_err(|error| Failure::Failed(error.to_string()))?;
    Out::new(args.output).show(&document(&report), || text(&report))?;
    if report.is_sound() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{} of {} rules do not hold",
        report.findings.len(),
        report.checked
    )))
}

fn document(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "invariant": finding.invariant.name,
            "promise": finding.invariant.promise,
            "count": finding.count,
            "ids": finding.ids,
        })
    };
    json!({
        "sound": report.is_sound(),
        "schema": report.schema,
        "checked": report.checked,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn text(report: &Report) -> String {
    let head = format!("schema {}, {} rules looked at\n", report.schema, report.checked);
    let findings = report.findings.iter().map(|finding| {
        let more = finding.count.saturating_sub(finding.ids.len() as u64);
        let more = if more == 0 {
            String::new()
        } else {
            format!("\n  and {more} more")
        };
        format!(
            "{}: does not hold: {}\n  {}{more}\n",
            finding.invariant.name,
            finding.invariant.promise,
            finding.ids.join("\n  ")
        )
    });
    let verdict = if report.is_sound() { "all hold" } else { "" };
    std::iter::once(head).chain(findings).collect::<String>() + verdict
}
