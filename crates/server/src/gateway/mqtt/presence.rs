//! Noting whether a device is there, and telling subscribers of it.
//!
//! Sessions of one device end and begin at the same time, so what is told is not what happened to a session but whether
//! the device has one; it is looked at again after each telling, so that the last word is right.

use downlink_core::{AppKey, DeviceKey};
use downlink_store::NotifyType;

use crate::clock;
use crate::engine::Engine;

/// Looks and tellings at the most; whoever changes it meanwhile tells it too.
const LOOKS: usize = 4;

/// Notes whether the device is connected, and tells the application, if it wants to know.
pub(super) async fn tell(engine: &Engine, app: AppKey, device: DeviceKey) {
    engine.contacts().connection(device, clock::now());
    let there = || engine.sessions().of(device).is_some();
    for _ in 0..LOOKS {
        if !engine.store().wants(app, &[NotifyType::DeviceInfoChanged]) {
            return;
        }
        let online = there();
        if let Err(error) = engine.store().presence(device, online, clock::now()).await {
            // Whether it is there is shown by the device's record all the same.
            tracing::warn!(%error, online, "MQTT: a device's coming or going could not be told");
            return;
        }
        if there() == online {
            return;
        }
    }
}
