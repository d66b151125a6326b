//! Putting a product: all that is looked at before the store has it.

use downlink_api::Invalid;
use downlink_api::product::ProductDoc;
use downlink_core::product::WorkMode;
use downlink_core::product::settings::{MAX_CYCLE_SECS, MAX_RESPONSE_WAIT_SECS};
use downlink_core::{AppKey, ProductSettings, Profile};
use downlink_store::{Codec, NewProduct, Put, PutRefused, Store, StoreError};

use super::ProductBook;
use super::codec::examine;
use crate::clock;
use crate::secrets::random_uuid;

/// Products of an application at the most.
const MAX_PRODUCTS: u32 = 1000;

/// A product as it was uploaded.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Its id, if it was chosen.
    pub(crate) id: Option<String>,
    /// Its names and profile.
    pub(crate) doc: ProductDoc,
    /// The profile, read.
    pub(crate) profile: Profile,
    /// Kind and definition of its codec, if it has one.
    pub(crate) codec: Option<(String, String)>,
    /// What its operator says of it.
    pub(crate) settings: ProductSettings,
}

/// Why a product was not put. Nothing was kept, except as the store's `Unavailable` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// Something in it, by name.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// See [`PutRefused`].
    #[error(transparent)]
    Refused(#[from] PutRefused),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProductBook {
    /// Makes a product, or replaces the application's product of these names. Holds for what is created from then on.
    pub(crate) async fn put(&self, store: &dyn Store, app: AppKey, upload: Upload) -> Result<Put, PutError> {
        check_id(upload.id.as_deref())?;
        check_settings(upload.settings)?;
        let codec = match upload.codec {
            None => None,
            Some((kind, text)) => Some(codec(kind, text, &upload.profile)?),
        };
        let new = NewProduct {
            app,
            id: upload.id,
            fresh_id: random_uuid().simple().to_string(),
            names: upload.doc.names(),
            profile: upload.doc.to_json(),
            manufacturer_name: upload.doc.manufacturer_name,
            codec,
            settings: upload.settings,
            at: clock::now(),
        };
        Ok(store.put_product(new, MAX_PRODUCTS).await??)
    }
}

fn codec(kind: String, text: String, profile: &Profile) -> Result<Codec, Invalid> {
    let facts = examine(&kind, &text, profile).map_err(|rule| Invalid::new("codec", rule))?;
    Ok(Codec {
        kind,
        text,
        matches_answers: facts.matches_answers,
    })
}

fn check_id(id: Option<&str>) -> Result<(), Invalid> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match id {
        Some(id) if !(1..=256).contains(&id.len()) || !id.bytes().all(plain) => {
            Err(Invalid::new("id", "must be 1-256 of A-Z a-z 0-9 - _ ."))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_settings(settings: ProductSettings) -> Result<(), Invalid> {
    let within = |field, secs: Option<u32>, max| match secs {
        Some(secs) if !(1..=max).contains(&secs) => Err(Invalid::new(field, format!("must be 1 to {max}"))),
        Some(_) | None => Ok(()),
    };
    let cycle_secs = match settings.work_mode {
        Some(WorkMode::Edrx { cycle_secs }) => Some(cycle_secs),
        Some(WorkMode::Psm | WorkMode::Drx) | None => None,
    };
    within("cycleSecs", cycle_secs, MAX_CYCLE_SECS)?;
    within(
        "responseWaitSecs",
        settings.response_wait_secs,
        MAX_RESPONSE_WAIT_SECS,
    )
}
