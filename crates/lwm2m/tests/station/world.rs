//! A station with the clock that it goes by, and one device that speaks in hex.

use downlink_lwm2m::{DeviceNumber, Millis, Outcome, Output, Peer, Settings, Station, WorkMode};

/// The device of most tests.
pub(crate) const DEVICE: DeviceNumber = DeviceNumber(7);

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hex"))
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn peer() -> Peer {
    Peer::Plain("127.0.0.1:40000".parse().expect("an address"))
}

/// A station and the clock that it goes by.
pub(crate) struct World {
    pub(crate) station: Station,
    pub(crate) now: Millis,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            station: Station::new(Settings::default(), [9; 32]),
            now: Millis(1000),
        }
    }

    pub(crate) fn receive(&mut self, hex: &str) -> Vec<Output> {
        self.station.receive(self.now, peer(), &bytes(hex));
        self.outputs()
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.station.poll()).collect()
    }

    /// Lets time go by; whatever is due happens when it is due.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Output> {
        let end = self.now.after(ms);
        let mut outputs = Vec::new();
        while let Some(due) = self.station.next_wake().filter(|&due| due <= end) {
            self.now = due.max(self.now);
            self.station.tick(self.now);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }

    /// Registers the device by LwM2M and answers the observation; its token.
    pub(crate) fn registered(&mut self) -> String {
        self.registered_as(WorkMode::Psm)
    }

    pub(crate) fn registered_as(&mut self, mode: WorkMode) -> String {
        let outputs = self.receive(REGISTER);
        let [Output::Register { exchange, .. }] = outputs[..] else {
            panic!("{outputs:?}")
        };
        assert!(self.station.accept(self.now, exchange, DEVICE, mode));
        let outputs = self.outputs();
        let [_, Output::Send { bytes: observe, .. }, Output::Awake { .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let (mid, token) = (hex(&observe[2..4]), hex(&observe[4..12]));
        assert_eq!(
            self.receive(&format!("68 45 {mid} {token} 61 01 61 2a ff 00")),
            []
        );
        token
    }

    pub(crate) fn write(&mut self, tag: u64, payload: &[u8]) -> Vec<u8> {
        self.station
            .write(self.now, DEVICE, tag, payload.to_vec(), None)
            .expect("awake");
        sent(&self.outputs())
    }
}

pub(crate) fn sent(outputs: &[Output]) -> Vec<u8> {
    let [Output::Send { bytes, .. }] = outputs else {
        panic!("one datagram expected: {outputs:?}")
    };
    bytes.clone()
}

pub(crate) fn ended(tag: u64, outcome: Outcome) -> Output {
    Output::Written {
        device: DEVICE,
        tag,
        outcome,
    }
}

/// POST /rd?lwm2m=1.0&ep=861234567890125&b=UQ&lt=50000, MID 1001, token a1.
pub(crate) const REGISTER: &str =
    "41 02 10 01 a1 b2 7264 11 28 39 6c776d326d3d312e30 0d 05 65703d383631323334353637383930313235
    04 623d5551 08 6c743d3530303030 ff 3c2f332f303e2c3c2f31392f303e";
