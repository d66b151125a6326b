//! The task of one connection: moves bytes between its socket and its session, and changes to the engine.
//!
//! One task owns the socket, the session and its inbox. While it waits for the store it neither reads nor takes
//! messages, so a device is never ahead of what is committed for it. Idle it holds no buffer: reads go through one
//! buffer per thread, and only what is left of an incomplete packet is kept.

mod bytes;
mod children;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod opening;

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use downlink_core::lifecycle::Input;
use downlink_core::{AppKey, DeviceId, DeviceKey, TopicFamily};
use downlink_store::{Change, Dispatch, NotifyType, Report, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::bytes::{farewell, poll_read, take_in};
use super::outbox::Outbox;
use super::session::{Close, Now, Out, Session, Tick};
use super::{MqttGateway, Place, wire};
use crate::clock;
use crate::engine::{CloseReason, Engine, Inbox, Reach, SessionHandle, ToSession, Word};

/// What devices report and applications subscribe to.
const REPORTS: &[NotifyType] = &[
    NotifyType::DeviceDataChanged,
    NotifyType::DeviceDatasChanged,
    NotifyType::DeviceEvent,
];

/// Serves a plain connection to its end.
pub(super) async fn plain(place: Place, stream: TcpStream, stop: CancellationToken) {
    // The opening is boxed so that its memory is gone once the session runs.
    let gateway = Arc::clone(&place.gateway);
    let opened = Box::pin(opening::within(gateway, stop, move |gateway, stop| {
        opening::open(gateway, stream, stop)
    }));
    if let Some(live) = opened.await {
        live.run().await;
    }
    drop(place);
}

/// Serves a connection over TLS to its end.
pub(super) async fn tls(place: Place, acceptor: TlsAcceptor, stream: TcpStream, stop: CancellationToken) {
    let gateway = Arc::clone(&place.gateway);
    let opened = Box::pin(opening::within(
        gateway,
        stop,
        async move |gateway: Arc<MqttGateway>, stop| match acceptor.accept(stream).await {
            Ok(stream) => opening::open(gateway, stream, stop).await,
            Err(error) => {
                gateway.engine.metrics().mqtt_refused.inc();
                tracing::debug!(%error, "MQTT: TLS handshake failed");
                None
            }
        },
    ));
    if let Some(live) = opened.await {
        live.run().await;
    }
    drop(place);
}

/// A device's entry in the list of sessions; taken out when dropped.
struct Registered {
    engine: Arc<Engine>,
    handle: Arc<SessionHandle>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.engine.sessions().remove(&self.handle);
        self.engine.metrics().sessions.dec();
    }
}

/// A connection whose CONNECT was accepted.
struct Live<S> {
    stream: S,
    /// The beginning of a packet.
    rest: Vec<u8>,
    outbox: Outbox,
    session: Session,
    inbox: Inbox,
    registered: Registered,
    gateway: Arc<MqttGateway>,
    device: DeviceId,
    app: AppKey,
    began: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Live<S> {
    async fn run(mut self: Box<Self>) {
        Box::pin(self.tell_presence()).await;
        let close = self.talk().await;
        Box::pin(self.end(close)).await;
    }

    async fn talk(&mut self) -> Close {
        let mut timer = pin!(sleep_until(self.due()));
        // What came in one piece with the CONNECT.
        let mut first = Out::default();
        let (now, max) = (self.now(), self.gateway.config.max_packet_bytes as usize);
        let before = mem::take(&mut self.rest);
        self.session.hear_out(self.reports_wanted());
        take_in(&mut self.rest, &before, max, &mut self.session, now, &mut first);
        let mut close = Box::pin(self.act(first)).await;
        loop {
            if let Some(close) = close {
                return close;
            }
            self.arm(timer.as_mut());
            let out = self.wait(timer.as_mut()).await;
            close = Box::pin(self.act(out)).await;
        }
    }

    /// Notes whether the device is connected, and tells the application, if it wants to know.
    async fn tell_presence(&self) {
        let (engine, device) = (&self.gateway.engine, self.registered.handle.device);
        engine.contacts().connection(device, clock::now());
        engine.tell_presence(self.app, device, Word::Session).await;
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            at: clock::now(),
            tick: Tick(ms),
        }
    }

    /// When the session wants the clock looked at.
    fn due(&self) -> Instant {
        self.began + Duration::from_millis(self.session.next_tick().0)
    }

    /// Sets the timer, unless it rings early enough anyway: what is heard of the device only puts its end off.
    fn arm(&self, timer: Pin<&mut Sleep>) {
        let due = self.due();
        if timer.is_elapsed() || due < timer.deadline() {
            timer.reset(due);
        }
    }

