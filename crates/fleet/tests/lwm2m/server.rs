//! A server for tests: registers everybody, observes at once, writes what it is told to, acknowledges everything. It
//! repeats what nobody acknowledged every 200 ms.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::secure::Sessions;
use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// Where a device is, by its name.
    devices: BTreeMap<String, SocketAddr>,
    /// What waits for an acknowledgement, by address and message id.
    open: BTreeMap<(SocketAddr, u16), Packet>,
    /// Registrations that were answered, by address and message id.
    answered: BTreeMap<(SocketAddr, u16), Packet>,
    results: BTreeSet<u8>,
    next_id: u16,
    registrations: u32,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Sessions::none()).await
    }

    /// The same over DTLS, with one secret for all.
    pub(crate) async fn start_secure(secret: &[u8]) -> Self {
        Self::start_with(Sessions::with(secret)).await
    }

    async fn start_with(sessions: Sessions) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(socket, sessions, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Writes `03 0001 value` to every device.
    pub(crate) fn command_all(&self, value: u8) {
        let mut state = self.state.lock().unwrap();
        let addresses: Vec<_> = state.devices.values().copied().collect();
        for address in addresses {
            let mut write = state.request(RequestType::Put, &["19", "1", "0"]);
            write.payload = vec![3, 0, 1, value];
            state.open.insert((address, write.header.message_id), write);
        }
    }

    /// The values of all results so far.
    pub(crate) fn results(&self) -> BTreeSet<u8> {
        self.state.lock().unwrap().results.clone()
    }

    pub(crate) fn registered(&self) -> usize {
        self.state.lock().unwrap().devices.len()
    }

    pub(crate) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.state.lock().unwrap().devices.values().copied().collect()
    }
}

async fn serve(socket: UdpSocket, mut sessions: Sessions, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 2048];
    let mut again = tokio::time::interval(AGAIN);
    loop {
        let mut answers = Vec::new();
        tokio::select! {
            // An error is that of a device that has gone.
            received = socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                for message in sessions.open(from, &buffer[..length]) {
                    let packet = Packet::from_bytes(&message).unwrap();
                    answers.extend(state.lock().unwrap().heard(from, &packet));
                }
            },
            _ = again.tick() => {
                let open = state.lock().unwrap().open.clone();
                answers.extend(open.into_iter().map(|((to, _), packet)| (to, packet)));
            }
        }
        for (to, packet) in answers {
            sessions.seal(to, packet.to_bytes().unwrap());
        }
        for (to, datagram) in sessions.take() {
            let _ = socket.send_to(&datagram, to).await;
        }
    }
}

impl State {
    fn request(&mut self, method: RequestType, path: &[&str]) -> Packet {
        self.next_id += 1;
        let mut packet = Packet::new();
        packet.header.set_version(1);
        packet.header.set_type(MessageType::Confirmable);
        packet.header.code = MessageClass::Request(method);
        packet.header.message_id = self.next_id;
        packet.set_token(self.next_id.to_be_bytes().to_vec());
        for segment in path {
            packet.add_option(CoapOption::UriPath, segment.as_bytes().to_vec());
        }
        packet
    }

    fn heard(&mut self, from: SocketAddr, packet: &Packet) -> Vec<(SocketAddr, Packet)> {
        let id = packet.header.message_id;
        match (packet.header.get_type(), packet.header.code) {
            (MessageType::Acknowledgement | MessageType::Reset, _) => {
                self.open.remove(&(from, id));
                Vec::new()
            }
            (_, MessageClass::Request(RequestType::Post))
                if packet.get_option(CoapOption::UriQuery).is_none() =>
            {
                vec![(
                    from,
                    answer(packet, MessageClass::Response(ResponseType::Changed)),
                )]
            }
            (_, MessageClass::Request(RequestType::Post)) => self.register(from, packet),
            (_, MessageClass::Request(RequestType::Delete)) => {
                self.devices.retain(|_, address| *address != from);
                vec![(
                    from,
                    answer(packet, MessageClass::Response(ResponseType::Deleted)),
                )]
            }
            (kind, _) => {
                if let [4, 0, 1, 0, value] = packet.payload[..] {
                    self.results.insert(value);
                }
                let acknowledge = kind == MessageType::Confirmable;
                let answer = answer(packet, MessageClass::Empty);
                acknowledge.then_some((from, answer)).into_iter().collect()
            }
        }
    }

    fn register(&mut self, from: SocketAddr, packet: &Packet) -> Vec<(SocketAddr, Packet)> {
        let key = (from, packet.header.message_id);
        if let Some(answer) = self.answered.get(&key) {
            return vec![(from, answer.clone())];
        }
        let query = packet.get_option(CoapOption::UriQuery).unwrap();
        let texts = query
            .iter()
            .map(|value| String::from_utf8(value.clone()).unwrap());
        let name = texts
            .filter_map(|text| text.strip_prefix("ep=").map(str::to_owned))
            .next()
            .unwrap();
        self.registrations += 1;
        self.devices.insert(name, from);
        let mut created = answer(packet, MessageClass::Response(ResponseType::Created));
        created.add_option(CoapOption::LocationPath, b"rd".to_vec());
        created.add_option(
            CoapOption::LocationPath,
            self.registrations.to_string().into_bytes(),
        );
        self.answered.insert(key, created.clone());
        let mut observe = self.request(RequestType::Get, &["19", "0", "0"]);
        observe.set_observe_value(0);
        self.open
            .insert((from, observe.header.message_id), observe.clone());
        vec![(from, created), (from, observe)]
    }
}

fn answer(to: &Packet, code: MessageClass) -> Packet {
    let mut packet = Packet::new();
    packet.header.set_version(1);
    packet.header.set_type(MessageType::Acknowledgement);
    packet.header.code = code;
    packet.header.message_id = to.header.message_id;
    if code != MessageClass::Empty {
        packet.set_token(to.get_token().to_vec());
    }
    packet
}
