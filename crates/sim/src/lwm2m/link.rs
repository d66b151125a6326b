//! The task of one device on a real socket: the machine, the weather around it, DTLS if it is to be secure, reboots.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::event::Event;
use super::fleet::{Observer, Order};
use super::machine::{Machine, Output};
use super::settings::Settings;
use super::weather::{Air, Way, Weather};

/// The largest datagram that is read; the rest of a longer one is cut off.
const DATAGRAM: usize = 2048;
/// How many datagrams are taken in a row before the device gets to its own affairs.
const IN_A_ROW: usize = 32;

/// What a link is made of.
pub(super) struct Parts {
    pub(super) settings: Arc<Settings>,
    pub(super) server: SocketAddr,
    pub(super) weather: Weather,
    pub(super) reboot_every: Option<Duration>,
    pub(super) seed: u64,
    /// When it starts.
    pub(super) start: Instant,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) observer: Observer,
    pub(super) socket: UdpSocket,
}

/// A socket of its own towards the server, on a free port. Servers on loopback get clients from several addresses, so that
/// ports do not run out.
pub(super) async fn socket(server: SocketAddr, index: usize) -> std::io::Result<UdpSocket> {
    let local = match server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            let host = 1 + (index / PORTS) % 250;
            IpAddr::V4(Ipv4Addr::new(127, 0, 0, u8::try_from(host).unwrap_or(1)))
        }
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// How many devices share one address.
const PORTS: usize = 20_000;

pub(super) struct Link {
    parts: Parts,
    machine: Machine,
    air: Air,
    /// How often it has rebooted.
    life: u64,
    reboot_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            machine: Machine::new(Arc::clone(&parts.settings), parts.seed, parts.start),
            air: Air::new(parts.weather, !parts.seed),
            life: 0,
            reboot_at: parts.reboot_every.map(|every| parts.start + every),
            parts,
        }
    }

    /// Runs until the device has left or its fleet is gone.
    pub(super) async fn run(mut self) {
        tokio::time::sleep_until(self.parts.start.into()).await;
        while !self.machine.has_left() {
            self.settle();
            if self.machine.has_left() || !self.wait().await {
                break;
            }
        }
        self.settle();
    }

    /// Does everything that is due.
    fn settle(&mut self) {
        loop {
            let now = Instant::now();
            self.machine.tick(now);
            self.pour_out(now);
            let Some((way, datagram)) = self.air.arrived(now) else {
                break;
            };
            match way {
                // What the socket does not take is lost, as on any way to the server.
                Way::ToServer => drop(self.parts.socket.try_send(&datagram)),
                Way::ToDevice => self.machine.received(&datagram, now),
            }
        }
        self.parts.observer.ready(self.machine.is_ready());
    }

    fn pour_out(&mut self, now: Instant) {
        while let Some(output) = self.machine.output() {
            match output {
                Output::Datagram(datagram) => self.air.put(Way::ToServer, &datagram, now),
                Output::Event(event) => self.parts.observer.note(event),
            }
        }
    }

    /// Waits until there is something to do; false when the fleet is gone.
    async fn wait(&mut self) -> bool {
        let due = [self.machine.due(), self.air.due(), self.reboot_at];
        let due = due.into_iter().flatten().min();
        tokio::select! {
            order = self.parts.orders.recv() => match order {
                Some(order) => self.obey(order).await,
                None => return false,
            },
            // An error is that of a message before, such as a port that is closed; it is read away below.
            _ = self.parts.socket.readable() => self.take_in(),
            () = at(due) => {
                if self.reboot_at.is_some_and(|reboot| reboot <= Instant::now()) {
                    self.reboot().await;
                }
            }
        }
        true
    }

    fn take_in(&mut self) {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..IN_A_ROW {
            match self.parts.socket.try_recv(&mut buffer) {
                Ok(length) => self.air.put(Way::ToDevice, &buffer[..length], Instant::now()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Report(payload) => self.machine.report(payload, now),
            Order::Update => self.machine.update(now),
            Order::Reboot => self.reboot().await,
            Order::Leave => self.machine.leave(now),
        }
    }

    /// Forgets everything and starts anew from another port.
    async fn reboot(&mut self) {
        let now = Instant::now();
        self.life += 1;
        let seed = self.parts.seed.wrapping_add(self.life << 32);
        // Without another socket it keeps the one it has.
        if let Ok(socket) = socket(self.parts.server, self.parts.observer.index()).await {
            self.parts.socket = socket;
        }
        self.machine = Machine::new(Arc::clone(&self.parts.settings), seed, now);
        self.air = Air::new(self.parts.weather, !seed);
        self.reboot_at = self.parts.reboot_every.map(|every| now + every);
        self.parts.observer.note(Event::Rebooted);
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
