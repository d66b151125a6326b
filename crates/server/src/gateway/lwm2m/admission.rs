//! Who may come in: a device is looked up by the name that it gives itself, and by how it came.

use std::sync::Arc;

use downlink_core::product::WorkMode;
use downlink_core::{DeviceId, DeviceKey};
use downlink_lwm2m::ExchangeId;
use downlink_store::{Device, DeviceName, StoreError};

use super::calls::{Call, Done, Shared};
use super::keys::{Key, Proved};
use crate::clock;
use crate::engine::Engine;
use crate::products::ReadyProduct;

/// A device that may come in.
pub(super) struct Admitted {
    pub(super) device: Device,
    pub(super) product: Option<Arc<ReadyProduct>>,
}

/// How a device sleeps, as far as it was said of it, its product or its application.
pub(super) type Said = Option<WorkMode>;

/// Why a device may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Nobody knows it, or it must not come this way.
    Unknown,
    /// Its session was made with a secret that is not its own any more.
    Outdated(DeviceKey),
    /// The store cannot say.
    Unavailable,
}

/// How a device came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Without proof of who it is.
    Plain,
    /// Over a session that proves that it is this device.
    Secure(Option<Proved>),
}

impl Shared {
    /// Looks a device up by the name that it gives itself.
    pub(super) fn admit(&self, exchange: ExchangeId, endpoint: String, way: Way) -> Call {
        let shared = self.clone();
        Box::pin(async move { Done::Admitted(exchange, shared.look_up(&endpoint, way).await) })
    }

    /// Looks up the key of an identity, which is the name that the device gives itself.
    pub(super) fn look_up_key(&self, identity: Box<[u8]>) -> Call {
        let shared = self.clone();
        Box::pin(async move {
            let device = match std::str::from_utf8(&identity) {
                Ok(name) => by_endpoint(&shared.engine, name).await,
                Err(_) => Ok(None),
            };
            let key = device.map(|device| device.and_then(|device| Key::of(&device, &shared.sealer)));
            Done::Key(identity, key)
        })
    }

    async fn look_up(&self, endpoint: &str, way: Way) -> Result<Box<(Admitted, Said)>, Turned> {
        let unavailable = |error: StoreError| {
            tracing::warn!(%error, "LwM2M: a device could not be looked up");
            Turned::Unavailable
        };
        let device = by_endpoint(&self.engine, endpoint).await.map_err(unavailable)?;
        let device = device.ok_or(Turned::Unknown)?;
        let product = self.engine.product_of(&device).await.map_err(unavailable)?;
        may_come(&way, &device, product.as_deref())?;
        let now = clock::now();
        self.engine
            .store()
            .seen(device.key, None, now)
            .await
            .map_err(unavailable)?;
        self.engine.heard(device.key);
        let admitted = Admitted { device, product };
        let said = self.said(&admitted).await.map_err(unavailable)?;
        Ok(Box::new((admitted, said)))
    }

    async fn said(&self, of: &Admitted) -> Result<Said, StoreError> {
        let of_product = |product: &Arc<ReadyProduct>| product.head.settings.work_mode;
        let nearer = of
            .device
            .work_mode
            .or_else(|| of.product.as_ref().and_then(of_product));
        if nearer.is_some() {
            return Ok(nearer);
        }
        let app = self.engine.store().app_by_key(of.device.app).await?;
        Ok(app.and_then(|app| app.settings.work_mode))
    }

    /// Looks a device up that is registered: what is known of it may have changed.
    pub(super) fn look_again(&self, device: &Device) -> Call {
        let (shared, key, id) = (self.clone(), device.key, device.id.clone());
        Box::pin(async move { Done::LookedAgain(key, shared.look_at(&id).await) })
    }

    async fn look_at(&self, id: &DeviceId) -> Result<Option<Box<(Admitted, Said)>>, StoreError> {
        let Some(device) = self.engine.store().device(DeviceName::Id(id)).await? else {
            return Ok(None);
        };
        let product = self.engine.product_of(&device).await?;
        let admitted = Admitted { device, product };
        let said = self.said(&admitted).await?;
        Ok(Some(Box::new((admitted, said))))
    }
}

/// Whether a device may come this way.
fn may_come(way: &Way, device: &Device, product: Option<&ReadyProduct>) -> Result<(), Turned> {
    match way {
        Way::Plain if must_be_secure(device, product) => Err(Turned::Unknown),
        Way::Plain => Ok(()),
        Way::Secure(Some(proved)) if proved.holds_for(device) => Ok(()),
        Way::Secure(Some(proved)) if proved.device == device.key => Err(Turned::Outdated(device.key)),
        Way::Secure(_) => Err(Turned::Unknown),
    }
}

/// Whether the device is not to be spoken to in clear.
pub(super) fn must_be_secure(device: &Device, product: Option<&ReadyProduct>) -> bool {
    product.is_some_and(|product| product.head.settings.secure)
        || downlink_api::device::is_secure(&device.info)
}

/// Some modules put `urn:imei:` before the number that the device was registered by; some registrations have it.
async fn by_endpoint(engine: &Engine, endpoint: &str) -> Result<Option<Device>, StoreError> {
    const IMEI: &str = "urn:imei:";
    let store = engine.store();
    if let Some(device) = store.device(DeviceName::Node(endpoint)).await? {
        return Ok(Some(device));
    }
    match endpoint.strip_prefix(IMEI) {
        Some(bare) => store.device(DeviceName::Node(bare)).await,
        None => {
            let long = format!("{IMEI}{endpoint}");
            store.device(DeviceName::Node(&long)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn device(key: i64, secret: &[u8], info: &str) -> Device {
        Device {
            secret: secret.to_vec(),
            info: info.to_owned(),
            ..samples::device(key)
        }
    }

    #[test]
    fn a_session_proves_what_its_secret_proves() {
        let is = device(7, b"new", "{}");
        let come = |way| may_come(&way, &is, None);
        let over = |of: &Device| Way::Secure(Some(Proved::of(of)));
        assert_eq!(come(over(&is)), Ok(()));
        let outdated = Err(Turned::Outdated(is.key));
        assert_eq!(come(over(&device(7, b"old", "{}"))), outdated);
        assert_eq!(come(over(&device(8, b"new", "{}"))), Err(Turned::Unknown));
        assert_eq!(come(Way::Secure(None)), Err(Turned::Unknown));
    }

    #[test]
    fn who_is_to_be_secure_does_not_come_in_clear() {
        for (info, may) in [("{}", Ok(())), (r#"{"isSecure":true}"#, Err(Turned::Unknown))] {
            assert_eq!(may_come(&Way::Plain, &device(7, b"s", info), None), may, "{info}");
        }
    }
}
