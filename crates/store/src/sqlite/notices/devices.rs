//! What is told of devices.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp};
use rusqlite::OptionalExtension;

use super::super::batch::Batch;
use super::super::failure::Failure;
use crate::{Notice, NoticeDevice, NotifyType, Report, ServiceData, Standing};

/// On what terms a device reports.
struct Terms {
    /// The device that it is connected by, if it is by one.
    gateway: Option<DeviceId>,
    /// It speaks MQTT, or that device does.
    of_mqtt: bool,
}

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
        let told = self.forget_silence(key, online)?;
        let standing = match online {
            true => Standing::Online,
            false if told == Some(Standing::Offline) => return Ok(()),
            false => Standing::Offline,
        };
        self.tell_standing(app, key, &device, standing, now)
    }

    /// How a device stands from now on.
    pub(in crate::sqlite) fn tell_standing(
        &mut self,
        app: AppKey,
        key: DeviceKey,
        device: &DeviceId,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.tell(app, key, &Notice::Presence { device, standing }, now)
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
        let Some(terms) = self.unless_mute(key)? else {
            return Ok(());
        };
        let of = (&device, terms.gateway.as_ref());
        for report in reports {
            match report {
                Report::Data(services) => {
                    self.keep_data(key, services, now)?;
                    self.keep_reported(key, terms.of_mqtt, services, now)?;
                    self.tell_data(app, key, of, services, now)?;
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
        (device, gateway): (&DeviceId, Option<&DeviceId>),
        services: &[ServiceData],
        now: Timestamp,
    ) -> Result<(), Failure> {
        for service in services {
            let notice = Notice::Data {
                device,
                gateway,
                service,
            };
            self.tell(app, key, &notice, now)?;
        }
        match services {
            [] => Ok(()),
            services => {
                let notice = Notice::Datas {
                    device,
                    gateway,
                    services,
                };
                self.tell(app, key, &notice, now)
            }
        }
    }

    /// On what terms a device reports; nothing at all if what it reports is to be passed over.
    fn unless_mute(&self, key: DeviceKey) -> Result<Option<Terms>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT g.id, device.family IS NOT NULL OR g.family IS NOT NULL \
             FROM device LEFT JOIN device g ON g.key = device.gateway WHERE device.key = ?1 \
             AND NOT coalesce(json_valid(device.info) AND device.info ->> '$.mute' = 1, 0)",
        )?;
        let terms = statement.query_row([key.0], |row| {
            let gateway: Option<Arc<str>> = row.get(0)?;
            Ok(Terms {
                gateway: gateway.map(DeviceId::new),
                of_mqtt: row.get(1)?,
            })
        });
        Ok(terms.optional()?)
    }
}
