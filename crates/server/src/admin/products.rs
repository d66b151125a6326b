//! Products of an application: put, looked at, listed, deleted.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use downlink_api::Invalid;
use downlink_api::product::ProductDoc;
use downlink_api::time::IsoTime;
use downlink_core::ProductSettings;
use downlink_core::product::CheckParas;
use downlink_store::{Product, ProductHead, PutRefused};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

use super::apps::{Paging, named};
use super::work_mode::{self, Mode};
use super::{Admin, Problem, json, parse};
use crate::http::finish;
use crate::products::{PutError, Upload, unpack};

const PAGE: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PutBody<'a> {
    id: Option<String>,
    #[serde(borrow)]
    profile: Option<&'a RawValue>,
    /// A zip archive, in base64.
    package: Option<String>,
    codec: Option<CodecBody>,
    #[serde(default)]
    check_paras: Check,
    work_mode: Option<Mode>,
    cycle_secs: Option<u32>,
    response_wait_secs: Option<u32>,
    #[serde(default)]
    secure: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CodecBody {
    kind: String,
    #[serde(default)]
    text: String,
}

/// What becomes of parameters that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Check {
    Off,
    #[default]
    Warn,
    Reject,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadBody<'a> {
    id: &'a str,
    revision: u64,
    manufacturer_id: &'a str,
    manufacturer_name: &'a str,
    device_type: &'a str,
    model: &'a str,
    protocol_type: &'a str,
    check_paras: Check,
    work_mode: Option<Mode>,
    cycle_secs: Option<u32>,
    response_wait_secs: Option<u32>,
    secure: bool,
    codec_kind: Option<&'a str>,
    created_at: String,
    modified_at: String,
}

#[derive(Debug, Serialize)]
struct ProductBody<'a> {
    #[serde(flatten)]
    head: HeadBody<'a>,
    profile: Option<&'a RawValue>,
    codec: Option<CodecBody>,
}

/// `PUT /admin/v1/apps/{id}/products`: makes a product, or replaces that of the same maker, model and kind of device.
pub(super) async fn put(
    State(admin): State<Admin>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let app = named(&admin.northbound, &app).await?;
    let upload = parse::<PutBody<'_>>(&body)?.upload()?;
    let engine = Arc::clone(&admin.northbound.engine);
    let work = async move { engine.products().put(engine.store(), app.key, upload).await };
    let put = finish(&admin.tasks, work).await?;
    let status = match put.made {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok(json(status, &HeadBody::of(&put.product)))
}

/// `GET /admin/v1/apps/{id}/products?pageNo&pageSize`
pub(super) async fn list(
    State(admin): State<Admin>,
    Path(app): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let app = named(&admin.northbound, &app).await?;
    let (skip, limit) = paging.window(PAGE);
    let page = admin.store().products(app.key, skip, limit).await?;
    let products: Vec<_> = page.items.iter().map(HeadBody::of).collect();
    let body = serde_json::json!({ "total": page.total, "products": products });
    Ok(json(StatusCode::OK, &body))
}

/// `GET /admin/v1/apps/{id}/products/{product}`
pub(super) async fn one(
    State(admin): State<Admin>,
    Path((app, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let app = named(&admin.northbound, &app).await?;
    let found = admin.store().product(app.key, &id).await?;
    let product = found.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &ProductBody::of(&product)))
}

/// `DELETE /admin/v1/apps/{id}/products/{product}`: its devices stay, and are commanded as if they had none.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Path((app, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let app = named(&admin.northbound, &app).await?;
    match admin.store().remove_product(app.key, &id).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_product",
        "the application has no such product",
    )
}

impl PutBody<'_> {
    fn upload(self) -> Result<Upload, Invalid> {
        let (doc, profile) = match (self.profile, &self.package) {
            (Some(profile), None) => ProductDoc::parse(profile.get())?,
            (None, Some(package)) => {
                let archive = STANDARD
                    .decode(package)
                    .map_err(|_| Invalid::new("package", "must be base64"))?;
                ProductDoc::parse_package(&unpack(&archive)?)?
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(Invalid::new("body", "must have either profile or package"));
            }
        };
        Ok(Upload {
            settings: self.settings()?,
            id: self.id,
            doc,
            profile,
            codec: self.codec.map(|codec| (codec.kind, codec.text)),
        })
    }

    fn settings(&self) -> Result<ProductSettings, Invalid> {
        let work_mode = work_mode::read(self.work_mode, self.cycle_secs)?;
        Ok(ProductSettings {
            check_paras: match self.check_paras {
                Check::Off => CheckParas::Off,
                Check::Warn => CheckParas::Warn,
                Check::Reject => CheckParas::Reject,
            },
            work_mode,
            response_wait_secs: self.response_wait_secs,
            secure: self.secure,
        })
    }
}

impl<'a> HeadBody<'a> {
    fn of(head: &'a ProductHead) -> Self {
        let (work_mode, cycle_secs) = work_mode::shown(head.settings.work_mode);
        Self {
            id: &head.id,
            revision: head.revision,
            manufacturer_id: &head.names.manufacturer_id,
            manufacturer_name: &head.manufacturer_name,
            device_type: &head.names.device_type,
            model: &head.names.model,
            protocol_type: &head.names.protocol_type,
            check_paras: match head.settings.check_paras {
                CheckParas::Off => Check::Off,
                CheckParas::Warn => Check::Warn,
                CheckParas::Reject => Check::Reject,
            },
            work_mode,
            cycle_secs,
            response_wait_secs: head.settings.response_wait_secs,
            secure: head.settings.secure,
            codec_kind: head.codec_kind.as_deref(),
            created_at: IsoTime(head.created_at).to_string(),
            modified_at: IsoTime(head.modified_at).to_string(),
        }
    }
}

impl<'a> ProductBody<'a> {
    fn of(product: &'a Product) -> Self {
        Self {
            head: HeadBody::of(&product.head),
            profile: serde_json::from_str(&product.profile).ok(),
            codec: product.codec.as_ref().map(|codec| CodecBody {
                kind: codec.kind.clone(),
                text: codec.text.clone(),
            }),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.to_string())
    }
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Invalid(invalid) => invalid.into(),
            PutError::Store(error) => error.into(),
            PutError::Refused(refused) => {
                let (status, code) = match refused {
                    PutRefused::NoApp => (StatusCode::NOT_FOUND, "unknown_app"),
                    PutRefused::IdTaken => (StatusCode::CONFLICT, "taken"),
                    PutRefused::TooMany => (StatusCode::CONFLICT, "too_many"),
                };
                Self::new(status, code, refused.to_string())
            }
        }
    }
}
