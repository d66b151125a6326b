//! What devices report: taken in one after the other for each device, acknowledged when it is kept.

use downlink_core::DeviceKey;
use downlink_lwm2m::{DeviceNumber, ExchangeId, Refusal};

use super::calls::{Heard, Uplink};
use super::owner::Owner;

impl Owner {
    /// A report of a device.
    pub(super) fn report(&mut self, exchange: Option<ExchangeId>, device: DeviceNumber, payload: Vec<u8>) {
        let key = DeviceKey(device.0);
        let uplink = Uplink {
            exchange,
            payload: payload.into(),
        };
        let refused = match self.devices.get_mut(&key) {
            Some(known) => known.wait(uplink).err(),
            None => Some(uplink),
        };
        match refused {
            None => self.hear_next(key),
            Some(uplink) => {
                self.shared.engine.metrics().lwm2m.reports_refused.inc();
                self.forget_exchange(uplink.exchange);
            }
        }
    }

    fn hear_next(&mut self, device: DeviceKey) {
        let Some(known) = self.devices.get_mut(&device) else {
            return;
        };
        let Some(uplink) = known.take_uplink() else {
            return;
        };
        let offer = known.offer();
        let call = self.shared.hear(&known.device, offer, uplink);
        self.calls.push(call);
    }

    /// A report was taken in, or could not be.
    pub(super) fn heard(&mut self, device: DeviceKey, heard: Heard) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.hearing = false;
        }
        if let Some(now) = heard.device {
            self.renew(device, now);
        }
        match (heard.kept, heard.exchange) {
            (true, Some(exchange)) => self.station.acknowledge(exchange),
            (true, None) => {}
            (false, exchange) => self.forget_exchange(exchange),
        }
        let metrics = self.shared.engine.metrics();
        if let Some(why) = &heard.unread {
            metrics.lwm2m.unread.inc();
            tracing::info!(
                device = device.0,
                why,
                "LwM2M: a device's bytes could not be read"
            );
        }
        if heard.unmatched {
            metrics.lwm2m.unmatched.inc();
        }
        for dispatch in heard.next {
            self.take(dispatch);
        }
        let now = self.now();
        self.station
            .report_has_more(now, DeviceNumber(device.0), heard.more);
        if let Some(answer) = heard.answer {
            self.answer_report(device, answer);
        }
        self.hear_next(device);
    }

    /// Not acknowledged, so that the device sends it again.
    fn forget_exchange(&mut self, exchange: Option<ExchangeId>) {
        if let Some(exchange) = exchange {
            self.station.refuse(exchange, Refusal::Internal);
        }
    }
}
