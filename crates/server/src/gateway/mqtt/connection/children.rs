//! What a gateway reports of the devices behind it.

use downlink_core::DeviceId;
use downlink_store::{Device, DeviceName, Report, StoreError};

use super::{AsyncRead, AsyncWrite, Close, Live};
use crate::clock;

impl<S: AsyncRead + AsyncWrite + Unpin> Live<S> {
    /// Has it kept for those that are registered behind this gateway; of others it is counted and dropped.
    pub(super) async fn keep_reports_of_children(
        &self,
        said: Vec<(String, Vec<Report>)>,
    ) -> Result<(), Close> {
        for (name, reports) in said {
            let child = self.child(&name).await.map_err(|error| {
                tracing::warn!(device = %self.device, %error, "MQTT: a device behind a gateway could not be looked up");
                Close::StoreFailed
            })?;
            match child {
                Some(child) => self.keep_reports_of(child.key, reports).await?,
                None => drop(self.gateway.engine.metrics().mqtt_child_reports_dropped.inc()),
            }
        }
        Ok(())
    }

    /// The device with this id or node id, if it is behind this gateway. It was there, if it was not before.
    async fn child(&self, name: &str) -> Result<Option<Device>, StoreError> {
        let store = self.gateway.engine.store();
        let found = match store.device(DeviceName::Id(&DeviceId::new(name))).await? {
            Some(child) => Some(child),
            None => store.device(DeviceName::Node(name)).await?,
        };
        let Some(child) = found.filter(|child| child.gateway.as_ref() == Some(&self.device)) else {
            return Ok(None);
        };
        if child.activated_at.is_none() {
            store.seen(child.key, None, clock::now()).await?;
        }
        Ok(Some(child))
    }
}