    /// Waits until there is something to do, and lets the session do it.
    async fn wait(&mut self, mut timer: Pin<&mut Sleep>) -> Out {
        poll_fn(|cx| self.poll_step(timer.as_mut(), cx)).await
    }

    fn poll_step(&mut self, timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Out> {
        let mut out = Out::default();
        let over = |close| {
            Poll::Ready(Out {
                close: Some(close),
                ..Out::default()
            })
        };
        if let Poll::Ready(Err(_)) = self.outbox.poll_flush(&mut self.stream, cx) {
            return over(Close::Gone);
        }
        if self.outbox.len() > self.gateway.config.max_send_buffer_bytes {
            return over(Close::TooSlow);
        }
        let now = self.now();
        self.session.hear_out(self.reports_wanted());
        let mut stepped = false;
        if let Poll::Ready(taken) = self.inbox.poll_take(cx) {
            stepped = true;
            for message in taken.messages {
                self.session.told(message, now, &mut out);
            }
            out.close = out.close.or(taken.close.map(Close::Told));
        }
        if let Poll::Ready(read) = self.poll_read(now, &mut out, cx) {
            stepped = true;
            if let Ok(0) | Err(_) = read {
                out.close = out.close.or(Some(Close::Gone));
            }
        }
        if timer.poll(cx).is_ready() {
            stepped = true;
            self.session.tick(now, &mut out);
        }
        match stepped {
            true => Poll::Ready(out),
            false => Poll::Pending,
        }
    }

    fn poll_read(&mut self, now: Now, out: &mut Out, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let max = self.gateway.config.max_packet_bytes as usize;
        let (rest, session) = (&mut self.rest, &mut self.session);
        poll_read(&mut self.stream, cx, |bytes| {
            take_in(rest, bytes, max, session, now, out);
            bytes.len()
        })
    }

    /// Carries out what a step asked for, and what follows from that. Gives the reason to close, if there is one.
    async fn act(&mut self, mut out: Out) -> Option<Close> {
        let close = out.close;
        loop {
            self.outbox
                .push(mem::take(&mut out.bytes), mem::take(&mut out.dispatched));
            self.show();
            self.count(&out);
            self.give_back(mem::take(&mut out.not_written)).await;
            if let Some(family) = out.learned {
                self.note_family(family).await;
            }
            if let Err(store_failed) = self.keep_reports(mem::take(&mut out.reports)).await {
                return Some(close.unwrap_or(store_failed));
            }
            let of_children = mem::take(&mut out.of_children);
            if !of_children.is_empty()
                && let Err(store_failed) = Box::pin(self.keep_reports_of_children(of_children)).await
            {
                return Some(close.unwrap_or(store_failed));
            }
            let acks = mem::take(&mut out.acks);
            if out.changes.is_empty() {
                self.outbox.push(acks, Vec::new());
            } else {
                out = match self.commit(mem::take(&mut out.changes), acks, close).await {
                    Ok(next) => next,
                    Err(store_failed) => return Some(close.unwrap_or(store_failed)),
                };
                continue;
            }
            match close {
                Some(close) => return Some(close),
                None => match self.next().await {
                    Some(next) => out = next,
                    None => return None,
                },
            }
        }
    }

    /// Shows the others what they may see of the session.
    fn show(&self) {
        self.registered.handle.set_reach(self.session.reach());
        self.registered
            .handle
            .set_inflight(self.session.inflight(self.now()));
    }

    fn count(&self, out: &Out) {
        let metrics = self.gateway.engine.metrics();
        metrics.mqtt_unmatched.inc_by(out.unmatched);
        metrics.mqtt_protocol_errors.inc_by(out.trespasses);
    }

    /// Whether what the device reports is kept, or its application is subscribed to it.
    fn reports_wanted(&self) -> bool {
        let store = self.gateway.engine.store();
        store.keeps_history() || store.keeps_shadow(true) || store.wants(self.app, REPORTS)
    }

    /// Has what the device reported kept, and subscribers told of it.
    async fn keep_reports(&self, reports: Vec<Report>) -> Result<(), Close> {
        if reports.is_empty() {
            return Ok(());
        }
        self.keep_reports_of(self.registered.handle.device, reports).await
    }

    async fn keep_reports_of(&self, device: DeviceKey, reports: Vec<Report>) -> Result<(), Close> {
        let store = self.gateway.engine.store();
        let kept = Box::pin(store.report(device, reports, clock::now())).await;
        let wanted = || store.wants(self.app, REPORTS);
        kept.or_else(|error| match error {
            // What is only kept for later is not, while there is little disk; the device goes on.
            StoreError::DiskLow if !wanted() => Ok(()),
            StoreError::DiskLow | StoreError::Busy | StoreError::Unavailable(_) | StoreError::Corrupt(_) => {
                Err(error)
            }
        })
        .map_err(|error| {
            tracing::warn!(device = %self.device, %error, "MQTT: what a device reported could not be kept");
            Close::StoreFailed
        })
    }

    /// Has the changes committed; then the device gets its acknowledgements.
    async fn commit(
        &mut self,
        mut changes: Vec<Change>,
        acks: Vec<u8>,
        close: Option<Close>,
    ) -> Result<Out, Close> {
        if close.is_some() {
            // Nothing more can be sent here.
            changes.iter_mut().for_each(|change| change.then_send = None);
        }
        let replied: Vec<bool> = changes
            .iter()
            .map(|change| matches!(change.input, Input::Replied(_)))
            .collect();
        // What needs no commit should not wait for one.
        poll_fn(|cx| {
            let _tried = self.outbox.poll_flush(&mut self.stream, cx);
            Poll::Ready(())
        })
        .await;
        let changed = self.gateway.engine.apply(changes).await.map_err(|error| {
            tracing::warn!(device = %self.device, %error, "MQTT: what a device said could not be kept");
            Close::StoreFailed
        })?;
        self.outbox.push(acks, Vec::new());
        let mut out = Out::default();
        let now = self.now();
        self.session.committed(changed, &replied, now, &mut out);
        Ok(out)
    }

    /// Asks for the device's next command, if one could go out.
    async fn next(&mut self) -> Option<Out> {
        let offer = self.session.wants(self.now())?;
        let device = self.registered.handle.device;
        let found = self.gateway.engine.send_next(device, offer).await;
        let dispatch = found.unwrap_or_else(|error| {
            // The sweep over queues asks again.
            tracing::warn!(device = %self.device, %error, "MQTT: the next command could not be read");
            None
        });
        let Some(dispatch) = dispatch else {
            self.session.sated();
            return None;
        };
        let mut out = Out::default();
        let now = self.now();
        self.session.dispatch(Box::new(dispatch), now, &mut out);
        Some(out)
    }

    async fn give_back(&self, dispatches: Vec<Dispatch>) {
        if let Err(error) = self.gateway.engine.not_written(dispatches).await {
            // Their deadlines find them.
            tracing::warn!(device = %self.device, %error, "MQTT: unwritten commands could not be given back");
        }
    }

    async fn note_family(&self, family: TopicFamily) {
        let device = self.registered.handle.device;
        let noted = self
            .gateway
            .engine
            .store()
            .seen(device, Some(family), clock::now())
            .await;
        if let Err(error) = noted {
            // It is learned again with the next connection.
            tracing::warn!(device = %self.device, %error, "MQTT: a device's topic family could not be noted");
        }
    }

    /// Ends the session: nothing more is handed to it, and what it did not write is given back.
    async fn end(mut self: Box<Self>, close: Close) {
        let handle = Arc::clone(&self.registered.handle);
        handle.set_reach(Reach::Unreachable);
        let mut unwritten = self.session.take_unwritten();
        for message in self.inbox.end() {
            match message {
                ToSession::Dispatch(dispatch) => unwritten.push(*dispatch),
                ToSession::Work | ToSession::AckOverdue(_) => {}
            }
        }
        if let Some(reason) = close.disconnect() {
            let mut bytes = Vec::new();
            wire::disconnect(&mut bytes, self.session.version(), reason);
            self.outbox.push(bytes, Vec::new());
        }
        match close {
            Close::Gone | Close::TooSlow => {}
            Close::Bye
            | Close::Silent
            | Close::HalfDead
            | Close::StoreFailed
            | Close::Fault(_)
            | Close::Told(_) => {
                farewell(&mut self.stream, &mut self.outbox).await;
            }
        }
        unwritten.extend(self.outbox.take_untouched());
        self.give_back(unwritten).await;
        // Nobody who takes its place has come, and it is not the server that goes: the device went.
        if self.gateway.engine.sessions().remove(&handle) && close != Close::Told(CloseReason::Stopping) {
            self.tell_presence().await;
        }
        if let Close::Fault(_) = close {
            self.gateway.engine.metrics().mqtt_protocol_errors.inc();
        }
        tracing::debug!(device = %self.device, session = handle.id.0, ?close, "MQTT session ended");
    }
}

/// Serves something like a socket; ends with the connection.
#[cfg(any(test, feature = "simulation"))]
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: Arc<MqttGateway>,
    stream: S,
    stop: CancellationToken,
) {
    let opened = Box::pin(opening::within(gateway, stop, move |gateway, stop| {
        opening::open(gateway, stream, stop)
    }));
    if let Some(live) = opened.await {
        live.run().await;
    }
}
