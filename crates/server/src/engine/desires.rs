//! What is desired of a device: told to it by a command for each service, which goes the way of all commands.

use std::sync::Arc;

use downlink_api::shadow::ServiceDesired;
use downlink_core::{CommandBody, DeviceKey, ResponseRule};
use downlink_store::{App, Created, Desire, DesireRefused, Device, NewCommand, NotifyType, Submission};

use super::terms::Terms;
use super::{CreateError, CreateRequest, Engine};
use crate::clock;

/// The method of the commands that set properties: what a codec is given for them.
pub(crate) const WRITE_PROPERTIES: &str = "writeProperties";

/// Why nothing is desired. Nothing was kept, except as the store's `Unavailable` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DesireError {
    /// The device has as many desired properties as it may.
    #[error("too many properties of the device are desired")]
    TooMany,
    /// Its commands were not created, or could not be followed up.
    #[error(transparent)]
    Untold(#[from] CreateError),
}

impl Engine {
    /// Has something desired of a device. When this returns `Ok`, it is on disk, and on its way if the device is
    /// reachable and nothing is before it.
    pub(crate) async fn desire(
        &self,
        app: &App,
        device: Device,
        wanted: Vec<ServiceDesired>,
        request: &str,
    ) -> Result<(), DesireError> {
        let (key, now) = (device.key, clock::now());
        let makes_commands = wanted.iter().any(|one| !one.set.is_empty());
        let is_told = || self.store.wants(app.key, &[NotifyType::DesiredPropertiesStatus]);
        if makes_commands && self.store.is_crowded(app.key) && is_told() {
            self.metrics.create_refused.inc();
            return Err(CreateError::Crowded.into());
        }
        let desires = wanted
            .into_iter()
            .map(|one| self.desire_of(app, &device, one, request));
        let desires = desires.collect();
        let kept = self.store.desire(key, desires, now).await;
        match kept.map_err(CreateError::from)? {
            Ok(created) => self.follow_desires(key, created).await,
            Err(DesireRefused::TooMany) => Err(DesireError::TooMany),
            Err(DesireRefused::Untold(refused)) => {
                self.metrics.create_refused.inc();
                Err(CreateError::from(refused).into())
            }
        }
    }

    async fn follow_desires(&self, device: DeviceKey, created: Vec<Created>) -> Result<(), DesireError> {
        for created in created {
            self.after_create(device, created).await?;
        }
        Ok(())
    }

    fn desire_of(&self, app: &App, device: &Device, wanted: ServiceDesired, request: &str) -> Desire {
        let tell = (!wanted.set.is_empty()).then(|| self.telling(app, device, &wanted, request));
        Desire {
            service: wanted.service,
            set: wanted.set,
            unset: wanted.unset,
            tell,
        }
    }

    /// Cached for as long as a command may be: there is no later opportunity to have it said again.
    fn telling(&self, app: &App, device: &Device, wanted: &ServiceDesired, request: &str) -> Submission {
        let now = clock::now();
        let asked = CreateRequest {
            device: device.key,
            device_id: device.id.clone(),
            product: None,
            work_mode: None,
            body: CommandBody {
                service: wanted.service.clone(),
                method: WRITE_PROPERTIES.to_owned(),
                paras: wanted.to_json(),
            },
            callback: None,
            expire_time: Some(u64::from(self.settings.max_expire_secs)),
            max_retransmit: None,
            request_id: request.to_owned(),
            key: None,
            call_id: None,
            unanswered: true,
        };
        let terms = Terms {
            response: ResponseRule::None,
            remark: Some("sets desired properties".to_owned()),
        };
        let mode = self.mode(asked.expire_time, now);
        let command: NewCommand = self.command(app, asked, mode, terms, now);
        let session = self.sessions().of(device.key);
        let free = |session: &Arc<super::SessionHandle>| !session.is_full(self.settings.max_inflight);
        let offer = session.filter(free).and_then(|session| session.offer());
        Submission {
            command,
            offer,
            queue_limit: self.settings.queue_limit,
            open_limit: self.settings.open_limit,
            key: None,
        }
    }
}
