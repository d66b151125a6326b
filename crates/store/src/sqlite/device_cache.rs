//! Devices that were looked up lately, for those who ask by name.
//!
//! The writer reports each device whose row it changed, after the commit and before its answer. A row that was read
//! while that happened is not kept: it may be from before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downlink_core::DeviceId;

use super::memo::Memo;
use crate::{Device, DeviceName};

#[derive(Debug)]
pub(super) struct DeviceCache {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    by_id: Memo<DeviceId, Arc<Device>>,
    by_node: Memo<String, DeviceId>,
    /// Rises with each report of the writer.
    generation: u64,
}

impl DeviceCache {
    pub(super) fn new(size: usize) -> Self {
        let inner = Inner {
            by_id: Memo::new(size / 2),
            by_node: Memo::new(size / 2),
            generation: 0,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn get(&self, name: DeviceName<'_>) -> Option<Arc<Device>> {
        let mut inner = self.lock();
        match name {
            DeviceName::Id(id) => inner.by_id.get(id).cloned(),
            DeviceName::Node(node) => {
                let id = inner.by_node.get(node)?.clone();
                // The node id may have gone over to another device since.
                inner
                    .by_id
                    .get(&id)
                    .filter(|device| device.node_id == node)
                    .cloned()
            }
        }
    }

    /// To be taken before the row is read.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Keeps a row that was read after `generation` was taken.
    pub(super) fn keep(&self, device: &Device, generation: u64) {
        let mut inner = self.lock();
        if inner.generation == generation {
            inner.by_node.put(device.node_id.clone(), device.id.clone());
            inner.by_id.put(device.id.clone(), Arc::new(device.clone()));
        }
    }

    /// Drops devices whose rows were changed.
    pub(super) fn changed(&self, devices: Vec<DeviceId>) {
        if devices.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.generation += 1;
        for id in devices {
            inner.by_id.forget(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use downlink_core::{AppKey, DeviceKey, Timestamp};

    use super::*;

    fn device(id: &str, node: &str) -> Device {
        Device {
            key: DeviceKey(1),
            app: AppKey(1),
            id: DeviceId::new(id),
            node_id: node.to_owned(),
            secret: Vec::new(),
            verify_code: String::new(),
            info: String::new(),
            created_at: Timestamp::default(),
            modified_at: Timestamp::default(),
            activated_at: None,
            bind_until: None,
            family: None,
            gateway: None,
            link: crate::Link::None,
            heard_at: None,
            product: None,
            work_mode: None,
        }
    }

    #[test]
    fn a_row_read_before_a_change_is_not_kept() {
        let cache = DeviceCache::new(8);
        let before = cache.generation();
        cache.changed(vec![DeviceId::new("other")]);
        cache.keep(&device("a", "n"), before);
        assert_eq!(cache.get(DeviceName::Id(&DeviceId::new("a"))), None);
        cache.keep(&device("a", "n"), cache.generation());
        assert!(cache.get(DeviceName::Node("n")).is_some());
        cache.changed(vec![DeviceId::new("a")]);
        assert_eq!(cache.get(DeviceName::Node("n")), None);
    }

    #[test]
    fn a_node_that_moved_is_not_found_at_its_old_device() {
        let cache = DeviceCache::new(8);
        cache.keep(&device("a", "n"), 0);
        cache.keep(&device("a", "m"), 0);
        assert_eq!(cache.get(DeviceName::Node("n")), None);
        assert!(cache.get(DeviceName::Node("m")).is_some());
    }
}
