//! What one script does to others.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::error::EncodeError;
use crate::message::{Command, ToDevice};

/// As long as a busy machine may need for what takes no time.
const SOON: Duration = Duration::from_secs(20);
/// Nothing in it looks at the clock: two texts that share no part are compared, a gigabyte long.
const STUCK: &str = "function encode() {
    var s = 'ab', t = 'ab';
    while (s.length < 5e8) { s += s; t += t; }
    for (;;) s === t;
}";
const LOOP: &str = "function encode() { for (;;); }";
const GOOD: &str = "function encode() { return [1]; }";

type Answer = Result<Result<Option<Vec<u8>>, EncodeError>, ScriptError>;

fn pool(limits: PoolLimits) -> ScriptPool {
    ScriptPool::new(ScriptHost::default(), limits).unwrap()
}

/// A pool in which scripts have more time than any test waits.
fn patient(limits: PoolLimits) -> ScriptPool {
    let host = ScriptHost {
        time: Duration::from_secs(60),
        ..ScriptHost::default()
    };
    let patience = Duration::from_secs(120);
    ScriptPool::new(host, PoolLimits { patience, ..limits }).unwrap()
}

fn script(source: &str) -> Script {
    Script::load(source).unwrap()
}

fn call(pool: &ScriptPool, script: &Script) -> Result<Receiver<Answer>, Busy> {
    let (tell, told) = channel();
    let its = script.clone();
    let work = move |host: &ScriptHost| {
        let command = Command {
            identifier: None,
            service: "S",
            command: "C",
            paras: "{}",
            mid: None,
            has_more: false,
        };
        host.encode(&its, &ToDevice::Command(command))
    };
    pool.run(script, work, move |answer| drop(tell.send(answer)))?;
    Ok(told)
}

fn answer(told: &Receiver<Answer>) -> Answer {
    told.recv_timeout(SOON).unwrap()
}

#[test]
fn calls_are_answered() {
    let pool = pool(PoolLimits::default());
    let told: Vec<_> = (0..20).map(|_| call(&pool, &script(GOOD)).unwrap()).collect();
    for told in told {
        assert_eq!(answer(&told), Ok(Ok(Some(vec![1]))));
    }
}

/// A script that never ends is called a hundred times; other scripts do not wait for it.
#[test]
fn a_slow_script_has_half_of_the_threads() {
    let pool = patient(PoolLimits::default());
    let slow = script(LOOP);
    let slow: Vec<_> = (0..100).map(|_| call(&pool, &slow).unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(
            answer(&call(&pool, &script(GOOD)).unwrap()),
            Ok(Ok(Some(vec![1])))
        );
    }
    assert!(slow[0].try_recv().is_err(), "the slow ones were not waited for");
}

#[test]
fn a_script_that_cannot_be_ended_is_given_up_and_never_run_again() {
    let pool = pool(PoolLimits {
        stop_after: Duration::from_millis(400),
        ..PoolLimits::default()
    });
    let stuck = script(STUCK);
    assert_eq!(
        answer(&call(&pool, &stuck).unwrap()),
        Err(ScriptError::Time { ms: 200 })
    );
    assert_eq!(pool.lost(), 1);
    // The others go on, on as many threads as before.
    for _ in 0..5 {
        let both = [script(GOOD), script(GOOD)].map(|good| call(&pool, &good).unwrap());
        for told in both {
            assert_eq!(answer(&told), Ok(Ok(Some(vec![1]))));
        }
    }
    let until = Instant::now() + SOON;
    while stuck.check().is_ok() && Instant::now() < until {
        thread::yield_now();
    }
    assert_eq!(stuck.check(), Err(ScriptError::Stopped));
    let command = Command {
        identifier: None,
        service: "S",
        command: "C",
        paras: "{}",
        mid: None,
        has_more: false,
    };
    let again = ScriptHost::default().encode(&stuck, &ToDevice::Command(command));
    assert_eq!(again, Err(EncodeError::Script(ScriptError::Stopped)));
}

#[test]
fn too_many_that_wait_are_refused() {
    let pool = patient(PoolLimits {
        waiting: 6,
        waiting_per_script: 4,
        ..PoolLimits::default()
    });
    let scripts = [script(LOOP), script(LOOP)];
    let mut kept: Vec<_> = scripts
        .iter()
        .map(|script| call(&pool, script).unwrap())
        .collect();
    while pool.shared.lock().running.len() < 2 {
        thread::yield_now();
    }
    let mut taken = |script| {
        let told: Vec<_> = (0..20).filter_map(|_| call(&pool, script).ok()).collect();
        let taken = told.len();
        kept.extend(told);
        taken
    };
    assert_eq!((taken(&scripts[0]), taken(&scripts[1])), (4, 2));
    assert!(call(&pool, &script(GOOD)).is_err());
}
