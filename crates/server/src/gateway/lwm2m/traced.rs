//! Packets of devices that an operator looks at.

use downlink_core::DeviceKey;
use downlink_lwm2m::coap::{Message, describe, option};
use downlink_lwm2m::{DeviceNumber, Peer};

use super::owner::Owner;
use crate::clock;
use crate::trace::{Direction, Packet, SHOWN};

impl Owner {
    /// Shows a message to whoever looks at its device. Over DTLS it is the message inside.
    pub(super) fn show_packet(&self, direction: Direction, peer: Peer, datagram: &[u8]) {
        let traces = self.shared.engine.traces();
        if !traces.is_watching() {
            return;
        }
        let speaker = self.speaker(peer, datagram);
        let is_its = |device: DeviceKey, node: &str| {
            let number = DeviceNumber(device.0);
            speaker == Some(number) || self.station.peer_of(number) == Some(peer) || names(datagram, node)
        };
        let packet = || Packet {
            at: clock::now(),
            direction,
            peer: match peer {
                Peer::Plain(address) => address.to_string(),
                Peer::Secure(session) => format!("DTLS session {session}"),
            },
            line: describe(datagram),
            payload: payload(datagram),
            lost: 0,
        };
        traces.show(is_its, packet);
    }

    fn speaker(&self, peer: Peer, datagram: &[u8]) -> Option<DeviceNumber> {
        match peer {
            Peer::Plain(_) => self.station.named_in(datagram),
            Peer::Secure(session) => {
                let device = self.secure.as_ref()?.proved(session)?.device;
                Some(DeviceNumber(device.0))
            }
        }
    }
}

/// Whether a message is the registration of the device with this node id.
fn names(datagram: &[u8], node: &str) -> bool {
    const IMEI: &str = "urn:imei:";
    let bare = |name: &str| name.strip_prefix(IMEI).unwrap_or(name).to_owned();
    Message::parse(datagram).is_ok_and(|message| {
        message
            .values(option::URI_QUERY)
            .filter_map(|value| std::str::from_utf8(value).ok()?.strip_prefix("ep="))
            .any(|name| bare(name) == bare(node))
    })
}

fn payload(datagram: &[u8]) -> Vec<u8> {
    Message::parse(datagram).map_or_else(
        |_| Vec::new(),
        |message| message.payload[..message.payload.len().min(SHOWN)].to_vec(),
    )
}
