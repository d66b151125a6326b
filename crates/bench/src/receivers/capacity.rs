//! Receivers that can take so many at once: whether a large one is used, and a small one is spared.

use std::time::{Duration, Instant};

use super::ground::Ground;
use super::heard::{self, Came, Heard, Shape};
use super::{Options, place};
use crate::report::Run;

/// Takes much: 4,000 a second.
const LARGE: Shape = Shape {
    after: Duration::from_millis(50),
    at_once: 200,
};
/// Takes little: 200 a second.
const SMALL: Shape = Shape {
    after: Duration::from_millis(50),
    at_once: 10,
};
/// The end of a run, by which the server should know its receiver.
const END: Duration = Duration::from_secs(10);
/// Of those accepted, how many of a thousand are left out of the rate: the last that were refused wait for their pause while nothing else is
/// left, and that time says nothing of how the receiver is used. It is given by itself.
const LAST_IN_1000: usize = 1;
/// A run is over by then.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) async fn large(options: &Options) -> anyhow::Result<Run> {
    measure(options, LARGE, options.pushes).await
}

/// With as many pushes as it can take in the longest run, and no more.
pub(super) async fn small(options: &Options) -> anyhow::Result<Run> {
    let most = (most_a_second(SMALL) * LONGEST.as_secs_f64()) as u64;
    measure(options, SMALL, options.pushes.min(most)).await
}

fn most_a_second(shape: Shape) -> f64 {
    shape.at_once as f64 / shape.after.as_secs_f64()
}

async fn measure(options: &Options, shape: Shape, pushes: u64) -> anyhow::Result<Run> {
    let ground = Ground::open(&options.common).await?;
    let (heard, address) = heard::listen(place(102), shape).await?;
    let queued = ground.queue(&heard::url(address), pushes).await?;
    ground.cancel_at_once(&queued).await?;
    let waiting = Heard::all(&heard, pushes, LONGEST);
    let _over = tokio::time::timeout(LONGEST, waiting).await;
    let run = figures(&heard.borrow(), shape, pushes);
    ground.stage.server.kill().await?;
    Ok(run)
}

fn figures(heard: &Heard, shape: Shape, pushes: u64) -> Run {
    let mut run = Run::default();
    let most = most_a_second(shape);
    let (Some(first), Some(last)) = (heard.requests.first(), heard.requests.last()) else {
        run.add("missing", pushes as f64);
        return run;
    };
    let until = all_but_the_last(&heard.requests).unwrap_or(last.at);
    let half = first.at + (until - first.at) / 2;
    run.add("share_of_rate", rate(&heard.requests, first.at, until) / most);
    run.add("share_in_second_half", rate(&heard.requests, half, until) / most);
    run.add("pushes_per_s", rate(&heard.requests, first.at, until));
    run.add("last_of_1000_after_s", (last.at - until).as_secs_f64());
    add_pressure(&mut run, "all", &heard.requests);
    let end = last.at.checked_sub(END).unwrap_or(first.at);
    let late = heard.requests.iter().filter(|came| came.at >= end);
    add_pressure(&mut run, "end", &late.copied().collect::<Vec<_>>());
    run.add("seconds", (last.at - first.at).as_secs_f64());
    run.add("missing", pushes.saturating_sub(heard.distinct) as f64);
    run
}

/// When all but the last were accepted.
fn all_but_the_last(requests: &[Came]) -> Option<Instant> {
    let accepted: Vec<Instant> = requests
        .iter()
        .filter(|came| !came.refused)
        .map(|came| came.at)
        .collect();
    let most = accepted.len() - accepted.len() * LAST_IN_1000 / 1000;
    accepted.get(most.checked_sub(1)?).copied()
}

/// Accepted a second between two instants.
fn rate(requests: &[Came], from: Instant, to: Instant) -> f64 {
    let within = requests
        .iter()
        .filter(|came| !came.refused && came.at >= from && came.at <= to);
    within.count() as f64 / (to - from).as_secs_f64().max(1e-3)
}

fn add_pressure(run: &mut Run, name: &str, requests: &[Came]) {
    let most = requests.iter().map(|came| came.in_hand).max().unwrap_or(0);
    let refused = requests.iter().filter(|came| came.refused).count();
    run.add(format!("{name}_most_at_once"), most as f64);
    run.add(
        format!("{name}_refused_share"),
        refused as f64 / requests.len().max(1) as f64,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in a run of 73 %: 59,999 of 60,000 had come at full speed, and one that was refused waited 4 s for its pause.
    #[test]
    fn what_waits_for_its_pause_when_all_else_is_told_is_no_part_of_the_rate() {
        let now = Instant::now();
        let came = |ms| Came {
            at: now + Duration::from_millis(ms),
            in_hand: 1,
            refused: false,
        };
        let requests: Vec<Came> = (0..1999).map(came).chain([came(9000)]).collect();
        assert_eq!(
            all_but_the_last(&requests[..999]),
            Some(now + Duration::from_millis(998))
        );
        let until = all_but_the_last(&requests).unwrap();
        assert_eq!(until, now + Duration::from_millis(1997));
        assert!((rate(&requests, now, until) - 1000.5).abs() < 0.1);
        assert_eq!(all_but_the_last(&[]), None);
    }

    #[test]
    fn refusals_are_no_part_of_the_rate() {
        let now = Instant::now();
        let came = |ms, refused| Came {
            at: now + Duration::from_millis(ms),
            in_hand: 1,
            refused,
        };
        let requests = [came(0, false), came(500, true), came(1000, false)];
        let rate = rate(&requests, now, now + Duration::from_secs(1));
        assert!((rate - 2.0).abs() < 1e-9);
    }
}
