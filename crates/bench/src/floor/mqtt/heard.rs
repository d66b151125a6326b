//! What a device said in one read, and what follows from it: one append for all of it, and after the sync the PUBACKs and
//! the pushes.

use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::device::Device;
use crate::floor::command::{Command, Reached};
use crate::floor::{Floor, ids, record};

const PUBACK: u8 = 0x40;
const PUBLISH: u8 = 0x32;
const PINGREQ: u8 = 0xc0;
const PINGRESP: [u8; 2] = [0xd0, 0];

/// See the module. Empty again when it is settled, so that the next read needs no memory.
#[derive(Default)]
pub(super) struct Heard {
    records: Vec<u8>,
    answers: Vec<u8>,
    reached: Vec<(Arc<Command>, Reached)>,
}

/// A result. It is always one of success here.
#[derive(Deserialize)]
struct Answer<'a> {
    mid: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Heard {
    /// Takes a packet.
    pub(super) fn packet(&mut self, device: &Device, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        match kind {
            PUBACK => self.acknowledged(device, body),
            PUBLISH => self.published(device, body),
            PINGREQ => {
                self.answers.extend_from_slice(&PINGRESP);
                Ok(())
            }
            _ => bail!("a device sent packet {kind:#x}"),
        }
    }

    fn acknowledged(&mut self, device: &Device, body: &[u8]) -> anyhow::Result<()> {
        let command = device.find(u16::from_be_bytes([body[0], body[1]]));
        let command = command.context("a PUBACK of no command")?;
        record::delivered(&mut self.records, command.id, ids::now());
        self.reached.push((command, Reached::Delivered));
        Ok(())
    }

    fn published(&mut self, device: &Device, body: &[u8]) -> anyhow::Result<()> {
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (head, payload) = body.split_at(4 + topic);
        let answer: Answer<'_> = serde_json::from_slice(payload)?;
        let command = device.take(answer.mid).context("a result of no command")?;
        record::answered(&mut self.records, command.id, ids::now(), answer.body.get());
        command.keep_result(answer.body.get());
        self.reached.push((command, Reached::Successful));
        self.answers
            .extend_from_slice(&[PUBACK, 2, head[2 + topic], head[3 + topic]]);
        Ok(())
    }

    /// Brings it to the disk, and lets follow what follows.
    pub(super) async fn settle(&mut self, floor: &Floor, device: &Device) {
        if !self.records.is_empty() {
            floor.log.append(|out| out.extend_from_slice(&self.records)).await;
            self.records.clear();
        }
        if !self.answers.is_empty() {
            device.send_bytes(&self.answers);
            self.answers.clear();
        }
        for (command, reached) in self.reached.drain(..) {
            command.reached(reached);
        }
    }
}
