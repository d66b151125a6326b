//! A listener whose queue is full: whoever connects hears nothing.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::until;

/// Stays full until it is dropped.
pub(in crate::push) struct Full {
    pub(in crate::push) address: SocketAddr,
    _listener: TcpListener,
    _waiting: TcpStream,
}

impl Full {
    pub(in crate::push) async fn listen() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // Room for one: the kernel's queue is full when it is longer than this.
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        // It is connected a moment before it stands in the queue.
        until(|| async { (queued(address) == 1).then_some(()) }).await;
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// Connections that wait to be accepted there, as the kernel has it (Linux).
fn queued(listener: SocketAddr) -> u32 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (port, listens) = (format!(":{:04X}", listener.port()), "0A");
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let queues = row
        .filter(|row| row[1].ends_with(&port) && row[3] == listens)
        .map(|row| row[4].split_once(':').unwrap().1.to_owned());
    let queue = queues.into_iter().next_back().expect("it listens");
    u32::from_str_radix(&queue, 16).unwrap()
}
