//! One connection of a device, from CONNECT to its end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::event::Event;
use super::link::Link;
use super::{Ack, Answer, Behaviour, Moment, Order, Qos};
use crate::credentials::Login;
use crate::packet::{self, Incoming};
use crate::topic::Command;

/// Largest packet taken of the server.
const MAX_PACKET: usize = 1 << 20;
/// Acknowledgements and answers that wait for their time, or for the server's PUBACK, at most.
const MAX_WAITING: usize = 10_000;
/// How long the server may take to read what is written to it.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How long the server may take to answer CONNECT.
const CONNACK_WITHIN: Duration = Duration::from_secs(30);

/// Why a connection ended, or did not come about.
#[derive(Debug)]
pub(super) enum End {
    /// The device was told to stop.
    Stopped,
    /// The device cut it.
    HungUp,
    /// The server refused it with this code.
    Refused(u8),
    /// No connection was made.
    Unreachable(String),
    /// It was lost after that.
    Lost(String),
}

impl End {
    /// A connection that the server never accepted counts as none.
    fn before_connack(self) -> Self {
        match self {
            Self::Lost(reason) => Self::Unreachable(reason),
            Self::Stopped | Self::HungUp | Self::Refused(_) | Self::Unreachable(_) => self,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::HungUp => f.write_str("hung up"),
            Self::Refused(code) => write!(f, "refused with code {code}"),
            Self::Unreachable(reason) | Self::Lost(reason) => f.write_str(reason),
        }
    }
}

/// What a device will do at its time.
enum Todo {
    Ack(Arc<Job>),
    Answer(Arc<Job>),
}

/// A command in hand, with the behaviour it met on arrival.
struct Job {
    command: Arc<Command>,
    packet_id: u16,
    behaviour: Behaviour,
    cut_at: Option<Moment>,
}

struct Message {
    topic: String,
    payload: Bytes,
}

/// What waits: for its time, or for the server's PUBACK. May be carried over to the next connection.
#[derive(Default)]
pub(super) struct Carried {
    todo: BTreeMap<(Instant, u64), Todo>,
    unacked: BTreeMap<u16, Message>,
    serial: u64,
    last_id: u16,
}

impl Carried {
    /// Forgets what cannot be done on another connection: acknowledgements always, answers unless they are kept.
    pub(super) fn next_connection(&mut self, keep_answers: bool) {
        self.todo
            .retain(|_, todo| keep_answers && matches!(todo, Todo::Answer(_)));
        if !keep_answers {
            self.unacked.clear();
        }
    }

    fn plan(&mut self, at: Instant, todo: Todo) {
        self.serial += 1;
        self.todo.insert((at, self.serial), todo);
    }

    fn due(&mut self, now: Instant) -> Option<Todo> {
        let (&(at, _), _) = self.todo.first_key_value()?;
        (at <= now).then(|| self.todo.pop_first().map(|(_, todo)| todo))?
    }

    /// A packet id that is not in use; there always is one, as fewer than 65,535 messages wait.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.unacked.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn len(&self) -> usize {
        self.todo.len() + self.unacked.len()
    }
}

