//! Seeds that have to keep the promises, and the proof that a seed is one run: the same log from two processes.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;

use sim::Report;

/// How many seeds: all together some ten seconds on two cores.
const SEEDS: u64 = 16;

/// Lives through the seeds, two at a time.
fn reports() -> Vec<Report> {
    let every_other = |first| (first..=SEEDS).step_by(2).map(|seed| sim::run(seed).unwrap());
    thread::scope(|scope| {
        let lives = [1, 2].map(|first| scope.spawn(move || every_other(first).collect::<Vec<_>>()));
        lives.into_iter().flat_map(|life| life.join().unwrap()).collect()
    })
}

/// One test, since the seeds are lived through once.
#[test]
fn the_seeds_keep_the_promises_and_each_fault_meets_each_status() {
    let reports = reports();
    for report in &reports {
        let seed = report.seed;
        assert!(report.commands > 10, "seed {seed} did next to nothing");
        assert!(report.reports > 10, "seed {seed}: next to nothing was reported");
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    }
    each_fault_met_each_status(&reports);
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

fn each_fault_met_each_status(reports: &[Report]) {
    let mut met = BTreeMap::new();
    for (key, times) in reports.iter().flat_map(|report| &report.met) {
        *met.entry(key.clone()).or_insert(0) += times;
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
        "clock jump",
        "packet lost",
        "answer doubled",
        "answer overtaken",
        "datagram lost",
        "datagram doubled",
        "datagram overtaken",
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
    for did in ["held", "released", "sent again", "dropped", "tried"] {
        assert!(
            met.contains_key(&("operator", did.to_owned())),
            "nothing was {did} by the operator: {met:?}"
        );
    }
    for kind in ["deviceDataChanged", "deviceDatasChanged"] {
        assert!(
            met.contains_key(&("unsubscribed", kind.to_owned())),
            "no subscription to {kind} ended: {met:?}"
        );
    }
    assert!(
        met.contains_key(&("cancel task", "some".to_owned())),
        "no cancel task found anything: {met:?}"
    );
    assert!(
        met.contains_key(&("grace", "DELIVERED".to_owned())),
        "no restart ever gave a device the time to answer: {met:?}"
    );
}
