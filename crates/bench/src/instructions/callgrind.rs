//! Valgrind's callgrind: how a program is started under it, and how many instructions it says were executed.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Its version, which stands beside every figure. An error that says what to do if there is none.
pub(super) fn version() -> anyhow::Result<String> {
    let answer = Command::new("valgrind")
        .arg("--version")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start valgrind: scripts/setup installs it")?;
    Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
}

/// What stands before a program and its arguments to have its profile written to `profile` when it ends.
pub(super) fn words(profile: &Path) -> Vec<OsString> {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(profile);
    vec![
        "valgrind".into(),
        "--quiet".into(),
        "--tool=callgrind".into(),
        out,
    ]
}

/// The instructions of the whole run, by its profile.
pub(super) fn total(profile: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(profile)
        .with_context(|| format!("callgrind wrote no {}", profile.display()))?;
    total_of(&text)
}

fn total_of(profile: &str) -> anyhow::Result<u64> {
    let mut totals = profile.lines().filter_map(|line| line.strip_prefix("totals: "));
    match (totals.next(), totals.next()) {
        (Some(total), None) => Ok(total.trim().parse()?),
        (None, _) => bail!("the profile is cut off: it has no total"),
        // Of several parts each has its own, and none is the whole.
        (Some(_), Some(_)) => bail!("the profile has several parts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_whole_profile_is_read_and_no_other() {
        let whole = "version: 1\nevents: Ir\nsummary: 12\n\nfn=(1) main\n1 12\n\ntotals: 34\n";
        assert_eq!(total_of(whole).unwrap(), 34);
        assert!(total_of("version: 1\nsummary: 12\n").is_err());
        assert!(total_of(&whole.repeat(2)).is_err());
    }
}
