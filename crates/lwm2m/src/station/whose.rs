//! Whose a message is, for whoever looks on. Nothing here changes anything, or proves who sent it.

use super::Station;
use crate::coap::{Message, option};
use crate::location::Location;
use crate::peer::{DeviceNumber, Peer};

impl Station {
    /// Where a registered device was last.
    pub fn peer_of(&self, device: DeviceNumber) -> Option<Peer> {
        let device = self.registry.get(self.registry.by_number(device)?)?;
        Some(device.peer)
    }

    /// The device whose token or location a message names.
    pub fn named_in(&self, datagram: &[u8]) -> Option<DeviceNumber> {
        let message = Message::parse(datagram).ok()?;
        let by_token = message
            .token
            .number()
            .and_then(|token| self.registry.by_token(token));
        let by_location = || {
            let mut path = message.values(option::URI_PATH);
            let name = path
                .next()
                .filter(|first| *first == b"rd")
                .and_then(|_| path.next())?;
            self.registry.by_location(Location::parse(name)?)
        };
        let device = self.registry.get(by_token.or_else(by_location)?)?;
        Some(device.number)
    }
}
