//! A simulated MQTT device: one task, one connection at a time, a [`Behaviour`] that can change while it runs.
//!
//! It keeps a [`Ledger`] of what it saw and did, and tells of it through a bounded channel of [`Event`]s; events that
//! nobody takes are dropped and counted, so that a device never waits for its observer. What it does not do: TLS.

mod behaviour;
mod event;
mod link;
mod session;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::credentials::{Identity, Sign};
use crate::ledger::Ledger;
use crate::topic::Family;
use crate::wait::TimedOut;

pub use crate::packet::Qos;
pub use behaviour::{Ack, Answer, Behaviour, HangUp, Moment};
pub use event::Event;

/// Events that wait for the observer at most.
const EVENTS: usize = 1024;
/// Orders that wait for the device at most.
const ORDERS: usize = 64;
/// How long [`Device::stop`] lets a device say goodbye.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Whether a device that lost its connection makes a new one. Refused credentials end it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// It stays away.
    Never,
    /// After a pause that doubles from `first` to `longest` while it does not get through; up to half of it is added, by
    /// the device's id, so that a fleet does not come back in one moment.
    BackOff {
        /// The first pause.
        first: Duration,
        /// The longest.
        longest: Duration,
    },
}

/// What a device is.
#[derive(Clone)]
pub struct Config {
    /// The server's plain MQTT listener.
    pub server: SocketAddr,
    /// As whom it connects.
    pub identity: Identity,
    /// Its secret.
    pub secret: String,
    /// Whether it asks for its stamp to be checked.
    pub sign: Sign,
    /// The stamp to use; none: the present hour at each connect.
    pub stamp: Option<String>,
    /// Which topics it speaks.
    pub family: Family,
    /// The quality of service it subscribes to its commands with; none: it does not subscribe.
    pub subscribe: Option<Qos>,
    /// Seconds; the server wants 30–1200. A PINGREQ goes out after half of it, and the connection is given up when
    /// nothing came from the server for all of it.
    pub keep_alive: u16,
    /// How it treats commands at first.
    pub behaviour: Behaviour,
    /// What it does when the connection is lost.
    pub reconnect: Reconnect,
    /// Whether answers that the server has not acknowledged are sent (again) on the next connection.
    pub keep_answers: bool,
}

impl Config {
    /// A good device that knows its device id, speaks the older family, subscribes at QoS 1 and comes back if cut off.
    pub fn new(server: SocketAddr, device_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            server,
            identity: Identity::DeviceId(device_id.into()),
            secret: secret.into(),
            sign: Sign::StampAsIs,
            stamp: None,
            family: Family::Legacy,
            subscribe: Some(Qos::One),
            keep_alive: 60,
            behaviour: Behaviour::default(),
            reconnect: Reconnect::BackOff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(5),
            },
            keep_answers: false,
        }
    }

    /// The same in the newer family of topics.
    #[must_use]
    pub fn oc(self) -> Self {
        Self {
            family: Family::Oc,
            ..self
        }
    }

    /// The same with this behaviour.
    #[must_use]
    pub fn behaving(self, behaviour: Behaviour) -> Self {
        Self { behaviour, ..self }
    }
}

/// What a device is told while it runs.
enum Order {
    /// Cut the connection without a word.
    HangUp,
    /// Say goodbye and end.
    Stop,
    /// Publish a message of the caller's making.
    Publish { topic: String, payload: Bytes, qos: Qos },
}

/// A running device. Dropping it cuts its connection without a word.
pub struct Device {
    ledger: Ledger,
    events: mpsc::Receiver<Event>,
    behaviour: watch::Sender<Behaviour>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Device {
    /// Starts a device with a ledger of its own. Needs a tokio runtime.
    pub fn start(config: Config) -> Self {
        Self::start_with(config, Ledger::new())
    }

    /// Starts a device that goes on writing `ledger`.
    pub fn start_with(config: Config, ledger: Ledger) -> Self {
        let (tell, events) = mpsc::channel(EVENTS);
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (behaviour, current) = watch::channel(config.behaviour.clone());
        let link = link::Link::new(config, current, inbox, event::Observer::new(ledger.clone(), tell));
        Self {
            ledger,
            events,
            behaviour,
            orders,
            task: tokio::spawn(link.run()),
        }
    }

    /// What it saw and did.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits until it is connected and, if it subscribes, its filter granted.
    ///
    /// # Errors
    /// [`TimedOut`] if that takes longer than `limit`.
    pub async fn ready(&self, limit: Duration) -> Result<(), TimedOut> {
        self.ledger.wait_until(limit, |tally| tally.ready).await
    }

    /// The next event; `None` when the device has ended.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Treats commands that arrive from now on like this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// Cuts the connection without a word. It comes back if its [`Reconnect`] says so.
    pub async fn hang_up(&self) {
        self.order(Order::HangUp).await;
    }

    /// Publishes any message. Without a connection it is dropped and counted as `unpublished`.
    pub async fn publish(&self, topic: impl Into<String>, payload: impl Into<Bytes>, qos: Qos) {
        self.order(Order::Publish {
            topic: topic.into(),
            payload: payload.into(),
            qos,
        })
        .await;
    }

    /// Disconnects as a device should, and ends.
    pub async fn stop(mut self) {
        self.order(Order::Stop).await;
        // Whether it ended in time or not: dropping it ends it for certain.
        let _ = tokio::time::timeout(STOP_WITHIN, &mut self.task).await;
    }

    async fn order(&self, order: Order) {
        // A device that has ended takes no orders, and needs none.
        let _ = self.orders.send(order).await;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}
