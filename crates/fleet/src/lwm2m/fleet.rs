//! Many simulated devices in one process: a task and a socket for each, one channel of events and one count for all.
//!
//! Events that nobody takes are dropped and counted, so that no device waits for its observer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::event::{Event, Tally};
use super::link::{self, Link, Parts};
use super::settings::Settings;
use super::weather::Weather;
use crate::wait::{self, TimedOut};

/// Events that wait for the observer at most.
const EVENTS: usize = 65_536;
/// Orders that wait for one device at most.
const ORDERS: usize = 8;

/// What a fleet is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's CoAP listener.
    pub server: SocketAddr,
    /// The weather between each device and the server.
    pub weather: Weather,
    /// How often each device loses everything it knows and starts anew from another port.
    pub reboot_every: Option<Duration>,
    /// Whether a sleeper wakes with another port, as behind a network that forgets addresses. With DTLS that is a new
    /// session.
    pub new_port: bool,
    /// Over which time the devices start, evenly.
    pub spread: Duration,
    /// From which all chance of all devices comes.
    pub seed: u64,
    /// Devices of other fleets before these: towards a server on loopback 20,000 devices share one address.
    pub others: usize,
}

impl Config {
    /// Devices that start at once, in fair weather.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            weather: Weather::default(),
            reboot_every: None,
            new_port: false,
            spread: Duration::ZERO,
            seed: 1,
            others: 0,
        }
    }
}

/// What a device is told while it runs.
pub(super) enum Order {
    Report(Vec<u8>),
    Update,
    Reboot,
    Leave,
}

/// Running devices. Dropping it ends them without a word.
pub struct Fleet {
    devices: Vec<(mpsc::Sender<Order>, JoinHandle<()>)>,
    events: mpsc::Receiver<(usize, Instant, Event)>,
    tally: watch::Sender<Tally>,
}

impl Fleet {
    /// Starts these devices. Each has a socket: mind the limit of open files. Needs a tokio runtime.
    ///
    /// # Errors
    /// If a socket cannot be made.
    pub async fn start(config: &Config, devices: Vec<Settings>) -> std::io::Result<Self> {
        let (tell, events) = mpsc::channel(EVENTS);
        let mut fleet = Self {
            devices: Vec::with_capacity(devices.len()),
            events,
            tally: watch::Sender::new(Tally::default()),
        };
        let (start, count) = (Instant::now(), u32::try_from(devices.len()).unwrap_or(u32::MAX));
        for (index, settings) in devices.into_iter().enumerate() {
            let socket = link::socket(config.server, config.others + index).await?;
            let (orders, inbox) = mpsc::channel(ORDERS);
            let place = u32::try_from(index).unwrap_or(u32::MAX);
            let parts = Parts {
                settings: Arc::new(settings),
                server: config.server,
                weather: config.weather,
                reboot_every: config.reboot_every,
                new_port: config.new_port,
                others: config.others,
                seed: config.seed.wrapping_mul(0x9e37_79b9).wrapping_add(index as u64),
                start: start + config.spread / count.max(1) * place,
                orders: inbox,
                observer: Observer::new(index, tell.clone(), fleet.tally.clone()),
                socket,
            };
            fleet.devices.push((orders, tokio::spawn(Link::new(parts).run())));
        }
        Ok(fleet)
    }

    /// The next event and the place of its device, counted from 0; `None` when all devices have ended.
    pub async fn next_event(&mut self) -> Option<(usize, Event)> {
        let (device, _, event) = self.next_timed_event().await?;
        Some((device, event))
    }

    /// The same, and when it happened at the device: before it sent anything on account of it, if it did.
    pub async fn next_timed_event(&mut self) -> Option<(usize, Instant, Event)> {
        self.events.recv().await
    }

    /// The count of everything so far.
    pub fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Waits until `condition` holds of the count.
    ///
    /// # Errors
    /// [`TimedOut`] if it does not within `limit`; its text shows the count.
    pub async fn wait_until(
        &self,
        limit: Duration,
        condition: impl Fn(&Tally) -> bool,
    ) -> Result<(), TimedOut> {
        let pick = |tally: &Tally| condition(tally).then_some(());
        wait::until(&self.tally, limit, pick, |tally| format!("{tally:?}")).await
    }

    /// Has a device report this.
    pub async fn report(&self, device: usize, payload: Vec<u8>) {
        self.order(device, Order::Report(payload)).await;
    }

    /// Has a device renew its registration.
    pub async fn update(&self, device: usize) {
        self.order(device, Order::Update).await;
    }

    /// Has a device lose everything it knows and start anew from another port.
    pub async fn reboot(&self, device: usize) {
        self.order(device, Order::Reboot).await;
    }

    /// Has all devices take leave of the server, and ends those that have not after `limit`.
    pub async fn stop(mut self, limit: Duration) {
        for device in 0..self.devices.len() {
            self.order(device, Order::Leave).await;
        }
        let all = async {
            for (_, task) in &mut self.devices {
                // However it ended, it has.
                let _ = task.await;
            }
        };
        // Dropping the fleet ends the others.
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// A device that has ended takes no orders, and needs none.
    async fn order(&self, device: usize, order: Order) {
        if let Some((orders, _)) = self.devices.get(device) {
            let _ = orders.send(order).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, task) in &self.devices {
            task.abort();
        }
    }
}

/// The one place at which a device counts and tells.
pub(super) struct Observer {
    index: usize,
    tell: mpsc::Sender<(usize, Instant, Event)>,
    tally: watch::Sender<Tally>,
    ready: bool,
}

impl Observer {
    const fn new(
        index: usize,
        tell: mpsc::Sender<(usize, Instant, Event)>,
        tally: watch::Sender<Tally>,
    ) -> Self {
        Self {
            index,
            tell,
            tally,
            ready: false,
        }
    }

    pub(super) const fn index(&self) -> usize {
        self.index
    }

    pub(super) fn note(&self, event: Event) {
        self.tally.send_modify(|tally| tally.count(&event));
        if self.tell.try_send((self.index, Instant::now(), event)).is_err() {
            self.tally.send_modify(|tally| tally.events_lost += 1);
        }
    }

    /// Tells whether the device is registered and observed.
    pub(super) fn ready(&mut self, ready: bool) {
        if self.ready != ready {
            self.ready = ready;
            self.tally.send_modify(|tally| {
                tally.ready = if ready { tally.ready + 1 } else { tally.ready - 1 };
            });
        }
    }
}
