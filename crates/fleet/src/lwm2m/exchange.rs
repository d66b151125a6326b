//! The confirmable message that a device waits for, and the messages it has heard: the message layer of CoAP
//! (RFC 7252 §4.2, §4.5). One message at a time is open (NSTART 1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event::What;
use super::random::Random;

/// ACK_TIMEOUT.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// ACK_TIMEOUT times ACK_RANDOM_FACTOR.
const ACK_TIMEOUT_MOST: Duration = Duration::from_secs(3);
/// MAX_RETRANSMIT.
const MAX_RETRANSMIT: u8 = 4;
/// How long a response may take after an empty acknowledgement promised it; MAX_TRANSMIT_WAIT.
const RESPONSE_WITHIN: Duration = Duration::from_secs(93);
/// How long a message id stays the same message; EXCHANGE_LIFETIME.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// How many messages are remembered; with one device and one server there are never so many in that time.
const HEARD: usize = 128;

/// A message of the device's own that is not finished.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) what: What,
    pub(super) message_id: u16,
    pub(super) token: Vec<u8>,
    datagram: Vec<u8>,
    due: Instant,
    pause: Duration,
    repetitions_left: u8,
}

/// What has become due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Repeat(Vec<u8>),
    GiveUp,
}

impl Exchange {
    /// A message that has just been sent.
    pub(super) fn new(
        what: What,
        message_id: u16,
        token: Vec<u8>,
        datagram: Vec<u8>,
        now: Instant,
        random: &mut Random,
    ) -> Self {
        let pause = random.between(ACK_TIMEOUT, ACK_TIMEOUT_MOST);
        Self {
            what,
            message_id,
            token,
            datagram,
            due: now + pause,
            pause,
            repetitions_left: MAX_RETRANSMIT,
        }
    }

    /// When to ask [`Self::due`] again.
    pub(super) const fn due_at(&self) -> Instant {
        self.due
    }

    /// An empty acknowledgement came: the response comes by itself.
    pub(super) fn promised(&mut self, now: Instant) {
        self.repetitions_left = 0;
        self.due = now + RESPONSE_WITHIN;
    }

    /// What is to be done by now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now < self.due {
            return Due::Nothing;
        }
        if self.repetitions_left == 0 {
            return Due::GiveUp;
        }
        self.repetitions_left -= 1;
        self.pause *= 2;
        self.due = now + self.pause;
        Due::Repeat(self.datagram.clone())
    }
}

/// The messages of the server that were heard lately, with what was answered.
#[derive(Debug, Default)]
pub(super) struct Heard(VecDeque<(u16, Instant, Option<Vec<u8>>)>);

impl Heard {
    /// What was answered to the message with this id, if it was heard already.
    pub(super) fn answer(&mut self, message_id: u16, now: Instant) -> Option<Option<Vec<u8>>> {
        while self
            .0
            .front()
            .is_some_and(|(_, at, _)| now.duration_since(*at) > EXCHANGE_LIFETIME)
        {
            self.0.pop_front();
        }
        let heard = self.0.iter().find(|(known, _, _)| *known == message_id)?;
        Some(heard.2.clone())
    }

    /// Remembers a message and its answer, and forgets the oldest if there are too many.
    pub(super) fn remember(&mut self, message_id: u16, now: Instant, answer: Option<Vec<u8>>) {
        if self.0.len() == HEARD {
            self.0.pop_front();
        }
        self.0.push_back((message_id, now, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_repeated_four_times_in_growing_pauses_and_then_given_up() {
        let start = Instant::now();
        let mut exchange = Exchange::new(What::Update, 1, vec![], vec![7], start, &mut Random::new(3));
        let first = exchange.due_at() - start;
        assert!((ACK_TIMEOUT..=ACK_TIMEOUT_MOST).contains(&first));
        assert_eq!(exchange.due(start), Due::Nothing);
        for repetition in 1..=4_u32 {
            let now = exchange.due_at();
            assert_eq!(exchange.due(now), Due::Repeat(vec![7]));
            assert_eq!(exchange.due_at() - now, first * 2_u32.pow(repetition));
        }
        assert_eq!(exchange.due(exchange.due_at()), Due::GiveUp);
    }

    #[test]
    fn messages_are_remembered_for_their_lifetime() {
        let start = Instant::now();
        let mut heard = Heard::default();
        heard.remember(5, start, Some(vec![1]));
        heard.remember(6, start, None);
        assert_eq!(heard.answer(5, start + EXCHANGE_LIFETIME), Some(Some(vec![1])));
        assert_eq!(heard.answer(6, start), Some(None));
        assert_eq!(heard.answer(7, start), None);
        let later = start + EXCHANGE_LIFETIME + Duration::from_secs(1);
        assert_eq!(heard.answer(5, later), None);
        for id in 0..=HEARD as u16 {
            heard.remember(id, later, None);
        }
        assert_eq!(heard.answer(0, later), None);
        assert_eq!(heard.0.len(), HEARD);
    }
}
