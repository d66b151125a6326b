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
use super::tunnel::{Said, Setup, Tunnel};
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
    pub(super) new_port: bool,
    pub(super) others: usize,
    pub(super) seed: u64,
    /// When it starts.
    pub(super) start: Instant,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) observer: Observer,
    pub(super) socket: UdpSocket,
}

/// A socket of its own towards the server, on a free port, ready to send. Servers on loopback get clients from several addresses, so that
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
    // Before that it is not known to be writable, and what it is given is lost.
    socket.writable().await?;
    Ok(socket)
}

/// How many devices share one address.
const PORTS: usize = 20_000;

pub(super) struct Link {
    parts: Parts,
    machine: Machine,
    air: Air,
    /// What its sessions of DTLS are made with, if it has such.
    setup: Option<Setup>,
    /// Its session. A new one is made when there is something to be sent.
    tunnel: Option<Tunnel>,
    /// Whether it is to change its port.
    moving: bool,
    /// How often it has rebooted.
    life: u64,
    reboot_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            machine: Machine::new(Arc::clone(&parts.settings), parts.seed, parts.start),
            air: Air::new(parts.weather, !parts.seed),
            setup: parts.settings.key.as_ref().map(Setup::new),
            tunnel: None,
            moving: false,
            life: 0,
            reboot_at: parts.reboot_every.map(|every| parts.start + every),
            parts,
        }
    }

    /// Runs until the device has left or its fleet is gone.
    pub(super) async fn run(mut self) {
        tokio::time::sleep_until(self.parts.start.into()).await;
        while !self.machine.has_left() {
            self.settle().await;
            if self.machine.has_left() || !self.wait().await {
                break;
            }
        }
        if let Some(mut tunnel) = self.tunnel.take() {
            let said = tunnel.close();
            self.obey_tunnel(said, Instant::now());
        }
        self.settle().await;
    }

    /// Does everything that is due.
    async fn settle(&mut self) {
        loop {
            let now = Instant::now();
            self.machine.tick(now);
            if let Some(tunnel) = &mut self.tunnel {
                let said = tunnel.run(now);
                self.obey_tunnel(said, now);
            }
            self.pour_out(now);
            if std::mem::take(&mut self.moving) {
                self.move_on().await;
            }
            let Some((way, datagram)) = self.air.arrived(now) else {
                break;
            };
            match way {
                // What the socket does not take is lost, as on any way to the server.
                Way::ToServer => drop(self.parts.socket.try_send(&datagram)),
                Way::ToDevice => self.arrive(&datagram, now),
            }
        }
        self.parts.observer.ready(self.machine.is_ready());
    }

    /// A datagram has reached the device. A sleeper loses it before it could be deciphered.
    fn arrive(&mut self, datagram: &[u8], now: Instant) {
        match &mut self.tunnel {
            Some(tunnel) if !self.machine.is_asleep() => {
                let said = tunnel.received(datagram, now);
                self.obey_tunnel(said, now);
            }
            // Nothing in clear is for a device that has a key.
            None if self.setup.is_some() => {}
            Some(_) | None => self.machine.received(datagram, now),
        }
    }

    fn pour_out(&mut self, now: Instant) {
        while let Some(output) = self.machine.output() {
            match output {
                Output::Datagram(datagram) => self.send(datagram, now),
                Output::Event(event) => {
                    self.mind(&event);
                    self.parts.observer.note(event);
                }
            }
        }
    }

    /// Some events of the machine concern the link.
    fn mind(&mut self, event: &Event) {
        // After silence the server may have lost the session, which it cannot tell.
        let silence = matches!(event, Event::GivenUp(_));
        let moving = self.parts.new_port && matches!(event, Event::Awake);
        if silence || moving {
            self.tunnel = None;
            self.moving |= moving;
        }
    }

    fn send(&mut self, datagram: Vec<u8>, now: Instant) {
        let Some(setup) = &self.setup else {
            self.air.put(Way::ToServer, &datagram, now);
            return;
        };
        let tunnel = self.tunnel.get_or_insert_with(|| Tunnel::new(setup, now));
        let said = tunnel.send(datagram, now);
        self.obey_tunnel(said, now);
    }

    fn obey_tunnel(&mut self, said: Vec<Said>, now: Instant) {
        for said in said {
            match said {
                Said::Datagram(datagram) => {
                    if !self.tunnel.as_ref().is_some_and(Tunnel::is_secured) {
                        self.machine.transmitted(now);
                    }
                    self.air.put(Way::ToServer, &datagram, now);
                }
                Said::Message(message) => self.machine.received(&message, now),
                Said::Secured => {
                    // What waited for that goes out now.
                    self.machine.transmitted(now);
                    self.parts.observer.note(Event::Secured);
                }
                Said::Ended(reason) => {
                    self.tunnel = None;
                    self.parts.observer.note(Event::Unsecured(reason));
                }
            }
        }
    }

    /// Waits until there is something to do; false when the fleet is gone.
    async fn wait(&mut self) -> bool {
        let tunnel = self.tunnel.as_ref().and_then(Tunnel::due);
        let due = [self.machine.due(), self.air.due(), tunnel, self.reboot_at];
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
        self.move_on().await;
        self.machine = Machine::new(Arc::clone(&self.parts.settings), seed, now);
        self.air = Air::new(self.parts.weather, !seed);
        self.tunnel = None;
        self.reboot_at = self.parts.reboot_every.map(|every| now + every);
        self.parts.observer.note(Event::Rebooted);
    }

    /// Goes on from another port. Without another socket it keeps the one it has.
    async fn move_on(&mut self) {
        let place = self.parts.others + self.parts.observer.index();
        if let Ok(socket) = socket(self.parts.server, place).await {
            self.parts.socket = socket;
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_socket_does_not_lose_its_first_datagram() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        for index in 0..20 {
            let device = socket(address, index).await.unwrap();
            assert_eq!(device.try_send(b"hello").unwrap(), 5, "{index}");
        }
    }
}
