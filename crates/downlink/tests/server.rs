//! The program as a server: it says when it is ready, ends when it is told to, and the demo shows a command's whole way.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn downlink(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_downlink"));
    command.args(args).env_clear().stdout(Stdio::piped());
    command
}

#[test]
fn the_demo_ends_well() {
    let output = downlink(&["demo", "--once"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert_eq!(
        shown.lines().filter(|line| line.starts_with("  push ")).count(),
        3,
        "{shown}"
    );
}

#[test]
fn serve_says_that_it_is_ready_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0";
    let mut server = downlink(&["serve", "--northbound", any, "--mqtt", any, "--admin", any])
        .arg("--data-dir")
        .arg(dir.path())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("ready northbound=https://127.0.0.1:"), "{line}");
    assert!(
        line.contains(" mqtt=127.0.0.1:") && line.contains(" admin=http://127.0.0.1:"),
        "{line}"
    );
    let killed = Command::new("kill")
        .arg(server.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
