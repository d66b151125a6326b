//! Events that wait for the caller's answer.

use crate::coap::{Block, Kind, Token};
use crate::location::Location;
use crate::output::{Access, ExchangeId};
use crate::peer::{DeviceNumber, Peer};
use crate::time::Millis;
use std::collections::BTreeMap;

/// What the event was.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// A registration, with its block option if it came in blocks.
    Register {
        access: Access,
        lifetime_secs: u32,
        queues: bool,
        block: Option<Block>,
    },
    /// A report that wants to be acknowledged.
    Report {
        device: DeviceNumber,
        location: Location,
    },
}

/// An event, and the message that it came with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) peer: Peer,
    pub(crate) kind: Kind,
    pub(crate) mid: u16,
    pub(crate) token: Token,
    /// Tells the datagram from others.
    pub(crate) print: u64,
    pub(crate) until: Millis,
    pub(crate) asked: Asked,
}

impl Exchange {
    const fn key(&self) -> (Peer, u16, u64) {
        (self.peer, self.mid, self.print)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    open: BTreeMap<ExchangeId, Exchange>,
    registers: BTreeMap<(Peer, u16, u64), ExchangeId>,
    last: u64,
}

impl Exchanges {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether this very registration waits for an answer already.
    pub(crate) fn is_registering(&self, peer: Peer, mid: u16, print: u64) -> bool {
        self.registers.contains_key(&(peer, mid, print))
    }

    pub(crate) fn open(&mut self, exchange: Exchange) -> ExchangeId {
        self.last += 1;
        let id = ExchangeId(self.last);
        if matches!(exchange.asked, Asked::Register { .. }) {
            self.registers.insert(exchange.key(), id);
        }
        self.open.insert(id, exchange);
        id
    }

    pub(crate) fn close(&mut self, id: ExchangeId) -> Option<Exchange> {
        let exchange = self.open.remove(&id)?;
        if matches!(exchange.asked, Asked::Register { .. }) {
            self.registers.remove(&exchange.key());
        }
        Some(exchange)
    }

    /// The oldest one, which is given up first: all wait equally long.
    pub(crate) fn oldest(&self) -> Option<(ExchangeId, Millis)> {
        self.open
            .first_key_value()
            .map(|(&id, exchange)| (id, exchange.until))
    }
}
