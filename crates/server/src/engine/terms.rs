//! What the product of a device says of a command that is to be created for it.

use std::sync::Arc;

use downlink_api::Invalid;
use downlink_api::product::given;
use downlink_core::product::{CheckParas, CommandForm, Unfit, WorkMode};
use downlink_core::{CommandBody, ResponseRule, Span};
use downlink_store::{App, Device, StoreError};

use super::{CreateError, CreateRequest, Engine};
use crate::products::ReadyProduct;

/// On which terms a command is created. They are kept with it: what becomes of its product later does not concern it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Whether a result is awaited.
    pub(super) response: ResponseRule,
    /// What is to be said of it in its first event.
    pub(super) remark: Option<String>,
}

impl Engine {
    /// The product that a device means, if it means one that is there.
    pub(crate) async fn product_of(&self, device: &Device) -> Result<Option<Arc<ReadyProduct>>, StoreError> {
        match &device.product {
            None => Ok(None),
            Some(means) => self.products.of(self.store(), device.app, means).await,
        }
    }

    /// The terms of the command that is asked for; refuses one that does not fit its device's product.
    pub(super) async fn terms(&self, app: &App, request: &CreateRequest) -> Result<Terms, CreateError> {
        let product = match &request.product {
            None => None,
            Some(means) => self.products.of(self.store(), app.key, means).await?,
        };
        let of_product = product
            .as_ref()
            .and_then(|product| product.head.settings.work_mode);
        // The nearest word on how it sleeps, as where it registers.
        let mode = request.work_mode.or(of_product).or(app.settings.work_mode);
        let default = mode
            .and_then(WorkMode::response_wait)
            .unwrap_or(Span::from_secs(self.settings.response_wait_secs));
        let Some(product) = product else {
            return Ok(Terms {
                response: ResponseRule::Expected { within: default },
                remark: None,
            });
        };
        let terms = terms(&product, &request.body, default)?;
        if let Some(remark) = &terms.remark {
            self.metrics.unfit_paras.inc();
            tracing::info!(
                request = request.request_id,
                remark,
                "a command does not fit its product"
            );
        }
        Ok(terms)
    }
}

fn terms(product: &ReadyProduct, body: &CommandBody, default: Span) -> Result<Terms, CreateError> {
    let form = product
        .profile
        .command(&body.service, &body.method)
        .map_err(CreateError::Unfit)?;
    let settings = product.head.settings;
    let remark = match settings.check_paras {
        CheckParas::Off => None,
        CheckParas::Warn => fits(form, &body.paras).err().map(|invalid| invalid.to_string()),
        CheckParas::Reject => {
            fits(form, &body.paras).map_err(CreateError::Paras)?;
            None
        }
    };
    Ok(Terms {
        response: settings.response_rule(product.is_answered(&body.service, form), default),
        remark,
    })
}

fn fits(form: &CommandForm, paras: &str) -> Result<(), Invalid> {
    match form.check(&given(paras)?) {
        Ok(()) => Ok(()),
        Err(Unfit::Para { name, rule }) => {
            Err(Invalid::new(format!("command.paras.{name}"), rule.to_string()))
        }
        Err(unfit @ (Unfit::Service | Unfit::Command)) => Err(Invalid::new("command", unfit.to_string())),
    }
}
