//! A large report that comes block by block (RFC 7959 §2.4, §2.6): the first block with the notification, the others
//! fetched.

use crate::coap::{Block, Kind, Message, Token, option};
use crate::peer::Peer;

/// What is there of a large report.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// Where the notification came from, how, and under which id: it is answered once all is there.
    pub(crate) from: Peer,
    pub(crate) kind: Kind,
    pub(crate) mid: u16,
    pub(crate) sequence: Option<u32>,
    pub(crate) body: Vec<u8>,
    pub(crate) exponent: u8,
    etag: Option<Token>,
}

/// What a block did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Another has to be fetched.
    More,
    /// All is there.
    Whole,
    /// It does not go on from here: another state of the resource, another place, no block at all.
    Broken,
}

impl Assembly {
    /// Begins with the first block of a notification.
    pub(crate) fn begin(from: Peer, message: &Message<'_>, block: Block) -> Option<Self> {
        let whole = block.number == 0 && block.more && message.payload.len() == block.size();
        whole.then(|| Self {
            from,
            kind: message.kind,
            mid: message.mid,
            sequence: message.uint(option::OBSERVE),
            body: message.payload.to_vec(),
            exponent: block.exponent,
            etag: etag(message),
        })
    }

    /// The block that is to be fetched next.
    pub(crate) const fn next(&self) -> Block {
        let number = (self.body.len() >> (4 + self.exponent as usize)) as u32;
        Block {
            number,
            more: false,
            exponent: self.exponent,
        }
    }

    /// Adds a block that was fetched.
    pub(crate) fn join(&mut self, message: &Message<'_>) -> Joined {
        let Ok(Some(block)) = message.block(option::BLOCK2) else {
            return Joined::Broken;
        };
        let fits = block.exponent <= self.exponent
            && block.offset() == self.body.len()
            && (message.payload.len() == block.size() || !block.more)
            && message.payload.len() <= block.size();
        if !fits || etag(message) != self.etag {
            return Joined::Broken;
        }
        self.body.extend_from_slice(message.payload);
        self.exponent = block.exponent;
        if block.more { Joined::More } else { Joined::Whole }
    }
}

fn etag(message: &Message<'_>) -> Option<Token> {
    Token::from_slice(message.values(option::ETAG).next()?)
}
