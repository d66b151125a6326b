//! The task that owns the gateway: its sockets, the protocol machine, and what is known of each device.
//!
//! Datagrams, time, the ends of calls and the inboxes of sessions come in; whatever the machine then has to say is done at
//! once. While many calls are under way no datagram is read: the devices repeat what is lost.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use downlink_core::DeviceKey;
use downlink_lwm2m::{DeviceNumber, Millis, Output, Peer, Station};
use downlink_store::StoreError;
use futures_util::StreamExt;
use futures_util::future::Aborted;
use futures_util::stream::FuturesUnordered;
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Sockets;
use super::calls::{Call, Done, Shared};
use super::keeping::Keeping;
use super::keys::Key;
use super::known::Devices;
use super::secure::{Inside, Secure};
use super::sessions::Listening;
use super::writes::Writes;
use crate::config;
use crate::engine::{CloseReason, Outdated, ToSession};
use crate::net::Datagrams;
use crate::secrets::random;
use crate::trace::Direction;

/// Datagrams read before anything else gets its turn.
const AT_ONCE: usize = 64;
/// The longest datagram that there is.
const DATAGRAM: usize = 65_536;
/// Looking at the clock again, at the latest.
const IDLE: Duration = Duration::from_secs(3600);

/// See the module.
pub(super) struct Owner {
    pub(super) shared: Shared,
    pub(super) station: Station,
    pub(super) devices: Devices,
    pub(super) calls: FuturesUnordered<Call>,
    pub(super) listening: FuturesUnordered<Listening>,
    pub(super) writes: Writes,
    pub(super) inbox_capacity: usize,
    pub(super) secure: Option<Secure>,
    pub(super) plain: Option<Datagrams>,
    pub(super) keeping: Keeping,
    pub(super) max_calls: usize,
    pub(super) work_mode: config::WorkMode,
    began: Instant,
    pub(super) stopping: bool,
    changes: broadcast::Receiver<Outdated>,
}

/// What woke the task.
enum Event {
    Plain,
    Secure,
    Done(Done),
    Inbox(DeviceKey, Vec<ToSession>, Option<CloseReason>),
    Outdated(Outdated),
    /// A session is no more.
    Ended,
    Time,
    Stop,
}

impl Owner {
    pub(super) fn new(shared: Shared, sockets: Sockets, config: &config::Lwm2m) -> Self {
        let now = Instant::now().into_std();
        let changes = shared.engine.outdated();
        let secure = sockets
            .secure
            .map(|socket| Secure::new(now, socket, config.dtls()));
        Self {
            shared,
            station: Station::new(config.station(), random()),
            devices: Devices::default(),
            calls: FuturesUnordered::new(),
            listening: FuturesUnordered::new(),
            writes: Writes::default(),
            inbox_capacity: config.max_inflight,
            secure,
            plain: sockets.plain,
            keeping: Keeping::default(),
            work_mode: config.work_mode,
            max_calls: config.max_calls.max(1),
            began: Instant::now(),
            stopping: false,
            changes,
        }
    }

