//! One DTLS 1.2 machine of the library, server side, from the hello that proved its address to the end.
//!
//! The library wants to give out the cookie itself, and keeps 7 kB from the first hello on. Here it never sees a hello
//! that proved nothing. When one did, a new machine is first given a hello of our own, whose answer is thrown away,
//! and then the real one, with our cookie for its own: so it counts messages as the client does (RFC 6347 §4.2.2), and
//! the hash that both prove at the end holds what the client really sent. That the first hello is another than the
//! client's first matters to nobody: neither it nor its answer is in that hash (RFC 6347 §4.2.1).

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Error, Output};
use downlink_psk::admitting;

use super::cookie::Cookie;
use super::hello::{FIRST_HELLO, Hello};
use super::record;

const LONGEST_RECORD: usize = 1 << 14;

/// What a machine wants done.
#[derive(Debug)]
pub(super) enum Event {
    Transmit(Vec<u8>),
    Connected,
    Received(Vec<u8>),
    /// The peer closed; what answers it has come before.
    Bye,
}

pub(super) struct Machine {
    /// Boxed: the tables move their entries, and this is large.
    dtls: Box<dimpl::Dtls>,
    /// What the records in the clear are behind those of the client: see [`Machine::accept`].
    behind: u64,
}

impl Machine {
    /// A machine that answers `hello`, which came as `datagram` and brought back `cookie`.
    ///
    /// Its first record has the number of the hello's (RFC 6347 §4.2.1): a client that had to ask several times has
    /// seen lower ones.
    ///
    /// # Errors
    /// The hello offers nothing that can be taken: the suite, the extended master secret.
    pub(super) fn accept(
        config: &Arc<Config>,
        now: Instant,
        hello: &Hello<'_>,
        cookie: Cookie,
        datagram: &[u8],
        scratch: &mut [u8],
    ) -> Result<Self, Error> {
        let mut dtls = Box::new(dimpl::Dtls::new_12_psk(Arc::clone(config), now));
        dtls.handle_timeout(now)?;
        dtls.handle_packet(&FIRST_HELLO)?;
        while !matches!(dtls.poll_output(scratch), Output::Timeout(_)) {}
        admitting(cookie, || dtls.handle_packet(datagram))?;
        // The library's own answer to our hello was number 0.
        Ok(Self {
            dtls,
            behind: hello.record.wrapping_sub(1),
        })
    }

    /// # Errors
    /// During the handshake: it has failed. Later only a fatal alert of the peer, for what is forged is dropped.
    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        self.dtls.handle_timeout(now)?;
        self.dtls.handle_packet(datagram)
    }

    /// # Errors
    /// The handshake took too long.
    pub(super) fn wake(&mut self, now: Instant) -> Result<(), Error> {
        self.dtls.handle_timeout(now)
    }

    /// # Errors
    /// The bytes are more than a record holds (RFC 5246 §6.2.1), or the session ends.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > LONGEST_RECORD {
            return Err(Error::TransmitQueueFull);
        }
        self.dtls.send_application_data(bytes).map(drop)
    }

    /// Says good-bye, if there is anybody to hear it.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.dtls.close()
    }

    /// Moves what is to be done to `events`. The time is when to call [`Machine::wake`].
    pub(super) fn drain(&mut self, scratch: &mut [u8], events: &mut Vec<Event>) -> Instant {
        loop {
            let event = match self.dtls.poll_output(scratch) {
                Output::Packet(bytes) => Event::Transmit(numbered(bytes, self.behind)),
                Output::Connected => Event::Connected,
                Output::ApplicationData(bytes) => Event::Received(bytes.to_vec()),
                Output::CloseNotify => Event::Bye,
                Output::Timeout(at) => return at,
                Output::BufferTooSmall { .. } => unreachable!("the scratch holds any datagram"),
                // A client may offer SRTP, and then there are keys for it. Nobody wants them.
                Output::KeyingMaterial(..) | Output::PeerCert(_) | _ => continue,
            };
            events.push(event);
        }
    }
}

fn numbered(bytes: &[u8], behind: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if behind != 0 {
        record::renumber(&mut bytes, behind);
    }
    bytes
}

/// Whether an open session ends with this. All else that goes wrong there can be somebody else's doing.
pub(super) fn ends(error: &Error) -> bool {
    matches!(
        error,
        Error::SecurityError(dimpl::SecurityError::FatalAlert { .. }) | Error::ConnectionClosed
    )
}
