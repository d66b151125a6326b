//! Products as documents: the profile in one JSON document, or in the files of a profile package.
//!
//! Profiles were written by many hands. So null is the same as absent, limits may be numbers or texts, and the names of
//! members are taken as the older interface has them (`commandName`) or the newer (`command_name`). What is kept is one
//! document in the older form.

mod form;
mod package;
mod values;

use downlink_core::product::Flaw;
use downlink_core::{ProductNames, Profile};
use serde::{Deserialize, Serialize};

use crate::field::{self, Invalid};

pub use form::{CommandDoc, ParaDoc, ResponseDoc, ServiceDoc};
pub use package::PackageFiles;
pub use values::given;

/// Bytes that a profile may have at the most, in one document.
pub const MAX_PROFILE_BYTES: usize = 512 * 1024;

/// A product's names and profile, as one document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductDoc {
    /// Who makes its devices.
    #[serde(default, alias = "manufacturer_id", deserialize_with = "form::text")]
    pub manufacturer_id: String,
    /// The maker's name, for people.
    #[serde(default, alias = "manufacturer_name", deserialize_with = "form::text")]
    pub manufacturer_name: String,
    /// What kind of device they are.
    #[serde(default, alias = "device_type", deserialize_with = "form::text")]
    pub device_type: String,
    /// Their model.
    #[serde(default, deserialize_with = "form::text")]
    pub model: String,
    /// What they speak.
    #[serde(default, alias = "protocol_type", deserialize_with = "form::text")]
    pub protocol_type: String,
    /// What they can do.
    #[serde(default, alias = "service_capabilities", deserialize_with = "form::list")]
    pub services: Vec<ServiceDoc>,
}

impl ProductDoc {
    /// Reads the document; what is wrong with it is told by its place. Gives the profile too.
    pub fn parse(text: &str) -> Result<(Self, Profile), Invalid> {
        within_bounds(text.len())?;
        let doc: Self = field::object("profile", text)?;
        doc.checked()
    }

    /// Reads a profile package: `devicetype-capability.json` and any number of `servicetype-capability.json`.
    pub fn parse_package(files: &PackageFiles) -> Result<(Self, Profile), Invalid> {
        files.compose()?.checked()
    }

    /// The document, as it is kept.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a document of texts, numbers and lists is JSON")
    }

    /// By what the product is told apart.
    pub fn names(&self) -> ProductNames {
        ProductNames {
            manufacturer_id: self.manufacturer_id.clone(),
            model: self.model.clone(),
            device_type: self.device_type.clone(),
            protocol_type: self.protocol_type.clone(),
        }
    }

    fn checked(self) -> Result<(Self, Profile), Invalid> {
        within_bounds(self.to_json().len())?;
        for (field, text) in [
            ("manufacturerId", &self.manufacturer_id),
            ("deviceType", &self.device_type),
            ("model", &self.model),
        ] {
            if text.is_empty() {
                return Err(Invalid::missing(field));
            }
        }
        for (field, text) in [
            ("manufacturerId", &self.manufacturer_id),
            ("manufacturerName", &self.manufacturer_name),
            ("deviceType", &self.device_type),
            ("model", &self.model),
            ("protocolType", &self.protocol_type),
        ] {
            if text.chars().count() > 256 || text.chars().any(char::is_control) {
                let rule = "must have at most 256 characters, without control characters";
                return Err(Invalid::new(field, rule));
            }
        }
        let services = self.services.iter().map(ServiceDoc::service);
        let services = services.collect::<Result<_, _>>()?;
        let profile = Profile::new(services).map_err(flawed)?;
        Ok((self, profile))
    }
}

fn within_bounds(bytes: usize) -> Result<(), Invalid> {
    match bytes <= MAX_PROFILE_BYTES {
        true => Ok(()),
        false => Err(Invalid::new(
            "profile",
            format!("must have at most {MAX_PROFILE_BYTES} bytes"),
        )),
    }
}

fn flawed(flaw: Flaw) -> Invalid {
    Invalid::new(flaw.place, flaw.rule)
}

#[cfg(test)]
mod tests;
