//! What a northbound handler answers when it cannot do what was asked: code, status, text; the cause for the log only.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use downlink_api::{Code, Invalid};
use downlink_core::Span;
use downlink_core::product::Unfit;
use downlink_store::{CreateRefused, StoreError};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::serve::{Cause, Trouble};
use crate::engine::{CancelError, CreateError, DesireError};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error answer.
#[derive(Debug)]
pub(crate) struct Fault {
    code: Code,
    /// Where the code's own status does not fit.
    status: Option<StatusCode>,
    /// For the application.
    detail: String,
    /// For the log.
    cause: Option<String>,
    /// In how many seconds it is worth trying again.
    retry_after: Option<i64>,
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self {
            code,
            status: None,
            detail: String::new(),
            cause: None,
            retry_after: None,
        }
    }
}

impl Fault {
    /// A code and what the application is told besides.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..Self::from(code)
        }
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// The same, and when it is worth trying again.
    pub(crate) fn after(self, wait: Span) -> Self {
        Self {
            retry_after: Some((wait.as_millis() + 999) / 1000),
            ..self
        }
    }

    /// The same with another code.
    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// A defect; the application is told no more than that.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::from(Code::Internal)
        }
    }

    /// A command that the device's product does not have.
    fn unfit(unfit: Unfit) -> Self {
        let field = match &unfit {
            Unfit::Service => Cow::Borrowed("command.serviceId"),
            Unfit::Command => Cow::Borrowed("command.method"),
            Unfit::Para { name, .. } => Cow::Owned(format!("command.paras.{name}")),
        };
        Self::new(
            Code::NoService,
            Invalid::new(field, unfit.to_string()).to_string(),
        )
    }

    /// What is answered where no handler could.
    pub(crate) fn of_trouble(trouble: Trouble) -> Response {
        match trouble {
            Trouble::Panicked => Self::from(Code::Internal).into_response(),
            Trouble::TookTooLong => {
                let told = "It was not done in time and may still be done.";
                Self::new(Code::StoreFailed, told).into_response()
            }
        }
    }

    /// What a connection beyond the limit is told.
    pub(crate) fn of_crowd() -> Response {
        Self::new(Code::Congested, "Too many connections are open.").into_response()
    }

    /// Whether it says this.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// What the application is told, as one line of JSON.
    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&self.code.body(&self.detail)).into_owned()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::new(Code::InvalidInput, invalid.to_string())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Busy | StoreError::DiskLow => Code::Congested,
            StoreError::Unavailable(_) => Code::StoreFailed,
            StoreError::Corrupt(_) => Code::Internal,
        };
        Self {
            cause: Some(error.to_string()),
            ..Self::from(code)
        }
    }
}

impl From<CreateError> for Fault {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Refused(CreateRefused::NoDevice) => Code::NoDeviceData.into(),
            CreateError::Refused(CreateRefused::QueueFull) => Code::QueueFull.into(),
            CreateError::Refused(CreateRefused::NotReachable) => Code::NotOnline.into(),
            // Not 100223: clients take that for the queue of one device.
            CreateError::Refused(CreateRefused::TooManyOpen) => {
                Self::new(Code::Congested, "Too many commands of the application are open.")
            }
            CreateError::Refused(CreateRefused::KeyTaken) => {
                Self::new(Code::Conflict, "Idempotency-Key: was used for another request.")
            }
            CreateError::Refused(CreateRefused::AnswerGone) => Self::new(
                Code::Conflict,
                "Idempotency-Key: was used for a command that is kept no longer.",
            ),
            CreateError::Refused(CreateRefused::TooManyKeys) => Self::new(
                Code::Congested,
                "Too many idempotency keys of the application are kept.",
            ),
            CreateError::Congested => {
                Self::new(Code::Congested, "Too many commands are under way to the device.")
            }
            CreateError::Crowded => Self::new(
                Code::Congested,
                "Too many pushes of the application wait for their receivers.",
            ),
            CreateError::Unfit(unfit) => Self::unfit(unfit),
            CreateError::Paras(invalid) => invalid.into(),
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<DesireError> for Fault {
    fn from(error: DesireError) -> Self {
        match error {
            DesireError::TooMany => Invalid::new(
                "serviceDesireds",
                "more properties would be desired of the device than are kept",
            )
            .into(),
            DesireError::Untold(error) => error.into(),
        }
    }
}

impl From<CancelError> for Fault {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::Unknown => Code::NoCommand.into(),
            CancelError::NotCancelable => Code::NotCancelable.into(),
            CancelError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let own = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::from(self.code.body(&self.detail)));
        *response.status_mut() = self.status.unwrap_or(own);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        let at_once = || (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        if let Some(secs) = self.retry_after.or_else(at_once) {
            response.headers_mut().insert(RETRY_AFTER, secs.into());
        }
        let cause = self
            .cause
            .unwrap_or_else(|| format!("{} {}", self.code.as_str(), self.detail));
        response.extensions_mut().insert(Cause(cause));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parts below say, and what applications are told of it.
    #[test]
    fn the_table_of_causes() {
        let store = || StoreError::Unavailable("disk I/O".to_owned());
        let rows: Vec<(Fault, Code, u16)> = vec![
            (
                CreateError::Refused(CreateRefused::NoDevice).into(),
                Code::NoDeviceData,
                404,
            ),
            (
                CreateError::Refused(CreateRefused::QueueFull).into(),
                Code::QueueFull,
                400,
            ),
            (
                CreateError::Refused(CreateRefused::NotReachable).into(),
                Code::NotOnline,
                409,
            ),
            (
                CreateError::Refused(CreateRefused::TooManyOpen).into(),
                Code::Congested,
                503,
            ),
            (
                CreateError::Refused(CreateRefused::KeyTaken).into(),
                Code::Conflict,
                409,
            ),
            (
                CreateError::Refused(CreateRefused::AnswerGone).into(),
                Code::Conflict,
                409,
            ),
            (
                CreateError::Refused(CreateRefused::TooManyKeys).into(),
                Code::Congested,
                503,
            ),
            (CreateError::Congested.into(), Code::Congested, 503),
            (CreateError::Crowded.into(), Code::Congested, 503),
            (CreateError::Unfit(Unfit::Service).into(), Code::NoService, 400),
            (CreateError::Unfit(Unfit::Command).into(), Code::NoService, 400),
            (
                CreateError::Paras(Invalid::missing("command.paras.p")).into(),
                Code::InvalidInput,
                400,
            ),
            (CreateError::Store(StoreError::Busy).into(), Code::Congested, 503),
            (
                CreateError::Store(StoreError::DiskLow).into(),
                Code::Congested,
                503,
            ),
            (CreateError::Store(store()).into(), Code::StoreFailed, 500),
            (CancelError::Unknown.into(), Code::NoCommand, 404),
            (CancelError::NotCancelable.into(), Code::NotCancelable, 409),
            (CancelError::Store(store()).into(), Code::StoreFailed, 500),
            (StoreError::Corrupt("row".to_owned()).into(), Code::Internal, 500),
            (Invalid::missing("deviceId").into(), Code::InvalidInput, 400),
        ];
        for (fault, code, status) in rows {
            assert_eq!(fault.code(), code);
            let response = fault.into_response();
            assert_eq!(response.status().as_u16(), status, "{code:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
        }
    }
}
