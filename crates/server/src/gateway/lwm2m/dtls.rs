//! DTLS 1.2 with keys shared beforehand: all sessions of one UDP socket, without the socket.
//!
//! Datagrams and the time go in, what is to be sent and what was received comes out of [`Dtls::poll`].
//!
//! What holds, whoever sends:
//! - **Nothing is kept for a hello that has not proved its address.** Our own cookie stands in front of the library
//!   (`hello`, `cookie`): the answer to a hello is computed from the hello and a secret, and is shorter than it. The library
//!   has a cookie exchange too, but needs a session of 7 kB for it; `machine` says how a hello that proved its
//!   address enters the library's exchange in the middle.
//! - **A hello takes nothing from an open session.** A handshake from the same address runs beside it, and replaces it when it
//!   is complete, which needs the key.
//! - **A full table makes room only for a complete handshake**, and only from sessions that were silent for a while.
//! - **Unknown identity, wrong key**: the same messages and the same work up to the same silence.
//! - What is forged or repeated is dropped and counted. What is in the clear never ends a session.
//!
//! One suite: TLS_PSK_WITH_AES_128_CCM_8, the one that RFC 7925 §4.2 makes mandatory, with the extended master secret (RFC 7627).
//! No connection ids, no resumption: a device whose address changed makes a new handshake.

mod cookie;
mod hello;
mod keys;
mod machine;
mod output;
mod record;
mod settings;
mod sources;
mod table;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cookie::{Cookie, Cookies};
use hello::Hello;
pub(super) use keys::Keys;
use keys::Resolver;
use machine::{Event, Machine};
pub(super) use output::{Counters, Output, Why};
use record::Record;
pub(crate) use settings::Settings;
use sources::{Rates, Source};
use table::Table;

/// How long the secret behind the cookies lives. A client has at least this long to send its hello again.
const COOKIE_LIFE: Duration = Duration::from_secs(60);
/// Number of the message that brings a cookie back (RFC 6347 §4.2.2).
const SECOND_HELLO: u16 = 1;
/// Soonest time to look at a handshake again.
const SOON: Duration = Duration::from_millis(1);
/// More than any datagram.
const SCRATCH: usize = 1 << 16;

/// The DTLS sessions of one UDP socket.
pub(super) struct Dtls {
    settings: Settings,
    config: Arc<dimpl::Config>,
    resolver: Arc<Resolver>,
    cookies: Cookies,
    hellos: Rates,
    proved: Rates,
    table: Table,
    counters: Counters,
    outputs: VecDeque<Output>,
    events: Vec<Event>,
    scratch: Box<[u8]>,
}