    /// Runs until `stop`, and then until nothing is under way with the store any more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut buffer = vec![0; DATAGRAM];
        let mut timer = Box::pin(sleep_until(self.began));
        self.keep_up();
        loop {
            match self.next(timer.as_mut(), &stop).await {
                Event::Plain => self.read(&mut buffer),
                Event::Secure => self.read_secure(&mut buffer),
                Event::Done(done) => self.done(done),
                Event::Inbox(device, messages, close) => self.letters(device, messages, close),
                Event::Outdated(what) => self.outdated(what),
                Event::Time | Event::Ended => {}
                Event::Stop => self.stop(),
            }
            let now = self.now();
            self.station.tick(now);
            if let Some(secure) = &mut self.secure {
                secure.tick(Instant::now().into_std());
            }
            self.act();
            self.keep_up();
            self.show();
            if self.stopping && self.calls.is_empty() {
                return;
            }
        }
    }

    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn next(&mut self, mut timer: Pin<&mut Sleep>, stop: &CancellationToken) -> Event {
        let of_station = self
            .station
            .next_wake()
            .map(|at| self.began + Duration::from_millis(at.0));
        let of_dtls = self
            .secure
            .as_ref()
            .and_then(Secure::next_wake)
            .map(Instant::from_std);
        let due = of_station.into_iter().chain(of_dtls).min();
        let due = due.unwrap_or_else(|| Instant::now() + IDLE);
        if timer.deadline() != due || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        let may_read = !self.stopping && self.keeping.is_read() && self.calls.len() < self.max_calls;
        tokio::select! {
            biased;
            () = stop.cancelled(), if !self.stopping => Event::Stop,
            Some(done) = self.calls.next() => Event::Done(done),
            Some(heard) = self.listening.next() => match heard {
                Ok((device, taken)) => Event::Inbox(device, taken.messages, taken.close),
                Err(Aborted) => Event::Ended,
            },
            // What is missed is found out with the device's next message.
            Ok(what) = self.changes.recv() => Event::Outdated(what),
            () = timer, if !self.stopping => Event::Time,
            () = readable_plain(self.plain.as_ref()), if may_read => Event::Plain,
            () = readable(self.secure.as_ref().map(|secure| &secure.socket)), if may_read => Event::Secure,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        for _ in 0..AT_ONCE {
            let Some(plain) = &self.plain else { return };
            match plain.try_recv_from(buffer) {
                Ok((length, from)) => {
                    self.receive(Peer::Plain(unmapped(from)), &buffer[..length]);
                    self.act();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP answer to something that was sent: the device is gone, and its timers will find out.
                Err(_) => {}
            }
        }
    }

    fn read_secure(&mut self, buffer: &mut [u8]) {
        for _ in 0..AT_ONCE {
            let Some(secure) = &mut self.secure else { return };
            match secure.socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    let now = Instant::now().into_std();
                    let wanted = secure.receive(now, unmapped(from), &buffer[..length]);
                    self.calls
                        .extend(wanted.map(|identity| self.shared.look_up_key(identity)));
                    self.act();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// Does what the machines have to say.
    pub(super) fn act(&mut self) {
        loop {
            self.act_for_station();
            let mut unsent = 0;
            let inside = self.secure.as_mut().and_then(|secure| secure.poll(&mut unsent));
            self.shared.engine.metrics().lwm2m.unsent.inc_by(unsent);
            match inside {
                Some(inside) => self.enter(inside),
                None => return,
            }
        }
    }

    fn enter(&mut self, inside: Inside) {
        let now = self.now();
        match inside {
            Inside::Opened(session, device) => {
                self.station.session_opened(session, DeviceNumber(device.0));
            }
            Inside::Received(session, bytes) => self.receive(Peer::Secure(session), &bytes),
            Inside::Closed(session) => self.station.session_ended(now, session),
        }
    }

    fn receive(&mut self, from: Peer, datagram: &[u8]) {
        let now = self.now();
        self.show_packet(Direction::FromDevice, from, datagram);
        self.station.receive(now, from, datagram);
    }

    fn act_for_station(&mut self) {
        while let Some(output) = self.station.poll() {
            match output {
                Output::Send { to, bytes } => self.send(to, &bytes),
                Output::Register {
                    exchange,
                    peer,
                    endpoint,
                    binding: _,
                    lifetime_secs: _,
                    access: _,
                    version: _,
                } => self.registering(exchange, peer, endpoint),
                Output::Report {
                    exchange,
                    device,
                    payload,
                    sequence: _,
                } => {
                    self.keep(key(device));
                    self.report(exchange, device, payload);
                }
                Output::Awake { device } => self.awake(key(device)),
                Output::Asleep { device } => self.asleep(key(device)),
                Output::Updated { device, .. } => {
                    self.shared.engine.heard(key(device));
                    self.updated(key(device));
                }
                Output::Written { device, tag, outcome } => self.written(key(device), tag, outcome),
                Output::Gone { device, why } => {
                    self.gone(key(device), why);
                    self.keep(key(device));
                }
            }
        }
    }

    /// What the socket does not take is lost, as on the way: it is sent again like that.
    fn send(&mut self, to: Peer, bytes: &[u8]) {
        self.show_packet(Direction::ToDevice, to, bytes);
        match to {
            Peer::Plain(address) => {
                let plain = self.plain.as_ref();
                if plain.is_none_or(|plain| plain.try_send_to(bytes, address).is_err()) {
                    self.shared.engine.metrics().lwm2m.unsent.inc();
                }
            }
            Peer::Secure(session) => {
                if let Some(secure) = &mut self.secure {
                    secure.send(Instant::now().into_std(), session, bytes);
                }
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Admitted(exchange, Ok(admitted)) => self.admitted(exchange, *admitted),
            Done::Admitted(exchange, Err(why)) => self.turned(exchange, why),
            Done::LookedAgain(device, found) => self.looked_again(device, found),
            Done::Removed(device) => self.removed(device),
            Done::Heard(device, heard) => self.heard(device, *heard),
            Done::Encoded(dispatch, bytes) => self.encoded(*dispatch, bytes),
            Done::Next(device, next) => self.next_command(device, next),
            Done::Applied(changed, again) => self.applied(changed, again),
            Done::Key(identity, key) => self.key(identity, key),
            Done::Kept(outcome) => self.kept(outcome),
            Done::ReadKept(page) => self.read_kept(page),
            Done::Noted => {}
        }
    }

    fn key(&mut self, identity: Box<[u8]>, key: Result<Option<Key>, StoreError>) {
        let Some(secure) = &mut self.secure else { return };
        match key {
            Ok(key) => secure.found(Instant::now().into_std(), identity, key),
            Err(error) => {
                tracing::warn!(%error, "LwM2M: the key of a device could not be read");
                secure.not_found(&identity);
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        let devices: Vec<_> = self.devices.keys().copied().collect();
        for device in devices {
            self.close(device);
        }
    }

    fn show(&self) {
        let (metrics, counters) = (self.shared.engine.metrics(), self.station.counters());
        metrics.lwm2m.show(&counters);
        metrics.lwm2m.show_scripts(self.shared.translator.figures());
        if let Some(secure) = &self.secure {
            let (counters, sessions, handshakes) = secure.figures();
            metrics.lwm2m.show_dtls(&counted(&counters), sessions, handshakes);
        }
    }
}

/// What the sessions count, by the word that stands in the metric.
fn counted(counters: &super::dtls::Counters) -> [(&'static str, u64); 11] {
    [
        ("asked", counters.asked),
        ("begun", counters.begun),
        ("completed", counters.completed),
        ("unsuitable", counters.unsuitable),
        ("failed", counters.failed),
        ("timed_out", counters.timed_out),
        ("limited", counters.limited),
        ("full", counters.full),
        ("garbage", counters.garbage),
        ("stray", counters.stray),
        ("ignored", counters.ignored),
    ]
}

async fn readable_plain(door: Option<&Datagrams>) {
    match door {
        Some(door) => door.readable().await,
        None => std::future::pending().await,
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        // An error is met again by whoever reads.
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}

fn key(device: DeviceNumber) -> DeviceKey {
    DeviceKey(device.0)
}

/// A socket for both families sees IPv4 addresses inside IPv6 ones.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
