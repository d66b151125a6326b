//! Seeds that have to keep the promises, and the proof that a seed is one run: the same log from two processes.

#![allow(clippy::unwrap_used)] // a test may

use std::process::Command;

/// How many seeds each test of the promises has. All tests together: about twenty seconds on one core.
const EACH: u64 = 3;
/// How many it takes until every fault has met every status.
const MEETING: u64 = 6;

fn lives_through(from: u64) {
    for seed in from..from + EACH {
        let report = sim::run(seed).unwrap();
        assert!(report.commands > 10, "seed {seed} did next to nothing");
        assert!(report.reports > 10, "seed {seed}: next to nothing was reported");
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_first_seeds_keep_the_promises() {
    lives_through(1);
}

#[test]
fn the_next_seeds_keep_the_promises() {
    lives_through(1 + EACH);
}

#[test]
fn the_seeds_after_those_keep_the_promises() {
    lives_through(1 + 2 * EACH);
}

#[test]
fn one_seed_gives_one_log_in_two_processes() {
    let log = |seed: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        let done = command
            .args(["--seeds", "1", "--from", seed, "--log"])
            .output()
            .unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        // The last line tells how long it took.
        let (log, _) = text.trim_end().rsplit_once('\n').unwrap();
        log.to_owned()
    };
    let (one, other) = (log("7"), log("7"));
    assert!(one.lines().count() > 500, "{one}");
    assert!(one == other, "the logs differ");
    assert!(one != log("8"), "two seeds are two runs");
}

#[test]
fn each_fault_meets_each_status() {
    let mut met = std::collections::BTreeMap::new();
    for seed in 101..101 + MEETING {
        for (key, times) in sim::run(seed).unwrap().met {
            *met.entry(key).or_insert(0) += times;
        }
    }
    for fault in [
        "at an instant",
        "by itself",
        "disk full",
        "hints lost",
        "receiver turns bad",
        "device reboots",
        "device hangs up",
        "second session",
    ] {
        for status in [
            "PENDING",
            "SENT",
            "DELIVERED",
            "SUCCESSFUL",
            "FAILED",
            "TIMEOUT",
            "EXPIRED",
            "CANCELED",
        ] {
            assert!(
                met.contains_key(&(fault, status.to_owned())),
                "{fault} never met {status}: {met:?}"
            );
        }
    }
}
