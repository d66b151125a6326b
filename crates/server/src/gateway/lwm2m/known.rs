//! What the gateway knows of a registered device, beside what the protocol machine knows of it.
//!
//! A device that can be written to has a session of the engine, which lasts until it sleeps and nothing is under way to
//! it any more: what is sent to it while one command is still being repeated is sent over the same session.

use std::collections::VecDeque;
use std::sync::Arc;

use downlink_core::{DeviceKey, Offer};
use downlink_store::Device;
use foldhash::HashMap;
use futures_util::future::AbortHandle;

use super::admission::Admitted;
use super::calls::Uplink;
use super::kept::Mark;
use crate::engine::{Inbox, SessionHandle};
use crate::products::ReadyProduct;

/// Messages of one device that wait until those before them are taken in.
const MOST_UPLINKS: usize = 16;

/// The registered devices.
pub(super) type Devices = HashMap<DeviceKey, Known>;

/// A session of the engine.
pub(super) struct Live {
    pub(super) handle: Arc<SessionHandle>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) listening: AbortHandle,
}

/// See the module.
pub(super) struct Known {
    pub(super) device: Device,
    pub(super) product: Option<Arc<ReadyProduct>>,
    pub(super) session: Option<Live>,
    /// It may be written to.
    pub(super) awake: bool,
    /// Writes of commands that the protocol machine has taken and not ended.
    pub(super) under_way: usize,
    /// The engine is being asked for its next command.
    pub(super) asking: bool,
    /// There may be a command for it since it was last asked for.
    pub(super) hungry: bool,
    /// A message of it is being taken in.
    pub(super) hearing: bool,
    /// What the store has of its registration.
    pub(super) kept: Option<Mark>,
    uplinks: VecDeque<Uplink>,
}

impl Known {
    pub(super) fn new(admitted: Admitted) -> Self {
        Self {
            device: admitted.device,
            product: admitted.product,
            session: None,
            awake: false,
            under_way: 0,
            asking: false,
            hungry: false,
            hearing: false,
            kept: None,
            uplinks: VecDeque::new(),
        }
    }

    /// It registered anew, or changed meanwhile.
    pub(super) fn renew(&mut self, admitted: Admitted) {
        self.device = admitted.device;
        self.product = admitted.product;
    }

    /// The offer to send it a command now.
    pub(super) fn offer(&self) -> Option<Offer> {
        let session = self.session.as_ref().filter(|_| self.awake)?;
        session.handle.offer()
    }

    /// Has a message wait for its turn; gives it back if too many do.
    pub(super) fn wait(&mut self, uplink: Uplink) -> Result<(), Uplink> {
        if self.uplinks.len() >= MOST_UPLINKS {
            return Err(uplink);
        }
        self.uplinks.push_back(uplink);
        Ok(())
    }

    /// The message whose turn it is, unless one is being taken in.
    pub(super) fn take_uplink(&mut self) -> Option<Uplink> {
        if self.hearing {
            return None;
        }
        let uplink = self.uplinks.pop_front()?;
        self.hearing = true;
        Some(uplink)
    }

    /// Whether the engine is to be asked for the next command; if so, it counts as being asked.
    pub(super) fn begin_to_ask(&mut self) -> Option<Offer> {
        if self.asking || !self.hungry {
            return None;
        }
        let offer = self.offer()?;
        (self.asking, self.hungry) = (true, false);
        Some(offer)
    }

    /// Shows others how much is under way.
    pub(super) fn show(&self) {
        if let Some(session) = &self.session {
            session.handle.set_inflight(self.under_way);
        }
    }
}
