//! The bare client: the library that the server pushes with, and nothing around it. No record of what is due, none of
//! what was accepted, no retries: the least that so many pushes cost. As fast as it can, or at a rate: who sends less often has to wake
//! the receiver, and itself, more often.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{LocalSet, spawn_local};

use crate::world::dial;
use crate::world::parallel::each;
use crate::world::usage::Usage;

const TASKS: usize = 64;
const CONNECTIONS: usize = 32;

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// The receiver's URL: http, an address, a port, a path
    #[arg(long)]
    to: Uri,
    /// Pushes
    #[arg(long)]
    count: u64,
    /// Pushes a second, in portions of a millisecond; else as many as it can
    #[arg(long)]
    rate: Option<f64>,
}

type Sender = SendRequest<Full<Bytes>>;

/// What the pushes took, as one line.
pub(super) struct Outcome {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl Outcome {
    fn line(&self) -> String {
        format!("{} {}", self.wall.as_micros(), self.cpu.as_micros())
    }

    pub(super) fn read(line: &str) -> anyhow::Result<Self> {
        let (wall, cpu) = line.trim().split_once(' ').context("two numbers")?;
        Ok(Self {
            wall: Duration::from_micros(wall.parse()?),
            cpu: Duration::from_micros(cpu.parse()?),
        })
    }
}

/// Makes all pushes, then says on stdout what they took.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let outcome = LocalSet::new().run_until(push(&options)).await?;
    println!("{}", outcome.line());
    Ok(())
}

async fn push(options: &Options) -> anyhow::Result<Outcome> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Rc::new(Mutex::new(connect(&options.to).await?)));
    }
    let tasks = connections.iter().cycle().take(TASKS).cloned().collect();
    let to = options.to.clone();
    let (before, began) = (Usage::own()?, Instant::now());
    let turns = Rc::new(Semaphore::new(0));
    match options.rate {
        Some(rate) => drop(spawn_local(give_turns(Rc::clone(&turns), rate))),
        None => turns.close(),
    }
    let work = async move |connection: &mut Rc<Mutex<Sender>>, n| {
        // Closed: no turns to wait for.
        if let Ok(turn) = turns.acquire().await {
            turn.forget();
        }
        let request = request(&to, n)?;
        let mut sender = connection.lock().await;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    };
    each(tasks, 0..options.count, work).await?;
    Ok(Outcome {
        wall: began.elapsed(),
        cpu: Usage::own()?.cpu.saturating_sub(before.cpu),
    })
}

/// Gives so many turns a second.
async fn give_turns(turns: Rc<Semaphore>, rate: f64) {
    let (began, mut given) = (Instant::now(), 0);
    let mut portions = tokio::time::interval(Duration::from_millis(1));
    loop {
        portions.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate) as usize;
        turns.add_permits(due - given);
        given = due;
    }
}

async fn connect(to: &Uri) -> anyhow::Result<Sender> {
    let address = to.authority().context("an address in the URL")?;
    let stream = dial(address.as_str().parse()?, None).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}

/// Push number `n`, with the headers and the body of one by the server.
fn request(to: &Uri, n: u64) -> anyhow::Result<Request<Full<Bytes>>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (device, command) = (format!("{:032x}", n / 20), format!("{n:032x}"));
    let body = format!(
        r#"{{"deviceId":"{device}","commandId":"{command}","result":{{"resultCode":"CANCELED","resultDetail":null}}}}"#
    );
    let request = Request::post(to.path())
        .header(header::HOST, to.authority().context("an address")?.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "bench")
        .header("webhook-id", format!("{command}-2"))
        .header("webhook-timestamp", now.as_secs())
        .header("downlink-sequence", 2)
        .body(Full::from(body))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_as_it_was_said() {
        let said = Outcome {
            wall: Duration::from_millis(1500),
            cpu: Duration::from_millis(820),
        };
        let read = Outcome::read(&format!("{}\n", said.line())).expect("two numbers");
        assert_eq!((read.wall, read.cpu), (said.wall, said.cpu));
    }
}
