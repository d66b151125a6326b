//! The receiver of notices of devices that come and go: what the last one of each said.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::cycle::Stage;
use crate::report::Run;
use crate::world::http::{Client, head, member};

/// The last notice has to come within this.
const LONGEST: Duration = Duration::from_secs(180);

/// See the module.
pub(super) struct Notices {
    heard: Rc<RefCell<Heard>>,
}

#[derive(Default)]
struct Heard {
    count: u64,
    last: HashMap<String, String>,
}

impl Notices {
    /// Opens the receiver, and subscribes the application to its devices' coming and going.
    pub(super) async fn subscribe(stage: &Stage) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/notices", listener.local_addr()?);
        let heard = Rc::new(RefCell::new(Heard::default()));
        let hearing = Rc::clone(&heard);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(hear(stream, Rc::clone(&hearing)));
            }
        });
        let mut client = Client::authorized(&stage.server, &stage.token).await?;
        let body = format!(r#"{{"notifyType":"deviceInfoChanged","callbackUrl":"{url}"}}"#);
        let (status, answer) = client.post("/iocm/app/sub/v1.2.0/subscriptions", &body).await?;
        ensure!(status == 201, "subscribe: {status} {answer}");
        Ok(Self { heard })
    }

    /// Waits until the last notice of so many devices says that they are there.
    pub(super) async fn all_there(&self, devices: u64, run: &mut Run) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let there = {
                let heard = self.heard.borrow();
                heard.last.values().filter(|status| *status == "ONLINE").count() as u64
            };
            if there == devices {
                run.add("notices_right_after_s", began.elapsed().as_secs_f64());
                run.add(
                    "notices",
                    std::mem::take(&mut self.heard.borrow_mut().count) as f64,
                );
                return Ok(());
            }
            if began.elapsed() > LONGEST {
                bail!("the last notices say that {there} of {devices} devices are there");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn hear(mut stream: TcpStream, heard: Rc<RefCell<Heard>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(2048);
    loop {
        if let Some((from, length)) = head(&buffer)?
            && buffer.len() >= from + length
        {
            let body = std::str::from_utf8(&buffer[from..from + length])?;
            let device = member(body, "deviceId").context("a deviceId")?.to_owned();
            let status = member(body, "status").context("a status")?.to_owned();
            buffer.drain(..from + length);
            {
                let mut heard = heard.borrow_mut();
                heard.count += 1;
                heard.last.insert(device, status);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
            continue;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
