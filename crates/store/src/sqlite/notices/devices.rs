//! What is told of devices.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp};
use rusqlite::OptionalExtension;

use super::super::batch::Batch;
use super::super::failure::Failure;
use crate::{Notice, NoticeDevice, NotifyType, Report, ServiceData};

impl Batch {
    /// A device was registered.
    pub(in crate::sqlite) fn tell_added(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        at: Timestamp,
    ) -> Result<(), Failure> {
        if !self.wants(app, NotifyType::DeviceAdded) {
            return Ok(());
        }
        let device = self.notice_device(key)?;
        self.tell(app, key, &Notice::Added(&device), at)
    }

    /// A device connected for the first time, or (not `in_time`) never will.
    pub(in crate::sqlite) fn tell_bound(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        in_time: bool,
        at: Timestamp,
    ) -> Result<(), Failure> {
        if !self.wants(app, NotifyType::BindDevice) {
            return Ok(());
        }
        let device = self.notice_device(key)?;
        let notice = Notice::Bound {
            device: &device,
            in_time,
        };
        self.tell(app, key, &notice, at)
    }

    /// What is said of a device changed. `before`: its node id, if that changed, and what was said.
    pub(in crate::sqlite) fn tell_changed(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        before: (Option<&str>, &str),
        at: Timestamp,
    ) -> Result<(), Failure> {
        if !self.wants(app, NotifyType::DeviceInfoChanged) {
            return Ok(());
        }
        let device = self.notice_device(key)?;
        let notice = Notice::Changed {
            device: &device,
            moved: before.0.is_some(),
            before: before.1,
        };
        self.tell(app, key, &notice, at)
    }

    /// What is said of one of a device's services changed.
    pub(in crate::sqlite) fn tell_service_changed(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        service: &str,
        at: Timestamp,
    ) -> Result<(), Failure> {
        if !self.wants(app, NotifyType::ServiceInfoChanged) {
            return Ok(());
        }
        let device = self.notice_device(key)?;
        let notice = Notice::ServiceChanged {
            device: &device,
            service,
        };
        self.tell(app, key, &notice, at)
    }

    /// A device as notices show it.
    fn notice_device(&self, key: DeviceKey) -> Result<NoticeDevice, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, node_id, info, (SELECT g.id FROM device g WHERE g.key = device.gateway) \
             FROM device WHERE key = ?1",
        )?;
        let device = statement.query_row([key.0], |row| {
            let id: Arc<str> = row.get(0)?;
            let gateway: Option<Arc<str>> = row.get(3)?;
            Ok(NoticeDevice {
                id: DeviceId::new(id),
                gateway: gateway.map(DeviceId::new),
                node_id: row.get(1)?,
                info: row.get(2)?,
            })
        })?;
        Ok(device)
    }

    /// A device was removed.
    pub(in crate::sqlite) fn tell_deleted(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        device: &DeviceId,
        gateway: Option<&DeviceId>,
        at: Timestamp,
    ) -> Result<(), Failure> {
        self.tell(app, key, &Notice::Deleted { device, gateway }, at)
    }

    /// See the port.
    pub(in crate::sqlite) fn presence(
        &mut self,
        key: DeviceKey,
        online: bool,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some((app, device)) = self.live(key)? else {
            return Ok(());
        };
        let notice = Notice::Presence {
            device: &device,
            online,
        };
        self.tell(app, key, &notice, now)
    }

    /// See the port.
    pub(in crate::sqlite) fn report(
        &mut self,
        key: DeviceKey,
        reports: &[Report],
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some((app, device)) = self.live(key)? else {
            return Ok(());
        };
        let (mute, of_mqtt) = self.report_terms(key)?;
        if mute {
            return Ok(());
        }
        for report in reports {
            match report {
                Report::Data(services) => {
                    self.keep_data(key, services, now)?;
                    self.keep_reported(key, of_mqtt, services, now)?;
                    self.tell_data(app, key, &device, services, now)?;
                }
                Report::Event(event) => {
                    let device = &device;
                    self.tell(app, key, &Notice::Event { device, event, now }, now)?;
                }
            }
        }
        Ok(())
    }

    fn tell_data(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        device: &DeviceId,
        services: &[ServiceData],
        now: Timestamp,
    ) -> Result<(), Failure> {
        for service in services {
            self.tell(app, key, &Notice::Data { device, service }, now)?;
        }
        match services {
            [] => Ok(()),
            services => self.tell(app, key, &Notice::Datas { device, services }, now),
        }
    }

    /// Whether what a device reports is to be passed over, and whether it speaks MQTT.
    fn report_terms(&self, key: DeviceKey) -> Result<(bool, bool), Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT coalesce(json_valid(info) AND info ->> '$.mute' = 1, 0), family IS NOT NULL \
             FROM device WHERE key = ?1",
        )?;
        let terms = statement.query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(terms.optional()?.unwrap_or((false, false)))
    }
}