/// One connection.
pub(super) struct Session<'a> {
    link: &'a mut Link,
    out: BytesMut,
    commands: u32,
    cut: bool,
    heard_at: Instant,
    wrote_at: Instant,
    pinged_at: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(link: &'a mut Link) -> Self {
        let now = Instant::now();
        Self {
            link,
            out: BytesMut::new(),
            commands: 0,
            cut: false,
            heard_at: now,
            wrote_at: now,
            pinged_at: now,
        }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(mut self, mut stream: TcpStream, login: &Login) -> Result<Infallible, End> {
        let mut input = BytesMut::new();
        packet::connect(&mut self.out, login, self.link.config.keep_alive);
        self.flush(&mut stream).await?;
        timeout(CONNACK_WITHIN, self.await_connack(&mut stream, &mut input))
            .await
            .unwrap_or_else(|_| Err(End::Lost("no CONNACK in time".to_owned())))
            .map_err(End::before_connack)?;
        self.begin();
        loop {
            self.take_packets(&mut input)?;
            self.do_what_is_due();
            self.flush(&mut stream).await?;
            if self.cut {
                self.link.hang_ups += 1;
                return Err(End::HungUp);
            }
            self.wait(&mut stream, &mut input).await?;
        }
    }

    async fn await_connack(&mut self, stream: &mut TcpStream, input: &mut BytesMut) -> Result<(), End> {
        loop {
            tokio::select! {
                order = self.link.orders.recv() => self.obey(order)?,
                read = stream.read_buf(input) => heard(read)?,
            }
            match packet::decode(input, MAX_PACKET).map_err(|bad| End::Lost(bad.to_string()))? {
                Some(Incoming::ConnAck { code: 0 }) => return Ok(()),
                Some(Incoming::ConnAck { code }) => {
                    self.link.observer.note(Event::Refused(code));
                    return Err(End::Refused(code));
                }
                Some(_) => return Err(End::Lost("a packet before CONNACK".to_owned())),
                None => {}
            }
        }
    }

    /// Subscribes, and sends again what the last connection left unacknowledged.
    fn begin(&mut self) {
        self.heard_at = Instant::now();
        self.link.observer.note(Event::Connected);
        match self.link.config.subscribe {
            Some(qos) => {
                let filter = self
                    .link
                    .config
                    .family
                    .command_filter(self.link.config.identity.id());
                let id = self.link.carried.free_id();
                packet::subscribe(&mut self.out, id, &filter, qos);
            }
            None => self.link.observer.note(Event::Ready(None)),
        }
        for (id, message) in &self.link.carried.unacked {
            packet::publish(&mut self.out, &message.topic, &message.payload, Qos::One, *id);
        }
    }

    /// Waits for bytes, an order, or the next thing to do.
    async fn wait(&mut self, stream: &mut TcpStream, input: &mut BytesMut) -> Result<(), End> {
        let keep_alive = Duration::from_secs(self.link.config.keep_alive.max(1).into());
        // The server must hear of the device within the keep-alive, and the device of the server.
        let ping_at = self.heard_at.min(self.wrote_at).max(self.pinged_at) + keep_alive / 2;
        let dead_at = self.heard_at + keep_alive;
        let next = self
            .link
            .carried
            .todo
            .first_key_value()
            .map_or(dead_at, |(&(at, _), _)| at);
        tokio::select! {
            read = stream.read_buf(input) => {
                heard(read)?;
                self.heard_at = Instant::now();
            }
            order = self.link.orders.recv() => match order {
                Some(Order::Stop) | None => {
                    packet::disconnect(&mut self.out);
                    self.flush(stream).await?;
                    return Err(End::Stopped);
                }
                other => self.obey(other)?,
            },
            () = sleep_until(next.min(ping_at).min(dead_at)) => {
                let now = Instant::now();
                if now >= dead_at {
                    return Err(End::Lost("the server fell silent".to_owned()));
                }
                if now >= ping_at {
                    self.pinged_at = now;
                    packet::pingreq(&mut self.out);
                }
            }
        }
        Ok(())
    }

    fn obey(&mut self, order: Option<Order>) -> Result<(), End> {
        match order {
            Some(Order::HangUp) => Err(End::HungUp),
            Some(Order::Stop) | None => Err(End::Stopped),
            Some(Order::Publish { topic, payload, qos }) => {
                self.publish(topic, payload, qos);
                Ok(())
            }
        }
    }

    fn take_packets(&mut self, input: &mut BytesMut) -> Result<(), End> {
        while !self.cut {
            match packet::decode(input, MAX_PACKET).map_err(|bad| End::Lost(bad.to_string()))? {
                None => return Ok(()),
                Some(Incoming::Publish {
                    topic,
                    payload,
                    qos,
                    id,
                    dup,
                }) => {
                    self.arrived(&topic, &payload, qos, id, dup);
                }
                Some(Incoming::PubAck { id }) => {
                    if self.link.carried.unacked.remove(&id).is_some() {
                        self.link.observer.answer_acked();
                    }
                }
                Some(Incoming::SubAck { granted }) => self.link.observer.note(match granted.first() {
                    Some(0) => Event::Ready(Some(Qos::Zero)),
                    Some(1) => Event::Ready(Some(Qos::One)),
                    Some(_) | None => Event::FilterRefused,
                }),
                Some(Incoming::PingResp) => {}
                Some(Incoming::ConnAck { .. }) => return Err(End::Lost("a second CONNACK".to_owned())),
            }
            if self.link.carried.len() > MAX_WAITING {
                return Err(End::Lost("more commands than this device can hold".to_owned()));
            }
        }
        Ok(())
    }

    fn arrived(&mut self, topic: &str, payload: &Bytes, qos: Qos, packet_id: u16, dup: bool) {
        let config = &self.link.config;
        let Some(command) = config
            .family
            .read_command(config.identity.id(), topic, payload, qos, dup)
        else {
            self.link.observer.note(Event::Stray(topic.to_owned()));
            if qos == Qos::One {
                packet::puback(&mut self.out, packet_id);
            }
            return;
        };
        self.commands += 1;
        let command = Arc::new(command);
        self.link.observer.note(Event::Received(Arc::clone(&command)));
        let behaviour = self.link.behaviour.borrow().clone();
        let cut_at = behaviour
            .hang_up
            .filter(|cut| cut.at_command == self.commands && self.link.hang_ups < cut.times)
            .map(|cut| cut.moment);
        if cut_at == Some(Moment::Received) {
            self.cut = true;
            return;
        }
        self.plan(Arc::new(Job {
            command,
            packet_id,
            behaviour,
            cut_at,
        }));
    }

    /// Does what is to be done at once, and notes the rest down.
    fn plan(&mut self, job: Arc<Job>) {
        let now = Instant::now();
        match job.behaviour.ack {
            Ack::AtOnce => self.ack(&job),
            Ack::After(pause) => self.link.carried.plan(now + pause, Todo::Ack(Arc::clone(&job))),
            Ack::AfterAnswer | Ack::Never => {}
        }
        if matches!(job.behaviour.answer, Answer::Ignore) || self.cut {
            return;
        }
        if job.behaviour.answer_after.is_zero() {
            self.carry_out(&job);
        } else {
            self.link
                .carried
                .plan(now + job.behaviour.answer_after, Todo::Answer(job));
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        while !self.cut {
            match self.link.carried.due(now) {
                Some(Todo::Ack(job)) => self.ack(&job),
                Some(Todo::Answer(job)) => self.carry_out(&job),
                None => return,
            }
        }
    }

    fn ack(&mut self, job: &Job) {
        if job.command.qos == Qos::One {
            packet::puback(&mut self.out, job.packet_id);
            self.link.observer.note(Event::Acked(job.command.key.clone()));
        }
        self.cut |= job.cut_at == Some(Moment::Acked);
    }

    fn carry_out(&mut self, job: &Job) {
        let command = &job.command;
        self.link.observer.note(Event::Executed(command.key.clone()));
        let (code, body) = match &job.behaviour.answer {
            Answer::Ok(body) => (0, body),
            Answer::Error(code, body) => (*code, body),
            Answer::Never | Answer::Ignore => return,
        };
        let family = self.link.config.family;
        let topic = family.answer_topic(self.link.config.identity.id(), &command.key);
        let payload = family.answer_payload(&command.key, &command.method, code, body);
        for _ in 0..job.behaviour.answers {
            self.publish(topic.clone(), payload.clone(), job.behaviour.answer_qos);
            self.link.observer.note(Event::Answered(command.key.clone()));
        }
        if job.behaviour.ack == Ack::AfterAnswer {
            self.ack(job);
        }
        self.cut |= job.cut_at == Some(Moment::Answered);
    }

    fn publish(&mut self, topic: String, payload: Bytes, qos: Qos) {
        let id = match qos {
            Qos::Zero => 0,
            Qos::One => self.link.carried.free_id(),
        };
        packet::publish(&mut self.out, &topic, &payload, qos, id);
        if qos == Qos::One {
            self.link.carried.unacked.insert(id, Message { topic, payload });
        }
    }

    async fn flush(&mut self, stream: &mut TcpStream) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(WRITE_WITHIN, stream.write_all(&self.out)).await;
        self.out.clear();
        self.wrote_at = Instant::now();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Lost(error.to_string())),
            Err(_) => Err(End::Lost("the server does not read".to_owned())),
        }
    }
}

fn heard(read: std::io::Result<usize>) -> Result<(), End> {
    match read {
        Ok(0) => Err(End::Lost("closed by the server".to_owned())),
        Ok(_) => Ok(()),
        Err(error) => Err(End::Lost(error.to_string())),
    }
}
