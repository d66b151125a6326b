//! Packet traces: what one device says and is told, shown to an operator for as long as he looks, and kept nowhere.
//!
//! A gateway asks [`is_watching`](Traces::is_watching) before each packet, which costs one load while nobody looks. A reader
//! that is slow loses packets, and is told how many: a device never waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downlink_core::{DeviceKey, Timestamp};
use tokio::sync::mpsc;

/// Traces at once.
const MOST: usize = 8;
/// Packets of a trace that wait for its reader.
const WAITING: usize = 1000;
/// Bytes of a packet's payload that are shown.
pub(crate) const SHOWN: usize = 2048;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    FromDevice,
    ToDevice,
}

/// A packet of a device.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) at: Timestamp,
    pub(crate) direction: Direction,
    /// Where the device is.
    pub(crate) peer: String,
    /// The packet in one line, without its payload.
    pub(crate) line: String,
    /// The payload, up to [`SHOWN`] bytes of it.
    pub(crate) payload: Vec<u8>,
    /// Packets before it that the reader was too slow for.
    pub(crate) lost: u64,
}

/// All traces that are under way.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    any: AtomicBool,
    traced: Mutex<Vec<Traced>>,
}

#[derive(Debug)]
struct Traced {
    device: DeviceKey,
    node: Arc<str>,
    to: mpsc::Sender<Packet>,
    lost: u64,
}

impl Traces {
    /// Begins a trace of a device, which its node id names before it is registered. It ends when the receiver is dropped.
    /// None: as many as may be are under way.
    pub(crate) fn begin(&self, device: DeviceKey, node: &str) -> Option<mpsc::Receiver<Packet>> {
        let mut traced = self.traced();
        traced.retain(|one| !one.to.is_closed());
        if traced.len() >= MOST {
            return None;
        }
        let (to, packets) = mpsc::channel(WAITING);
        traced.push(Traced {
            device,
            node: node.into(),
            to,
            lost: 0,
        });
        self.any.store(true, Ordering::Release);
        Some(packets)
    }

    /// Whether anybody looks.
    pub(crate) fn is_watching(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Shows a packet to those who look at the device that `is_its` says yes to, by key or node id.
    pub(crate) fn show(&self, is_its: impl Fn(DeviceKey, &str) -> bool, packet: impl Fn() -> Packet) {
        let mut traced = self.traced();
        traced.retain(|one| !one.to.is_closed());
        self.any.store(!traced.is_empty(), Ordering::Release);
        for one in traced.iter_mut().filter(|one| is_its(one.device, &one.node)) {
            let lost = std::mem::take(&mut one.lost);
            if one.to.try_send(Packet { lost, ..packet() }).is_err() {
                one.lost = lost + 1;
            }
        }
    }

    fn traced(&self) -> MutexGuard<'_, Vec<Traced>> {
        self.traced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Packet {
        Packet {
            at: Timestamp::from_millis(0),
            direction: Direction::FromDevice,
            peer: String::new(),
            line: String::new(),
            payload: Vec::new(),
            lost: 0,
        }
    }

    #[test]
    fn packets_go_to_who_looks_at_their_device_and_a_slow_reader_is_told_what_it_lost() {
        let traces = Traces::default();
        assert!(!traces.is_watching());
        let mut first = traces.begin(DeviceKey(1), "one").unwrap();
        let mut second = traces.begin(DeviceKey(2), "two").unwrap();
        traces.show(|device, _| device == DeviceKey(1), packet);
        traces.show(|_, node| node == "two", packet);
        assert!(first.try_recv().is_ok() && first.try_recv().is_err());
        assert!(second.try_recv().is_ok() && second.try_recv().is_err());
        for _ in 0..WAITING + 3 {
            traces.show(|device, _| device == DeviceKey(1), packet);
        }
        for _ in 0..WAITING {
            assert_eq!(first.try_recv().unwrap().lost, 0);
        }
        traces.show(|device, _| device == DeviceKey(1), packet);
        assert_eq!(first.try_recv().unwrap().lost, 3);
    }

    #[test]
    fn so_many_at_once_and_room_again_when_one_ends() {
        let traces = Traces::default();
        let open: Vec<_> = (0..MOST)
            .map(|_| traces.begin(DeviceKey(1), "n").unwrap())
            .collect();
        assert!(traces.begin(DeviceKey(2), "n").is_none());
        drop(open);
        assert!(traces.begin(DeviceKey(2), "n").is_some());
        traces.show(|_, _| true, packet);
        assert!(!traces.is_watching(), "the last one is gone");
    }
}
