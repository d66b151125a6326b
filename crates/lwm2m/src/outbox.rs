//! What waits to be taken by the caller, and what is counted on the way.

use crate::counters::Counters;
use crate::output::{Outcome, Output};
use crate::peer::{DeviceNumber, Peer};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
}

impl Outbox {
    pub(crate) fn send(&mut self, to: Peer, bytes: Vec<u8>) {
        self.counters.sent += 1;
        self.outputs.push_back(Output::Send { to, bytes });
    }

    pub(crate) fn tell(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn written(&mut self, device: DeviceNumber, tag: u64, outcome: Outcome) {
        self.tell(Output::Written { device, tag, outcome });
    }

    pub(crate) fn take(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.outputs.len()
    }
}
