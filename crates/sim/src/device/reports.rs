//! What a device reports of itself, at QoS 1: it keeps a report until that is acknowledged, and some say it again over their next
//! connection.

use std::collections::BTreeMap;

use bytes::BytesMut;
use downlink_fleet::packet::{self, Qos};
use downlink_fleet::topic::Family;
use serde_json::json;

use super::{Act, Device, write};

/// Reports that wait for their acknowledgement, by packet id.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: BTreeMap<u16, u64>,
}

impl Reports {
    /// The report that was acknowledged.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Option<Act> {
        self.waiting.remove(&packet_id).map(Act::Reported)
    }

    /// Those that were not; they are forgotten here.
    pub(crate) fn take(&mut self) -> Vec<u64> {
        let mut numbers: Vec<u64> = std::mem::take(&mut self.waiting).into_values().collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Device {
    /// It sends the report with this number.
    pub(crate) fn report(&mut self, connection: u64, number: u64) -> Act {
        let id = self.next_packet();
        self.reports.waiting.insert(id, number);
        let (topic, payload) = match self.family {
            Family::Legacy => (
                format!("/huawei/v1/devices/{}/data/json", self.id),
                json!({"msgType": "deviceReq", "hasMore": 0, "data": [{"serviceId": "Meter", "serviceData": {"r": number}}]}),
            ),
            Family::Oc => (
                format!("$oc/devices/{}/sys/properties/report", self.id),
                json!({"services": [{"service_id": "Meter", "properties": {"r": number}}]}),
            ),
        };
        let mut bytes = BytesMut::new();
        packet::publish(&mut bytes, &topic, payload.to_string().as_bytes(), Qos::One, id);
        write(connection, bytes, 0, false)
    }
}
