//! Devices that come in: let in or turned away, and what is known of them kept as new as their last word.

use downlink_core::DeviceKey;
use downlink_lwm2m::{DeviceNumber, ExchangeId, Peer, Refusal};
use downlink_store::StoreError;

use super::admission::{Admitted, Said, Turned, Way};
use super::known::Known;
use super::owner::Owner;
use super::work_mode;

impl Owner {
    /// A device wants to register.
    pub(super) fn registering(&mut self, exchange: ExchangeId, peer: Peer, endpoint: String) {
        let way = match peer {
            Peer::Plain(_) => Way::Plain,
            Peer::Secure(session) => Way::Secure(
                self.secure
                    .as_ref()
                    .and_then(|secure| secure.proved(session).cloned()),
            ),
        };
        self.calls.push(self.shared.admit(exchange, endpoint, way));
    }

    pub(super) fn admitted(&mut self, exchange: ExchangeId, (admitted, said): (Admitted, Said)) {
        let mode = work_mode(said, self.work_mode);
        let (now, device) = (self.now(), admitted.device.key);
        if !self.station.accept(now, exchange, DeviceNumber(device.0), mode) {
            return;
        }
        tracing::debug!(device = %admitted.device.id, ?mode, "LwM2M: registered");
        if self.devices.contains_key(&device) {
            self.renew(device, admitted);
        } else {
            self.calls.push(self.shared.presence(&admitted.device, true));
            self.devices.insert(device, Known::new(admitted));
        }
        self.keep(device);
    }

    /// A device renewed its registration. What is known of it may be as old as that.
    pub(super) fn updated(&mut self, device: DeviceKey) {
        self.keep(device);
        if let Some(known) = self.devices.get(&device) {
            self.calls.push(self.shared.look_again(&known.device));
        }
    }

    pub(super) fn looked_again(
        &mut self,
        device: DeviceKey,
        found: Result<Option<Box<(Admitted, Said)>>, StoreError>,
    ) {
        match found {
            Ok(Some(found)) => {
                let (admitted, said) = *found;
                let (now, mode) = (self.now(), work_mode(said, self.work_mode));
                self.renew(device, admitted);
                self.station.set_mode(now, DeviceNumber(device.0), mode);
                self.keep(device);
            }
            Ok(None) => self.removed(device),
            // The next update asks again.
            Err(error) => tracing::debug!(%error, "LwM2M: a device could not be looked up again"),
        }
    }

    /// What is known of a device is what it is now. Its session ends if it was made with another secret.
    pub(super) fn renew(&mut self, device: DeviceKey, admitted: Admitted) {
        if let Some(secure) = &mut self.secure {
            secure.close_outdated(&admitted.device);
        }
        if let Some(known) = self.devices.get_mut(&device) {
            known.renew(admitted);
        }
    }

    pub(super) fn turned(&mut self, exchange: ExchangeId, why: Turned) {
        self.shared.engine.metrics().lwm2m.refused.inc();
        let refusal = match why {
            Turned::Unknown | Turned::Outdated(_) => Refusal::Unknown,
            Turned::Unavailable => Refusal::Busy,
        };
        self.station.refuse(exchange, refusal);
        // The answer goes out first.
        self.act();
        if let Turned::Outdated(device) = why {
            self.end_dtls(device);
        }
    }
}
