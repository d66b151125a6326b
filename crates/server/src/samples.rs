//! Values for tests, to be changed where a test looks.

use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp};
use downlink_store::{Device, Link};

/// A device of which nothing is known but that it is there.
pub(crate) fn device(key: i64) -> Device {
    Device {
        key: DeviceKey(key),
        app: AppKey(1),
        id: DeviceId::new("d"),
        node_id: "n".to_owned(),
        secret: Vec::new(),
        verify_code: String::new(),
        info: "{}".to_owned(),
        created_at: Timestamp::default(),
        modified_at: Timestamp::default(),
        activated_at: None,
        bind_until: None,
        family: None,
        product: None,
        work_mode: None,
        gateway: None,
        link: Link::None,
        heard_at: None,
    }
}

/// Names of this process's threads.
pub(crate) fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}