impl Dtls {
    /// # Panics
    /// If a time in `settings` is zero or over ten years, or the datagram shorter than 64 bytes.
    pub(super) fn new(now: Instant, settings: Settings, keys: Arc<dyn Keys>) -> Self {
        let resolver = Arc::new(Resolver::new(keys));
        Self {
            config: Arc::new(settings.of_library(Arc::clone(&resolver))),
            resolver,
            cookies: Cookies::new(now, COOKIE_LIFE),
            hellos: Rates::new(now, settings.hellos_per_source),
            proved: Rates::new(now, settings.hellos_per_source),
            table: Table::default(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            events: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
            settings,
        }
    }

    /// Takes a datagram. Poll afterwards until there is nothing more.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(first) = record::first(datagram) else {
            self.counters.garbage += 1;
            return;
        };
        if hello::is_hello(&first) {
            self.hello(now, from, &first, datagram);
        } else if let Some(id) = self.table.addressee(from, &first) {
            self.run(now, id, |machine| machine.receive(now, datagram));
        } else {
            self.counters.stray += 1;
        }
    }

    /// Whether the datagram may belong to a handshake or a session that there is.
    pub(super) fn expects(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        record::first(datagram).is_some_and(|first| self.table.addressee(from, &first).is_some())
    }

    /// Sends application data over an open session. Returns whether there is one of this number.
    ///
    /// It goes in one record and one datagram; what does not fit in a datagram is the caller's mistake.
    pub(super) fn send(&mut self, now: Instant, session: u64, bytes: &[u8]) -> bool {
        let open = self.table.is_open(session);
        if open {
            self.run(now, session, |machine| machine.send(bytes));
        }
        open
    }

    /// Ends a session, and tells the peer: its key changed, its device is gone.
    pub(super) fn close(&mut self, session: u64) {
        if self.table.is_open(session) {
            self.end(session, Why::Asked);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some((_, id)) = self.table.first_wake().filter(|(at, _)| *at <= now) {
            self.run(now, id, |machine| machine.wake(now));
        }
        while self
            .table
            .first_idle()
            .is_some_and(|at| at + self.settings.idle <= now)
        {
            match self.table.most_idle() {
                Some((id, heard)) if heard + self.settings.idle <= now => self.end(id, Why::Idle),
                Some(_) | None => return,
            }
        }
    }

    /// When to call [`Dtls::tick`] again. Asked after every other call.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let wake = self.table.first_wake().map(|(at, _)| at);
        let idle = self.table.first_idle().map(|at| at + self.settings.idle);
        [wake, idle].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Open sessions.
    pub(super) fn sessions(&self) -> usize {
        self.table.open()
    }

    /// Handshakes under way.
    pub(super) fn handshakes(&self) -> usize {
        self.table.opening()
    }

    fn hello(&mut self, now: Instant, from: SocketAddr, record: &Record<'_>, datagram: &[u8]) {
        let Some(hello) = Hello::read(record) else {
            self.counters.garbage += 1;
            return;
        };
        let Some(cookie) = self.cookies.proof(now, from, &hello) else {
            return self.ask(now, from, &hello);
        };
        if hello.message != SECOND_HELLO {
            self.counters.garbage += 1;
        } else if let Some(id) = self.table.begun_by(from, &cookie) {
            self.run(now, id, |machine| machine.receive(now, datagram));
        } else if self.may_begin(now, from) {
            self.begin(now, from, &hello, cookie, datagram);
        }
    }

    /// Answers a hello that proved nothing. Nothing of it stays.
    fn ask(&mut self, now: Instant, from: SocketAddr, hello: &Hello<'_>) {
        if !self.hellos.take(now, from.ip().into()) {
            self.counters.limited += 1;
            return;
        }
        let cookie = self.cookies.mint(now, from, hello);
        self.counters.asked += 1;
        self.outputs.push_back(Output::Transmit {
            to: from,
            bytes: hello::verify_request(hello.record, &cookie),
        });
    }

    fn may_begin(&mut self, now: Instant, from: SocketAddr) -> bool {
        let source = Source::from(from.ip());
        // A newer handshake takes the place of the one that its address has.
        let replaces = usize::from(self.table.opening_at(from).is_some());
        if !self.proved.take(now, source)
            || self.table.opening_of(source) - replaces >= self.settings.max_handshakes_per_source
        {
            self.counters.limited += 1;
            return false;
        }
        let room = self.table.opening() - replaces < self.settings.max_handshakes && self.room(now, from);
        if !room {
            self.counters.full += 1;
        }
        room
    }

    fn begin(&mut self, now: Instant, from: SocketAddr, hello: &Hello<'_>, cookie: Cookie, datagram: &[u8]) {
        let machine = match Machine::accept(&self.config, now, hello, cookie, datagram, &mut self.scratch) {
            Ok(mut machine) => {
                machine.drain(&mut self.scratch, &mut self.events);
                Some(machine)
            }
            Err(error) => {
                tracing::debug!(peer = %from, %error, "a DTLS hello offers nothing that can be taken");
                None
            }
        };
        // One that the library could not read is not answered.
        let Some(machine) = machine.filter(|_| !self.events.is_empty()) else {
            self.counters.unsuitable += 1;
            return;
        };
        if let Some(older) = self.table.opening_at(from) {
            self.table.remove(older);
            self.counters.failed += 1;
        }
        self.counters.begun += 1;
        let id = self.table.begin(from, machine, cookie, now);
        self.run(now, id, |_| Ok(()));
    }

    /// Lets a machine do something, and does what it wants done then.
    fn run(&mut self, now: Instant, id: u64, step: impl FnOnce(&mut Machine) -> Result<(), dimpl::Error>) {
        let Some(link) = self.table.link(id) else { return };
        let peer = link.peer;
        let outcome = step(&mut link.machine);
        let wake = link.machine.drain(&mut self.scratch, &mut self.events);
        if let Some(identity) = self.resolver.asked() {
            link.identity = Some(identity);
        }
        let mut events = std::mem::take(&mut self.events);
        if events.is_empty() && outcome.is_ok() && self.table.is_open(id) {
            self.counters.ignored += 1;
        }
        for event in events.drain(..) {
            self.apply(now, id, peer, event);
        }
        self.events = events;
        match outcome {
            Ok(()) => self.table.wake_at(id, wake.max(now + SOON)),
            Err(error) => self.wrong(id, peer, &error),
        }
    }

    fn apply(&mut self, now: Instant, id: u64, peer: SocketAddr, event: Event) {
        match event {
            Event::Transmit(bytes) => self.outputs.push_back(Output::Transmit { to: peer, bytes }),
            Event::Connected => self.complete(now, id, peer),
            Event::Received(bytes) if self.table.is_open(id) => {
                self.table.heard(id, now);
                self.outputs.push_back(Output::Received { session: id, bytes });
            }
            Event::Received(_) => self.counters.ignored += 1,
            Event::Bye => self.gone(id, Why::ByPeer),
        }
    }

    fn complete(&mut self, now: Instant, id: u64, peer: SocketAddr) {
        if !self.room(now, peer) {
            self.counters.full += 1;
            self.table.remove(id);
            return;
        }
        let Some(identity) = self.table.link(id).and_then(|link| link.identity.clone()) else {
            return;
        };
        match self.table.complete(id, now) {
            Some(older) => self.gone(older, Why::Replaced),
            None if self.table.open() > self.settings.max_sessions => self.displace(),
            None => {}
        }
        self.counters.completed += 1;
        self.outputs.push_back(Output::Opened {
            session: id,
            peer,
            identity,
        });
    }

    /// Whether one more session could be open for this peer.
    fn room(&mut self, now: Instant, peer: SocketAddr) -> bool {
        self.table.open() < self.settings.max_sessions
            || self.table.is_at(peer)
            || self
                .table
                .most_idle()
                .is_some_and(|(_, heard)| heard + self.settings.spare_after <= now)
    }

    fn displace(&mut self) {
        if let Some((id, _)) = self.table.most_idle() {
            self.end(id, Why::Displaced);
        }
    }

    fn wrong(&mut self, id: u64, peer: SocketAddr, error: &dimpl::Error) {
        if !self.table.is_open(id) {
            self.table.remove(id);
            self.failed(peer, error);
        } else if machine::ends(error) {
            self.gone(id, Why::ByPeer);
        } else {
            self.counters.ignored += 1;
        }
    }

    fn failed(&mut self, peer: SocketAddr, error: &dimpl::Error) {
        tracing::debug!(%peer, %error, "a DTLS handshake failed");
        if matches!(error, dimpl::Error::Timeout(_)) {
            self.counters.timed_out += 1;
        } else {
            self.counters.failed += 1;
        }
    }

    /// Ends an open session from our side.
    fn end(&mut self, id: u64, why: Why) {
        let Some(link) = self.table.link(id) else { return };
        if link.machine.close().is_ok() {
            link.machine.drain(&mut self.scratch, &mut self.events);
        }
        let peer = link.peer;
        for event in self.events.drain(..) {
            if let Event::Transmit(bytes) = event {
                self.outputs.push_back(Output::Transmit { to: peer, bytes });
            }
        }
        self.gone(id, why);
    }

    /// A session or handshake is no more. Only what was opened is closed.
    fn gone(&mut self, id: u64, why: Why) {
        let was_open = self.table.is_open(id);
        self.table.remove(id);
        if was_open {
            self.outputs.push_back(Output::Closed { session: id, why });
        } else {
            self.counters.failed += 1;
        }
    }
}
