//! The files of a profile package: `devicetype-capability.json` says what the device is and which services it has,
//! `servicetype-capability.json`, one or one per service, what the services are.

use serde::Deserialize;

use super::form::{self, ServiceDoc};
use super::{ProductDoc, within_bounds};
use crate::field::{self, Invalid};

const DEVICE_FILE: &str = "devicetype-capability.json";
const SERVICE_FILE: &str = "servicetype-capability.json";

/// The texts of a package's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageFiles {
    device: Option<String>,
    services: Vec<String>,
    bytes: usize,
}

#[derive(Deserialize)]
struct DeviceFile {
    #[serde(default, deserialize_with = "form::list")]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    #[serde(flatten)]
    product: ProductDoc,
    #[serde(default, deserialize_with = "form::list")]
    service_type_capabilities: Vec<ServiceOfDevice>,
}

/// Which kind a service of the device is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceOfDevice {
    #[serde(default, deserialize_with = "form::text")]
    service_id: String,
    #[serde(default, deserialize_with = "form::text")]
    service_type: String,
    #[serde(default, deserialize_with = "form::text")]
    option: String,
}

#[derive(Deserialize)]
struct ServiceFile {
    #[serde(default, deserialize_with = "form::list")]
    services: Vec<ServiceDoc>,
}

impl PackageFiles {
    /// Whether a file of this path, with `/` between its parts, is read at all.
    pub fn wants(path: &str) -> bool {
        let name = file_name(path);
        name == DEVICE_FILE || name == SERVICE_FILE
    }

    /// Adds a file; one that is not wanted is passed by.
    pub fn add(&mut self, path: &str, text: String) -> Result<(), Invalid> {
        if !Self::wants(path) {
            return Ok(());
        }
        self.bytes += text.len();
        within_bounds(self.bytes)?;
        match file_name(path) {
            SERVICE_FILE => self.services.push(text),
            _ if self.device.is_some() => return Err(Invalid::new(DEVICE_FILE, "must be there once")),
            _ => self.device = Some(text),
        }
        Ok(())
    }

    /// The one document that the files are.
    pub(super) fn compose(&self) -> Result<ProductDoc, Invalid> {
        let text = self
            .device
            .as_deref()
            .ok_or_else(|| Invalid::missing(DEVICE_FILE))?;
        let file: DeviceFile = field::object(DEVICE_FILE, without_mark(text))?;
        let mut devices = file.devices.into_iter();
        let (Some(mut device), None) = (devices.next(), devices.next()) else {
            return Err(Invalid::new(DEVICE_FILE, "must describe one device"));
        };
        let mut kinds = Vec::new();
        for text in &self.services {
            let file: ServiceFile = field::object(SERVICE_FILE, without_mark(text))?;
            kinds.extend(file.services);
        }
        let services = match device.service_type_capabilities.is_empty() {
            true => kinds,
            false => device.services_of(&kinds)?,
        };
        device.product.services.extend(services);
        Ok(device.product)
    }
}

impl Device {
    /// The device's services, each with what its kind can do.
    fn services_of(&self, kinds: &[ServiceDoc]) -> Result<Vec<ServiceDoc>, Invalid> {
        let service = |of: &ServiceOfDevice| {
            let kind = kinds
                .iter()
                .find(|kind| kind.service_type == of.service_type)
                .or_else(|| kinds.iter().find(|kind| kind.service_id == of.service_id))
                .ok_or_else(|| {
                    let rule = format!("of kind {}, must be described in {SERVICE_FILE}", of.service_type);
                    Invalid::new(format!("services.{}", of.service_id), rule)
                })?;
            Ok(ServiceDoc {
                service_id: of.service_id.clone(),
                option: of.option.clone(),
                ..kind.clone()
            })
        };
        self.service_type_capabilities.iter().map(service).collect()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Editors of some systems begin a file with a byte order mark.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}
