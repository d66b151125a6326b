//! One life of the server: a runtime of its own whose time stands still unless the world lets it go on. Dropping it is the
//! crash: every task ends where it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use downlink_server::config::{self, Config};
use downlink_server::simulated::{Datagrams, Node, boot, set_clock};
use http::Request;
use http_body_util::BodyExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep_until};

use crate::lives::RESPONSE;
use crate::outside::{DiskMood, Outside, Seen};
use crate::wire::{Far, wire};

/// The largest answer to a call.
const ANSWER_BYTES: usize = 4 << 20;

/// What differs from life to life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Whether hints are given at all.
    pub(crate) hints: bool,
    /// How much the store keeps in its tail.
    pub(crate) tail: i64,
    /// The disk.
    pub(crate) disk: DiskMood,
    /// The seed of what is random in the server's surroundings.
    pub(crate) seed: u64,
}

/// See the module.
pub(crate) struct Life {
    // Dropped first: the tasks end before what they use.
    runtime: Runtime,
    node: Node,
    outside: Arc<Outside>,
    datagrams: Datagrams,
    wires: BTreeMap<u64, Far>,
    began: Instant,
    began_at: u64,
}

impl Life {
    /// Starts the server at `now` (milliseconds of the world), with its wall clock at `wall`.
    pub(crate) fn begin(dir: &Path, now: u64, wall: i64, traits: Traits) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let config = settings(dir, traits)?;
        let outside = Outside::new(traits.seed, traits.disk);
        let leaving = Arc::clone(&outside);
        let datagrams = Datagrams::new(move |to, bytes| leaving.see(Seen::Datagram(to, bytes.to_vec())));
        let (began, node) = runtime.block_on(async {
            set_clock(wall);
            let began = Instant::now();
            let (disk, receivers) = (Arc::clone(&outside), Arc::clone(&outside));
            let node = boot(&config, disk, receivers, datagrams.clone()).await;
            (began, node)
        });
        Ok(Self {
            runtime,
            node: node.map_err(|error| anyhow::anyhow!(error))?,
            outside,
            datagrams,
            wires: BTreeMap::new(),
            began,
            began_at: now,
        })
    }

    /// What the server sees of the world.
    pub(crate) fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Lets time go on to `until`, or until the server does something. Gives the time then.
    pub(crate) fn run(&self, until: u64) -> u64 {
        let target = self.began + Duration::from_millis(until.saturating_sub(self.began_at));
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.outside.told() => {}
                () = sleep_until(target) => {}
            }
            self.began_at + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// The wall clock jumps.
    pub(crate) fn set_wall(&self, wall: i64) {
        self.runtime.block_on(async { set_clock(wall) });
    }

    /// Makes an application.
    pub(crate) fn make_app(&self, id: &str, token: &str) -> anyhow::Result<()> {
        let made = self.runtime.block_on(self.node.make_app(id, token));
        made.map_err(|error| anyhow::anyhow!(error))
    }

    /// A call of an application arrives, or of the operator; its answer is seen under `call`.
    pub(crate) fn call(&self, call: u64, by_operator: bool, request: Request<Body>) {
        let rest = match by_operator {
            true => self.node.admin(),
            false => self.node.rest(),
        };
        let outside = Arc::clone(&self.outside);
        self.runtime.spawn(async move {
            let response = rest.call(request).await;
            let status = response.status().as_u16();
            let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES);
            let body = body.collect().await.map(|all| all.to_bytes().to_vec());
            outside.see(Seen::Answer(call, status, body.unwrap_or_default()));
        });
    }

    /// A device connects.
    pub(crate) fn connect(&mut self, connection: u64) {
        let (near, far) = wire(connection, &self.outside);
        self.wires.insert(connection, far);
        let _inside = self.runtime.enter();
        self.node.connect(near);
    }

    /// Bytes of a device arrive.
    pub(crate) fn arrive(&self, connection: u64, bytes: &[u8]) {
        if let Some(far) = self.wires.get(&connection) {
            far.arrive(bytes);
        }
    }

    /// A device's end of a connection is gone.
    pub(crate) fn end(&mut self, connection: u64) {
        if let Some(far) = self.wires.remove(&connection) {
            far.end();
        }
    }

    /// A datagram arrives.
    pub(crate) fn datagram(&self, from: std::net::SocketAddr, bytes: Vec<u8>) {
        self.datagrams.arrive(from, bytes);
    }
}

/// Defaults, but shorter waits: a run has to come to its end.
fn settings(dir: &Path, traits: Traits) -> anyhow::Result<Config> {
    let dir = dir.display().to_string();
    let overrides = vec![
        ("server", "data_dir", dir.into()),
        ("store", "min_free_bytes", 0.into()),
        ("store", "min_free_percent", 0.into()),
        ("store", "lazy_wait_ms", 0.into()),
        ("store", "readers", 1.into()),
        ("store", "tail", traits.tail.into()),
        ("engine", "hints", traits.hints.into()),
        ("engine", "expiry_sweep_ms", 5000.into()),
        ("commands", "response_wait_secs", (RESPONSE / 1000).into()),
        ("lwm2m", "ack_first_low_secs", 2.into()),
        ("lwm2m", "ack_first_high_secs", 3.into()),
        ("lwm2m", "resends", 2.into()),
        ("lwm2m", "awake_secs", 20.into()),
        ("push", "retry_longest_ms", 30_000.into()),
    ];
    Ok(config::load(None, Vec::new(), overrides)?)
}
