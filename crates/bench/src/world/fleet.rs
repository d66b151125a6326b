//! Many devices: registered and connected by many hands at once, so that the server's commits are shared.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;

use super::device::{self, Passwords};
use super::http::clients;
use super::parallel::each;
use super::server::Server;
use super::{Stream, register};

/// Registrations, or connects, under way at once.
const AT_ONCE: usize = 64;
/// Loopback addresses that devices come from, 127.0.0.2 and up: one address has not enough ports for a large fleet.
const SOURCES: u64 = 19;

/// Registers devices by number; gives their ids in the same order.
pub(crate) async fn enroll(server: &Server, token: &str, numbers: Range<u64>) -> anyhow::Result<Vec<String>> {
    let clients = clients(server, token, AT_ONCE).await?;
    each(clients, numbers, async |client, n| register(client, n).await).await
}

/// Connects and subscribes them; gives their connections in the same order.
pub(crate) async fn connect(server: &Server, devices: &Rc<Vec<String>>) -> anyhow::Result<Vec<Stream>> {
    let (numbers, devices) = (0..devices.len() as u64, Rc::clone(devices));
    let (passwords, doors) = (Passwords::new(), vec![server.door(); AT_ONCE]);
    let work =
        async move |door: &mut _, n| device::connect(door, &devices[n as usize], &passwords, source(n)).await;
    each(doors, numbers, work).await
}

/// The address that device number `n` comes from.
pub(crate) fn source(n: u64) -> SocketAddr {
    let last = 2 + (n % SOURCES) as u8;
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))
}
